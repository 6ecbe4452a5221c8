//! The packages of the workspace, as `cargo metadata --no-deps` lists them.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use camino::{Utf8Path, Utf8PathBuf};
use cargo_metadata::{Metadata, TargetKind};
use serde_json::{Value, json};

use super::names::did_you_mean;
use super::remote::without_user;
use super::settings::{Excluded, PackageSettings, WorkspaceSettings, package_settings, workspace_settings};

/// A target that cargo lists for a member, and the source file that it starts from.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// Name of the target; a binary's is the component's.
    pub(crate) name: String,
    /// Whether it is a binary.
    pub(crate) is_binary: bool,
    /// Whether it is a library of any kind (a proc-macro too).
    pub(crate) is_library: bool,
    /// Whether it is a procedural macro.
    pub(crate) is_macro: bool,
    /// Whether binaries are compiled from it: no test, bench or example.
    pub(crate) is_compiled: bool,
    /// Source file, below the workspace root.
    pub(crate) source: Utf8PathBuf,
    /// Whether cargo refuses to load the workspace when its source is missing.
    pub(crate) is_demanded: bool,
    /// Features without which cargo refuses to build it.
    pub(crate) required_features: Vec<String>,
}

/// A member of the workspace.
#[derive(Debug, Clone)]
pub(crate) struct Package {
    /// Name of the package.
    pub(crate) name: String,
    /// Version of the package.
    pub(crate) version: String,
    /// Folder below the workspace root; empty for a root package.
    pub(crate) folder: Utf8PathBuf,
    pub(crate) targets: Vec<Target>,
    /// The binary that `cargo run` takes.
    pub(crate) default_run: Option<String>,
    /// `[package.metadata.docker]`.
    pub(crate) settings: PackageSettings,
    /// Description, for the image's labels.
    pub(crate) description: Option<String>,
    /// SPDX expression, for the image's labels.
    pub(crate) license: Option<String>,
    /// Source repository, its own or the workspace's, for the image's labels.
    pub(crate) repository: Option<String>,
    /// Home page, as above.
    pub(crate) homepage: Option<String>,
    /// Authors without their mail addresses, as above.
    pub(crate) authors: Vec<String>,
    /// What the manifest says after inheritance from the workspace, with no absolute path in it.
    pub(crate) manifest: Value,
    /// Folders of its path dependencies, absolute.
    pub(crate) path_dependencies: Vec<Utf8PathBuf>,
}

impl Package {
    /// The manifest's path below the workspace root.
    pub(crate) fn manifest_path(&self) -> Utf8PathBuf {
        self.folder.join("Cargo.toml")
    }

    /// The build script, below the workspace root, whatever `build = …` calls it.
    pub(crate) fn build_script(&self) -> Option<&Utf8Path> {
        let is_script = |target: &&Target| !target.is_binary && target.name.starts_with("build-script-");
        self.targets.iter().find(is_script).map(|target| target.source.as_path())
    }

    /// Names of the folders right below the package's that hold what is compiled for its binaries.
    pub(crate) fn target_folders(&self) -> BTreeSet<&str> {
        let compiled = self.targets.iter().filter(|target| target.is_compiled);
        let inner = compiled.filter_map(|target| target.source.strip_prefix(&self.folder).ok());
        inner.filter_map(|path| path.components().next().map(|first| first.as_str())).collect()
    }

    /// The binaries that can become components.
    pub(crate) fn binaries(&self) -> impl Iterator<Item = &Target> {
        self.targets.iter().filter(|target| target.is_binary)
    }
}

/// The workspace as cargo sees it, before dependencies are resolved.
#[derive(Debug, Clone)]
pub(crate) struct Packages {
    /// Folder of the root manifest, absolute.
    pub(crate) root: Utf8PathBuf,
    /// Cargo's target folder, absolute.
    pub(crate) target: Utf8PathBuf,
    /// All members, by name.
    pub(crate) members: Vec<Package>,
    /// `[workspace.metadata.docker]`.
    pub(crate) settings: WorkspaceSettings,
}

impl Packages {
    /// Reads the output of `cargo metadata --no-deps`; `manifests` are the members' own, parsed,
    /// by absolute path, and `root_manifest` is the workspace's.
    ///
    /// # Errors
    /// Wrong settings, and members outside the workspace root.
    pub(crate) fn new(
        metadata: &Metadata,
        manifests: &BTreeMap<Utf8PathBuf, toml::Table>,
        root_manifest: &toml::Table,
    ) -> Result<Self> {
        let shared = root_manifest.get("workspace").and_then(|workspace| workspace.get("package"));
        let root = metadata.workspace_root.clone();
        let mut members = metadata
            .workspace_packages()
            .into_iter()
            .map(|package| member(package, manifests.get(&package.manifest_path), &root, shared))
            .collect::<Result<Vec<_>>>()?;
        members.sort_by(|a, b| a.name.cmp(&b.name));
        let settings = workspace_settings(&metadata.workspace_metadata, Utf8Path::new("Cargo.toml"))?;
        refuse_unknown(&settings.exclude, &members)?;
        Ok(Packages { settings, target: metadata.target_directory.clone(), members, root })
    }

    /// Whether `exclude` names this binary.
    pub(crate) fn is_excluded(&self, package: &Package, binary: &Target) -> bool {
        self.settings.exclude.iter().any(|excluded| excluded.matches(&package.name, &binary.name))
    }

    /// The member in `folder` (below the root).
    pub(crate) fn member_in(&self, folder: &Utf8Path) -> Option<&Package> {
        self.members.iter().find(|member| member.folder == folder)
    }
}

/// A name in `exclude` that means nothing is a typing error, or a binary that is gone.
fn refuse_unknown(exclude: &[Excluded], members: &[Package]) -> Result<()> {
    let binaries: Vec<_> =
        members.iter().flat_map(|member| member.binaries().map(|binary| (&*member.name, &*binary.name))).collect();
    for excluded in exclude {
        if !binaries.iter().any(|(package, binary)| excluded.matches(package, binary)) {
            bail!(
                "`{}` in `exclude` in `[workspace.metadata.docker]` of `Cargo.toml` is no binary of this workspace{}",
                excluded.0,
                did_you_mean(&[&excluded.0], binaries.iter().map(|(_, binary)| *binary))
            );
        }
    }
    Ok(())
}

/// `shared` is `[workspace.package]`: what it says of the project holds for members that do not inherit it, too.
fn member(
    package: &cargo_metadata::Package,
    own: Option<&toml::Table>,
    root: &Utf8Path,
    shared: Option<&toml::Value>,
) -> Result<Package> {
    let folder = package.manifest_path.parent().context("a manifest without a folder")?;
    let relative = |path: &Utf8Path| -> Result<Utf8PathBuf> {
        path.strip_prefix(root)
            .map(Utf8Path::to_owned)
            .with_context(|| format!("`{path}` of package `{}` is outside the workspace `{root}`", package.name))
    };
    let is_bare = !package.targets.iter().any(|target| is_library(target) || target.kind.contains(&TargetKind::Bin));
    let targets = package
        .targets
        .iter()
        .map(|target| {
            Ok(Target {
                name: target.name.clone(),
                is_binary: target.kind.contains(&TargetKind::Bin),
                is_library: is_library(target),
                is_compiled: is_compiled(target),
                is_macro: target.kind.contains(&TargetKind::ProcMacro),
                is_demanded: is_bare || is_demanded(target, own),
                source: relative(&target.src_path)?,
                required_features: target.required_features.clone(),
            })
        })
        .collect::<Result<Vec<_>>>()?;
    let folder = relative(folder)?;
    let of_all = |key: &str| shared.and_then(|shared| shared.get(key));
    let or_of_all = |text: &Option<String>, key: &str| text.clone().or_else(|| Some(of_all(key)?.as_str()?.to_owned()));
    let mut authors = package.authors.clone();
    if authors.is_empty() {
        let all = of_all("authors").and_then(toml::Value::as_array).into_iter().flatten();
        authors = all.filter_map(toml::Value::as_str).map(str::to_owned).collect();
    }
    let repository = or_of_all(&package.repository, "repository").map(|text| without_user(&text));
    let homepage = or_of_all(&package.homepage, "homepage").map(|text| without_user(&text));
    // Images say them, wherever they are written.
    let mut manifest = manifest(package);
    manifest["authors"] = json!(authors);
    manifest["homepage"] = json!(homepage);
    manifest["repository"] = json!(repository);
    Ok(Package {
        name: package.name.to_string(),
        version: package.version.to_string(),
        settings: package_settings(&package.metadata, &folder.join("Cargo.toml"))?,
        folder,
        targets,
        default_run: package.default_run.clone(),
        description: package.description.as_ref().map(|text| text.split_whitespace().collect::<Vec<_>>().join(" ")),
        license: package.license.clone(),
        repository,
        homepage,
        authors: authors
            .iter()
            .map(|author| author.split('<').next().unwrap_or_default().trim().to_owned())
            .filter(|author| !author.is_empty())
            .collect(),
        manifest,
        path_dependencies: package.dependencies.iter().filter_map(|dependency| dependency.path.clone()).collect(),
    })
}

fn is_library(target: &cargo_metadata::Target) -> bool {
    use TargetKind::{Bench, Bin, CustomBuild, Example, Test};
    target.kind.iter().any(|kind| !matches!(kind, Bin | Example | Test | Bench | CustomBuild))
}

fn is_compiled(target: &cargo_metadata::Target) -> bool {
    use TargetKind::{Bench, Example, Test};
    !target.kind.iter().any(|kind| matches!(kind, Bench | Example | Test))
}

/// Libraries, binaries and build scripts always; tests, benches and examples when the manifest
/// lists them (those that cargo finds by itself may come and go).
fn is_demanded(target: &cargo_metadata::Target, own: Option<&toml::Table>) -> bool {
    let Some(table) = target.kind.iter().find_map(|kind| match kind {
        TargetKind::Example => Some("example"),
        TargetKind::Test => Some("test"),
        TargetKind::Bench => Some("bench"),
        _ => None,
    }) else {
        return true;
    };
    let listed = own.and_then(|own| own.get(table)).and_then(toml::Value::as_array);
    listed.into_iter().flatten().any(|entry| entry.get("name").and_then(toml::Value::as_str) == Some(&target.name))
}

/// The fields that programs can see (`env!("CARGO_PKG_…")`) or that steer the compiler. Those that
/// are inherited change with the root manifest, which is not among a component's files.
fn manifest(package: &cargo_metadata::Package) -> Value {
    let dependencies: Vec<_> = package
        .dependencies
        .iter()
        .filter(|dependency| dependency.kind != cargo_metadata::DependencyKind::Development)
        .map(|dependency| {
            json!([
                dependency.name,
                dependency.rename,
                dependency.features,
                dependency.uses_default_features,
                dependency.optional,
                dependency.target.as_ref().map(ToString::to_string),
            ])
        })
        .collect();
    json!({
        "version": package.version.to_string(),
        "edition": package.edition.to_string(),
        "rust-version": package.rust_version.as_ref().map(ToString::to_string),
        "description": package.description,
        "license": package.license,
        "links": package.links,
        "dependencies": dependencies,
    })
}
