//! What needs a container engine; some tests a registry, a cluster, podman or tools that read images.
//!
//! `cargo test -p xtask --test engine -- --ignored` runs all, one after the other. Besides Rust and
//! an engine with `rust:1.95-bookworm` (or a way to pull it) they use, on Debian: `apt-get install
//! git skopeo umoci podman qemu-user-static docker-registry openssl`, `kubectl` and `oras`; a registry at
//! `LAB_REGISTRY` that lets images be deleted, and the cluster of `KUBECONFIG`, which pulls from it.

mod adopted;
mod attest;
mod bases;
mod bases_locked;
mod build_numbers;
mod chain;
mod context;
mod deploy;
mod digests;
mod faults;
mod images;
mod large;
mod lost_parts;
mod manifests;
mod names;
mod others;
mod platforms;
mod promote;
mod prune;
mod publish;
mod publish_auth;
mod publish_faults;
mod publish_interrupts;
mod publish_large;
mod publish_platforms;
mod publish_tags;
mod rebuild;
mod releases;
mod scan;
mod signing;
mod smoke_cluster;
mod smoke_faults;
mod smoke_identity;
mod smoke_published;
mod smoke_table;
mod smoke_workloads;
mod stage;
mod staleness;
mod toolchain;

#[path = "../support/engine.rs"]
mod parts;
#[path = "../support/project.rs"]
mod project;
#[path = "../support/proxy.rs"]
mod proxy;
#[path = "../support/registry.rs"]
mod registry;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/tokens.rs"]
mod tokens;
