//! What can be tested without a container engine, a registry or a cluster.

mod affected;
mod bad_input;
mod closure;
mod context;
mod discovery;
mod disk_full;
mod dockerfiles;
mod doctor;
mod failures;
mod fake_cluster;
mod images;
mod interrupts;
mod nested;
mod purity;
mod repeatable;
mod revisions;
mod settings;
mod smoke;
#[path = "../support/mod.rs"]
mod support;
