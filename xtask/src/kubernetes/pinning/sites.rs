//! Where manifests name images.

use std::collections::BTreeSet;

use crate::kubernetes::kustomization;
use crate::kubernetes::manifest::is_compose;
use crate::kubernetes::yaml::document::{Document, NodeId, Value};

/// Keys whose lists hold containers, in every kind that has a pod's specification somewhere.
const CONTAINER_LISTS: &[&str] = &["containers", "initContainers", "ephemeralContainers"];

/// A place that names an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Site {
    /// The value of `image` of a container or of a Compose service: a whole reference.
    Image(NodeId),
    /// An entry of a kustomization's `images`.
    Kustomization(NodeId),
}

/// The places of `document` that name images, in the text's order; `file` is its file's name, and `further` are
/// paths of keys that lead to images in other objects, by their ends: `templates.container.image`.
///
/// Containers are looked for at any depth, so that items of a `List`, pods within custom
/// resources, and kinds that do not exist yet are found.
pub(crate) fn sites(document: &Document<'_>, file: &str, further: &[String]) -> Vec<Site> {
    // One place may be reached on several ways: by aliases and merges.
    let mut found = BTreeSet::new();
    for (id, node) in document.nodes.iter().enumerate() {
        if !matches!(node.value, Value::Mapping(_)) {
            continue;
        }
        for key in CONTAINER_LISTS {
            let list = document.get(id, key);
            let containers = list.map(|list| document.items(list)).unwrap_or_default();
            found.extend(containers.iter().filter_map(|container| document.get(*container, "image")).map(Site::Image));
        }
        found.extend(patched_image(document, id).map(Site::Image));
        for path in further {
            found.extend(at_path(document, id, path).into_iter().map(Site::Image));
        }
    }
    let root = document.root();
    let at_root = |key: &str| root.and_then(|root| document.get(root, key));
    if kustomization::is_document(document, file) {
        let images = at_root("images").map(|images| document.items(images)).unwrap_or_default();
        found.extend(images.iter().map(|entry| Site::Kustomization(document.target(*entry))));
    } else if is_compose(document) {
        let services = at_root("services").and_then(|services| document.entries(services)).unwrap_or_default();
        found.extend(services.iter().filter_map(|(_, service)| document.get(*service, "image")).map(Site::Image));
    }
    let mut found: Vec<_> = found.into_iter().collect();
    found.sort_by_key(|site| match site {
        Site::Image(id) | Site::Kustomization(id) => *id,
    });
    found
}

/// The image that an operation of a JSON patch writes.
fn patched_image(document: &Document<'_>, operation: NodeId) -> Option<NodeId> {
    document.get(operation, "op")?;
    let path = document.text(document.get(operation, "path")?)?;
    document.get(operation, "value").filter(|_| path.contains("ontainers/") && path.ends_with("/image"))
}

/// What `path`, keys with dots between them, leads to from `start`; lists on the way are gone through.
fn at_path(document: &Document<'_>, start: NodeId, path: &str) -> Vec<NodeId> {
    path.split('.').fold(vec![start], |nodes, key| {
        let each = nodes.iter().flat_map(|node| without_lists(document, *node));
        each.filter_map(|node| document.get(node, key)).collect()
    })
}

/// The items of a list, also of lists in it; anything else itself.
fn without_lists(document: &Document<'_>, node: NodeId) -> Vec<NodeId> {
    match document.items(node) {
        [] => vec![node],
        items => items.iter().flat_map(|item| without_lists(document, *item)).collect(),
    }
}

/// The name of the container, or of the Compose service, that has the image.
pub(crate) fn container_of<'a>(document: &'a Document<'_>, site: Site) -> Option<&'a str> {
    let Site::Image(image) = site else { return None };
    let has = |node: NodeId, value: NodeId| {
        document.entries(node).is_some_and(|entries| entries.iter().any(|(_, found)| *found == value))
    };
    let container = (0..document.nodes.len()).find(|node| document.target(*node) == *node && has(*node, image))?;
    if let Some(name) = document.get(container, "name") {
        return document.text(name);
    }
    let services = document.get(document.root()?, "services")?;
    let (name, _) = document.entries(services)?.iter().find(|(_, service)| *service == container)?;
    document.text(*name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubernetes::yaml::parse::parse;

    /// Texts of the image values found.
    fn images(text: &str, file: &str) -> Vec<String> {
        let documents = parse(text).unwrap();
        let mut found = Vec::new();
        for document in &documents {
            for site in sites(document, file, &[]) {
                found.push(match site {
                    Site::Image(id) => document.text(id).unwrap_or("?").to_owned(),
                    Site::Kustomization(id) => {
                        format!("name {}", document.text(document.get(id, "name").unwrap()).unwrap())
                    }
                });
            }
        }
        found
    }

    #[test]
    fn containers_of_every_kind_and_depth() {
        let pod = "spec: {initContainers: [{image: a}], containers: [{image: b}, {name: none}], ephemeralContainers: [{image: c}]}";
        let kinds = [
            format!("kind: Pod\n{pod}"),
            format!("kind: PodTemplate\ntemplate: {{{pod}}}"),
            format!("kind: Deployment\nspec: {{template: {{{pod}}}}}"),
            format!("kind: CronJob\nspec: {{jobTemplate: {{spec: {{template: {{{pod}}}}}}}}}"),
            format!("kind: List\nitems: [{{kind: Deployment, spec: {{template: {{{pod}}}}}}}]"),
            format!("kind: Rollout\napiVersion: argoproj.io/v1alpha1\nspec: {{template: {{{pod}}}}}"),
        ];
        for kind in &kinds {
            assert_eq!(images(kind, "x.yaml"), ["a", "b", "c"], "{kind}");
        }
        assert_eq!(images(&kinds.join("\n---\n"), "x.yaml").len(), 18);
    }

    #[test]
    fn other_images_are_none_of_ours() {
        let text =
            "kind: ConfigMap\ndata: {image: a, containers: 'image: b'}\nspec: {image: c, containers: {image: d}}";
        assert!(images(text, "x.yaml").is_empty());
        assert!(images("kind: Service\nservices: {a: {image: b}}", "x.yaml").is_empty());
    }

    #[test]
    fn operations_of_json_patches_write_images() {
        let text = "- {op: replace, path: /spec/template/spec/initContainers/0/image, value: x}\n\
                    - {op: add, path: /metadata/labels/image, value: y}\n- {path: /a/containers/0/image, value: z}\n";
        assert_eq!(images(text, "patch.yaml"), ["x"]);
    }

    #[test]
    fn further_paths_lead_through_lists() {
        let text = "kind: Workflow\nspec: {image: no, templates: [{name: a, container: {image: x}}, {script: {image: y}}]}\n\
                    items: [{templates: [[{container: {image: z}}]]}]";
        let documents = parse(text).unwrap();
        let found = sites(&documents[0], "x.yaml", &["templates.container.image".into(), "script.image".into()]);
        let texts: Vec<_> = found
            .iter()
            .map(|site| match site {
                Site::Image(id) | Site::Kustomization(id) => documents[0].text(*id).unwrap(),
            })
            .collect();
        assert_eq!(texts, ["x", "y", "z"]);
    }

    #[test]
    fn containers_and_compose_services_have_names() {
        let names = |text: &str| {
            let documents = parse(text).unwrap();
            let sites = sites(&documents[0], "x.yaml", &[]);
            sites.iter().map(|site| container_of(&documents[0], *site).unwrap_or("-").to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(names("containers: [{name: a, image: x}, {image: y}, {image: z, name: 'b'}]"), ["a", "-", "b"]);
        assert_eq!(names("services: {one: {image: x}, two: {image: y}}"), ["one", "two"]);
    }

    #[test]
    fn compose_services_and_kustomizations() {
        assert_eq!(images("services:\n  a: {image: x}\n  b: {build: .}\n", "compose.yaml"), ["x"]);
        let base = "x-base: &base {image: x}\nservices:\n  a: {<<: *base}\n  b: {<<: *base}\n";
        assert_eq!(images(base, "compose.yaml"), ["x"], "one place, though two services have it");
        let entries = "images:\n- name: x\n- {name: y, newName: z}\n";
        assert_eq!(images(entries, "kustomization.yaml"), ["name x", "name y"]);
        assert_eq!(images(&format!("kind: Component\n{entries}"), "other.yaml"), ["name x", "name y"]);
        assert!(images(entries, "other.yaml").is_empty());
        let flux = format!("apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\n{entries}");
        assert!(images(&flux, "kustomization.yaml").is_empty());
    }
}
