//! `components`: what would become an image.

mod inputs;

use anyhow::{Context, Result};
use camino::Utf8Path;
use serde_json::json;

use super::filter::choose;
use super::table::table;
use super::{Outcome, print};
use crate::cli::ComponentsArgs;
use crate::gather::ci::repository_owner;
use crate::gather::workspace::Workspace;
use crate::image::reference::{ImageReference, Registry};
use crate::system::environment::variable;
use crate::workspace::settings::{WorkspaceSettings, repository_name};

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
    let images: Vec<_> =
        chosen.components.iter().map(|component| image_name(&workspace, &component.name)).collect::<Result<_>>()?;
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

/// Registry and repository of a component's images: `CI_REGISTRY` and the owner that CI
/// tells win over the settings.
pub(crate) fn image_name(workspace: &Workspace, component: &str) -> Result<ImageReference> {
    image_name_in(workspace, component, None)
}

/// As [`image_name`], in `registry` when one is given.
pub(crate) fn image_name_in(
    workspace: &Workspace,
    component: &str,
    registry: Option<&Registry>,
) -> Result<ImageReference> {
    let settings = &workspace.packages.settings;
    let wrong = || format!("`registry` and `repository` give no valid image name for `{component}`");
    let registry = match registry {
        Some(registry) => registry.clone(),
        None => own_registry(settings).with_context(wrong)?,
    };
    let repository = repository_name(&settings.repository, component, repository_owner().as_deref());
    Ok(ImageReference::new(registry, repository.parse().with_context(wrong)?))
}

/// The registry of the workspace's images: `CI_REGISTRY` wins over the settings.
pub(crate) fn own_registry(settings: &WorkspaceSettings) -> Result<Registry> {
    variable("CI_REGISTRY").unwrap_or_else(|| settings.registry.clone()).parse()
}
