//! Images of an OCI layout, read with nothing of the xtask's own code.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};

/// One platform's image.
pub(crate) struct Image {
    /// Digest of the manifest.
    pub(crate) digest: String,
    pub(crate) manifest: Value,
    /// The config's JSON, whole.
    pub(crate) config: Value,
    /// All files of all layers by path; later layers replace earlier ones.
    pub(crate) files: BTreeMap<String, File>,
}

/// A file of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) kind: Kind,
    pub(crate) mode: u32,
    pub(crate) owner: (u64, u64),
    pub(crate) time: u64,
    pub(crate) content: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Folder,
    Link(String),
}

/// The descriptor that `index.json` of `layout` has for `name`.
#[track_caller]
pub(crate) fn descriptor(layout: &Path, name: &str) -> Value {
    let index = json(&layout.join("index.json"));
    let manifests = index["manifests"].as_array().expect("a list of manifests");
    let named = |entry: &&Value| entry["annotations"]["org.opencontainers.image.ref.name"] == name;
    manifests.iter().find(named).unwrap_or_else(|| panic!("no image `{name}` in {index:#}")).clone()
}

/// The names of all images of `layout`.
pub(crate) fn images(layout: &Path) -> Vec<String> {
    let index = json(&layout.join("index.json"));
    let manifests = index["manifests"].as_array().expect("a list of manifests");
    let name = |entry: &Value| entry["annotations"]["org.opencontainers.image.ref.name"].as_str().map(str::to_owned);
    manifests.iter().map(|entry| name(entry).expect("a name")).collect()
}

impl Image {
    /// Reads the image `name`, checking every digest on the way.
    #[track_caller]
    pub(crate) fn read(layout: &Path, name: &str) -> Self {
        let marker = json(&layout.join("oci-layout"));
        assert_eq!(marker["imageLayoutVersion"], "1.0.0");
        let found = descriptor(layout, name);
        let manifest: Value = serde_json::from_slice(&blob(layout, &found)).expect("a manifest");
        let config: Value = serde_json::from_slice(&blob(layout, &manifest["config"])).expect("a config");
        let mut files = BTreeMap::new();
        let layers = manifest["layers"].as_array().expect("layers");
        let diff_ids = config["rootfs"]["diff_ids"].as_array().expect("diff ids");
        assert_eq!(layers.len(), diff_ids.len());
        for (layer, diff_id) in layers.iter().zip(diff_ids) {
            let mut tar = Vec::new();
            let compressed = blob(layout, layer);
            flate2::read::GzDecoder::new(&compressed[..]).read_to_end(&mut tar).expect("a gzip layer");
            assert_eq!(diff_id.as_str(), Some(digest(&tar).as_str()));
            unpack(&tar, &mut files);
        }
        let digest = found["digest"].as_str().expect("a digest").to_owned();
        Image { digest, manifest, config, files }
    }

    /// The file at `path` (without a leading slash).
    #[track_caller]
    pub(crate) fn file(&self, path: &str) -> &File {
        self.files.get(path).unwrap_or_else(|| panic!("no `{path}` among {:#?}", self.files.keys()))
    }

    /// A label.
    pub(crate) fn label(&self, name: &str) -> Option<&str> {
        self.config["config"]["Labels"][name].as_str()
    }

    /// The label `org.opencontainers.image.revision`.
    #[track_caller]
    pub(crate) fn revision(&self) -> &str {
        self.label("org.opencontainers.image.revision").expect("a revision")
    }

    /// A variable of the environment.
    pub(crate) fn env(&self, name: &str) -> Option<&str> {
        let lines = self.config["config"]["Env"].as_array()?;
        lines.iter().filter_map(Value::as_str).find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
    }

    /// Writes the image's program into `folder` and gives its path.
    #[track_caller]
    pub(crate) fn extract_program(&self, folder: &Path) -> PathBuf {
        let entrypoint = self.config["config"]["Entrypoint"][0].as_str().expect("an entrypoint");
        let file = self.file(entrypoint.trim_start_matches('/'));
        let path = folder.join(Path::new(entrypoint).file_name().expect("a name"));
        fs::write(&path, &file.content).expect("a file for the program");
        fs::set_permissions(&path, fs::Permissions::from_mode(file.mode)).expect("a mode");
        path
    }
}

fn unpack(tar: &[u8], files: &mut BTreeMap<String, File>) {
    for entry in tar::Archive::new(tar).entries().expect("a tar archive") {
        let mut entry = entry.expect("a tar entry");
        let path = entry.path().expect("a path").to_string_lossy().trim_end_matches('/').to_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).expect("a file's content");
        let header = entry.header();
        let kind = match header.entry_type() {
            tar::EntryType::Directory => Kind::Folder,
            tar::EntryType::Symlink => {
                Kind::Link(entry.link_name().expect("a link").expect("a target").to_string_lossy().into_owned())
            }
            tar::EntryType::Regular => Kind::File,
            other => panic!("`{path}` is a {other:?}"),
        };
        let owner = (header.uid().expect("a user"), header.gid().expect("a group"));
        let (mode, time) = (header.mode().expect("a mode"), header.mtime().expect("a time"));
        files.insert(path, File { kind, mode, owner, time, content });
    }
}

#[track_caller]
fn blob(layout: &Path, descriptor: &Value) -> Vec<u8> {
    let name = descriptor["digest"].as_str().expect("a digest");
    let path = layout.join("blobs/sha256").join(name.strip_prefix("sha256:").expect("SHA-256"));
    let bytes = fs::read(&path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
    assert_eq!(digest(&bytes), name);
    assert_eq!(descriptor["size"].as_u64(), Some(bytes.len() as u64));
    bytes
}

/// `sha256:…` of `bytes`.
pub(crate) fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

#[track_caller]
fn json(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {}", path.display()))
}
