//! Which files a folder contributes to a context: those that can be compiled, links followed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, Result, bail};
use camino::{Utf8Path, Utf8PathBuf};

use super::memory::FileMemory;
use crate::errors::hinted;
use crate::system::environment::variable;
use crate::workspace::context::{DENIED_AT_TOP, is_never_compiled};
use crate::workspace::ignore_patterns::IgnorePatterns;
use crate::workspace::inputs::{FileKind, SourceFile, hex};

/// What is known of the folders around a file.
pub(crate) struct Surroundings<'a> {
    /// Workspace root, absolute.
    pub(crate) root: &'a Utf8Path,
    /// Cargo's target folder, absolute.
    pub(crate) target: &'a Utf8Path,
    /// Folders (below the root, or absolute) of all path packages: each is its own.
    pub(crate) packages: &'a BTreeSet<Utf8PathBuf>,
    /// Absolute paths that git ignores.
    pub(crate) ignored: &'a BTreeSet<Utf8PathBuf>,
    /// The project's own `.dockerignore`.
    pub(crate) docker_ignore: &'a IgnorePatterns,
    /// Digests.
    pub(crate) memory: &'a FileMemory,
}

/// Files by the path that they have in the context, with the path that they are read from.
pub(crate) type Found = BTreeMap<Utf8PathBuf, Utf8PathBuf>;

/// What a package's folder holds.
#[derive(Default)]
pub(crate) struct PackageFiles {
    /// What is part of the context.
    pub(crate) found: Found,
    /// What is not, unless somebody names it: files and whole folders.
    pub(crate) left_out: BTreeSet<Utf8PathBuf>,
}

impl Surroundings<'_> {
    /// The files of a package; `kept` are folders right below it that hold targets, whatever their names.
    ///
    /// # Errors
    /// A folder that cannot be read; a name that is no UTF-8.
    pub(crate) fn package(&self, top: &Utf8Path, kept: &BTreeSet<&str>) -> Result<PackageFiles> {
        let mut files = PackageFiles::default();
        let choose = |path: &Utf8Path, left_out: &mut BTreeSet<Utf8PathBuf>| {
            let inner = path.strip_prefix(top).unwrap_or(path);
            let is_top = inner.components().count() == 1;
            // Its entries are inputs one by one.
            let is_lock = path.parent() == Some(self.root) && inner == "Cargo.lock";
            if is_top && DENIED_AT_TOP.contains(&inner.as_str()) || is_lock || self.is_elsewhere(path) {
                return false;
            }
            let is_out = (is_never_compiled(inner) && !(is_top && kept.contains(inner.as_str())))
                || self.ignored.contains(path)
                || self.is_docker_ignored(path);
            if is_out {
                left_out.insert(path.to_owned());
            }
            !is_out
        };
        walk(top, top, &mut vec![real(top)?], &mut files.found, &mut |path| choose(path, &mut files.left_out))?;
        Ok(files)
    }

    /// A file that a source names, or all files of such a folder.
    pub(crate) fn named(&self, path: &Utf8Path) -> Result<Found> {
        // Who names an ignored folder (what a bundler wrote, say) means what is in it.
        self.whole(path, self.ignored.iter().any(|ignored| path.starts_with(ignored)))
    }

    /// A file, or all files of a folder.
    pub(crate) fn whole(&self, path: &Utf8Path, with_ignored: bool) -> Result<Found> {
        let mut found = Found::new();
        if path.is_file() {
            found.insert(path.to_owned(), real(path)?);
            return Ok(found);
        }
        walk(path, path, &mut vec![real(path)?], &mut found, &mut |path| {
            let is_secret = path.file_name().is_some_and(|name| name.starts_with(".env"));
            !(is_secret || self.is_elsewhere(path) || (!with_ignored && self.ignored.contains(path)))
        })?;
        Ok(found)
    }

    /// The files of an asset, links kept: a file, or a folder with all in it.
    ///
    /// # Errors
    /// It is missing, or leads out of the workspace through `..` or a symbolic link.
    pub(crate) fn asset(&self, from: &Utf8Path, named_in: &str) -> Result<Vec<SourceFile>> {
        let path = self.root.join(from);
        let root = real(self.root)?;
        let real = self.declared(from, named_in)?;
        if !real.starts_with(&root) {
            let error = format!("asset `{from}`, named in {named_in}, leads out of the workspace to `{real}`");
            bail!(hinted(error, "copy it into the workspace"));
        }
        let mut files = Vec::new();
        let walked = walkdir::WalkDir::new(&path).follow_root_links(true).into_iter().filter_entry(|entry| {
            let is_secret = entry.file_name().to_str().is_some_and(|name| name.starts_with(".env"));
            entry.depth() == 0
                || !is_secret && Utf8Path::from_path(entry.path()).is_none_or(|path| !self.is_elsewhere(path))
        });
        for entry in walked {
            let entry = entry.with_context(|| format!("cannot read `{path}`"))?;
            let path = utf8(entry.path().to_owned())?;
            let relative = path.strip_prefix(self.root).unwrap_or(&path).to_owned();
            if entry.file_type().is_symlink() {
                let leads_to = path.canonicalize_utf8();
                if !leads_to.as_ref().is_ok_and(|target| target.starts_with(&real)) {
                    let error =
                        format!("link `{relative}` in asset `{from}`, named in {named_in}, leads out of the asset");
                    bail!(hinted(error, "put the file itself there"));
                }
                let target = fs::read_link(&path).with_context(|| format!("cannot read link `{path}`"))?;
                let digest = hex(&<sha2::Sha256 as sha2::Digest>::digest(target.as_os_str().as_encoded_bytes()));
                files.push(SourceFile { path: relative, kind: FileKind::Link, digest });
            } else if entry.file_type().is_file() {
                let (kind, digest) = self.memory.digest(&path)?;
                files.push(SourceFile { path: relative, kind, digest });
            }
        }
        files.sort();
        Ok(files)
    }

    /// Where a path that the settings declare leads to.
    ///
    /// # Errors
    /// It does not exist, or cannot be read.
    pub(crate) fn declared(&self, from: &Utf8Path, named_in: &str) -> Result<Utf8PathBuf> {
        match self.root.join(from).canonicalize_utf8() {
            Ok(real) => Ok(real),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                bail!("`{from}`, named in {named_in}, does not exist in the workspace")
            }
            Err(error) => Err(error).with_context(|| format!("cannot read `{from}`, named in {named_in}")),
        }
    }

    /// Digests of what was found, with the paths that inputs have.
    pub(crate) fn describe(&self, found: &Found) -> Result<Vec<SourceFile>> {
        let describe = |(path, real): (&Utf8PathBuf, &Utf8PathBuf)| {
            let (kind, digest) = self.memory.digest(real)?;
            Ok(SourceFile { path: path.strip_prefix(self.root).unwrap_or(path).to_owned(), kind, digest })
        };
        found.iter().map(describe).collect()
    }

    /// What belongs to git, to cargo, to us or to another package.
    pub(crate) fn is_elsewhere(&self, path: &Utf8Path) -> bool {
        let below_root = path.strip_prefix(self.root).unwrap_or(path);
        path.file_name() == Some(".git")
            || path == self.target
            || self.packages.contains(below_root)
            // The records and layouts we write ourselves, in a root package.
            || below_root == "artifacts/docker"
    }

    /// What cargo and compilers read as a matter of course is needed all the same.
    fn is_docker_ignored(&self, path: &Utf8Path) -> bool {
        let is_source = path.extension() == Some("rs") || path.file_name() == Some("Cargo.toml");
        let below = path.strip_prefix(self.root).ok();
        !is_source && below.is_some_and(|below| self.docker_ignore.denies(below)) && !path.is_dir()
    }
}

fn real(path: &Utf8Path) -> Result<Utf8PathBuf> {
    path.canonicalize_utf8().with_context(|| format!("cannot read `{path}`"))
}

fn utf8(path: std::path::PathBuf) -> Result<Utf8PathBuf> {
    Utf8PathBuf::from_path_buf(path).map_err(|path| anyhow::anyhow!("the name of `{}` is no UTF-8", path.display()))
}

/// Whether a link in `top` to the folder `target` is followed: not to one that holds the package itself, nor
/// to a home folder or above, which nobody means whole.
fn is_followed(target: &Utf8Path, top: &Utf8Path) -> bool {
    let is_home = variable("HOME").is_some_and(|home| Utf8Path::new(&home).starts_with(target));
    !is_home && !top.starts_with(target)
}

/// Collects the files below `folder`, which is read from `from`. A link counts as what it leads to, one
/// that leads nowhere as nothing: so a copy of the files needs no links, and shows what was hashed.
fn walk(
    folder: &Utf8Path,
    from: &Utf8Path,
    above: &mut Vec<Utf8PathBuf>,
    found: &mut Found,
    choose: &mut dyn FnMut(&Utf8Path) -> bool,
) -> Result<()> {
    let entries = fs::read_dir(from).with_context(|| format!("cannot read `{from}`"))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot read `{from}`"))?;
        let source = utf8(entry.path())?;
        let path = folder.join(source.file_name().unwrap_or_default());
        if !choose(&path) {
            continue;
        }
        let kind = entry.file_type().with_context(|| format!("cannot read `{source}`"))?;
        if kind.is_symlink() {
            let Ok(target) = source.canonicalize_utf8() else { continue };
            if target.is_file() {
                found.insert(path, target);
            } else if target.is_dir()
                && !above.contains(&target)
                && above.first().is_some_and(|top| is_followed(&target, top))
            {
                above.push(target.clone());
                walk(&path, &target, above, found, choose)?;
                above.pop();
            }
        } else if kind.is_dir() {
            above.push(source.clone());
            walk(&path, &source, above, found, choose)?;
            above.pop();
        } else if kind.is_file() {
            found.insert(path, source);
        }
    }
    Ok(())
}
