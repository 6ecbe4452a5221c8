//! Which paths the file system of a stack of layers has, and the few texts in it that say where
//! libraries are, and which packages it has. Pure.
//!
//! Follows what engines do when they apply layers (OCI image-spec, image layer filesystem
//! changeset): whiteouts hide what lower layers have, and parents may be symlinks.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::sbom::system_packages::is_database;

/// As many symlinks as Linux follows before it gives up.
const MAX_SYMLINKS: usize = 40;
const WHITEOUT: &str = ".wh.";
const LOADER: &str = "etc/ld.so.conf";
const OPAQUE: &str = ".wh..wh..opq";

/// One entry of a layer, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LayerEntry {
    /// The path as the tar file has it.
    pub(crate) path: String,
    pub(crate) kind: LayerEntryKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LayerEntryKind {
    Directory,
    /// A symlink to this target.
    Symlink(String),
    /// A file that [`FileTree::keeps_text_of`] names, with its text.
    Text(String),
    Other,
}

/// The paths of a file system.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct FileTree {
    /// By path without leading slash.
    nodes: BTreeMap<String, Node>,
}

/// What is at a path.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Node {
    Link(String),
    Text(String),
    Other,
}

impl FileTree {
    /// Whether the content of the file at `path`, as a tar file has it, is kept: those that tell the
    /// dynamic loader where libraries are, and those that list packages.
    pub(super) fn keeps_text_of(path: &str) -> bool {
        let path = path.trim_start_matches("./").trim_start_matches('/');
        path.starts_with(LOADER) || is_database(path)
    }

    /// The kept texts that tell the dynamic loader where libraries are.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &str> {
        self.entries().filter(|(path, _)| path.starts_with(LOADER)).filter_map(|(_, text)| text)
    }

    /// All paths, with their texts where these are kept.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.nodes.iter().map(|(path, node)| match node {
            Node::Text(text) => (path.as_str(), Some(text.as_str())),
            Node::Link(_) | Node::Other => (path.as_str(), None),
        })
    }

    /// Applies the next layer.
    pub(crate) fn apply(&mut self, layer: &[LayerEntry]) {
        // Whiteouts concern lower layers only, wherever they stand in the tar file.
        for entry in layer {
            let Some((parent, name)) = split(&entry.path) else { continue };
            if name == OPAQUE {
                let parent = self.real(&parent);
                self.remove_below(&parent);
            } else if let Some(hidden) = name.strip_prefix(WHITEOUT) {
                let path = join(&self.real(&parent), hidden);
                self.remove_below(&path);
                self.nodes.remove(&path);
            }
        }
        for entry in layer {
            let Some((parent, name)) = split(&entry.path) else { continue };
            if !name.starts_with(WHITEOUT) {
                self.insert(&parent, name, &entry.kind);
            }
        }
    }

    /// Whether there is something at `path`, following symlinks.
    pub(crate) fn contains(&self, path: &str) -> bool {
        self.find(path).is_some()
    }

    /// What `path` leads to when all symlinks are followed, without leading slash.
    pub(crate) fn find(&self, path: &str) -> Option<String> {
        self.resolve(path).filter(|path| path.is_empty() || self.nodes.contains_key(path))
    }

    fn insert(&mut self, parent: &str, name: &str, kind: &LayerEntryKind) {
        let parent = self.real(parent);
        for (at, _) in parent.match_indices('/').chain([(parent.len(), "")]) {
            if at > 0 {
                self.nodes.entry(parent[..at].to_owned()).or_insert(Node::Other);
            }
        }
        let path = join(&parent, name);
        match kind {
            // A directory goes into what is there, unless that is something else.
            LayerEntryKind::Directory => {
                self.nodes.insert(path, Node::Other);
            }
            LayerEntryKind::Symlink(target) => {
                self.remove_below(&path);
                self.nodes.insert(path, Node::Link(target.clone()));
            }
            LayerEntryKind::Text(text) => {
                self.remove_below(&path);
                self.nodes.insert(path, Node::Text(text.clone()));
            }
            LayerEntryKind::Other => {
                self.remove_below(&path);
                self.nodes.insert(path, Node::Other);
            }
        }
    }

    fn remove_below(&mut self, path: &str) {
        let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
        self.nodes.retain(|node, _| !node.starts_with(&prefix));
    }

    /// Where a directory really is; a path that cannot be followed stays as it is.
    fn real(&self, path: &str) -> String {
        self.resolve(path).unwrap_or_else(|| path.to_owned())
    }

    /// Follows all symlinks of `path`; parts that do not exist are kept as they are written.
    /// `None` when the symlinks never end.
    fn resolve(&self, path: &str) -> Option<String> {
        let mut left: VecDeque<String> = path.split('/').map(str::to_owned).collect();
        let mut done = String::new();
        let mut followed = 0;
        while let Some(part) = left.pop_front() {
            match part.as_str() {
                "" | "." => {}
                ".." => done.truncate(done.rfind('/').unwrap_or(0)),
                name => {
                    let next = join(&done, name);
                    let Some(Node::Link(target)) = self.nodes.get(&next) else {
                        done = next;
                        continue;
                    };
                    followed += 1;
                    if followed > MAX_SYMLINKS {
                        return None;
                    }
                    if target.starts_with('/') {
                        done.clear();
                    }
                    for part in target.split('/').rev() {
                        left.push_front(part.to_owned());
                    }
                }
            }
        }
        Some(done)
    }
}

fn join(parent: &str, name: &str) -> String {
    if parent.is_empty() { name.to_owned() } else { format!("{parent}/{name}") }
}

/// The parent, plain and without leading slash, and the last part; `None` for the root itself
/// and for paths that leave it, which engines refuse.
fn split(path: &str) -> Option<(String, &str)> {
    let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    if parts.contains(&"..") {
        return None;
    }
    let (name, parent) = parts.split_last()?;
    Some((parent.join("/"), name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(entries: &[(&str, &str)]) -> Vec<LayerEntry> {
        let entry = |(path, kind): &(&str, &str)| LayerEntry {
            path: (*path).to_owned(),
            kind: match *kind {
                "dir" => LayerEntryKind::Directory,
                "file" => LayerEntryKind::Other,
                target => LayerEntryKind::Symlink(target.to_owned()),
            },
        };
        entries.iter().map(entry).collect()
    }

    #[test]
    fn follows_symlinks_across_layers() {
        let mut tree = FileTree::default();
        tree.apply(&layer(&[("./usr/lib/", "dir"), ("./lib", "usr/lib"), ("./lib64", "/usr/lib64")]));
        tree.apply(&layer(&[("usr/lib64/ld.so", "../lib/x86_64/ld-2.so")]));
        assert!(!tree.contains("/lib64/ld.so"), "dangling");
        tree.apply(&layer(&[("lib/x86_64/ld-2.so", "file")]));
        assert!(tree.contains("/lib64/ld.so"));
        assert!(tree.contains("/usr/lib/x86_64/ld-2.so"), "a parent was a symlink");
        assert!(tree.contains("/usr/lib/x86_64"), "parents without entries exist");
        assert!(tree.contains("/") && tree.contains("lib/../lib/./x86_64"));
    }

    #[test]
    fn symlinks_that_never_end_are_missing() {
        let mut tree = FileTree::default();
        tree.apply(&layer(&[("a", "b"), ("b", "a"), ("c", "../../c2"), ("c2", "file")]));
        assert!(!tree.contains("a"));
        assert!(!tree.contains("a/x"));
        assert!(tree.contains("c"), "`..` of the root is the root");
    }

    #[test]
    fn whiteouts_hide_lower_layers_alone() {
        let mut tree = FileTree::default();
        tree.apply(&layer(&[("etc/a", "file"), ("etc/b", "file"), ("opt/x/y", "file"), ("etcetera", "file")]));
        tree.apply(&layer(&[("etc/.wh.a", "file"), ("opt/new", "file"), ("opt/.wh..wh..opq", "file")]));
        assert!(!tree.contains("etc/a") && tree.contains("etc/b"));
        assert!(!tree.contains("opt/x/y") && !tree.contains("opt/x"));
        assert!(tree.contains("opt/new"), "an opaque directory keeps its own layer's files");
        tree.apply(&layer(&[(".wh.etc", "file")]));
        assert!(!tree.contains("etc") && !tree.contains("etc/b") && tree.contains("etcetera"));
    }

    #[test]
    fn other_kinds_replace_what_is_there() {
        let mut tree = FileTree::default();
        tree.apply(&layer(&[("lib/a", "file"), ("bin", "usr/bin"), ("usr/bin/sh", "file")]));
        tree.apply(&layer(&[("lib", "usr/lib"), ("bin", "dir")]));
        assert!(!tree.contains("lib/a"));
        assert!(!tree.contains("bin/sh"), "a directory entry replaces a symlink");
        tree.apply(&layer(&[("usr", "dir"), ("../evil", "file")]));
        assert!(tree.contains("usr/bin/sh") && !tree.contains("evil"));
    }
}
