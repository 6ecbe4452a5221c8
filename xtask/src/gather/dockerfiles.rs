//! Gathers what the Dockerfile of a package says.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};

use super::bases::Base;
use super::cargo_config::workspace_rustflags;
use super::workspace::Workspace;
use crate::dockerfile::stages::{BuilderStage, DockerfilePlan};
use crate::errors::hinted;
use crate::image::platform::Platform;
use crate::workspace::components::Component;
use crate::workspace::rust_target::RustTarget;
use crate::workspace::settings::BuilderImage;
use crate::workspace::toolchain::{TOOLCHAIN_FILES, ToolchainFile};

/// The version of the default builder image, unless the toolchain file names one or a component's
/// `rust-version` asks for a newer one.
const DEFAULT_RUST: &str = "1.95";

/// The components of each package that has some, by the package's folder.
pub(crate) fn by_package(workspace: &Workspace) -> BTreeMap<&camino::Utf8Path, Vec<&Component>> {
    let mut packages: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for component in &workspace.components {
        packages.entry(component.package.folder.as_path()).or_default().push(component);
    }
    packages
}

/// The components of the package of `component`, itself too.
pub(crate) fn siblings<'a>(workspace: &'a Workspace, component: &Component) -> Vec<&'a Component> {
    workspace.components.iter().filter(|other| other.package.folder == component.package.folder).collect()
}

/// The plan of the Dockerfile for a package's `components`.
///
/// # Errors
/// A context that reaches out of the workspace; a platform without a builder image.
pub(crate) fn plan<'a>(
    workspace: &'a Workspace,
    components: Vec<&'a Component>,
    build_args: &[String],
) -> Result<DockerfilePlan<'a>> {
    let settings = &workspace.packages.settings;
    let base = workspace.base()?;
    let build_packages: BTreeSet<_> =
        workspace.components.iter().flat_map(|component| component.package.settings.build_packages.clone()).collect();
    Ok(DockerfilePlan {
        context: workspace.context(components[0]),
        all: &workspace.components,
        components,
        selection: workspace.selection.cargo_arguments(),
        builders: builders(workspace)?,
        toolchain: toolchain_file(workspace)?,
        linkage: settings.linkage,
        build_packages: build_packages.into_iter().collect(),
        runtime_image: match &base {
            None => Some("scratch".to_owned()),
            Some(base) => base.pinned.as_ref().map(|pinned| pinned.reference.clone()),
        },
        base_labels: base.as_ref().map(Base::labels).unwrap_or_default(),
        build_args: build_args.to_vec(),
    })
}

/// The builder image for `platform`, as the settings write it.
pub(crate) fn builder_image(workspace: &Workspace, platform: &Platform) -> Result<String> {
    match &workspace.packages.settings.builder_image {
        Some(BuilderImage::One(image)) => Ok(image.clone()),
        Some(BuilderImage::PerPlatform(images)) => match images.get(platform) {
            Some(image) => Ok(image.clone()),
            None => bail!(
                "`builder-image` in `[workspace.metadata.docker]` of `Cargo.toml` names no image for `{platform}`"
            ),
        },
        None => {
            let asked = toolchain_file(workspace)?.map(|file| file.builder_image()).transpose()?.flatten();
            Ok(asked.unwrap_or_else(|| format!("rust:{}-bookworm", oldest_that_compiles(workspace))))
        }
    }
}

/// The toolchain file of the workspace.
///
/// # Errors
/// It cannot be read, or names no toolchain; rustup would obey one of a folder above, which is no input.
pub(crate) fn toolchain_file(workspace: &Workspace) -> Result<Option<ToolchainFile>> {
    for name in TOOLCHAIN_FILES {
        let path = workspace.root().join(name);
        match std::fs::read_to_string(&path) {
            Ok(text) => return ToolchainFile::parse(name, &text).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("cannot read `{path}`")),
        }
    }
    let above = workspace.root().ancestors().skip(1);
    let mut paths = above.flat_map(|folder| TOOLCHAIN_FILES.iter().map(move |name| folder.join(name)));
    match paths.find(|path| path.is_file()) {
        None => Ok(None),
        Some(path) => Err(hinted(
            format!("`{path}` chooses the toolchain of the workspace, and is not in it: builds elsewhere lack it"),
            format!("copy it to `{}`: what is there wins", workspace.root()),
        )),
    }
}

/// The default version, or the newest `rust-version` of a package that components are compiled from.
fn oldest_that_compiles(workspace: &Workspace) -> String {
    let folders = workspace.components.iter().flat_map(|component| &component.closure);
    let packages = folders.filter_map(|folder| workspace.packages.member_in(folder));
    let wanted = packages.filter_map(|package| package.manifest.get("rust-version")?.as_str());
    // A tag without a patch version is the newest one's.
    let number = |version: &str| -> Option<(u32, u32)> {
        let mut parts = version.split('.').map(|part| part.parse().ok());
        Some((parts.next()??, parts.next()??))
    };
    let newest = wanted.chain([DEFAULT_RUST]).filter_map(number).max();
    newest.map_or(DEFAULT_RUST.to_owned(), |(major, minor)| format!("{major}.{minor}"))
}

/// Builder stages for the platforms asked for, and for the two usual ones where one image serves
/// all: then the Dockerfile stands alone on either kind of machine.
fn builders(workspace: &Workspace) -> Result<BTreeMap<Platform, BuilderStage>> {
    let settings = &workspace.packages.settings;
    let mut platforms: BTreeSet<Platform> = workspace.platforms.iter().cloned().collect();
    match &settings.builder_image {
        Some(BuilderImage::PerPlatform(images)) => platforms.extend(images.keys().cloned()),
        _ => platforms.extend(["linux/amd64".parse()?, "linux/arm64".parse()?]),
    }
    platforms
        .into_iter()
        .map(|platform| {
            let target = RustTarget::new(&platform, settings.linkage)?;
            let stage = BuilderStage {
                image: workspace.pin(&builder_image(workspace, &platform)?)?.reference,
                rustflags: workspace_rustflags(workspace.root(), &target.triple)?,
                target,
            };
            Ok((platform, stage))
        })
        .collect()
}
