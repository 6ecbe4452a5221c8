//! What is applied at once: a kustomization and what that is made of, or files.

use camino::{Utf8Path, Utf8PathBuf};

use super::yaml::document::{Document, NodeId};
use super::yaml::parse::parse;

/// Names of files that kustomize takes for kustomizations.
const NAMES: &[&str] = &["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// What one `kubectl apply` gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// A kustomization: its folder, and the files that it leads to, its own first.
    Kustomization(Utf8PathBuf, Vec<Utf8PathBuf>),
    Files(Vec<Utf8PathBuf>),
}

impl Entry {
    pub(crate) fn files(&self) -> &[Utf8PathBuf] {
        let (Entry::Kustomization(_, files) | Entry::Files(files)) = self;
        files
    }

    /// What names it to kubectl, from the workspace's root.
    pub(crate) fn arguments(&self) -> Vec<String> {
        match self {
            Entry::Kustomization(folder, _) => vec![format!("--kustomize={folder}")],
            Entry::Files(files) => files.iter().map(|file| format!("--filename={file}")).collect(),
        }
    }
}

/// What one file of a kustomization names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Kustomization {
    /// Whether it is a component, which only others can include.
    pub(crate) is_component: bool,
    /// Whether it takes in what is not here: repositories of others, charts, what plugins make.
    pub(crate) has_unseen: bool,
    /// Files and folders with objects or changes to them, as they are written, remote ones left out.
    pub(crate) names: Vec<String>,
}

/// Whether `document` of `file` is a kustomization: by its kind, or without one by the file's name.
pub(crate) fn is_document(document: &Document<'_>, file: &str) -> bool {
    let root = document.root();
    let text = |key: &str| root.and_then(|root| document.get(root, key)).and_then(|id| document.text(id));
    let kustomize = text("apiVersion").is_none_or(|version| version.starts_with("kustomize.config.k8s.io/"));
    match text("kind") {
        Some(kind) => kustomize && ["Kustomization", "Component"].contains(&kind),
        None => kustomize && NAMES.contains(&file),
    }
}

/// Whether kustomize takes a file of this name for a kustomization.
pub(crate) fn is_file(path: &Utf8Path) -> bool {
    path.file_name().is_some_and(|name| NAMES.contains(&name))
}

/// What a kustomization means by `path`: this file, or the kustomization in this folder.
pub(crate) fn candidates(path: Utf8PathBuf) -> impl Iterator<Item = Utf8PathBuf> {
    std::iter::once(path.clone()).chain(NAMES.iter().map(move |name| path.join(name)))
}

/// Reads the kustomization `text` of the file `file`. What is no YAML names nothing: pinning tells what is wrong.
pub(crate) fn read(text: &str, file: &str) -> Kustomization {
    let mut found = Kustomization::default();
    for document in parse(text).unwrap_or_default() {
        let Some(root) = document.root().filter(|_| is_document(&document, file)) else { continue };
        let kind = document.get(root, "kind").and_then(|kind| document.text(kind));
        found.is_component |= kind == Some("Component");
        let unseen = ["helmCharts", "generators", "transformers", "configurations"];
        found.has_unseen |= unseen.iter().any(|key| document.get(root, key).is_some());
        for key in ["resources", "bases", "components", "patchesStrategicMerge", "generators", "transformers"] {
            found.names.extend(items(&document, root, key).filter_map(|item| document.text(item)).map(str::to_owned));
        }
        for key in ["patches", "patchesJson6902", "replacements"] {
            let paths = items(&document, root, key).filter_map(|item| document.get(item, "path"));
            found.names.extend(paths.filter_map(|path| document.text(path)).map(str::to_owned));
        }
    }
    // A patch that is written out has more than one line.
    found.names.retain(|name| !name.contains('\n'));
    let files = found.names.len();
    found.names.retain(|name| is_local(name));
    found.has_unseen |= found.names.len() < files;
    found
}

fn items<'a>(document: &'a Document<'_>, root: NodeId, key: &str) -> impl Iterator<Item = NodeId> + use<'a> {
    document.get(root, key).map(|list| document.items(list)).unwrap_or_default().iter().copied()
}

/// Whether a name is of a file: no patch that is written out, no URL, no repository's address.
fn is_local(name: &str) -> bool {
    let first = name.split('/').next().unwrap_or_default();
    let is_host = name.contains('/') && !first.starts_with('.') && first.contains('.');
    !name.is_empty() && !is_host && !name.contains([':', '?']) && !name.trim_start_matches('/').contains("//")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_all_kinds_are_named_and_remote_ones_are_not() {
        let text = "resources: [../base, a.yaml, https://x.io/a.yaml, github.com/o/r//k?ref=v1, git@github.com:o/r.git]\n\
                    bases:\n- ./b\ncomponents: [c]\npatches:\n- path: p.yaml\n- patch: |\n    kind: x\n\
                    patchesStrategicMerge: [s.yaml, \"kind: x\\nimage: y\"]\npatchesJson6902: [{path: j.json}]\n";
        let found = read(text, "kustomization.yaml");
        assert_eq!(found.names, ["../base", "a.yaml", "./b", "c", "s.yaml", "p.yaml", "j.json"]);
        assert!(!found.is_component && found.has_unseen);
        assert!(!read("resources: [a]\npatchesStrategicMerge: [\"a: b\\nc: d\"]\n", "Kustomization").has_unseen);
        assert!(read("kind: Component\nresources: [a]", "Kustomization").is_component);
        for other in ["{{ broken", "", "kind: Deployment\nresources: [a]\n"] {
            assert_eq!(read(other, "kustomization.yaml"), Kustomization::default(), "{other}");
        }
    }
}
