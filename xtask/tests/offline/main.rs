//! What can be tested without a container engine, a registry or a cluster.

mod closure;
mod discovery;
mod settings;
#[path = "../support/mod.rs"]
mod support;
