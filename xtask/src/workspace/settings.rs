//! `[workspace.metadata.docker]` and `[package.metadata.docker]`: every key has a default, and an
//! unknown key is an error that names the key, the file and the nearest valid key.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use serde::Deserialize;
use serde_json::Value;

use super::environments::EnvironmentSettings;
use super::manifest_settings::ManifestSource;
use super::names::did_you_mean;
use super::repository_template::check_template;
use super::signing::SignSettings;
use super::sizes::{ByteSize, Growth};
use super::smoke::SmokeSettings;
use crate::errors::hinted;
use crate::image::images_lock::Mirror;
use crate::image::platform::Platform;
use crate::image::promotion::LOCAL;
use crate::image::prune::KeepPolicy;

/// How executables are linked, and so which target they are built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Linkage {
    /// The GNU C library, linked statically: runs on an empty image.
    GnuStatic,
    /// musl, linked statically: runs on an empty image.
    Musl,
    /// The GNU C library, linked dynamically: needs a `runtime-image` that has it.
    Gnu,
}

impl Linkage {
    /// As the settings write it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Linkage::GnuStatic => "gnu-static",
            Linkage::Musl => "musl",
            Linkage::Gnu => "gnu",
        }
    }
}

/// One builder image for all platforms, or one for each.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(crate) enum BuilderImage {
    /// The same reference for every platform.
    One(String),
    /// A reference per platform.
    PerPlatform(BTreeMap<Platform, String>),
}

impl std::fmt::Display for BuilderImage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            BuilderImage::One(image) => f.write_str(image),
            BuilderImage::PerPlatform(images) => {
                let list: Vec<_> = images.iter().map(|(platform, image)| format!("{platform}={image}")).collect();
                f.write_str(&list.join(","))
            }
        }
    }
}

/// Settings of the workspace, `[workspace.metadata.docker]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(crate) struct WorkspaceSettings {
    /// Registry host, with its port when it is not 443.
    pub(crate) registry: String,
    /// Repository template; `{component}` and `{owner}` are filled in.
    pub(crate) repository: String,
    /// Image that compiles in the engine; by default `rust:VERSION-bookworm`, VERSION from the
    /// toolchain file when that names one.
    pub(crate) builder_image: Option<BuilderImage>,
    /// How executables are linked.
    pub(crate) linkage: Linkage,
    /// Cargo features of every build.
    pub(crate) features: Vec<String>,
    /// `scratch`, a registry reference, or `oci:PATH`.
    pub(crate) runtime_image: String,
    /// Where base and builder images of known digest are pulled from.
    pub(crate) mirror: Option<Mirror>,
    /// Platforms built when `--platform` does not say otherwise.
    pub(crate) platforms: Vec<Platform>,
    /// Binaries that are no component.
    pub(crate) exclude: Vec<Excluded>,
    /// Tags that may be pushed again with another digest, beside branches and `latest`.
    pub(crate) mutable_tags: Vec<String>,
    /// Which builds move the tag `latest`.
    pub(crate) latest: Latest,
    /// What becomes of a git tag of another version than a package's.
    pub(crate) version_check: VersionCheck,
    /// Template of the commit's tag; `{short}` is 7 characters of the commit, `{full}` all 40.
    pub(crate) sha_tag: String,
    /// Folders and files below the root whose image references are pinned.
    pub(crate) manifests: Vec<ManifestSource>,
    /// Components that no manifest is meant to name.
    pub(crate) undeployed: Vec<String>,
    /// Keys that lead to images beside containers, by the ends of their paths: `templates.container.image`.
    pub(crate) image_paths: Vec<String>,
    /// Places that images are promoted to, by name.
    pub(crate) environments: BTreeMap<String, EnvironmentSettings>,
    /// Who signs.
    pub(crate) sign: SignSettings,
    /// What `smoke` does without being told.
    pub(crate) smoke: SmokeSettings,
    /// What `prune` keeps.
    pub(crate) prune: KeepPolicy,
    /// CI runner per platform, for `matrix`.
    pub(crate) runners: BTreeMap<Platform, String>,
    /// Variables of the environment that builds may read, beside those that every build may.
    pub(crate) pass_env: Vec<String>,
    /// Whether native builds are confined.
    pub(crate) sandbox: SandboxMode,
    /// Folders beside the system's own that native builds may read; their content is not an input.
    pub(crate) system_paths: Vec<Utf8PathBuf>,
    /// Whether native builds may use the network: what they get from it is no input.
    pub(crate) network: bool,
    /// What a publication attaches to each image.
    pub(crate) attestations: Vec<Attestation>,
}

/// Whether native builds are confined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SandboxMode {
    /// Where the kernel can.
    Auto,
    /// A kernel that cannot is an error.
    Required,
    /// Never.
    Off,
}

/// What becomes of a git tag such as `v1.2.3` where a package that is published has another version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum VersionCheck {
    /// A warning.
    Warning,
    /// Nothing is published.
    Error,
    /// Nothing: packages are not versioned.
    Off,
}

/// Which builds move the tag `latest`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Latest {
    /// Pushes to the default branch.
    DefaultBranch,
    /// Git tags of releases, pre-releases excluded.
    Release,
}

impl WorkspaceSettings {
    /// The settings as they are in the environment of this name: with its manifests, where it has its own. Those of an
    /// environment that is not listed (`local`) are the workspace's.
    pub(crate) fn in_environment(mut self, name: &str) -> Self {
        if let Some(environment) = self.environments.get(name).filter(|environment| !environment.manifests.is_empty()) {
            self.manifests = environment.manifests.clone();
        }
        self
    }
}

/// Binaries that are no component: `NAME`, `PACKAGE/NAME`; a final `*` stands for any ending.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(crate) struct Excluded(pub(crate) String);

impl Excluded {
    /// Whether it means this binary of this package.
    pub(crate) fn matches(&self, package: &str, binary: &str) -> bool {
        let (of, name) = self.0.split_once('/').unwrap_or((package, &self.0));
        let is_name = match name.strip_suffix('*') {
            Some(start) => binary.starts_with(start),
            None => name == binary,
        };
        of == package && is_name
    }
}

impl Default for WorkspaceSettings {
    fn default() -> Self {
        WorkspaceSettings {
            registry: "localhost:5000".into(),
            repository: "{owner}/{component}".into(),
            builder_image: None,
            linkage: Linkage::GnuStatic,
            features: Vec::new(),
            runtime_image: "scratch".into(),
            mirror: None,
            platforms: vec!["linux/amd64".parse().expect("a valid platform")],
            exclude: Vec::new(),
            mutable_tags: vec!["dev".into(), "local".into()],
            latest: Latest::DefaultBranch,
            version_check: VersionCheck::Warning,
            sha_tag: "sha-{short}".into(),
            manifests: vec![ManifestSource::Path("k8s".into())],
            undeployed: Vec::new(),
            image_paths: Vec::new(),
            environments: BTreeMap::new(),
            sign: SignSettings::default(),
            smoke: SmokeSettings::default(),
            prune: KeepPolicy::default(),
            runners: BTreeMap::new(),
            pass_env: Vec::new(),
            sandbox: SandboxMode::Auto,
            system_paths: Vec::new(),
            network: false,
            attestations: Vec::new(),
        }
    }
}

/// What a publication attaches to each image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Attestation {
    /// What it is made of, as CycloneDX and SPDX.
    Sbom,
    /// How it was made, as SLSA provenance.
    Provenance,
}

impl Attestation {
    /// All of them.
    pub(crate) const ALL: &'static [Attestation] = &[Attestation::Sbom, Attestation::Provenance];
}

/// A file or folder of the workspace that an image carries.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Asset {
    /// Path below the workspace root.
    pub(crate) from: Utf8PathBuf,
    /// Absolute path in the image.
    pub(crate) to: Utf8PathBuf,
}

/// Settings of a member, `[package.metadata.docker]`; they hold for each of its binaries.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(crate) struct PackageSettings {
    /// TCP port the image exposes.
    pub(crate) port: Option<u16>,
    /// Files the image carries.
    pub(crate) assets: Vec<Asset>,
    /// Files and folders of the workspace that the build reads and the image does not carry.
    pub(crate) inputs: Vec<Utf8PathBuf>,
    /// Environment of the image.
    pub(crate) env: BTreeMap<String, String>,
    /// apt or apk packages the builder stage needs.
    pub(crate) build_packages: Vec<String>,
    /// Budget of the compressed image, e.g. `20 MiB`.
    pub(crate) max_size: Option<ByteSize>,
    /// How much larger than in the branch's release the image may be, e.g. `10%`.
    pub(crate) max_growth: Option<Growth>,
    /// Variables of the environment that this package's builds may read.
    pub(crate) pass_env: Vec<String>,
}

const WORKSPACE_KEYS: &[&str] = &[
    "registry",
    "repository",
    "builder-image",
    "linkage",
    "features",
    "runtime-image",
    "mirror",
    "platforms",
    "exclude",
    "mutable-tags",
    "latest",
    "version-check",
    "sha-tag",
    "manifests",
    "undeployed",
    "image-paths",
    "environments",
    "sign",
    "smoke",
    "prune",
    "runners",
    "pass-env",
    "sandbox",
    "system-paths",
    "network",
    "attestations",
];
const PACKAGE_KEYS: &[&str] =
    &["port", "assets", "inputs", "env", "build-packages", "max-size", "max-growth", "pass-env"];

/// Reads `metadata.docker` of the workspace; `file` names its manifest in errors.
pub(crate) fn workspace_settings(metadata: &Value, file: &Utf8Path) -> Result<WorkspaceSettings> {
    let table = "[workspace.metadata.docker]";
    let settings: WorkspaceSettings = read(metadata, WORKSPACE_KEYS, table, file)?;
    if settings.platforms.is_empty() {
        bail!("`platforms` in `{table}` of `{file}` is empty; leave it out for `linux/amd64`");
    }
    if settings.linkage == Linkage::Gnu && settings.runtime_image == "scratch" {
        bail!(hinted(
            format!(
                "`linkage = \"gnu\"` in `{table}` of `{file}` needs the GNU C library, which `runtime-image = \
                 \"scratch\"` does not have"
            ),
            "set `runtime-image` to an image with it, such as `gcr.io/distroless/cc-debian12`, or `linkage` to \
             `gnu-static` or `musl`"
        ));
    }
    settings.sign.check(table, file)?;
    check_template(&settings.repository, table, file)?;
    check_names(&settings.pass_env, "pass-env", table, file)?;
    if let Some(path) = settings.system_paths.iter().find(|path| !path.is_absolute() || path.as_str() == "/") {
        bail!("`{path}` in `system-paths` in `{table}` of `{file}` is no absolute path below `/`");
    }
    for (name, environment) in &settings.environments {
        environment.check(name, file)?;
        // The tag of a's second deployment would be that of environment a-2.
        let stem =
            name.rsplit_once('-').filter(|(_, end)| end.bytes().all(|b| b.is_ascii_digit())).map(|(stem, _)| stem);
        if let Some(stem) = stem.filter(|stem| *stem == LOCAL || settings.environments.contains_key(*stem)) {
            bail!("environments `{stem}` and `{name}` in `{file}`: the second looks like a deployment of the first");
        }
    }
    Ok(settings)
}

/// Reads `metadata.docker` of a package; `file` names its manifest in errors.
pub(crate) fn package_settings(metadata: &Value, file: &Utf8Path) -> Result<PackageSettings> {
    let table = "[package.metadata.docker]";
    let mut settings: PackageSettings = read(metadata, PACKAGE_KEYS, table, file)?;
    for asset in &mut settings.assets {
        if !asset.to.is_absolute() || asset.to.components().any(|part| part.as_str() == "..") {
            bail!("asset `to = \"{}\"` in `{table}` of `{file}` is no absolute path in the image", asset.to);
        }
        (asset.from, asset.to) = (tidy(&asset.from), tidy(&asset.to));
    }
    settings.inputs = settings.inputs.iter().map(|path| tidy(path)).collect();
    if settings.port == Some(0) {
        bail!("`port = 0` in `{table}` of `{file}` is no port");
    }
    for package in &settings.build_packages {
        let plain = |c: char| c.is_ascii_alphanumeric() || "+-._:=".contains(c);
        if package.is_empty() || package.starts_with('-') || !package.chars().all(plain) {
            bail!("`{package}` in `build-packages` in `{table}` of `{file}` is no package name");
        }
    }
    if let Some(path) = settings.inputs.iter().find(|path| path.is_absolute()) {
        bail!("`{path}` in `inputs` in `{table}` of `{file}` is no path from the workspace's root");
    }
    check_names(settings.env.keys(), "env", table, file)?;
    check_names(&settings.pass_env, "pass-env", table, file)?;
    Ok(settings)
}

/// Checks names of environment variables.
fn check_names<'a>(names: impl IntoIterator<Item = &'a String>, key: &str, table: &str, file: &Utf8Path) -> Result<()> {
    for name in names {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || !name.chars().all(plain) {
            bail!("`{name}` in `{key}` in `{table}` of `{file}` is no name of an environment variable");
        }
    }
    Ok(())
}

/// `path` without `.`, doubled or final slashes, and `..` that can be left out: however it is written,
/// Docker and we understand the same.
pub(crate) fn tidy(path: &Utf8Path) -> Utf8PathBuf {
    let mut tidy = Utf8PathBuf::new();
    for part in path.components() {
        match part {
            Utf8Component::CurDir => {}
            Utf8Component::ParentDir if tidy.file_name().is_some() => drop(tidy.pop()),
            part => tidy.push(part),
        }
    }
    tidy
}

fn read<T: Default + for<'a> Deserialize<'a>>(
    metadata: &Value,
    known: &[&str],
    table: &str,
    file: &Utf8Path,
) -> Result<T> {
    let Some(docker) = metadata.get("docker") else {
        return Ok(T::default());
    };
    let entries = docker.as_object().with_context(|| format!("`{table}` in `{file}` is no table"))?;
    known_keys(entries.keys(), known, table, file)?;
    for asset in docker.get("assets").and_then(Value::as_array).into_iter().flatten() {
        let keys = asset.as_object().map(|asset| asset.keys()).into_iter().flatten();
        known_keys(keys, &["from", "to"], &format!("assets of {table}"), file)?;
    }
    // Key by key, so that an error names the key.
    for (key, value) in entries {
        let single = serde_json::json!({ key: value });
        serde_json::from_value::<T>(single).with_context(|| format!("`{key}` in `{table}` of `{file}` is wrong"))?;
    }
    serde_json::from_value(docker.clone()).with_context(|| format!("`{table}` in `{file}` is wrong"))
}

fn known_keys<'a>(keys: impl Iterator<Item = &'a String>, known: &[&str], table: &str, file: &Utf8Path) -> Result<()> {
    for key in keys {
        if !known.contains(&key.as_str()) {
            let hint = did_you_mean(&[key], known.iter().copied());
            let hint = if hint.is_empty() { format!("; valid keys: {}", known.join(", ")) } else { hint };
            bail!("unknown key `{key}` in `{table}` of `{file}`{hint}");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn error(metadata: Value) -> String {
        format!("{:#}", workspace_settings(&metadata, Utf8Path::new("Cargo.toml")).unwrap_err())
    }

    #[test]
    fn no_configuration_gives_the_defaults() {
        let settings = workspace_settings(&Value::Null, Utf8Path::new("Cargo.toml")).unwrap();
        assert_eq!(settings.registry, "localhost:5000");
        assert_eq!(settings.runtime_image, "scratch");
        assert_eq!(settings.platforms.len(), 1);
    }

    #[test]
    fn an_unknown_key_names_itself_the_file_and_the_nearest_key() {
        assert_eq!(
            error(json!({"docker": {"registri": "x"}})),
            "unknown key `registri` in `[workspace.metadata.docker]` of `Cargo.toml`; did you mean `registry`?"
        );
    }

    #[test]
    fn a_wrong_value_names_its_key() {
        assert!(error(json!({"docker": {"linkage": "static"}})).starts_with("`linkage` in"));
        assert!(error(json!({"docker": {"repository": "demon"}})).contains("lacks `{component}`"));
        assert!(error(json!({"docker": {"repository": "{component}-{tag}"}})).starts_with("`{tag}` in"));
    }

    #[test]
    fn a_dynamic_program_needs_more_than_an_empty_image() {
        let gnu = error(json!({"docker": {"linkage": "gnu"}}));
        assert!(gnu.starts_with("`linkage = \"gnu\"` in `[workspace.metadata.docker]` of `Cargo.toml`"), "{gnu}");
        assert!(gnu.contains(": hint: set `runtime-image` to an image with it"), "{gnu}");
        let on_base = json!({"docker": {"linkage": "gnu", "runtime-image": "debian:12"}});
        assert!(workspace_settings(&on_base, Utf8Path::new("Cargo.toml")).is_ok());
        let environment = |name: &str, value: Value| error(json!({"docker": {"environments": {name: value}}}));
        let template = environment("staging", json!({"registry": "r.io", "repository": "all"}));
        assert!(template.contains("lacks `{component}`") && template.contains("environments.staging"), "{template}");
        assert!(environment("a/../b", json!({"registry": "r.io"})).contains("letters, digits"));
        assert!(environment("staging", json!({"registri": "r.io"})).contains("unknown field `registri`"));
        let package = json!({"docker": {"assets": [{"from": "a", "too": "/b"}]}});
        let error = package_settings(&package, Utf8Path::new("a/Cargo.toml")).unwrap_err().to_string();
        assert!(error.starts_with("unknown key `too`"), "{error}");
    }

    #[test]
    fn excluded_binaries_are_named_with_or_without_their_package() {
        let excluded = |text: &str| Excluded(text.into()).matches("tools", "load-test");
        assert!(["load-test", "tools/load-test", "load-*", "tools/*", "*"].into_iter().all(excluded));
        assert!(!["load", "other/load-test", "tests/*", "tools"].into_iter().any(excluded));
    }
}
