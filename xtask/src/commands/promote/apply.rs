//! Copies all images, then tags all, then records all.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, bail};

use super::plan::{Plan, PlannedImage};
use crate::commands::table::bytes;
use crate::errors::{hinted, shown};
use crate::image::record::{DigestRecord, RecordedImage};
use crate::image::reference::Tag;
use crate::registry::tag_images::{Untagged, tag_all};
use crate::registry::{Client, FetchedManifest, RegistrySource, transfer};
use crate::system::parallel;
use crate::system::progress::Progress;

/// Carries the plan out.
///
/// # Errors
/// Images that could not be copied, and then no tag is set; tags that could not be set, and then
/// nothing is recorded.
pub(super) fn apply(
    plan: &Plan,
    source: &Client,
    target: &Client,
    jobs: usize,
    progress: &Progress,
) -> Result<DigestRecord> {
    let copied = parallel::map(plan.images.iter().collect(), jobs, |image: &PlannedImage| {
        (image, copy(image, source, target, jobs, progress))
    });
    let mut ready = Vec::new();
    let mut failed = Vec::new();
    for (image, result) in copied {
        match result {
            Ok(manifest) => ready.push((image, manifest)),
            Err(error) => {
                eprint!("{}: {}", image.name, shown(&error));
                failed.push(image.name.as_str());
            }
        }
    }
    if !failed.is_empty() {
        bail!(hinted(
            format!("not copied: {}; no tag was set, and the record is as it was", failed.join(", ")),
            "what was copied is not copied again: run the same command once more"
        ));
    }
    tag(&ready, target, jobs, progress)?;
    let promoted = plan.images.iter().map(|image| (image.name.clone(), entry(image)));
    Ok(DigestRecord { images: plan.carried.clone().into_iter().chain(promoted).collect() })
}

/// Copies one image and asks whether it is there.
fn copy(
    image: &PlannedImage,
    source: &Client,
    target: &Client,
    jobs: usize,
    progress: &Progress,
) -> Result<FetchedManifest> {
    let place = image.target.name();
    if !image.is_there {
        let task = progress.task(&image.name, &format!("copying to {place}"));
        let sent = AtomicU64::new(0);
        let on_bytes = |count: u64| {
            let sent = sent.fetch_add(count, Ordering::Relaxed) + count;
            task.update(&format!("copied {} to {place}", bytes(sent)));
        };
        let reference = image.recorded.image.clone();
        let from = RegistrySource { client: source, reference };
        let done = transfer(target, &from, &image.descriptor, &image.target, &[], jobs, &on_bytes)?;
        task.done(&format!("copied {} to {place}", bytes(done.sent_bytes)));
    }
    let copied = image.target.with_digest(image.recorded.digest.clone());
    target.get_manifest(&copied).with_context(|| format!("`{copied}` cannot be read after it was copied"))
}

/// Sets the tags that do not name their image already.
fn tag(ready: &[(&PlannedImage, FetchedManifest)], target: &Client, jobs: usize, progress: &Progress) -> Result<()> {
    let images: Vec<_> = ready
        .iter()
        .map(|(image, manifest)| {
            let missing = image.tags.iter().filter(|tag| tag.now.as_ref() != Some(&image.recorded.digest));
            Untagged { repository: &image.target, manifest, tags: missing.map(|tag| &tag.tag).collect() }
        })
        .collect();
    for reference in tag_all(target, &images, jobs, progress)? {
        progress.say(&format!("tagged {reference}"));
    }
    Ok(())
}

/// The image's entry in the target's record.
fn entry(image: &PlannedImage) -> RecordedImage {
    let recorded = &image.recorded;
    let tags: Vec<Tag> = image.tags.iter().map(|planned| planned.tag.tag.clone()).collect();
    let git_sha_tag = recorded.git_sha_tag.tag.clone();
    RecordedImage {
        git_sha_tag: git_sha_tag.map_or(recorded.git_sha_tag.clone(), |tag| image.target.with_tag(tag)),
        repository: image.target.name(),
        image: image.target.with_digest(recorded.digest.clone()),
        digest: recorded.digest.clone(),
        tags,
        platforms: recorded.platforms.clone(),
    }
}
