//! Files of an image, as data.

use std::borrow::Cow;

use camino::Utf8PathBuf;

/// One file, directory or symlink of a layer.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Where it is in the image, without a leading slash.
    pub(crate) path: String,
    /// The permission bits, including setuid, setgid and sticky.
    pub(crate) mode: u32,
    /// The numbers of its user and group.
    pub(crate) owner: (u32, u32),
    pub(crate) kind: EntryKind,
}

impl Entry {
    /// An entry that belongs to root, as almost all do.
    pub(crate) fn new(path: impl Into<String>, mode: u32, kind: EntryKind) -> Self {
        Entry { path: path.into(), mode, owner: (0, 0), kind }
    }
}

#[derive(Clone, Debug)]
pub(crate) enum EntryKind {
    Directory,
    File(Source),
    /// A symlink to this target.
    Symlink(String),
}

/// Where a file's content comes from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// From memory: small, made files.
    Bytes(Cow<'static, [u8]>),
    /// From a file, read in pieces.
    Path(Utf8PathBuf),
    /// From a file, with other bytes where it begins and more behind its end.
    Extended(Extended),
}

/// A file as it is in the image when that is not how it is on disk.
#[derive(Clone, Debug)]
pub(crate) struct Extended {
    pub(crate) path: Utf8PathBuf,
    /// Instead of the file's first bytes.
    pub(crate) head: Vec<u8>,
    /// After the file's last byte.
    pub(crate) tail: Vec<u8>,
}
