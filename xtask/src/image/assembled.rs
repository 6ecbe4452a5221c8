//! An image that was assembled, as data.

use super::manifest::Descriptor;
use super::platform::Platform;
use super::reference::Digest;

/// An image of one platform that lies in the layout, without a name as yet.
#[derive(Clone, Debug)]
pub(crate) struct AssembledPlatform {
    pub(crate) platform: Platform,
    pub(crate) manifest: Descriptor,
    /// The config's digest: what engines without a registry call the image id.
    pub(crate) config: Digest,
    /// Compressed bytes, all that a pull of this image alone fetches: the layers (the base's
    /// too), the config and the manifest.
    pub(crate) size: u64,
    /// All layers, lowest first.
    pub(crate) layers: Vec<LayerSummary>,
}

/// One layer, for size breakdowns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LayerSummary {
    /// [`LayerSpec::name`], or `base`.
    pub(crate) name: String,
    /// The compressed blob's digest.
    pub(crate) digest: Digest,
    /// The compressed blob's bytes.
    pub(crate) size: u64,
    /// The uncompressed tar file's bytes; `None` for a base's layer, whose manifest does not
    /// say it.
    pub(crate) uncompressed: Option<u64>,
}
