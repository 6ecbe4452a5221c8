//! Which images the manifests name, and how digests are written in their place: `manifests pin`.

pub(crate) mod edit;
#[cfg(test)]
mod generated;
pub(crate) mod mark;
pub(crate) mod naming;
pub(crate) mod pin;
pub(crate) mod values;
pub(crate) mod workload;
