//! What needs a container engine; some tests a registry, a cluster, podman or tools that read images.
//!
//! `cargo test -p xtask --test engine -- --ignored` runs all, one after the other. Besides Rust and
//! an engine with `rust:1.95-bookworm` (or a way to pull it) they use, on Debian: `apt-get install
//! git skopeo umoci podman qemu-user-static`, `kubectl` and `oras`; a registry at `LAB_REGISTRY` that
//! lets images be deleted, and the cluster of `KUBECONFIG`, which pulls from it.

mod bases;
mod context;
mod faults;
mod images;
mod large;
mod manifests;
mod names;
mod others;
mod platforms;
mod smoke_cluster;
mod smoke_faults;
mod smoke_identity;
mod stage;
mod staleness;

#[path = "../support/engine.rs"]
mod parts;
#[path = "../support/mod.rs"]
mod support;
