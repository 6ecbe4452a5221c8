//! Build numbers of an environment: the next one, claimed in its registry, and kept in the workspace's file.

use std::io::ErrorKind;

use anyhow::{Context, Result, anyhow};
use camino::Utf8PathBuf;

use super::destination::Destination;
use crate::commands::chosen_release::{build_numbers, last_whole};
use crate::errors::{hinted_cause, line};
use crate::image::build_number::{NUMBER_FILE, kept, next, number_tag, with_kept};
use crate::image::record::DigestRecord;
use crate::image::reference::ImageReference;
use crate::image::release::Release;
use crate::image::tags::ImageTag;
use crate::registry::StoredRelease;
use crate::registry::tag_images::{Untagged, tag_all};
use crate::system::files::write_durably;
use crate::system::parallel;
use crate::system::progress::Progress;

/// A release, and the number that it has as a deployment, where those are counted.
pub(super) struct Numbered {
    pub(super) found: StoredRelease,
    pub(super) number: Option<u64>,
}

impl Numbered {
    /// The images, with the number among their tags.
    pub(super) fn record(&self) -> DigestRecord {
        let record = self.found.release.record();
        match self.number {
            Some(number) => record.with_number(number),
            None => record,
        }
    }

    /// As [`Numbered::record`], as values are pinned to it: the number is the tag.
    pub(super) fn pinned(&self) -> DigestRecord {
        if self.number.is_some() { self.record().by_number() } else { self.record() }
    }
}

impl Destination {
    /// The release with the number that it would get; nothing is claimed.
    ///
    /// # Errors
    /// As [`Destination::claim`].
    pub(super) fn numbered_next(&self, found: &StoredRelease) -> Result<Numbered> {
        let number = match self.environment.build_number {
            true => Some(self.next_number(&found.release)?),
            false => None,
        };
        Ok(Numbered { found: found.clone(), number })
    }

    /// The release with the number that it had when it was deployed last.
    ///
    /// # Errors
    /// The registry cannot be asked.
    pub(super) fn numbered_before(&self, found: &StoredRelease) -> Result<Numbered> {
        let mut number = None;
        if self.environment.build_number {
            let numbers = build_numbers(&self.releases()?)?.remove(&found.digest).unwrap_or_default();
            number = last_whole(&self.client, &found.release, &numbers)?;
            if number.is_none() {
                eprintln!("note: {} has no build number; values that hold a tag get its commit's", found.digest);
            }
        }
        Ok(Numbered { found: found.clone(), number })
    }

    /// Gives a release, whose images are here, the next number: first the release, so that whoever comes later counts
    /// on, then the images, then the file.
    ///
    /// # Errors
    /// Somebody else took the number; the registry refuses, or cannot be asked; the file holds no number, or cannot be
    /// written.
    pub(super) fn claim(&self, found: StoredRelease, progress: &Progress) -> Result<Numbered> {
        let numbered = self.numbered_next(&found)?;
        let Some(number) = numbered.number else { return Ok(numbered) };
        self.tag_images(&found, number, progress).map_err(|error| {
            // What its hints say is for who publishes.
            let error = anyhow!(line(&error));
            let text = format!("not all of the release has build number {number}, and nothing was deployed");
            hinted_cause(error, text, "deploy again: it takes the next number")
        })?;
        if let Some((path, text)) = self.kept()? {
            write_durably(&path, with_kept(&text, number).as_bytes())?;
        }
        progress.say(&format!("{}: build number {number}", self.environment.name));
        Ok(numbered)
    }

    /// What claiming would change, a line each.
    pub(super) fn planned_number(&self, numbered: &Numbered) -> Result<String> {
        let Some(number) = numbered.number else { return Ok(String::new()) };
        let repositories = self.repositories(&numbered.found.release)?;
        let tags = repositories.iter().map(|repository| format!("tag    {}:{number}\n", repository.name()));
        let file = self.kept()?.map(|_| format!("write  {NUMBER_FILE}\n"));
        Ok(tags.chain(file).collect())
    }

    fn tag_images(&self, found: &StoredRelease, number: u64, progress: &Progress) -> Result<()> {
        let tag = ImageTag { tag: number_tag(number), is_immutable: true };
        self.releases()?.tag(&found.digest, &tag.tag, true)?;
        let images: Vec<&ImageReference> =
            found.release.components.values().map(|component| &component.image.image).collect();
        let manifests =
            parallel::map(images, parallel::REQUESTS, |image| Ok((image, self.client.get_manifest(image)?)));
        let manifests = manifests.into_iter().collect::<Result<Vec<_>>>()?;
        let untagged =
            manifests.iter().map(|(repository, manifest)| Untagged { repository, manifest, tags: vec![&tag] });
        tag_all(&self.client, &untagged.collect::<Vec<_>>(), parallel::REQUESTS, progress).map(drop)
    }

    fn next_number(&self, release: &Release) -> Result<u64> {
        let kept = self.kept()?.map(|(_, text)| kept(&text)).transpose()?;
        let tags = parallel::map(self.repositories(release)?, parallel::REQUESTS, |name| self.client.tags(&name));
        next(tags.into_iter().collect::<Result<Vec<_>>>()?.iter().flatten(), kept)
    }

    /// Where the number is a tag: the releases' repository, and those of the release's components.
    fn repositories(&self, release: &Release) -> Result<Vec<ImageReference>> {
        let place = |(name, component): (&String, &crate::image::release::ReleasedComponent)| {
            self.environment.place_of(&self.workspace, name, &component.image.image)
        };
        let components = release.components.iter().map(place);
        std::iter::once(Ok(self.releases()?.repository)).chain(components).collect()
    }

    /// The workspace's file and what is in it, where there is one.
    fn kept(&self) -> Result<Option<(Utf8PathBuf, String)>> {
        let path = self.workspace.root().join(NUMBER_FILE);
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some((path, text))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read `{path}`")),
        }
    }
}
