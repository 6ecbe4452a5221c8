//! `releases show`: one release.

use anyhow::Result;
use camino::Utf8Path;
use serde_json::json;

use super::document::Document;
use super::one;
use crate::cli::ReleaseShowArgs;
use crate::commands::chosen_release::{deployed_before, releases};
use crate::commands::environments::own_client;
use crate::commands::table::{bytes, table};
use crate::commands::{Outcome, print};
use crate::gather::ci::commit_link;
use crate::gather::workspace::Workspace;
use crate::image::promotion::LOCAL;
use crate::image::record::RecordedImage;
use crate::registry::StoredRelease;
use crate::system::git::Git;

const HEADER: [&str; 5] = ["COMPONENT", "VERSION", "SIZE", "PLATFORMS", "IMAGE"];

/// Prints the release.
pub(crate) fn run(manifest: Option<&Utf8Path>, arguments: &ReleaseShowArgs) -> Result<Outcome> {
    let workspace = Workspace::load(manifest, &[])?;
    let found = one(&workspace, &arguments.release, &arguments.output.registry)?;
    let text = match (arguments.output.json, arguments.output.markdown) {
        (true, _) => serde_json::to_string_pretty(&json!({ "digest": found.digest, "release": found.release }))? + "\n",
        (_, true) => document(&workspace, arguments, &found)?,
        _ => plain(&found),
    };
    print(&text)?;
    Ok(Outcome::Done)
}

fn plain(found: &StoredRelease) -> String {
    let lines: String = facts(found).into_iter().map(|(name, value)| format!("{name:<9} {value}\n")).collect();
    format!("{lines}\n{}", table(&HEADER, &rows(found, |image| image.image.to_string())))
}

fn document(workspace: &Workspace, arguments: &ReleaseShowArgs, found: &StoredRelease) -> Result<String> {
    let (name, options) = (arguments.release.as_str(), &arguments.output.registry);
    let is_environment = name == LOCAL || workspace.packages.settings.environments.contains_key(name);
    let environment = is_environment.then_some(name);
    let previous = match (environment, &found.release.previous) {
        (Some(name), _) => deployed_before(workspace, name, &found.digest, &options.insecure_registry)?,
        (None, Some(previous)) => {
            let client = own_client(&options.insecure_registry);
            releases(workspace, &client, options.registry.as_ref())?.by_digest(previous)?
        }
        (None, None) => None,
    };
    let message = Git::open(workspace.root())?.and_then(|git| git.message(&found.release.commit));
    if message.is_none() {
        eprintln!("note: git does not know the commit here, so its message is left out");
    }
    let repository = workspace.components.iter().find_map(|component| component.package.repository.as_deref());
    let link = commit_link(&found.release.commit, repository);
    Ok(Document { found, environment, previous, message, link }.text())
}

/// What is known of it, by name.
pub(super) fn facts(found: &StoredRelease) -> Vec<(&'static str, String)> {
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

/// Its components, and of each what `last` says of the image.
pub(super) fn rows(found: &StoredRelease, last: impl Fn(&RecordedImage) -> String) -> Vec<Vec<String>> {
    let components = found.release.components.iter();
    let row = components.map(|(name, component)| {
        let platforms: Vec<String> = component.image.platforms.keys().map(ToString::to_string).collect();
        let (version, size) = (component.version.clone(), bytes(component.image.size()));
        vec![name.clone(), version, size, platforms.join(" "), last(&component.image)]
    });
    row.collect()
}
