//! Configs on a base and without one; images and their archives.

use serde_json::json;

use super::*;
use crate::assemble::archive::write_docker_archive;
use crate::image::entry::{Entry, EntryKind, Source};
use crate::image::reference::Digest;
use crate::image::root_files::{NONROOT, root_files, with_parents};

fn base() -> ConfigFile {
    serde_json::from_value(json!({
        "architecture": "amd64", "os": "linux", "created": "2020-01-01T00:00:00Z",
        "config": {
            "User": "root", "Env": ["PATH=/bin", "LANG=C", "EMPTY="], "Cmd": ["sh"],
            "Entrypoint": ["/init"], "WorkingDir": "/srv", "Labels": {"a": "base", "b": "base"},
            "ExposedPorts": {"80/tcp": {}}, "StopSignal": "SIGINT", "OnBuild": ["RUN x"],
            "Volumes": {"/data": {}},
        },
        "rootfs": {"type": "layers", "diff_ids": [Digest::of(b"1"), Digest::of(b"2")]},
        "history": [{"created_by": "one"}, {"created_by": "env", "empty_layer": true}, {"created_by": "two"}],
    }))
    .unwrap()
}

fn spec(config: ImageConfig) -> ImageSpec {
    ImageSpec {
        platform: "linux/arm64/v8".parse().unwrap(),
        base: None,
        layers: Vec::new(),
        config,
        created: 1_700_000_000,
    }
}

fn ours() -> ImageConfig {
    ImageConfig {
        user: NONROOT.to_owned(),
        working_dir: None,
        entrypoint: vec!["/usr/local/bin/engine".to_owned()],
        env: vec![("LANG".into(), "C.UTF-8".into()), ("RUST_LOG".into(), "info".into())],
        ports: vec![3000, 80],
        labels: [("a".to_owned(), "ours".to_owned())].into(),
    }
}

#[test]
fn a_base_is_kept_where_nothing_is_set() {
    let config = config_file(&spec(ours()), Some(&base()), &[]).config;
    let written: Value = serde_json::from_slice(&to_json(&config)).unwrap();
    assert_eq!(
        written,
        json!({
            "User": "65532:65532",
            "ExposedPorts": {"3000/tcp": {}, "80/tcp": {}},
            "Env": ["PATH=/bin", "LANG=C.UTF-8", "EMPTY=", "RUST_LOG=info"],
            "Entrypoint": ["/usr/local/bin/engine"],
            "WorkingDir": "/srv",
            "Labels": {"a": "ours", "b": "base"},
            "StopSignal": "SIGINT",
            "Volumes": {"/data": {}},
        })
    );
    let nothing = config_file(&spec(ImageConfig::default()), Some(&base()), &[]).config;
    assert_eq!(nothing.entrypoint.unwrap(), ["/init"]);
    assert_eq!(nothing.cmd.unwrap(), ["sh"]);
    assert_eq!(nothing.user.unwrap(), "root");
}

#[test]
fn history_and_layers_agree() {
    let layer = BuiltLayer { descriptor: Descriptor::of("x", b"x"), diff_id: Digest::of(b"3"), uncompressed: 1 };
    let layers = [("program", layer)];
    let file = config_file(&spec(ours()), Some(&base()), &layers);
    let steps: Vec<&str> = file.history.iter().filter_map(|entry| entry.created_by.as_deref()).collect();
    assert_eq!(steps, ["one", "env", "two", "cargo xtask: program"]);
    assert_eq!(file.rootfs.diff_ids.len(), 3);
    assert_eq!(file.created.as_deref(), Some("2023-11-14T22:13:20Z"));
    assert_eq!((file.architecture.as_str(), file.variant.as_deref()), ("arm64", Some("v8")));

    let mut bare = base();
    bare.history.clear();
    let file = config_file(&spec(ours()), Some(&bare), &layers);
    assert_eq!(file.history.iter().filter(|entry| !entry.empty_layer).count(), 3);
}

#[test]
fn an_image_has_one_digest_and_its_archive_holds_it() {
    let mut archives = Vec::new();
    for _ in 0..2 {
        let folder = tempfile::tempdir().unwrap();
        let dir = camino::Utf8PathBuf::from_path_buf(folder.path().join("oci")).unwrap();
        let layout = Layout::open(&dir).unwrap();
        let content = EntryKind::File(Source::Bytes(b"program".as_slice().into()));
        let program = Entry::new("usr/local/bin/engine", 0o755, content);
        let spec = ImageSpec {
            layers: vec![
                LayerSpec { name: "root files".to_owned(), entries: with_parents(root_files()) },
                LayerSpec { name: "assets".to_owned(), entries: Vec::new() },
                LayerSpec { name: "program".to_owned(), entries: with_parents(vec![program]) },
            ],
            ..spec(ours())
        };
        let image = assemble(&layout, &spec).unwrap();
        assert_eq!(image.layers.len(), 2, "an empty layer is none");
        let manifest: Manifest = serde_json::from_slice(&layout.read_document(&image.manifest).unwrap()).unwrap();
        let blobs: u64 = manifest.layers.iter().map(|layer| layer.size).sum();
        assert_eq!(image.size, blobs + manifest.config.size + image.manifest.size);
        assert_eq!(image.config, manifest.config.digest);

        let tags = ["localhost:5000/engine:v1".parse().unwrap(), "engine:x".parse().unwrap()];
        let mut archive = Vec::new();
        write_docker_archive(&layout, &image, &tags, &mut archive).unwrap();
        let mut files = BTreeMap::new();
        for entry in ::tar::Archive::new(&archive[..]).entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
            files.insert(entry.path().unwrap().to_string_lossy().into_owned(), content);
        }
        let docker: Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
        assert_eq!(docker[0]["RepoTags"], json!(["localhost:5000/engine:v1", "docker.io/library/engine:x"]));
        let config = docker[0]["Config"].as_str().unwrap();
        assert_eq!(Digest::of(&files[config]), image.config);
        for (layer, path) in manifest.layers.iter().zip(docker[0]["Layers"].as_array().unwrap()) {
            assert_eq!(Digest::of(&files[path.as_str().unwrap()]), layer.digest);
        }
        let index: Value = serde_json::from_slice(&files["index.json"]).unwrap();
        assert_eq!(index["manifests"][0]["digest"], json!(image.manifest.digest));
        archives.push(archive);
    }
    assert!(archives[0] == archives[1]);
}
