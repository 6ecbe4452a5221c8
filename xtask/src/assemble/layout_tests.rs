//! Layouts that are whole, damaged, interrupted and shared.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::assemble::image::{ImageConfig, ImageSpec, assemble};
use crate::assemble::layer::LayerSpec;
use crate::image::entry::{Entry, EntryKind, Source};

fn folder() -> (tempfile::TempDir, Utf8PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = Utf8PathBuf::from_path_buf(folder.path().join("oci")).unwrap();
    (folder, path)
}

fn image(layout: &Layout, content: &str, platform: &str) -> AssembledPlatform {
    let entry = Entry::new("program", 0o755, EntryKind::File(Source::Bytes(content.as_bytes().to_vec().into())));
    let spec = ImageSpec {
        platform: platform.parse().unwrap(),
        base: None,
        layers: vec![LayerSpec { name: "program".to_owned(), entries: vec![entry] }],
        config: ImageConfig::default(),
        created: 1,
    };
    assemble(layout, &spec).unwrap()
}

fn blobs(dir: &Utf8Path) -> usize {
    fs::read_dir(dir.join("blobs/sha256")).unwrap().count()
}

#[test]
fn one_platform_is_a_manifest_and_several_are_an_index() {
    let (_guard, dir) = folder();
    let layout = Layout::open(&dir).unwrap();
    let one = layout.put("b", vec![image(&layout, "x", "linux/amd64")], BTreeMap::new()).unwrap();
    let both = vec![image(&layout, "x", "linux/arm64"), image(&layout, "x", "linux/amd64")];
    let index = layout.put("a", both, BTreeMap::new()).unwrap();
    assert_eq!(index.media_type, OCI_INDEX);
    let read: Index = serde_json::from_slice(&layout.read_document(&index).unwrap()).unwrap();
    let platforms: Vec<String> =
        read.manifests.iter().map(|m| m.platform.as_ref().unwrap().platform().unwrap().to_string()).collect();
    assert_eq!(platforms, ["linux/amd64", "linux/arm64"]);
    assert_eq!(read.manifests[0].digest, one.digest);
    let names: Vec<String> = layout.images().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["a", "b"]);
    let twice = vec![image(&layout, "x", "linux/amd64"), image(&layout, "y", "linux/amd64")];
    let error = format!("{:#}", layout.put("c", twice, BTreeMap::new()).unwrap_err());
    assert!(error.contains("two images for `linux/amd64`"), "{error}");
}

#[test]
fn what_nothing_needs_is_removed_and_the_rest_is_not() {
    let (_guard, dir) = folder();
    {
        let layout = Layout::open(&dir).unwrap();
        let old = image(&layout, "old", "linux/amd64");
        let waiting = image(&layout, "waiting", "linux/amd64");
        layout.put("a", vec![old], BTreeMap::new()).unwrap();
        // Assembled before the other was put: it must not have been swept away.
        layout.put("b", vec![waiting], BTreeMap::new()).unwrap();
    }
    assert_eq!(blobs(&dir), 6);
    let layout = Layout::open(&dir).unwrap();
    layout.put("a", vec![image(&layout, "new", "linux/amd64")], BTreeMap::new()).unwrap();
    assert_eq!(blobs(&dir), 6, "a's old layer, config and manifest are gone");
    layout.retain(|name| name == "b").unwrap();
    drop(layout);
    let layout = Layout::open(&dir).unwrap();
    layout.retain(|_| true).unwrap();
    assert_eq!(blobs(&dir), 3);
    assert_eq!(layout.images().len(), 1);
}

#[test]
fn an_interrupted_run_leaves_the_previous_images() {
    let (_guard, dir) = folder();
    let before = {
        let layout = Layout::open(&dir).unwrap();
        layout.put("a", vec![image(&layout, "one", "linux/amd64")], BTreeMap::new()).unwrap();
        fs::read(dir.join("index.json")).unwrap()
    };
    {
        // Blobs and a temporary file, and then it dies.
        let layout = Layout::open(&dir).unwrap();
        image(&layout, "two", "linux/amd64");
        fs::write(dir.join("blobs/sha256/.tmp-1-1"), b"half").unwrap();
        fs::write(dir.join(".tmp-1-2"), b"half").unwrap();
    }
    assert_eq!(fs::read(dir.join("index.json")).unwrap(), before);
    let layout = Layout::open(&dir).unwrap();
    assert_eq!(layout.images().len(), 1);
    assert!(!dir.join("blobs/sha256/.tmp-1-1").exists() && !dir.join(".tmp-1-2").exists());
    layout.put("a", vec![image(&layout, "one", "linux/amd64")], BTreeMap::new()).unwrap();
    assert_eq!(fs::read(dir.join("index.json")).unwrap(), before);
    assert_eq!(blobs(&dir), 3, "the dead run's blobs are gone");
}

#[test]
fn a_failing_fill_leaves_no_blob() {
    let (_guard, dir) = folder();
    let layout = Layout::open(&dir).unwrap();
    let outcome = layout.write_blob(|blob| {
        blob.write_all(b"half")?;
        anyhow::bail!("disk full")
    });
    assert!(outcome.is_err());
    assert_eq!(blobs(&dir), 0);
}

/// Changes a byte in the middle, and the modification time back to what it was.
fn flip(path: &Utf8Path) {
    let modified = fs::metadata(path).unwrap().modified().unwrap();
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    // Not as another file: its inode stays.
    let mut file = File::options().write(true).open(path).unwrap();
    file.write_all(&bytes).unwrap();
    file.set_modified(modified).unwrap();
}

#[test]
fn a_damaged_layer_is_neither_given_out_nor_taken_for_a_known_one() {
    let (_guard, dir) = folder();
    let layout = Layout::open(&dir).unwrap();
    let made = image(&layout, "one", "linux/amd64");
    layout.put("a", vec![made.clone()], BTreeMap::new()).unwrap();
    let (digest, size) = (made.layers[0].digest.clone(), made.layers[0].size);
    let (diff_id, _) =
        layout.state().layers.layers.first_key_value().map(|(id, blob)| (id.clone(), blob.clone())).unwrap();
    assert_eq!(layout.known_layer(&diff_id), Some((digest.clone(), size)));
    // The clock of the file system may be coarse.
    std::thread::sleep(std::time::Duration::from_millis(50));
    flip(&layout.blob_path(&digest));
    assert_eq!(layout.known_layer(&diff_id), None);
    assert!(!layout.has_blob(&digest, size));
    let error = format!("{:#}", layout.open_blob(&digest, size).unwrap_err());
    assert!(error.ends_with("is damaged: its content is not that of its name"), "{error}");
    assert!(layout.put("b", vec![made.clone()], BTreeMap::new()).is_err());
    // Made again, it is as it was.
    assert_eq!(image(&layout, "one", "linux/amd64").layers, made.layers);
    assert_eq!(layout.known_layer(&diff_id), Some((digest.clone(), size)));
    assert_eq!(Digest::of(&fs::read(layout.blob_path(&digest)).unwrap()), digest);
}

#[test]
fn what_was_hashed_is_not_hashed_again_until_it_changes() {
    let (_guard, dir) = folder();
    let memory = Utf8PathBuf::from(format!("{dir}.blobs.json"));
    let made = {
        let layout = Layout::open(&dir).unwrap();
        let made = image(&layout, "one", "linux/amd64");
        layout.put("a", vec![made.clone()], BTreeMap::new()).unwrap();
        made
    };
    assert_eq!(fs::read_to_string(&memory).unwrap(), "{}", "too new to tell changes apart");
    std::thread::sleep(std::time::Duration::from_millis(3100));
    drop(Layout::open(&dir).unwrap());
    let known = fs::read_to_string(&memory).unwrap();
    let layer = &made.layers[0];
    assert!(known.contains(layer.digest.as_str()) && known.contains(made.config.as_str()), "{known}");

    let path = dir.join("blobs/sha256").join(layer.digest.hex());
    flip(&path);
    assert!(!Layout::open(&dir).unwrap().has_blob(&layer.digest, layer.size));
    // The memory is what is believed: with the stamp of the damaged file in it, nobody looks again.
    let old = fs::metadata(&path).unwrap();
    use std::os::unix::fs::MetadataExt;
    let stamp = serde_json::json!({"size": old.len(), "inode": old.ino(), "changed": [old.ctime(), old.ctime_nsec()]});
    fs::write(&memory, serde_json::json!({layer.digest.as_str(): stamp}).to_string()).unwrap();
    assert!(Layout::open(&dir).unwrap().has_blob(&layer.digest, layer.size));
}

#[test]
fn damage_is_dropped_and_made_again() {
    type Damage = fn(&Utf8Path, &AssembledPlatform);
    fn blob(dir: &Utf8Path, digest: &Digest) -> Utf8PathBuf {
        dir.join("blobs/sha256").join(digest.hex())
    }
    let damages: [(&str, Damage); 10] = [
        ("no index", |dir, _| fs::remove_file(dir.join("index.json")).unwrap()),
        ("cut index", |dir, _| fs::write(dir.join("index.json"), b"{\"schemaVer").unwrap()),
        ("foreign index", |dir, _| fs::write(dir.join("index.json"), b"[1]").unwrap()),
        ("no marker", |dir, _| fs::remove_file(dir.join("oci-layout")).unwrap()),
        ("short layer", |dir, image| fs::write(blob(dir, &image.layers[0].digest), b"x").unwrap()),
        ("no layer", |dir, image| fs::remove_file(blob(dir, &image.layers[0].digest)).unwrap()),
        ("other manifest", |dir, image| {
            let path = blob(dir, &image.manifest.digest);
            let same_size = vec![b' '; fs::read(&path).unwrap().len()];
            fs::write(path, same_size).unwrap();
        }),
        ("another layer of the same size", |dir, image| flip(&blob(dir, &image.layers[0].digest))),
        ("another config of the same size", |dir, image| flip(&blob(dir, &image.config))),
        ("bad memory", |dir, _| fs::write(format!("{dir}.layers.json"), b"{{").unwrap()),
    ];
    for (name, damage) in damages {
        let (_guard, dir) = folder();
        let (first, index) = {
            let layout = Layout::open(&dir).unwrap();
            let first = image(&layout, "one", "linux/amd64");
            layout.put("a", vec![first.clone()], BTreeMap::new()).unwrap();
            (first, fs::read(dir.join("index.json")).unwrap())
        };
        damage(&dir, &first);
        let layout = Layout::open(&dir).unwrap();
        let valid: Index = serde_json::from_slice(&fs::read(dir.join("index.json")).unwrap()).unwrap();
        for descriptor in &valid.manifests {
            layout.reachable(descriptor).unwrap();
        }
        layout.put("a", vec![image(&layout, "one", "linux/amd64")], BTreeMap::new()).unwrap();
        assert_eq!(fs::read(dir.join("index.json")).unwrap(), index, "{name}");
        assert_eq!(blobs(&dir), 3, "{name}");
        layout.reachable(&layout.images()[0].1).unwrap();
    }
}

#[test]
fn a_folder_with_other_things_is_left_alone() {
    let (_guard, dir) = folder();
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("thesis.txt"), b"precious").unwrap();
    let error = format!("{:#}", Layout::open(&dir).err().unwrap());
    assert!(error.contains("holds something else"), "{error}");
    assert!(dir.join("thesis.txt").exists());
}

#[test]
fn the_next_one_waits() {
    let (_guard, dir) = folder();
    let first = Layout::open(&dir).unwrap();
    let waited = Arc::new(AtomicBool::new(false));
    let (flag, path) = (Arc::clone(&waited), dir.clone());
    let second = std::thread::spawn(move || {
        let layout = Layout::open_or_wait(&path, || flag.store(true, Ordering::SeqCst)).unwrap();
        layout.images().len()
    });
    while !waited.load(Ordering::SeqCst) {
        std::thread::yield_now();
    }
    first.put("a", vec![image(&first, "x", "linux/amd64")], BTreeMap::new()).unwrap();
    drop(first);
    assert_eq!(second.join().unwrap(), 1);
}

#[test]
fn what_was_found_is_not_cleaned_up() {
    let (_guard, dir) = folder();
    let names = 0..400_u32;
    let left = {
        let layout = Layout::open(&dir).unwrap();
        names.map(|number| layout.write_bytes(&number.to_le_bytes()).unwrap()).collect::<Vec<_>>()
    };
    // Nothing names these any more, and another thread cleans up while they are asked for.
    let layout = Layout::open(&dir).unwrap();
    let asked = std::sync::atomic::AtomicUsize::new(0);
    let is_here = |(digest, size): &&(Digest, u64)| {
        asked.fetch_add(1, Ordering::Relaxed);
        layout.has_blob(digest, *size)
    };
    let found = std::thread::scope(|scope| {
        let found = scope.spawn(|| left.iter().filter(is_here).collect::<Vec<_>>());
        while asked.load(Ordering::Relaxed) < 20 {
            std::thread::yield_now();
        }
        layout.retain(|_| true).unwrap();
        found.join().unwrap()
    });
    assert!(found.len() >= 10, "{}", found.len());
    assert!(found.iter().all(|(digest, size)| layout.open_blob(digest, *size).is_ok()));
}
