//! The end of a publication: tags, then the files that say what was published.

use anyhow::{Context, Result, anyhow, bail};
use camino::Utf8Path;

use super::apply::{Outcomes, Published};
use crate::commands::summary;
use crate::errors::{hinted, shown};
use crate::gather::record;
use crate::gather::workspace::Workspace;
use crate::image::record::{DigestRecord, RecordedImage};
use crate::image::reference::Tag;
use crate::image::service_manifest::{SERVICE_MANIFEST_PATH, ServiceManifest};
use crate::image::tags::Tags;
use crate::registry::Client;
use crate::registry::tag_images::{Untagged, tag_all};
use crate::system::environment::variable;
use crate::system::files::{append, write_durably};
use crate::system::progress::Progress;
use crate::system::{interrupt, parallel};

/// The images of all components, or an error once all failures and all that was pushed are named.
pub(crate) fn all_or_what_was_pushed(outcomes: Outcomes, progress: &Progress) -> Result<Vec<Published>> {
    let mut published = Vec::new();
    let mut failed = Vec::new();
    for (name, outcome) in outcomes {
        match outcome {
            Ok(image) => published.push(image),
            Err(error) => {
                eprint!("{name}: {}", shown(&error));
                failed.push(name);
            }
        }
    }
    if failed.is_empty() {
        return Ok(published);
    }
    for image in published.iter().filter(|image| image.sent.is_some()) {
        progress.say(&format!("pushed {}@{}, without tags", image.repository.name(), image.manifest.descriptor.digest));
    }
    bail!(hinted(
        format!("not published: {}; the digest record is as it was", failed.join(", ")),
        "what was pushed is found again by its inputs: the next run pushes only the rest"
    ))
}

/// Demands that no image grew by more than its `max-growth` lets it, while no tag has moved yet.
///
/// # Errors
/// One did; CI's summary says so, too.
pub(crate) fn check_growth(workspace: &Workspace, fresh: &DigestRecord, previous: &DigestRecord) -> Result<()> {
    let grown = summary::grown(workspace, fresh, previous).into_iter().filter(|grown| grown.is_error);
    let lines: Vec<String> = grown.map(|grown| grown.line).collect();
    if lines.is_empty() {
        return Ok(());
    }
    if let Some(file) = variable("GITHUB_STEP_SUMMARY") {
        lines.iter().for_each(|line| eprintln!("::error::{line}"));
        let said: String = lines.iter().map(|line| format!("\n> [!CAUTION]\n> {line}\n")).collect();
        append(Utf8Path::new(&file), &format!("## Not published\n{said}\n"))
            .context("cannot write `GITHUB_STEP_SUMMARY`")?;
    }
    interrupt::forget_notes();
    bail!(hinted(
        format!("{}\nno tag was set, and the digest record is as it was", lines.join("\n")),
        "to accept it, raise `error` of `max-growth` in the member's `Cargo.toml`"
    ))
}

/// Gives all images all tags.
pub(crate) fn tag(client: &Client, published: &[Published], tags: &Tags, progress: &Progress) -> Result<()> {
    let images: Vec<_> = published
        .iter()
        .map(|image| Untagged {
            repository: &image.repository,
            manifest: &image.manifest,
            tags: tags.all.iter().filter(|tag| !image.named_by.contains(&tag.tag)).collect(),
        })
        .collect();
    tag_all(client, &images, parallel::REQUESTS, progress).map(drop)
}

/// What an interrupt says until the record is written.
pub(crate) fn note_unwritten(path: &Utf8Path) {
    interrupt::note(format!("`{path}` is as it was; what was pushed is found again by the next run"));
}

/// The record of `published` alone.
pub(crate) fn record(published: &[Published], tags: &Tags) -> DigestRecord {
    let all: Vec<Tag> = tags.all.iter().map(|tag| tag.tag.clone()).collect();
    let fresh = published.iter().map(|image| {
        let digest = image.manifest.descriptor.digest.clone();
        let entry =
            RecordedImage::new(&image.repository, digest, tags.commit.clone(), all.clone(), image.platforms.clone());
        (image.name.clone(), entry)
    });
    DigestRecord { images: fresh.collect() }
}

/// Writes the record, the service manifest and what CI reads, and says which images grew too much.
///
/// # Errors
/// Files that cannot be written; each is whole or as it was.
pub(crate) fn write(
    workspace: &Workspace,
    path: &Utf8Path,
    record: &DigestRecord,
    previous: &DigestRecord,
    tags: &Tags,
    asked: &[Tag],
    progress: &Progress,
) -> Result<()> {
    let written = interrupt::uninterrupted(|| {
        interrupt::forget_notes();
        record::write(path, record)
    });
    written.context("the images are pushed and tagged, but the digest record is as it was; run it again")?;
    let tag = asked.first().unwrap_or(&tags.commit);
    let images = record.images.iter().map(|(name, image)| {
        // What is carried on has not got this build's tag.
        let reference = match image.tags.contains(tag) {
            true => image.image.with_tag(tag.clone()),
            false => image.git_sha_tag.clone(),
        };
        (name.clone(), reference)
    });
    write_service_manifest(workspace, &ServiceManifest::new(tag, true, images.collect()))?;
    if let Some(output) = variable("GITHUB_OUTPUT") {
        append(Utf8Path::new(&output), &summary::outputs(record)).context("cannot write `GITHUB_OUTPUT`")?;
    }
    let grown: Vec<String> = summary::grown(workspace, record, previous).into_iter().map(|grown| grown.line).collect();
    grown.iter().for_each(|line| progress.warn(&anyhow!(line.clone())));
    if let Some(file) = variable("GITHUB_STEP_SUMMARY") {
        // A command of GitHub's runner: it marks the run.
        grown.iter().for_each(|line| eprintln!("::warning::{line}"));
        append(Utf8Path::new(&file), &summary::markdown(summary::Kind::Published, record, previous, &grown))
            .context("cannot write `GITHUB_STEP_SUMMARY`")?;
    }
    Ok(())
}

pub(crate) fn write_service_manifest(workspace: &Workspace, manifest: &ServiceManifest) -> Result<()> {
    write_durably(&workspace.root().join(SERVICE_MANIFEST_PATH), manifest.to_text().as_bytes())
}
