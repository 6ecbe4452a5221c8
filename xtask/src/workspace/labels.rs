//! What an image says of the package that it is made of.

use std::collections::BTreeMap;

use super::components::Component;

/// The labels of the OCI image specification ("Pre-Defined Annotation Keys") that we know a value
/// for; `created` is RFC 3339.
pub(crate) fn labels(component: &Component, version: &str, revision: &str, created: &str) -> BTreeMap<String, String> {
    let package = &component.package;
    let vendor = (!package.authors.is_empty()).then(|| package.authors.join(", "));
    [
        ("title", Some(component.name.clone())),
        ("version", Some(version.to_owned())),
        ("revision", Some(revision.to_owned())),
        ("created", Some(created.to_owned())),
        ("source", package.repository.clone()),
        ("url", package.homepage.clone()),
        ("licenses", package.license.clone()),
        ("description", package.description.clone()),
        ("vendor", vendor),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some((format!("org.opencontainers.image.{key}"), value?)))
    .collect()
}
