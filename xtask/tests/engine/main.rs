//! What needs a container engine (some tests a registry, a cluster or podman as well):
//! `cargo test -p xtask --test engine -- --ignored`.
mod bases;
mod context;
mod faults;
mod images;
mod large;
mod names;
mod others;
mod platforms;
mod staleness;

#[path = "../support/engine.rs"]
mod parts;
#[path = "../support/mod.rs"]
mod support;
