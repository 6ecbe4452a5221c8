//! What is in an image: the packages of the program, those that took part in building it, those of the base.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use camino::Utf8Path;

use super::system_packages::Distribution;
use crate::image::platform::Platform;
use crate::workspace::components::Component;
use crate::workspace::lockfile::LockFile;
use crate::workspace::resolve::{Node, Resolve};

/// All that an image of one platform is made of.
#[derive(Debug, Clone)]
pub(crate) struct Bill {
    /// The component.
    pub(crate) name: String,
    /// As the image says it.
    pub(crate) version: String,
    pub(crate) platform: Platform,
    /// Rust's name of what is compiled for.
    pub(crate) target: String,
    /// When the image's layers were made, RFC 3339.
    pub(crate) created: String,
    /// By name, version and source.
    pub(crate) packages: Vec<RustPackage>,
    /// What the image builds on.
    pub(crate) base: Option<Base>,
}

/// The image below.
#[derive(Debug, Clone)]
pub(crate) struct Base {
    /// As the settings name it.
    pub(crate) name: String,
    /// What its name led to.
    pub(crate) digest: String,
    /// What its package databases list.
    pub(crate) distribution: Distribution,
}

/// A package that cargo resolved.
#[derive(Debug, Clone)]
pub(crate) struct RustPackage {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) source: Source,
    /// What its manifest says; empty when nothing.
    pub(crate) license: String,
    /// SHA-256 of the published package, in hex; empty when it is not a registry's.
    pub(crate) checksum: String,
    /// Whether it only took part in building: macros, build dependencies, and what these use.
    pub(crate) is_build: bool,
    /// Whether the program is its binary.
    pub(crate) is_root: bool,
    /// Places among all packages, ascending.
    pub(crate) dependencies: Vec<usize>,
}

/// Where a package comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    CratesIo,
    /// Another registry, by its index's address.
    Registry(String),
    /// A repository's address and the commit.
    Git(String, String),
    /// A folder below the workspace root; nothing when it is elsewhere. Never names the checkout.
    Local(Option<String>),
}

/// Tells packages apart.
type Key = (String, String, Source);

/// The packages that the executable of `component` is made from. A package that is compiled for the program and for
/// the building machine is one, and in the program.
///
/// # Errors
/// A component that cargo did not list.
pub(crate) fn packages(
    component: &Component,
    root: &Utf8Path,
    resolve: &Resolve,
    lock: &LockFile,
) -> Result<Vec<RustPackage>> {
    let folder = root.join(&component.package.folder);
    let folder = Utf8Path::new(folder.as_str().trim_end_matches('/'));
    let top =
        resolve.root(folder).with_context(|| format!("`cargo tree` did not list `{}`", component.package.name))?;
    let key = |node: &Node| (node.name.clone(), node.version.clone(), source(node, root, lock));
    let mut all: BTreeMap<Key, RustPackage> = BTreeMap::new();
    let mut uses: BTreeMap<Key, BTreeSet<Key>> = BTreeMap::new();
    for node in resolve.below(top) {
        let entry = lock.entry(&node.locked(), &node.source).filter(|_| node.path.is_none());
        let package = all.entry(key(node)).or_insert_with(|| RustPackage {
            name: node.name.clone(),
            version: node.version.clone(),
            source: source(node, root, lock),
            license: node.license.clone(),
            checksum: entry.map(|entry| entry.checksum.clone()).unwrap_or_default(),
            is_build: true,
            is_root: false,
            dependencies: Vec::new(),
        });
        package.is_build &= node.for_host;
        package.is_root |= node == top;
        uses.entry(key(node)).or_default().extend(resolve.children(node).map(key));
    }
    let places: BTreeMap<Key, usize> = all.keys().cloned().enumerate().map(|(at, key)| (key, at)).collect();
    for (key, package) in &mut all {
        // A package whose build script is compiled with its own library is no dependency of itself.
        let used = uses[key].iter().filter(|used| *used != key);
        package.dependencies = used.map(|used| places[used]).collect();
        package.dependencies.sort_unstable();
    }
    Ok(all.into_values().collect())
}

fn source(node: &Node, root: &Utf8Path, lock: &LockFile) -> Source {
    if let Some(path) = &node.path {
        return Source::Local(path.strip_prefix(root).ok().map(|path| path.to_string()));
    }
    let Some(entry) = lock.entry(&node.locked(), &node.source) else { return Source::CratesIo };
    if entry.is_crates_io() {
        return Source::CratesIo;
    }
    match entry.source.strip_prefix("git+") {
        Some(git) => {
            let (address, commit) = git.split_once('#').unwrap_or((git, ""));
            let address = address.split('?').next().unwrap_or_default();
            Source::Git(address.to_owned(), commit.to_owned())
        }
        None => Source::Registry(entry.source.trim_start_matches("registry+").trim_start_matches("sparse+").to_owned()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::sbom::{cyclonedx, spdx};
    use crate::workspace::packages::Package;

    const TREE: &str = "app v0.1.0 (/w/app)\t\tMIT\t\n\
        |-- derive v0.2.0 (proc-macro) (/else/derive)\t\t\t\n\
        |   `-- syn v2.0.1\tfull\tMIT/Apache-2.0\t\n\
        |-- syn v2.0.1\t\tMIT/Apache-2.0\t\n\
        |-- inner v1.0.0 (registry `ours`)\t\tProprietary, ask us\t\n\
        `-- gitty v1.0.0+x (https://example.com/g?branch=b#abcdef12)\t\t\t\n";
    const LOCK: &str = r#"
        [[package]]
        name = "syn"
        version = "2.0.1"
        source = "registry+https://github.com/rust-lang/crates.io-index"
        checksum = "5b"
        [[package]]
        name = "gitty"
        version = "1.0.0+x"
        source = "git+https://example.com/g?branch=b#abcdef1234567890"
        [[package]]
        name = "gitty"
        version = "1.0.0+x"
        source = "registry+https://github.com/rust-lang/crates.io-index"
        checksum = "99"
        [[package]]
        name = "inner"
        version = "1.0.0"
        source = "sparse+https://index.example.com/"
        checksum = "77"
    "#;

    pub(crate) fn component() -> Component {
        let package = Package {
            name: "app".into(),
            version: "0.1.0".into(),
            folder: "app".into(),
            targets: Vec::new(),
            default_run: None,
            settings: Default::default(),
            description: None,
            license: None,
            homepage: None,
            repository: None,
            authors: Vec::new(),
            manifest: serde_json::Value::Null,
            path_dependencies: Vec::new(),
        };
        Component { name: "app".into(), package, closure: vec!["app".into()], is_default: true }
    }

    /// One of each kind of package, in the checkout `root`.
    pub(crate) fn sample(root: &str) -> Bill {
        let resolve = Resolve::parse(&TREE.replace("/w/", &format!("{root}/"))).unwrap();
        let lock = LockFile::parse(LOCK).unwrap();
        Bill {
            name: "app".into(),
            version: "0.1.0".into(),
            platform: "linux/amd64".parse().unwrap(),
            target: "x86_64-unknown-linux-musl".into(),
            created: "2023-11-14T22:13:20Z".into(),
            packages: packages(&component(), root.into(), &resolve, &lock).unwrap(),
            base: None,
        }
    }

    #[test]
    fn what_the_program_has_is_told_from_what_built_it() {
        let packages = sample("/w").packages;
        let seen: Vec<_> = packages.iter().map(|package| (&*package.name, package.is_build, &package.source)).collect();
        let git = Source::Git("https://example.com/g".into(), "abcdef1234567890".into());
        assert_eq!(
            seen,
            [
                ("app", false, &Source::Local(Some("app".into()))),
                ("derive", true, &Source::Local(None)),
                ("gitty", false, &git),
                ("inner", false, &Source::Registry("https://index.example.com/".into())),
                ("syn", false, &Source::CratesIo),
            ]
        );
        assert_eq!((packages[0].is_root, &*packages[0].dependencies), (true, [1, 2, 3, 4].as_slice()));
        assert_eq!((packages[2].checksum.as_str(), packages[4].checksum.as_str()), ("", "5b"));
    }

    #[test]
    fn documents_say_where_a_bases_list_is_incomplete() {
        let said = |unread: Option<&str>| {
            let distribution = Distribution { unread: unread.map(str::to_owned), ..Distribution::default() };
            let base = Base { name: "oci:base".into(), digest: "sha256:12".into(), distribution };
            let bill = Bill { base: Some(base), ..sample("/w") };
            let [cyclonedx, spdx] = [cyclonedx::text(&bill), spdx::text(&bill)]
                .map(|text| serde_json::from_str::<serde_json::Value>(&text).unwrap());
            let unknown = serde_json::json!({
                "spdxElementId": "SPDXRef-base", "relationshipType": "CONTAINS", "relatedSpdxElement": "NOASSERTION",
            });
            let is_open = spdx["relationships"].as_array().unwrap().contains(&unknown);
            (cyclonedx["compositions"][0]["aggregate"].as_str().map(str::to_owned), is_open)
        };
        assert_eq!(said(Some("var/lib/rpm/rpmdb.sqlite")), (Some("incomplete".to_owned()), true));
        assert_eq!(said(None), (None, false));
    }
}
