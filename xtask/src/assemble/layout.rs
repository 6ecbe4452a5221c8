//! An OCI image layout on disk (OCI image-spec, image layout), written by one process at a time.
//!
//! Beside the folder `DIR` lie `DIR.lock`, held while a [`Layout`] lives, `DIR.layers.json`, which
//! remembers what layers were compressed to, and `DIR.blobs.json`, which remembers what was hashed. Blobs
//! and `index.json` appear whole or not at all, blobs first, so an interrupted run (a power cut, too: both are
//! synced) leaves the previous images valid. What is found damaged is dropped and made again, never trusted.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::sync::{Mutex, MutexGuard};

use anyhow::{Context, Result, ensure};
use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::blobs::Blobs;
use super::gzip::COMPRESSOR;
use crate::image::assembled::AssembledPlatform;
use crate::image::manifest::{AnyManifest, Descriptor, Index, OCI_INDEX, REF_NAME, to_json};
use crate::image::reference::Digest;
use crate::registry::ImageSource;
use crate::system::files::{sync_folder, write_atomically, write_durably};

const MARKER: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
/// What temporary files of `system::files` begin with.
const TEMPORARY: &str = ".tmp-";
/// Annotation of an image in the layout, with `.PLATFORM` after it: a hash over what it was made from.
pub(crate) const SOURCES: &str = "xtask.sources";
/// Manifests and configs are read whole; larger ones are none (the distribution-spec's limit).
const MAX_DOCUMENT: u64 = 4 * 1024 * 1024;

/// An open layout. Dropping it lets the next process in.
pub(crate) struct Layout {
    dir: Utf8PathBuf,
    // Before the lock, which is held until it is dropped.
    blobs: Blobs,
    remembered: Utf8PathBuf,
    state: Mutex<State>,
    _lock: File,
}

#[derive(Default)]
struct State {
    /// The images of `index.json` by name.
    images: BTreeMap<String, Image>,
    /// Blobs made or used since the layout was opened: images to come need them.
    in_use: BTreeSet<Digest>,
    layers: Layers,
}

struct Image {
    descriptor: Descriptor,
    blobs: BTreeSet<Digest>,
}

/// `DIR.layers.json`.
#[derive(Default, Serialize, Deserialize)]
struct Layers {
    /// What made the blobs; another compressor makes others.
    compressor: String,
    /// By diff id.
    layers: BTreeMap<Digest, KnownBlob>,
}

#[derive(Clone, Serialize, Deserialize)]
struct KnownBlob {
    digest: Digest,
    size: u64,
}

impl Layout {
    /// Opens the layout in `dir`, making or repairing it, and waits while another process has it.
    ///
    /// # Errors
    /// A folder that holds something else; files that cannot be written or locked.
    #[cfg(test)]
    pub(crate) fn open(dir: &Utf8Path) -> Result<Self> {
        Layout::open_or_wait(dir, || {})
    }

    /// As [`Layout::open`]; calls `waiting` once before it waits.
    pub(crate) fn open_or_wait(dir: &Utf8Path, waiting: impl FnOnce()) -> Result<Self> {
        Layout::open_locked(dir, waiting).with_context(|| format!("cannot open the image layout `{dir}`"))
    }

    fn open_locked(dir: &Utf8Path, waiting: impl FnOnce()) -> Result<Self> {
        check_is_layout_or_new(dir)?;
        let lock = lock_beside(dir, waiting)?;
        let blobs = dir.join("blobs/sha256");
        fs::create_dir_all(&blobs).with_context(|| format!("cannot create `{blobs}`"))?;
        // With the lock held, every temporary file is of a run that died.
        for folder in [dir, &blobs] {
            remove_files(folder, |name| name.starts_with(TEMPORARY))?;
        }
        let layout = Layout {
            dir: dir.to_owned(),
            blobs: Blobs::new(blobs, Utf8PathBuf::from(format!("{dir}.blobs.json"))),
            remembered: Utf8PathBuf::from(format!("{dir}.layers.json")),
            state: Mutex::default(),
            _lock: lock,
        };
        {
            let mut state = layout.state();
            state.layers = layout.read_layers();
            let found = fs::read(dir.join("index.json")).unwrap_or_default();
            state.images = layout.intact_images(&found);
            if fs::read(dir.join("oci-layout")).ok().as_deref() != Some(MARKER) {
                write_atomically(&dir.join("oci-layout"), MARKER)?;
            }
            if index_json(&state.images) != found {
                layout.write_index(&state.images)?;
            }
        }
        Ok(layout)
    }

    /// The images by name: each a manifest's descriptor, or an index' when it has several
    /// platforms.
    #[cfg(test)]
    pub(crate) fn images(&self) -> Vec<(String, Descriptor)> {
        let state = self.state();
        state.images.iter().map(|(name, image)| (name.clone(), image.descriptor.clone())).collect()
    }

    /// Names `images` (one per platform) `name`, with `annotations` of this layout alone, replacing what had the name, and removes the
    /// blobs that nothing needs any more. Gives the descriptor that `index.json` now holds: the
    /// manifest's for one platform, else that of an index over all.
    ///
    /// # Errors
    /// No image, two for the same platform, or an image whose blobs are not here; files that
    /// cannot be written, and then the previous index stays.
    pub(crate) fn put(
        &self,
        name: &str,
        images: Vec<AssembledPlatform>,
        annotations: BTreeMap<String, String>,
    ) -> Result<Descriptor> {
        self.put_all(name, images, annotations)
            .with_context(|| format!("cannot put `{name}` into the image layout `{}`", self.dir))
    }

    fn put_all(
        &self,
        name: &str,
        mut images: Vec<AssembledPlatform>,
        annotations: BTreeMap<String, String>,
    ) -> Result<Descriptor> {
        ensure!(!images.is_empty(), "it has no platform");
        images.sort_by(|a, b| a.platform.cmp(&b.platform));
        let twice = images.windows(2).find(|pair| pair[0].platform == pair[1].platform);
        if let Some(pair) = twice {
            anyhow::bail!("it has two images for `{}`", pair[0].platform);
        }
        let mut manifests: Vec<Descriptor> =
            images.iter().map(|image| image.manifest.clone().for_platform(&image.platform)).collect();
        let mut descriptor = if manifests.len() == 1 {
            manifests.remove(0)
        } else {
            let index = to_json(&Index::new(manifests));
            let (digest, size) = self.write_bytes(&index)?;
            Descriptor::new(OCI_INDEX, digest, size)
        };
        let blobs = self.reachable(&descriptor).context("its blobs are not all here")?;
        descriptor.annotations.extend(annotations);
        descriptor.annotations.insert(REF_NAME.to_owned(), name.to_owned());

        let mut state = self.state();
        let image = Image { descriptor: descriptor.clone(), blobs };
        let previous = state.images.insert(name.to_owned(), image);
        if let Err(error) = self.write_index(&state.images) {
            match previous {
                Some(previous) => state.images.insert(name.to_owned(), previous),
                None => state.images.remove(name),
            };
            return Err(error);
        }
        self.remove_unreachable(&state)?;
        Ok(descriptor)
    }

    /// Keeps only the images whose names `keep` accepts, and their blobs.
    pub(crate) fn retain(&self, mut keep: impl FnMut(&str) -> bool) -> Result<()> {
        let mut state = self.state();
        state.images.retain(|name, _| keep(name));
        self.write_index(&state.images)?;
        self.remove_unreachable(&state)
    }

    /// Where a blob lies, or would.
    pub(crate) fn blob_path(&self, digest: &Digest) -> Utf8PathBuf {
        self.blobs.path(digest)
    }

    /// Opens a blob for reading.
    ///
    /// # Errors
    /// When it is missing, or damaged.
    pub(crate) fn open_blob(&self, digest: &Digest, size: u64) -> Result<File> {
        self.blobs.open(digest, size)
    }

    /// Reads a manifest, index or config, checking size and digest.
    ///
    /// # Errors
    /// When it is missing, damaged, or larger than 4 MiB.
    pub(crate) fn read_document(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        read_document(&self.dir, descriptor)
    }

    /// Whether a blob of this size is here, undamaged; if so, it stays while this layout is open.
    pub(crate) fn has_blob(&self, digest: &Digest, size: u64) -> bool {
        // In use before it is looked for: no other thread's clean-up takes it in between.
        self.state().in_use.insert(digest.clone());
        self.open_blob(digest, size).is_ok()
    }

    /// Writes a blob with what `fill` writes, and gives its digest and size.
    ///
    /// # Errors
    /// What `fill` returns; files that cannot be written. Nothing is left behind then.
    pub(crate) fn write_blob(&self, fill: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<(Digest, u64)> {
        // In use before it exists, so that no other thread's clean-up takes it.
        self.blobs.write(fill, |digest| {
            self.state().in_use.insert(digest.clone());
        })
    }

    /// Writes a blob of these bytes, and gives its digest and size.
    pub(crate) fn write_bytes(&self, bytes: &[u8]) -> Result<(Digest, u64)> {
        let digest = Digest::of(bytes);
        self.state().in_use.insert(digest.clone());
        if fs::read(self.blob_path(&digest)).is_ok_and(|found| found == bytes) {
            return Ok((digest, bytes.len() as u64));
        }
        self.write_blob(|blob| Ok(blob.write_all(bytes)?))
    }

    /// The blob, and its size, that a layer of this diff id was compressed to, if it is here.
    pub(crate) fn known_layer(&self, diff_id: &Digest) -> Option<(Digest, u64)> {
        let known = self.state().layers.layers.get(diff_id).cloned()?;
        self.has_blob(&known.digest, known.size).then_some((known.digest, known.size))
    }

    /// Remembers what a layer was compressed to.
    pub(crate) fn remember_layer(&self, diff_id: &Digest, digest: &Digest, size: u64) -> Result<()> {
        let mut state = self.state();
        let known = KnownBlob { digest: digest.clone(), size };
        state.layers.layers.insert(diff_id.clone(), known);
        // Forget what was cleaned up since, or the file would grow with every build.
        state.layers.layers.retain(|_, known| self.blob_path(&known.digest).exists());
        write_atomically(&self.remembered, &to_json(&state.layers))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves the state as whole as it was: every change is one insertion.
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// What was remembered by the same compressor, or nothing.
    fn read_layers(&self) -> Layers {
        fs::read(&self.remembered)
            .ok()
            .and_then(|bytes| serde_json::from_slice::<Layers>(&bytes).ok())
            .filter(|layers| layers.compressor == COMPRESSOR)
            .unwrap_or_else(|| Layers { compressor: COMPRESSOR.to_owned(), ..Layers::default() })
    }

    /// The images of an `index.json` that are named and whole.
    fn intact_images(&self, index: &[u8]) -> BTreeMap<String, Image> {
        let Ok(index) = serde_json::from_slice::<Index>(index) else { return BTreeMap::new() };
        let named = |descriptor: Descriptor| {
            let name = descriptor.annotations.get(REF_NAME)?.clone();
            let blobs = self.reachable(&descriptor).ok()?;
            Some((name, Image { descriptor, blobs }))
        };
        index.manifests.into_iter().filter_map(named).collect()
    }

    /// All blobs that a manifest or index leads to, itself included, each undamaged.
    fn reachable(&self, descriptor: &Descriptor) -> Result<BTreeSet<Digest>> {
        let mut blobs = BTreeSet::from([descriptor.digest.clone()]);
        let bytes = self.read_document(descriptor)?;
        match AnyManifest::parse(&bytes, &descriptor.media_type)? {
            AnyManifest::Image(manifest) => {
                for blob in manifest.layers.iter().chain([&manifest.config]) {
                    self.open_blob(&blob.digest, blob.size)?;
                    blobs.insert(blob.digest.clone());
                }
            }
            AnyManifest::Index(index) => {
                for manifest in &index.manifests {
                    blobs.extend(self.reachable(manifest)?);
                }
            }
        }
        Ok(blobs)
    }

    fn write_index(&self, images: &BTreeMap<String, Image>) -> Result<()> {
        let (path, bytes) = (self.dir.join("index.json"), index_json(images));
        if fs::read(&path).is_ok_and(|found| found == bytes) {
            return Ok(());
        }
        // What it names must not get lost before it does.
        sync_folder(self.blobs.folder())?;
        write_durably(&path, &bytes)
    }

    fn remove_unreachable(&self, state: &State) -> Result<()> {
        let needed: BTreeSet<&str> =
            state.images.values().flat_map(|image| &image.blobs).chain(&state.in_use).map(Digest::hex).collect();
        // Another thread's temporary files are being written; those of dead runs are gone.
        remove_files(self.blobs.folder(), |name| !needed.contains(name) && !name.starts_with(TEMPORARY))
    }
}

impl ImageSource for Layout {
    fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        self.read_document(descriptor)
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>> {
        Ok(Box::new(self.open_blob(&descriptor.digest, descriptor.size)?))
    }
}

/// Reads a document of the layout in `dir`, checking size and digest.
///
/// # Errors
/// When it is missing, damaged, or larger than 4 MiB.
pub(crate) fn read_document(dir: &Utf8Path, descriptor: &Descriptor) -> Result<Vec<u8>> {
    let path = dir.join("blobs/sha256").join(descriptor.digest.hex());
    ensure!(descriptor.size <= MAX_DOCUMENT, "`{path}` is larger than any manifest or config");
    let file = File::open(&path).with_context(|| format!("cannot read `{path}`"))?;
    let mut bytes = Vec::new();
    file.take(MAX_DOCUMENT).read_to_end(&mut bytes).with_context(|| format!("cannot read `{path}`"))?;
    let whole = bytes.len() as u64 == descriptor.size && Digest::of(&bytes) == descriptor.digest;
    ensure!(whole, "`{path}` is damaged: its content is not that of its name");
    Ok(bytes)
}

fn index_json(images: &BTreeMap<String, Image>) -> Vec<u8> {
    to_json(&Index::new(images.values().map(|image| image.descriptor.clone()).collect()))
}

/// Refuses a folder with other things in it: it was named by mistake, and we remove files.
fn check_is_layout_or_new(dir: &Utf8Path) -> Result<()> {
    let Ok(mut entries) = fs::read_dir(dir) else { return Ok(()) };
    let parts = ["oci-layout", "index.json", "blobs"];
    let layout = parts.iter().any(|part| dir.join(part).exists());
    ensure!(layout || entries.next().is_none(), "the folder holds something else");
    Ok(())
}

fn lock_beside(dir: &Utf8Path, waiting: impl FnOnce()) -> Result<File> {
    let path = Utf8PathBuf::from(format!("{dir}.lock"));
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).with_context(|| format!("cannot create `{parent}`"))?;
    }
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("cannot create `{path}`"))?;
    if file.try_lock().is_err() {
        waiting();
        file.lock().with_context(|| format!("cannot lock `{path}`"))?;
    }
    Ok(file)
}

fn remove_files(folder: &Utf8Path, unwanted: impl Fn(&str) -> bool) -> Result<()> {
    for entry in folder.read_dir_utf8().with_context(|| format!("cannot read `{folder}`"))? {
        let entry = entry.with_context(|| format!("cannot read `{folder}`"))?;
        if unwanted(entry.file_name()) && entry.file_type().is_ok_and(|kind| !kind.is_dir()) {
            let path = entry.path();
            fs::remove_file(path).with_context(|| format!("cannot remove `{path}`"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "layout_tests.rs"]
mod tests;
