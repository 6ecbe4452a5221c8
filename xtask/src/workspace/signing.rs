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
    /// Public keys of those whose rebuilds count; without any, that of whom all else is signed.
    pub(crate) rebuilders: Vec<String>,
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
        ensure!(
            self.rebuilders.is_empty() || self.public_key.is_some() || self.identity.is_some(),
            "`sign` in `{table}` of `{file}`: `rebuilders` needs a `public-key` or `identity` beside it"
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
    /// That so many of those who may say it built each image again.
    Rebuilds(usize),
}

impl FromStr for Requirement {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(match text {
            "signature" => Requirement::Signature,
            "sbom" => Requirement::Sbom,
            "provenance" => Requirement::Provenance,
            _ => match text.split_once(':') {
                Some(("proof", environment)) if !environment.is_empty() => Requirement::Proof(environment.to_owned()),
                Some(("rebuilds", count)) if count.parse().is_ok_and(|count: usize| count > 0) => {
                    Requirement::Rebuilds(count.parse()?)
                }
                _ => bail!("it can be `signature`, `sbom`, `provenance`, `proof:ENV` or `rebuilds:N`"),
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
            Requirement::Rebuilds(count) => write!(f, "rebuilds:{count}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_required_is_read_as_it_is_written() {
        for text in ["signature", "sbom", "provenance", "proof:staging", "rebuilds:2"] {
            assert_eq!(text.parse::<Requirement>().unwrap().to_string(), text);
        }
        // None would be required.
        for wrong in ["rebuilds:0", "rebuilds:", "rebuilds", "rebuilds:-1", "proof:", "signed", "other:1"] {
            assert!(wrong.parse::<Requirement>().is_err(), "{wrong}");
        }
    }
}
