//! Images of a digest record, fetched from the registry into layouts of their own.

use std::fs::{self, File};
use std::io::Write;

use anyhow::{Context, Result, bail};
use camino::Utf8Path;

use super::unpack::{own_entry, unpack};
use crate::image::manifest::{AnyManifest, Index, REF_NAME, to_json};
use crate::image::record::DigestRecord;
use crate::image::reference::{Digest, ImageReference};
use crate::kubernetes::local::plan::LocalImage;
use crate::registry::Client;

/// What was published, and who reads it.
pub(super) struct Published {
    pub(super) record: DigestRecord,
    pub(super) client: Client,
}

impl Published {
    /// Fetches the image that the record names for `component` and unpacks it below `root`.
    ///
    /// # Errors
    /// The record or the registry lacks it; it is not for this machine.
    pub(super) fn unpack(&self, component: &str, root: &Utf8Path) -> Result<LocalImage> {
        let recorded = self.record.images.get(component);
        let image = &recorded.with_context(|| format!("the digest record names no image of `{component}`"))?.image;
        let layout = root.with_extension("layout");
        self.fetch(image, component, &layout).with_context(|| format!("cannot fetch `{image}`"))?;
        Ok(unpack(&layout, component, root)?.0)
    }

    /// Makes `dir` a layout with the image under the name `component`, as far as this machine needs it.
    fn fetch(&self, image: &ImageReference, component: &str, dir: &Utf8Path) -> Result<()> {
        fs::create_dir_all(dir.join("blobs/sha256")).with_context(|| format!("cannot create `{dir}`"))?;
        let top = self.client.get_manifest(image)?;
        blob(dir, &top.descriptor.digest)?.write_all(&top.bytes)?;
        let manifest = match AnyManifest::parse(&top.bytes, &top.descriptor.media_type)? {
            AnyManifest::Image(manifest) => manifest,
            AnyManifest::Index(index) => {
                let own = self.client.get_manifest(&image.with_digest(own_entry(&index)?.digest.clone()))?;
                blob(dir, &own.descriptor.digest)?.write_all(&own.bytes)?;
                match AnyManifest::parse(&own.bytes, &own.descriptor.media_type)? {
                    AnyManifest::Image(manifest) => manifest,
                    AnyManifest::Index(_) => bail!("it leads to another index"),
                }
            }
        };
        for part in std::iter::once(&manifest.config).chain(&manifest.layers) {
            self.client.fetch_blob(image, &part.digest, part.size, &mut blob(dir, &part.digest)?)?;
        }
        let mut top = top.descriptor;
        top.annotations.insert(REF_NAME.to_owned(), component.to_owned());
        fs::write(dir.join("index.json"), to_json(&Index::new(vec![top]))).context("cannot write its `index.json`")
    }
}

fn blob(dir: &Utf8Path, digest: &Digest) -> Result<File> {
    let path = dir.join("blobs/sha256").join(digest.hex());
    File::create(&path).with_context(|| format!("cannot create `{path}`"))
}
