//! The files that a component's settings put into its image, checked before anything is compiled.

use anyhow::Result;
use camino::Utf8Path;

use super::workspace::Workspace;
use crate::image::root_files::root_files;
use crate::workspace::assets::{PlacedAsset, check, path_in_image};
use crate::workspace::components::Component;

/// Refuses assets of `component` that its image cannot have; see [`check`].
///
/// # Errors
/// As [`check`]; an asset that cannot be read.
pub(crate) fn check_assets(workspace: &Workspace, component: &Component) -> Result<()> {
    let package = &component.package;
    if package.settings.assets.is_empty() {
        return Ok(());
    }
    let mut placed = Vec::new();
    for asset in &package.settings.assets {
        let files = workspace.asset(component, &asset.from)?;
        let files = files.iter().map(|file| path_in_image(asset, &file.path)).collect();
        placed.push(PlacedAsset { asset, files });
    }
    let is_scratch = workspace.packages.settings.runtime_image == "scratch";
    let root_files = if is_scratch { root_files() } else { Vec::new() };
    let program = Utf8Path::new("/usr/local/bin").join(&component.name);
    check(&placed, &package.manifest_path(), &program, &root_files)
}
