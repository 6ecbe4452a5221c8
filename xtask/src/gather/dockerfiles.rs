//! Gathers what the Dockerfile of a package says.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};

use super::bases::Base;
use super::cargo_config::workspace_rustflags;
use super::workspace::Workspace;
use crate::dockerfile::stages::{BuilderStage, DockerfilePlan};
use crate::image::platform::Platform;
use crate::system::files::read_toml;
use crate::workspace::components::Component;
use crate::workspace::rust_target::RustTarget;
use crate::workspace::settings::BuilderImage;

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
        None => Ok(format!("rust:{}-bookworm", toolchain_version(workspace)?)),
    }
}

/// The version that the toolchain file names, when it is one that an image's tag can have.
fn toolchain_version(workspace: &Workspace) -> Result<String> {
    let root = workspace.root();
    let mut channel = None;
    for name in ["rust-toolchain.toml", "rust-toolchain"] {
        let path = root.join(name);
        if !path.is_file() {
            continue;
        }
        // The old file without an ending may hold the channel alone.
        channel = match read_toml(&path) {
            Ok(table) => table
                .get("toolchain")
                .and_then(|toolchain| toolchain.get("channel"))
                .and_then(toml::Value::as_str)
                .map(str::to_owned),
            Err(_) => std::fs::read_to_string(&path).ok().map(|text| text.trim().to_owned()),
        };
        break;
    }
    let is_version =
        |channel: &String| channel.split('.').count() >= 2 && channel.chars().all(|c| c.is_ascii_digit() || c == '.');
    Ok(channel.filter(is_version).unwrap_or_else(|| oldest_that_compiles(workspace)))
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
