//! Writes a section into a finished executable that says what it was made from: the section, the table of all sections
//! and their names go behind the file's end. Of what is loaded, nothing changes but the ELF header's pointer to the
//! table and the numbers beside it, which no loader follows.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use anyhow::{Context, Result, bail, ensure};
use camino::Utf8Path;
use miniz_oxide::deflate::compress_to_vec_zlib;

use crate::image::entry::{Extended, Source};
use crate::sbom::auditable::SECTION;

/// As the layers' (`gzip.rs`), so that its name covers this too.
const LEVEL: u8 = 5;
/// Far beyond any table of sections, or of their names.
const MAX_TABLE: u64 = 16 << 20;
const SHT_PROGBITS: u64 = 1;
const SHT_STRTAB: u64 = 3;

/// The executable at `path` with `json` in its section; as it is when it has the section already.
///
/// # Errors
/// It is no ELF file, or not one whose table of sections can be read.
pub(crate) fn with_dependencies(path: &Utf8Path, json: &[u8]) -> Result<Source> {
    let extended = extend(path, &compress_to_vec_zlib(json, LEVEL));
    extended.with_context(|| format!("cannot write what it was made from into `{path}`"))
}

fn extend(path: &Utf8Path, section: &[u8]) -> Result<Source> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut head = Vec::new();
    (&mut file).take(64).read_to_end(&mut head)?;
    let format = Format::of(&head)?;
    let mut table = Table::read(&mut file, &format, &head, length)?;
    if table.has_section {
        return Ok(Source::Path(path.to_owned()));
    }
    let mut tail = vec![0; padding(length)];
    table.names.extend([SECTION.as_bytes(), b"\0"].concat());
    let [own, names] = [section, &table.names].map(|content| {
        let at = length + tail.len() as u64;
        tail.extend_from_slice(content);
        tail.resize(tail.len() + padding(length + tail.len() as u64), 0);
        (at, content.len() as u64)
    });
    let own_name = (table.names.len() - SECTION.len() - 1) as u64;
    let header = format.section(own_name, SHT_PROGBITS, own);
    table.sections.push(header);
    format.place(&mut table.sections[table.names_at], names);
    let offset = length + tail.len() as u64;
    tail.extend(table.sections.concat());
    format.put(&mut head, format.header.table, offset);
    head[format.header.entry_size..][..2].copy_from_slice(&format.half(format.section_size)?);
    head[format.header.count..][..2].copy_from_slice(&format.half(table.sections.len())?);
    head[format.header.names..][..2].copy_from_slice(&format.half(table.names_at)?);
    head.truncate(format.header.names + 2);
    Ok(Source::Extended(Extended { path: path.to_owned(), head, tail }))
}

/// As many bytes as lead from `length` to the next multiple of eight.
fn padding(length: u64) -> usize {
    (length.next_multiple_of(8) - length) as usize
}

/// Where fields are (System V ABI, "ELF Header" and "Sections").
struct Format {
    is_big: bool,
    /// Bytes of an address.
    word: usize,
    header: HeaderFields,
    section_size: usize,
}

/// Of `e_shoff`, `e_shentsize`, `e_shnum` and `e_shstrndx`.
struct HeaderFields {
    table: usize,
    entry_size: usize,
    count: usize,
    names: usize,
}

impl Format {
    fn of(head: &[u8]) -> Result<Self> {
        ensure!(head.len() >= 52 && head.starts_with(b"\x7fELF"), "it is no Linux executable");
        let is_big = match head[5] {
            1 => false,
            2 => true,
            _ => bail!("its ELF header names no byte order"),
        };
        Ok(match head[4] {
            1 => Format {
                is_big,
                word: 4,
                header: HeaderFields { table: 32, entry_size: 46, count: 48, names: 50 },
                section_size: 40,
            },
            2 if head.len() == 64 => Format {
                is_big,
                word: 8,
                header: HeaderFields { table: 40, entry_size: 58, count: 60, names: 62 },
                section_size: 64,
            },
            _ => bail!("its ELF header is not valid"),
        })
    }

    fn get(&self, bytes: &[u8], at: usize, size: usize) -> u64 {
        let add = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        let bytes = &bytes[at..at + size];
        if self.is_big { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) }
    }

    fn sized(&self, number: u64, size: usize) -> Vec<u8> {
        match self.is_big {
            true => number.to_be_bytes()[8 - size..].to_vec(),
            false => number.to_le_bytes()[..size].to_vec(),
        }
    }

    /// Writes an address.
    fn put(&self, bytes: &mut [u8], at: usize, number: u64) {
        bytes[at..at + self.word].copy_from_slice(&self.sized(number, self.word));
    }

    fn half(&self, number: usize) -> Result<Vec<u8>> {
        Ok(self.sized(u16::try_from(number).context("it has too many sections")?.into(), 2))
    }

    /// The header of a section that is not loaded; where in the file, and how long.
    fn section(&self, name: u64, kind: u64, place: (u64, u64)) -> Vec<u8> {
        let mut header = vec![0; self.section_size];
        header[..4].copy_from_slice(&self.sized(name, 4));
        header[4..8].copy_from_slice(&self.sized(kind, 4));
        // `sh_addralign`.
        self.put(&mut header, self.section_size - 2 * self.word, 1);
        self.place(&mut header, place);
        header
    }

    /// Sets `sh_offset` and `sh_size`.
    fn place(&self, header: &mut [u8], (offset, size): (u64, u64)) {
        let at = 8 + 2 * self.word;
        self.put(header, at, offset);
        self.put(header, at + self.word, size);
    }
}

/// All sections' headers, and their names.
struct Table {
    sections: Vec<Vec<u8>>,
    names: Vec<u8>,
    /// Which section holds the names.
    names_at: usize,
    has_section: bool,
}

impl Table {
    /// Reads the file's; begins one where it was stripped.
    fn read(file: &mut File, format: &Format, head: &[u8], length: u64) -> Result<Self> {
        let offset = format.get(head, format.header.table, format.word);
        let count = format.get(head, format.header.count, 2);
        if offset == 0 {
            let sections = vec![vec![0; format.section_size], format.section(1, SHT_STRTAB, (0, 0))];
            return Ok(Table { sections, names: b"\0.shstrtab\0".to_vec(), names_at: 1, has_section: false });
        }
        let entry_size = format.get(head, format.header.entry_size, 2) as usize;
        // None at all: their number is elsewhere, since it does not fit (above 65279).
        ensure!(entry_size == format.section_size && count > 0, "its table of sections is of a kind that is not known");
        let mut read = |offset: u64, size: u64| -> Result<Vec<u8>> {
            let fits = size <= MAX_TABLE && offset.checked_add(size).is_some_and(|end| end <= length);
            ensure!(fits, "its table of sections does not lie in the file");
            file.seek(SeekFrom::Start(offset))?;
            let mut bytes = vec![0; size as usize];
            file.read_exact(&mut bytes)?;
            Ok(bytes)
        };
        let all = read(offset, count * entry_size as u64)?;
        let sections: Vec<Vec<u8>> = all.chunks_exact(entry_size).map(<[u8]>::to_vec).collect();
        let names_at = format.get(head, format.header.names, 2) as usize;
        let names = sections.get(names_at).filter(|_| names_at > 0).context("its sections have no names")?;
        let field = |at: usize| format.get(names, 8 + at * format.word, format.word);
        let names = read(field(2), field(3))?;
        let named = |section: &Vec<u8>| {
            let rest = names.get(format.get(section, 0, 4) as usize..).unwrap_or_default();
            rest.split(|byte| *byte == 0).next() == Some(SECTION.as_bytes())
        };
        let has_section = sections.iter().any(named);
        Ok(Table { sections, names, names_at, has_section })
    }
}

#[cfg(test)]
#[path = "dep_section_tests.rs"]
mod tests;
