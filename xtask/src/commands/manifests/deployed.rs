//! Which recorded components no manifest names, and what looks like theirs.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use camino::Utf8PathBuf;

use super::files::PlannedFile;
use crate::gather::workspace::Workspace;
use crate::image::record::DigestRecord;
use crate::kubernetes::image_owners::without_selector;
use crate::kubernetes::pinning::naming::{Likeness, NearMiss};
use crate::workspace::names::did_you_mean;

/// A recorded component that nothing applied names.
pub(super) struct Undeployed {
    pub(super) name: String,
    /// The reference that would name it.
    pub(super) image: String,
    /// Images that look like its own.
    pub(super) near: Vec<Place>,
    /// A file that names it, and that no kustomization includes.
    pub(super) unused: Option<Utf8PathBuf>,
}

/// Where an image is written.
pub(super) struct Place {
    pub(super) file: Utf8PathBuf,
    pub(super) line: usize,
    pub(super) text: String,
}

/// Every name in `undeployed` is a component's.
pub(super) fn check_settings(workspace: &Workspace) -> Result<()> {
    let names = workspace.component_names();
    for name in &workspace.packages.settings.undeployed {
        if !names.contains(&name.as_str()) {
            let hint = did_you_mean(&[name], names.iter().copied());
            bail!("`undeployed` in `[workspace.metadata.docker]` names `{name}`, which is no component{hint}");
        }
    }
    Ok(())
}

/// The components that the applied ones of `files` name. With `all_seen`, an entry of a kustomization counts only
/// when there is an image that it replaces.
pub(super) fn named<'a>(files: impl Iterator<Item = &'a PlannedFile>, all_seen: bool) -> impl Iterator<Item = &'a str> {
    let applied: Vec<_> = files.filter(|file| file.manifest.is_applied).collect();
    let all = || applied.iter().copied();
    let names: BTreeSet<&str> = all().flat_map(|file| &file.pinned.names).map(String::as_str).collect();
    let overridden: BTreeSet<&str> = all().flat_map(|file| &file.pinned.overridden).map(String::as_str).collect();
    applied
        .into_iter()
        .flat_map(|file| &file.pinned.images)
        .filter(move |image| match &image.replaces {
            Some(name) => !all_seen || names.contains(name.as_str()),
            // An entry wins over what it replaces.
            None => !overridden.contains(without_selector(&image.from)),
        })
        .map(|image| image.component.as_str())
}

/// The components of `record` that are not `named` and that the settings do not except.
pub(super) fn undeployed(
    workspace: &Workspace,
    record: &DigestRecord,
    files: &[PlannedFile],
    named: &BTreeSet<String>,
) -> Vec<Undeployed> {
    let excepted = &workspace.packages.settings.undeployed;
    let components = workspace.component_names().into_iter();
    components
        .filter(|name| !named.contains(*name) && !excepted.iter().any(|excepted| excepted == name))
        .filter_map(|name| record.images.get_key_value(name))
        .map(|(name, image)| Undeployed {
            name: name.clone(),
            image: image.image.to_string(),
            near: near(files).filter(|(_, miss)| miss.component == *name).map(place).collect(),
            unused: files
                .iter()
                .filter(|file| !file.manifest.is_applied)
                .find(|file| file.pinned.images.iter().any(|image| image.component == *name))
                .map(|file| file.manifest.path.clone()),
        })
        .collect()
}

/// What names an image of ours in `file` where no container does, and so was not replaced.
pub(super) fn notes(file: &PlannedFile) -> Vec<String> {
    let path = &file.manifest.path;
    let left = file.pinned.left.iter();
    left.map(|(line, text)| format!("`{path}:{line}`: `{text}` is not the image of a container, and is left alone"))
        .collect()
}

/// What looks like an image of a component that other places do name.
pub(super) fn alike(files: &[PlannedFile], undeployed: &[Undeployed]) -> Vec<String> {
    near(files)
        // Many a container is called as a component is; its image says that it is another.
        .filter(|(_, miss)| miss.likeness != Likeness::Container)
        .filter(|(_, miss)| !undeployed.iter().any(|component| component.name == miss.component))
        .map(|(file, miss)| {
            let NearMiss { line, component, text, .. } = miss;
            format!(
                "`{}:{line}`: `{text}` looks like `{component}` and is no image of it; it is left alone",
                file.manifest.path
            )
        })
        .collect()
}

/// Near misses that no kustomization replaces by an image of ours.
fn near(files: &[PlannedFile]) -> impl Iterator<Item = (&PlannedFile, &NearMiss)> {
    let replaced: BTreeSet<&str> =
        files.iter().flat_map(|file| &file.pinned.images).filter_map(|image| image.replaces.as_deref()).collect();
    files
        .iter()
        .flat_map(|file| file.pinned.near.iter().map(move |miss| (file, miss)))
        .filter(move |(_, miss)| !replaced.contains(without_selector(&miss.text)))
}

fn place((file, miss): (&PlannedFile, &NearMiss)) -> Place {
    Place { file: file.manifest.path.clone(), line: miss.line, text: miss.text.clone() }
}
