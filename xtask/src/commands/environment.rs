//! Environments: named places with a registry, and who speaks to it.

use anyhow::{Context, Result, bail};

use super::components::own_registry;
use crate::errors::hinted;
use crate::gather::ci::repository_owner;
use crate::gather::workspace::Workspace;
use crate::image::promotion::LOCAL;
use crate::image::reference::{ImageReference, Registry};
use crate::registry::{Client, Credentials};
use crate::workspace::names::did_you_mean;
use crate::workspace::settings::repository_name;

/// A named place that images are promoted to.
pub(crate) struct Environment {
    /// Its name.
    pub(crate) name: String,
    /// Its registry.
    pub(crate) registry: Registry,
    /// Repository template, where it has its own.
    pub(crate) repository: Option<String>,
}

/// The environment of this name.
///
/// # Errors
/// There is none, or its registry is no registry.
pub(crate) fn environment(workspace: &Workspace, name: &str) -> Result<Environment> {
    let environments = &workspace.packages.settings.environments;
    if let Some(environment) = environments.get(name) {
        let registry =
            environment.registry.parse().with_context(|| format!("environment `{name}` has no valid `registry`"))?;
        return Ok(Environment { name: name.to_owned(), registry, repository: environment.repository.clone() });
    }
    if name == LOCAL {
        return Ok(Environment { name: name.to_owned(), registry: own_registry(workspace)?, repository: None });
    }
    let mut known: Vec<&str> = environments.keys().map(String::as_str).chain([LOCAL]).collect();
    known.sort_unstable();
    let meant = did_you_mean(&[name], known.iter().copied());
    let known = known.join(", ");
    bail!(hinted(
        format!("unknown environment `{}`{meant}", name.escape_debug()),
        format!("environments: {known}; others are added as `[workspace.metadata.docker.environments.NAME]`")
    ))
}

impl Environment {
    /// The repository that a component of `workspace` has here.
    ///
    /// # Errors
    /// The template gives no valid name.
    pub(crate) fn repository_of(&self, workspace: &Workspace, component: &str) -> Result<ImageReference> {
        let template = self.repository.as_ref().unwrap_or(&workspace.packages.settings.repository);
        let repository = repository_name(template, component, repository_owner().as_deref());
        let repository = repository
            .parse()
            .with_context(|| format!("`repository` of environment `{}` gives no valid name", self.name))?;
        Ok(ImageReference::new(self.registry.clone(), repository))
    }
}

/// Speaks as whoever may there: each environment has its own credentials.
pub(crate) fn client_of(environment: &Environment, insecure: &[Registry]) -> Client {
    let credentials = Credentials::from_environment().for_environment(&environment.name, &environment.registry);
    Client::new(credentials).allowing_plain_http(insecure.to_vec())
}
