//! Labels of our own.

/// Label with the input hash: what `publish` and the next build compare.
pub(crate) const INPUT_HASH: &str = "xtask.input-hash";

/// Label with a few words on each kind of input, so that two images can be told apart by what made them.
pub(crate) const INPUTS: &str = "xtask.inputs";

/// Label of images whose builds could use the network: what they got from it is not known.
pub(crate) const NETWORK: &str = "xtask.network";

/// Annotation of what we attach to an image: which document it is. Another of the same name replaces it.
pub(crate) const ATTACHMENT: &str = "xtask.attachment";
