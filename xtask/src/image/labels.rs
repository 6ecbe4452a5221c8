//! Labels that are not about a package: our own, and those that name the base.

use std::collections::BTreeMap;

use super::images_lock::tagged;
use super::reference::{Digest, ImageReference};

/// Label with the input hash: what `publish` and the next build compare.
pub(crate) const INPUT_HASH: &str = "xtask.input-hash";

/// Label with a few words on each kind of input, so that two images can be told apart by what made them.
pub(crate) const INPUTS: &str = "xtask.inputs";

/// Label of images whose builds could use the network: what they got from it is not known.
pub(crate) const NETWORK: &str = "xtask.network";

/// Annotation of what we attach to an image: which document it is. Another of the same name replaces it.
pub(crate) const ATTACHMENT: &str = "xtask.attachment";

/// Label with the base's reference (OCI image specification, "Pre-Defined Annotation Keys").
pub(crate) const BASE_NAME: &str = "org.opencontainers.image.base.name";

/// Label with the digest of what [`BASE_NAME`] led to.
pub(crate) const BASE_DIGEST: &str = "org.opencontainers.image.base.digest";

/// What an image says of its base, as far as it is known.
pub(crate) fn base_labels(name: Option<&ImageReference>, digest: Option<&Digest>) -> BTreeMap<String, String> {
    // A tag says where a newer one is to be found, and the digest has a label of its own.
    let by_name = |name: &ImageReference| match (&name.tag, &name.digest) {
        (None, Some(_)) => name.to_string(),
        _ => tagged(name).to_string(),
    };
    let known = [(BASE_NAME, name.map(by_name)), (BASE_DIGEST, digest.map(Digest::to_string))];
    known.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
}
