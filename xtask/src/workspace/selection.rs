//! What every build selects.

use camino::Utf8PathBuf;

use super::lockfile::LockFile;
use super::packages::Packages;

/// Packages of these names are the delivery tool itself, or the workspace's own `xtask` beside a
/// renamed one: never a component.
const OWN_PACKAGES: &[&str] = &["xtask", env!("CARGO_PKG_NAME")];

/// The packages and features that every build selects, so that shared dependencies compile once
/// and a component does not depend on which others were asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Selection {
    /// Folders (below the root) of the selected packages.
    pub(crate) folders: Vec<Utf8PathBuf>,
    specs: Vec<String>,
    features: Vec<String>,
}

impl Selection {
    /// All members with a binary that may become a component.
    pub(crate) fn new(packages: &Packages, lock: &LockFile) -> Self {
        let selected: Vec<_> = packages
            .members
            .iter()
            .filter(|member| !OWN_PACKAGES.contains(&member.name.as_str()))
            .filter(|member| member.binaries().any(|binary| !packages.is_excluded(member, binary)))
            .collect();
        Selection {
            folders: selected.iter().map(|member| member.folder.clone()).collect(),
            specs: selected
                .iter()
                .map(|member| match lock.is_ambiguous(&member.name) {
                    true => format!("{}@{}", member.name, member.version),
                    false => member.name.clone(),
                })
                .collect(),
            features: packages.settings.features.clone(),
        }
    }

    /// Whether there is nothing to build.
    pub(crate) fn is_empty(&self) -> bool {
        self.specs.is_empty()
    }

    /// `-p a -p b --features x`, for `cargo build` and `cargo tree` alike.
    pub(crate) fn cargo_arguments(&self) -> Vec<String> {
        let mut arguments: Vec<String> = self.specs.iter().flat_map(|spec| ["-p".to_owned(), spec.clone()]).collect();
        if !self.features.is_empty() {
            arguments.extend(["--features".to_owned(), self.features.join(",")]);
        }
        arguments
    }
}
