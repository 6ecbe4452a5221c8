//! What cargo resolved: the packages and features below each selected package, read from
//! `cargo tree -e no-dev --prefix indent --charset ascii -f 'MARK{p}<TAB>{f}<TAB>{l}<TAB>MARK'`.
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
    /// What its manifest says of its licence; empty when nothing.
    pub(crate) license: String,
    /// Whether it is compiled for the machine that builds, and so is not in the program: macros, build
    /// dependencies, and what these use.
    pub(crate) for_host: bool,
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

/// The format that [`lines`] reads. Who writes a manifest must not know `mark`.
pub(crate) fn tree_format(mark: &str) -> String {
    format!("{mark}{{p}}\t{{f}}\t{{l}}\t{mark}")
}

/// What `cargo tree` printed in [`tree_format`], with one line for each package: cargo prints licences as they are, and
/// one with line breaks could pass for more packages.
pub(crate) fn lines(printed: &str, mark: &str) -> String {
    let parts = printed.split(mark).enumerate();
    parts.map(|(at, part)| if at % 2 == 1 { part.replace(['\n', '\r'], " ") } else { part.to_owned() }).collect()
}

impl Resolve {
    /// Parses the [`lines`] of `cargo tree --prefix indent --charset ascii`.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut resolve = Resolve::default();
        let mut branch: Vec<Node> = Vec::new();
        // The depth whose remaining lines are build dependencies, from the innermost.
        let mut build: Vec<usize> = Vec::new();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let (depth, rest) = indented(line);
            if rest == "[build-dependencies]" {
                // It stands where its parent does.
                build.retain(|known| *known <= depth);
                build.push(depth + 1);
                continue;
            }
            if depth > branch.len() {
                bail!("`cargo tree` printed an unknown line: `{line}`");
            }
            build.retain(|known| *known <= depth);
            branch.truncate(depth);
            let mut node = parse_node(rest)?;
            match branch.last() {
                Some(parent) => {
                    node.for_host |= parent.for_host || build.last() == Some(&depth);
                    resolve.children.entry(parent.clone()).or_default().insert(node.clone());
                }
                None => {
                    node.for_host = false;
                    resolve.roots.insert(node.clone());
                }
            }
            resolve.children.entry(node.clone()).or_default();
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

/// How deep a line is in the tree, and what follows its branches.
fn indented(line: &str) -> (usize, &str) {
    let (mut depth, mut rest) = (0, line);
    while let Some(inner) = ["|   ", "    ", "|-- ", "`-- "].iter().find_map(|branch| rest.strip_prefix(branch)) {
        (depth, rest) = (depth + 1, inner);
    }
    (depth, rest)
}

/// `engine v0.1.0 (proc-macro) (/path)<TAB>features<TAB>licence<TAB>`, maybe followed by ` (*)`.
fn parse_node(text: &str) -> Result<Node> {
    let unknown = || format!("`cargo tree` printed an unknown package: `{text}`");
    let mut fields = text.split('\t');
    let mut field = || fields.next().with_context(unknown);
    let (package, features, license) = (field()?, field()?, field()?);
    let (name, rest) = package.split_once(" v").with_context(unknown)?;
    let (version, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let is_macro = rest.starts_with("(proc-macro)");
    let rest = rest.trim_start_matches("(proc-macro)").trim();
    let inner = rest.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).unwrap_or(rest);
    let is_path = Utf8PathBuf::from(inner).is_absolute();
    Ok(Node {
        name: name.to_owned(),
        version: version.to_owned(),
        path: is_path.then(|| inner.into()),
        source: if is_path { String::new() } else { inner.to_owned() },
        features: features.to_owned(),
        license: license.to_owned(),
        for_host: is_macro,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "app v0.1.0 (/w/app)\tdefault\tMIT\t\n\
        |-- derive v0.2.0 (proc-macro) (/w/derive)\t\t\t\n\
        |   |-- syn v2.0.1\tfull,parsing\tMIT OR Apache-2.0\t\n\
        |   [build-dependencies]\n\
        |   `-- cc v1.0.0\t\t\t\n\
        |-- log v0.4.0\tstd\t\t\n\
        |   [build-dependencies]\n\
        |   |-- cc v1.0.0\t\t\t (*)\n\
        |   |   `-- jobs v1.0.0\t\t\t\n\
        |   `-- version_check v1.0.0\t\t\t\n\
        `-- syn v2.0.1\tfull,parsing\tMIT OR Apache-2.0\t\n\
        \n\
        tool v0.1.0 (/w/my tool)\t\t\t\n\
        |-- derive v0.2.0 (proc-macro) (/w/derive)\t\t\t (*)\n\
        `-- gitty v1.0.0 (https://example.com/g#abc)\t\t\t\n\
        [build-dependencies]\n\
        `-- log v0.4.0\tstd\t\t\n";

    #[test]
    fn a_tree_becomes_a_graph_and_repeated_nodes_keep_their_children() {
        let resolve = Resolve::parse(TREE).unwrap();
        let tool = resolve.root("/w/my tool".into()).unwrap();
        let names: Vec<_> = resolve.below(tool).into_iter().map(|node| node.name.as_str()).collect();
        assert_eq!(names, ["cc", "derive", "gitty", "jobs", "log", "syn", "tool"]);
        let app = resolve.root("/w/app".into()).unwrap();
        assert_eq!((app.feature_list().collect::<Vec<_>>(), app.license.as_str()), (vec!["default"], "MIT"));
        assert!(resolve.root("/w/derive".into()).is_none());
    }

    /// `syn` is in the program and used by a macro; what follows a build dependency's own is not below it.
    #[test]
    fn what_is_compiled_for_the_building_machine_is_told_from_the_program() {
        let resolve = Resolve::parse(TREE).unwrap();
        let below = |folder: &str, for_host: bool| {
            let below = resolve.below(resolve.root(folder.into()).unwrap());
            below.into_iter().filter(|node| node.for_host == for_host).map(|node| &*node.name).collect::<Vec<_>>()
        };
        assert_eq!(below("/w/app", false), ["app", "log", "syn"]);
        assert_eq!(below("/w/app", true), ["cc", "derive", "jobs", "syn", "version_check"]);
        assert_eq!(below("/w/my tool", false), ["gitty", "tool"]);
    }

    #[test]
    fn a_licence_is_one_text_whatever_it_holds() {
        let format = tree_format("#7f#").replace("{f}", "");
        let line = |package: &str, license: &str| format.replace("{p}", package).replace("{l}", license);
        let root = line("app v0.1.0 (/w/app)", "MIT\n|-- evil v1.0.0\t\t\t\r\n[build-dependencies]\n");
        let printed = format!("{root}\n`-- {} (*)\n", line("log v0.4.0", "MIT"));
        let resolve = Resolve::parse(&lines(&printed, "#7f#")).unwrap();
        let names: Vec<_> = resolve.nodes().map(|node| (&*node.name, &*node.license, node.for_host)).collect();
        assert_eq!(names, [("app", "MIT |-- evil v1.0.0", false), ("log", "MIT", false)]);
    }

    #[test]
    fn unknown_output_is_an_error() {
        assert!(Resolve::parse("app v0.1.0\t").is_err());
        assert!(Resolve::parse("app\t\t\t").is_err());
        assert!(Resolve::parse("|   `-- app v1\t\t\t").is_err());
    }
}
