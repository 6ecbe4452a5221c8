//! What decides a component's image, and the hash over it.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::components::{Component, Resolves};
use super::lockfile::{LockEntry, LockFile};
use super::packages::Packages;
use super::resolve::{Node, Resolve};
use super::settings::{SandboxMode, WorkspaceSettings};
use crate::image::platform::Platform;

/// A file that a build may read, or that an image carries.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SourceFile {
    /// Path below the root; absolute outside it.
    pub(crate) path: Utf8PathBuf,
    /// Plain, executable, or a link; other mode bits do not reach the image.
    pub(crate) kind: FileKind,
    /// SHA-256 of the content (of the target, for a link), in hex.
    pub(crate) digest: String,
}

/// What kind of file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FileKind {
    /// Mode 0644 in the image.
    Plain,
    /// Mode 0755 in the image.
    Executable,
    /// A symbolic link, of an asset: those among sources are followed.
    Link,
}

impl FileKind {
    /// As inputs write it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            FileKind::Plain => "plain",
            FileKind::Executable => "executable",
            FileKind::Link => "link",
        }
    }
}

/// One thing that decides an image. What is compared and persisted is [`Input::encoded`]: names of
/// variants and fields do not show in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Input {
    /// A file that the build may read, or that the image carries; the path as seen from the root.
    File { path: String, kind: FileKind, digest: String },
    /// A package of the resolved graph, with its features, what it is compiled for, and which packages it uses:
    /// with two versions of one in the graph, the lock file can move a user of it from one to the other.
    Dependency {
        platform: String,
        name: String,
        version: String,
        source: String,
        features: String,
        kind: &'static str,
        uses: String,
    },
    /// What the lock file holds a package to.
    Lock { platform: String, name: String, version: String, source: String, checksum: String },
    /// A vendored package's files.
    Vendored { package: String, digest: String },
    /// A member's manifest after inheritance, as far as programs and compilers see it.
    Manifest { folder: String, fields: String },
    /// A key of the root manifest that steers every build.
    Root { key: String, value: String },
    /// The binary target.
    Binary { name: String, folder: String },
    /// A setting of `[workspace.metadata.docker]` or `[package.metadata.docker]`.
    Setting { key: String, value: String },
    /// The platform that is built for.
    Platform { name: String },
    /// A variable of the build's environment, by the SHA-256 of its value: that may be a secret.
    Variable { name: String, digest: String },
    /// A key of the merged cargo configuration.
    Configuration { key: String, value: String },
    /// A program, a library or an image that takes part in building.
    Tool { name: String, version: String },
    /// What the image is made to say of itself.
    Label { name: String, value: String },
}

/// Begins what is hashed; raised when [`Input::encoded`] changes.
const ENCODING: &str = "xtask inputs 2";

/// What cargo's configuration or a variable says (rustflags), and a folder of this machine.
const PRIVATE_TOOLS: &[&str] = &["rustflags", OUTSIDE_FOLDER];
/// Where a package outside the workspace is: cargo tells packages apart by that.
pub(crate) const OUTSIDE_FOLDER: &str = "folder of a package outside the workspace";

impl Input {
    fn lock(platform: &Platform, entry: &LockEntry) -> Self {
        let LockEntry { name, version, source, checksum } = entry.clone();
        Input::Lock { platform: platform.to_string(), name, version, source, checksum }
    }

    fn dependency(platform: &Platform, node: &Node, resolve: &Resolve) -> Self {
        let uses: BTreeSet<_> = resolve.children(node).map(|used| format!("{} {}", used.name, used.version)).collect();
        Input::Dependency {
            platform: platform.to_string(),
            name: node.name.clone(),
            version: node.version.clone(),
            source: node.source.clone(),
            features: node.features.clone(),
            kind: if node.for_host { "host" } else { "target" },
            uses: uses.into_iter().collect::<Vec<_>>().join(","),
        }
    }

    /// A variable with its value hidden.
    pub(crate) fn variable(name: &str, value: &str) -> Self {
        Input::Variable { name: name.to_owned(), digest: hex(&Sha256::digest(value)) }
    }

    /// A program, library or image.
    pub(crate) fn tool(name: &str, version: impl Into<String>) -> Self {
        Input::Tool { name: name.to_owned(), version: version.into() }
    }

    /// The canonical text: a JSON list of the kind and its fields.
    pub(crate) fn encoded(&self) -> String {
        let parts: Vec<&str> = match self {
            Input::File { path, kind, digest } => vec!["file", kind.name(), digest, path],
            Input::Dependency { platform, name, version, source, features, kind, uses } => {
                vec!["dependency", platform, name, version, source, features, kind, uses]
            }
            Input::Lock { platform, name, version, source, checksum } => {
                vec!["lock", platform, name, version, source, checksum]
            }
            Input::Vendored { package, digest } => vec!["vendored", package, digest],
            Input::Manifest { folder, fields } => vec!["manifest", folder, fields],
            Input::Root { key, value } => vec!["root", key, value],
            Input::Binary { name, folder } => vec!["binary", name, folder],
            Input::Setting { key, value } => vec!["setting", key, value],
            Input::Platform { name } => vec!["platform", name],
            Input::Variable { name, digest } => vec!["variable", name, digest],
            Input::Configuration { key, value } => vec!["configuration", key, value],
            Input::Tool { name, version } => vec!["tool", name, version],
            Input::Label { name, value } => vec!["label", name, value],
        };
        serde_json::Value::from(parts).to_string()
    }

    /// As all may see it: of what may be a secret, or names a folder of this machine, four digits of a hash.
    fn published(&self) -> Self {
        let short = |value: &str| hex(&Sha256::digest(value))[..4].to_owned();
        let mut public = self.clone();
        match &mut public {
            Input::Variable { digest, .. } => digest.truncate(4),
            Input::Configuration { value, .. } => *value = short(value),
            Input::Tool { name, version } if PRIVATE_TOOLS.contains(&name.as_str()) && !version.is_empty() => {
                *version = short(version);
            }
            _ => {}
        }
        public
    }

    /// Whether it is about another platform than `platform`.
    fn is_foreign(&self, platform: &str) -> bool {
        match self {
            Input::Dependency { platform: of, .. } | Input::Lock { platform: of, .. } => of != platform,
            _ => false,
        }
    }
}

/// For people: `src/main.rs`, `lock entry `serde``.
impl std::fmt::Display for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Input::File { path, .. } => f.write_str(path),
            Input::Dependency { name, .. } => write!(f, "version, features or use of dependency `{name}`"),
            Input::Lock { name, .. } => write!(f, "lock entry `{name}`"),
            Input::Vendored { package, .. } => write!(f, "vendored `{package}`"),
            Input::Manifest { folder, .. } => write!(f, "manifest of `{folder}`"),
            Input::Root { key, .. } => write!(f, "`{key}` of the root manifest"),
            Input::Binary { name, .. } => write!(f, "binary `{name}`"),
            Input::Setting { key, .. } => write!(f, "setting `{key}`"),
            Input::Platform { name } => write!(f, "platform `{name}`"),
            Input::Variable { name, .. } => write!(f, "variable `{name}`"),
            Input::Configuration { key, .. } => write!(f, "`{key}` of the cargo configuration"),
            Input::Tool { name, version } => write!(f, "{name}: {version}"),
            Input::Label { name, .. } => write!(f, "`{name}` of the image"),
        }
    }
}

/// What all components share: a change here means all.
#[derive(Debug, Clone, Default)]
pub(crate) struct SharedInputs {
    /// The root manifest's keys, the toolchain file, the workspace's cargo configuration.
    pub(crate) inputs: BTreeMap<Input, String>,
    /// The files behind them (below the root), for git.
    pub(crate) files: BTreeSet<Utf8PathBuf>,
}

/// The keys of a root manifest that steer every build. Everything else in it reaches a component
/// through its own package, its dependencies or its settings.
const ROOT_KEYS: &[&str] = &["profile", "patch", "replace", "cargo-features"];

/// What of a root manifest all components share.
pub(crate) fn root_manifest_inputs(manifest: &toml::Table) -> BTreeMap<Input, String> {
    let workspace = manifest.get("workspace").and_then(toml::Value::as_table);
    let top = ROOT_KEYS.iter().filter_map(|key| Some(((*key).to_owned(), manifest.get(*key)?)));
    let below = ["lints", "resolver"].into_iter();
    let below = below.filter_map(|key| Some((format!("workspace.{key}"), workspace?.get(key)?)));
    let why = "steers every build".to_owned();
    top.chain(below).map(|(key, value)| (Input::Root { key, value: value.to_string() }, why.clone())).collect()
}

/// A component's inputs, each with the reason why it is one. The reasons are for people: neither
/// the hash nor a comparison knows them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Inputs(BTreeMap<Input, String>);

impl PartialEq for Inputs {
    fn eq(&self, other: &Self) -> bool {
        self.0.keys().eq(other.0.keys())
    }
}

impl Inputs {
    /// Puts the inputs of `component` together; those of the builder are added when it is known.
    pub(crate) fn new(
        component: &Component,
        files: &BTreeMap<SourceFile, String>,
        packages: &Packages,
        resolves: &Resolves,
        lock: &LockFile,
        shared: &SharedInputs,
    ) -> Self {
        let mut all = shared.inputs.clone();
        for (file, why) in files {
            let path = from_root(&file.path, &packages.root).into_string();
            all.insert(Input::File { path, kind: file.kind, digest: file.digest.clone() }, why.clone());
        }
        for (platform, resolve) in resolves {
            let folder = packages.root.join(&component.package.folder);
            let folder = Utf8Path::new(folder.as_str().trim_end_matches('/'));
            for node in resolve.root(folder).map(|root| resolve.below(root)).unwrap_or_default() {
                all.insert(Input::dependency(platform, node, resolve), "cargo resolved it".to_owned());
                if node.path.is_none() {
                    let entries = lock.entries(&node.locked()).iter().map(|entry| Input::lock(platform, entry));
                    all.extend(entries.map(|entry| (entry, "a dependency".to_owned())));
                }
            }
        }
        for folder in &component.closure {
            if let Some(member) = packages.member_in(folder) {
                let manifest = Input::Manifest { folder: folder.to_string(), fields: member.manifest.to_string() };
                all.insert(manifest, "in the closure".to_owned());
            }
        }
        let folder = component.package.folder.to_string();
        all.insert(Input::Binary { name: component.name.clone(), folder }, "the component".to_owned());
        all.extend(settings(component, &packages.settings).map(|setting| (setting, "configured".to_owned())));
        Inputs(all)
    }

    /// Adds what builds, for this platform; what is about others goes.
    pub(crate) fn for_build(&self, platform: &Platform, builder: impl IntoIterator<Item = Input>) -> Self {
        let name = platform.to_string();
        let own = self.0.iter().filter(|(input, _)| !input.is_foreign(&name));
        let mut all: BTreeMap<_, _> = own.map(|(input, why)| (input.clone(), why.clone())).collect();
        all.insert(Input::Platform { name }, "built for it".to_owned());
        all.extend(builder.into_iter().map(|input| (input, "takes part in building".to_owned())));
        Inputs(all)
    }

    /// Leaves out the files for which `is_forgotten` says so.
    pub(crate) fn forget_files(&mut self, is_forgotten: impl Fn(&Utf8Path) -> bool) {
        self.0.retain(|input, _| !matches!(input, Input::File { path, .. } if is_forgotten(Utf8Path::new(path))));
    }

    /// Each input with its reason, in a fixed order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Input, &str)> {
        self.0.iter().map(|(input, why)| (input, why.as_str()))
    }

    /// SHA-256 over all inputs: the input hash when those of the builder are among them.
    pub(crate) fn hash(&self) -> InputHash {
        hash(self.0.keys())
    }

    /// With no value that may be a secret; [`Inputs::hash`] is another then.
    pub(crate) fn published(&self) -> Self {
        Inputs(self.0.iter().map(|(input, why)| (input.published(), why.clone())).collect())
    }

    /// What [`Inputs::hash`] is over, each with a newline behind it.
    pub(crate) fn lines(&self) -> Vec<String> {
        lines(self.0.keys()).collect()
    }

    /// A hash over what is not a file's content: what `git log -- PATHS` cannot tell.
    pub(crate) fn derived_hash(&self) -> String {
        hash(self.0.keys().filter(|input| !matches!(input, Input::File { .. }))).0
    }

    /// What differs from `old`, a phrase each, for people.
    pub(crate) fn differences(&self, old: &Inputs) -> Vec<String> {
        let new = self.0.keys().filter(|input| !old.0.contains_key(input));
        let gone = old.0.keys().filter(|input| !self.0.contains_key(input));
        new.chain(gone).map(ToString::to_string).collect::<BTreeSet<_>>().into_iter().collect()
    }
}

fn lines<'a>(inputs: impl Iterator<Item = &'a Input>) -> impl Iterator<Item = String> {
    // By their text, so that the order of variants does not show.
    let lines: BTreeSet<String> = inputs.map(Input::encoded).collect();
    std::iter::once(ENCODING.to_owned()).chain(lines)
}

fn hash<'a>(inputs: impl Iterator<Item = &'a Input>) -> InputHash {
    let mut hasher = Sha256::new();
    for line in lines(inputs) {
        hasher.update(line);
        hasher.update("\n");
    }
    InputHash(hex(&hasher.finalize()))
}

/// 64 hex digits over everything that decides an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub(crate) struct InputHash(String);

impl std::fmt::Display for InputHash {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// `path` as seen from `root`, with `..` where it is outside: the same in each checkout.
pub(crate) fn from_root(path: &Utf8Path, root: &Utf8Path) -> Utf8PathBuf {
    if path.is_relative() {
        return path.to_owned();
    }
    let common = root.ancestors().enumerate().find_map(|(up, folder)| Some((up, path.strip_prefix(folder).ok()?)));
    common.map_or(path.to_owned(), |(up, rest)| Utf8PathBuf::from("../".repeat(up)).join(rest))
}

fn settings(component: &Component, settings: &WorkspaceSettings) -> impl Iterator<Item = Input> + use<> {
    let own = &component.package.settings;
    let mut all = vec![
        ("linkage".to_owned(), settings.linkage.name().to_owned()),
        ("features".to_owned(), settings.features.join(",")),
        ("builder-image".to_owned(), settings.builder_image.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("runtime-image".to_owned(), settings.runtime_image.clone()),
        ("port".to_owned(), own.port.map(|port| port.to_string()).unwrap_or_default()),
        ("build-packages".to_owned(), own.build_packages.join(",")),
    ];
    if settings.network {
        // What was downloaded is not known: the hash says so, and so does the image.
        all.push(("network".to_owned(), "allowed".to_owned()));
    }
    if settings.sandbox == SandboxMode::Off {
        all.push(("sandbox".to_owned(), "off".to_owned()));
    }
    all.extend(settings.system_paths.iter().map(|path| ("system-paths".to_owned(), path.to_string())));
    all.extend(own.env.iter().map(|(name, value)| (format!("env.{name}"), value.clone())));
    all.extend(own.assets.iter().map(|asset| (format!("assets.{}", asset.to), asset.from.to_string())));
    all.into_iter().map(|(key, value)| Input::Setting { key, value })
}

/// Lower-case hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(list: &[Input]) -> Inputs {
        Inputs(list.iter().map(|input| (input.clone(), String::new())).collect())
    }

    fn file(path: &str, digest: &str) -> Input {
        Input::File { path: path.into(), kind: FileKind::Plain, digest: digest.into() }
    }

    fn lock(platform: &str, version: &str) -> Input {
        let (platform, version) = (platform.to_owned(), version.to_owned());
        Input::Lock { platform, name: "serde".into(), version, source: "r".into(), checksum: "c".into() }
    }

    #[test]
    fn only_what_steers_every_build_is_shared() {
        let manifest: toml::Table = toml::from_str(
            "[workspace]\nmembers = ['a']\nresolver = '2'\n[workspace.metadata.x]\ny = 1\n\
             [profile.release]\nlto = true\n[dependencies]\nserde = '1'",
        )
        .unwrap();
        let shared: Vec<_> = root_manifest_inputs(&manifest).into_keys().map(|input| input.encoded()).collect();
        assert_eq!(
            shared,
            [r#"["root","profile","{ release = { lto = true } }"]"#, r#"["root","workspace.resolver","\"2\""]"#]
        );
    }

    #[test]
    fn paths_outside_the_workspace_do_not_name_the_checkout() {
        let seen = |path: &str| from_root(path.into(), "/home/me/repo/examples".into());
        assert_eq!(seen("src/main.rs"), "src/main.rs");
        assert_eq!(seen("/home/me/repo/axum/src/lib.rs"), "../axum/src/lib.rs");
        assert_eq!(seen("/srv/shared/lib.rs"), "../../../../srv/shared/lib.rs");
    }

    #[test]
    fn differences_name_what_changed_and_reasons_do_not_count() {
        let old = inputs(&[file("a.rs", "aa"), lock("linux/amd64", "1.0.0")]);
        let new = inputs(&[file("a.rs", "bb"), file("b c.rs", "cc"), lock("linux/amd64", "1.0.1")]);
        assert_eq!(new.differences(&old), ["a.rs", "b c.rs", "lock entry `serde`"]);
        assert!(new.differences(&new).is_empty());
        let other_reasons = Inputs(new.0.keys().map(|input| (input.clone(), "why not".to_owned())).collect());
        assert!(other_reasons == new && other_reasons.hash() == new.hash());
    }

    /// Both versions stay in the lock file, and only the edge to one of them changes.
    #[test]
    fn which_version_a_package_uses_is_an_input() {
        let inputs = |used: &str| {
            let tree = format!(
                "a v1.0.0 (/w/a)\t\t\t\n|-- b v1.0.0\t\t\t\n|   `-- c v{used}.0.0\t\t\t\n|-- c v1.0.0\t\t\t\n`-- c v2.0.0\t\t\t\n"
            );
            let resolve = Resolve::parse(&tree).unwrap();
            let platform: Platform = "linux/amd64".parse().unwrap();
            super::hash(
                resolve.nodes().map(|node| Input::dependency(&platform, node, &resolve)).collect::<Vec<_>>().iter(),
            )
        };
        assert_ne!(inputs("1"), inputs("2"));
        assert_eq!(inputs("2"), inputs("2"));
    }

    #[test]
    fn another_platforms_lock_entries_do_not_count() {
        let platform: Platform = "linux/arm64".parse().unwrap();
        let both = inputs(&[lock("linux/amd64", "1.0.0"), lock("linux/arm64", "1.0.0")]);
        let changed = inputs(&[lock("linux/amd64", "1.0.9"), lock("linux/arm64", "1.0.0")]);
        assert_eq!(both.for_build(&platform, []).hash(), changed.for_build(&platform, []).hash());
        let other = both.for_build(&platform, [Input::tool("rustc", "1")]);
        assert_ne!(both.for_build(&platform, []).hash(), other.hash());
    }

    /// The bytes that are hashed. When this fails, every image of every user is built anew: if that is
    /// meant, raise [`ENCODING`] and take the new hash.
    #[test]
    fn the_hash_of_known_inputs_is_the_known_one() {
        let all = [
            file("src/main.rs", "ab"),
            Input::Dependency {
                platform: "linux/amd64".into(),
                name: "serde".into(),
                version: "1.0.0".into(),
                source: String::new(),
                features: "std".into(),
                kind: "target",
                uses: "serde_derive 1.0.0".into(),
            },
            lock("linux/amd64", "1.0.0"),
            Input::Vendored { package: "a".into(), digest: "b".into() },
            Input::Manifest { folder: "app".into(), fields: "{\"version\":\"1\"}".into() },
            Input::Root { key: "profile".into(), value: "x".into() },
            Input::Binary { name: "app".into(), folder: "app".into() },
            Input::Setting { key: "port".into(), value: "80".into() },
            Input::variable("CFLAGS", "-O2\n\"quoted\""),
            Input::Configuration { key: "build.jobs".into(), value: "1".into() },
            Input::tool("rustc", "1.95"),
            Input::Label { name: "VERSION".into(), value: "é".into() },
        ];
        let inputs = inputs(&all).for_build(&"linux/amd64".parse().unwrap(), []);
        let lines: Vec<_> = inputs.iter().map(|(input, _)| input.encoded()).collect();
        assert_eq!(lines[0], r#"["file","plain","ab","src/main.rs"]"#);
        assert_eq!(
            inputs.hash().to_string(),
            "b0b2a2bc3d38411ab2ee9768ffe584fde32daa1beb88f54d5a12afeca1822d15",
            "{ENCODING}"
        );
    }
}
