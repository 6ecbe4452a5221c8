//! Credentials: those of the environment, then those of the docker and podman configuration.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::docker_config::find_in_file;
use crate::http::Secret;
use crate::image::reference::{Registry, Repository};
use crate::system::environment::variable;

/// What a registry, or its token service, is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Credential {
    /// A user and a password, or a personal access token.
    Password { username: String, password: Secret },
    /// A token that gives tokens (distribution's OAuth 2 token specification).
    IdentityToken(Secret),
}

impl Credential {
    /// Who, without the secret.
    pub(super) fn described(&self) -> String {
        match self {
            Credential::Password { username, .. } => format!("user `{username}`"),
            Credential::IdentityToken(_) => "an identity token".to_owned(),
        }
    }
}

/// Where credentials come from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Credentials {
    /// With the variables they come from.
    given: BTreeMap<Registry, (Credential, String)>,
    files: Vec<PathBuf>,
    /// What is wrong with those that the environment gives.
    trouble: Option<String>,
}

/// The outcome of a search.
#[derive(Clone, Debug, Default)]
pub(super) struct FoundCredential {
    /// `None`: ask without.
    pub(super) credential: Option<Credential>,
    /// Where it comes from, for messages.
    pub(super) source: String,
    /// Why there is none although some are configured. Public images need none, so it is no
    /// error before the registry refuses.
    pub(super) trouble: Option<String>,
}

impl FoundCredential {
    pub(super) fn new(credential: Option<Credential>, source: impl Into<String>) -> Self {
        FoundCredential { credential, source: source.into(), trouble: None }
    }

    /// Nothing, and why.
    pub(super) fn trouble(text: String) -> Self {
        FoundCredential { trouble: Some(text), ..FoundCredential::default() }
    }

    /// Who, and where that is said, without the secret.
    pub(super) fn described(&self) -> String {
        match &self.credential {
            Some(credential) if self.source.is_empty() => credential.described(),
            Some(credential) => format!("{} from {}", credential.described(), self.source),
            None => "anonymous".to_owned(),
        }
    }
}

impl Credentials {
    /// None: everything is asked for anonymously.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Credentials::default()
    }

    /// Those of this process' environment: `CI_REGISTRY_USERNAME` and `CI_REGISTRY_PASSWORD`, for
    /// the registry `CI_REGISTRY` alone; then those of the docker and podman configuration:
    /// `REGISTRY_AUTH_FILE`, `DOCKER_CONFIG` or `~/.docker`, `XDG_RUNTIME_DIR` and `~/.config`, in
    /// this order.
    pub(crate) fn from_environment() -> Self {
        let path = |name: &str| variable(name).map(PathBuf::from);
        let home = std::env::home_dir();
        let docker = path("DOCKER_CONFIG").or(home.as_ref().map(|home| home.join(".docker")));
        let files = [
            path("REGISTRY_AUTH_FILE"),
            docker.map(|folder| folder.join("config.json")),
            path("XDG_RUNTIME_DIR").map(|folder| folder.join("containers/auth.json")),
            home.map(|home| home.join(".config/containers/auth.json")),
        ];
        let credentials = Credentials { files: files.into_iter().flatten().collect(), ..Credentials::default() };
        credentials.with_variables(None, None, variable)
    }

    /// Adds those of the environment (a place that images go to) `name`, for its registry alone:
    /// `CI_REGISTRY_USERNAME_NAME` and `CI_REGISTRY_PASSWORD_NAME`, the name in upper case and with
    /// `_` for `-`. Of several environments on one registry the last one that has any counts.
    pub(crate) fn for_environment(self, name: &str, registry: &Registry) -> Self {
        self.with_variables(Some(name), Some(registry), variable)
    }

    fn with_variables(
        mut self,
        environment: Option<&str>,
        registry: Option<&Registry>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let suffix = environment.map(|name| format!("_{}", name.to_uppercase().replace('-', "_"))).unwrap_or_default();
        let names = [format!("CI_REGISTRY_USERNAME{suffix}"), format!("CI_REGISTRY_PASSWORD{suffix}")];
        let (username, password) = match names.each_ref().map(|name| variable(name)) {
            [Some(username), Some(password)] => (username, password),
            [None, None] => return self,
            [username, _] => {
                let (set, missing) = if username.is_some() { (0, 1) } else { (1, 0) };
                self.trouble = Some(format!("`{}` is set, but `{}` is not", names[set], names[missing]));
                return self;
            }
        };
        let named = || variable("CI_REGISTRY").and_then(|text| text.parse().ok());
        match registry.cloned().or_else(named) {
            Some(registry) => {
                let credential = Credential::Password { username, password: Secret::new(password) };
                let [username, password] = names;
                self.given.insert(registry, (credential, format!("`{username}` and `{password}`")))
            }
            None => {
                let text = "`CI_REGISTRY_USERNAME` and `CI_REGISTRY_PASSWORD` are for the registry that `CI_REGISTRY` names, and it names none";
                self.trouble = Some(text.to_owned());
                None
            }
        };
        self
    }

    /// Those of one configuration file.
    #[cfg(test)]
    pub(super) fn from_file(file: PathBuf) -> Self {
        Credentials { files: vec![file], ..Credentials::default() }
    }

    /// Shows `username` and `password` to `registry`, and to no other, before all else.
    #[cfg(test)]
    pub(crate) fn with(mut self, registry: Registry, username: &str, password: Secret) -> Self {
        let credential = Credential::Password { username: username.to_owned(), password };
        self.given.insert(registry, (credential, String::new()));
        self
    }

    /// What would be shown for a repository, without its secret. May run a credential helper.
    pub(crate) fn describe(&self, registry: &Registry, repository: &Repository) -> String {
        let found = self.find(registry, repository);
        match &found.trouble {
            Some(trouble) if found.credential.is_none() => format!("anonymous ({trouble})"),
            _ => found.described(),
        }
    }

    /// What to show for a repository. May run a credential helper.
    pub(super) fn find(&self, registry: &Registry, repository: &Repository) -> FoundCredential {
        if let Some((credential, source)) = self.given.get(registry) {
            return FoundCredential::new(Some(credential.clone()), source);
        }
        let mut trouble = self.trouble.clone();
        for file in &self.files {
            let found = find_in_file(file, registry, repository);
            if found.credential.is_some() {
                return found;
            }
            trouble = trouble.or(found.trouble);
        }
        FoundCredential { trouble, ..FoundCredential::default() }
    }
}

#[cfg(test)]
#[path = "credentials_tests.rs"]
mod tests;
