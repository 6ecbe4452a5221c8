//! One named file out of a zip archive.
//!
//! `rawzip`, because it has no dependencies and leaves decompressing to `flate2`, which is here
//! already; `zip` brings three crates and what writes archives.

use std::io::Read;

use anyhow::{Context, Result, bail, ensure};
use flate2::bufread::DeflateDecoder;
use rawzip::{CompressionMethod, ZipArchive};

/// As many names as an error message lists.
const MAX_NAMES: usize = 5;

/// The content of the entry called exactly `name`, of at most `limit` bytes, its checksum checked.
/// Nothing is written anywhere.
///
/// # Errors
/// No zip archive; no entry of that name, or several; an entry that is larger, damaged, or
/// compressed otherwise than by deflate.
pub(crate) fn read_entry(archive: &[u8], name: &str, limit: u64) -> Result<Vec<u8>> {
    let archive = ZipArchive::from_slice(archive).context("it is no zip archive")?;
    let mut found = None;
    let mut others = Vec::new();
    let mut entries = archive.entries();
    while let Some(entry) = entries.next_entry().context("its zip archive is damaged")? {
        let path = entry.file_path();
        if path.as_ref() != name.as_bytes() {
            others.push(String::from_utf8_lossy(path.as_ref()).escape_debug().to_string());
            continue;
        }
        ensure!(found.is_none(), "it has more than one `{name}`");
        found = Some((entry.wayfinder(), entry.compression_method()));
    }
    let Some((place, method)) = found else { bail!("it has no `{name}`, {}", listed(&others)) };
    let damaged = || format!("`{name}` in it is damaged");
    let entry = archive.get_entry(place).with_context(damaged)?;
    let compressed: Box<dyn Read> = match method {
        CompressionMethod::STORE => Box::new(entry.data()),
        CompressionMethod::DEFLATE => Box::new(DeflateDecoder::new(entry.data())),
        _ => bail!("`{name}` in it is neither stored nor deflated"),
    };
    let mut content = Vec::new();
    // The verifier sees the end, and so the checksum, only when nothing is left over.
    entry.verifying_reader(compressed).take(limit + 1).read_to_end(&mut content).with_context(damaged)?;
    ensure!(content.len() as u64 <= limit, "`{name}` in it is larger than {limit} bytes");
    Ok(content)
}

fn listed(names: &[String]) -> String {
    if names.is_empty() {
        return "it is empty".to_owned();
    }
    let shown: Vec<_> = names.iter().take(MAX_NAMES).map(|name| format!("`{name}`")).collect();
    let more = names.len().saturating_sub(MAX_NAMES);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("only {}{more}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn zip(entries: &[(&str, &[u8], CompressionMethod)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut archive = rawzip::ZipArchiveWriter::new(&mut bytes);
        for (name, content, method) in entries {
            let (mut entry, config) = archive.new_file(name).compression_method(*method).start().unwrap();
            let descriptor = if *method == CompressionMethod::STORE {
                let mut writer = config.wrap(&mut entry);
                writer.write_all(content).unwrap();
                writer.finish().unwrap().1
            } else {
                let encoder = flate2::write::DeflateEncoder::new(&mut entry, flate2::Compression::default());
                let mut writer = config.wrap(encoder);
                writer.write_all(content).unwrap();
                let (encoder, descriptor) = writer.finish().unwrap();
                encoder.finish().unwrap();
                descriptor
            };
            entry.finish(descriptor).unwrap();
        }
        archive.finish().unwrap();
        bytes
    }

    fn error(archive: &[u8], limit: u64) -> String {
        format!("{:#}", read_entry(archive, "a.json", limit).unwrap_err())
    }

    #[test]
    fn one_entry_is_read_whichever_way_it_is_stored() {
        for method in [CompressionMethod::STORE, CompressionMethod::DEFLATE] {
            let archive = zip(&[("other", b"x", method), ("a.json", b"content", method)]);
            assert_eq!(read_entry(&archive, "a.json", 7).unwrap(), b"content");
            assert_eq!(error(&archive, 6), "`a.json` in it is larger than 6 bytes");
        }
    }

    #[test]
    fn what_cannot_be_trusted_is_refused() {
        let deflate = CompressionMethod::DEFLATE;
        assert!(error(b"<html>", 9).starts_with("it is no zip archive"));
        assert_eq!(error(&zip(&[]), 9), "it has no `a.json`, it is empty");
        let names = ["1", "2", "3", "up/a.json", "5", "6", "b\n"];
        let many: Vec<_> = names.iter().map(|name| (*name, &b""[..], deflate)).collect();
        assert_eq!(error(&zip(&many), 9), "it has no `a.json`, only `1`, `2`, `3`, `up/a.json`, `5` and 2 more");
        let twice = zip(&[("a.json", b"1", deflate), ("a.json", b"2", deflate)]);
        assert_eq!(error(&twice, 9), "it has more than one `a.json`");
        // A bomb stops at the limit.
        let bomb = zip(&[("a.json", &vec![0; 4 << 20], deflate)]);
        assert!(bomb.len() < 10_000);
        assert!(error(&bomb, 1 << 20).contains("larger than 1048576 bytes"));
    }

    #[test]
    fn damage_is_noticed() {
        let archive = zip(&[("a.json", b"content", CompressionMethod::STORE)]);
        let place = archive.windows(7).position(|bytes| bytes == b"content").unwrap();
        let mut damaged = archive.clone();
        damaged[place] ^= 1;
        assert!(error(&damaged, 9).starts_with("`a.json` in it is damaged"), "{}", error(&damaged, 9));
        assert!(read_entry(&archive[..archive.len() - 30], "a.json", 9).is_err());
    }
}
