//! Reads the files that decide images: walks packages, hashes files, finds what sources reach.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use camino::{Utf8Path, Utf8PathBuf};
use sha2::{Digest, Sha256};
use walkdir::WalkDir;

use crate::system::files::write_atomically;
use crate::workspace::context::DENIED_AT_TOP;
use crate::workspace::inputs::{FileKind, SourceFile, hex};
use crate::workspace::reach::reaches;

/// Folders of a package whose sources are not compiled into its binaries.
const NOT_COMPILED: &[&str] = &["tests", "benches", "examples"];

/// What sqlx needs to compile without a database: since 0.7, and before.
const SQLX_OFFLINE: &[&str] = &[".sqlx", "sqlx-data.json"];

/// The files of one package folder, and what its sources reach outside it.
#[derive(Debug, Clone, Default)]
pub(crate) struct PackageSources {
    /// Files, sorted.
    pub(crate) files: Vec<SourceFile>,
    /// Existing paths (below the workspace root) outside the folder, by the file that names them.
    pub(crate) reached: BTreeMap<Utf8PathBuf, Utf8PathBuf>,
    /// Existing paths outside the workspace that an `include` macro names: (file, path).
    pub(crate) outside: Vec<(Utf8PathBuf, Utf8PathBuf)>,
}

/// Which files below a folder are not part of it.
pub(crate) struct Denied<'a> {
    /// Workspace root, absolute.
    pub(crate) root: &'a Utf8Path,
    /// Cargo's target folder, absolute.
    pub(crate) target: &'a Utf8Path,
    /// Folders (below the root) of all path packages: each is its own.
    pub(crate) packages: &'a BTreeSet<Utf8PathBuf>,
}

impl Denied<'_> {
    /// Whether `path` is left out; `package` is the package folder it was found in, if it was in
    /// one (both absolute).
    fn contains(&self, path: &Utf8Path, package: Option<&Utf8Path>) -> bool {
        let name = path.file_name().unwrap_or_default();
        let below_root = path.strip_prefix(self.root).unwrap_or(path);
        name == ".git"
            || name.starts_with(".env")
            || path == self.target
            || (package.is_some() && path.parent() == package && DENIED_AT_TOP.contains(&name))
            || self.packages.contains(below_root)
            // The records and layouts we write ourselves, in a root package.
            || below_root == "artifacts/docker"
    }
}

/// Reads the package in `folder` (below the root, or absolute when outside it), whose build script, if
/// it has one, is `build_script`.
pub(crate) fn package_sources(
    folder: &Utf8Path,
    build_script: &Utf8Path,
    denied: &Denied<'_>,
) -> Result<PackageSources> {
    let top = join(denied.root, folder);
    let mut sources = PackageSources { files: walk(&top, Some(&top), denied)?, ..PackageSources::default() };
    let compiled: Vec<_> = sources
        .files
        .iter()
        .filter(|file| match file.path.strip_prefix(folder) {
            Ok(inner) => !NOT_COMPILED.contains(&inner.components().next().map_or("", |first| first.as_str())),
            Err(_) => true,
        })
        .cloned()
        .collect();
    for file in &compiled {
        let path = join(denied.root, &file.path);
        if file.kind == FileKind::Link {
            sources.follow(&path, &top, denied);
        } else if file.path.extension() == Some("rs") {
            sources.scan(&path, file.path == build_script, &top, denied)?;
        }
    }
    Ok(sources)
}

impl PackageSources {
    /// A link that leads out of the package needs what it leads to.
    fn follow(&mut self, link: &Utf8Path, top: &Utf8Path, denied: &Denied<'_>) {
        if let Ok(target) = link.canonicalize_utf8() {
            self.reach(link, target, top, denied, false);
        }
    }

    fn scan(&mut self, file: &Utf8Path, is_build_script: bool, top: &Utf8Path, denied: &Denied<'_>) -> Result<()> {
        let bytes = fs::read(file).with_context(|| format!("cannot read `{file}`"))?;
        let text = String::from_utf8_lossy(&bytes);
        if text.contains("sqlx") {
            // Its macros check queries against what `cargo sqlx prepare --workspace` left at the root.
            for path in SQLX_OFFLINE.iter().map(|name| denied.root.join(name)).filter(|path| path.exists()) {
                self.reach(file, path, top, denied, false);
            }
        }
        if !text.contains("../") {
            return Ok(());
        }
        let folder = file.parent().unwrap_or(top);
        for reach in reaches(&text, is_build_script) {
            for base in BTreeSet::from([folder, top]) {
                if let Ok(path) = base.join(&reach.path).canonicalize_utf8() {
                    self.reach(file, path, top, denied, reach.is_include);
                }
            }
        }
        Ok(())
    }

    fn reach(&mut self, by: &Utf8Path, path: Utf8PathBuf, top: &Utf8Path, denied: &Denied<'_>, is_include: bool) {
        let by = by.strip_prefix(denied.root).unwrap_or(by).to_owned();
        let mut nested = denied.packages.iter().map(|folder| denied.root.join(folder)).filter(|folder| folder != top);
        let is_own = path.starts_with(top) && !nested.any(|folder| folder.starts_with(top) && path.starts_with(folder));
        // A folder that holds the package itself would be everything: nobody means that.
        if is_own || top.starts_with(&path) {
            return;
        }
        match path.strip_prefix(denied.root) {
            Ok(below) => drop(self.reached.insert(below.to_owned(), by)),
            Err(_) if is_include => self.outside.push((by, path)),
            Err(_) => {}
        }
    }
}

/// The files of an asset or of a reached path: a file, or a folder with all in it.
///
/// # Errors
/// It is missing, or leads out of the workspace through `..` or a symbolic link.
pub(crate) fn asset_files(from: &Utf8Path, denied: &Denied<'_>, named_in: &str) -> Result<Vec<SourceFile>> {
    let path = denied.root.join(from);
    let root = denied.root.canonicalize_utf8().with_context(|| format!("cannot read `{}`", denied.root))?;
    let real = match path.canonicalize_utf8() {
        Ok(real) => real,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            bail!("asset `{from}`, named in {named_in}, does not exist in the workspace")
        }
        Err(error) => return Err(error).with_context(|| format!("cannot read asset `{from}`, named in {named_in}")),
    };
    if !real.starts_with(&root) {
        bail!(
            "asset `{from}`, named in {named_in}, leads out of the workspace to `{real}`\ncopy it into the workspace"
        );
    }
    let files = walk(&path, None, denied)?;
    for link in files.iter().filter(|file| file.kind == FileKind::Link) {
        let leads_to = denied.root.join(&link.path).canonicalize_utf8();
        if !leads_to.as_ref().is_ok_and(|target| target.starts_with(&real)) {
            bail!(
                "link `{}` in asset `{from}`, named in {named_in}, leads out of the asset\nput the file itself there",
                link.path
            );
        }
    }
    Ok(files)
}

fn join(root: &Utf8Path, folder: &Utf8Path) -> Utf8PathBuf {
    if folder.as_str().is_empty() { root.to_owned() } else { root.join(folder) }
}

/// All files from `start` down that are not denied, sorted by path.
fn walk(start: &Utf8Path, package: Option<&Utf8Path>, denied: &Denied<'_>) -> Result<Vec<SourceFile>> {
    let mut files = Vec::new();
    let entries = WalkDir::new(start).follow_root_links(true).into_iter().filter_entry(|entry| {
        Utf8Path::from_path(entry.path()).is_none_or(|path| path == start || !denied.contains(path, package))
    });
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot read `{start}`"))?;
        let path = Utf8Path::from_path(entry.path())
            .with_context(|| format!("the name of `{}` is no UTF-8", entry.path().display()))?;
        let file_type = entry.file_type();
        let relative = path.strip_prefix(denied.root).unwrap_or(path).to_owned();
        if file_type.is_symlink() {
            let target = fs::read_link(path).with_context(|| format!("cannot read link `{path}`"))?;
            let digest = hex(&Sha256::digest(target.as_os_str().as_encoded_bytes()));
            files.push(SourceFile { path: relative, kind: FileKind::Link, digest });
        } else if file_type.is_file() {
            let metadata = entry.metadata().with_context(|| format!("cannot read `{path}`"))?;
            let is_executable = metadata.permissions().mode() & 0o111 != 0;
            let kind = if is_executable { FileKind::Executable } else { FileKind::Plain };
            files.push(SourceFile { path: relative, kind, digest: file_digest(path)? });
        }
    }
    files.sort();
    Ok(files)
}

/// Gives those of `files` that changed since the last build, but whose times hide it (unpacked, copied
/// or checked out with old times), the time of now: cargo and engines take a file for unchanged by its
/// time. `record` remembers the digests from build to build.
///
/// # Errors
/// A file whose time cannot be set; a record that cannot be written.
pub(crate) fn touch_changed(root: &Utf8Path, files: &BTreeSet<SourceFile>, record: &Utf8Path) -> Result<()> {
    let before: Option<BTreeMap<Utf8PathBuf, String>> =
        fs::read(record).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let last = fs::metadata(record).and_then(|metadata| metadata.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    let now = SystemTime::now();
    let is_changed = |file: &&SourceFile| {
        let known = before.as_ref().map(|before| before.get(&file.path));
        file.kind != FileKind::Link && known.is_some_and(|digest| digest != Some(&file.digest))
    };
    for file in files.iter().filter(is_changed) {
        let touch = || {
            let opened = fs::File::open(root.join(&file.path))?;
            let time = opened.metadata()?.modified()?;
            if time <= last || time > now { opened.set_modified(now) } else { Ok(()) }
        };
        touch().with_context(|| format!("`{}` changed, and its time, which hides that, cannot be set", file.path))?;
    }
    let after: BTreeMap<_, _> = files.iter().map(|file| (&file.path, &file.digest)).collect();
    write_atomically(record, &serde_json::to_vec(&after)?)
}

/// SHA-256 of a file in hex; reads it in pieces.
pub(crate) fn file_digest(path: &Utf8Path) -> Result<String> {
    let mut file = fs::File::open(path).with_context(|| format!("cannot read `{path}`"))?;
    let mut hasher = Sha256::new();
    let mut buffer = [0; 64 * 1024];
    loop {
        let read = file.read(&mut buffer).with_context(|| format!("cannot read `{path}`"))?;
        if read == 0 {
            return Ok(hex(&hasher.finalize()));
        }
        hasher.update(&buffer[..read]);
    }
}
