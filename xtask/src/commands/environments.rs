//! Environments: named places with a registry, and who speaks to it.

use anyhow::{Context, Result, bail};

use crate::errors::hinted;
use crate::gather::repositories::{own_registry, owner};
use crate::gather::workspace::Workspace;
use crate::image::promotion::LOCAL;
use crate::image::reference::{ImageReference, Registry};
use crate::registry::{Client, Credentials};
use crate::workspace::environments::EnvironmentSettings;
use crate::workspace::names::did_you_mean;
use crate::workspace::repository_template::repository_name;
use crate::workspace::settings::WorkspaceSettings;

/// A named place that images are promoted to.
pub(crate) struct Environment {
    /// Its name.
    pub(crate) name: String,
    /// Its registry.
    pub(crate) registry: Registry,
    /// Repository template, where it has its own.
    pub(crate) repository: Option<String>,
    /// kubectl's context for it.
    pub(crate) context: Option<String>,
    /// The namespace of objects that name none.
    pub(crate) namespace: Option<String>,
    /// Whether each deployment gets a number of its own.
    pub(crate) build_number: bool,
    /// What a deployment runs once all is pinned.
    pub(crate) apply: Vec<String>,
}

/// The environment of this name.
///
/// # Errors
/// There is none, or its registry is no registry.
pub(crate) fn environment(settings: &WorkspaceSettings, name: &str) -> Result<Environment> {
    let environments = &settings.environments;
    if let Some(environment) = environments.get(name) {
        let registry =
            environment.registry.parse().with_context(|| format!("environment `{name}` has no valid `registry`"))?;
        let EnvironmentSettings { repository, context, namespace, build_number, apply, .. } = environment.clone();
        return Ok(Environment {
            name: name.to_owned(),
            registry,
            repository,
            context,
            namespace,
            build_number,
            apply,
        });
    }
    if name == LOCAL {
        return Ok(Environment {
            name: name.to_owned(),
            registry: own_registry(settings)?,
            repository: None,
            context: None,
            namespace: None,
            build_number: false,
            apply: Vec::new(),
        });
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

/// The settings as they are in the environment of this name, and the environment.
///
/// # Errors
/// As [`environment`].
pub(crate) fn named_environment(settings: WorkspaceSettings, name: &str) -> Result<(WorkspaceSettings, Environment)> {
    let found = environment(&settings, name)?;
    Ok((settings.in_environment(name), found))
}

impl Environment {
    /// The repository that a component of `workspace` has here.
    ///
    /// # Errors
    /// The template gives no valid name.
    pub(crate) fn repository_of(&self, workspace: &Workspace, component: &str) -> Result<ImageReference> {
        let template = self.repository.as_ref().unwrap_or(&workspace.packages.settings.repository);
        let repository = repository_name(template, component, owner().as_deref());
        let repository = repository
            .parse()
            .with_context(|| format!("`repository` of environment `{}` gives no valid name", self.name))?;
        Ok(ImageReference::new(self.registry.clone(), repository))
    }

    /// The repository that the image `source` of a component has here: named as there, unless the environment says how.
    ///
    /// # Errors
    /// As [`Environment::repository_of`].
    pub(crate) fn place_of(
        &self,
        workspace: &Workspace,
        component: &str,
        source: &ImageReference,
    ) -> Result<ImageReference> {
        match self.repository {
            Some(_) => self.repository_of(workspace, component),
            None => Ok(ImageReference::new(self.registry.clone(), source.repository.clone())),
        }
    }
}

/// Speaks with all credentials that CI and the user's configuration hold.
pub(crate) fn own_client(insecure: &[Registry]) -> Client {
    Client::new(Credentials::from_environment()).allowing_plain_http(insecure.to_vec())
}

/// Speaks as whoever may there: each environment has its own credentials.
pub(crate) fn client_of(environment: &Environment, insecure: &[Registry]) -> Client {
    let credentials = Credentials::from_environment().for_environment(&environment.name, &environment.registry);
    Client::new(credentials).allowing_plain_http(insecure.to_vec())
}
