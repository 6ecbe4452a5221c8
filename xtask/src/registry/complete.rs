//! Whether an image is whole: registries delete what they are told to, and answer for what named it as
//! before.

use std::collections::BTreeMap;
use std::fmt;

use super::client::Client;
use super::inspect::{RemoteImage, parse};
use super::pull::{is_not_found, status_of};
use crate::image::manifest::{AnyManifest, Descriptor, Manifest};
use crate::image::reference::{Digest, ImageReference};
use crate::system::parallel;
use anyhow::Result;

/// Parts of one image asked about at once; several images are looked at side by side.
const PARALLEL_PARTS: usize = 4;

/// What a repository has of an image.
pub(crate) enum Found {
    /// All of it.
    Whole(Box<RemoteImage>),
    /// What names it, and not this part.
    Lacks(LostPart),
    /// Nothing under this name.
    Nothing,
}

/// A part that an image names and its repository does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LostPart {
    image: ImageReference,
    what: &'static str,
    digest: Digest,
}

impl fmt::Display for LostPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` has lost its {} `{}`", self.image, self.what, self.digest)
    }
}

/// Says of a part that does not exist which one it is, and of what.
pub(super) fn or_lost(
    image: &ImageReference,
    what: &'static str,
    digest: &Digest,
) -> impl FnOnce(anyhow::Error) -> anyhow::Error {
    move |error| match is_not_found(&error) {
        true => error.context(LostPart { image: image.clone(), what, digest: digest.clone() }),
        false => error,
    }
}

impl Client {
    /// Reads the image that `reference` leads to, and looks at every part of it.
    ///
    /// # Errors
    /// As [`Client::inspect`], but for what is not there.
    pub(crate) fn find(&self, reference: &ImageReference) -> Result<Found> {
        let looked = self.inspect(reference).and_then(|image| {
            self.check_complete(reference, &image)?;
            Ok(image)
        });
        match looked {
            Ok(image) => Ok(Found::Whole(Box::new(image))),
            Err(error) => match error.downcast_ref::<LostPart>() {
                Some(lost) => Ok(Found::Lacks(lost.clone())),
                None if is_not_found(&error) => Ok(Found::Nothing),
                None => Err(error),
            },
        }
    }

    /// Looks at what reading `image` under `reference` left out: layers, and what an index holds beside
    /// its platforms (attestations), down to their blobs. Each blob is asked about once.
    ///
    /// # Errors
    /// [`LostPart`] and [`crate::http::ApiError`] within the chain for a part that does not exist; the registry cannot be
    /// asked.
    pub(crate) fn check_complete(&self, reference: &ImageReference, image: &RemoteImage) -> Result<()> {
        let mut blobs: BTreeMap<Digest, (&'static str, Descriptor)> = BTreeMap::new();
        let mut add = |what, blob: &Descriptor| drop(blobs.insert(blob.digest.clone(), (what, blob.clone())));
        for platform in image.platforms.values() {
            platform.layers.iter().for_each(|layer| add("layer", layer));
        }
        let others =
            parallel::map(image.others.iter().collect(), PARALLEL_PARTS, |other| self.images_below(reference, other));
        for manifest in others.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten() {
            add("config", &manifest.config);
            manifest.kept_layers().for_each(|layer| add("layer", layer));
        }
        let looked = parallel::map(blobs.into_values().collect(), PARALLEL_PARTS, |(what, blob)| {
            self.check_blob(reference, &blob).map_err(or_lost(reference, what, &blob.digest))
        });
        looked.into_iter().collect()
    }

    /// The manifests of images that a part of an index leads to.
    fn images_below(&self, index: &ImageReference, part: &Descriptor) -> Result<Vec<Manifest>> {
        let reference = index.with_digest(part.digest.clone());
        let found = self.get_manifest(&reference).map_err(or_lost(index, "manifest", &part.digest))?;
        match parse(&found, &reference)? {
            AnyManifest::Image(manifest) => Ok(vec![manifest]),
            AnyManifest::Index(inner) => {
                let all: Result<Vec<_>> = inner.manifests.iter().map(|part| self.images_below(index, part)).collect();
                Ok(all?.into_iter().flatten().collect())
            }
        }
    }

    fn check_blob(&self, reference: &ImageReference, blob: &Descriptor) -> Result<()> {
        match self.head_blob(reference, &blob.digest, "pull") {
            // It does not tell by HEAD.
            Err(error) if status_of(&error) == Some(405) => {
                self.open_blob(reference, &blob.digest, blob.size).map(drop)
            }
            answer => answer,
        }
    }
}
