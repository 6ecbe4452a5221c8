//! Settings of environments: places that images are promoted to and deployed in.

use anyhow::{Result, bail};
use camino::Utf8Path;
use serde::Deserialize;

use super::manifest_settings::ManifestSource;
use super::repository_template::check_template;

/// A named place that images are promoted to, `[workspace.metadata.docker.environments.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct EnvironmentSettings {
    /// Registry host.
    pub(crate) registry: String,
    /// Repository template; without it, repositories are named as where the images come from.
    pub(crate) repository: Option<String>,
    /// What is pinned and applied there, instead of the workspace's `manifests`.
    #[serde(default)]
    pub(crate) manifests: Vec<ManifestSource>,
    /// kubectl's context for it, which may be applied to.
    pub(crate) context: Option<String>,
    /// The namespace of objects that name none.
    pub(crate) namespace: Option<String>,
    /// Whether each deployment gets a number of its own.
    #[serde(default)]
    pub(crate) build_number: bool,
    /// A program and its arguments that a deployment runs once all is pinned: what applies files that kubectl cannot.
    #[serde(default)]
    pub(crate) apply: Vec<String>,
}

impl EnvironmentSettings {
    /// Checks what the types do not; `name` is the environment's, `file` the manifest that has it.
    ///
    /// # Errors
    /// A name that is fit for no folder, a template that is fit for no component.
    pub(super) fn check(&self, name: &str, file: &Utf8Path) -> Result<()> {
        let table = format!("[workspace.metadata.docker.environments.{name}]");
        // Names of folders and of environment variables are made of it.
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || !name.chars().all(plain) {
            bail!("`{table}` in `{file}`: an environment's name has letters, digits, `-` and `_` alone");
        }
        match &self.repository {
            Some(template) => check_template(template, &table, file),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;
    use serde_json::json;

    use super::super::settings::{WorkspaceSettings, workspace_settings};
    use super::*;

    #[test]
    fn an_environment_may_have_its_own_manifests() {
        let metadata = json!({"docker": {"environments": {
            "staging": {"registry": "r.io", "manifests": ["k8s/staging"], "context": "kind-ci", "namespace": "shop"},
            "production": {"registry": "r.io"},
        }}});
        let settings = workspace_settings(&metadata, Utf8Path::new("Cargo.toml")).unwrap();
        let paths = |settings: &WorkspaceSettings| {
            settings.manifests.iter().map(|source| source.path().to_owned()).collect::<Vec<Utf8PathBuf>>()
        };
        let own = paths(&settings);
        assert_eq!(paths(&settings.clone().in_environment("staging")), ["k8s/staging"]);
        assert_eq!(paths(&settings.clone().in_environment("production")), own);
        assert_eq!(paths(&settings.clone().in_environment("local")), own);
    }
}
