//! What every build selects, and which components a command is about.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use camino::Utf8PathBuf;

use super::components::Component;
use super::lockfile::LockFile;
use super::names::did_you_mean;
use super::packages::Packages;
use crate::errors::hinted;

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

/// The components called `names`, in the workspace's order; all of them when `names` is empty.
///
/// # Errors
/// `Unknown service(s) requested: …`, with the nearest names.
pub(crate) fn select<'a>(components: &'a [Component], names: &[String]) -> Result<Vec<&'a Component>> {
    known_names(names, components.iter().map(|component| component.name.as_str()), "this workspace")?;
    let names: BTreeSet<_> = names.iter().map(String::as_str).collect();
    Ok(components.iter().filter(|component| names.is_empty() || names.contains(component.name.as_str())).collect())
}

/// Sees to it that all `names` are among those that `place` has.
///
/// # Errors
/// `Unknown service(s) requested: …`, with the nearest names.
pub(crate) fn known_names<'a>(names: &[String], known: impl IntoIterator<Item = &'a str>, place: &str) -> Result<()> {
    let known: Vec<&str> = known.into_iter().collect();
    let unknown: Vec<_> = names.iter().map(String::as_str).filter(|name| !known.contains(name)).collect();
    if !unknown.is_empty() {
        let meant = did_you_mean(&unknown, known.iter().copied());
        bail!(hinted(
            format!("Unknown service(s) requested: {}{meant}", unknown.join(", ")),
            format!("components of {place}: {}", known.join(", "))
        ));
    }
    Ok(())
}

/// Splits a comma or newline separated list, as CI systems pass it.
pub(crate) fn split_list(text: &str) -> Vec<String> {
    text.split([',', '\n']).map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_comma_or_newline_separated() {
        assert_eq!(split_list("a, b\nc,,\n"), ["a", "b", "c"]);
        assert!(split_list(" \n").is_empty());
    }
}
