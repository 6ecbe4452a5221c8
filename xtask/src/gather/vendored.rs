//! Vendored sources, by content: cargo takes them for what the lock file says, whatever they hold.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use camino::{Utf8Path, Utf8PathBuf};
use sha2::{Digest, Sha256};
use walkdir::WalkDir;

use super::memory::FileMemory;
use crate::system::files::read_toml;
use crate::workspace::inputs::{Input, hex};
use crate::workspace::resolve::Node;

/// Digests over the files of vendored packages.
#[derive(Debug, Clone, Default)]
pub(crate) struct Vendored {
    /// By name and version.
    pub(crate) packages: BTreeMap<(String, String), String>,
}

impl Vendored {
    /// Reads the packages in `folders` (absolute); one that is not there is cargo's to complain of.
    pub(crate) fn read(folders: &[Utf8PathBuf], memory: &FileMemory) -> Result<Self> {
        let mut vendored = Vendored::default();
        for folder in folders.iter().filter(|folder| folder.is_dir()) {
            for entry in folder.read_dir_utf8().with_context(|| format!("cannot read `{folder}`"))? {
                let package = entry.with_context(|| format!("cannot read `{folder}`"))?.into_path();
                let manifest = package.join("Cargo.toml");
                if !package.join(".cargo-checksum.json").is_file() || !manifest.is_file() {
                    continue;
                }
                let manifest = read_toml(&manifest)?;
                let field = |key: &str| manifest.get("package")?.get(key)?.as_str().map(str::to_owned);
                if let (Some(name), Some(version)) = (field("name"), field("version")) {
                    vendored.packages.insert((name, version), digest(&package, memory)?);
                }
            }
        }
        Ok(vendored)
    }

    /// The inputs for a component that is compiled from `nodes`.
    pub(crate) fn inputs(&self, nodes: BTreeSet<&Node>) -> BTreeMap<Input, String> {
        let used = nodes.into_iter().filter(|node| node.path.is_none()).map(Node::locked);
        let found = used.filter_map(|key| Some((self.packages.get(&key)?, key)));
        found
            .map(|(digest, (name, version))| {
                let input = Input::Vendored { package: format!("{name} {version}"), digest: digest.clone() };
                (input, "a dependency".to_owned())
            })
            .collect()
    }
}

fn digest(package: &Utf8Path, memory: &FileMemory) -> Result<String> {
    let mut lines = BTreeSet::new();
    for entry in WalkDir::new(package) {
        let entry = entry.with_context(|| format!("cannot read `{package}`"))?;
        let Some(path) = Utf8Path::from_path(entry.path()).filter(|path| path.is_file()) else { continue };
        let (kind, digest) = memory.digest(path)?;
        let kind = kind.name();
        lines.insert(format!("{} {kind} {digest}\n", path.strip_prefix(package).unwrap_or(path)));
    }
    Ok(hex(&Sha256::digest(lines.into_iter().collect::<String>())))
}
