//! Where the images of components belong.

use anyhow::{Context, Result};

use super::workspace::Workspace;
use crate::image::reference::{ImageReference, Registry};
use crate::system::environment::variable;
use crate::workspace::repository_template::repository_name;
use crate::workspace::settings::WorkspaceSettings;

/// Registry and repository of a component's images: `registry`, else `CI_REGISTRY`, and the owner that CI tells
/// win over the settings.
pub(crate) fn repository(
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
    let repository = repository_name(&settings.repository, component, owner().as_deref());
    Ok(ImageReference::new(registry, repository.parse().with_context(wrong)?))
}

/// As [`repository`], of each component.
pub(crate) fn repositories(
    workspace: &Workspace,
    registry: Option<&Registry>,
) -> Result<Vec<(String, ImageReference)>> {
    let names = workspace.components.iter().map(|component| component.name.clone());
    names.map(|name| repository(workspace, &name, registry).map(|repository| (name, repository))).collect()
}

/// The registry of the workspace's images: `CI_REGISTRY` wins over the settings.
pub(crate) fn own_registry(settings: &WorkspaceSettings) -> Result<Registry> {
    variable("CI_REGISTRY").unwrap_or_else(|| settings.registry.clone()).parse()
}

/// What `{owner}` in a repository template stands for: the owner part of `GITHUB_REPOSITORY`, or all groups of
/// `CI_PROJECT_PATH`.
pub(crate) fn owner() -> Option<String> {
    let repository = variable("GITHUB_REPOSITORY").or_else(|| variable("CI_PROJECT_PATH"))?;
    repository.rsplit_once('/').map(|(owner, _)| owner.to_owned())
}
