//! Whether a container runs what it should.

use std::collections::BTreeSet;

use crate::image::record::RecordedImage;
use crate::image::reference::{Digest, ImageReference};

/// What a container runtime calls the image that runs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ImageId {
    /// A manifest's or an index' digest, and the repository it came from.
    Pulled(ImageReference, Digest),
    /// A digest without a repository: an image config's, or a manifest's.
    Raw(Digest),
    Unknown(String),
}

impl ImageId {
    /// Reads `imageID` of a container's status: `docker-pullable://REPOSITORY@DIGEST` or
    /// `docker://DIGEST` of Docker, `REPOSITORY@DIGEST` or a digest of containerd and CRI-O.
    pub(crate) fn parse(text: &str) -> Self {
        let bare = text.split_once("://").map_or(text, |(_, rest)| rest);
        if let Ok(digest) = bare.parse() {
            return ImageId::Raw(digest);
        }
        // CRI-O leaves out the algorithm.
        if let Ok(digest) = format!("sha256:{bare}").parse() {
            return ImageId::Raw(digest);
        }
        match bare.parse::<ImageReference>() {
            Ok(ImageReference { digest: Some(digest), registry, repository, .. }) => {
                ImageId::Pulled(ImageReference::new(registry, repository), digest)
            }
            _ => ImageId::Unknown(text.to_owned()),
        }
    }

    /// The digest, if there is one.
    pub(crate) fn digest(&self) -> Option<&Digest> {
        match self {
            ImageId::Pulled(_, digest) | ImageId::Raw(digest) => Some(digest),
            ImageId::Unknown(_) => None,
        }
    }
}

/// Whether the record names the very digest: of the index, of a platform's manifest, or of its config.
pub(crate) fn is_recorded(image: &RecordedImage, id: &ImageId) -> bool {
    let Some(digest) = id.digest() else { return false };
    let is_manifest = image.digest == *digest || image.platforms.values().any(|platform| platform.digest == *digest);
    let is_config = matches!(id, ImageId::Raw(_)) && image.platforms.values().any(|p| p.config == *digest);
    is_manifest || is_config
}

/// Whether a pod's spec names the very digest: of the index, or of a platform's manifest.
pub(crate) fn is_named(image: &RecordedImage, spec: &str) -> bool {
    let digest = spec.parse::<ImageReference>().ok().and_then(|reference| reference.digest);
    let is_ours =
        |digest: Digest| image.digest == digest || image.platforms.values().any(|platform| platform.digest == digest);
    digest.is_some_and(is_ours)
}

/// The result of asking the registry for a digest that the record does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Resolved {
    /// The configs of the images it leads to: one, or an index' for each platform.
    Configs(BTreeSet<Digest>),
    /// It cannot be told; why.
    Unknown(String),
}

/// What is known of a container's identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Identity {
    Match,
    /// It runs another one: a sentence that shows both.
    Mismatch(String),
    /// It cannot be told; why.
    Unverifiable(String),
}

/// Compares the content behind `id` with the record's: `recorded` are the record's configs.
///
/// Of an index every platform must be one of the record's, since it is not known here which of them the
/// node took.
pub(crate) fn compare(image: &RecordedImage, recorded: &Resolved, id: &ImageId, resolved: &Resolved) -> Identity {
    let shown = match id {
        ImageId::Pulled(repository, digest) => format!("{}@{digest}", repository.name()),
        ImageId::Raw(digest) => digest.to_string(),
        ImageId::Unknown(text) => format!("`{text}`"),
    };
    let (recorded, configs) = match (recorded, resolved) {
        (_, Resolved::Unknown(why)) => return Identity::Unverifiable(format!("runs {shown}: {why}")),
        (Resolved::Unknown(why), _) => return Identity::Unverifiable(format!("runs {shown}, recorded: {why}")),
        (Resolved::Configs(recorded), Resolved::Configs(configs)) => (recorded, configs),
    };
    if !configs.is_empty() && configs.is_subset(recorded) {
        return Identity::Match;
    }
    if configs.is_disjoint(recorded) {
        return Identity::Mismatch(format!("runs {shown}, expected is {}", image.image));
    }
    Identity::Unverifiable(format!("runs {shown}, an index that only shares some platforms with {}", image.image))
}

#[cfg(test)]
#[path = "identity_tests.rs"]
mod tests;
