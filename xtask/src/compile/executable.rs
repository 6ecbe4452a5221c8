//! Looks into executables: the interpreter they need, and paths that leaked into them.

use std::fs::File;
use std::io::Read;

use anyhow::{Context, Result};
use camino::Utf8Path;
use object::elf::PT_INTERP;
use object::read::elf::{FileHeader, ProgramHeader};
use object::{Endianness, FileKind, ReadCache, ReadRef};
use sha2::{Digest, Sha256};

use crate::workspace::inputs::hex;

/// The program interpreter that an ELF executable asks for; nothing for a static one.
///
/// # Errors
/// It is no ELF executable.
pub(crate) fn interpreter(path: &Utf8Path) -> Result<Option<String>> {
    let file = File::open(path).with_context(|| format!("cannot read `{path}`"))?;
    // Reads the headers only, whatever the file's size.
    let data = ReadCache::new(file);
    let found = match FileKind::parse(&data) {
        Ok(FileKind::Elf64) => interpreter_of::<object::elf::FileHeader64<Endianness>, _>(&data),
        Ok(FileKind::Elf32) => interpreter_of::<object::elf::FileHeader32<Endianness>, _>(&data),
        _ => anyhow::bail!("`{path}` is no Linux executable"),
    };
    found.with_context(|| format!("cannot read the headers of `{path}`"))
}

fn interpreter_of<'data, Elf, R>(data: R) -> Result<Option<String>, object::Error>
where
    Elf: FileHeader<Endian = Endianness>,
    R: ReadRef<'data>,
{
    let header = Elf::parse(data)?;
    let endian = header.endian()?;
    for segment in header.program_headers(endian, data)? {
        if segment.p_type(endian) == PT_INTERP
            && let Ok(bytes) = segment.data(endian, data)
        {
            let text = String::from_utf8_lossy(bytes);
            return Ok(Some(text.trim_end_matches('\0').to_owned()));
        }
    }
    Ok(None)
}

/// What a scan of an executable found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scan {
    /// SHA-256 of the file, in hex.
    pub(crate) digest: String,
    /// Those of the given paths that are in it.
    pub(crate) leaks: Vec<String>,
}

/// Hashes `path` and looks for `needles` in it, in one pass that reads it in pieces.
pub(crate) fn scan(path: &Utf8Path, needles: &[String]) -> Result<Scan> {
    const PIECE: usize = 256 * 1024;
    let mut file = File::open(path).with_context(|| format!("cannot read `{path}`"))?;
    let overlap = needles.iter().map(String::len).max().unwrap_or_default();
    let finders: Vec<_> = needles.iter().map(memchr::memmem::Finder::new).collect();
    let mut found = vec![false; needles.len()];
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; overlap + PIECE];
    let mut kept = 0;
    loop {
        let read = file.read(&mut buffer[kept..]).with_context(|| format!("cannot read `{path}`"))?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[kept..kept + read]);
        let filled = kept + read;
        for (finder, found) in finders.iter().zip(&mut found) {
            *found = *found || finder.find(&buffer[..filled]).is_some();
        }
        // A path may lie across two pieces.
        kept = overlap.min(filled);
        buffer.copy_within(filled - kept..filled, 0);
    }
    let leaks = needles.iter().zip(found).filter(|(_, found)| *found).map(|(needle, _)| needle.clone()).collect();
    Ok(Scan { digest: hex(&hasher.finalize()), leaks })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_across_two_pieces_is_found() {
        let folder = std::env::temp_dir().join(format!("xtask-scan-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = camino::Utf8PathBuf::from_path_buf(folder.join("a")).unwrap();
        let mut content = vec![b'x'; 256 * 1024 + 3];
        content.extend_from_slice(b"/home/me/secret");
        std::fs::write(&path, &content).unwrap();
        let scanned = scan(&path, &["/home/me".into(), "/home/you".into()]).unwrap();
        assert_eq!(scanned.leaks, ["/home/me"]);
        assert_eq!(scanned.digest, hex(&Sha256::digest(&content)));
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn our_own_test_program_has_an_interpreter() {
        let own = camino::Utf8PathBuf::from_path_buf(std::env::current_exe().unwrap()).unwrap();
        let interpreter = interpreter(&own).unwrap();
        assert!(interpreter.is_none_or(|path| path.starts_with('/')));
        assert!(super::interpreter(Utf8Path::new("Cargo.toml")).is_err());
    }
}
