//! Pure: what Kubernetes manifests say, and how their images are pinned.

pub(crate) mod edit;
#[cfg(test)]
mod generated;
pub(crate) mod json;
pub(crate) mod local;
pub(crate) mod mark;
pub(crate) mod naming;
pub(crate) mod pin;
pub(crate) mod repositories;
pub(crate) mod workload;
pub(crate) mod yaml;
//! What Kubernetes' objects are and what they mean, as data.
//!
//! Pure: nothing here touches files, processes, the environment, the clock or the network.

pub(crate) mod events;
pub(crate) mod faults;
pub(crate) mod identity;
pub(crate) mod manifests;
pub(crate) mod objects;
pub(crate) mod probes;
pub(crate) mod report;
pub(crate) mod rollout;
pub(crate) mod state;
