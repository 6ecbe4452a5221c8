//! CycloneDX 1.5 (<https://cyclonedx.org/docs/1.5/json/>).

use serde_json::{Value, json};

use super::bill::{Bill, RustPackage};
use super::system_packages::{Distribution, SystemPackage};
use super::{TOOL, license, package_url, uuid};
use crate::image::manifest::sorted;

/// The media type of the document.
pub(crate) const MEDIA_TYPE: &str = "application/vnd.cyclonedx+json";

const IMAGE: &str = "image";
const BASE: &str = "base";

/// The document, which ends with a newline.
pub(crate) fn text(bill: &Bill) -> String {
    let mut components: Vec<Value> = bill.packages.iter().map(rust_component).collect();
    let mut dependencies = vec![json!({ "ref": IMAGE, "dependsOn": below_image(bill) })];
    dependencies.extend(bill.packages.iter().map(|package| {
        let used: Vec<_> = package.dependencies.iter().map(|at| package_url::of_rust(&bill.packages[*at])).collect();
        json!({ "ref": package_url::of_rust(package), "dependsOn": used })
    }));
    if let Some(base) = &bill.base {
        let system = &base.distribution;
        components.push(json!({
            "type": "container", "bom-ref": BASE, "name": base.name, "version": base.digest, "scope": "required",
        }));
        components.extend(system.packages.iter().map(|package| system_component(package, system)));
        let urls: Vec<_> = system.packages.iter().map(|package| package_url::of_system(package, system)).collect();
        dependencies.push(json!({ "ref": BASE, "dependsOn": urls }));
    }
    let mut document = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": bill.created,
            "tools": { "components": [
                { "type": "application", "name": TOOL, "version": env!("CARGO_PKG_VERSION") },
            ] },
            "component": { "type": "container", "bom-ref": IMAGE, "name": bill.name, "version": bill.version },
            "properties": [
                { "name": "cdx:rustc:sbom:target:triple", "value": bill.target },
                { "name": "oci:platform", "value": bill.platform.to_string() },
            ],
        },
        "components": components,
        "dependencies": dependencies,
    });
    if bill.base.as_ref().is_some_and(|base| base.distribution.unread.is_some()) {
        document["compositions"] = json!([{ "aggregate": "incomplete", "assemblies": [BASE], "dependencies": [BASE] }]);
    }
    document = sorted(document);
    document["serialNumber"] = json!(format!("urn:uuid:{}", uuid(&document.to_string())));
    format!("{:#}\n", sorted(document))
}

/// The program and the base.
fn below_image(bill: &Bill) -> Vec<String> {
    let root = bill.packages.iter().filter(|package| package.is_root).map(package_url::of_rust);
    root.chain(bill.base.iter().map(|_| BASE.to_owned())).collect()
}

fn rust_component(package: &RustPackage) -> Value {
    let url = package_url::of_rust(package);
    let mut component = json!({
        "type": if package.is_root { "application" } else { "library" },
        "bom-ref": url,
        "purl": url,
        "name": package.name,
        "version": package.version,
        "scope": if package.is_build { "excluded" } else { "required" },
    });
    if !package.checksum.is_empty() {
        component["hashes"] = json!([{ "alg": "SHA-256", "content": package.checksum }]);
    }
    add_license(&mut component, &package.license);
    component
}

fn system_component(package: &SystemPackage, distribution: &Distribution) -> Value {
    let url = package_url::of_system(package, distribution);
    let mut component = json!({
        "type": "library",
        "bom-ref": url,
        "purl": url,
        "name": package.name,
        "version": package.version,
        "scope": "required",
    });
    add_license(&mut component, &package.license);
    component
}

fn add_license(component: &mut Value, said: &str) {
    match license::expression(said) {
        Some(expression) => component["licenses"] = json!([{ "expression": expression }]),
        None if said.is_empty() => {}
        None => component["licenses"] = json!([{ "license": { "name": said } }]),
    }
}
