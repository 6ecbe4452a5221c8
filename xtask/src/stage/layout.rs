//! The stage: only what changed is written, and what was changed looks changed to cargo.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::sandbox::is_confined;
use crate::errors::changed_meanwhile;
use crate::gather::memory::{Stamp, file_digest, stamp};
use crate::gather::workspace::Workspace;
use crate::system::cargo::forget_compiled;
use crate::system::files::write_atomically;
use crate::workspace::context::Stub;
use crate::workspace::inputs::{FileKind, hex};

/// Larger files are copied by the system, which may share their blocks, and then hashed.
const SMALL: u64 = 1024 * 1024;

/// The stage, laid out; nobody else changes it, or builds from it, while this lives.
pub(crate) struct Stage {
    /// Where the context begins.
    pub(crate) folder: Utf8PathBuf,
    /// The workspace's root in it.
    pub(crate) root: Utf8PathBuf,
    pieces: BTreeMap<Utf8PathBuf, Piece>,
    lock: File,
}

/// What the stage is to hold at a place.
enum Piece {
    /// A file of the checkout, with the digest that was planned with.
    File { from: Utf8PathBuf, kind: FileKind, digest: String },
    /// Made.
    Text(String),
}

/// What the stage holds, from run to run.
#[derive(Default, Serialize, Deserialize)]
struct Memory {
    files: BTreeMap<Utf8PathBuf, Staged>,
    /// A digest over what each package is known to read, by folder.
    packages: BTreeMap<Utf8PathBuf, String>,
    /// A digest over all that each package may read without saying so.
    reachable: BTreeMap<Utf8PathBuf, String>,
    /// Digests of vendored packages, by `NAME VERSION`.
    vendored: BTreeMap<String, String>,
}

#[derive(Clone, Serialize, Deserialize, PartialEq)]
struct Staged {
    digest: String,
    is_executable: bool,
    stamp: Stamp,
}

impl Stage {
    /// Lays the context of all components out. Calls `waiting` once before it waits for another build.
    ///
    /// Build scripts and macros may read what other packages of their component have, and need not say so:
    /// cargo would not run them again. Here they are, whenever anything there changed.
    ///
    /// # Errors
    /// A file that changed since it was planned with; files that cannot be read or written.
    pub(crate) fn lay_out(workspace: &Workspace, waiting: impl FnOnce()) -> Result<Self> {
        let output = workspace.output();
        let (folder, remembered) = (output.join("stage"), output.join("stage.json"));
        let lock = lock(&output, waiting)?;
        let wanted = pieces(workspace)?;
        let root = folder.join(&workspace.top.prefix);
        // What a run that died has left is not what is remembered of it, and is written again.
        let before: Memory =
            fs::read(&remembered).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        let mut after = Memory { vendored: vendored(workspace), ..Memory::default() };
        let packages = packages(workspace, &wanted)?;
        after.packages = packages.iter().map(|(folder, package)| (folder.clone(), package.own.clone())).collect();
        let reachable = packages.iter().filter_map(|(folder, package)| Some((folder.clone(), package.all.clone()?)));
        after.reachable = reachable.collect();
        let is_changed = |folder: &Utf8PathBuf| {
            before.packages.get(folder) != after.packages.get(folder)
                || before.reachable.get(folder) != after.reachable.get(folder)
        };
        let changed: Vec<&Utf8PathBuf> = packages.keys().filter(|folder| is_changed(folder)).collect();
        remove_others(&folder, &wanted)?;
        let mut is_same = before.files.len() == wanted.len();
        for (place, piece) in &wanted {
            let path = folder.join(place);
            if !is_staged(&path, piece, before.files.get(place)) {
                write(&path, piece)?;
                is_same = false;
            }
        }
        if is_same && changed.is_empty() && after.vendored == before.vendored {
            return Ok(Stage { folder, root, pieces: wanted, lock });
        }
        // Macros and build scripts list folders without saying so: when anything of a package changed,
        // all of it looks changed.
        let now = SystemTime::now();
        for package in changed {
            for place in &packages[package].places {
                let path = folder.join(place);
                let touch = || File::open(&path)?.set_modified(now);
                touch().with_context(|| format!("cannot set the time of `{path}`"))?;
            }
        }
        forget_vendored(&output, &before.vendored, &after.vendored)?;
        for (place, piece) in &wanted {
            let path = folder.join(place);
            let metadata = fs::metadata(&path).with_context(|| format!("cannot read `{path}`"))?;
            let (digest, is_executable) = piece.described();
            after.files.insert(place.clone(), Staged { digest, is_executable, stamp: stamp(&metadata) });
        }
        write_atomically(&remembered, &serde_json::to_vec(&after)?)?;
        Ok(Stage { folder, root, pieces: wanted, lock })
    }

    /// A digest over what is at `places`.
    pub(crate) fn digest(&self, places: &BTreeSet<Utf8PathBuf>) -> String {
        digest(places.iter().collect(), &self.pieces)
    }

    /// What is at a path of the stage: its place in the context.
    pub(crate) fn place<'a>(&self, path: &'a Utf8Path) -> Option<&'a Utf8Path> {
        path.strip_prefix(&self.folder).ok()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // Says when the last build ended: see `lock`. A lock that cannot say it costs a rebuild at most.
        let _ = self.lock.set_modified(SystemTime::now());
    }
}

impl Piece {
    fn described(&self) -> (String, bool) {
        match self {
            Piece::File { kind, digest, .. } => (digest.clone(), *kind == FileKind::Executable),
            Piece::Text(text) => (hex(&Sha256::digest(text)), false),
        }
    }
}

/// Waits for the lock. Times on which cargo relies may not run backwards: if the clock did, all that was
/// compiled goes.
fn lock(output: &Utf8Path, waiting: impl FnOnce()) -> Result<File> {
    let path = output.join("stage.lock");
    fs::create_dir_all(output).with_context(|| format!("cannot create `{output}`"))?;
    let open = || File::options().create(true).truncate(false).write(true).open(&path);
    let file = open().with_context(|| format!("cannot create `{path}`"))?;
    if file.try_lock().is_err() {
        waiting();
        file.lock().with_context(|| format!("cannot lock `{path}`"))?;
    }
    let now = SystemTime::now();
    let last =
        file.metadata().and_then(|metadata| metadata.modified()).with_context(|| format!("cannot read `{path}`"))?;
    if last > now {
        remove_folder(&output.join("build"))?;
        remove_file(&output.join("stage.json"))?;
    }
    // Nor may a target folder come from a machine whose clock is ahead.
    for folder in output.join("build").read_dir_utf8().into_iter().flatten().flatten() {
        let used = fs::metadata(folder.path().join("used")).and_then(|metadata| metadata.modified());
        if used.is_ok_and(|used| used > now) {
            remove_folder(folder.path())?;
        }
    }
    file.set_modified(now).with_context(|| format!("cannot write `{path}`"))?;
    Ok(file)
}

/// All that the stage is to hold, by place.
fn pieces(workspace: &Workspace) -> Result<BTreeMap<Utf8PathBuf, Piece>> {
    let top = &workspace.top;
    let planned: BTreeMap<Utf8PathBuf, &str> = workspace
        .sources
        .values()
        .flat_map(|sources| sources.files.keys())
        .map(|file| (workspace.root().join(&file.path), file.digest.as_str()))
        .collect();
    let mut found = workspace.readable_by_all()?;
    for component in &workspace.components {
        found.extend(workspace.readable(component)?);
    }
    let mut pieces = BTreeMap::new();
    for (path, from) in found {
        let (kind, digest) = workspace.memory().digest(&from)?;
        let digest = planned.get(&path).map_or(digest, |planned| (*planned).to_owned());
        pieces.insert(top.place(&path), Piece::File { from, kind, digest });
    }
    let manifest = workspace.root().join("Cargo.toml");
    if let Some(Piece::File { digest, .. }) = pieces.get(&top.place(&manifest))
        && let Some(text) = with_workspace(workspace, &manifest, digest)?
    {
        pieces.insert(top.place(&manifest), Piece::Text(text));
    }
    for (path, stub) in &workspace.shared_context.stubs {
        let text = match stub {
            Stub::Library => "//! Stub.\n#![allow(unused_crate_dependencies)]\n",
            Stub::Program => "//! Stub.\n#![allow(unused_crate_dependencies)]\nfn main() {}\n",
        };
        pieces.entry(top.place(path)).or_insert_with(|| Piece::Text(text.to_owned()));
    }
    Ok(pieces)
}

/// The root manifest of a single package, which becomes a workspace's: cargo would look for one in the folders
/// above, and find the checkout's. Path packages stay what they are.
fn with_workspace(workspace: &Workspace, manifest: &Utf8Path, digest: &str) -> Result<Option<String>> {
    let text = fs::read_to_string(manifest).with_context(|| format!("cannot read `{manifest}`"))?;
    let table: toml::Table = toml::from_str(&text).with_context(|| format!("cannot read `{manifest}`"))?;
    if table.contains_key("workspace") || table.get("package").is_some_and(|package| package.get("workspace").is_some())
    {
        return Ok(None);
    }
    if hex(&Sha256::digest(&text)) != digest {
        bail!(changed_meanwhile(manifest));
    }
    let others: Vec<_> = workspace.shared_context.whole.iter().filter(|folder| folder.is_relative()).collect();
    Ok(Some(format!("{text}\n[workspace]\nexclude = {others:?}\n")))
}

/// What a package may read.
struct PackageReads {
    /// Where its own files are.
    places: Vec<Utf8PathBuf>,
    /// A digest over these, and over what is declared for components that are compiled from it.
    own: String,
    /// A digest over all that is there for these components, when it may read that without saying so.
    all: Option<String>,
}

fn packages(
    workspace: &Workspace,
    wanted: &BTreeMap<Utf8PathBuf, Piece>,
) -> Result<BTreeMap<Utf8PathBuf, PackageReads>> {
    let mut packages = BTreeMap::new();
    let mut readable = Vec::new();
    for component in &workspace.components {
        let declared: BTreeSet<_> = workspace.declared_places(component)?;
        let all: BTreeSet<_> = workspace.readable(component)?.keys().map(|path| workspace.top.place(path)).collect();
        readable.push((component, declared, all));
    }
    for (folder, sources) in &workspace.sources {
        let places: Vec<_> = sources.found.keys().map(|path| workspace.top.place(path)).collect();
        let users = || readable.iter().filter(|(component, ..)| component.closure.contains(folder));
        let own = places.iter().chain(users().flat_map(|(_, declared, _)| declared));
        let own = digest(own.collect::<BTreeSet<_>>(), wanted);
        let runs_code = users().any(|(component, ..)| workspace.runs_code(component, folder));
        let reaches = users().map(|(.., all)| all.iter().collect::<BTreeSet<_>>());
        let all = match is_confined(&workspace.packages.settings) {
            // What several share is compiled where there is only what is everyone's.
            true => reaches.reduce(|all, more| &all & &more),
            false => reaches.reduce(|all, more| &all | &more),
        };
        let all = all.filter(|_| runs_code).map(|all| digest(all, wanted));
        packages.insert(folder.clone(), PackageReads { places, own, all });
    }
    Ok(packages)
}

/// A digest over what is at `places`.
fn digest(places: BTreeSet<&Utf8PathBuf>, wanted: &BTreeMap<Utf8PathBuf, Piece>) -> String {
    let mut hasher = Sha256::new();
    for place in places {
        if let Some(piece) = wanted.get(place) {
            let (digest, is_executable) = piece.described();
            hasher.update(format!("{place}\0{digest}{is_executable}\n"));
        }
    }
    hex(&hasher.finalize())
}

fn vendored(workspace: &Workspace) -> BTreeMap<String, String> {
    let packages = workspace.vendored.packages.iter();
    packages.map(|((name, version), digest)| (format!("{name} {version}"), digest.clone())).collect()
}

/// Cargo never looks whether a vendored package changed: what was compiled from one that did is forgotten.
fn forget_vendored(
    output: &Utf8Path,
    before: &BTreeMap<String, String>,
    after: &BTreeMap<String, String>,
) -> Result<()> {
    let names: BTreeSet<&str> = after
        .iter()
        .filter(|(package, digest)| before.get(*package) != Some(digest))
        .filter_map(|(package, _)| package.split(' ').next())
        .collect();
    for folder in output.join("build").read_dir_utf8().into_iter().flatten().flatten() {
        forget_compiled(folder.path(), &names)?;
    }
    Ok(())
}

/// Removes what is not to be there, folders that become empty included: macros and build scripts list them.
fn remove_others(folder: &Utf8Path, wanted: &BTreeMap<Utf8PathBuf, Piece>) -> Result<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    for entry in walkdir::WalkDir::new(folder).min_depth(1).contents_first(true) {
        let entry = entry.with_context(|| format!("cannot read `{folder}`"))?;
        let path = Utf8Path::from_path(entry.path()).context("a name in the stage is no UTF-8")?;
        let is_wanted = path.strip_prefix(folder).is_ok_and(|place| wanted.contains_key(place));
        if !entry.file_type().is_dir() {
            if !is_wanted {
                remove_file(path)?;
            }
        } else if is_wanted || path.read_dir_utf8().is_ok_and(|mut entries| entries.next().is_none()) {
            remove_folder(path)?;
        }
    }
    Ok(())
}

fn is_staged(path: &Utf8Path, piece: &Piece, known: Option<&Staged>) -> bool {
    let Some(known) = known else { return false };
    let (digest, is_executable) = piece.described();
    let is_untouched = fs::symlink_metadata(path).is_ok_and(|metadata| stamp(&metadata) == known.stamp);
    known.digest == digest && known.is_executable == is_executable && is_untouched
}

/// Copies a file and hashes what was copied.
fn write(path: &Utf8Path, piece: &Piece) -> Result<()> {
    let folder = path.parent().context("a path without a folder")?;
    remove_file(path)?;
    fs::create_dir_all(folder).with_context(|| format!("cannot create `{folder}`"))?;
    let failed = || format!("cannot write `{path}`");
    let (digest, is_executable) = piece.described();
    match piece {
        Piece::Text(text) => fs::write(path, text).with_context(failed)?,
        Piece::File { from, .. } => {
            let mut file = File::open(from).with_context(|| format!("cannot read `{from}`"))?;
            let found = if file.metadata().is_ok_and(|metadata| metadata.len() <= SMALL) {
                let mut content = Vec::new();
                file.read_to_end(&mut content).with_context(|| format!("cannot read `{from}`"))?;
                fs::write(path, &content).with_context(failed)?;
                hex(&Sha256::digest(&content))
            } else {
                fs::copy(from, path).with_context(failed)?;
                file_digest(path)?
            };
            if found != digest {
                bail!(changed_meanwhile(from));
            }
        }
    }
    let mode = if is_executable { 0o755 } else { 0o644 };
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).with_context(failed)?;
    // Times of the checkout are older than what was compiled from the file before.
    let touch = || File::open(path)?.set_modified(SystemTime::now());
    touch().with_context(failed)
}

fn remove_file(path: &Utf8Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error)
            if error.kind() != std::io::ErrorKind::NotFound && error.kind() != std::io::ErrorKind::NotADirectory =>
        {
            Err(error).with_context(|| format!("cannot remove `{path}`"))
        }
        _ => Ok(()),
    }
}

fn remove_folder(path: &Utf8Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove `{path}`"))
        }
        _ => Ok(()),
    }
}
