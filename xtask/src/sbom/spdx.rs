//! SPDX 2.3 (<https://spdx.github.io/spdx-spec/v2.3/>).

use serde_json::{Value, json};

use super::bill::{Bill, RustPackage, Source};
use super::system_packages::{Distribution, SystemPackage};
use super::{TOOL, license, package_url, uuid};
use crate::image::manifest::sorted;

/// The media type of the document.
pub(crate) const MEDIA_TYPE: &str = "application/spdx+json";

const DOCUMENT: &str = "SPDXRef-DOCUMENT";
const IMAGE: &str = "SPDXRef-image";
const BASE: &str = "SPDXRef-base";
const UNKNOWN: &str = "NOASSERTION";

/// The document, which ends with a newline.
pub(crate) fn text(bill: &Bill) -> String {
    let mut packages = vec![container(IMAGE, &bill.name, &bill.version)];
    let mut relations = vec![relation(DOCUMENT, "DESCRIBES", IMAGE)];
    for (at, package) in bill.packages.iter().enumerate() {
        packages.push(rust_package(at, package));
        if package.is_root {
            relations.push(relation(IMAGE, "CONTAINS", &id(at)));
        }
        relations.extend(package.dependencies.iter().map(|used| match bill.packages[*used].is_build {
            true => relation(&id(*used), "BUILD_DEPENDENCY_OF", &id(at)),
            false => relation(&id(at), "DEPENDS_ON", &id(*used)),
        }));
    }
    if let Some(base) = &bill.base {
        packages.push(container(BASE, &base.name, &base.digest));
        relations.push(relation(IMAGE, "DESCENDANT_OF", BASE));
        if base.distribution.unread.is_some() {
            relations.push(relation(BASE, "CONTAINS", UNKNOWN));
        }
        for (at, package) in base.distribution.packages.iter().enumerate() {
            let own = format!("SPDXRef-base-{at}");
            relations.push(relation(BASE, "CONTAINS", &own));
            packages.push(system_package(&own, package, &base.distribution));
        }
    }
    let mut document = sorted(json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": DOCUMENT,
        "name": bill.name,
        "creationInfo": {
            "created": bill.created,
            "creators": [format!("Tool: {TOOL}-{}", env!("CARGO_PKG_VERSION"))],
            "comment": format!("for {} ({})", bill.platform, bill.target),
        },
        "packages": packages,
        "relationships": relations,
    }));
    let uuid = uuid(&document.to_string());
    document["documentNamespace"] = json!(format!("https://spdx.org/spdxdocs/{}-{uuid}", bill.name));
    format!("{:#}\n", sorted(document))
}

/// Names in SPDX take fewer characters than those of packages, so they are numbered.
fn id(at: usize) -> String {
    format!("SPDXRef-{at}")
}

fn relation(from: &str, kind: &str, to: &str) -> Value {
    json!({ "spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to })
}

fn package(id: &str, name: &str, version: &str, location: &str, purpose: &str, said: &str) -> Value {
    let license = license::expression(said);
    let mut package = json!({
        "SPDXID": id,
        "name": name,
        "versionInfo": version,
        "downloadLocation": location,
        "filesAnalyzed": false,
        "licenseConcluded": UNKNOWN,
        "licenseDeclared": license.as_deref().unwrap_or(UNKNOWN),
        "copyrightText": UNKNOWN,
        "primaryPackagePurpose": purpose,
    });
    if license.is_none() && !said.is_empty() {
        package["licenseComments"] = json!(format!("declared as: {said}"));
    }
    package
}

fn container(id: &str, name: &str, version: &str) -> Value {
    package(id, name, version, UNKNOWN, "CONTAINER", "")
}

fn rust_package(at: usize, known: &RustPackage) -> Value {
    let RustPackage { name, version, .. } = known;
    let location = match &known.source {
        Source::CratesIo => format!("https://crates.io/api/v1/crates/{name}/{version}/download"),
        Source::Git(address, commit) => format!("git+{address}@{commit}"),
        Source::Registry(_) | Source::Local(_) => UNKNOWN.to_owned(),
    };
    let purpose = if known.is_root { "APPLICATION" } else { "LIBRARY" };
    let mut package = package(&id(at), name, version, &location, purpose, &known.license);
    package["externalRefs"] = named(&package_url::of_rust(known));
    if !known.checksum.is_empty() {
        package["checksums"] = json!([{ "algorithm": "SHA256", "checksumValue": known.checksum }]);
    }
    package
}

fn system_package(id: &str, known: &SystemPackage, distribution: &Distribution) -> Value {
    let mut package = package(id, &known.name, &known.version, UNKNOWN, "LIBRARY", &known.license);
    package["externalRefs"] = named(&package_url::of_system(known, distribution));
    package
}

fn named(url: &str) -> Value {
    json!([{ "referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": url }])
}
