//! Image archives that `docker load`, `podman load` and `nerdctl load` read.

use std::io::Write;

use anyhow::{Context, Result};
use serde::Serialize;

use super::layout::Layout;
use super::tar::write_tar;
use crate::image::assembled::AssembledPlatform;
use crate::image::entry::{Entry, EntryKind, Source};
use crate::image::manifest::{Descriptor, Index, Manifest, REF_NAME, to_json};
use crate::image::reference::{Digest, ImageReference};
use crate::image::root_files::with_parents;

/// `manifest.json`'s entry (moby, image specification v1.2).
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DockerManifest {
    config: String,
    repo_tags: Vec<String>,
    layers: Vec<String>,
}

/// Writes `image` under `tags` as a tar file. Streams; the layers stay gzip.
///
/// The file is both a Docker archive (`manifest.json`) and an OCI layout (`index.json`), like
/// those of `docker save` since version 25: engines that store manifests take the layout and keep
/// our digest, older ones read `manifest.json`.
///
/// # Errors
/// An image that is not in `layout`; a failing `out`.
pub(crate) fn write_docker_archive(
    layout: &Layout,
    image: &AssembledPlatform,
    tags: &[ImageReference],
    out: &mut impl Write,
) -> Result<()> {
    write_archive(layout, image, tags, out)
        .with_context(|| format!("cannot write the archive of image `{}`", image.manifest.digest))
}

fn write_archive(
    layout: &Layout,
    image: &AssembledPlatform,
    tags: &[ImageReference],
    out: &mut impl Write,
) -> Result<()> {
    let manifest: Manifest = serde_json::from_slice(&layout.read_document(&image.manifest)?)?;
    let docker = DockerManifest {
        config: blob_name(&manifest.config.digest),
        repo_tags: tags.iter().map(ImageReference::to_string).collect(),
        layers: manifest.layers.iter().map(|layer| blob_name(&layer.digest)).collect(),
    };
    let bytes = |path: &str, content: Vec<u8>| Entry::new(path, 0o644, EntryKind::File(Source::Bytes(content.into())));
    let mut entries = vec![
        bytes("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
        bytes("index.json", to_json(&Index::new(named(image, tags)))),
        bytes("manifest.json", to_json(&[docker])),
    ];
    let mut blobs: Vec<&Descriptor> = vec![&image.manifest, &manifest.config];
    blobs.extend(&manifest.layers);
    // The same layer may come twice in an image, but not in the archive.
    blobs.sort_by(|a, b| a.digest.cmp(&b.digest));
    blobs.dedup_by(|a, b| a.digest == b.digest);
    for blob in blobs {
        layout.open_blob(&blob.digest, blob.size)?;
        let content = EntryKind::File(Source::Path(layout.blob_path(&blob.digest)));
        entries.push(Entry::new(blob_name(&blob.digest), 0o644, content));
    }
    let entries = with_parents(entries);
    write_tar(&entries.iter().collect::<Vec<_>>(), 0, out)
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// The manifest once per tag. containerd's importer reads the first name, and so does podman; its
/// versions before 4 read the second, as a whole reference.
fn named(image: &AssembledPlatform, tags: &[ImageReference]) -> Vec<Descriptor> {
    let manifest = image.manifest.clone().for_platform(&image.platform);
    if tags.is_empty() {
        return vec![manifest];
    }
    let with_name = |tag: &ImageReference| {
        let mut manifest = manifest.clone();
        manifest.annotations.insert("io.containerd.image.name".to_owned(), tag.to_string());
        manifest.annotations.insert(REF_NAME.to_owned(), tag.to_string());
        manifest
    };
    tags.iter().map(with_name).collect()
}
