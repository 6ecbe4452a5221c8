//! What a publication says: its plan, and its end.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use camino::Utf8Path;

use super::apply::Published;
use super::lookup::Decision;
use super::plan::PlannedComponent;
use crate::commands::build;
use crate::commands::build::plan::BuildPlan;
use crate::commands::summary;
use crate::commands::table::{bytes, table};
use crate::image::part::Part;
use crate::image::record::{DigestRecord, RecordedImage};
use crate::image::reference::ImageReference;
use crate::image::tags::{ImageTag, Tags};

/// What is built and what is adopted, and why; a line each.
pub(crate) fn decisions(planned: &[PlannedComponent]) -> String {
    planned
        .iter()
        .map(|component| match &component.decision {
            Decision::Adopt { image, why, .. } => format!("adopt  {}: {why} ({})\n", component.name, image.digest()),
            Decision::Build { why } => format!("build  {}: {why}\n", component.name),
        })
        .collect()
}

/// The plan of a dry run, builds apart.
pub(crate) fn plan(
    planned: &[PlannedComponent],
    tags: &Tags,
    carried: &BTreeMap<String, RecordedImage>,
    release: &ImageReference,
    path: &Utf8Path,
) -> String {
    let mut text = decisions(planned) + &self::tags(planned, tags);
    for (name, image) in carried {
        text.push_str(&format!("carry  {name}: {}\n", image.digest));
    }
    // Without tags nothing is released.
    if !tags.all.is_empty() {
        text.push_str(&format!("write  release {release}\n"));
    }
    text + &format!("write  {path}\n")
}

/// The tags that are set, a line each.
pub(crate) fn tags(planned: &[PlannedComponent], tags: &Tags) -> String {
    let kind = |is_immutable: bool| if is_immutable { "" } else { " (may move)" };
    let line = |component: &PlannedComponent, tag: &ImageTag| {
        format!("tag    {}:{}{}\n", component.repository.name(), tag.tag, kind(tag.is_immutable))
    };
    planned.iter().flat_map(|component| tags.all.iter().map(move |tag| line(component, tag))).collect()
}

/// The commands that build what the registry lacks.
pub(crate) fn builds(mut build: BuildPlan<'_>, planned: &[PlannedComponent]) -> Result<String> {
    let is_built = |component: &&PlannedComponent| component.is_built();
    let built: BTreeSet<&str> = planned.iter().filter(is_built).map(|component| component.name.as_str()).collect();
    build.images.retain(|image| built.contains(image.component.name.as_str()));
    match build.images.is_empty() {
        true => Ok(String::new()),
        false => build::report::dry_run(&build),
    }
}

/// The table of what was published, or the record.
pub(crate) fn published(record: &DigestRecord, previous: &DigestRecord, as_json: bool) -> Result<String> {
    if as_json {
        return Ok(record.to_text());
    }
    let rows: Vec<_> = record
        .images
        .iter()
        .map(|(name, image)| {
            vec![
                name.clone(),
                image.git_sha_tag.to_string(),
                bytes(image.size()),
                summary::change(image, previous.images.get(name)),
                image.digest.to_string(),
            ]
        })
        .collect();
    Ok(table(&["COMPONENT", "IMAGE", "SIZE", "CHANGE", "DIGEST"], &rows))
}

/// The table of what was pushed by digest, or the part.
pub(crate) fn part(published: &[Published], json: Option<&Part>) -> Result<String> {
    if let Some(part) = json {
        return Ok(part.to_text());
    }
    let rows: Vec<_> = published
        .iter()
        .flat_map(|image| image.platforms.iter().map(move |(platform, recorded)| (image, platform, recorded)))
        .map(|(image, platform, recorded)| {
            vec![image.name.clone(), platform.to_string(), bytes(recorded.size), recorded.digest.to_string()]
        })
        .collect();
    Ok(table(&["COMPONENT", "PLATFORM", "SIZE", "DIGEST"], &rows))
}
