//! What a build that pushes nothing adds to CI's summary: what a pull request would publish.

use anyhow::{Context, Result, anyhow};
use camino::Utf8Path;

use super::apply::Results;
use super::plan::BuildPlan;
use crate::commands::chosen_release::releases;
use crate::commands::environments::own_client;
use crate::commands::summary::{Kind, grown, markdown};
use crate::gather::workspace::Workspace;
use crate::image::assembled::AssembledPlatform;
use crate::image::record::{DigestRecord, RecordedImage, RecordedPlatform};
use crate::image::reference::Tag;
use crate::image::tags::branch_tag;
use crate::system::environment::variable;
use crate::system::files::append;
use crate::system::progress::Progress;

/// Adds the images to the summary, beside what the branch has that they are to go to.
///
/// # Errors
/// The summary's file cannot be written.
pub(crate) fn add(plan: &BuildPlan<'_>, results: &Results<'_, '_>, progress: &Progress) -> Result<()> {
    let Some(file) = variable("GITHUB_STEP_SUMMARY") else { return Ok(()) };
    let built = built(results);
    let (previous, note) = match published(plan.workspace) {
        Ok(record) => (like(record, &built), String::new()),
        Err(error) => (DigestRecord::default(), format!("Compared with nothing: {error:#}\n")),
    };
    let grown: Vec<String> = grown(plan.workspace, &built, &previous).into_iter().map(|grown| grown.line).collect();
    for line in &grown {
        progress.warn(&anyhow!(line.clone()));
        // A command of GitHub's runner: it marks the run.
        eprintln!("::warning::{line}");
    }
    let failed = results.iter().filter(|(_, built)| built.is_err());
    let failed: String = failed.map(|(image, _)| format!("- `{}` was not built\n", image.component.name)).collect();
    write(&file, &(markdown(Kind::Built, &built, &previous, &grown) + &failed + &note))
}

/// Adds that there is nothing to build, and why.
///
/// # Errors
/// As [`add`].
pub(crate) fn add_nothing(why: &str) -> Result<()> {
    let Some(file) = variable("GITHUB_STEP_SUMMARY") else { return Ok(()) };
    write(&file, &format!("{}Nothing: {why}.\n", Kind::Built.heading()))
}

fn write(file: &str, text: &str) -> Result<()> {
    append(Utf8Path::new(file), text).context("cannot write `GITHUB_STEP_SUMMARY`")
}

/// The images as the digest record would have them.
fn built(results: &Results<'_, '_>) -> DigestRecord {
    let recorded = |platform: &AssembledPlatform| {
        let AssembledPlatform { manifest, config, size, .. } = platform;
        let image = RecordedPlatform { digest: manifest.digest.clone(), config: config.clone(), size: *size };
        (platform.platform.clone(), image)
    };
    let images = results.iter().filter_map(|(image, built)| {
        let built = built.as_ref().ok()?;
        let tags: Vec<Tag> = image.references.iter().filter_map(|reference| reference.tag.clone()).collect();
        let (name, digest) = (image.references.first()?, built.descriptor.digest.clone());
        let platforms = built.platforms.iter().map(recorded).collect();
        Some((image.component.name.clone(), RecordedImage::new(name, digest, tags.first()?.clone(), tags, platforms)))
    });
    DigestRecord { images: images.collect() }
}

/// What the branch published that a pull request goes to.
fn published(workspace: &Workspace) -> Result<DigestRecord> {
    let branch = variable("GITHUB_BASE_REF").context("no `GITHUB_BASE_REF` names a branch")?;
    let client = own_client(&[]);
    let releases = releases(workspace, &client, None)?;
    let found = releases.tagged(&branch_tag(&branch))?;
    Ok(found.with_context(|| format!("branch `{branch}` published nothing yet"))?.release.record())
}

/// Of `record` only the platforms that `built` has: sizes of others are none to compare with. An image of one platform
/// is named by its manifest.
fn like(mut record: DigestRecord, built: &DigestRecord) -> DigestRecord {
    for (name, image) in &mut record.images {
        let Some(built) = built.images.get(name) else { continue };
        image.platforms.retain(|platform, _| built.platforms.contains_key(platform));
        if let [one] = image.platforms.values().collect::<Vec<_>>()[..] {
            image.digest = one.digest.clone();
        }
    }
    record.images.retain(|_, image| !image.platforms.is_empty());
    record
}
