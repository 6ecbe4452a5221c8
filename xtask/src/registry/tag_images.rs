//! Gives images in a registry their tags, for each command that does.

use anyhow::Result;

use super::{Client, FetchedManifest};
use crate::errors::joined;
use crate::image::reference::ImageReference;
use crate::image::tags::ImageTag;
use crate::system::parallel;
use crate::system::progress::Progress;

/// An image, whole in its registry, and the tags it has not got yet.
pub(crate) struct Untagged<'a> {
    /// Its repository.
    pub(crate) repository: &'a ImageReference,
    /// Its manifest or index.
    pub(crate) manifest: &'a FetchedManifest,
    /// The tags.
    pub(crate) tags: Vec<&'a ImageTag>,
}

/// Sets the tags, `jobs` images at once: those that do not move first, so that none moves when one of them is
/// refused. Gives the references that were set.
///
/// # Errors
/// An immutable tag that names another image, a lost race; all of them, once the tags that were set are named.
pub(crate) fn tag_all(
    client: &Client,
    images: &[Untagged<'_>],
    jobs: usize,
    progress: &Progress,
) -> Result<Vec<ImageReference>> {
    let mut set = Vec::new();
    for is_immutable in [true, false] {
        // One image's tags one after the other: some registries answer 500 for an image while it gets a tag.
        let results = parallel::map(images.iter().collect(), jobs, |image: &Untagged<'_>| {
            let of_kind = image.tags.iter().filter(|tag| tag.is_immutable == is_immutable);
            let tag = |tag: &&ImageTag| {
                let reference = image.repository.with_tag(tag.tag.clone());
                (reference, client.tag(image.repository, &tag.tag, is_immutable, image.manifest))
            };
            of_kind.map(tag).collect::<Vec<_>>()
        });
        let mut errors = Vec::new();
        for (reference, result) in results.into_iter().flatten() {
            match result {
                Ok(_) => set.push(reference),
                Err(error) => errors.push(error),
            }
        }
        if let Some(errors) = joined(errors) {
            for reference in &set {
                progress.say(&format!("tagged {reference}"));
            }
            return Err(errors.context("not all tags were set, and the digest record is as it was"));
        }
    }
    Ok(set)
}
