//! What Kubernetes' objects and manifests are and what they mean, as data.
//!
//! Pure: nothing here touches files, processes, the environment, the clock or the network.

pub(crate) mod edit;
pub(crate) mod events;
pub(crate) mod faults;
#[cfg(test)]
mod generated;
pub(crate) mod identity;
pub(crate) mod json;
pub(crate) mod local;
pub(crate) mod manifests;
pub(crate) mod mark;
pub(crate) mod naming;
pub(crate) mod objects;
mod parse;
pub(crate) mod pin;
pub(crate) mod probes;
#[cfg(test)]
mod recorded;
pub(crate) mod report;
pub(crate) mod repositories;
pub(crate) mod rollout;
pub(crate) mod state;
pub(crate) mod workload;
pub(crate) mod yaml;
