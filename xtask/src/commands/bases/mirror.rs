//! `bases --mirror`: copies images by digest to where builds pull them from.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, bail};
use serde::Serialize;

use super::{Listed, State};
use crate::cli::BasesArgs;
use crate::commands::table::{bytes, table};
use crate::commands::{Outcome, print};
use crate::errors::{all, hinted};
use crate::gather::workspace::Workspace;
use crate::image::images_lock::{IMAGES_LOCK, Mirror, UPDATE, keeping_tag};
use crate::image::reference::{Digest, ImageReference};
use crate::registry::{Client, Found, RegistrySource, transfer};
use crate::system::parallel;
use crate::system::progress::Progress;

/// Blobs of an image that are copied at once.
const JOBS: usize = 4;

/// An image, and where its copy is.
#[derive(Serialize)]
struct Mirrored {
    image: String,
    copy: ImageReference,
    /// Nothing where it was there already, or is only planned.
    sent_bytes: Option<u64>,
}

/// Copies what the mirror lacks.
///
/// # Errors
/// No mirror is named; a tag that nothing holds to a digest; images that cannot be copied.
pub(super) fn run(
    workspace: &Workspace,
    client: &Client,
    listed: Vec<Listed>,
    named: Option<&Mirror>,
    arguments: &BasesArgs,
) -> Result<Outcome> {
    let set = workspace.packages.settings.mirror.as_ref();
    let Some(mirror) = named.or(set) else {
        bail!(hinted("no mirror is named", "write `--mirror REGISTRY`, or set `mirror` in the settings"));
    };
    if let Some(image) = listed.iter().find(|image| image.state == State::Unlocked) {
        let error = format!("`{}` is not in `{IMAGES_LOCK}`, so nothing says what to copy", image.image);
        bail!(hinted(error, format!("run {UPDATE}")));
    }
    for image in listed.iter().filter(|image| image.state == State::Local) {
        eprintln!("{} is left to the engine, and not copied", image.image);
    }
    let images = listed.into_iter().filter_map(|image| Some((image.image, image.reference?, image.digest?))).collect();
    let progress = Progress::new();
    let copied = parallel::map(images, JOBS, |(image, reference, digest): (String, ImageReference, Digest)| {
        let copy = ImageReference { digest: Some(digest), ..mirror.place(&reference)? };
        let sent_bytes = match arguments.dry_run {
            true => None,
            false => copy_image(client, &image, &reference, &copy, &progress)
                .with_context(|| format!("cannot copy `{image}` to `{mirror}`"))?,
        };
        Ok(Mirrored { image, copy, sent_bytes })
    });
    let copied = all(copied)?;
    match arguments.json {
        true => print(&(serde_json::to_string_pretty(&copied)? + "\n"))?,
        false => {
            let what = |image: &Mirrored| match image.sent_bytes {
                Some(sent) => bytes(sent),
                None if arguments.dry_run => "would be copied".to_owned(),
                None => "there".to_owned(),
            };
            let rows = copied.iter().map(|image| vec![image.image.clone(), what(image), image.copy.to_string()]);
            print(&table(&["IMAGE", "COPIED", "COPY"], &rows.collect::<Vec<_>>()))?;
        }
    }
    if set != Some(mirror) {
        eprintln!("builds pull from there with `mirror = \"{mirror}\"` in `[workspace.metadata.docker]`");
    }
    Ok(Outcome::Done)
}

/// Copies one image unless all of it is there, and has a tag keep it.
fn copy_image(
    client: &Client,
    name: &str,
    from: &ImageReference,
    copy: &ImageReference,
    progress: &Progress,
) -> Result<Option<u64>> {
    let digest = copy.digest.as_ref().context("a copy has a digest")?;
    let target = copy.with_digest(digest.clone());
    let mut sent_bytes = None;
    if !matches!(client.find(&target)?, Found::Whole(_)) {
        let reference = from.with_digest(digest.clone());
        let descriptor = client.get_manifest(&reference)?.descriptor;
        let task = progress.task(name, &format!("copying to {}", copy.name()));
        let sent = AtomicU64::new(0);
        let on_bytes = |count: u64| {
            let sent = sent.fetch_add(count, Ordering::Relaxed) + count;
            task.update(&format!("copied {} to {}", bytes(sent), copy.name()));
        };
        let source = RegistrySource { client, reference };
        let done = transfer(client, &source, &descriptor, &target, &[], JOBS, &on_bytes)?;
        task.done(&format!("copied {} to {}", bytes(done.sent_bytes), copy.name()));
        sent_bytes = Some(done.sent_bytes);
    }
    let copied = client.get_manifest(&target).with_context(|| format!("`{target}` cannot be read after the copy"))?;
    client.tag(&target, &keeping_tag(digest), true, &copied)?;
    Ok(sent_bytes)
}
