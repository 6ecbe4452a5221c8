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
    fn kustomizations_decide_for_what_they_list() {
        let deployment = "kind: Deployment\nmetadata: {namespace: own}\n";
        assert_eq!(found(&[deployment, "resources: [a.yaml]\nnamespace: all\n"]), ["all"]);
        assert_eq!(found(&["kind: Kustomization\nnamespace: all\n", deployment]), ["all"]);
        assert_eq!(found(&[deployment, "resources: [a.yaml]\n"]), ["own"]);
        let nested = ["resources: [b]\nnamespace: outer", "resources: [a.yaml]\nnamespace: inner", deployment];
        assert_eq!(namespaces(nested.into_iter(), true).into_iter().collect::<Vec<_>>(), ["outer"]);
    }
}
