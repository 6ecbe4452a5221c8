//! Where images of ours may be, for this workspace.

use crate::gather::repositories::owner;
use crate::gather::workspace::Workspace;
use crate::image::record::DigestRecord;
use crate::kubernetes::image_owners::{Naming, Repositories};
use crate::system::environment::variable;
use crate::workspace::settings::WorkspaceSettings;

/// Repositories of our components: at the registry of the settings, of each environment, and of CI.
pub(crate) fn repositories(workspace: &Workspace, record: Option<&DigestRecord>) -> Repositories {
    let components = workspace.components.iter().map(|component| component.name.as_str()).collect();
    repositories_of(&workspace.packages.settings, components, record)
}

/// As [`repositories`], for components of these names.
pub(crate) fn repositories_of(
    settings: &WorkspaceSettings,
    components: Vec<&str>,
    record: Option<&DigestRecord>,
) -> Repositories {
    let (ci_registry, owner) = (variable("CI_REGISTRY"), owner());
    let template = settings.repository.as_str();
    let environments = settings
        .environments
        .values()
        .map(|environment| (environment.registry.as_str(), environment.repository.as_deref().unwrap_or(template)));
    let own = ci_registry.as_deref().into_iter().chain([settings.registry.as_str()]);
    let registries = environments.chain(own.map(|registry| (registry, template))).collect();
    Repositories::new(&Naming { components, registries, owner: owner.as_deref() }, record)
}
