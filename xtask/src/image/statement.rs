//! What is said of an image: in-toto statements, and the Sigstore bundles that sign them.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::reference::Digest;

/// The media type of a bundle as cosign 3 attaches it (Sigstore bundle format 0.3).
pub(crate) const BUNDLE_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// Begins the media types of all versions.
pub(crate) const BUNDLE_TYPES: &str = "application/vnd.dev.sigstore.bundle";
/// A statement that nobody signed, and what a signed envelope says that it holds.
pub(crate) const STATEMENT_TYPE: &str = "application/vnd.in-toto+json";
/// What cosign's signature of an image states.
pub(crate) const SIGNATURE: &str = "https://sigstore.dev/cosign/sign/v1";
/// SBOMs, as a statement calls them and as a document of their own, whose type is `application/…+json`.
pub(crate) const SBOMS: [(&str, &str); 2] = [
    ("https://cyclonedx.org/bom", "application/vnd.cyclonedx+json"),
    ("https://spdx.dev/Document", "application/spdx+json"),
];

/// The notes of a bundle's manifest, as cosign 3 writes them (cosign, `specs/BUNDLE_SPEC.md`).
pub(crate) const BUNDLE_CONTENT: &str = "dev.sigstore.bundle.content";
pub(crate) const BUNDLE_PREDICATE: &str = "dev.sigstore.bundle.predicateType";

/// What documents say of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// That it is the signer's.
    Signature,
    /// What it is made of.
    Sbom,
    /// Where it was made, of what.
    Provenance,
    /// How a smoke test ended.
    TestResult,
    /// That somebody built it again, and the same image came of it.
    Rebuilt,
}

/// That an image was built again from its commit, and is the same.
pub(crate) const REBUILT: &str = "urn:cargo-xtask:rebuilt:v1";

/// How a smoke test ended (in-toto attestation, `test-result` v0.1).
pub(crate) const TEST_RESULT: &str = "https://in-toto.io/attestation/test-result/v0.1";

impl Kind {
    /// That of a statement with this predicate.
    pub(crate) fn of_predicate(predicate_type: &str) -> Option<Self> {
        let begins = |prefix: &str| predicate_type.starts_with(prefix);
        match predicate_type {
            SIGNATURE => Some(Kind::Signature),
            TEST_RESULT => Some(Kind::TestResult),
            REBUILT => Some(Kind::Rebuilt),
            _ if begins("https://slsa.dev/provenance/") => Some(Kind::Provenance),
            _ if SBOMS.iter().any(|(predicate, _)| begins(predicate)) => Some(Kind::Sbom),
            _ => None,
        }
    }
}

/// An in-toto statement, version 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    pub(crate) predicate_type: String,
    #[serde(default)]
    pub(crate) predicate: Value,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Subject {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    digest: BTreeMap<String, String>,
}

impl Statement {
    /// A statement about one image.
    pub(crate) fn new(image: &Digest, predicate_type: &str, predicate: Value) -> Self {
        let digest = BTreeMap::from([("sha256".to_owned(), image.hex().to_owned())]);
        Statement {
            kind: "https://in-toto.io/Statement/v1".to_owned(),
            subject: vec![Subject { name: None, digest }],
            predicate_type: predicate_type.to_owned(),
            predicate,
        }
    }

    /// Reads a statement.
    ///
    /// # Errors
    /// It is none.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        let statement: Statement = serde_json::from_slice(bytes).context("it is no in-toto statement")?;
        ensure!(statement.kind.starts_with("https://in-toto.io/Statement/"), "it is no in-toto statement");
        Ok(statement)
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("text keys and no failing parts")
    }

    /// Demands that it is about this image, and about nothing else: a subject more, and who signed for one image has
    /// signed for another.
    ///
    /// # Errors
    /// It is not.
    pub(crate) fn check_about(&self, image: &Digest) -> Result<()> {
        let is_about = |subject: &Subject| subject.digest.get("sha256").is_some_and(|hex| hex == image.hex());
        ensure!(self.subject.len() == 1 && self.subject.iter().all(is_about), "it is a statement about another image");
        Ok(())
    }
}

/// The statement that a bundle signs; whether the signature is valid is another question.
///
/// # Errors
/// It is no bundle of a statement.
pub(crate) fn signed_statement(bundle: &[u8]) -> Result<Statement> {
    let bundle: Value = serde_json::from_slice(bundle).context("it is no Sigstore bundle")?;
    let envelope = &bundle["dsseEnvelope"];
    ensure!(envelope["payloadType"] == STATEMENT_TYPE, "it is no Sigstore bundle of a statement");
    let payload = envelope["payload"].as_str().unwrap_or_default();
    Statement::parse(&STANDARD.decode(payload).context("its payload is no base64")?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_statement_is_about_one_image() {
        let (image, other) = (Digest::of(b"image"), Digest::of(b"other"));
        let statement = Statement::new(&image, SIGNATURE, json!({}));
        // Cosign 3 signs these bytes but for empty annotations of the subject.
        let text = format!(
            r#"{{"_type":"https://in-toto.io/Statement/v1","subject":[{{"digest":{{"sha256":"{}"}}}}],"predicateType":"https://sigstore.dev/cosign/sign/v1","predicate":{{}}}}"#,
            image.hex()
        );
        assert_eq!(String::from_utf8(statement.to_bytes()).unwrap(), text);
        assert!(statement.check_about(&image).is_ok() && statement.check_about(&other).is_err());
        let two = Statement { subject: [&statement.subject[..], &statement.subject[..]].concat(), ..statement.clone() };
        assert!(two.check_about(&image).is_err());
        assert!(Statement { subject: Vec::new(), ..statement.clone() }.check_about(&image).is_err());

        let bundle = |kind: &str, payload: &str| json!({"dsseEnvelope": {"payloadType": kind, "payload": payload}});
        let read = |bundle: Value| signed_statement(bundle.to_string().as_bytes());
        assert_eq!(read(bundle(STATEMENT_TYPE, &STANDARD.encode(&text))).unwrap(), statement);
        assert!(read(bundle("text/plain", &STANDARD.encode(&text))).is_err());
        assert!(read(bundle(STATEMENT_TYPE, "%")).is_err() && read(json!({})).is_err());
        assert!(read(bundle(STATEMENT_TYPE, &STANDARD.encode("{}"))).is_err());
    }

    #[test]
    fn what_a_statement_says_is_told_by_its_predicate() {
        let kind = Kind::of_predicate;
        assert_eq!(kind("https://cyclonedx.org/bom/v1.6"), Some(Kind::Sbom));
        assert_eq!(kind("https://slsa.dev/provenance/v1"), Some(Kind::Provenance));
        // A vulnerability scan of the signer's is no signature.
        assert_eq!(kind("https://cosign.sigstore.dev/attestation/vuln/v1"), None);
    }
}
