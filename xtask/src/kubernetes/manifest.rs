//! The objects of a manifest, where they stand in its text.

use std::collections::BTreeSet;

use super::objects::Kind;
use super::yaml::document::{Document, NodeId};
use super::yaml::parse::parse;

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

/// The objects of a document, those of lists one by one, each with its kind, which is empty where it says none.
pub(crate) fn objects<'a>(document: &'a Document<'_>) -> Vec<(&'a str, NodeId)> {
    let mut found = Vec::new();
    document.root().into_iter().for_each(|root| collect(document, root, &mut found));
    found
}

fn collect<'a>(document: &'a Document<'_>, object: NodeId, found: &mut Vec<(&'a str, NodeId)>) {
    let kind = document.get(object, "kind").and_then(|kind| document.text(kind)).unwrap_or_default();
    match document.get(object, "items").filter(|_| kind.ends_with("List")) {
        Some(items) => document.items(items).iter().for_each(|item| collect(document, *item, found)),
        None => found.push((kind, object)),
    }
}

/// The containers of an object of a kind, init containers first.
pub(crate) fn containers<'a>(
    document: &'a Document<'_>,
    object: NodeId,
    kind: Kind,
) -> impl Iterator<Item = NodeId> + use<'a> {
    let template = kind.template_path().iter().try_fold(object, |node, key| document.get(node, key));
    let spec = template.and_then(|template| document.get(template, "spec"));
    let list = move |key| spec.and_then(|spec| document.get(spec, key)).map(|list| document.items(list));
    ["initContainers", "containers"].into_iter().filter_map(list).flatten().copied()
}

/// The namespace that an object names.
pub(crate) fn namespace<'a>(document: &'a Document<'_>, object: NodeId) -> Option<&'a str> {
    let name = document.get(document.get(object, "metadata")?, "namespace")?;
    document.text(name).filter(|name| !name.is_empty())
}

/// Whether the objects of `texts` name several namespaces, and each its own: told of one, kubectl would refuse them,
/// and none of them needs to be told.
pub(crate) fn name_their_namespaces<'a>(texts: impl Iterator<Item = &'a str>) -> bool {
    let mut found = BTreeSet::new();
    for document in texts.flat_map(|text| parse(text).unwrap_or_default()) {
        let objects =
            objects(&document).into_iter().filter(|(kind, _)| !kind.is_empty() && !CLUSTER_WIDE.contains(kind));
        found.extend(objects.map(|(_, object)| namespace(&document, object).map(str::to_owned)));
    }
    found.len() > 1 && !found.contains(&None)
}

/// Whether an object of `text` is a namespace.
pub(crate) fn makes_namespaces(text: &str) -> bool {
    // Reading a text takes time, and nearly all have none.
    let documents = if text.contains("Namespace") { parse(text).unwrap_or_default() } else { Vec::new() };
    documents.iter().any(|document| objects(document).iter().any(|(kind, _)| *kind == "Namespace"))
}

/// Whether `document` is of a Compose file, which kubectl does not take.
pub(crate) fn is_compose(document: &Document<'_>) -> bool {
    let has = |key: &str| document.root().is_some_and(|root| document.get(root, key).is_some());
    has("services") && !has("kind") && !has("apiVersion")
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
