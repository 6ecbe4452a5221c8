//! Executables with the section: this machine's shell, and headers made by hand for what it has not.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use camino::Utf8PathBuf;
use object::{Object, ObjectSection};

use super::*;
use crate::assemble::tar::write_tar;
use crate::image::entry::{Entry, EntryKind};
use crate::image::reference::Digest;

const JSON: &[u8] = br#"{"packages":[{"name":"app","version":"0.1.0","source":"local","root":true}],"format":1}"#;

fn folder() -> (tempfile::TempDir, Utf8PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = Utf8PathBuf::from_path_buf(folder.path().to_owned()).unwrap();
    (folder, path)
}

/// The file as a layer has it.
fn content(source: Source) -> Vec<u8> {
    let mut out = Vec::new();
    write_tar(&[&Entry::new("program", 0o755, EntryKind::File(source))], 0, &mut out).unwrap();
    let mut archive = ::tar::Archive::new(&out[..]);
    let mut content = Vec::new();
    archive.entries().unwrap().next().unwrap().unwrap().read_to_end(&mut content).unwrap();
    content
}

fn section(file: &[u8]) -> Vec<u8> {
    let file = object::File::parse(file).unwrap();
    let section = file.section_by_name(SECTION).unwrap();
    miniz_oxide::inflate::decompress_to_vec_zlib(section.data().unwrap()).unwrap()
}

#[test]
fn a_program_carries_the_section_and_is_otherwise_the_same() {
    let (_guard, dir) = folder();
    let own = Utf8Path::new("/bin/sh").canonicalize_utf8().unwrap();
    let before = std::fs::read(&own).unwrap();
    let after = content(with_dependencies(&own, JSON).unwrap());
    assert_eq!(section(&after), JSON);
    let differ: Vec<usize> =
        before.iter().zip(&after).enumerate().filter(|(_, (a, b))| a != b).map(|(at, _)| at).collect();
    assert!(differ.iter().all(|at| (40..48).contains(at) || *at >= 60 && *at < 64), "beyond the header: {differ:?}");
    // The other sections are where they were.
    let (old, new) = (object::File::parse(&*before).unwrap(), object::File::parse(&*after).unwrap());
    for section in old.sections().filter(|section| section.name() != Ok(".shstrtab")) {
        let same = new.section_by_index(section.index()).unwrap();
        assert_eq!((same.name(), same.file_range()), (section.name(), section.file_range()));
    }
    let copy = dir.join("sh");
    std::fs::write(&copy, &after).unwrap();
    std::fs::set_permissions(&copy, PermissionsExt::from_mode(0o755)).unwrap();
    let run = Command::new(&copy).args(["-c", "exit 7"]).status().unwrap();
    assert_eq!(run.code(), Some(7));
    // Whoever wrote it first is left alone.
    assert!(matches!(with_dependencies(&copy, b"{}").unwrap(), Source::Path(path) if path == copy));
}

/// An ELF header with nothing behind it but `rest`.
fn header(word: u8, order: u8) -> Vec<u8> {
    let mut bytes = vec![0; if word == 2 { 64 } else { 52 }];
    bytes[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', word, order, 1]);
    let machine: u16 = if word == 2 { 22 } else { 40 };
    let put = |bytes: &mut Vec<u8>, at: usize, number: u16| {
        bytes[at..at + 2].copy_from_slice(&if order == 2 { number.to_be_bytes() } else { number.to_le_bytes() });
    };
    put(&mut bytes, 16, 2);
    put(&mut bytes, 18, machine);
    let size = bytes.len() as u16;
    put(&mut bytes, if word == 2 { 52 } else { 40 }, size);
    bytes
}

/// 32 and 64 bits, both byte orders, no table of sections, an end that is not aligned. When the digest differs, images
/// are no longer what they were: see `identity_tests.rs`.
#[test]
fn stripped_executables_of_all_platforms_get_a_table() {
    let (_guard, dir) = folder();
    let mut all = Vec::new();
    for (word, order) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
        let path = dir.join("program");
        std::fs::write(&path, [header(word, order), b"code!".to_vec()].concat()).unwrap();
        let after = content(with_dependencies(&path, JSON).unwrap());
        assert_eq!(section(&after), JSON, "{word} {order}");
        all.extend(after);
    }
    let digest = Digest::of(&all);
    assert_eq!(
        digest.hex(),
        "d0d8675db2c18e83c1b399eef5e1f84a629c5fc17624d8bec1ff045b8ac0c4f1",
        "raise `FORMAT` in `identity.rs`"
    );
}

#[test]
fn what_cannot_be_read_is_refused() {
    let (_guard, dir) = folder();
    let path = dir.join("program");
    let mut beyond = header(2, 1);
    beyond[40..44].copy_from_slice(&[0xff; 4]);
    beyond[58] = 64;
    beyond[60] = 9;
    let mut unnumbered = beyond.clone();
    unnumbered[60] = 0;
    let cases = [
        (b"#!/bin/sh\nexit 0\n".to_vec(), "it is no Linux executable"),
        (beyond, "does not lie in the file"),
        (unnumbered, "of a kind that is not known"),
    ];
    for (bytes, expected) in cases {
        std::fs::write(&path, bytes).unwrap();
        let error = format!("{:#}", with_dependencies(&path, JSON).unwrap_err());
        assert!(error.contains(expected), "{error}");
    }
}
