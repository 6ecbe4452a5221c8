//! The blobs of an image layout, whose content is what their names say.
//!
//! A name promises content and nothing keeps the promise: disks lose writes when the power fails, and
//! programs write into files. So a blob is hashed before it is used. What was hashed is remembered by its size,
//! inode and change time (which nobody can set, as a modification time can be), so that it is read again only
//! when it may have changed.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::hashing::HashingWriter;
use crate::image::manifest::to_json;
use crate::image::reference::Digest;
use crate::system::files::{PendingFile, write_atomically};

/// File systems tell times this close apart from each other: of a file that was changed just before it was
/// hashed, the change time does not tell whether it was changed right after, too.
const COARSEST_CLOCK: Duration = Duration::from_secs(2);

/// A folder of blobs. Threads share it.
pub(super) struct Blobs {
    folder: Utf8PathBuf,
    memory: Utf8PathBuf,
    checked: Mutex<BTreeMap<Digest, Checked>>,
}

/// What tells that a file is as it was.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    size: u64,
    inode: u64,
    changed: (i64, i64),
}

struct Checked {
    stamp: Stamp,
    /// Whether the stamp is worth something to another run.
    is_settled: bool,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        let changed = (metadata.ctime(), metadata.ctime_nsec());
        Stamp { size: metadata.size(), inode: metadata.ino(), changed }
    }

    /// Whether it was long before `now` that the file changed.
    fn is_settled(&self, now: SystemTime) -> bool {
        let changed = Duration::from_secs(u64::try_from(self.changed.0).unwrap_or(0));
        now.duration_since(UNIX_EPOCH).is_ok_and(|now| now > changed + COARSEST_CLOCK)
    }
}

impl Blobs {
    /// Those in `folder`; what earlier runs hashed is remembered in the file `memory`.
    pub(super) fn new(folder: Utf8PathBuf, memory: Utf8PathBuf) -> Self {
        let found = fs::read(&memory).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let stamps: BTreeMap<Digest, Stamp> = found.unwrap_or_default();
        let checked = stamps.into_iter().map(|(digest, stamp)| (digest, Checked { stamp, is_settled: true }));
        Blobs { folder, memory, checked: Mutex::new(checked.collect()) }
    }

    pub(super) fn folder(&self) -> &Utf8Path {
        &self.folder
    }

    /// Where a blob lies, or would.
    pub(super) fn path(&self, digest: &Digest) -> Utf8PathBuf {
        self.folder.join(digest.hex())
    }

    /// Opens a blob of this size, hashing it unless that was done before.
    ///
    /// # Errors
    /// It is missing, or has other content.
    pub(super) fn open(&self, digest: &Digest, size: u64) -> Result<File> {
        let path = self.path(digest);
        let file = File::open(&path).with_context(|| format!("cannot read `{path}`"))?;
        let stamp = Stamp::of(&file.metadata().with_context(|| format!("cannot read `{path}`"))?);
        if stamp.size == size && self.checked().get(digest).is_some_and(|known| known.stamp == stamp) {
            return Ok(file);
        }
        let is_settled = stamp.is_settled(SystemTime::now());
        let file = check(file, &path, digest, size)?;
        self.checked().insert(digest.clone(), Checked { stamp, is_settled });
        Ok(file)
    }

    /// Writes a blob with what `fill` writes, and gives its digest and size. `is_coming` hears of the digest
    /// before there is a file of that name. Its content has reached the disk when this returns, its name only
    /// when the folder is [synced](crate::system::files::sync_folder).
    ///
    /// # Errors
    /// What `fill` returns; files that cannot be written. Nothing is left behind then.
    pub(super) fn write(
        &self,
        fill: impl FnOnce(&mut dyn Write) -> Result<()>,
        is_coming: impl FnOnce(&Digest),
    ) -> Result<(Digest, u64)> {
        let mut writer = HashingWriter::new(PendingFile::create_in(&self.folder)?);
        fill(&mut writer)?;
        let (digest, size, mut pending) = writer.finish();
        is_coming(&digest);
        let path = self.path(&digest);
        pending.sync().with_context(|| format!("cannot write `{path}`"))?;
        // Also over one that is there: that may be damaged, this one is not.
        pending.commit(&path)?;
        let metadata = fs::metadata(&path).with_context(|| format!("cannot read `{path}`"))?;
        let checked = Checked { stamp: Stamp::of(&metadata), is_settled: false };
        self.checked().insert(digest.clone(), checked);
        Ok((digest, size))
    }

    fn checked(&self) -> MutexGuard<'_, BTreeMap<Digest, Checked>> {
        // Every change is one insertion: a panic elsewhere leaves it true.
        self.checked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Blobs {
    /// Remembers what was hashed. Should that fail, it is hashed again.
    fn drop(&mut self) {
        let checked = self.checked();
        let settled = checked.iter().filter(|(digest, known)| known.is_settled && self.path(digest).exists());
        let bytes = to_json(&settled.map(|(digest, known)| (digest, known.stamp)).collect::<BTreeMap<_, _>>());
        if fs::read(&self.memory).ok().as_deref() != Some(&bytes[..]) {
            let _ = write_atomically(&self.memory, &bytes);
        }
    }
}

/// Gives a file back, at its beginning, if it is the blob of this digest and size.
fn check(mut file: File, path: &Utf8Path, digest: &Digest, size: u64) -> Result<File> {
    let mut hashed = HashingWriter::new(io::sink());
    io::copy(&mut file, &mut hashed).with_context(|| format!("cannot read `{path}`"))?;
    let (found, length, _) = hashed.finish();
    ensure!(length == size, "`{path}` has {length} bytes, not {size}");
    ensure!(found == *digest, "`{path}` is damaged: its content is not that of its name");
    file.rewind().with_context(|| format!("cannot read `{path}`"))?;
    Ok(file)
}

/// Opens a blob of the layout in `dir` for once, hashing it first.
pub(crate) fn open_blob(dir: &Utf8Path, digest: &Digest, size: u64) -> Result<File> {
    let path = dir.join("blobs/sha256").join(digest.hex());
    let file = File::open(&path).with_context(|| format!("cannot read `{path}`"))?;
    check(file, &path, digest, size)
}
