//! What a package is compiled from: its folder's files, and what its sources name beyond them.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use camino::{Utf8Path, Utf8PathBuf};

use super::files::{Found, PackageFiles, Surroundings};
use crate::workspace::inputs::{SourceFile, from_root};
use crate::workspace::packages::Package;
use crate::workspace::settings::tidy;
use crate::workspace::source_paths::{MANIFEST_DIR, NamedPath};

/// What sqlx needs to compile without a database: since 0.7, and before.
const SQLX_OFFLINE: &[&str] = &[".sqlx", "sqlx-data.json"];

/// A package's part of a context.
#[derive(Debug, Clone, Default)]
pub(crate) struct PackageSources {
    /// All files, with the reason why each is one.
    pub(crate) files: BTreeMap<SourceFile, String>,
    /// Where each is read from, by absolute path.
    pub(crate) found: Found,
    /// What sources name beyond the folder's own files (below the root, or absolute), by the file that names it.
    pub(crate) named: BTreeMap<Utf8PathBuf, Utf8PathBuf>,
}

/// Reads the package in `folder` (below the root, or absolute when outside it), `member` if it is one.
pub(crate) fn package_sources(
    folder: &Utf8Path,
    member: Option<&Package>,
    around: &Surroundings<'_>,
) -> Result<PackageSources> {
    let top = join(around.root, folder);
    let own = around.package(&top, &member.map(Package::target_folders).unwrap_or_default())?;
    let build_script =
        member.and_then(Package::build_script).map_or(top.join("build.rs"), |path| around.root.join(path));
    let mut search = Search { around, top: &top, own: &own, named: BTreeMap::new(), open: Vec::new() };
    for (path, real) in own.found.iter().filter(|(path, _)| path.extension() == Some("rs")) {
        search.source(path, real, *path == build_script, true)?;
    }
    // Where a link leads to has a name, too; elsewhere than here, it is read under that.
    for (path, real) in own.found.iter().filter(|(path, real)| path != real) {
        search.name(real.clone(), false, path, false);
    }
    while let Some((path, is_script)) = search.open.pop() {
        search.source(&path, &path, is_script, false)?;
    }
    let named = search.named;
    let mut sources = PackageSources::default();
    let shown = from_root(folder, around.root);
    let why = format!("in the closure, `{}`", if shown.as_str().is_empty() { "." } else { shown.as_str() });
    sources.files.extend(around.describe(&own.found)?.into_iter().map(|file| (file, why.clone())));
    sources.found = own.found;
    let below = |path: &Utf8Path| path.strip_prefix(around.root).unwrap_or(path).to_owned();
    for (path, by) in named {
        let found = around.named(&path)?;
        let why = format!("named by `{}`", below(&by));
        for file in around.describe(&found)? {
            sources.files.entry(file).or_insert_with(|| why.clone());
        }
        sources.found.extend(found);
        sources.named.insert(below(&path), below(&by));
    }
    Ok(sources)
}

/// Takes what is in the stage for one package as an input of each other that may list the folder it lies in, its own or
/// one that it names: code that lists a folder would find it there. `declared` is there by the settings.
pub(crate) fn share(
    packages: &mut BTreeMap<Utf8PathBuf, PackageSources>,
    declared: Found,
    around: &Surroundings<'_>,
) -> Result<()> {
    let mut staged = declared;
    staged.extend(packages.values().flat_map(|sources| sources.found.clone()));
    for (package, sources) in packages {
        let named = sources.named.keys().map(|path| around.root.join(path)).filter(|path| path.is_dir());
        let folders: Vec<_> = named.chain([join(around.root, package)]).collect();
        let mut more = Found::new();
        for folder in &folders {
            let below = staged.range(folder.clone()..).take_while(|(path, _)| path.starts_with(folder));
            let is_of_another = |path: &Utf8Path| {
                path.ancestors().take_while(|part| *part != folder).any(|part| around.is_elsewhere(part))
            };
            let new = below.filter(|(path, _)| !sources.found.contains_key(*path) && !is_of_another(path));
            more.extend(new.map(|(path, real)| (path.clone(), real.clone())));
        }
        for file in around.describe(&more)? {
            sources.files.entry(file).or_insert_with(|| "in its folders for another package".to_owned());
        }
        let below = |path: &Utf8PathBuf| path.strip_prefix(around.root).unwrap_or(path).to_owned();
        sources.named.extend(more.keys().map(|path| (below(path), package.clone())));
        sources.found.extend(more);
    }
    Ok(())
}

/// `root` itself when `folder` is empty: without a slash at its end.
pub(crate) fn join(root: &Utf8Path, folder: &Utf8Path) -> Utf8PathBuf {
    if folder.as_str().is_empty() { root.to_owned() } else { root.join(folder) }
}

struct Search<'a> {
    around: &'a Surroundings<'a>,
    top: &'a Utf8Path,
    own: &'a PackageFiles,
    /// Absolute paths, by the file that names each.
    named: BTreeMap<Utf8PathBuf, Utf8PathBuf>,
    /// Named sources that are still to be read, and whether a build script includes them.
    open: Vec<(Utf8PathBuf, bool)>,
}

impl Search<'_> {
    fn source(&mut self, file: &Utf8Path, real: &Utf8Path, is_script: bool, is_own: bool) -> Result<()> {
        let names = self.around.memory.named(real, is_script)?;
        let folder = file.parent().unwrap_or(self.top).to_owned();
        for named in &names.paths {
            for path in self.candidates(named, &folder, is_script) {
                self.name(path, named.is_include, file, is_script);
            }
        }
        let stem = folder.join(file.file_stem().unwrap_or_default());
        for module in &names.modules {
            for folder in [&folder, &stem] {
                for path in [folder.join(format!("{module}.rs")), folder.join(module).join("mod.rs")] {
                    // Those of the package's own files are own files, unless left out.
                    if !is_own || self.is_left_out(&path) {
                        self.name(path, true, file, is_script);
                    }
                }
            }
        }
        if names.uses_sqlx {
            for base in [self.around.root, self.top] {
                for name in SQLX_OFFLINE {
                    self.name(base.join(name), true, file, false);
                }
            }
        }
        Ok(())
    }

    /// What a literal may mean: beside the file, or from the package's folder.
    fn candidates(&self, named: &NamedPath, folder: &Utf8Path, is_script: bool) -> BTreeSet<Utf8PathBuf> {
        let text = named.text.as_str();
        // A word is seldom a file (`"id_rsa"`, `".ssh"`), but may be a folder: `include_dir!("dist")`.
        let is_word = !text.contains('/') && Utf8Path::new(text).extension().is_none();
        if is_word && !named.is_include && !is_script {
            let folders = [folder.join(text), self.top.join(text)].into_iter().filter(|path| path.is_dir());
            return if text.starts_with('.') { BTreeSet::new() } else { folders.collect() };
        }
        if let Some(rest) = text.strip_prefix(MANIFEST_DIR) {
            return BTreeSet::from([tidy(&self.top.join(rest.trim_start_matches('/')))]);
        }
        if Utf8Path::new(text).is_absolute() {
            return BTreeSet::new();
        }
        let mut paths = BTreeSet::from([tidy(&folder.join(text)), tidy(&self.top.join(text))]);
        if is_script {
            paths.insert(tidy(&self.around.root.join(text)));
        }
        // Templates have folders of their own: `#[template(path = "mail/welcome.md")]`.
        if !text.starts_with('.') {
            paths.extend(self.own.left_out.iter().filter(|path| path.ends_with(text)).cloned());
        }
        paths
    }

    /// Takes `path` into the context, when it exists and is not in it already.
    fn name(&mut self, path: Utf8PathBuf, is_include: bool, by: &Utf8Path, is_script: bool) {
        let is_known = self.own.found.contains_key(&path) || self.named.contains_key(&path);
        // A folder that holds the package itself would be everything: nobody means that.
        if is_known || self.top.starts_with(&path) {
            return;
        }
        let is_inside = path.starts_with(self.top) && !self.is_of_another_package(&path);
        if is_inside && !self.is_left_out(&path) && !self.own.left_out.iter().any(|out| out.starts_with(&path)) {
            return;
        }
        // What git, cargo and we write is no source, whoever says its name.
        let is_made = path.starts_with(self.around.target) || path.components().any(|part| part.as_str() == ".git");
        if is_made {
            return;
        }
        let is_secret = path.file_name().is_some_and(|name| name.starts_with(".env"));
        let is_outside = !path.starts_with(self.around.root);
        if ((is_secret || is_outside) && !is_include) || !path.exists() {
            return;
        }
        if path.extension() == Some("rs") && path.is_file() {
            self.open.push((path.clone(), is_script));
        }
        self.named.insert(path, by.to_owned());
    }

    fn is_left_out(&self, path: &Utf8Path) -> bool {
        path.ancestors().take_while(|folder| *folder != self.top).any(|folder| self.own.left_out.contains(folder))
    }

    fn is_of_another_package(&self, path: &Utf8Path) -> bool {
        path.ancestors().take_while(|folder| *folder != self.top).any(|folder| self.around.is_elsewhere(folder))
    }
}
