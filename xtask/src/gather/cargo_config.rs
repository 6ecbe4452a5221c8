//! Reads the files that cargo takes its configuration from, and what they say of compilers.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use camino::{Utf8Path, Utf8PathBuf};
use cargo_config2::{Config, ResolveOptions};
use toml::Table;

use crate::system::environment::variable;
use crate::system::files::read_toml;
use crate::workspace::cargo_config::{includes, merged, vendored};
use crate::workspace::settings::tidy;

/// Names that cargo looks for in each folder; the first that is there counts.
pub(crate) const NAMES: [&str; 2] = [".cargo/config", ".cargo/config.toml"];

/// What cargo reads, merged.
#[derive(Debug, Clone, Default)]
pub(crate) struct CargoConfig {
    /// The merged tables.
    pub(crate) table: Table,
    /// The text of each file, by absolute path.
    pub(crate) files: BTreeMap<Utf8PathBuf, String>,
    /// Folders of vendored sources, absolute.
    pub(crate) vendored: Vec<Utf8PathBuf>,
}

impl CargoConfig {
    /// The workspace's own files alone.
    pub(crate) fn of_workspace(root: &Utf8Path) -> Result<Self> {
        Self::read(file_in(root))
    }

    /// All that cargo reads when it runs in `root`: its folder's, those of the folders above, CARGO_HOME's.
    pub(crate) fn of_machine(root: &Utf8Path) -> Result<Self> {
        let home = cargo_home()?;
        let mut paths: Vec<_> = root.ancestors().filter_map(file_in).collect();
        let own = ["config", "config.toml"].map(|name| home.join(name)).into_iter().find(|path| path.is_file());
        paths.extend(own.filter(|own| !paths.contains(own)));
        Self::read(paths)
    }

    fn read(paths: impl IntoIterator<Item = Utf8PathBuf>) -> Result<Self> {
        let mut config = CargoConfig::default();
        let mut tables = Vec::new();
        let mut open: Vec<_> = paths.into_iter().collect();
        open.reverse();
        while let Some(path) = open.pop() {
            let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read `{path}`"))?;
            let table = read_toml(&path)?;
            let folder = path.parent().unwrap_or(&path);
            // Paths of sources are relative to the folder that holds `.cargo`.
            let base = folder.parent().unwrap_or(folder);
            config.vendored.extend(vendored(&table).into_iter().map(|path| tidy(&base.join(path))));
            let included: Vec<_> = includes(&table).into_iter().map(|path| tidy(&folder.join(path))).collect();
            open.extend(included.into_iter().filter(|path| path.is_file() && !config.files.contains_key(path)));
            config.files.insert(path, text);
            tables.push(table);
        }
        config.table = merged(tables);
        Ok(config)
    }
}

fn file_in(folder: &Utf8Path) -> Option<Utf8PathBuf> {
    NAMES.iter().map(|name| folder.join(name)).find(|path| path.is_file())
}

/// Cargo's home.
///
/// # Errors
/// Neither `CARGO_HOME` nor `HOME` is set.
pub(crate) fn cargo_home() -> Result<Utf8PathBuf> {
    let home = || variable("HOME").map(|home| format!("{home}/.cargo"));
    let found = variable("CARGO_HOME").or_else(home).context("neither `CARGO_HOME` nor `HOME` is set")?;
    camino::absolute_utf8(found).context("cannot find `CARGO_HOME`")
}

/// The rustflags that cargo would use for `triple` here: environment, then config files.
pub(crate) fn host_rustflags(root: &Utf8Path, triple: &str) -> Result<Vec<String>> {
    rustflags(Config::load_with_cwd(root), triple)
}

/// The rustflags of the workspace's own config files; nothing of this machine's.
///
/// # Errors
/// A flag with a space in it, which no Dockerfile can say.
pub(crate) fn workspace_rustflags(root: &Utf8Path, triple: &str) -> Result<Vec<String>> {
    let nothing: [(&str, &str); 0] = [];
    let options = ResolveOptions::default().env(nothing).cargo_home(None);
    let flags = rustflags(Config::load_with_options(root, options), triple)?;
    if let Some(flag) = flags.iter().find(|flag| flag.contains(char::is_whitespace)) {
        bail!("rustflag `{flag}` of the cargo config has a space in it, which a Dockerfile cannot pass on");
    }
    Ok(flags)
}

fn rustflags(config: Result<Config, cargo_config2::Error>, triple: &str) -> Result<Vec<String>> {
    let config = config.context("cannot read the cargo configuration")?;
    let flags = config.rustflags(triple).context("cannot read rustflags from the cargo configuration")?;
    Ok(flags.map(|flags| flags.flags).unwrap_or_default())
}

/// The linker that the cargo configuration names for `triple`.
pub(crate) fn configured_linker(root: &Utf8Path, triple: &str) -> Result<bool> {
    let config = Config::load_with_cwd(root).context("cannot read the cargo configuration")?;
    Ok(config.linker(triple).context("cannot read the linker from the cargo configuration")?.is_some())
}
