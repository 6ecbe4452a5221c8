//! Labels and environment of an image.

use std::collections::BTreeMap;

use crate::workspace::components::Component;

/// Label with the input hash: what `publish` and the next build compare.
pub(crate) const INPUT_HASH: &str = "xtask.input-hash";

/// Label of images whose builds could use the network: what they got from it is not known.
pub(crate) const NETWORK: &str = "xtask.network";

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
        ("licenses", package.license.clone()),
        ("description", package.description.clone()),
        ("vendor", vendor),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some((format!("org.opencontainers.image.{key}"), value?)))
    .collect()
}
