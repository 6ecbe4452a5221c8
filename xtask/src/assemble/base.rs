//! Base images: found in a registry or in an OCI layout, checked, and their layers put into our
//! layout.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use camino::{Utf8Path, Utf8PathBuf};

use super::file_tree::{FileTree, LayerEntry, LayerEntryKind};
use super::layout::{Layout, read_document};
use crate::image::manifest::{AnyManifest, ConfigFile, Descriptor, Index, Manifest, REF_NAME, to_json};
use crate::image::platform::{Platform, PlatformObject};
use crate::image::reference::{Digest, ImageReference};
use crate::registry::Client;
use crate::sbom::system_packages::Distribution;
use crate::system::files::write_atomically;

/// As much as is kept of a text in a base: a database of packages has far less.
const MAX_TEXT: u64 = 32 << 20;

/// Where a base image is. `scratch` is none of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BaseReference {
    /// `oci:PATH`, `oci:PATH:NAME` or `oci:PATH@sha256:…`: an OCI image layout on disk.
    Layout {
        /// The layout's folder.
        path: Utf8PathBuf,
        /// Which of its images; with none it must hold just one.
        selector: Option<LayoutSelector>,
    },
    /// `registry/repository[:tag][@digest]`.
    Registry(ImageReference),
}

/// An image of a layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LayoutSelector {
    /// By the annotation `org.opencontainers.image.ref.name`.
    Name(String),
    Digest(Digest),
}

impl FromStr for BaseReference {
    type Err = anyhow::Error;

    /// # Errors
    /// A layout without a path; text that is no image reference.
    fn from_str(text: &str) -> Result<Self> {
        let Some(rest) = text.strip_prefix("oci:") else {
            return Ok(BaseReference::Registry(text.parse()?));
        };
        let (path, selector) = if let Some((path, digest)) = rest.split_once("@sha256:") {
            (path, Some(LayoutSelector::Digest(format!("sha256:{digest}").parse()?)))
        } else if let Some((path, name)) = rest.split_once(':') {
            (path, Some(LayoutSelector::Name(name.to_owned())))
        } else {
            (rest, None)
        };
        ensure!(!path.is_empty(), "`{text}` names no folder, write `oci:PATH` or `oci:PATH:NAME`");
        Ok(BaseReference::Layout { path: path.into(), selector })
    }
}

impl fmt::Display for BaseReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BaseReference::Registry(reference) => reference.fmt(f),
            BaseReference::Layout { path, selector: None } => write!(f, "oci:{path}"),
            BaseReference::Layout { path, selector: Some(LayoutSelector::Name(name)) } => {
                write!(f, "oci:{path}:{name}")
            }
            BaseReference::Layout { path, selector: Some(LayoutSelector::Digest(digest)) } => {
                write!(f, "oci:{path}@{digest}")
            }
        }
    }
}

impl BaseReference {
    /// The digest of what is referred to, which is part of an image's inputs. Asks the registry
    /// only when the reference has none.
    ///
    /// # Errors
    /// An unknown image; a layout or registry that cannot be read.
    pub(crate) fn resolve(&self, client: &Client) -> Result<Digest> {
        let found = match self {
            BaseReference::Registry(ImageReference { digest: Some(digest), .. }) => Ok(digest.clone()),
            BaseReference::Registry(reference) => client.resolve(reference),
            BaseReference::Layout { path, selector } => {
                find_in_layout(path, selector.as_ref()).map(|descriptor| descriptor.digest)
            }
        };
        found.with_context(|| format!("cannot find base image `{self}`"))
    }
}

/// A base image of one platform, its layers in our layout.
#[derive(Clone, Debug)]
pub(crate) struct BaseImage {
    name: String,
    platform: Platform,
    digest: Digest,
    manifest: Digest,
    config: ConfigFile,
    layers: Vec<Descriptor>,
    cache: Utf8PathBuf,
}

impl BaseImage {
    /// Gets the image that `reference` names and that resolves to `digest` (see
    /// [`BaseReference::resolve`]), for `platform`, and puts its layers into `layout`.
    ///
    /// All content is checked against digests and sizes. Manifests and configs are kept in the
    /// folder `cache`; with them and the layers of the layout, no network is needed again.
    ///
    /// # Errors
    /// A platform that the image does not have; damaged content; a layout or registry that
    /// cannot be read.
    pub(crate) fn load(
        layout: &Layout,
        reference: &BaseReference,
        digest: &Digest,
        platform: &Platform,
        cache: &Utf8Path,
        client: &Client,
    ) -> Result<Self> {
        let source = match reference {
            BaseReference::Registry(reference) => {
                Origin::Registry { client, image: reference.with_digest(digest.clone()), cache }
            }
            BaseReference::Layout { path, .. } => Origin::Layout(path),
        };
        load(layout, &source, &reference.to_string(), digest, platform, cache)
            .with_context(|| format!("cannot use base image `{reference}`"))
    }

    /// The reference it was loaded by, for messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn platform(&self) -> &Platform {
        &self.platform
    }

    /// The digest of what the reference leads to: an index, where there are several platforms.
    pub(crate) fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The digest of this platform's manifest.
    pub(crate) fn manifest(&self) -> &Digest {
        &self.manifest
    }

    pub(crate) fn config(&self) -> &ConfigFile {
        &self.config
    }

    pub(crate) fn layers(&self) -> &[Descriptor] {
        &self.layers
    }

    /// The image's file system. The first question unpacks the layers; the answer is kept in the
    /// cache.
    ///
    /// # Errors
    /// Layers that cannot be read: damaged, or compressed otherwise than by gzip.
    pub(crate) fn files(&self, layout: &Layout) -> Result<FileTree> {
        let list = self.cache.join(format!("files-2-{}.json", self.manifest.hex()));
        if let Some(tree) = fs::read(&list).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
            return Ok(tree);
        }
        let tree = self.read_tree(layout)?;
        write_atomically(&list, &to_json(&tree))?;
        Ok(tree)
    }

    /// The packages that it was made from.
    ///
    /// # Errors
    /// As [`BaseImage::files`]; a database that cannot be understood.
    pub(crate) fn distribution(&self, layout: &Layout) -> Result<Distribution> {
        let read = Distribution::read(self.files(layout)?.entries());
        read.with_context(|| format!("cannot read the packages of base image `{}`", self.name))
    }

    fn read_tree(&self, layout: &Layout) -> Result<FileTree> {
        let mut tree = FileTree::default();
        for layer in &self.layers {
            let blob = layout.open_blob(&layer.digest, layer.size)?;
            let entries = read_layer(blob)
                .with_context(|| format!("cannot read layer `{}` of base image `{}`", layer.digest, self.name))?;
            tree.apply(&entries);
        }
        Ok(tree)
    }
}

enum Origin<'a> {
    Registry { client: &'a Client, image: ImageReference, cache: &'a Utf8Path },
    Layout(&'a Utf8Path),
}

impl Origin<'_> {
    /// A manifest or index.
    fn manifest(&self, digest: &Digest) -> Result<Vec<u8>> {
        self.cached(digest, |client, image| Ok(client.get_manifest(&image.with_digest(digest.clone()))?.bytes))
    }

    fn config(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        let bytes = self.cached(&descriptor.digest, |client, image| {
            let mut bytes = Vec::new();
            client.fetch_blob(image, &descriptor.digest, descriptor.size, &mut bytes)?;
            Ok(bytes)
        })?;
        ensure!(
            bytes.len() as u64 == descriptor.size,
            "its config `{}` has {} bytes, not {}",
            descriptor.digest,
            bytes.len(),
            descriptor.size
        );
        Ok(bytes)
    }

    fn cached(
        &self,
        digest: &Digest,
        fetch: impl FnOnce(&Client, &ImageReference) -> Result<Vec<u8>>,
    ) -> Result<Vec<u8>> {
        match self {
            Origin::Layout(dir) => read_document(dir, &blob_descriptor(dir, digest)?),
            Origin::Registry { client, image, cache } => {
                let path = cache.join(format!("sha256-{}.json", digest.hex()));
                if let Ok(bytes) = fs::read(&path)
                    && Digest::of(&bytes) == *digest
                {
                    return Ok(bytes);
                }
                let bytes = fetch(client, image)?;
                write_atomically(&path, &bytes)?;
                Ok(bytes)
            }
        }
    }

    /// Puts a layer into `layout`.
    fn layer(&self, descriptor: &Descriptor, layout: &Layout) -> Result<()> {
        if layout.has_blob(&descriptor.digest, descriptor.size) {
            return Ok(());
        }
        let written = layout.write_blob(|out| match self {
            Origin::Registry { client, image, .. } => {
                client.fetch_blob(image, &descriptor.digest, descriptor.size, out)
            }
            Origin::Layout(dir) => {
                let path = blob_path(dir, &descriptor.digest);
                let file = File::open(&path).with_context(|| format!("cannot read `{path}`"))?;
                // One byte more than there should be shows in the size.
                io::copy(&mut file.take(descriptor.size + 1), out).with_context(|| format!("cannot read `{path}`"))?;
                Ok(())
            }
        })?;
        ensure!(
            written == (descriptor.digest.clone(), descriptor.size),
            "layer `{}` is damaged: its content is `{}`",
            descriptor.digest,
            written.0
        );
        Ok(())
    }
}

fn load(
    layout: &Layout,
    origin: &Origin<'_>,
    name: &str,
    digest: &Digest,
    platform: &Platform,
    cache: &Utf8Path,
) -> Result<BaseImage> {
    let mut own_digest = digest.clone();
    let manifest = match AnyManifest::parse(&origin.manifest(digest)?, "")? {
        AnyManifest::Image(manifest) => manifest,
        AnyManifest::Index(index) => {
            own_digest = pick_platform(&index, platform)?.digest.clone();
            match AnyManifest::parse(&origin.manifest(&own_digest)?, "")? {
                AnyManifest::Image(manifest) => manifest,
                AnyManifest::Index(_) => bail!("for `{platform}` it leads to another index"),
            }
        }
    };
    let Manifest { config, layers, .. } = manifest;
    let config: ConfigFile = serde_json::from_slice(&origin.config(&config)?).context("its config is not valid")?;
    let own: Platform = match config.variant.as_deref().filter(|variant| !variant.is_empty()) {
        Some(variant) => format!("{}/{}/{variant}", config.os, config.architecture),
        None => format!("{}/{}", config.os, config.architecture),
    }
    .parse()
    .context("its config is not valid")?;
    ensure!(platform.accepts(&own), "it is for `{own}`, not for `{platform}`");
    ensure!(
        config.rootfs.diff_ids.len() == layers.len(),
        "its config names {} layers, its manifest {}",
        config.rootfs.diff_ids.len(),
        layers.len()
    );
    for layer in &layers {
        origin.layer(layer, layout)?;
    }
    Ok(BaseImage {
        name: name.to_owned(),
        platform: own,
        digest: digest.clone(),
        manifest: own_digest,
        config,
        layers,
        cache: cache.to_owned(),
    })
}

fn pick_platform<'a>(index: &'a Index, platform: &Platform) -> Result<&'a Descriptor> {
    let of = |descriptor: &Descriptor| descriptor.platform.as_ref().and_then(PlatformObject::platform);
    let exact = index.manifests.iter().find(|manifest| of(manifest).as_ref() == Some(platform));
    let accepted = || index.manifests.iter().find(|manifest| of(manifest).is_some_and(|p| platform.accepts(&p)));
    if let Some(found) = exact.or_else(accepted) {
        return Ok(found);
    }
    let mut offered: Vec<String> =
        index.manifests.iter().filter_map(of).map(|platform| format!("`{platform}`")).collect();
    offered.sort();
    offered.dedup();
    if offered.is_empty() {
        bail!("it names no platforms, so none is `{platform}`");
    }
    bail!("it has no `{platform}`, only {}", offered.join(", "))
}

fn blob_path(dir: &Utf8Path, digest: &Digest) -> Utf8PathBuf {
    dir.join("blobs/sha256").join(digest.hex())
}

/// The descriptor of a blob that is only known by its digest.
fn blob_descriptor(dir: &Utf8Path, digest: &Digest) -> Result<Descriptor> {
    let path = blob_path(dir, digest);
    let size = fs::metadata(&path).with_context(|| format!("cannot read `{path}`"))?.len();
    Ok(Descriptor::new("", digest.clone(), size))
}

fn find_in_layout(dir: &Utf8Path, selector: Option<&LayoutSelector>) -> Result<Descriptor> {
    let path = dir.join("index.json");
    let bytes = fs::read(&path).with_context(|| format!("cannot read `{path}`"))?;
    let index: Index = serde_json::from_slice(&bytes).with_context(|| format!("`{path}` is not valid"))?;
    let name = |descriptor: &Descriptor| descriptor.annotations.get(REF_NAME).cloned();
    let names = || {
        let names: Vec<String> = index.manifests.iter().filter_map(name).map(|name| format!("`{name}`")).collect();
        if names.is_empty() { "no named image".to_owned() } else { names.join(", ") }
    };
    match selector {
        Some(LayoutSelector::Digest(digest)) => blob_descriptor(dir, digest),
        Some(LayoutSelector::Name(wanted)) => index
            .manifests
            .iter()
            .find(|descriptor| name(descriptor).as_deref() == Some(wanted))
            .cloned()
            .with_context(|| format!("the layout has no image `{wanted}`, only {}", names())),
        None => match &index.manifests[..] {
            [only] => Ok(only.clone()),
            all => bail!("the layout has {} images, name one: {}", all.len(), names()),
        },
    }
}

/// The entries of a layer, gzip or not.
fn read_layer(mut blob: File) -> Result<Vec<LayerEntry>> {
    let mut magic = Vec::new();
    (&mut blob).take(4).read_to_end(&mut magic)?;
    let whole = BufReader::with_capacity(256 * 1024, io::Cursor::new(magic.clone()).chain(blob));
    match magic[..] {
        [0x1f, 0x8b, ..] => list_entries(flate2::bufread::MultiGzDecoder::new(whole)),
        [0x28, 0xb5, 0x2f, 0xfd] => bail!("zstd is not supported here"),
        _ => list_entries(whole),
    }
}

fn list_entries(tar: impl Read) -> Result<Vec<LayerEntry>> {
    let mut entries = Vec::new();
    for entry in ::tar::Archive::new(tar).entries()? {
        let mut entry = entry?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let path = text(&entry.path_bytes());
        let kind = match entry.header().entry_type() {
            ::tar::EntryType::Directory => LayerEntryKind::Directory,
            ::tar::EntryType::Symlink => {
                LayerEntryKind::Symlink(entry.link_name_bytes().map(|bytes| text(&bytes)).unwrap_or_default())
            }
            ::tar::EntryType::Regular if FileTree::keeps_text_of(&path) => {
                let mut content = Vec::new();
                (&mut entry).take(MAX_TEXT + 1).read_to_end(&mut content)?;
                ensure!(content.len() as u64 <= MAX_TEXT, "its `{path}` is too large");
                LayerEntryKind::Text(text(&content))
            }
            _ => LayerEntryKind::Other,
        };
        entries.push(LayerEntry { path, kind });
    }
    Ok(entries)
}

#[cfg(test)]
#[path = "base_tests.rs"]
mod tests;
