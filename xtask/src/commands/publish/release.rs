//! The release that a publication leaves in the registry.

use anyhow::{Context, Result};

use super::before::Before;
use crate::gather::ci::CiState;
use crate::gather::workspace::Workspace;
use crate::image::record::DigestRecord;
use crate::image::reference::Tag;
use crate::image::release::{Release, ReleasedComponent, full_reference};
use crate::image::tags::Tags;
use crate::registry::Releases;
use crate::system::progress::Progress;

/// The release of the images in `record`.
pub(super) fn release(
    workspace: &Workspace,
    ci: &CiState,
    tags: &Tags,
    record: &DigestRecord,
    before: &Before,
) -> Release {
    let components = record.images.iter().map(|(name, image)| {
        let known = before.release.as_ref().and_then(|before| before.release.components.get(name));
        let version = match known.filter(|known| known.image.digest == image.digest) {
            // What is carried on need not be of the version that is checked out.
            Some(known) => known.version.clone(),
            None => version(workspace, name),
        };
        (name.clone(), ReleasedComponent { version, image: image.clone() })
    });
    Release {
        commit: ci.commit.clone(),
        reference: full_reference(&ci.reference),
        tags: tags.all.iter().map(|tag| tag.tag.clone()).collect(),
        previous: None,
        components: components.collect(),
    }
}

fn version(workspace: &Workspace, component: &str) -> String {
    let component = workspace.components.iter().find(|known| known.name == component);
    component.map(|component| component.package.version.clone()).unwrap_or_default()
}

/// Writes it, once all its images are there and tagged.
///
/// # Errors
/// As [`Releases::write`].
pub(super) fn write(releases: &Releases<'_>, release: &Release, line: &Tag, progress: &Progress) -> Result<()> {
    let (stored, is_new) = releases
        .write(release, line, &release.tags)
        .context("the images are pushed and tagged, but their release is not written; run it again")?;
    let is_new = if is_new { "" } else { ", as before" };
    progress.say(&format!("release {}@{}{is_new}", releases.repository.name(), stored.digest));
    Ok(())
}
