//! A release and its images, brought to an environment's registry.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use super::destination::Destination;
use crate::commands::promote::{self, Promotion};
use crate::commands::publish::apply::PARALLEL_UPLOADS;
use crate::image::build_number::without_numbers;
use crate::image::record::DigestRecord;
use crate::image::release::{Release, ReleasedComponent};
use crate::registry::{Client, StoredRelease};
use crate::system::progress::Progress;

/// What would be copied, a line each.
pub(super) fn plan(target: &Destination, chosen: &StoredRelease, source: &Client) -> Result<String> {
    match is_there(target, chosen)? {
        true => Ok(String::new()),
        false => Ok(promotion(target, chosen, source)?.shown()),
    }
}

/// Copies what the environment's registry lacks and writes the release there.
///
/// # Errors
/// As a promotion; the release cannot be written.
pub(super) fn bring(
    target: &Destination,
    chosen: &StoredRelease,
    source: &Client,
    progress: &Progress,
) -> Result<StoredRelease> {
    if is_there(target, chosen)? {
        return Ok(chosen.clone());
    }
    let record = promotion(target, chosen, source)?.apply(PARALLEL_UPLOADS, progress)?;
    let release = release_there(&uncounted(target, chosen), record);
    target.releases()?.copy(&release)
}

/// The release with the images as they are in the environment's registry. What the branch had before is not there.
fn release_there(release: &Release, mut record: DigestRecord) -> Release {
    let component = |(name, known): (&String, &ReleasedComponent)| {
        let image = record.images.remove(name)?;
        Some((name.clone(), ReleasedComponent { version: known.version.clone(), image }))
    };
    let components: BTreeMap<_, _> = release.components.iter().filter_map(component).collect();
    Release { components, previous: None, ..release.clone() }
}

/// The release without numbers that another registry counted, where this one counts its own.
fn uncounted(target: &Destination, chosen: &StoredRelease) -> Release {
    let mut release = chosen.release.clone();
    if target.environment.build_number {
        without_numbers(&mut release.tags);
        release.components.values_mut().for_each(|component| without_numbers(&mut component.image.tags));
    }
    release
}

/// Whether the release's images are those of the environment's repositories, and so is the release.
fn is_there(target: &Destination, chosen: &StoredRelease) -> Result<bool> {
    for (name, component) in &chosen.release.components {
        let image = &component.image.image;
        if target.environment.place_of(&target.workspace, name, image)?.name() != image.name() {
            return Ok(false);
        }
    }
    // The registry is asked: what is cached may be another repository's.
    let releases = target.releases()?;
    let there = releases.repository.with_digest(chosen.digest.clone());
    Ok(target.client.head_manifest(&there)?.is_some())
}

fn promotion<'a>(target: &'a Destination, chosen: &StoredRelease, source: &'a Client) -> Result<Promotion<'a>> {
    let record = uncounted(target, chosen).record();
    if record.images.is_empty() {
        bail!("the release {} has no component", chosen.digest);
    }
    promote::promotion(&target.workspace, record, source, &target.client, &target.environment)
}
