//! The same entries give the same blob, wherever and whenever.

use std::fs;
use std::time::{Duration, SystemTime};

use camino::{Utf8Path, Utf8PathBuf};

use super::*;
use crate::image::entry::Source;

fn folder() -> (tempfile::TempDir, Utf8PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = Utf8PathBuf::from_path_buf(folder.path().to_owned()).unwrap();
    (folder, path)
}

fn entry(path: &str, kind: EntryKind) -> Entry {
    Entry::new(path, 0o755, kind)
}

fn spec(program: &Utf8Path) -> LayerSpec {
    LayerSpec {
        name: "program".to_owned(),
        entries: vec![
            entry("usr/local/bin/engine", EntryKind::File(Source::Path(program.to_owned()))),
            entry("tmp", EntryKind::Directory),
            entry("a/link", EntryKind::Symlink("../tmp".to_owned())),
            entry("a", EntryKind::Directory),
        ],
    }
}

#[test]
fn folders_times_and_order_do_not_show() {
    let mut digests = Vec::new();
    for turn in 0..2_u64 {
        let (_guard, dir) = folder();
        let program = dir.join(format!("program-{turn}"));
        fs::write(&program, vec![7; 1_000_000]).unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 * (turn + 1));
        fs::File::options().write(true).open(&program).unwrap().set_modified(time).unwrap();
        let mut spec = spec(&program);
        if turn == 1 {
            spec.entries.reverse();
        }
        let layout = Layout::open(&dir.join("oci")).unwrap();
        let layer = build_layer(&layout, &spec, 1_700_000_000).unwrap();
        digests.push((layer.descriptor, layer.diff_id, layer.uncompressed));
        let other_time = build_layer(&layout, &spec, 1_700_000_001).unwrap();
        assert_ne!(digests[0].1, other_time.diff_id, "the time is part of the layer");
    }
    assert_eq!(digests[0], digests[1]);
}

#[test]
fn a_known_layer_is_not_compressed_again() {
    let (_guard, dir) = folder();
    let program = dir.join("program");
    fs::write(&program, b"one").unwrap();
    let oci = dir.join("oci");
    let layer = build_layer(&Layout::open(&oci).unwrap(), &spec(&program), 5).unwrap();

    // Wrong on purpose: only what is remembered can give this digest.
    let layout = Layout::open(&oci).unwrap();
    let (digest, size) = layout.write_bytes(b"another blob").unwrap();
    layout.remember_layer(&layer.diff_id, &digest, size).unwrap();
    let again = build_layer(&layout, &spec(&program), 5).unwrap();
    assert_eq!(again.descriptor.digest, digest);
    assert_eq!(again.diff_id, layer.diff_id);

    // Gone or of another size, it is made again.
    fs::write(layout.blob_path(&digest), b"short").unwrap();
    let again = build_layer(&layout, &spec(&program), 5).unwrap();
    assert_eq!(again.descriptor, layer.descriptor);
}

#[test]
fn bad_paths_are_refused() {
    let (_guard, dir) = folder();
    let layout = Layout::open(&dir.join("oci")).unwrap();
    for path in ["", "/etc/passwd", "../x", "a/../x", "a/./x", "a//x", "a/", "a\0b"] {
        let spec = LayerSpec { name: "x".to_owned(), entries: vec![entry(path, EntryKind::Directory)] };
        let error = format!("{:#}", build_layer(&layout, &spec, 0).unwrap_err());
        assert!(error.contains("is not a path below the image's root"), "{path}: {error}");
    }
    let twice = vec![entry("a", EntryKind::Directory), entry("a", EntryKind::Directory)];
    let spec = LayerSpec { name: "x".to_owned(), entries: twice };
    let error = format!("{:#}", build_layer(&layout, &spec, 0).unwrap_err());
    assert_eq!(error, "cannot make layer `x`: `a` occurs twice");
}

#[test]
fn a_missing_file_is_named_and_leaves_nothing() {
    let (_guard, dir) = folder();
    let layout = Layout::open(&dir.join("oci")).unwrap();
    let error = build_layer(&layout, &spec(&dir.join("none")), 0).unwrap_err();
    let text = format!("{error:#}");
    assert!(text.contains("`usr/local/bin/engine`") && text.contains("none`"), "{text}");
    assert_eq!(fs::read_dir(dir.join("oci/blobs/sha256")).unwrap().count(), 0);
}
