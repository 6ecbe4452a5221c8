//! Settings of signatures: who signs, and what a place demands.

use std::str::FromStr;

use anyhow::{Result, bail, ensure};
use camino::Utf8Path;
use serde::Deserialize;

/// Who signs, `[workspace.metadata.docker] sign = { … }`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct SignSettings {
    /// The private key: a file below the root, or an address that cosign knows (`awskms://…`, `env://…`).
    pub(crate) key: Option<String>,
    /// The public key, written alike.
    pub(crate) public_key: Option<String>,
    /// Without a key: whom the certificate must name, such as a workflow's address.
    pub(crate) identity: Option<String>,
    /// Who vouches for that identity.
    pub(crate) issuer: Option<String>,
}

impl SignSettings {
    pub(super) fn check(&self, table: &str, file: &Utf8Path) -> Result<()> {
        ensure!(
            self.identity.is_some() == self.issuer.is_some(),
            "`sign` in `{table}` of `{file}`: `identity` and `issuer` go together"
        );
        ensure!(
            self.key.is_none() || self.public_key.is_some(),
            "`sign` in `{table}` of `{file}`: `key` needs its `public-key`, or nobody could say whose signatures hold"
        );
        ensure!(
            self.identity.is_none() || (self.key.is_none() && self.public_key.is_none()),
            "`sign` in `{table}` of `{file}`: it is either keys or an identity"
        );
        Ok(())
    }
}

/// What a release must have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum Requirement {
    /// A valid signature of each image, and of the release.
    Signature,
    /// An SBOM of each image.
    Sbom,
    /// Provenance of each image.
    Provenance,
    /// A smoke test that passed in this environment.
    Proof(String),
}

impl FromStr for Requirement {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(match text {
            "signature" => Requirement::Signature,
            "sbom" => Requirement::Sbom,
            "provenance" => Requirement::Provenance,
            _ => match text.strip_prefix("proof:").filter(|environment| !environment.is_empty()) {
                Some(environment) => Requirement::Proof(environment.to_owned()),
                None => bail!("it can be `signature`, `sbom`, `provenance` or `proof:ENV`"),
            },
        })
    }
}

impl TryFrom<String> for Requirement {
    type Error = anyhow::Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl std::fmt::Display for Requirement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Requirement::Signature => f.write_str("signature"),
            Requirement::Sbom => f.write_str("sbom"),
            Requirement::Provenance => f.write_str("provenance"),
            Requirement::Proof(environment) => write!(f, "proof:{environment}"),
        }
    }
}
