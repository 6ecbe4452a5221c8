//! What smoke reads from manifests before they are applied: whether their objects name their namespaces.

use std::collections::BTreeSet;

use crate::kubernetes::yaml::document::{Document, NodeId};
use crate::kubernetes::yaml::parse::parse;

/// Kinds of objects that are in no namespace.
const CLUSTER_WIDE: &[&str] = &[
    "Namespace",
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "PersistentVolume",
    "StorageClass",
    "PriorityClass",
    "IngressClass",
];

/// Whether the objects of `texts` name several namespaces, and each its own: told of one, kubectl would refuse them,
/// and none of them needs to be told.
pub(crate) fn name_their_namespaces<'a>(texts: impl Iterator<Item = &'a str>) -> bool {
    let mut found = BTreeSet::new();
    for text in texts {
        for document in parse(text).unwrap_or_default() {
            if let Some(root) = document.root() {
                collect(&document, root, &mut found);
            }
        }
    }
    found.len() > 1 && !found.contains(&None)
}

/// Whether an object of `text` is a namespace.
pub(crate) fn makes_namespaces(text: &str) -> bool {
    // Reading a text takes time, and nearly all have none.
    let documents = if text.contains("Namespace") { parse(text).unwrap_or_default() } else { Vec::new() };
    let mut kinds = documents.iter().filter_map(|document| document.text(document.get(document.root()?, "kind")?));
    kinds.any(|kind| kind == "Namespace")
}

fn collect(document: &Document<'_>, object: NodeId, found: &mut BTreeSet<Option<String>>) {
    let get = |of: NodeId, key: &str| document.get(of, key);
    let Some(kind) = get(object, "kind").and_then(|kind| document.text(kind)) else { return };
    if kind == "List" {
        let items = get(object, "items").map(|items| document.items(items)).unwrap_or_default();
        return items.iter().for_each(|item| collect(document, *item, found));
    }
    if !CLUSTER_WIDE.contains(&kind) {
        let namespace = get(object, "metadata").and_then(|metadata| get(metadata, "namespace"));
        found.insert(namespace.and_then(|name| document.text(name)).filter(|name| !name.is_empty()).map(str::to_owned));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_of_several_namespaces_need_not_be_told_theirs() {
        let object = |kind: &str, namespace: &str| format!("kind: {kind}\nmetadata: {{name: a{namespace}}}\n");
        let (a, b) = (object("Role", ", namespace: a"), object("Service", ", namespace: b"));
        let (unnamed, wide) = (object("ConfigMap", ""), object("Namespace", ""));
        let names = |texts: &[&String]| name_their_namespaces(texts.iter().map(|text| text.as_str()));
        assert!(names(&[&a, &b]) && names(&[&wide, &a, &b]) && names(&[&format!("{a}---\n{b}")]));
        assert!(!names(&[&a]) && !names(&[&a, &a]) && !names(&[&unnamed]), "one is what kubectl can be told");
        assert!(!names(&[&a, &b, &unnamed]), "it would go where the context says");
    }
}
