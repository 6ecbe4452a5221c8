//! Gathers what planning needs to know of a workspace: cargo's answers and the files themselves.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail};
use camino::{Utf8Path, Utf8PathBuf};

use super::sources::{Denied, PackageSources, asset_files, package_sources, touch_changed};
use crate::image::platform::Platform;
use crate::system::{cargo, parallel, process};
use crate::workspace::components::{Component, Resolves, discover};
use crate::workspace::context::{Context, SharedContext, stubs};
use crate::workspace::inputs::{Inputs, SharedInputs, SourceFile, root_manifest_lines};
use crate::workspace::lockfile::LockFile;
use crate::workspace::packages::{Package, Packages};
use crate::workspace::resolve::{Node, Resolve};
use crate::workspace::selection::Selection;
use crate::workspace::target::RustTarget;

/// Files at the root that every build reads, when they are there.
const CARGO_CONFIGS: &[&str] = &[".cargo/config.toml", ".cargo/config"];
const TOOLCHAIN_FILES: &[&str] = &["rust-toolchain.toml", "rust-toolchain"];

/// A workspace, gathered.
pub(crate) struct Workspace {
    /// Members and settings.
    pub(crate) packages: Packages,
    /// What every build selects.
    pub(crate) selection: Selection,
    /// Platforms asked for.
    pub(crate) platforms: Vec<Platform>,
    /// The lock file.
    pub(crate) lock: LockFile,
    /// Its text, for those who look for kinds of sources.
    pub(crate) lock_text: String,
    /// Components, by name.
    pub(crate) components: Vec<Component>,
    /// What every build's context holds.
    pub(crate) shared_context: SharedContext,
    /// What every component's inputs hold.
    pub(crate) shared_inputs: SharedInputs,
    resolves: Resolves,
    sources: BTreeMap<Utf8PathBuf, PackageSources>,
    folders: BTreeSet<Utf8PathBuf>,
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

    /// As [`Workspace::load`], with `beside` running at the root while cargo resolves.
    ///
    /// # Errors
    /// As [`Workspace::load`].
    pub(crate) fn load_beside<T: Send>(
        manifest: Option<&Utf8Path>,
        platforms: &[Platform],
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
            .map(|package| Ok((package.manifest_path.clone(), read_manifest(&package.manifest_path)?)))
            .collect::<Result<BTreeMap<_, _>>>()?;
        let packages = Packages::new(&metadata, &manifests)?;
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
            || beside(&root),
        );
        let resolves = resolves?;
        let components = discover(&packages, &selection, &resolves)?;

        let root_manifest = read_manifest(&root.join("Cargo.toml"))?;
        let existing = |names: &[&str]| -> BTreeSet<Utf8PathBuf> {
            names.iter().map(Utf8PathBuf::from).filter(|name| root.join(name).is_file()).collect()
        };
        let configs = existing(CARGO_CONFIGS);
        let decisive: BTreeSet<_> = existing(TOOLCHAIN_FILES).into_iter().chain(configs.clone()).collect();
        let mut shared_inputs = SharedInputs { lines: root_manifest_lines(&root_manifest), files: decisive.clone() };
        for file in &decisive {
            shared_inputs.lines.insert(format!("file plain {} {file}", super::sources::file_digest(&root.join(file))?));
        }
        let mut shared_context = SharedContext {
            files: decisive,
            // The root's is among the files.
            manifests: packages
                .members
                .iter()
                .map(Package::manifest_path)
                .filter(|path| path != "Cargo.toml")
                .collect(),
            stubs: stubs(&packages),
            whole: vendored(&root, &configs)?,
        };
        shared_context.files.extend(["Cargo.toml".into(), "Cargo.lock".into()]);
        add_path_packages(&packages, &root_manifest, &mut shared_context)?;

        let mut folders: BTreeSet<_> = packages.members.iter().map(|member| member.folder.clone()).collect();
        folders.extend(shared_context.whole.iter().cloned());
        folders.remove(Utf8Path::new(""));
        let mut workspace = Workspace {
            packages,
            selection,
            platforms,
            lock,
            lock_text,
            components,
            shared_context,
            shared_inputs,
            resolves,
            sources: BTreeMap::new(),
            folders,
        };
        let closures: BTreeSet<_> =
            workspace.components.iter().flat_map(|component| component.closure.iter().cloned()).collect();
        let read = parallel::map(closures.into_iter().collect(), parallel::processors(), |folder: Utf8PathBuf| {
            let member = workspace.packages.member_in(&folder);
            let build_script =
                member.and_then(Package::build_script).map_or(folder.join("build.rs"), Utf8Path::to_owned);
            let sources = package_sources(&folder, &build_script, &workspace.denied())?;
            Ok((folder, sources))
        });
        workspace.sources = read.into_iter().collect::<Result<_>>()?;
        Ok((workspace, beside))
    }

    /// The workspace's root folder.
    pub(crate) fn root(&self) -> &Utf8Path {
        &self.packages.root
    }

    /// All that components are compiled from or with, on any platform.
    pub(crate) fn resolved(&self) -> impl Iterator<Item = &Node> {
        self.resolves.values().flat_map(Resolve::nodes)
    }

    /// Where everything is that we make: `target/docker`.
    pub(crate) fn output(&self) -> Utf8PathBuf {
        self.packages.target.join("docker")
    }

    fn denied(&self) -> Denied<'_> {
        Denied { root: self.root(), target: &self.packages.target, packages: &self.folders }
    }

    /// The inputs of `component`: all files of its context and what cargo resolved for it.
    ///
    /// # Errors
    /// An asset that is missing or outside the workspace.
    pub(crate) fn inputs(&self, component: &Component) -> Result<Inputs> {
        let files = self.files(component)?;
        Ok(Inputs::new(component, &files, &self.packages, &self.resolves, &self.lock, &self.shared_inputs))
    }

    /// Sees to it that what changed since the last build looks changed; see [`touch_changed`].
    ///
    /// # Errors
    /// As [`touch_changed`].
    pub(crate) fn touch_changed(&self) -> Result<()> {
        // What cannot be read is an error where it is an input.
        let reached = self.sources.values().flat_map(|sources| &sources.reached);
        let reached = reached.filter_map(|(path, by)| asset_files(path, &self.denied(), by.as_str()).ok()).flatten();
        let files = self.sources.values().flat_map(|sources| sources.files.iter().cloned()).chain(reached).collect();
        touch_changed(self.root(), &files, &self.output().join("sources.json"))
    }

    fn files(&self, component: &Component) -> Result<BTreeSet<SourceFile>> {
        let mut files = BTreeSet::new();
        for folder in &component.closure {
            let sources = self.sources.get(folder).context("a closure was not read")?;
            files.extend(sources.files.iter().cloned());
            for (path, by) in &sources.reached {
                files.extend(asset_files(path, &self.denied(), &format!("`{by}`"))?);
            }
        }
        let settings = &component.package.settings;
        for path in settings.assets.iter().map(|asset| &asset.from).chain(&settings.inputs) {
            files.extend(self.asset(component, path)?);
        }
        Ok(files)
    }

    /// The files of one declared asset or input.
    pub(crate) fn asset(&self, component: &Component, from: &Utf8Path) -> Result<Vec<SourceFile>> {
        let named_in = format!("`[package.metadata.docker]` of `{}`", component.package.manifest_path());
        asset_files(from, &self.denied(), &named_in)
    }

    /// Paths outside the closure of `component` that its sources reach, or its settings declare.
    pub(crate) fn reached(&self, component: &Component) -> BTreeSet<Utf8PathBuf> {
        let sources = component.closure.iter().filter_map(|folder| self.sources.get(folder));
        let reached = sources.flat_map(|sources| sources.reached.keys().cloned());
        reached.chain(component.package.settings.inputs.iter().cloned()).collect()
    }

    /// What an engine may read to build `component`.
    ///
    /// # Errors
    /// A source that includes a file from outside the workspace.
    pub(crate) fn context(&self, component: &Component) -> Result<Context> {
        for folder in &component.closure {
            if let Some((by, path)) = self.sources.get(folder).and_then(|sources| sources.outside.first()) {
                bail!(
                    "`{by}` includes `{path}`, which is outside the workspace `{}`: an engine builds from the \
                     workspace alone\ncopy it into the workspace",
                    self.root()
                );
            }
        }
        Context::new(&self.packages, &self.shared_context, component, self.reached(component))
    }
}

/// Reads and parses a `Cargo.toml` or a cargo config.
pub(crate) fn read_manifest(path: &Utf8Path) -> Result<toml::Table> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read `{path}`"))?;
    toml::from_str(&text).with_context(|| format!("cannot read `{path}`"))
}

/// Folders of vendored sources that the cargo configs name.
fn vendored(root: &Utf8Path, configs: &BTreeSet<Utf8PathBuf>) -> Result<BTreeSet<Utf8PathBuf>> {
    let mut folders = BTreeSet::new();
    for config in configs {
        let config = read_manifest(&root.join(config))?;
        let sources = config.get("source").and_then(toml::Value::as_table);
        for source in sources.into_iter().flat_map(toml::Table::values) {
            for key in ["directory", "local-registry"] {
                folders.extend(
                    source.get(key).and_then(toml::Value::as_str).map(|path| normal(root, Utf8Path::new(path))),
                );
            }
        }
    }
    Ok(folders)
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
        let manifest = read_manifest(&absolute.join("Cargo.toml"))?;
        for key in ["dependencies", "build-dependencies", "target"] {
            let tables = manifest.get(key).into_iter();
            open.extend(tables.flat_map(paths_in).map(|path| normal(root, &absolute.join(path))));
        }
        // The root of another workspace, from which it may inherit.
        for ancestor in folder.ancestors().skip(1).filter(|ancestor| !ancestor.as_str().is_empty()) {
            let manifest = ancestor.join("Cargo.toml");
            if !folder.is_absolute() && root.join(&manifest).is_file() {
                context.manifests.insert(manifest);
            }
        }
    }
    Ok(())
}

/// All values of keys `path` below `value`.
fn paths_in(value: &toml::Value) -> Vec<&str> {
    let Some(table) = value.as_table() else { return Vec::new() };
    let own = table.get("path").and_then(toml::Value::as_str);
    own.into_iter().chain(table.values().flat_map(paths_in)).collect()
}

/// `path` (absolute, or from the root) without `..`, below the root when it is inside it.
fn normal(root: &Utf8Path, path: &Utf8Path) -> Utf8PathBuf {
    let mut parts = Utf8PathBuf::new();
    for part in root.join(path).components() {
        match part {
            camino::Utf8Component::ParentDir => drop(parts.pop()),
            camino::Utf8Component::CurDir => {}
            part => parts.push(part),
        }
    }
    parts.strip_prefix(root).map(Utf8Path::to_owned).unwrap_or(parts)
}
