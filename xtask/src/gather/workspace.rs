//! Gathers what planning needs to know of a workspace: cargo's answers and the files themselves.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use camino::{Utf8Path, Utf8PathBuf};

use super::bases::read_images_lock;
use super::cargo_config::CargoConfig;
use super::files::{Found, Surroundings};
use super::memory::FileMemory;
use super::sources::{PackageSources, join, package_sources, share};
use super::vendored::Vendored;
use crate::image::images_lock::ImagesLock;
use crate::image::platform::Platform;
use crate::sbom::bill::{self, RustPackage};
use crate::system::files::read_toml;
use crate::system::git::Git;
use crate::system::{cargo, parallel, process};
use crate::workspace::cargo_config;
use crate::workspace::components::{Component, Resolves, discover};
use crate::workspace::context::{Context, ContextTop, SharedContext, stubs};
use crate::workspace::ignore_patterns::IgnorePatterns;
use crate::workspace::inputs::{FileKind, Input, Inputs, SharedInputs, SourceFile, root_manifest_inputs};
use crate::workspace::lockfile::LockFile;
use crate::workspace::packages::{Package, Packages};
use crate::workspace::resolve::{Node, Resolve};
use crate::workspace::rust_target::RustTarget;
use crate::workspace::selection::Selection;
use crate::workspace::toolchain::TOOLCHAIN_FILES;

/// A workspace, gathered.
pub(crate) struct Workspace {
    /// Members and settings.
    pub(crate) packages: Packages,
    /// What every build selects.
    pub(crate) selection: Selection,
    /// Platforms asked for.
    pub(crate) platforms: Vec<Platform>,
    pub(crate) lock: LockFile,
    /// Its text, for those who look for kinds of sources.
    pub(crate) lock_text: String,
    /// `images.lock`, where there is one.
    pub(crate) images: Option<ImagesLock>,
    /// Components, by name.
    pub(crate) components: Vec<Component>,
    /// What every build's context holds.
    pub(crate) shared_context: SharedContext,
    /// What every component's inputs hold.
    pub(crate) shared_inputs: SharedInputs,
    /// Where the context of all components begins.
    pub(crate) top: ContextTop,
    /// What each package is compiled from, by its folder.
    pub(crate) sources: BTreeMap<Utf8PathBuf, PackageSources>,
    /// Sources of registry packages that lie in the workspace.
    pub(crate) vendored: Vendored,
    resolves: Resolves,
    folders: BTreeSet<Utf8PathBuf>,
    ignored: BTreeSet<Utf8PathBuf>,
    docker_ignore: IgnorePatterns,
    git_ignore: IgnorePatterns,
    memory: FileMemory,
}

/// Whether a state of the workspace is the one that people work on, or one that git wrote elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// The checkout.
    Present,
    /// A past commit: all its files are git's, and it is read once.
    Past,
}

impl Workspace {
    /// Gathers the workspace of `manifest` (or around the current folder) for `platforms` (or those
    /// that its settings name).
    ///
    /// # Errors
    /// All that can be wrong with a workspace, its settings or its lock file.
    pub(crate) fn load(manifest: Option<&Utf8Path>, platforms: &[Platform]) -> Result<Self> {
        Self::load_beside(manifest, platforms, |_| ()).map(|(workspace, ())| workspace)
    }

    /// The workspace in `root` as a past commit had it.
    pub(crate) fn load_past(root: &Utf8Path, platforms: &[Platform]) -> Result<Self> {
        Self::gather(Some(&root.join("Cargo.toml")), platforms, State::Past, |_| ()).map(|(workspace, ())| workspace)
    }

    /// As [`Workspace::load`], with `beside` running at the root while cargo resolves.
    pub(crate) fn load_beside<T: Send>(
        manifest: Option<&Utf8Path>,
        platforms: &[Platform],
        beside: impl FnOnce(&Utf8Path) -> T + Send,
    ) -> Result<(Self, T)> {
        Self::gather(manifest, platforms, State::Present, beside)
    }

    fn gather<T: Send>(
        manifest: Option<&Utf8Path>,
        platforms: &[Platform],
        state: State,
        beside: impl FnOnce(&Utf8Path) -> T + Send,
    ) -> Result<(Self, T)> {
        let here = Utf8PathBuf::from_path_buf(std::env::current_dir().context("cannot read the current folder")?)
            .map_err(|path| anyhow::anyhow!("the name of `{}` is no UTF-8", path.display()))?;
        // Without symbolic links, as `cargo tree` prints paths; what is not there, cargo complains of.
        let real = manifest.map(|path| {
            let folder = here.join(path).parent().and_then(|folder| folder.canonicalize_utf8().ok());
            folder.map_or(path.to_owned(), |folder| folder.join(path.file_name().unwrap_or_default()))
        });
        let metadata = cargo::metadata(&process::shell_in(&here)?, real.as_deref())?;
        let manifests = metadata
            .workspace_packages()
            .into_iter()
            .map(|package| Ok((package.manifest_path.clone(), read_toml(&package.manifest_path)?)))
            .collect::<Result<BTreeMap<_, _>>>()?;
        let root_manifest = read_toml(&metadata.workspace_root.join("Cargo.toml"))?;
        let packages = Packages::new(&metadata, &manifests, &root_manifest)?;
        let root = packages.root.clone();
        let mut platforms = if platforms.is_empty() { packages.settings.platforms.clone() } else { platforms.to_vec() };
        let mut seen = BTreeSet::new();
        platforms.retain(|platform| seen.insert(platform.clone()));
        let lock_text = cargo::lock_file(&root)?;
        let lock = LockFile::parse(&lock_text)?;
        let selection = Selection::new(&packages, &lock);
        let resolve = |platform: Platform| {
            let target = RustTarget::new(&platform, packages.settings.linkage)?;
            let resolve = cargo::resolve(&root, &selection, &target.triple)?;
            Ok((platform, resolve))
        };
        let (resolves, beside) = parallel::both(
            || {
                parallel::map(platforms.clone(), parallel::processors(), resolve)
                    .into_iter()
                    .collect::<Result<Resolves>>()
            },
            || parallel::both(|| beside(&root), || ignored(&root, state)),
        );
        let (resolves, (beside, ignored)) = (resolves?, beside);
        let images = read_images_lock(&root)?;
        let components = discover(&packages, &selection, &resolves)?;

        let existing = |names: &[&str]| -> BTreeSet<Utf8PathBuf> {
            names.iter().map(Utf8PathBuf::from).filter(|name| root.join(name).is_file()).collect()
        };
        let config = CargoConfig::of_workspace(&root)?;
        let below = |path: &Utf8PathBuf| path.strip_prefix(&root).map_or(path.clone(), Utf8Path::to_owned);
        let config_files: BTreeSet<_> = config.files.keys().map(below).collect();
        let toolchain_files = existing(TOOLCHAIN_FILES);
        let mut shared_inputs =
            SharedInputs { inputs: root_manifest_inputs(&root_manifest), files: toolchain_files.clone() };
        shared_inputs.inputs.extend(cargo_config::inputs(&config.table));
        for file in &toolchain_files {
            let digest = super::memory::file_digest(&root.join(file))?;
            let input = Input::File { path: file.to_string(), kind: FileKind::Plain, digest };
            shared_inputs.inputs.insert(input, "chooses the toolchain".to_owned());
        }
        let mut shared_context = SharedContext {
            files: toolchain_files.into_iter().chain(config_files).collect(),
            // The root's is among the files.
            manifests: packages
                .members
                .iter()
                .map(Package::manifest_path)
                .filter(|path| path != "Cargo.toml")
                .collect(),
            stubs: stubs(&packages),
            whole: BTreeSet::new(),
        };
        shared_context.files.extend(["Cargo.toml".into(), "Cargo.lock".into()]);
        add_path_packages(&packages, &root_manifest, &mut shared_context)?;
        let mut folders: BTreeSet<_> = packages.members.iter().map(|member| member.folder.clone()).collect();
        folders.extend(shared_context.whole.iter().cloned());
        let vendored_folders: BTreeSet<_> = config.vendored.iter().map(below).collect();
        folders.extend(vendored_folders.iter().cloned());
        folders.remove(Utf8Path::new(""));
        let path_packages: BTreeSet<Utf8PathBuf> = shared_context.whole.clone();
        shared_context.whole.extend(vendored_folders);

        let read_ignore = |name: &str| std::fs::read_to_string(root.join(name)).unwrap_or_default();
        let memory = (state == State::Present).then(|| packages.target.join("docker/files.json"));
        let mut workspace = Workspace {
            top: ContextTop::new(&root, []),
            docker_ignore: IgnorePatterns::docker(&read_ignore(".dockerignore")),
            git_ignore: IgnorePatterns::git(&read_ignore(".gitignore")),
            memory: FileMemory::open(memory),
            vendored: Vendored::default(),
            ignored: ignored?,
            packages,
            selection,
            platforms,
            lock,
            lock_text,
            images,
            components,
            shared_context,
            shared_inputs,
            resolves,
            sources: BTreeMap::new(),
            folders,
        };
        let closures = workspace.components.iter().flat_map(|component| component.closure.iter().cloned());
        let read: BTreeSet<Utf8PathBuf> = closures.chain(path_packages).collect();
        let read = parallel::map(read.into_iter().collect(), parallel::processors(), |folder: Utf8PathBuf| {
            let sources = package_sources(&folder, workspace.packages.member_in(&folder), &workspace.around())?;
            Ok((folder, sources))
        });
        workspace.sources = read.into_iter().collect::<Result<_>>()?;
        let declared = workspace.components.iter().map(|component| workspace.declared_files(component));
        let declared =
            declared.collect::<Result<Vec<_>>>()?.into_iter().flatten().flat_map(|(_, found)| found).collect();
        let mut shared = std::mem::take(&mut workspace.sources);
        share(&mut shared, declared, &workspace.around())?;
        workspace.sources = shared;
        workspace.vendored = Vendored::read(&config.vendored, &workspace.memory)?;
        let declared = workspace.components.iter().flat_map(|component| workspace.declared(component));
        let outside: Vec<Utf8PathBuf> = (workspace.sources.keys().cloned())
            .chain(workspace.sources.values().flat_map(|sources| sources.named.keys().cloned()))
            .chain(workspace.shared_context.manifests.iter().cloned())
            .chain(workspace.shared_context.whole.iter().cloned())
            .chain(declared)
            .collect();
        workspace.top = ContextTop::new(&root, outside.iter().map(Utf8PathBuf::as_path));
        Ok((workspace, beside))
    }

    /// The workspace's root folder.
    pub(crate) fn root(&self) -> &Utf8Path {
        &self.packages.root
    }

    pub(crate) fn component_names(&self) -> Vec<&str> {
        self.components.iter().map(|component| component.name.as_str()).collect()
    }

    /// All that components are compiled from or with, on any platform.
    pub(crate) fn resolved(&self) -> impl Iterator<Item = &Node> {
        self.resolves.values().flat_map(Resolve::nodes)
    }

    /// The packages that the executable of `component` for `platform` is made from.
    pub(crate) fn rust_packages(&self, component: &Component, platform: &Platform) -> Result<Vec<RustPackage>> {
        let resolve = self.resolves.get(platform).with_context(|| format!("`{platform}` was not resolved"))?;
        bill::packages(component, self.root(), resolve, &self.lock)
    }

    /// Where everything is that we make: `target/docker`.
    pub(crate) fn output(&self) -> Utf8PathBuf {
        self.packages.target.join("docker")
    }

    fn around(&self) -> Surroundings<'_> {
        Surroundings {
            root: self.root(),
            target: &self.packages.target,
            packages: &self.folders,
            ignored: &self.ignored,
            docker_ignore: &self.docker_ignore,
            memory: &self.memory,
        }
    }

    /// Folders of the workspace with sources of registry packages, below the root.
    pub(crate) fn vendored_folders(&self) -> Vec<Utf8PathBuf> {
        let whole = self.shared_context.whole.iter();
        whole.filter(|folder| folder.is_relative() && !self.sources.contains_key(*folder)).cloned().collect()
    }

    /// Keeps the digests of this run's files for the next one.
    pub(crate) fn keep_memory(&self) {
        self.memory.keep();
    }

    /// Digests of files, remembered.
    pub(crate) fn memory(&self) -> &FileMemory {
        &self.memory
    }

    /// The inputs of `component`: all files of its context and what cargo resolved for it.
    ///
    /// # Errors
    /// An asset that is missing or outside the workspace.
    pub(crate) fn inputs(&self, component: &Component) -> Result<Inputs> {
        let mut files = BTreeMap::new();
        for folder in &component.closure {
            let sources = self.sources.get(folder).context("a closure was not read")?;
            files.extend(sources.files.iter().map(|(file, why)| (file.clone(), why.clone())));
        }
        for (from, found) in self.declared_files(component)? {
            let why = format!("declared as `{from}`");
            files.extend(self.around().describe(&found)?.into_iter().map(|file| (file, why.clone())));
        }
        let manifests: Found =
            self.inherited_manifests(component).into_iter().map(|path| (path.clone(), path)).collect();
        let why = "packages inherit from it".to_owned();
        files.extend(self.around().describe(&manifests)?.into_iter().map(|file| (file, why.clone())));
        for asset in &component.package.settings.assets {
            let why = format!("asset `{}`", asset.to);
            files.extend(self.asset(component, &asset.from)?.into_iter().map(|file| (file, why.clone())));
        }
        let mut shared = self.shared_inputs.clone();
        shared.inputs.extend(self.locked_images());
        shared.inputs.extend(self.vendored.inputs(component.nodes(&self.packages, &self.resolves)));
        Ok(Inputs::new(component, &files, &self.packages, &self.resolves, &self.lock, &shared))
    }

    /// Root manifests of other workspaces, from which path packages of `component` that are no members inherit;
    /// absolute.
    fn inherited_manifests(&self, component: &Component) -> Vec<Utf8PathBuf> {
        let others = component.closure.iter().filter(|folder| self.packages.member_in(folder).is_none());
        let others: Vec<_> = others.map(|folder| self.root().join(folder)).collect();
        let manifests = self.shared_context.manifests.iter().map(|path| self.root().join(path));
        let is_above =
            |path: &Utf8PathBuf| others.iter().any(|folder| path.parent().is_some_and(|top| folder.starts_with(top)));
        manifests.filter(is_above).collect()
    }

    /// What the settings of `component` let its build read: assets, and the inputs that it or a package which
    /// it is compiled from declares; links followed.
    fn declared_files(&self, component: &Component) -> Result<Vec<(Utf8PathBuf, Found)>> {
        let around = self.around();
        self.declarations(component)
            .map(|(from, package)| {
                around.declared(from, &named_in(package))?;
                Ok((from.clone(), around.whole(&join(self.root(), &normal(self.root(), from)), true)?))
            })
            .collect()
    }

    fn declarations<'a>(&'a self, component: &'a Component) -> impl Iterator<Item = (&'a Utf8PathBuf, &'a Package)> {
        let own = &component.package;
        let assets = own.settings.assets.iter().map(move |asset| (&asset.from, own));
        let packages = component.closure.iter().filter_map(|folder| self.packages.member_in(folder));
        let inputs = packages.flat_map(|package| package.settings.inputs.iter().map(move |path| (path, package)));
        assets.chain(inputs)
    }

    /// Variables that builds may read beside those that every build may. Whoever passes one on, all builds see
    /// it, and nobody knows what a build script reads: so they are inputs of all components.
    pub(crate) fn pass_env(&self) -> BTreeSet<&String> {
        let folders = self.components.iter().flat_map(|component| &component.closure);
        let packages = folders.filter_map(|folder| self.packages.member_in(folder));
        let own = packages.flat_map(|package| &package.settings.pass_env);
        self.packages.settings.pass_env.iter().chain(own).collect()
    }

    /// Paths that settings declare for `component`: below the root, or absolute outside it.
    fn declared(&self, component: &Component) -> Vec<Utf8PathBuf> {
        self.declarations(component).map(|(from, _)| normal(self.root(), from)).collect()
    }

    /// The files of one declared asset, links kept.
    pub(crate) fn asset(&self, component: &Component, from: &Utf8Path) -> Result<Vec<SourceFile>> {
        self.around().asset(from, &named_in(&component.package))
    }

    /// Paths beyond the closure of `component` that its sources name, or its settings declare.
    pub(crate) fn named(&self, component: &Component) -> BTreeSet<Utf8PathBuf> {
        let sources = component.closure.iter().filter_map(|folder| self.sources.get(folder));
        let named = sources.flat_map(|sources| sources.named.keys().cloned());
        let inherited = self.inherited_manifests(component);
        let inherited = inherited.iter().map(|path| path.strip_prefix(self.root()).unwrap_or(path).to_owned());
        named.chain(self.declared(component)).chain(inherited).collect()
    }

    /// What the build of `component` may read beyond what all may: where each file is read from, by
    /// absolute path.
    pub(crate) fn readable(&self, component: &Component) -> Result<Found> {
        let sources = component.closure.iter().filter_map(|folder| self.sources.get(folder));
        let mut all: Found = sources.flat_map(|sources| sources.found.clone()).collect();
        all.extend(self.declared_files(component)?.into_iter().flat_map(|(_, found)| found));
        Ok(all)
    }

    /// Where the files that settings declare for `component` are in the context.
    pub(crate) fn declared_places(&self, component: &Component) -> Result<BTreeSet<Utf8PathBuf>> {
        let files = self.declared_files(component)?.into_iter().flat_map(|(_, found)| found.into_keys());
        Ok(files.map(|path| self.top.place(&path)).collect())
    }

    /// Whether compiling the package in `folder` for `component` runs code of the workspace: its build script, or
    /// macros.
    pub(crate) fn runs_code(&self, component: &Component, folder: &Utf8Path) -> bool {
        let member = |folder: &Utf8Path| self.packages.member_in(folder);
        let is_macro = |folder: &Utf8PathBuf| {
            // Nobody knows of packages that are no members.
            member(folder).is_none_or(|package| package.targets.iter().any(|target| target.is_macro))
        };
        // Macros run where they are used.
        let mut others = component.closure.iter().filter(|other| *other != folder);
        member(folder).is_none_or(|package| package.build_script().is_some()) || others.any(is_macro)
    }

    /// What all builds may read: manifests, the lock file, settings of cargo and rustup, packages that
    /// registry packages are replaced by, vendored sources.
    pub(crate) fn readable_by_all(&self) -> Result<Found> {
        let files = self.shared_context.files.iter().chain(&self.shared_context.manifests);
        let mut all: Found = files.map(|path| self.root().join(path)).map(|path| (path.clone(), path)).collect();
        for folder in &self.shared_context.whole {
            match self.sources.get(folder) {
                Some(sources) => all.extend(sources.found.clone()),
                None => all.extend(self.around().whole(&join(self.root(), folder), true)?),
            }
        }
        Ok(all)
    }

    /// What an engine may read to build `component`.
    pub(crate) fn context(&self, component: &Component) -> Context {
        Context::new(
            &self.packages,
            &self.top,
            &self.shared_context,
            component,
            self.named(component),
            (&self.docker_ignore, &self.git_ignore),
        )
    }
}

fn named_in(package: &Package) -> String {
    format!("`[package.metadata.docker]` of `{}`", package.manifest_path())
}

/// Absolute paths below `root` that git ignores.
fn ignored(root: &Utf8Path, state: State) -> Result<BTreeSet<Utf8PathBuf>> {
    let git = if state == State::Present { Git::open(root)? } else { None };
    let ignored = git.map(|git| git.ignored()).transpose()?.unwrap_or_default();
    // In an ignored folder git calls everything ignored, which says nothing of the files.
    let is_all = ignored.iter().any(|path| path == "./");
    let absolute = |path: Utf8PathBuf| root.join(path.as_str().trim_end_matches('/'));
    Ok(if is_all { BTreeSet::new() } else { ignored.into_iter().map(absolute).collect() })
}

/// Adds path packages that are no members: cargo reads them to resolve, and registry packages may
/// use them through `[patch]`, so they stay whole everywhere.
fn add_path_packages(packages: &Packages, root_manifest: &toml::Table, context: &mut SharedContext) -> Result<()> {
    let root = &packages.root;
    let members: BTreeSet<_> = packages.members.iter().map(|member| member.folder.clone()).collect();
    let mut open: Vec<Utf8PathBuf> = packages
        .members
        .iter()
        .flat_map(|member| &member.path_dependencies)
        .map(|folder| normal(root, folder))
        .collect();
    for key in ["patch", "replace"] {
        let tables = root_manifest.get(key).into_iter();
        open.extend(tables.flat_map(paths_in).map(|path| normal(root, Utf8Path::new(path))));
    }
    while let Some(folder) = open.pop() {
        if members.contains(&folder) || !context.whole.insert(folder.clone()) {
            continue;
        }
        let absolute = root.join(&folder);
        let manifest = read_toml(&absolute.join("Cargo.toml"))?;
        for key in ["dependencies", "build-dependencies", "target"] {
            let tables = manifest.get(key).into_iter();
            open.extend(tables.flat_map(paths_in).map(|path| normal(root, &absolute.join(path))));
        }
        // The root of another workspace, from which it may inherit.
        for ancestor in folder.ancestors().skip(1).filter(|ancestor| !ancestor.as_str().is_empty()) {
            let manifest = ancestor.join("Cargo.toml");
            if !root.starts_with(ancestor) && root.join(&manifest).is_file() || is_workspace(&root.join(&manifest)) {
                context.manifests.insert(manifest);
            }
        }
    }
    Ok(())
}

fn is_workspace(manifest: &Utf8Path) -> bool {
    manifest.is_file() && read_toml(manifest).is_ok_and(|manifest| manifest.contains_key("workspace"))
}

/// All values of keys `path` below `value`.
fn paths_in(value: &toml::Value) -> Vec<&str> {
    let Some(table) = value.as_table() else { return Vec::new() };
    let own = table.get("path").and_then(toml::Value::as_str);
    own.into_iter().chain(table.values().flat_map(paths_in)).collect()
}

/// `path` (absolute, or from the root) without `..`, below the root when it is inside it.
fn normal(root: &Utf8Path, path: &Utf8Path) -> Utf8PathBuf {
    let path = crate::workspace::settings::tidy(&root.join(path));
    path.strip_prefix(root).map(Utf8Path::to_owned).unwrap_or(path)
}
