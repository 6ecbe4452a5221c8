//! What the workspace's manifests mean on one machine without a cluster: which programs to start, with which
//! arguments, variables, ports and probes.
//!
//! Pure: effects (ports, folders, processes, requests) are with who runs the plan.

pub(crate) mod plan;
pub(crate) mod probe;
pub(crate) mod read;
pub(crate) mod values;
pub(crate) mod variables;
pub(crate) mod verdict;
