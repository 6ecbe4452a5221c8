//! What decides a component's image, and the hash over it.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::components::{Component, Resolves};
use super::lockfile::LockFile;
use super::packages::Packages;
use super::settings::WorkspaceSettings;
use crate::image::platform::Platform;

/// A file of the context, by path below the workspace root.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SourceFile {
    /// Path below the root; absolute for a path package outside it.
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
    /// A symbolic link.
    Link,
}

/// What all components share: a change here means all.
#[derive(Debug, Clone, Default)]
pub(crate) struct SharedInputs {
    /// Lines over the root manifest's profiles and patches, toolchain file and cargo config.
    pub(crate) lines: BTreeSet<String>,
    /// The files behind them (below the root), for git.
    pub(crate) files: BTreeSet<Utf8PathBuf>,
}

/// The keys of a root manifest that steer every build. Everything else in it reaches a component
/// through its own package, its dependencies or its settings.
const ROOT_KEYS: &[&str] = &["profile", "patch", "replace", "cargo-features"];

/// The lines of a root manifest that all components share.
pub(crate) fn root_manifest_lines(manifest: &toml::Table) -> BTreeSet<String> {
    let mut lines: BTreeSet<_> =
        ROOT_KEYS.iter().filter_map(|key| manifest.get(*key).map(|value| format!("root {key} {value}"))).collect();
    let workspace = manifest.get("workspace").and_then(toml::Value::as_table);
    for key in ["lints", "resolver"] {
        if let Some(value) = workspace.and_then(|workspace| workspace.get(key)) {
            lines.insert(format!("root workspace.{key} {value}"));
        }
    }
    lines
}

/// A component's inputs, a line each; platform and builder apart, they are added by the hash.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Inputs {
    files: BTreeSet<String>,
    derived: BTreeSet<String>,
}

impl Inputs {
    /// Puts the inputs of `component` together.
    pub(crate) fn new<'a>(
        component: &Component,
        files: impl IntoIterator<Item = &'a SourceFile>,
        packages: &Packages,
        resolves: &Resolves,
        lock: &LockFile,
        shared: &SharedInputs,
    ) -> Self {
        let mut derived = shared.lines.clone();
        for (platform, resolve) in resolves {
            let folder = packages.root.join(&component.package.folder);
            let folder = Utf8Path::new(folder.as_str().trim_end_matches('/'));
            for node in resolve.root(folder).map(|root| resolve.below(root)).unwrap_or_default() {
                derived.insert(format!(
                    "dependency {platform} {} {} {} [{}]",
                    node.name, node.version, node.source, node.features
                ));
                if node.path.is_none() {
                    let lines = lock.lines(&node.locked());
                    derived.extend(lines.into_iter().map(|line| format!("lock {platform} {line}")));
                }
            }
        }
        for folder in &component.closure {
            if let Some(member) = packages.member_in(folder) {
                derived.insert(format!("manifest {folder} {}", member.manifest));
            }
        }
        derived.insert(format!("binary {} of {}", component.name, component.package.folder));
        derived.extend(setting_lines(component, &packages.settings));
        Inputs { files: files.into_iter().map(|file| file_line(file, &packages.root)).collect(), derived }
    }

    /// Leaves out the files for which `is_forgotten` says so.
    pub(crate) fn forget_files(&mut self, is_forgotten: impl Fn(&Utf8Path) -> bool) {
        self.files.retain(|line| !line.splitn(4, ' ').nth(3).is_some_and(|path| is_forgotten(Utf8Path::new(path))));
    }

    /// The input hash: SHA-256 over the inputs, the platform and what builds.
    pub(crate) fn hash(&self, platform: &Platform, builder: &BTreeMap<String, String>) -> InputHash {
        let own = platform.to_string();
        let mut hasher = Sha256::new();
        for line in self.files.iter().chain(&self.derived) {
            // Lines about another platform do not belong to this one's image.
            let about = line.strip_prefix("dependency ").or_else(|| line.strip_prefix("lock "));
            let other = about.is_some_and(|rest| rest.split(' ').next() != Some(&own));
            if !other {
                hasher.update(line);
                hasher.update("\n");
            }
        }
        hasher.update(format!("platform {platform}\n"));
        for (name, value) in builder {
            hasher.update(format!("builder {name} {value}\n"));
        }
        InputHash(hex(&hasher.finalize()))
    }

    /// A hash over what is not a file's content: what `git log -- PATHS` cannot tell.
    pub(crate) fn derived_hash(&self) -> String {
        let mut hasher = Sha256::new();
        for line in &self.derived {
            hasher.update(line);
            hasher.update("\n");
        }
        hex(&hasher.finalize())
    }

    /// What differs from `old`, a phrase each, for people.
    pub(crate) fn differences(&self, old: &Inputs) -> Vec<String> {
        let lines = self.files.symmetric_difference(&old.files).chain(self.derived.symmetric_difference(&old.derived));
        let mut differences: Vec<_> = lines.map(|line| phrase(line)).collect();
        differences.sort();
        differences.dedup();
        differences
    }
}

/// 64 hex digits over everything that decides an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct InputHash(String);

impl std::fmt::Display for InputHash {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

fn file_line(file: &SourceFile, root: &Utf8Path) -> String {
    let kind = match file.kind {
        FileKind::Plain => "plain",
        FileKind::Executable => "executable",
        FileKind::Link => "link",
    };
    format!("file {kind} {} {}", file.digest, from_root(&file.path, root))
}

/// `path` as seen from `root`, with `..` where it is outside: the same in each checkout.
fn from_root(path: &Utf8Path, root: &Utf8Path) -> Utf8PathBuf {
    if path.is_relative() {
        return path.to_owned();
    }
    let common = root.ancestors().enumerate().find_map(|(up, folder)| Some((up, path.strip_prefix(folder).ok()?)));
    common.map_or(path.to_owned(), |(up, rest)| Utf8PathBuf::from("../".repeat(up)).join(rest))
}

fn setting_lines(component: &Component, settings: &WorkspaceSettings) -> Vec<String> {
    let own = &component.package.settings;
    let mut lines = vec![
        format!("setting linkage {}", settings.linkage.name()),
        format!("setting features {:?}", settings.features),
        format!("setting builder-image {:?}", settings.builder_image),
        format!("setting runtime-image {}", settings.runtime_image),
        format!("setting port {:?}", own.port),
        format!("setting build-packages {:?}", own.build_packages),
    ];
    lines.extend(own.env.iter().map(|(name, value)| format!("setting env {name}={value:?}")));
    lines.extend(own.assets.iter().map(|asset| format!("setting asset {} -> {}", asset.from, asset.to)));
    lines
}

/// `file plain abc… a/b.rs` -> `a/b.rs`; `lock serde 1.0 …` -> `lock entry serde`; and so on.
fn phrase(line: &str) -> String {
    let words: Vec<_> = line.splitn(4, ' ').collect();
    match words.as_slice() {
        ["file", _, _, path] => (*path).to_owned(),
        ["lock", _, name, ..] => format!("lock entry `{name}`"),
        ["dependency", _, name, ..] => format!("version or features of dependency `{name}`"),
        ["manifest", folder, ..] => format!("manifest of `{folder}`"),
        ["setting", key, ..] => format!("setting `{key}`"),
        ["root", key, ..] => format!("`{key}` of the root manifest"),
        [first, second, ..] => format!("{first} `{second}`"),
        _ => line.to_owned(),
    }
}

/// Lower-case hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_steers_every_build_is_shared() {
        let manifest: toml::Table = toml::from_str(
            "[workspace]\nmembers = ['a']\nresolver = '2'\n[workspace.metadata.x]\ny = 1\n\
             [profile.release]\nlto = true\n[dependencies]\nserde = '1'",
        )
        .unwrap();
        let lines: Vec<_> = root_manifest_lines(&manifest).into_iter().collect();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].starts_with("root profile"));
        assert!(lines[1].starts_with("root workspace.resolver"));
    }

    #[test]
    fn paths_outside_the_workspace_do_not_name_the_checkout() {
        let seen = |path: &str| from_root(path.into(), "/home/me/repo/examples".into());
        assert_eq!(seen("src/main.rs"), "src/main.rs");
        assert_eq!(seen("/home/me/repo/axum/src/lib.rs"), "../axum/src/lib.rs");
        assert_eq!(seen("/srv/shared/lib.rs"), "../../../../srv/shared/lib.rs");
    }

    #[test]
    fn differences_name_what_changed() {
        let inputs = |files: &[&str], derived: &[&str]| Inputs {
            files: files.iter().map(ToString::to_string).collect(),
            derived: derived.iter().map(ToString::to_string).collect(),
        };
        let old = inputs(&["file plain aa a.rs"], &["lock linux/amd64 serde 1.0.0 r c"]);
        let new = inputs(&["file plain bb a.rs", "file link cc b c.rs"], &["lock linux/amd64 serde 1.0.1 r c"]);
        assert_eq!(new.differences(&old), ["a.rs", "b c.rs", "lock entry `serde`"]);
        assert!(new.differences(&new).is_empty());
    }
}
