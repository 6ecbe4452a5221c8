//! What would be copied and tagged, and whether it may be.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use camino::Utf8PathBuf;

use crate::commands::environments::Environment;
use crate::errors::{all, hinted_cause};
use crate::gather::workspace::Workspace;
use crate::image::manifest::Descriptor;
use crate::image::promotion::tags;
use crate::image::record::{DigestRecord, RecordedImage};
use crate::image::reference::{Digest, ImageReference, Tag};
use crate::image::tags::ImageTag;
use crate::registry::{Client, Found, RemoteImage};
use crate::system::parallel;

/// How to learn more of an image that is not there.
const VERIFY: &str = "`cargo xtask digests verify` checks a record";

pub(super) struct Plan {
    /// The images that are promoted.
    pub(super) images: Vec<PlannedImage>,
    /// Entries of the target's record that stay.
    pub(super) carried: BTreeMap<String, RecordedImage>,
    /// Where the target's record goes.
    pub(super) path: Utf8PathBuf,
}

/// One image's promotion.
pub(super) struct PlannedImage {
    pub(super) name: String,
    /// As the source's record has it.
    pub(super) recorded: RecordedImage,
    /// Its manifest or index.
    pub(super) descriptor: Descriptor,
    /// The repository it goes to.
    pub(super) target: ImageReference,
    /// Whether the repository has all of it, under whatever tag.
    pub(super) is_there: bool,
    pub(super) tags: Vec<PlannedTag>,
}

/// A tag in the target's repository.
pub(super) struct PlannedTag {
    pub(super) tag: ImageTag,
    /// What it names now.
    pub(super) now: Option<Digest>,
}

pub(super) struct Planner<'a> {
    /// For templates and settings.
    pub(super) workspace: &'a Workspace,
    /// Reads where the images are.
    pub(super) source: &'a Client,
    /// Reads where they go.
    pub(super) target: &'a Client,
    /// The environment they go to.
    pub(super) to: &'a Environment,
}

impl Planner<'_> {
    /// Asks both registries. Nothing is changed.
    ///
    /// # Errors
    /// All that is in the way, of all images: one that the source lacks or has not whole, an immutable tag that names
    /// another image, registries that cannot be asked; an image of the target's record that is gone.
    pub(super) fn plan(
        &self,
        images: Vec<(String, RecordedImage)>,
        mut previous: DigestRecord,
        extra: &[Tag],
        path: Utf8PathBuf,
    ) -> Result<Plan> {
        for (name, _) in &images {
            previous.images.remove(name);
        }
        let planned = parallel::map(images, parallel::REQUESTS, |(name, recorded)| {
            let failed = format!("cannot promote `{name}`");
            self.image(name, recorded, extra).context(failed)
        });
        let carried = parallel::map(previous.images.iter().collect(), parallel::REQUESTS, |(name, recorded)| {
            self.still_there(recorded).map_err(|cause| {
                let error = format!("`{name}` in `{path}` is not what `{}` has", self.to.name);
                hinted_cause(cause, error, "promote it as well, or delete the file")
            })
        });
        let carried = carried.into_iter().map(|result| result.map(|()| None));
        let images = all(carried.chain(planned.into_iter().map(|result| result.map(Some))))?;
        Ok(Plan { images: images.into_iter().flatten().collect(), carried: previous.images, path })
    }

    fn image(&self, name: String, recorded: RecordedImage, extra: &[Tag]) -> Result<PlannedImage> {
        let source = &recorded.image;
        let target = self.to.place_of(self.workspace, &name, source)?;
        let there = self.target.find(&target.with_digest(recorded.digest.clone()))?;
        let is_there = matches!(there, Found::Whole(_));
        let whole = match there {
            // The source need not have it any more.
            Found::Whole(image) => image,
            Found::Lacks(_) | Found::Nothing => whole(self.source, source)?,
        };
        let descriptor = whole.manifest.descriptor;
        let mutable = &self.workspace.packages.settings.mutable_tags;
        let mut planned = Vec::new();
        for tag in tags(&recorded, extra, mutable) {
            let reference = target.with_tag(tag.tag.clone());
            let now = self.target.head_manifest(&reference)?.map(|found| found.digest);
            if let Some(now) = now.as_ref().filter(|now| tag.is_immutable && **now != recorded.digest) {
                bail!("`{reference}` names `{now}` and would have to name `{}`, but does not move", recorded.digest);
            }
            planned.push(PlannedTag { tag, now });
        }
        Ok(PlannedImage { name, recorded, descriptor, target, is_there, tags: planned })
    }

    fn still_there(&self, recorded: &RecordedImage) -> Result<()> {
        let image = &recorded.image;
        ensure!(
            image.registry == self.to.registry,
            "it is in `{}`, and environment `{}` is `{}` now",
            image.registry,
            self.to.name,
            self.to.registry
        );
        whole(self.target, image).map(drop)
    }
}

/// An image that must be there, with all its parts.
fn whole(client: &Client, image: &ImageReference) -> Result<Box<RemoteImage>> {
    match client.find(image)? {
        Found::Whole(image) => Ok(image),
        Found::Lacks(part) => bail!("{part}; {VERIFY}"),
        Found::Nothing => bail!("`{image}` does not exist in the registry; {VERIFY}"),
    }
}
