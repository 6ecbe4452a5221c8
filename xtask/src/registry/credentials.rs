//! Credentials: given ones, and those of the docker and podman configuration.
//!
//! Our own reader: `docker_credential` takes an empty identity token or `auth` for a credential,
//! knows no repository-scoped entries of podman, and puts a helper's output into its errors.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;

use super::credential_helper::{ask_helper, helper_key};
use crate::http::Secret;
use crate::image::reference::{Registry, Repository};
use crate::system::environment::variable;

/// What a registry, or its token service, is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Credential {
    /// A user and a password, or a personal access token.
    Password {
        /// The user.
        username: String,
        /// The password.
        password: Secret,
    },
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
pub(super) struct Found {
    /// `None`: ask without.
    pub(super) credential: Option<Credential>,
    /// Where it comes from, for messages.
    pub(super) source: String,
    /// Why there is none although some are configured. Public images need none, so it is no
    /// error before the registry refuses.
    pub(super) trouble: Option<String>,
}

impl Found {
    /// `credential` of `source`.
    pub(super) fn new(credential: Option<Credential>, source: impl Into<String>) -> Self {
        Found { credential, source: source.into(), trouble: None }
    }

    /// Nothing, and why.
    pub(super) fn trouble(text: String) -> Self {
        Found { trouble: Some(text), ..Found::default() }
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
    pub(super) fn find(&self, registry: &Registry, repository: &Repository) -> Found {
        if let Some((credential, source)) = self.given.get(registry) {
            return Found::new(Some(credential.clone()), source);
        }
        let mut trouble = self.trouble.clone();
        for file in &self.files {
            let found = find_in_file(file, registry, repository);
            if found.credential.is_some() {
                return found;
            }
            trouble = trouble.or(found.trouble);
        }
        Found { trouble, ..Found::default() }
    }
}

/// `config.json` of docker, `auth.json` of podman.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct AuthFile {
    auths: Option<BTreeMap<String, AuthEntry>>,
    creds_store: Option<String>,
    cred_helpers: Option<BTreeMap<String, String>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AuthEntry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

fn find_in_file(file: &Path, registry: &Registry, repository: &Repository) -> Found {
    let Ok(bytes) = std::fs::read(file) else { return Found::default() };
    // The parser's message could quote the file.
    let Ok(config) = serde_json::from_slice::<AuthFile>(&bytes) else {
        return Found::trouble(format!("`{}` is not valid", file.display()));
    };
    let auths = config.auths.unwrap_or_default();
    let keys = keys(registry, repository);
    let helpers = config.cred_helpers.unwrap_or_default();
    let helper = keys.iter().find_map(|key| Some((helpers.get(key)?, key)));
    if let Some((helper, key)) = helper.filter(|(helper, _)| !helper.is_empty()) {
        return ask_helper(helper, key);
    }
    for key in &keys {
        match auths.get(key).map(AuthEntry::credential) {
            Some(Ok(None)) | None => {}
            Some(Ok(credential)) => return Found::new(credential, format!("`{}`", file.display())),
            Some(Err(())) => {
                return Found::trouble(format!("the entry `{key}` of `{}` is not valid", file.display()));
            }
        }
    }
    match config.creds_store.filter(|store| !store.is_empty()) {
        Some(store) => ask_helper(&store, &helper_key(registry)),
        None => Found::default(),
    }
}

impl AuthEntry {
    /// `Ok(None)` for the empty entries that docker leaves when a store has the secret.
    fn credential(&self) -> Result<Option<Credential>, ()> {
        let text = |value: &Option<String>| value.clone().filter(|value| !value.is_empty());
        if let Some(token) = text(&self.identitytoken) {
            return Ok(Some(Credential::IdentityToken(Secret::new(token))));
        }
        if let Some(auth) = text(&self.auth) {
            return decode(&auth).map(Some).ok_or(());
        }
        Ok(text(&self.username)
            .zip(text(&self.password))
            .map(|(username, password)| Credential::Password { username, password: Secret::new(password) }))
    }
}

/// Base64 of `user:password`, with padding or without, as tools write either.
fn decode(auth: &str) -> Option<Credential> {
    let lenient = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let bytes = GeneralPurpose::new(&STANDARD, lenient).decode(auth.trim()).ok()?;
    // Docker itself pads with zero bytes.
    let text = String::from_utf8(bytes).ok()?;
    let (username, password) = text.trim_end_matches('\0').split_once(':')?;
    Some(Credential::Password { username: username.to_owned(), password: Secret::new(password) })
}

/// The entries that concern a repository, nearest first (containers-auth.json(5); docker knows
/// whole registries only, with or without scheme and path).
fn keys(registry: &Registry, repository: &Repository) -> Vec<String> {
    let hosts = if registry.is_docker_hub() {
        vec!["docker.io", "index.docker.io", "registry-1.docker.io"]
    } else {
        vec![registry.as_str()]
    };
    let mut keys = Vec::new();
    for host in &hosts {
        let mut path = Some(repository.as_str());
        while let Some(part) = path {
            keys.push(format!("{host}/{part}"));
            path = part.rsplit_once('/').map(|(parent, _)| parent);
        }
        keys.push((*host).to_owned());
    }
    for host in &hosts {
        for (scheme, path) in [("https", ""), ("https", "/"), ("https", "/v1/"), ("https", "/v2/"), ("http", "")] {
            keys.push(format!("{scheme}://{host}{path}"));
        }
    }
    keys
}

#[cfg(test)]
#[path = "credentials_tests.rs"]
mod tests;
