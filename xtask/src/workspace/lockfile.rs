//! `Cargo.lock`: which entries there are, and their checksums.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Deserialize;

/// A locked package's name and version.
pub(crate) type NameVersion = (String, String);

/// What the lock file says of one package: its source and checksum; both empty for path packages.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct LockEntry {
    pub(crate) name: String,
    pub(crate) version: String,
    #[serde(default)]
    pub(crate) source: String,
    #[serde(default)]
    pub(crate) checksum: String,
}

impl LockEntry {
    /// Whether it is of the registry that cargo takes by itself.
    pub(crate) fn is_crates_io(&self) -> bool {
        self.source == "registry+https://github.com/rust-lang/crates.io-index"
    }
}

/// The entries of a lock file by name and version; several sources may hold the same two.
#[derive(Debug, Clone, Default)]
pub(crate) struct LockFile {
    entries: BTreeMap<NameVersion, Vec<LockEntry>>,
}

impl LockFile {
    /// Parses the text of a `Cargo.lock`, any version.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct File {
            #[serde(default)]
            package: Vec<LockEntry>,
            #[serde(default)]
            metadata: BTreeMap<String, String>,
        }
        let file: File = toml::from_str(text).context("cannot read `Cargo.lock`")?;
        let mut lock = LockFile::default();
        for mut entry in file.package {
            // Version 1 kept checksums in a table of their own.
            let key = format!("checksum {} {} ({})", entry.name, entry.version, entry.source);
            if let Some(checksum) = file.metadata.get(&key) {
                entry.checksum.clone_from(checksum);
            }
            lock.entries.entry((entry.name.clone(), entry.version.clone())).or_default().push(entry);
        }
        Ok(lock)
    }

    /// One per source that holds `package`: what must stay the same for a build to stay the same.
    pub(crate) fn entries(&self, package: &NameVersion) -> &[LockEntry] {
        self.entries.get(package).map_or(&[], Vec::as_slice)
    }

    /// The entry of a package that `cargo tree` prints with `source`, which abbreviates what the lock file says.
    pub(crate) fn entry(&self, package: &NameVersion, source: &str) -> Option<&LockEntry> {
        let remote = || self.entries(package).iter().filter(|entry| !entry.source.is_empty());
        let is_meant = |entry: &&LockEntry| match entry.source.strip_prefix("git+") {
            Some(git) => !source.is_empty() && git.starts_with(source),
            None => source.is_empty() == entry.is_crates_io() && !source.contains('#'),
        };
        remote().find(is_meant).or_else(|| remote().next().filter(|_| remote().count() == 1))
    }

    /// Whether more than one package has this name, so that the name alone is ambiguous for `-p`.
    pub(crate) fn is_ambiguous(&self, name: &str) -> bool {
        self.entries.iter().filter(|((entry, _), _)| entry == name).map(|(_, found)| found.len()).sum::<usize>() > 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found_and_doubles_noticed() {
        let lock = LockFile::parse(
            r#"
            version = 4
            [[package]]
            name = "a"
            version = "1.0.0"
            source = "registry+x"
            checksum = "abc"
            [[package]]
            name = "a"
            version = "2.0.0"
            "#,
        )
        .unwrap();
        let entries = |name: &str| lock.entries(&(name.into(), "1.0.0".into()));
        let found: Vec<_> = entries("a").iter().map(|entry| (entry.source.as_str(), entry.checksum.as_str())).collect();
        assert_eq!(found, [("registry+x", "abc")]);
        assert!(entries("b").is_empty());
        assert!(lock.is_ambiguous("a"));
        assert!(!lock.is_ambiguous("b"));
    }
}
