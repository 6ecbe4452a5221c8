//! `Cargo.lock`: which entries there are, and their checksums.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::inputs::Input;
use crate::image::platform::Platform;

/// A locked package's name and version.
pub(crate) type NameVersion = (String, String);

/// What the lock file says of one package: its source and checksum; both empty for path packages.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct LockEntry {
    name: String,
    version: String,
    #[serde(default)]
    source: String,
    #[serde(default)]
    checksum: String,
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
    pub(crate) fn inputs(&self, package: &NameVersion, platform: &Platform) -> Vec<Input> {
        let entries = self.entries.get(package).into_iter().flatten();
        let input = |entry: &LockEntry| Input::Lock {
            platform: platform.to_string(),
            name: entry.name.clone(),
            version: entry.version.clone(),
            source: entry.source.clone(),
            checksum: entry.checksum.clone(),
        };
        entries.map(input).collect()
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
        let inputs = |name: &str| lock.inputs(&(name.into(), "1.0.0".into()), &"linux/amd64".parse().unwrap());
        let encoded: Vec<_> = inputs("a").iter().map(Input::encoded).collect();
        assert_eq!(encoded, [r#"["lock","linux/amd64","a","1.0.0","registry+x","abc"]"#]);
        assert!(inputs("b").is_empty());
        assert!(lock.is_ambiguous("a"));
        assert!(!lock.is_ambiguous("b"));
    }
}
