//! `components`: what would become an image.

mod inputs;

use anyhow::Result;
use camino::Utf8Path;
use serde_json::json;

use super::filter::choose;
use super::table::table;
use super::{Outcome, print};
use crate::cli::ComponentsArgs;
use crate::gather::repositories::repository;
use crate::gather::workspace::Workspace;

/// Lists the chosen components.
pub(crate) fn run(manifest: Option<&Utf8Path>, arguments: &ComponentsArgs) -> Result<Outcome> {
    if arguments.inputs {
        return inputs::list(manifest, arguments);
    }
    let workspace = Workspace::load(manifest, &[])?;
    if let [from, to] = arguments.why.as_slice() {
        return inputs::differences(&workspace, arguments, from, to);
    }
    let chosen = choose(&workspace, &arguments.filter)?;
    let images: Vec<_> = chosen
        .components
        .iter()
        .map(|component| repository(&workspace, &component.name, None))
        .collect::<Result<_>>()?;
    if arguments.json {
        let list: Vec<_> = chosen
            .components
            .iter()
            .zip(&images)
            .map(|(component, image)| {
                json!({
                    "name": component.name,
                    "crate": component.package.name,
                    "folder": component.package.folder,
                    "version": component.package.version,
                    "closure": component.closure,
                    "port": component.package.settings.port,
                    "image": image.name(),
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
        .zip(&images)
        .map(|(component, image)| {
            let closure: Vec<_> = component.closure.iter().map(|folder| folder_name(folder)).collect();
            let mut row = vec![
                component.name.clone(),
                component.package.name.clone(),
                component.package.version.clone(),
                component.package.settings.port.map_or("-".to_owned(), |port| port.to_string()),
                image.name(),
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
