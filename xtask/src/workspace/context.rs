//! The context of a build: exactly the files that it may read.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};
use camino::{Utf8Path, Utf8PathBuf};

use super::components::Component;
use super::packages::Packages;

/// Files of a package folder that never are inputs, by name, at its top: what we generate, and
/// cargo's default target folder when cargo once ran outside the workspace. (Not deeper: `target`
/// is a fine name for a module.)
pub(crate) const DENIED_AT_TOP: &[&str] = &["target", "Dockerfile", "Dockerfile.dockerignore"];

/// Files and folders, all below the workspace root, that every build of the workspace needs:
/// cargo reads them before it compiles anything.
#[derive(Debug, Clone, Default)]
pub(crate) struct SharedContext {
    /// Root manifest, lock file, cargo config, toolchain file.
    pub(crate) files: BTreeSet<Utf8PathBuf>,
    /// Manifests of all members, and of other workspaces that path packages belong to.
    pub(crate) manifests: BTreeSet<Utf8PathBuf>,
    /// Folders that stay whole: path packages that are no members, vendored sources.
    pub(crate) whole: BTreeSet<Utf8PathBuf>,
    /// Source files that cargo demands, with their text when they must do something.
    pub(crate) stubs: BTreeMap<Utf8PathBuf, Stub>,
}

/// What stands in for a source file while only dependencies are built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stub {
    /// A library: nothing in it.
    Library,
    /// Anything else: an empty `main`.
    Program,
}

/// The context of one package's builds.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    /// What all builds share.
    pub(crate) shared: SharedContext,
    /// Folders of the closure.
    pub(crate) closure: BTreeSet<Utf8PathBuf>,
    /// Declared assets, and what sources reach outside the closure.
    pub(crate) extra: BTreeSet<Utf8PathBuf>,
    /// Folders of members below one of these folders that do not belong to it.
    pub(crate) nested: BTreeSet<Utf8PathBuf>,
    /// Cargo's target folder, when it is below the root.
    pub(crate) target: Option<Utf8PathBuf>,
}

/// What stands in for the members' sources.
pub(crate) fn stubs(packages: &Packages) -> BTreeMap<Utf8PathBuf, Stub> {
    packages
        .members
        .iter()
        .flat_map(|member| &member.targets)
        .filter(|target| target.is_demanded)
        .map(|target| (target.source.clone(), if target.is_library { Stub::Library } else { Stub::Program }))
        .collect()
}

impl Context {
    /// The context of `component`, whose sources reach `reached`.
    ///
    /// # Errors
    /// A path package outside the workspace: no engine can be given it.
    pub(crate) fn new(
        packages: &Packages,
        shared: &SharedContext,
        component: &Component,
        reached: impl IntoIterator<Item = Utf8PathBuf>,
    ) -> Result<Self> {
        for folder in component.closure.iter().chain(&shared.whole) {
            if folder.is_absolute() {
                bail!(
                    "`{}` depends on `{folder}`, which is outside the workspace `{}`: an engine builds from the \
                     workspace alone\nmove it into the workspace, or use `--builder native`",
                    component.name,
                    packages.root
                );
            }
        }
        let closure: BTreeSet<_> = component.closure.iter().cloned().collect();
        let assets = component.package.settings.assets.iter().map(|asset| asset.from.clone());
        let is_part = |folder: &Utf8Path| closure.contains(folder) || shared.whole.contains(folder);
        let nested: BTreeSet<_> = packages
            .members
            .iter()
            .map(|member| member.folder.clone())
            .filter(|folder| !folder.as_str().is_empty() && !is_part(folder))
            .filter(|folder| closure.iter().chain(&shared.whole).any(|part| folder.starts_with(part)))
            .collect();
        // What is in the closure comes with it, unless a nested member, which does not, holds it.
        let is_extra = |path: &Utf8PathBuf| {
            let holders = closure.iter().chain(&nested).filter(|folder| path.starts_with(folder));
            let holder = holders.max_by_key(|folder| folder.components().count());
            holder.is_none_or(|folder| folder.as_str().is_empty() || nested.contains(folder))
        };
        let extra: BTreeSet<_> = assets.chain(reached).filter(is_extra).collect();
        let target = packages.target.strip_prefix(&packages.root).ok().map(Utf8Path::to_owned);
        Ok(Context { shared: shared.clone(), closure, extra, nested, target })
    }
}
