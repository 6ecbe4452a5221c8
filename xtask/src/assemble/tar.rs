//! Tar files with bytes that depend on the entries alone.
//!
//! USTAR headers (POSIX.1-1988), with a PAX header before those whose names do not fit
//! (POSIX.1-2001): the format that OCI image-spec asks of layers.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use ::tar::{EntryType, Header};
use anyhow::{Context, Result, ensure};
use camino::Utf8Path;

use crate::image::entry::{Entry, EntryKind, Extended, Source};

/// Files are read in pieces of this size, whatever their length.
const BUFFER: usize = 256 * 1024;

/// Writes `entries` in their order as a tar file, all of them changed at `seconds` (unix).
///
/// # Errors
/// A file that cannot be read, or that changes its length while it is read.
pub(crate) fn write_tar(entries: &[&Entry], seconds: u64, out: &mut impl Write) -> Result<()> {
    for entry in entries {
        write_entry(entry, seconds, out).with_context(|| format!("cannot put `{}` into the layer", entry.path))?;
    }
    // Two empty blocks end a tar file.
    out.write_all(&[0; 1024])?;
    Ok(())
}

fn write_entry(entry: &Entry, seconds: u64, out: &mut impl Write) -> Result<()> {
    let mut header = Header::new_ustar();
    header.set_mode(entry.mode & 0o7777);
    header.set_uid(entry.owner.0.into());
    header.set_gid(entry.owner.1.into());
    header.set_mtime(seconds);
    match &entry.kind {
        EntryKind::Directory => {
            header.set_entry_type(EntryType::Directory);
            header.set_size(0);
            write_header(header, &format!("{}/", entry.path), None, out)
        }
        EntryKind::Symlink(target) => {
            header.set_entry_type(EntryType::Symlink);
            header.set_size(0);
            write_header(header, &entry.path, Some(target), out)
        }
        EntryKind::File(Source::Bytes(bytes)) => {
            header.set_entry_type(EntryType::Regular);
            header.set_size(bytes.len() as u64);
            write_header(header, &entry.path, None, out)?;
            out.write_all(bytes)?;
            pad(bytes.len() as u64, out)
        }
        EntryKind::File(Source::Path(path)) => write_file(header, entry, path, [&[], &[]], out),
        EntryKind::File(Source::Extended(Extended { path, head, tail })) => {
            write_file(header, entry, path, [head, tail], out)
        }
    }
}

/// Writes the file at `path` with `head` instead of its first bytes and `tail` behind its last.
fn write_file(
    mut header: Header,
    entry: &Entry,
    path: &Utf8Path,
    [head, tail]: [&[u8]; 2],
    out: &mut impl Write,
) -> Result<()> {
    let unread = || format!("cannot read `{path}`");
    let mut file = File::open(path).with_context(unread)?;
    let metadata = file.metadata().with_context(unread)?;
    ensure!(metadata.is_file(), "`{path}` is not a file");
    let left = metadata.len().checked_sub(head.len() as u64).context("it changed while it was read")?;
    let size = metadata.len() + tail.len() as u64;
    header.set_entry_type(EntryType::Regular);
    header.set_size(size);
    write_header(header, &entry.path, None, out)?;
    out.write_all(head)?;
    file.seek(SeekFrom::Start(head.len() as u64)).with_context(unread)?;
    copy_exactly(&mut file, left, out).with_context(unread)?;
    out.write_all(tail)?;
    pad(size, out)
}

/// Writes a header, and before it what does not fit into one.
fn write_header(mut header: Header, path: &str, target: Option<&str>, out: &mut impl Write) -> Result<()> {
    let mut records = Vec::new();
    if !set_path(&mut header, path) {
        records.extend(pax_record("path", path));
    }
    if let Some(target) = target
        && !set_target(&mut header, target)
    {
        records.extend(pax_record("linkpath", target));
    }
    if !records.is_empty() {
        let mut pax = Header::new_ustar();
        pax.set_entry_type(EntryType::XHeader);
        pax.set_mode(0o644);
        pax.set_uid(0);
        pax.set_gid(0);
        pax.set_mtime(header.mtime()?);
        pax.set_size(records.len() as u64);
        set_path(&mut pax, "PaxHeaders/0");
        pax.set_cksum();
        out.write_all(pax.as_bytes())?;
        out.write_all(&records)?;
        pad(records.len() as u64, out)?;
    }
    header.set_cksum();
    out.write_all(header.as_bytes())?;
    Ok(())
}

/// Puts `path` into the header's name and prefix. Otherwise leaves a shortened name there, for
/// readers that do not know PAX, and returns false.
fn set_path(header: &mut Header, path: &str) -> bool {
    let ustar = header.as_ustar_mut().expect("made as ustar");
    let bytes = path.as_bytes();
    let (prefix, name, fits) = if bytes.len() <= ustar.name.len() {
        (&bytes[..0], bytes, true)
    } else {
        // The slash between the two is not stored. A directory's last slash cannot be it.
        let split = (1..bytes.len() - 1)
            .find(|&at| bytes[at] == b'/' && at <= ustar.prefix.len() && bytes.len() - at - 1 <= ustar.name.len());
        match split {
            Some(at) => (&bytes[..at], &bytes[at + 1..], true),
            None => (&bytes[..0], &bytes[..ustar.name.len()], false),
        }
    };
    ustar.name[..name.len()].copy_from_slice(name);
    ustar.prefix[..prefix.len()].copy_from_slice(prefix);
    fits && path.is_ascii()
}

/// Puts a symlink's target into the header, or a shortened one, and then returns false.
fn set_target(header: &mut Header, target: &str) -> bool {
    let field = &mut header.as_ustar_mut().expect("made as ustar").linkname;
    let length = target.len().min(field.len());
    field[..length].copy_from_slice(&target.as_bytes()[..length]);
    length == target.len() && target.is_ascii()
}

/// `LENGTH key=value\n`, where the length counts itself.
fn pax_record(key: &str, value: &str) -> Vec<u8> {
    let rest = format!(" {key}={value}\n");
    let mut length = rest.len();
    while rest.len() + length.to_string().len() != length {
        length = rest.len() + length.to_string().len();
    }
    format!("{length}{rest}").into_bytes()
}

fn copy_exactly(input: &mut impl Read, length: u64, out: &mut impl Write) -> Result<()> {
    let mut buffer = vec![0; BUFFER.min(usize::try_from(length).unwrap_or(BUFFER)).max(1)];
    let mut left = length;
    while left > 0 {
        let wanted = buffer.len().min(usize::try_from(left).unwrap_or(buffer.len()));
        match input.read(&mut buffer[..wanted]) {
            Ok(0) => break,
            Ok(count) => {
                out.write_all(&buffer[..count])?;
                left -= count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    // One byte more would mean that the file grew.
    ensure!(left == 0 && input.read(&mut buffer[..1])? == 0, "it changed while it was read");
    Ok(())
}

/// Fills up to the next block of 512 bytes.
fn pad(length: u64, out: &mut impl Write) -> Result<()> {
    let over = (length % 512) as usize;
    if over > 0 {
        out.write_all(&[0; 512][over..])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str, kind: EntryKind) -> Entry {
        Entry { owner: (65532, 7), ..Entry::new(path, 0o755, kind) }
    }

    #[test]
    fn names_of_all_lengths_come_back() {
        let mut paths: Vec<String> = vec!["a/é".into(), "x".repeat(99), "x".repeat(100), "x".repeat(101)];
        paths.push(format!("{}/{}", "p".repeat(155), "n".repeat(100)));
        paths.push(format!("{}/{}", "p".repeat(156), "n".repeat(100)));
        paths.push(format!("{}/{}", "p".repeat(120), "n".repeat(99)));
        paths.push(vec!["part"; 200].join("/"));
        for path in paths {
            let target = format!("../{path}");
            for kind in [
                EntryKind::Directory,
                EntryKind::Symlink(target.clone()),
                EntryKind::File(Source::Bytes(b"hello".as_slice().into())),
            ] {
                let mut out = Vec::new();
                let entry = entry(&path, kind);
                write_tar(&[&entry], 1_700_000_000, &mut out).unwrap();
                assert_eq!(out.len() % 512, 0);
                let mut archive = ::tar::Archive::new(&out[..]);
                let mut read = archive.entries().unwrap().next().unwrap().unwrap();
                let name = String::from_utf8(read.path_bytes().into_owned()).unwrap();
                assert_eq!(name.trim_end_matches('/'), path);
                assert_eq!(read.header().mtime().unwrap(), 1_700_000_000);
                assert_eq!(read.header().mode().unwrap(), 0o755);
                assert_eq!((read.header().uid().unwrap(), read.header().gid().unwrap()), (65532, 7));
                match &entry.kind {
                    EntryKind::Directory => assert!(name.ends_with('/')),
                    EntryKind::Symlink(target) => {
                        assert_eq!(read.link_name_bytes().unwrap(), target.as_bytes());
                    }
                    EntryKind::File(_) => {
                        let mut content = String::new();
                        read.read_to_string(&mut content).unwrap();
                        assert_eq!(content, "hello");
                    }
                }
            }
        }
    }

    #[test]
    fn a_file_that_changes_is_an_error() {
        let mut out = Vec::new();
        let error = copy_exactly(&mut &b"12345"[..], 6, &mut out).unwrap_err();
        assert_eq!(error.to_string(), "it changed while it was read");
        let error = copy_exactly(&mut &b"1234567"[..], 6, &mut out).unwrap_err();
        assert_eq!(error.to_string(), "it changed while it was read");
    }
}
