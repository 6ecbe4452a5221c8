//! `releases show`: one release.

use anyhow::Result;
use camino::Utf8Path;
use serde_json::json;

use super::one;
use crate::cli::ReleaseShowArgs;
use crate::commands::table::{bytes, markdown_table, table};
use crate::commands::{Outcome, print};
use crate::gather::workspace::Workspace;
use crate::registry::StoredRelease;

const HEADER: [&str; 5] = ["COMPONENT", "VERSION", "SIZE", "PLATFORMS", "IMAGE"];

/// Prints the release.
pub(crate) fn run(manifest: Option<&Utf8Path>, arguments: &ReleaseShowArgs) -> Result<Outcome> {
    let workspace = Workspace::load(manifest, &[])?;
    let found = one(&workspace, &arguments.release, &arguments.output.registry)?;
    let text = match (arguments.output.json, arguments.output.markdown) {
        (true, _) => serde_json::to_string_pretty(&json!({ "digest": found.digest, "release": found.release }))? + "\n",
        (_, true) => markdown(&found),
        _ => plain(&found),
    };
    print(&text)?;
    Ok(Outcome::Done)
}

fn plain(found: &StoredRelease) -> String {
    let lines: String = facts(found).into_iter().map(|(name, value)| format!("{name:<9} {value}\n")).collect();
    format!("{lines}\n{}", table(&HEADER, &rows(found)))
}

fn markdown(found: &StoredRelease) -> String {
    let lines: String = facts(found).into_iter().map(|(name, value)| format!("- {name}: `{value}`\n")).collect();
    format!("{lines}\n{}", markdown_table(&HEADER, &rows(found)))
}

fn facts(found: &StoredRelease) -> Vec<(&'static str, String)> {
    let release = &found.release;
    let tags: Vec<&str> = release.tags.iter().map(|tag| tag.as_str()).collect();
    let facts = [
        ("release", Some(found.digest.to_string())),
        ("commit", Some(release.commit.clone())),
        ("ref", release.reference.clone()),
        ("tags", Some(tags.join(" "))),
        ("previous", release.previous.as_ref().map(ToString::to_string)),
    ];
    facts.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

fn rows(found: &StoredRelease) -> Vec<Vec<String>> {
    let row = |(name, component): (&String, &crate::image::release::ReleasedComponent)| {
        let platforms: Vec<String> = component.image.platforms.keys().map(ToString::to_string).collect();
        let (version, size) = (component.version.clone(), bytes(component.image.size()));
        vec![name.clone(), version, size, platforms.join(" "), component.image.image.to_string()]
    };
    found.release.components.iter().map(row).collect()
}
