//! The files around a workspace as the model knows them, links and all.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    File {
        text: String,
        is_executable: bool,
    },
    /// Where it leads, relative to its folder.
    Link(String),
}

/// Files by their path from the folder that holds the workspace (`ws/…`) and what is outside it.
#[derive(Debug, Clone, Default)]
pub(super) struct Tree(pub(super) BTreeMap<String, Node>);

impl Tree {
    /// Puts a file there.
    pub(super) fn write(&mut self, path: &str, text: impl Into<String>) {
        self.0.insert(path.to_owned(), Node::File { text: text.into(), is_executable: false });
    }

    /// Puts a link there that leads to `target`, itself a path of the tree.
    pub(super) fn link(&mut self, path: &str, target: impl AsRef<str>) {
        self.0.insert(path.to_owned(), Node::Link(relative(folder_of(path), target.as_ref())));
    }

    /// Where `path` leads, all links followed; nothing is promised to be there.
    pub(super) fn real(&self, path: &str) -> String {
        let mut real = String::new();
        for part in path.split('/') {
            real = if real.is_empty() { part.to_owned() } else { format!("{real}/{part}") };
            while let Some(Node::Link(target)) = self.0.get(&real) {
                real = self.real(&tidy(&format!("{}/{target}", folder_of(&real))));
            }
        }
        real
    }

    /// The text of the file to which `path` leads.
    pub(super) fn text(&self, path: &str) -> Option<&str> {
        match self.0.get(&self.real(path)) {
            Some(Node::File { text, .. }) => Some(text),
            _ => None,
        }
    }

    /// Whether `path` leads to a file that may be run.
    pub(super) fn is_executable(&self, path: &str) -> bool {
        matches!(self.0.get(&self.real(path)), Some(Node::File { is_executable: true, .. }))
    }

    fn names_in(&self, real: &str) -> BTreeSet<&str> {
        let prefix = format!("{real}/");
        let below = self.0.range(prefix.clone()..).take_while(|(path, _)| path.starts_with(&prefix));
        below.filter_map(|(path, _)| path[prefix.len()..].split('/').next()).collect()
    }

    /// The paths of all files below `folder`, links followed, for which `choose` says yes, as it has to for each
    /// folder that leads to them.
    pub(super) fn files_below(&self, folder: &str, choose: &dyn Fn(&str) -> bool) -> Vec<String> {
        let mut found = Vec::new();
        for name in self.names_in(&self.real(folder)) {
            let path = format!("{folder}/{name}");
            if !choose(&path) {
                continue;
            }
            if self.text(&path).is_some() {
                found.push(path);
            } else {
                found.extend(self.files_below(&path, choose));
            }
        }
        found
    }

    /// Makes the disk below `top` hold `self` where it held `before`.
    pub(super) fn lay_out(&self, top: &Path, before: &Tree) {
        for path in before.0.keys().filter(|path| !self.0.contains_key(*path)) {
            fs::remove_file(top.join(path)).unwrap_or_else(|error| panic!("cannot remove {path}: {error}"));
        }
        for (path, node) in self.0.iter().filter(|(path, node)| before.0.get(*path) != Some(node)) {
            let place = top.join(path);
            let failed = |error| panic!("cannot write {path}: {error}");
            fs::create_dir_all(place.parent().expect("a parent")).unwrap_or_else(failed);
            let is_link = |node: Option<&Node>| matches!(node, Some(Node::Link(_)));
            if is_link(Some(node)) || is_link(before.0.get(path)) {
                let _ = fs::remove_file(&place);
            }
            match node {
                Node::Link(target) => std::os::unix::fs::symlink(target, &place).unwrap_or_else(failed),
                Node::File { text, is_executable } => {
                    fs::write(&place, text).unwrap_or_else(failed);
                    let mode = if *is_executable { 0o755 } else { 0o644 };
                    fs::set_permissions(&place, fs::Permissions::from_mode(mode)).unwrap_or_else(failed);
                }
            }
        }
    }
}

/// The folder of a path.
pub(super) fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// The last part of a path.
pub(super) fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// `target` as seen from `folder`, both from the top.
pub(super) fn relative(folder: &str, target: &str) -> String {
    let (from, to): (Vec<&str>, Vec<&str>) = (folder.split('/').collect(), target.split('/').collect());
    let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = from.iter().skip(common).map(|_| "..");
    up.chain(to.iter().skip(common).copied()).collect::<Vec<_>>().join("/")
}

fn tidy(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}
