//! What can be tested without a container engine, a registry or a cluster.

mod closure;
mod context;
mod discovery;
mod dockerfiles;
mod images;
mod repeatable;
mod revisions;
mod settings;
#[path = "../support/mod.rs"]
mod support;
