//! Looks into executables: what they need to be started, and paths that leaked into them.

use std::fs::File;
use std::io::Read;

use anyhow::{Context, Result};
use camino::Utf8Path;
use object::elf::{DT_NEEDED, DT_RPATH, DT_RUNPATH, DT_STRSZ, DT_STRTAB, PT_INTERP, PT_LOAD};
use object::read::elf::{Dyn, FileHeader, ProgramHeader};
use object::{Endianness, FileKind, ReadCache, ReadRef};
use sha2::{Digest, Sha256};

use super::loader::Needs;
use crate::workspace::inputs::hex;

/// What a dynamic executable asks of the system that starts it; nothing for a static one.
///
/// # Errors
/// It is no ELF executable.
pub(crate) fn needs(path: &Utf8Path) -> Result<Option<Needs>> {
    let file = File::open(path).with_context(|| format!("cannot read `{path}`"))?;
    // Reads the headers only, whatever the file's size.
    let data = ReadCache::new(file);
    let found = match FileKind::parse(&data) {
        Ok(FileKind::Elf64) => needs_of::<object::elf::FileHeader64<Endianness>, _>(&data),
        Ok(FileKind::Elf32) => needs_of::<object::elf::FileHeader32<Endianness>, _>(&data),
        _ => anyhow::bail!("`{path}` is no Linux executable"),
    };
    found.with_context(|| format!("cannot read the headers of `{path}`"))
}

fn needs_of<'data, Elf, R>(data: R) -> Result<Option<Needs>, object::Error>
where
    Elf: FileHeader<Endian = Endianness>,
    R: ReadRef<'data>,
{
    let header = Elf::parse(data)?;
    let endian = header.endian()?;
    let segments = header.program_headers(endian, data)?;
    let mut interpreter = None;
    let mut dynamic: &[Elf::Dyn] = &[];
    for segment in segments {
        if segment.p_type(endian) == PT_INTERP
            && let Ok(bytes) = segment.data(endian, data)
        {
            interpreter = Some(String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned());
        }
        dynamic = segment.dynamic(endian, data)?.unwrap_or(dynamic);
    }
    let Some(interpreter) = interpreter else { return Ok(None) };
    // Without the section headers, which `strip` may take: the loader does not read them either.
    let value = |wanted| dynamic.iter().find(|entry| entry.tag(endian) == wanted).map(|entry| entry.val(endian));
    let strings = value(DT_STRTAB).zip(value(DT_STRSZ)).and_then(|(address, size)| {
        let holds = |segment: &&Elf::ProgramHeader| {
            let start: u64 = segment.p_vaddr(endian).into();
            let length: u64 = segment.p_filesz(endian).into();
            segment.p_type(endian) == PT_LOAD && (start..start.saturating_add(length)).contains(&address)
        };
        let segment = segments.iter().find(holds)?;
        let offset = address - segment.p_vaddr(endian).into() + segment.p_offset(endian).into();
        data.read_bytes_at(offset, size).ok()
    });
    let text = |at: u64| {
        let rest = strings?.get(usize::try_from(at).ok()?..)?;
        let end = rest.iter().position(|byte| *byte == 0)?;
        Some(String::from_utf8_lossy(&rest[..end]).into_owned())
    };
    let all = |wanted| {
        let entries = dynamic.iter().filter(move |entry| entry.tag(endian) == wanted);
        entries.filter_map(|entry| text(entry.val(endian)))
    };
    let folders =
        |wanted| all(wanted).flat_map(|path| path.split(':').map(str::to_owned).collect::<Vec<_>>()).collect();
    Ok(Some(Needs {
        interpreter,
        libraries: all(DT_NEEDED).collect(),
        rpath: folders(DT_RPATH),
        runpath: folders(DT_RUNPATH),
    }))
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
    fn our_own_test_program_needs_the_c_library() {
        let own = camino::Utf8PathBuf::from_path_buf(std::env::current_exe().unwrap()).unwrap();
        if let Some(needs) = needs(&own).unwrap() {
            assert!(needs.interpreter.starts_with('/'), "{needs:?}");
            assert!(needs.libraries.iter().any(|library| library.starts_with("libc.")), "{needs:?}");
        }
        assert!(needs(Utf8Path::new("Cargo.toml")).is_err());
    }
}
