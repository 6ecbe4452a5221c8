//! What an image is in its registry: platforms, configs, sizes, as the digest record writes them.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

use super::client::Client;
use super::error::WrongContent;
use super::pull::FetchedManifest;
use crate::image::manifest::{AnyManifest, ConfigFile, Index, Manifest};
use crate::image::platform::{Platform, PlatformObject};
use crate::image::record::RecordedPlatform;
use crate::image::reference::{Digest, ImageReference};

/// Configs are a few KiB; what is larger than a manifest may be is none.
const MAX_CONFIG: u64 = 4 * 1024 * 1024;

/// An image, read down to its configs.
#[derive(Clone, Debug)]
pub(crate) struct InspectedImage {
    /// The manifest's digest, or the index's.
    pub(crate) digest: Digest,
    /// The image of each platform. What an index has beside them (attestations) is passed over.
    pub(crate) platforms: BTreeMap<Platform, RecordedPlatform>,
    /// Labels of the first platform's config.
    pub(crate) labels: BTreeMap<String, String>,
}

impl Client {
    /// Reads the image that `reference` leads to, its platforms' manifests and configs.
    ///
    /// # Errors
    /// It, or a part of it, does not exist ([`super::ApiError`] in the chain); it is no image
    /// ([`WrongContent`] in the chain); the registry cannot be asked.
    pub(crate) fn inspect(&self, reference: &ImageReference) -> Result<InspectedImage> {
        let fetched = self.get_manifest(reference)?;
        let mut image = InspectedImage {
            digest: fetched.descriptor.digest.clone(),
            platforms: BTreeMap::new(),
            labels: BTreeMap::new(),
        };
        match parse(&fetched, reference)? {
            AnyManifest::Image(manifest) => {
                let config = self.config(reference, &manifest)?;
                let platform = own_platform(&config).map_err(|error| wrong(reference, &error))?;
                image.add(platform, fetched.descriptor.digest, &manifest, config);
            }
            AnyManifest::Index(index) => self.inspect_index(reference, &index, &mut image)?,
        }
        if image.platforms.is_empty() {
            bail!(WrongContent(format!("`{reference}` is an index without platforms")));
        }
        Ok(image)
    }

    fn inspect_index(&self, reference: &ImageReference, index: &Index, image: &mut InspectedImage) -> Result<()> {
        for descriptor in &index.manifests {
            let platform = descriptor.platform.as_ref().and_then(PlatformObject::platform);
            let Some(platform) = platform.filter(|platform| !image.platforms.contains_key(platform)) else { continue };
            let part = reference.with_digest(descriptor.digest.clone());
            let AnyManifest::Image(manifest) = parse(&self.get_manifest(&part)?, &part)? else {
                bail!(WrongContent(format!("for `{platform}`, `{reference}` leads to another index")));
            };
            let config = self.config(&part, &manifest)?;
            image.add(platform, descriptor.digest.clone(), &manifest, config);
        }
        Ok(())
    }

    fn config(&self, reference: &ImageReference, manifest: &Manifest) -> Result<ConfigFile> {
        let descriptor = &manifest.config;
        if descriptor.size > MAX_CONFIG {
            bail!(WrongContent(format!("the config of `{reference}` has {} bytes", descriptor.size)));
        }
        let mut bytes = Vec::new();
        self.fetch_blob(reference, &descriptor.digest, descriptor.size, &mut bytes)?;
        serde_json::from_slice(&bytes).map_err(|error| wrong(reference, &error.into()))
    }
}

impl InspectedImage {
    fn add(&mut self, platform: Platform, digest: Digest, manifest: &Manifest, config: ConfigFile) {
        if self.platforms.is_empty() {
            self.labels = config.config.labels.unwrap_or_default();
        }
        let size = manifest.layers.iter().fold(manifest.config.size, |sum, layer| sum.saturating_add(layer.size));
        self.platforms.insert(platform, RecordedPlatform { digest, config: manifest.config.digest.clone(), size });
    }
}

fn parse(fetched: &FetchedManifest, reference: &ImageReference) -> Result<AnyManifest> {
    AnyManifest::parse(&fetched.bytes, &fetched.descriptor.media_type).map_err(|error| wrong(reference, &error))
}

fn wrong(reference: &ImageReference, error: &anyhow::Error) -> anyhow::Error {
    WrongContent(format!("`{reference}` is no image: {error:#}")).into()
}

/// What a config says that it is for.
fn own_platform(config: &ConfigFile) -> Result<Platform> {
    let (os, architecture) = (&config.os, &config.architecture);
    let text = match config.variant.as_deref().filter(|variant| !variant.is_empty()) {
        Some(variant) => format!("{os}/{architecture}/{variant}"),
        None => format!("{os}/{architecture}"),
    };
    text.parse().context("its config names no platform")
}
