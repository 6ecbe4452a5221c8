//! All-or-nothing files: a temporary file in the same folder, then a rename.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};
use camino::{Utf8Path, Utf8PathBuf};
use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;

use super::interrupt;
use crate::errors::hinted;

/// A file that appears under its final name only when [`PendingFile::commit`] succeeds; dropped
/// before that (an error, a panic), it leaves nothing behind.
pub(crate) struct PendingFile {
    file: Option<File>,
    temporary: Utf8PathBuf,
}

impl PendingFile {
    /// Creates the temporary file in `folder`, which is created when missing.
    pub(crate) fn create_in(folder: &Utf8Path) -> Result<Self> {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        fs::create_dir_all(folder).with_context(|| format!("cannot create `{folder}`"))?;
        let unique = COUNTER.fetch_add(1, Ordering::Relaxed);
        let temporary = folder.join(format!(".tmp-{}-{unique}", std::process::id()));
        interrupt::unfinished(temporary.as_std_path());
        let file = File::create(&temporary).with_context(|| format!("cannot create `{temporary}`"))?;
        Ok(PendingFile { file: Some(file), temporary })
    }

    /// Waits until the contents so far are on the disk: else a power cut soon after [`PendingFile::commit`]
    /// may leave an empty file under the final name. It takes the disk some milliseconds.
    pub(crate) fn sync(&mut self) -> std::io::Result<()> {
        self.file.as_mut().expect("not committed yet").sync_all()
    }

    /// Gives the file its final name, replacing what is there.
    pub(crate) fn commit(mut self, path: &Utf8Path) -> Result<()> {
        if let Some(mut file) = self.file.take() {
            file.flush().with_context(|| format!("cannot write `{path}`"))?;
        }
        fs::rename(&self.temporary, path).with_context(|| format!("cannot rename `{}` to `{path}`", self.temporary))
    }
}

impl Write for PendingFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.as_mut().expect("not committed yet").write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        self.file.as_mut().expect("not committed yet").flush()
    }
}

impl Drop for PendingFile {
    fn drop(&mut self) {
        // After a commit there is nothing of that name, which is fine.
        let _ = fs::remove_file(&self.temporary);
        interrupt::finished(self.temporary.as_std_path());
    }
}

/// Writes `contents` to `path` completely or not at all. For what can be made again: a power cut may still
/// take it away, which [`write_durably`] prevents.
pub(crate) fn write_atomically(path: &Utf8Path, contents: &[u8]) -> Result<()> {
    pending(path, contents)?.0.commit(path)
}

/// Reads and parses a TOML file.
pub(crate) fn read_toml(path: &Utf8Path) -> Result<toml::Table> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read `{path}`"))?;
    toml::from_str(&text).with_context(|| format!("cannot read `{path}`"))
}

/// As [`write_atomically`], and it stays: contents and name are on the disk when this returns, which takes
/// some milliseconds more.
pub(crate) fn write_durably(path: &Utf8Path, contents: &[u8]) -> Result<()> {
    let (mut pending, folder) = pending(path, contents)?;
    pending.sync().with_context(|| format!("cannot write `{path}`"))?;
    pending.commit(path)?;
    sync_folder(folder)
}

/// `contents` in a file beside `path`, and their folder.
fn pending<'a>(path: &'a Utf8Path, contents: &[u8]) -> Result<(PendingFile, &'a Utf8Path)> {
    let folder = path.parent().with_context(|| format!("`{path}` has no parent folder"))?;
    let mut pending = PendingFile::create_in(folder)?;
    pending.write_all(contents).with_context(|| format!("cannot write `{path}`"))?;
    Ok((pending, folder))
}

/// Waits until the names in a folder are on the disk.
///
/// # Errors
/// The disk fails. File systems that do not know how, and folders that may not be read, are passed over.
pub(crate) fn sync_folder(folder: &Utf8Path) -> Result<()> {
    use std::io::ErrorKind::{InvalidInput, PermissionDenied, Unsupported};
    let folder = if folder.as_str().is_empty() { Utf8Path::new(".") } else { folder };
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        Err(error) if !matches!(error.kind(), InvalidInput | PermissionDenied | Unsupported) => {
            Err(error).with_context(|| format!("cannot write to `{folder}`"))
        }
        _ => Ok(()),
    }
}

/// A file, what it must hold as yet, and what it is to hold.
pub(crate) struct Replacement {
    /// The file.
    pub(crate) path: Utf8PathBuf,
    /// What it holds as yet; nothing when it must not be there.
    pub(crate) old: Option<Vec<u8>>,
    /// What it is to hold.
    pub(crate) new: Vec<u8>,
}

/// Gives files new contents: all of them, or none. Permissions stay.
///
/// # Errors
/// A file is no longer what it was, or cannot be written or renamed. The others are then as they were; should even
/// that fail, the error names the file that is not.
pub(crate) fn replace_all(files: &[Replacement]) -> Result<()> {
    let folders: std::collections::BTreeSet<_> = files.iter().filter_map(|file| file.path.parent()).collect();
    folders.into_iter().for_each(sweep_pending);
    let prepared = files.iter().map(|file| Ok((file, prepare(file)?))).collect::<Result<Vec<_>>>()?;
    interrupt::uninterrupted(|| commit_all(prepared))
}

/// The new contents beside the file.
fn prepare(file: &Replacement) -> Result<PendingFile> {
    let Replacement { path, old, new } = file;
    let (mut pending, _) = pending(path, new)?;
    pending.sync().with_context(|| format!("cannot write `{path}`"))?;
    // Of many files not all can be open at once.
    pending.file = None;
    if old.is_some() {
        let permissions = fs::metadata(path).with_context(|| format!("cannot read `{path}`"))?.permissions();
        fs::set_permissions(&pending.temporary, permissions).with_context(|| format!("cannot write `{path}`"))?;
    }
    Ok(pending)
}

fn commit_all(prepared: Vec<(&Replacement, PendingFile)>) -> Result<()> {
    let mut done: Vec<&Replacement> = Vec::new();
    for (file, pending) in prepared {
        let result = check_unchanged(file).and_then(|()| pending.commit(&file.path));
        let Err(mut error) = result else {
            done.push(file);
            continue;
        };
        for Replacement { path, old, new } in done {
            // Somebody else's edit stays.
            if !fs::read(path).is_ok_and(|now| now == *new) {
                continue;
            }
            let back = old.as_ref().map_or_else(|| fs::remove_file(path), |old| fs::write(path, old));
            if let Err(again) = back {
                error = error.context(format!("`{path}` was changed and cannot be changed back: {again}"));
            }
        }
        return Err(error);
    }
    Ok(())
}

/// Sees to it that somebody else's edit is not lost.
fn check_unchanged(Replacement { path, old, .. }: &Replacement) -> Result<()> {
    match old {
        Some(old) if fs::read(path).is_ok_and(|now| now == *old) => Ok(()),
        // A link that leads nowhere is there, too.
        None if fs::symlink_metadata(path).is_err() => Ok(()),
        Some(_) => bail!(hinted(format!("`{path}` changed meanwhile, so no file was changed"), "run it again")),
        None => bail!("`{path}` is there already, so no file was written"),
    }
}

/// Removes from a folder the temporary files of runs that were killed.
fn sweep_pending(folder: &Utf8Path) {
    for entry in folder.read_dir_utf8().into_iter().flatten().flatten() {
        let process = entry.file_name().strip_prefix(".tmp-").and_then(|rest| rest.split_once('-')?.0.parse().ok());
        if process.is_some_and(|process| kill(Pid::from_raw(process), None) == Err(Errno::ESRCH)) {
            // What cannot be removed is in nobody's way.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// A folder that is removed when the value is dropped, and on an interrupt.
pub(crate) struct TemporaryFolder(pub(crate) Utf8PathBuf);

impl TemporaryFolder {
    /// Creates an empty folder below `parent`, which is created when missing.
    pub(crate) fn create_in(parent: &Utf8Path, name: &str) -> Result<Self> {
        let path = parent.join(format!("{name}-{}", std::process::id()));
        interrupt::unfinished(path.as_std_path());
        let folder = TemporaryFolder(path);
        if folder.0.exists() {
            fs::remove_dir_all(&folder.0).with_context(|| format!("cannot remove `{}`", folder.0))?;
        }
        sweep(parent);
        fs::create_dir_all(&folder.0).with_context(|| format!("cannot create `{}`", folder.0))?;
        Ok(folder)
    }

    /// Creates an empty folder outside of every workspace, for this user alone: no configuration of a folder above
    /// reaches what is in it.
    pub(crate) fn create_outside(name: &str) -> Result<Self> {
        let parent = std::env::temp_dir().canonicalize().context("cannot find the folder for temporary files")?;
        let parent = Utf8PathBuf::from_path_buf(parent)
            .map_err(|path| anyhow::anyhow!("the name of `{}` is no UTF-8", path.display()))?;
        let path = parent.join(format!("xtask-{name}-{}", std::process::id()));
        // What is there already is somebody else's.
        let created = fs::DirBuilder::new().mode(0o700).create(&path);
        created.with_context(|| format!("cannot create `{path}`"))?;
        interrupt::unfinished(path.as_std_path());
        Ok(TemporaryFolder(path))
    }
}

/// Removes from `parent` what runs left there that were killed before they could.
fn sweep(parent: &Utf8Path) {
    for entry in parent.read_dir_utf8().into_iter().flatten().flatten() {
        let number = entry.file_name().rsplit_once('-').and_then(|(_, rest)| rest.split('.').next()?.parse().ok());
        if number.is_some_and(|pid| kill(Pid::from_raw(pid), None) == Err(Errno::ESRCH)) {
            // What cannot be removed is in nobody's way.
            let _ = fs::remove_dir_all(entry.path()).or_else(|_| fs::remove_file(entry.path()));
        }
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // What cannot be removed now is swept by the next run.
        let _ = fs::remove_dir_all(&self.0);
        interrupt::finished(self.0.as_std_path());
    }
}

/// A folder of one name, for one run at a time: empty at first, and removed in the end.
pub(crate) struct Scratch(pub(crate) Utf8PathBuf);

impl Scratch {
    /// Creates it, without what a run that died has left in it.
    pub(crate) fn create(path: &Utf8Path) -> Result<Self> {
        interrupt::unfinished(path.as_std_path());
        let scratch = Scratch(path.to_owned());
        if path.exists() {
            fs::remove_dir_all(path).with_context(|| format!("cannot remove `{path}`"))?;
        }
        fs::create_dir_all(path).with_context(|| format!("cannot create `{path}`"))?;
        Ok(scratch)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed now is by the next run.
        let _ = fs::remove_dir_all(&self.0);
        interrupt::finished(self.0.as_std_path());
    }
}

/// Adds `text` to the end of a file that others add to as well, as CI's output files are.
pub(crate) fn append(path: &Utf8Path, text: &str) -> Result<()> {
    let open = File::options().create(true).append(true).open(path);
    open.and_then(|mut file| file.write_all(text.as_bytes())).with_context(|| format!("cannot write `{path}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_without_a_folder_are_synced_too() {
        sync_folder(Utf8Path::new("")).unwrap();
        assert!(sync_folder(Utf8Path::new("/nowhere")).is_err());
    }

    #[test]
    fn what_was_renamed_is_changed_back_when_another_cannot_be() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        let paths = ["a", "b", "c"].map(|name| folder.join(name));
        for path in &paths {
            fs::write(path, "old").unwrap();
        }
        let files = paths.clone().map(|path| Replacement { path, old: Some(b"old".to_vec()), new: b"new".to_vec() });
        let prepared = || files.iter().map(|file| (file, prepare(file).unwrap())).collect::<Vec<_>>();
        let broken = prepared();
        fs::remove_file(&broken[1].1.temporary).unwrap();
        let error = commit_all(broken).unwrap_err();
        assert!(error.to_string().starts_with("cannot rename `"), "{error}");
        // Somebody edits one that was looked at before, and one that was replaced already.
        let edited = prepared();
        fs::write(&paths[2], "edited").unwrap();
        let error = commit_all(edited).unwrap_err();
        assert!(error.to_string().contains("/c` changed meanwhile, so no file was changed"), "{error}");
        assert_eq!(fs::read_to_string(&paths[2]).unwrap(), "edited");
        fs::write(&paths[2], "old").unwrap();
        for path in &paths {
            assert_eq!(fs::read_to_string(path).unwrap(), "old", "{path}");
        }
        assert_eq!(folder.read_dir_utf8().unwrap().count(), 3, "no temporary file is left");
        // Of a run that was killed.
        fs::write(folder.join(".tmp-999999999-0"), "").unwrap();
        replace_all(&files).unwrap();
        assert_eq!(folder.read_dir_utf8().unwrap().count(), 3, "nothing is left");
        assert!(paths.iter().all(|path| fs::read_to_string(path).unwrap() == "new"));
        // New ones are not left alone when another cannot be written, or is there.
        let made = ["d", "e"].map(|name| Replacement { path: folder.join(name), old: None, new: b"new".to_vec() });
        std::os::unix::fs::symlink("nowhere", folder.join("e")).unwrap();
        let error = replace_all(&made).unwrap_err();
        assert!(error.to_string().ends_with("/e` is there already, so no file was written"), "{error}");
        assert!(!folder.join("d").exists());
        fs::remove_file(folder.join("e")).unwrap();
        replace_all(&made).unwrap();
        assert_eq!(fs::read_to_string(folder.join("e")).unwrap(), "new");
    }
}
