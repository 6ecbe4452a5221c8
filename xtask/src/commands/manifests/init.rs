//! `manifests --init`: first manifests of the components that have none.

use std::collections::BTreeSet;

use anyhow::{Context, Result, anyhow, bail, ensure};
use camino::{Utf8Path, Utf8PathBuf};

use super::files::Manifests;
use super::plan::{PinPlan, plan_texts};
use crate::cli::ManifestsArgs;
use crate::commands::{Outcome, print};
use crate::gather::workspace::Workspace;
use crate::image::record::DigestRecord;
use crate::kubernetes::kustomization;
use crate::kubernetes::pinning::mark::Mark;
use crate::kubernetes::pinning::pin::Images;
use crate::kubernetes::placeholder;
use crate::kubernetes::scaffold::{self, Scaffold, namespace, object_name, with_resources};
use crate::system::files::{Replacement, replace_all};
use crate::workspace::manifest_settings::ManifestSource;
use crate::workspace::settings::tidy;

/// Writes them: the recorded image where there is one, else the placeholder.
pub(super) fn run(
    workspace: &Workspace,
    manifests: Manifests,
    record: Option<&DigestRecord>,
    arguments: &ManifestsArgs,
) -> Result<Outcome> {
    let existing: Vec<(Utf8PathBuf, String)> =
        manifests.files.iter().map(|file| (file.path.clone(), file.text.clone())).collect();
    let plan = plan_texts(workspace, manifests, record, Images::Placeholder, false)?;
    if !plan.refused.is_empty() {
        return Err(anyhow!("{}", plan.refused.join("\n")).context("what the manifests name cannot be told"));
    }
    let missing = without_manifest(workspace, &plan);
    if missing.is_empty() {
        eprintln!("nothing to write: manifests name every component");
        return Ok(Outcome::Done);
    }
    let files = files(workspace, record, &existing, &missing)?;
    let known = |path: &Utf8Path| existing.iter().find(|(known, _)| known == path);
    if !arguments.dry_run {
        let replacement = |(path, text): &(Utf8PathBuf, String)| Replacement {
            path: workspace.root().join(path),
            old: known(path).map(|(_, text)| text.clone().into_bytes()),
            new: text.clone().into_bytes(),
        };
        replace_all(&files.iter().map(replacement).collect::<Vec<_>>())?;
    }
    for (path, _) in &files {
        let verb = match (known(path).is_some(), arguments.dry_run) {
            (true, false) => "changed",
            (false, false) => "wrote",
            (true, true) => "would change",
            (false, true) => "would write",
        };
        print(&format!("{verb} {path}\n"))?;
    }
    for (name, _) in missing.iter().filter(|(_, port)| port.is_none()) {
        eprintln!("note: `{name}` has no `port` in `[package.metadata.docker]`, so nothing asks whether it is ready");
    }
    Ok(Outcome::Done)
}

/// Components, with their ports, that nothing names or looks like, and that are meant to be deployed.
fn without_manifest<'a>(workspace: &'a Workspace, plan: &PinPlan) -> Vec<(&'a str, Option<u16>)> {
    let named: BTreeSet<&str> = plan
        .files
        .iter()
        .flat_map(|file| {
            let named = file.pinned.images.iter().map(|image| &image.component);
            named.chain(file.pinned.near.iter().map(|miss| &miss.component)).map(String::as_str)
        })
        .collect();
    let settings = &workspace.packages.settings;
    let values =
        settings.manifests.iter().filter_map(ManifestSource::value).filter_map(|value| value.component.as_deref());
    let named: BTreeSet<&str> =
        named.into_iter().chain(values).chain(settings.undeployed.iter().map(String::as_str)).collect();
    let components = workspace.components.iter().filter(|component| !named.contains(component.name.as_str()));
    components.map(|component| (component.name.as_str(), component.package.settings.port)).collect()
}

/// The files to write, and those to change, by path.
fn files(
    workspace: &Workspace,
    record: Option<&DigestRecord>,
    existing: &[(Utf8PathBuf, String)],
    missing: &[(&str, Option<u16>)],
) -> Result<Vec<(Utf8PathBuf, String)>> {
    let folder = workspace.packages.settings.manifests.iter().find_map(|source| match source {
        ManifestSource::Path(path) => Some(tidy(path)).filter(|path| !workspace.root().join(path).is_file()),
        ManifestSource::Value(_) => None,
    });
    let folder = folder.context("`manifests` in `[workspace.metadata.docker]` names no folder to write to")?;
    let mut files = Vec::new();
    let mut names = Vec::new();
    for (component, port) in missing {
        let file = format!("{}.yaml", object_name(component));
        let path = folder.join(&file);
        // A link that leads nowhere is there, too.
        ensure!(
            workspace.root().join(&path).symlink_metadata().is_err(),
            "`{path}` exists, and does not name `{component}`"
        );
        let placeholder = || format!("{}{}", placeholder::reference(), Mark::comment(&[(*component).to_owned()]));
        let recorded = record.and_then(|record| record.images.get(*component));
        let image = recorded.map_or_else(placeholder, |image| image.image.to_string());
        files.push((path, Scaffold { component, port: *port, image }.manifest()));
        names.push(file);
    }
    let own = existing.iter().find(|(path, _)| path.parent() == Some(&folder) && kustomization::is_file(path));
    if let Some((path, text)) = own {
        let Some(new) = with_resources(text, path.file_name().unwrap_or_default(), &names) else {
            bail!("`{path}` has no list of `resources`, one a line, to add {} to", names.join(", "));
        };
        files.push((path.clone(), new));
    } else if existing.is_empty() {
        let space = object_name(workspace.root().file_name().unwrap_or_default());
        files.push((folder.join("namespace.yaml"), namespace(&space)));
        names.insert(0, "namespace.yaml".to_owned());
        files.push((folder.join("kustomization.yaml"), scaffold::kustomization(&space, &names)));
    }
    Ok(files)
}
