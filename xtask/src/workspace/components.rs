//! Components: the binaries of the workspace that become images.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use camino::{Utf8Path, Utf8PathBuf};

use super::names::known_names;
use super::packages::{Package, Packages, Target};
use super::resolve::{Node, Resolve};
use super::selection::Selection;
use crate::errors::hinted;
use crate::image::platform::Platform;

/// One binary target of a workspace member that becomes one image.
#[derive(Debug, Clone)]
pub(crate) struct Component {
    /// Name of the binary, of the image and of the component.
    pub(crate) name: String,
    /// The member it belongs to.
    pub(crate) package: Package,
    /// Folders (below the root, or absolute when outside it) of the path packages it is compiled
    /// from, itself included; sorted.
    pub(crate) closure: Vec<Utf8PathBuf>,
    /// Whether the package's Dockerfile builds this binary when no stage is named.
    pub(crate) is_default: bool,
}

impl Component {
    /// All packages that it is compiled from, on whatever platform.
    pub(crate) fn nodes<'a>(&self, packages: &Packages, resolves: &'a Resolves) -> BTreeSet<&'a Node> {
        let folder = absolute(&packages.root, &self.package.folder);
        let below = |resolve: &'a Resolve| resolve.root(&folder).map(|root| resolve.below(root)).unwrap_or_default();
        resolves.values().flat_map(below).collect()
    }
}

/// The resolved graph of each platform.
pub(crate) type Resolves = BTreeMap<Platform, Resolve>;

/// The components called `names`, in the workspace's order; all of them when `names` is empty.
///
/// # Errors
/// `Unknown service(s) requested: …`, with the nearest names.
pub(crate) fn select<'a>(components: &'a [Component], names: &[String]) -> Result<Vec<&'a Component>> {
    known_names(names, components.iter().map(|component| component.name.as_str()), "this workspace")?;
    let names: BTreeSet<_> = names.iter().map(String::as_str).collect();
    Ok(components.iter().filter(|component| names.is_empty() || names.contains(component.name.as_str())).collect())
}

/// Finds the components of the selected packages.
///
/// # Errors
/// Two binaries of one name, or of names that differ only in case; a binary that would be built together
/// with one that is no component.
pub(crate) fn discover(packages: &Packages, selection: &Selection, resolves: &Resolves) -> Result<Vec<Component>> {
    let mut components = Vec::new();
    for package in packages.members.iter().filter(|member| selection.folders.contains(&member.folder)) {
        let folder = &package.folder;
        let mut nodes = BTreeSet::new();
        let mut binaries: Vec<&Target> = Vec::new();
        for resolve in resolves.values() {
            let root = resolve
                .root(&absolute(&packages.root, folder))
                .with_context(|| format!("`cargo tree` did not list package `{}` in `{folder}`", package.name))?;
            nodes.extend(resolve.below(root));
            binaries.extend(package.binaries().filter(|binary| is_enabled(binary, root, resolve)));
        }
        let closure: BTreeSet<_> = nodes
            .iter()
            .filter_map(|node| node.path.as_deref())
            .map(|path| path.strip_prefix(&packages.root).unwrap_or(path).to_owned())
            .collect();
        binaries.sort_by(|a, b| a.name.cmp(&b.name));
        binaries.dedup_by(|a, b| a.name == b.name);
        binaries.retain(|binary| !packages.is_excluded(package, binary));
        let default = binaries
            .iter()
            .position(|binary| Some(&binary.name) == package.default_run.as_ref())
            .or_else(|| binaries.iter().position(|binary| binary.name == package.name))
            .unwrap_or(0);
        components.extend(binaries.iter().enumerate().map(|(position, binary)| Component {
            name: binary.name.clone(),
            package: package.clone(),
            closure: closure.iter().cloned().collect(),
            is_default: position == default,
        }));
    }
    components.sort_by(|a, b| a.name.cmp(&b.name));
    refuse_doubles(&components)?;
    refuse_twins(&components, packages, selection)?;
    Ok(components)
}

fn absolute(root: &Utf8Path, folder: &Utf8Path) -> Utf8PathBuf {
    if folder.as_str().is_empty() { root.to_owned() } else { root.join(folder) }
}

/// Whether the resolved features include all that the binary requires (`feature`, or
/// `dependency/feature`).
fn is_enabled(binary: &Target, root: &Node, resolve: &Resolve) -> bool {
    binary.required_features.iter().all(|required| match required.split_once('/') {
        None => root.feature_list().any(|feature| feature == required),
        Some((dependency, required)) => resolve
            .children(root)
            .filter(|child| child.name == dependency)
            .any(|child| child.feature_list().any(|feature| feature == required)),
    })
}

/// Every build selects the same packages, and `--bin` takes the binary from each that has one of the name:
/// which of the two programs is left is then a matter of luck.
fn refuse_twins(components: &[Component], packages: &Packages, selection: &Selection) -> Result<()> {
    for component in components {
        let others = selection.folders.iter().filter(|folder| **folder != component.package.folder);
        let mut others = others.filter_map(|folder| packages.member_in(folder));
        if let Some(twin) = others.find(|package| package.binaries().any(|binary| binary.name == component.name)) {
            let (name, package, twin) = (&component.name, &component.package.name, &twin.name);
            bail!(hinted(
                format!(
                    "`{name}` of package `{package}` cannot be told from `{name}` of package `{twin}`, which is built \
                     with it"
                ),
                format!("rename one, or list `\"{twin}/*\"` in `exclude` of `[workspace.metadata.docker]`")
            ));
        }
    }
    Ok(())
}

fn refuse_doubles(components: &[Component]) -> Result<()> {
    let mut seen: BTreeMap<String, &Component> = BTreeMap::new();
    for component in components {
        if let Some(other) = seen.insert(component.name.to_lowercase(), component) {
            let kind = if other.name == component.name { "the same name" } else { "names that differ only in case" };
            bail!(
                "two binaries have {kind}: `{}` of package `{}` and `{}` of package `{}`; rename one, or list it as \
                 `\"{}/{}\"` in `exclude` of `[workspace.metadata.docker]`",
                other.name,
                other.package.name,
                component.name,
                component.package.name,
                component.package.name,
                component.name
            );
        }
    }
    Ok(())
}
