//! `components`: what would become an image.

use anyhow::Result;
use camino::Utf8Path;
use serde_json::json;

use super::filter::choose;
use super::table::table;
use super::{Outcome, print};
use crate::cli::ComponentsArgs;
use crate::system::workspace::Workspace;
use crate::workspace::settings::repository_name;

/// Lists the chosen components.
pub(crate) fn run(manifest: Option<&Utf8Path>, arguments: &ComponentsArgs) -> Result<Outcome> {
    let workspace = Workspace::load(manifest, &[])?;
    let chosen = choose(&workspace, &arguments.filter)?;
    let settings = &workspace.packages.settings;
    let image = |name: &str| {
        let repository = repository_name(&settings.repository, name, owner().as_deref());
        format!("{}/{repository}", settings.registry)
    };
    if arguments.json {
        let list: Vec<_> = chosen
            .components
            .iter()
            .map(|component| {
                json!({
                    "name": component.name,
                    "crate": component.package.name,
                    "folder": component.package.folder,
                    "version": component.package.version,
                    "closure": component.closure,
                    "port": component.package.settings.port,
                    "image": image(&component.name),
                    "affected": chosen.reasons.get(&component.name).map(ToString::to_string),
                })
            })
            .collect();
        print(&(serde_json::to_string_pretty(&list)? + "\n"))?;
        return Ok(Outcome::Done);
    }
    let with_reason = !chosen.reasons.is_empty();
    let rows: Vec<_> = chosen
        .components
        .iter()
        .map(|component| {
            let closure: Vec<_> = component.closure.iter().map(|folder| folder_name(folder)).collect();
            let mut row = vec![
                component.name.clone(),
                component.package.name.clone(),
                component.package.version.clone(),
                component.package.settings.port.map_or("-".to_owned(), |port| port.to_string()),
                image(&component.name),
                closure.join(" "),
            ];
            row.extend(chosen.reasons.get(&component.name).map(ToString::to_string));
            row
        })
        .collect();
    let mut header = vec!["COMPONENT", "CRATE", "VERSION", "PORT", "IMAGE", "CLOSURE"];
    if with_reason {
        header.push("CHANGED");
    }
    if rows.is_empty() {
        eprintln!("no component {}", if arguments.filter.affected.is_some() { "is affected" } else { "here" });
    } else {
        print(&table(&header, &rows))?;
    }
    Ok(Outcome::Done)
}

fn folder_name(folder: &Utf8Path) -> &str {
    if folder.as_str().is_empty() { "." } else { folder.as_str() }
}

/// The owner part of `GITHUB_REPOSITORY`.
pub(crate) fn owner() -> Option<String> {
    let repository = std::env::var("GITHUB_REPOSITORY").ok()?;
    repository.split_once('/').map(|(owner, _)| owner.to_owned()).filter(|owner| !owner.is_empty())
}
