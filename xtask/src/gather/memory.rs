//! Remembers the digests of files from run to run, as git's index does: by size, inode and change
//! time, which nobody can set. Never by modification time, which tools restore. Within a run a file has one
//! digest: one that changes in between is an error, since what is planned would not be what is built.

use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::errors::changed_meanwhile;
use crate::system::files::write_atomically;
use crate::workspace::inputs::{FileKind, hex};
use crate::workspace::source_paths::{NamedPaths, named_paths};

/// A file that changed so short a time ago may change again within one tick of its file system's clock.
const TICK: Duration = Duration::from_secs(1);

/// Size, inode, device, change time (seconds, nanoseconds), mode: equal only if nobody wrote the file.
pub(crate) type Stamp = (u64, u64, u64, i64, i64, u32);

/// The stamp of a file.
pub(crate) fn stamp(metadata: &Metadata) -> Stamp {
    let (size, inode, device) = (metadata.len(), metadata.ino(), metadata.dev());
    (size, inode, device, metadata.ctime(), metadata.ctime_nsec(), metadata.mode())
}

/// Whether a file with this stamp may be remembered now: see [`TICK`].
pub(crate) fn is_settled(stamp: &Stamp) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(stamp.3).is_ok_and(|changed| Duration::from_secs(changed) + TICK < now)
}

/// What is known of a file.
#[derive(Clone, Serialize, Deserialize)]
struct Known {
    stamp: Stamp,
    digest: String,
    /// What it names, as a source and as a build script; nothing where nobody asked.
    named: [Option<NamedPaths>; 2],
}

/// The memory. Threads share it.
pub(crate) struct FileMemory {
    /// Nothing: nothing is kept.
    path: Option<Utf8PathBuf>,
    old: HashMap<Utf8PathBuf, Known>,
    new: Mutex<HashMap<Utf8PathBuf, Known>>,
}

impl FileMemory {
    /// Reads what `path` holds. What is damaged is as good as nothing.
    pub(crate) fn open(path: Option<Utf8PathBuf>) -> Self {
        let bytes = path.as_ref().and_then(|path| fs::read(path).ok());
        let old = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        FileMemory { path, old, new: Mutex::default() }
    }

    /// The kind of a file (links are followed), and the SHA-256 of its content in hex.
    pub(crate) fn digest(&self, path: &Utf8Path) -> Result<(FileKind, String)> {
        let metadata = fs::metadata(path).with_context(|| format!("cannot read `{path}`"))?;
        let is_executable = metadata.permissions().mode() & 0o111 != 0;
        let kind = if is_executable { FileKind::Executable } else { FileKind::Plain };
        let known = self.known(path, &stamp(&metadata))?;
        Ok((kind, known.digest))
    }

    /// What a Rust source names.
    pub(crate) fn named(&self, path: &Utf8Path, is_build_script: bool) -> Result<NamedPaths> {
        let metadata = fs::metadata(path).with_context(|| format!("cannot read `{path}`"))?;
        let mut known = self.known(path, &stamp(&metadata))?;
        let slot = usize::from(is_build_script);
        if known.named[slot].is_none() {
            let bytes = fs::read(path).with_context(|| format!("cannot read `{path}`"))?;
            known.named[slot] = Some(named_paths(&String::from_utf8_lossy(&bytes), is_build_script));
            self.new.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), known.clone());
        }
        Ok(known.named[slot].clone().unwrap_or_default())
    }

    fn known(&self, path: &Utf8Path, stamp: &Stamp) -> Result<Known> {
        let lock = || self.new.lock().unwrap_or_else(PoisonError::into_inner);
        let before = lock().get(path).cloned();
        let found = before.as_ref().or_else(|| self.old.get(path)).filter(|known| known.stamp == *stamp).cloned();
        if let Some(known) = found {
            lock().entry(path.to_owned()).or_insert_with(|| known.clone());
            return Ok(known);
        }
        let digest = file_digest(path)?;
        if before.is_some_and(|before| before.digest != digest) {
            bail!(changed_meanwhile(path));
        }
        let known = Known { stamp: *stamp, digest, named: [None, None] };
        lock().insert(path.to_owned(), known.clone());
        Ok(known)
    }

    /// Keeps what was asked in this run for the next one. A memory that cannot be kept is none.
    pub(crate) fn keep(&self) {
        let Some(path) = &self.path else { return };
        let new = self.new.lock().unwrap_or_else(PoisonError::into_inner);
        let settled: HashMap<_, _> = new.iter().filter(|(_, known)| is_settled(&known.stamp)).collect();
        let is_as_before = settled.len() == self.old.len()
            && settled.iter().all(|(path, known)| {
                self.old.get(*path).is_some_and(|old| old.stamp == known.stamp && old.named == known.named)
            });
        if !is_as_before && let Ok(bytes) = serde_json::to_vec(&settled) {
            let _ = write_atomically(path, &bytes);
        }
    }
}

/// SHA-256 of a file in hex; reads it in pieces.
pub(crate) fn file_digest(path: &Utf8Path) -> Result<String> {
    let mut file = File::open(path).with_context(|| format!("cannot read `{path}`"))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_written_is_read_again_whatever_its_time_says() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        let (path, kept) = (folder.join("a.rs"), folder.join("files.json"));
        fs::write(&path, "include_str!(\"one\")").unwrap();
        let time = fs::metadata(&path).unwrap().modified().unwrap() - Duration::from_secs(100);
        let names = |memory: &FileMemory| memory.named(&path, false).unwrap().paths[0].text.clone();
        let memory = FileMemory::open(Some(kept.clone()));
        assert_eq!(names(&memory), "one");
        let first = memory.digest(&path).unwrap();
        std::thread::sleep(TICK + Duration::from_millis(1100));
        memory.keep();
        assert_eq!(FileMemory::open(Some(kept.clone())).old.len(), 1);
        fs::write(&path, "include_str!(\"two\")").unwrap();
        File::options().append(true).open(&path).unwrap().set_modified(time).unwrap();
        let memory = FileMemory::open(Some(kept.clone()));
        assert_ne!(memory.digest(&path).unwrap(), first);
        assert_eq!(names(&memory), "two");
        // So short after a change, it could change again unseen.
        memory.keep();
        assert!(FileMemory::open(Some(kept)).old.is_empty());
    }
}
