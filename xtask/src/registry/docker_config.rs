//! The configuration files of docker (`config.json`) and podman (`auth.json`): which entry is a repository's.
//!
//! Our own reader: `docker_credential` takes an empty identity token or `auth` for a credential,
//! knows no repository-scoped entries of podman, and puts a helper's output into its errors.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;

use super::credential_helper::{ask_helper, helper_key};
use super::credentials::{Credential, FoundCredential};
use crate::http::Secret;
use crate::image::reference::{Registry, Repository};

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

/// What a file has for a repository; nothing when it is not there. May run a credential helper.
pub(super) fn find_in_file(file: &Path, registry: &Registry, repository: &Repository) -> FoundCredential {
    let Ok(bytes) = std::fs::read(file) else { return FoundCredential::default() };
    // The parser's message could quote the file.
    let Ok(config) = serde_json::from_slice::<AuthFile>(&bytes) else {
        return FoundCredential::trouble(format!("`{}` is not valid", file.display()));
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
            Some(Ok(credential)) => return FoundCredential::new(credential, format!("`{}`", file.display())),
            Some(Err(())) => {
                return FoundCredential::trouble(format!("the entry `{key}` of `{}` is not valid", file.display()));
            }
        }
    }
    match config.creds_store.filter(|store| !store.is_empty()) {
        Some(store) => ask_helper(&store, &helper_key(registry)),
        None => FoundCredential::default(),
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
