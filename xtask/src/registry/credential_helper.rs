//! Credential helpers: the programs that docker and podman keep secrets with.

use std::time::Duration;

use serde::Deserialize;
use xshell::{Shell, cmd};

use super::credentials::{Credential, FoundCredential};
use crate::http::Secret;
use crate::image::reference::Registry;
use crate::system::process::answer_within;

/// How long a helper may take; it may ask its user to unlock something.
const PATIENCE: Duration = Duration::from_secs(30);

/// The name under which docker stores a registry's secret.
pub(super) fn helper_key(registry: &Registry) -> String {
    if registry.is_docker_hub() { "https://index.docker.io/v1/".to_owned() } else { registry.to_string() }
}

/// Runs `docker-credential-NAME get` (docker-credential-helpers' protocol). Its output is never
/// shown: it may hold the secret.
pub(super) fn ask_helper(name: &str, key: &str) -> FoundCredential {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        username: String,
        secret: String,
    }
    let program = format!("docker-credential-{name}");
    let source = format!("the credential helper `{}`", program.escape_debug());
    let trouble = |what: &str| FoundCredential::trouble(format!("{source} {what}"));
    if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) {
        return trouble("has no valid name");
    }
    let Ok(shell) = Shell::new() else { return trouble("cannot be run") };
    let output = match answer_within(cmd!(shell, "{program} get"), key.as_bytes(), PATIENCE) {
        Ok(output) => output,
        Err(error) => return trouble(&format!("cannot be run: {error:#}")),
    };
    if !output.status.success() {
        // The protocol's one text with a meaning: there is nothing stored.
        let unknown = String::from_utf8_lossy(&output.stdout).contains("credentials not found");
        return if unknown { FoundCredential::default() } else { trouble("failed") };
    }
    let Ok(Answer { username, secret }) = serde_json::from_slice(&output.stdout) else {
        return trouble("gave no valid answer");
    };
    let secret = Secret::new(secret);
    let credential = if username == "<token>" {
        Credential::IdentityToken(secret)
    } else {
        Credential::Password { username, password: secret }
    };
    FoundCredential::new(Some(credential), source)
}
