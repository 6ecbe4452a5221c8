//! Which images the manifests name, and how digests are written in their place: `manifests pin`.

pub(crate) mod edit;
pub(crate) mod mark;
pub(crate) mod naming;
pub(crate) mod pin;
pub(crate) mod sites;
#[cfg(test)]
mod test_manifests;
pub(crate) mod values;
