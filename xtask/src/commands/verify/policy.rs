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

/// Every tag and digest of the repositories, and of none that is named alike.
fn globs(repositories: &BTreeSet<String>) -> String {
    let lines = repositories.iter().flat_map(|name| [":", "@"].map(|sign| format!("{name}{sign}*")));
    lines.map(|glob| format!("    - glob: {}\n", quoted(&glob))).collect()
}

/// As a YAML scalar: JSON's strings are.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// An `ImageValidatingPolicy` (Kyverno 1.16 and newer): its older `verifyImages` knows bundles without keys alone.
fn kyverno(authority: &Authority, repositories: &BTreeSet<String>) -> String {
    let globs = globs(repositories);
    let by = match authority {
        Authority::Key(pem) => format!("        key:\n          data: |\n{}", indented(pem, 12)),
        Authority::Address(address) => format!("        key:\n          kms: {}\n", quoted(address)),
        Authority::Identity { identity, issuer } => format!(
            "        keyless:\n          identities:\n            - subject: {}\n              issuer: {}\n",
            quoted(identity),
            quoted(issuer)
        ),
    };
    // What a key signed is in no log.
    let log = match authority {
        Authority::Identity { .. } => "",
        _ => "        ctlog:\n          insecureIgnoreTlog: true\n          insecureIgnoreSCT: true\n",
    };
    format!(
        "apiVersion: policies.kyverno.io/v1beta1\nkind: ImageValidatingPolicy\nmetadata:\n  name: signed-by-cargo-xtask\nspec:\n  \
         validationActions: [Deny]\n  failurePolicy: Fail\n  matchConstraints:\n    resourceRules:\n      \
         - apiGroups: [\"\"]\n        apiVersions: [v1]\n        operations: [CREATE, UPDATE]\n        \
         resources: [pods]\n  matchImageReferences:\n{globs}  attestors:\n    - name: signer\n      cosign:\n{by}{log}  \
         validations:\n    - expression: >-\n        \
         {}message: the image is not signed\n",
        ["containers", "initContainers", "ephemeralContainers"]
            .map(|kind| format!(
                "images.{kind}.map(image, verifyImageSignatures(image, [attestors.signer])).all(count, count > 0)"
            ))
            .join(" &&\n        ")
            + "\n      "
    )
}

/// A `ClusterImagePolicy`, for namespaces labelled `policy.sigstore.dev/include: \"true\"`.
fn policy_controller(authority: &Authority, repositories: &BTreeSet<String>) -> String {
    let globs = globs(repositories);
    let by = match authority {
        Authority::Key(pem) => format!("      key:\n        data: |\n{}", indented(pem, 10)),
        Authority::Address(address) => format!("      key:\n        kms: {}\n", quoted(address)),
        Authority::Identity { identity, issuer } => format!(
            "      keyless:\n        identities:\n          - subject: {}\n            issuer: {}\n",
            quoted(identity),
            quoted(issuer)
        ),
    };
    format!(
        "apiVersion: policy.sigstore.dev/v1beta1\nkind: ClusterImagePolicy\nmetadata:\n  name: signed-by-cargo-xtask\nspec:\n  \
         images:\n{globs}  authorities:\n    - name: signer\n      signatureFormat: bundle\n{by}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_name_every_repository_and_whom_to_trust() {
        let repositories = BTreeSet::from(["ghcr.io/acme/demon-engine".to_owned()]);
        let pem = "-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----\n";
        let text = policies(&Authority::Key(pem.to_owned()), &repositories).unwrap();
        assert_eq!(text.matches("- glob: \"ghcr.io/acme/demon-engine@*\"").count(), 2, "{text}");
        assert!(
            text.contains("          data: |\n            -----BEGIN PUBLIC KEY-----\n            MFkw\n"),
            "{text}"
        );
        assert!(text.contains("        data: |\n          -----BEGIN PUBLIC KEY-----\n          MFkw\n"), "{text}");
        let by = Authority::Identity { identity: "https://a/b.yml@refs/heads/main".into(), issuer: "https://i".into() };
        let text = policies(&by, &repositories).unwrap();
        assert_eq!(text.matches("subject: \"https://a/b.yml@refs/heads/main\"").count(), 2);
        assert!(!text.contains("insecureIgnoreTlog"));
        assert!(policies(&by, &BTreeSet::new()).is_err());
    }
}
