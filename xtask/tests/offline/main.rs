//! What can be tested without a container engine, a registry or a cluster.

mod affected;
mod assets;
mod bad_input;
mod closure;
mod context;
mod digests_show;
mod digests_verify;
mod discovery;
mod disk_full;
mod dockerfiles;
mod doctor;
mod environment;
mod failures;
mod fake_cluster;
mod images;
mod interrupts;
mod manifests;
mod matrix;
mod nested;
mod promote;
mod property;
mod proxies;
mod publish;
mod purity;
mod registry_interrupts;
mod registry_list;
mod repeatable;
mod revisions;
mod sandbox;
mod scan;
mod settings;
mod smoke;
mod smoke_local;
mod start;
#[path = "../support/mod.rs"]
mod support;
