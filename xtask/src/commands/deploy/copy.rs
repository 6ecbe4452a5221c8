//! A release and its images, brought to an environment's registry.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};

use super::destination::Destination;
use crate::commands::promote::{self, Promotion};
use crate::commands::publish::apply::PARALLEL_UPLOADS;
use crate::errors::hinted;
use crate::gather::repositories::repository;
use crate::image::build_number::without_numbers;
use crate::image::record::DigestRecord;
use crate::image::release::{RELEASES, Release, ReleasedComponent};
use crate::registry::{Client, StoredRelease};
use crate::system::progress::Progress;

/// What would be copied, a line each.
pub(super) fn plan(target: &Destination, chosen: &StoredRelease, source: &Client) -> Result<String> {
    match is_at_home(target, chosen)? {
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
    if is_at_home(target, chosen)? {
        return Ok(chosen.clone());
    }
    let record = promotion(target, chosen, source)?.apply(PARALLEL_UPLOADS, progress)?;
    let release = release_there(&uncounted(target, chosen), record);
    target.releases()?.copy(&release)
}

/// The release with its images named as they will be in the environment's registry.
pub(super) fn as_there(target: &Destination, chosen: &StoredRelease) -> Result<StoredRelease> {
    let mut there = chosen.clone();
    for (name, ReleasedComponent { image, .. }) in &mut there.release.components {
        let place = target.environment.place_of(&target.workspace, name, &image.image)?;
        (image.repository, image.image) = (place.name(), place.with_digest(image.digest.clone()));
    }
    Ok(there)
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

/// Whether the release is the environment's own, with its images in the environment's repositories.
///
/// # Errors
/// It has no component; it belongs there and is gone: copied from what is cached, it would take the tags of newer ones.
fn is_at_home(target: &Destination, chosen: &StoredRelease) -> Result<bool> {
    let digest = &chosen.digest;
    ensure!(!chosen.release.components.is_empty(), "the release {digest} has no component");
    let mut is_home = true;
    for (name, component) in &chosen.release.components {
        let image = &component.image.image;
        is_home &= target.environment.place_of(&target.workspace, name, image)?.name() == image.name();
    }
    // The registry is asked: what is cached may be another repository's.
    let there = target.releases()?.repository.with_digest(digest.clone());
    let is_there = is_home && target.client.head_manifest(&there)?.is_some();
    let own = repository(&target.workspace, RELEASES, None)?;
    ensure!(
        is_there || !is_home || own.name() != there.name(),
        hinted(
            format!("the release {digest} is gone from `{}`", there.name()),
            "deploy a newer one, or publish its commit again"
        )
    );
    Ok(is_there)
}

fn promotion<'a>(target: &'a Destination, chosen: &StoredRelease, source: &'a Client) -> Result<Promotion<'a>> {
    let record = uncounted(target, chosen).record();
    promote::promotion(&target.workspace, record, source, &target.client, &target.environment)
}
