//! A writer that hashes what passes.

use std::io::{self, Write};

use sha2::{Digest as _, Sha256};

use crate::image::reference::Digest;

/// Hashes and counts what passes through it.
pub(crate) struct HashingWriter<W> {
    out: W,
    hasher: Sha256,
    length: u64,
}

impl<W: Write> HashingWriter<W> {
    /// Passes on to `out`.
    pub(crate) fn new(out: W) -> Self {
        HashingWriter { out, hasher: Sha256::new(), length: 0 }
    }

    /// The digest and number of the bytes, and `out`.
    pub(crate) fn finish(self) -> (Digest, u64, W) {
        (Digest::finish(self.hasher), self.length, self.out)
    }
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.out.write(bytes)?;
        self.hasher.update(&bytes[..taken]);
        self.length += taken as u64;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
