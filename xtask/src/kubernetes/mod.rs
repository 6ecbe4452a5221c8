//! What Kubernetes' objects and manifests are and what they mean, as data.
//!
//! Pure: nothing here touches files, processes, the environment, the clock or the network.

pub(crate) mod image_owners;
pub(crate) mod kustomization;
pub(crate) mod local;
pub(crate) mod manifest;
pub(crate) mod objects;
pub(crate) mod pinning;
pub(crate) mod placeholder;
pub(crate) mod scaffold;
pub(crate) mod smoke;
pub(crate) mod yaml;
