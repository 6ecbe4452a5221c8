//! What Kubernetes' objects are and what they mean, as data.
//!
//! Pure: nothing here touches files, processes, the environment, the clock or the network.

pub(crate) mod events;
pub(crate) mod faults;
pub(crate) mod identity;
pub(crate) mod manifests;
pub(crate) mod objects;
pub(crate) mod probes;
#[cfg(test)]
mod recorded;
pub(crate) mod report;
pub(crate) mod rollout;
pub(crate) mod state;
