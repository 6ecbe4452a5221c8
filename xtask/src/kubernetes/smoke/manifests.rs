//! What smoke reads from manifests without a cluster: the namespace they are for.

use std::collections::BTreeSet;

use crate::kubernetes::yaml::document::{Document, NodeId};
use crate::kubernetes::yaml::parse::parse;

/// The namespaces that the Deployments of `texts` end up in. Of a kustomization the first text is the outermost,
/// which decides for all. What is no YAML says nothing: this only chooses a default, and kubectl says what is
/// wrong when it applies.
pub(crate) fn namespaces<'a>(texts: impl Iterator<Item = &'a str>, is_kustomization: bool) -> BTreeSet<String> {
    let mut found = Namespaces::default();
    for text in texts {
        for document in parse(text).unwrap_or_default() {
            if let Some(root) = document.root() {
                found.look_at(&document, root);
            }
        }
        if is_kustomization && !found.kustomized.is_empty() {
            break;
        }
    }
    if found.kustomized.is_empty() { found.own } else { found.kustomized }
}

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

#[derive(Default)]
struct Namespaces {
    /// By kustomizations: all that they list goes there.
    kustomized: BTreeSet<String>,
    /// By Deployments themselves.
    own: BTreeSet<String>,
}

impl Namespaces {
    fn look_at(&mut self, document: &Document<'_>, object: NodeId) {
        let text = |of: NodeId, key: &str| document.get(of, key).and_then(|value| document.text(value));
        let name = |of: NodeId| text(of, "namespace").filter(|name| !name.is_empty()).map(str::to_owned);
        match text(object, "kind") {
            Some("Deployment") => self.own.extend(document.get(object, "metadata").and_then(name)),
            Some("List") => {
                for item in document.get(object, "items").map(|items| document.items(items)).unwrap_or_default() {
                    self.look_at(document, *item);
                }
            }
            Some("Kustomization") => self.kustomized.extend(name(object)),
            // Kustomizations may leave their kind out.
            None if document.get(object, "resources").is_some() => self.kustomized.extend(name(object)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(texts: &[&str]) -> Vec<String> {
        namespaces(texts.iter().copied(), false).into_iter().collect()
    }

    #[test]
    fn deployments_say_where_they_go_however_it_is_written() {
        for text in [
            "kind: Deployment\nmetadata:\n  name: a\n  namespace: demon-system\n",
            "kind: Namespace\nmetadata: { name: b }\n---\nkind: Deployment\nmetadata: { name: a, namespace: demon-system }\n",
            "kind: Deployment\nmetadata:\r\n  namespace: \"demon-system\" # here\r\n",
            r#"{"kind":"Deployment","metadata":{"namespace":"demon-system"}}"#,
            "kind: List\nitems:\n- kind: Deployment\n  metadata: {namespace: 'demon-system'}\n",
        ] {
            assert_eq!(found(&[text]), ["demon-system"], "{text}");
        }
        let elsewhere = "kind: RoleBinding\nmetadata: {namespace: kube-system}\nsubjects: [{namespace: other}]\n";
        for text in [elsewhere, "# namespace: x", "kind: Deployment\nmetadata: {name: a}", "{{ broken"] {
            assert!(found(&[text]).is_empty(), "{text}");
        }
    }

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

    #[test]
    fn kustomizations_decide_for_what_they_list() {
        let deployment = "kind: Deployment\nmetadata: {namespace: own}\n";
        assert_eq!(found(&[deployment, "resources: [a.yaml]\nnamespace: all\n"]), ["all"]);
        assert_eq!(found(&["kind: Kustomization\nnamespace: all\n", deployment]), ["all"]);
        assert_eq!(found(&[deployment, "resources: [a.yaml]\n"]), ["own"]);
        let nested = ["resources: [b]\nnamespace: outer", "resources: [a.yaml]\nnamespace: inner", deployment];
        assert_eq!(namespaces(nested.into_iter(), true).into_iter().collect::<Vec<_>>(), ["outer"]);
    }
}
