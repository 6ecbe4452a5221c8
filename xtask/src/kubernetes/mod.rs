//! Pure: what Kubernetes manifests say, and how their images are pinned.

pub(crate) mod edit;
#[cfg(test)]
mod generated;
pub(crate) mod json;
pub(crate) mod local;
pub(crate) mod mark;
pub(crate) mod naming;
mod parse;
pub(crate) mod pin;
pub(crate) mod repositories;
pub(crate) mod workload;
pub(crate) mod yaml;
