//! Layers: entries in, a compressed blob in the layout out, twice the same for the same entries.

use std::io;

use anyhow::{Context, Result, bail, ensure};

use super::gzip::GzipWriter;
use super::hashing::HashingWriter;
use super::layout::Layout;
use super::tar::write_tar;
use crate::image::entry::{Entry, EntryKind};
use crate::image::manifest::{Descriptor, OCI_LAYER_GZIP};
use crate::image::reference::Digest;

/// What goes into a layer. The entries' order does not matter.
#[derive(Clone, Debug)]
pub(crate) struct LayerSpec {
    /// What the layer is called in size breakdowns and in the image's history.
    pub(crate) name: String,
    pub(crate) entries: Vec<Entry>,
}

/// A layer that lies in the layout.
#[derive(Clone, Debug)]
pub(crate) struct BuiltLayer {
    /// The compressed blob.
    pub(crate) descriptor: Descriptor,
    /// The digest of the uncompressed tar file.
    pub(crate) diff_id: Digest,
    /// The uncompressed tar file's bytes.
    pub(crate) uncompressed: u64,
}

/// Puts the layer into `layout`, its entries' times being `created` (unix seconds; earlier than
/// 1970 is 1970).
///
/// The tar file is hashed first; a layer with a diff id from before is not compressed again.
///
/// # Errors
/// Paths that are not plain relative ones or that occur twice; files that cannot be read or that
/// change meanwhile; a layout that cannot be written.
pub(crate) fn build_layer(layout: &Layout, spec: &LayerSpec, created: i64) -> Result<BuiltLayer> {
    build(layout, spec, created).with_context(|| format!("cannot make layer `{}`", spec.name))
}

fn build(layout: &Layout, spec: &LayerSpec, created: i64) -> Result<BuiltLayer> {
    let entries = sorted(&spec.entries)?;
    let seconds = u64::try_from(created).unwrap_or(0);

    let mut hashed = HashingWriter::new(io::sink());
    write_tar(&entries, seconds, &mut hashed)?;
    let (diff_id, uncompressed, _) = hashed.finish();
    if let Some((digest, size)) = layout.known_layer(&diff_id) {
        let descriptor = Descriptor::new(OCI_LAYER_GZIP, digest, size);
        return Ok(BuiltLayer { descriptor, diff_id, uncompressed });
    }

    let (digest, size) = layout.write_blob(|blob| {
        let mut writer = HashingWriter::new(GzipWriter::new(blob)?);
        write_tar(&entries, seconds, &mut writer)?;
        let (again, _, gzip) = writer.finish();
        ensure!(again == diff_id, "a file changed while it was read");
        gzip.finish()?;
        Ok(())
    })?;
    layout.remember_layer(&diff_id, &digest, size)?;
    Ok(BuiltLayer { descriptor: Descriptor::new(OCI_LAYER_GZIP, digest, size), diff_id, uncompressed })
}

/// The entries by path, so that directories come before what is in them.
fn sorted(entries: &[Entry]) -> Result<Vec<&Entry>> {
    let mut sorted: Vec<&Entry> = entries.iter().collect();
    sorted.sort_by(|a, b| a.path.cmp(&b.path));
    for entry in &sorted {
        let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
        ensure!(
            entry.path.split('/').all(plain),
            "`{}` is not a path below the image's root, without `.` and `..`",
            entry.path.escape_debug()
        );
        if let EntryKind::Symlink(target) = &entry.kind {
            ensure!(!target.is_empty() && !target.contains('\0'), "symlink `{}` has no valid target", entry.path);
        }
    }
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0].path == pair[1].path) {
        bail!("`{}` occurs twice", pair[0].path);
    }
    Ok(sorted)
}

#[cfg(test)]
#[path = "layer_tests.rs"]
mod tests;
