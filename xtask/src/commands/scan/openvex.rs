//! What is excepted, as OpenVEX 0.2.0: for those who scan the images themselves.

use serde_json::{Value, json};

use super::finding::Finding;
use crate::image::reference::{Digest, ImageReference};
use crate::image::time::rfc3339;
use crate::workspace::scan::Exception;

/// The document of all findings that an exception speaks of, made at a moment in unix seconds. `image` gives a
/// component's image, where one was published.
pub(super) fn openvex<'a>(
    findings: &[Finding],
    exceptions: &[Exception],
    image: impl Fn(&str) -> Option<&'a ImageReference>,
    now: i64,
) -> Value {
    let excepted = findings.iter().filter(|finding| finding.excepted.is_some());
    let statements: Vec<Value> =
        excepted.filter_map(|finding| Some(statement(finding, finding.exception_in(exceptions)?, &image))).collect();
    let time = rfc3339(now);
    let content = Value::from(statements.clone()).to_string();
    json!({
        "@context": "https://openvex.dev/ns/v0.2.0",
        "@id": format!("https://openvex.dev/docs/public/vex-{}", Digest::of(content.as_bytes()).hex()),
        "author": "cargo xtask scan",
        "timestamp": time,
        "version": 1,
        "statements": statements,
    })
}

fn statement<'a>(
    finding: &Finding,
    exception: &Exception,
    image: &impl Fn(&str) -> Option<&'a ImageReference>,
) -> Value {
    let part = json!({"@id": format!("pkg:cargo/{}@{}", finding.package, finding.version)});
    let product = |component: &String| match image(component).and_then(package_url) {
        Some(url) => json!({"@id": url, "subcomponents": [part]}),
        None => json!({"@id": format!("pkg:generic/{component}"), "subcomponents": [part]}),
    };
    let products: Vec<Value> = finding.components.iter().map(product).collect();
    let products = if products.is_empty() { vec![part.clone()] } else { products };
    let mut statement = json!({
        "vulnerability": {"name": finding.id, "aliases": finding.aliases},
        "products": products,
    });
    let (status, key) = match exception.affected {
        true => ("affected", "action_statement"),
        false => ("not_affected", "impact_statement"),
    };
    statement["status"] = status.into();
    statement[key] = format!("{} (until {})", exception.reason.0, exception.until.text).into();
    statement
}

/// The package URL of an image by digest (purl-spec, type `oci`).
pub(super) fn package_url(image: &ImageReference) -> Option<String> {
    let repository = image.name();
    let name = repository.rsplit('/').next()?;
    let digest = image.digest.as_ref()?.as_str().replace(':', "%3A");
    Some(format!("pkg:oci/{name}@{digest}?repository_url={repository}"))
}

#[cfg(test)]
mod tests {
    use super::super::finding::tests::{finding, settings};
    use super::*;
    use crate::workspace::scan::Severity;

    #[test]
    fn statements_name_the_image_and_the_package_in_it() {
        let exceptions = settings(json!([
            {"id": "CVE-1", "reason": "not called", "until": "2027-03-31", "affected": false},
            {"id": "CVE-2", "reason": "behind a proxy", "until": "2027-03-31"},
        ]));
        let image: ImageReference = "r.io/acme/engine".parse().unwrap();
        let image = image.with_digest(Digest::of(b""));
        let found = ["CVE-1", "CVE-2", "CVE-3"].map(|id| {
            let excepted = (id != "CVE-3").then(String::new);
            Finding { excepted, ..finding(id, "time", Severity::High) }
        });
        let document = openvex(&found, &exceptions.exceptions, |name| (name == "engine").then_some(&image), 0);
        let statements = document["statements"].as_array().unwrap();
        assert_eq!(statements.len(), 2);
        assert_eq!(statements[0]["status"], "not_affected");
        assert_eq!(statements[0]["impact_statement"], "not called (until 2027-03-31)");
        assert_eq!(statements[1]["status"], "affected");
        let product = statements[0]["products"][0]["@id"].as_str().unwrap();
        assert!(product.starts_with("pkg:oci/engine@sha256%3Ae3b0c442"), "{product}");
        assert!(product.ends_with("?repository_url=r.io/acme/engine"), "{product}");
    }
}
