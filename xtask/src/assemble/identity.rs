//! What of the assembler itself decides an image: part of every input hash, so that an image made
//! otherwise is not adopted for one that this program would make. Pure.

use sha2::{Digest as _, Sha256};

use super::gzip::COMPRESSOR;
use crate::image::entry::{Entry, EntryKind, Extended, Source};
use crate::image::reference::Digest;
use crate::image::root_files::root_files;

/// The number of the format of images: which layers a component's image has and in which order, their
/// tar files (order, names, modes, owners, times), the config, the manifest, the labels and variables
/// that every image gets, and what is written into its executable. Raise it whenever one of them
/// changes; tests hold the digests.
///
/// The compressor has a name of its own, and the root files a digest.
const FORMAT: u32 = 4;

/// What of the assembler decides an image, by name. Root files are on `scratch` alone.
pub(crate) fn assembler_identity(has_base: bool) -> Vec<(String, String)> {
    let mut identity = vec![
        ("assembler format".to_owned(), FORMAT.to_string()),
        ("assembler compressor".to_owned(), COMPRESSOR.to_owned()),
    ];
    if !has_base {
        identity.push(("assembler root files".to_owned(), digest(&root_files()).to_string()));
    }
    identity
}

/// Over path, mode, owner and content of made files.
fn digest(entries: &[Entry]) -> Digest {
    let mut hasher = Sha256::new();
    for Entry { path, mode, owner: (user, group), kind } in entries {
        let (kind, content): (_, &[u8]) = match kind {
            EntryKind::Directory => ("directory", b""),
            EntryKind::File(Source::Bytes(content)) => ("file", content),
            // Made files come from memory alone; what is read elsewhere is an input by itself.
            EntryKind::File(Source::Path(path) | Source::Extended(Extended { path, .. })) => {
                ("path", path.as_str().as_bytes())
            }
            EntryKind::Symlink(target) => ("link", target.as_bytes()),
        };
        // Lengths first, so that no two lists of entries give the same bytes.
        hasher.update(format!("{kind} {mode:o} {user}:{group} {} {path} {}\n", path.len(), content.len()));
        hasher.update(content);
    }
    Digest::finish(hasher)
}

#[cfg(test)]
#[path = "identity_tests.rs"]
mod tests;
