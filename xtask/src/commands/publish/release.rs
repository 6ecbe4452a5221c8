//! The release that a publication leaves in the registry.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use super::Publication;
use crate::commands::chosen_release::is_of;
use crate::image::record::RecordedImage;
use crate::image::release::{Release, ReleasedComponent};
use crate::registry::StoredRelease;
use crate::system::progress::Progress;

impl Publication<'_> {
    /// Writes the release of what is `fresh` and of what is carried on, once all its images are there and tagged.
    ///
    /// # Errors
    /// As [`crate::registry::Releases::write`].
    pub(super) fn write_release(
        &self,
        fresh: &BTreeMap<String, RecordedImage>,
        progress: &Progress,
    ) -> Result<StoredRelease> {
        let (stored, is_new) = self
            .releases
            .write(self.line, |before| self.release(fresh, before))
            .context("the images are pushed and tagged, but their release is not written; run it again")?;
        let is_new = if is_new { "" } else { ", as before" };
        progress.say(&format!("release {}@{}{is_new}", self.releases.repository.name(), stored.digest));
        Ok(stored)
    }

    /// The release after `before`, the branch's newest: what is carried on may have been published meanwhile.
    fn release(&self, fresh: &BTreeMap<String, RecordedImage>, before: Option<&Release>) -> Release {
        let before = before.filter(|before| is_of(before, &self.ci.reference));
        let known = |name: &String| before.and_then(|before| before.components.get(name));
        let carried = self.carried.iter().map(|(name, image)| (name, known(name).map_or(image, |known| &known.image)));
        let components = carried.chain(fresh).map(|(name, image)| {
            let version = match known(name).filter(|known| known.image.digest == image.digest) {
                // What is carried on need not be of the version that is checked out.
                Some(known) => known.version.clone(),
                None => self.version(name),
            };
            (name.clone(), ReleasedComponent { version, image: image.clone() })
        });
        let tags = self.tags.all.iter().map(|tag| tag.tag.clone());
        Release {
            commit: self.ci.commit.clone(),
            reference: self.ci.reference.full_name(),
            // A tree that differs from its commit is no release of its branch.
            tags: tags.filter(|tag| self.ci.changed.is_empty() || *tag == self.tags.commit).collect(),
            previous: None,
            components: components.collect(),
        }
    }

    fn version(&self, component: &str) -> String {
        let component = self.workspace.components.iter().find(|known| known.name == component);
        component.map(|component| component.package.version.clone()).unwrap_or_default()
    }
}
