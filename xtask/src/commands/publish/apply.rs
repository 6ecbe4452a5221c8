//! Builds what the registry lacks and pushes it, by digest and under the tag of its inputs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};

use super::lookup::Decision;
use super::plan::PlannedComponent;
use crate::assemble::layout::Layout;
use crate::commands::build;
use crate::commands::build::apply::Built;
use crate::commands::build::plan::BuildPlan;
use crate::commands::table::bytes;
use crate::image::platform::Platform;
use crate::image::record::RecordedPlatform;
use crate::image::reference::{ImageReference, Repository, Tag};
use crate::registry::{Client, FetchedManifest, Transferred, transfer};
use crate::system::progress::Progress;
use crate::system::{interrupt, parallel};

/// Uploads at once when `--jobs` does not say.
pub(crate) const PARALLEL_UPLOADS: usize = 4;

/// A component's image, whole in the registry.
pub(crate) struct Published {
    pub(crate) name: String,
    pub(crate) repository: ImageReference,
    /// Its manifest or index.
    pub(crate) manifest: FetchedManifest,
    /// The image of each platform.
    pub(crate) platforms: BTreeMap<Platform, RecordedPlatform>,
    /// The input hash of each platform.
    pub(crate) hashes: BTreeMap<Platform, String>,
    /// What was sent; nothing when the image was there.
    pub(crate) sent: Option<Transferred>,
    /// Tags known to name it.
    pub(crate) named_by: BTreeSet<Tag>,
}

impl Published {
    /// Gives it a tag, unless it has it.
    pub(crate) fn tag(&self, client: &Client, tag: &Tag, is_immutable: bool) -> Result<()> {
        if self.named_by.contains(tag) {
            return Ok(());
        }
        client.tag(&self.repository, tag, is_immutable, &self.manifest)
    }
}

pub(crate) type Outcomes = BTreeMap<String, Result<Published>>;

/// Carries the plan out, tags apart. A component's failure does not stop the others.
///
/// # Errors
/// What stops all: the compiler cannot be run, the layout cannot be opened.
pub(crate) fn apply(
    client: &Client,
    mut build: BuildPlan<'_>,
    planned: Vec<PlannedComponent>,
    uploads: usize,
    progress: &Progress,
) -> Result<Outcomes> {
    let mut outcomes = Outcomes::new();
    let mut to_push = Vec::new();
    // Images share blobs: a repository that is there has some of them.
    let mut mount_from: Vec<Repository> = Vec::new();
    let mut to_build = Vec::new();
    for (image, component) in build.images.into_iter().zip(planned) {
        match component.decision {
            Decision::Adopt { image, named_by, .. } => {
                let PlannedComponent { name, repository, inputs_tag, hashes, .. } = component;
                mount_from = vec![repository.repository.clone()];
                let platforms = image.recorded();
                let (key, manifest) = (name.clone(), image.manifest);
                let published = Published { name, repository, manifest, platforms, hashes, sent: None, named_by };
                // Found by another tag, it gets that of its inputs, which the next run asks for.
                let tagged = published.tag(client, &inputs_tag, false);
                outcomes.insert(key, tagged.map(|()| published));
            }
            Decision::Build { .. } => {
                to_build.push(image);
                to_push.push(component);
            }
        }
    }
    if to_push.is_empty() {
        return Ok(outcomes);
    }
    build.images = to_build;
    let (layout, results) = build::apply::apply(&build, progress)?;
    let mut work = Vec::new();
    for (component, (_, built)) in to_push.into_iter().zip(results) {
        match built {
            Ok(built) => work.push((component, built)),
            Err(error) => drop(outcomes.insert(component.name, Err(error))),
        }
    }
    let pushed = parallel::map(work, uploads, |(component, built)| {
        (component.name.clone(), push(client, &layout, component, built, &mount_from, uploads, progress))
    });
    outcomes.extend(pushed);
    Ok(outcomes)
}

fn push(
    client: &Client,
    layout: &Layout,
    PlannedComponent { name, repository, inputs_tag, hashes, .. }: PlannedComponent,
    built: Built,
    mount_from: &[Repository],
    uploads: usize,
    progress: &Progress,
) -> Result<Published> {
    let manifest = FetchedManifest { bytes: layout.read_document(&built.descriptor)?, descriptor: built.descriptor };
    let platforms: BTreeMap<Platform, RecordedPlatform> = built
        .platforms
        .into_iter()
        .map(|image| {
            let recorded = RecordedPlatform { digest: image.manifest.digest, config: image.config, size: image.size };
            (image.platform, recorded)
        })
        .collect();
    let total = bytes(platforms.values().map(|image| image.size).sum());
    let task = progress.task(&name, &format!("pushing {total} to {}", repository.name()));
    let sent_bytes = AtomicU64::new(0);
    let on_bytes = |count: u64| {
        let sent = sent_bytes.fetch_add(count, Ordering::Relaxed) + count;
        task.update(&format!("pushed {} of {total}", bytes(sent)));
    };
    let transferred = transfer(client, layout, &manifest.descriptor, &repository, mount_from, uploads, &on_bytes);
    let tagged = transferred.and_then(|sent| client.tag(&repository, &inputs_tag, false, &manifest).map(|()| sent));
    match tagged.with_context(|| format!("cannot push `{name}` to `{}`", repository.name())) {
        Ok(sent) => {
            let done = match sent.uploaded + sent.mounted + sent.manifests {
                0 => format!("{} had it already", repository.name()),
                _ => format!("pushed {} to {}", bytes(sent.sent_bytes), repository.name()),
            };
            task.done(&done);
            interrupt::note(format!("pushed {}@{}", repository.name(), manifest.descriptor.digest));
            Ok(Published { name, repository, manifest, platforms, hashes, sent: Some(sent), named_by: BTreeSet::new() })
        }
        Err(error) => {
            task.done("not pushed");
            Err(error)
        }
    }
}
