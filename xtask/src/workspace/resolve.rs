//! What cargo resolved: the packages and features below each selected package, read from
//! `cargo tree -e no-dev --prefix depth -f '{p}<TAB>{f}<TAB>'`.
//!
//! `cargo tree` matches the build; `cargo metadata` over-reports features and optional
//! dependencies.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use camino::Utf8PathBuf;

use super::lockfile::NameVersion;

/// One package with one set of features. A package that is built twice (for the host and for the
/// target) with different features is two nodes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Node {
    /// Name of the package.
    pub(crate) name: String,
    /// Version, without the `v`.
    pub(crate) version: String,
    /// Folder of a path package, else nothing.
    pub(crate) path: Option<Utf8PathBuf>,
    /// What follows the version for any other source (a git URL, another registry).
    pub(crate) source: String,
    /// Enabled features, as cargo prints them.
    pub(crate) features: String,
}

impl Node {
    /// Key of the lock file's entry.
    pub(crate) fn locked(&self) -> NameVersion {
        (self.name.clone(), self.version.clone())
    }

    /// The enabled features one by one.
    pub(crate) fn feature_list(&self) -> impl Iterator<Item = &str> {
        self.features.split(',').filter(|feature| !feature.is_empty())
    }
}

/// The resolved dependency graph of one platform.
#[derive(Debug, Clone, Default)]
pub(crate) struct Resolve {
    roots: BTreeSet<Node>,
    children: BTreeMap<Node, BTreeSet<Node>>,
}

/// The format that [`Resolve::parse`] reads.
pub(crate) const TREE_FORMAT: &str = "{p}\t{f}\t";

impl Resolve {
    /// Parses the output of `cargo tree --prefix depth --format TREE_FORMAT`.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut resolve = Resolve::default();
        let mut branch: Vec<Node> = Vec::new();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let digits = line.find(|c: char| !c.is_ascii_digit()).unwrap_or(line.len());
            let depth: usize =
                line[..digits].parse().with_context(|| format!("`cargo tree` printed an unknown line: `{line}`"))?;
            let node = parse_node(&line[digits..])?;
            if depth > branch.len() {
                bail!("`cargo tree` printed an unknown line: `{line}`");
            }
            branch.truncate(depth);
            resolve.children.entry(node.clone()).or_default();
            match branch.last() {
                Some(parent) => {
                    resolve.children.entry(parent.clone()).or_default().insert(node.clone());
                }
                None => {
                    resolve.roots.insert(node.clone());
                }
            }
            branch.push(node);
        }
        Ok(resolve)
    }

    /// The selected package in `folder`, as a root of the graph.
    pub(crate) fn root(&self, folder: &camino::Utf8Path) -> Option<&Node> {
        self.roots.iter().find(|node| node.path.as_deref() == Some(folder))
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.children.keys()
    }

    /// The nodes directly below `node`.
    pub(crate) fn children<'a>(&'a self, node: &Node) -> impl Iterator<Item = &'a Node> + use<'a> {
        self.children.get(node).into_iter().flatten()
    }

    /// All nodes from `root` down, itself included.
    pub(crate) fn below<'a>(&'a self, root: &'a Node) -> BTreeSet<&'a Node> {
        let mut seen = BTreeSet::from([root]);
        let mut open = vec![root];
        while let Some(node) = open.pop() {
            for child in self.children(node) {
                if seen.insert(child) {
                    open.push(child);
                }
            }
        }
        seen
    }
}

/// `engine v0.1.0 (proc-macro) (/path)<TAB>features<TAB>`, maybe followed by ` (*)`.
fn parse_node(text: &str) -> Result<Node> {
    let unknown = || format!("`cargo tree` printed an unknown package: `{text}`");
    let mut fields = text.split('\t');
    let package = fields.next().with_context(unknown)?;
    let features = fields.next().with_context(unknown)?;
    let (name, rest) = package.split_once(" v").with_context(unknown)?;
    let (version, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let rest = rest.trim_start_matches("(proc-macro)").trim();
    let inner = rest.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).unwrap_or(rest);
    let is_path = Utf8PathBuf::from(inner).is_absolute();
    Ok(Node {
        name: name.to_owned(),
        version: version.to_owned(),
        path: is_path.then(|| inner.into()),
        source: if is_path { String::new() } else { inner.to_owned() },
        features: features.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "0app v0.1.0 (/w/app)\tdefault\t\n\
        1derive v0.2.0 (proc-macro) (/w/derive)\t\t\n\
        2syn v2.0.1\tfull,parsing\t\n\
        1log v0.4.0\tstd\t\n\
        0tool v0.1.0 (/w/my tool)\t\t\n\
        1derive v0.2.0 (proc-macro) (/w/derive)\t\t (*)\n\
        1gitty v1.0.0 (https://example.com/g#abc)\t\t\n";

    #[test]
    fn a_tree_becomes_a_graph_and_repeated_nodes_keep_their_children() {
        let resolve = Resolve::parse(TREE).unwrap();
        let tool = resolve.root("/w/my tool".into()).unwrap();
        let names: Vec<_> = resolve.below(tool).into_iter().map(|node| node.name.as_str()).collect();
        assert_eq!(names, ["derive", "gitty", "syn", "tool"]);
        let app = resolve.root("/w/app".into()).unwrap();
        assert_eq!(app.feature_list().collect::<Vec<_>>(), ["default"]);
        assert!(resolve.below(app).iter().any(|node| node.name == "log"));
        assert!(resolve.root("/w/derive".into()).is_none());
    }

    #[test]
    fn unknown_output_is_an_error() {
        assert!(Resolve::parse("app v0.1.0\t\t").is_err());
        assert!(Resolve::parse("0app\t\t").is_err());
        assert!(Resolve::parse("2app v1\t\t").is_err());
    }
}
