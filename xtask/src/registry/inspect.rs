//! What an image in a registry consists of.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use super::client::Client;
use super::pull::{FetchedManifest, is_not_found};
use crate::image::manifest::{AnyManifest, ConfigFile, Descriptor, Manifest};
use crate::image::platform::{Platform, PlatformObject};
use crate::image::record::RecordedPlatform;
use crate::image::reference::{Digest, ImageReference};

/// An image in a registry: one platform's, or an index of several.
#[derive(Clone, Debug)]
pub(crate) struct RemoteImage {
    /// What the reference leads to.
    pub(crate) manifest: FetchedManifest,
    /// The image of each platform; what an index holds for none (attestations) is passed over.
    pub(crate) platforms: BTreeMap<Platform, RemotePlatform>,
}

/// One platform's image in a registry.
#[derive(Clone, Debug)]
pub(crate) struct RemotePlatform {
    /// Its manifest.
    pub(crate) manifest: Descriptor,
    /// Its config.
    pub(crate) config: Digest,
    /// Compressed bytes of layers, config and manifest.
    pub(crate) size: u64,
    /// The config's labels.
    pub(crate) labels: BTreeMap<String, String>,
    /// When it was made, RFC 3339, if it says so.
    pub(crate) created: Option<String>,
}

impl RemoteImage {
    /// What the reference leads to.
    pub(crate) fn digest(&self) -> &Digest {
        &self.manifest.descriptor.digest
    }
}

impl RemotePlatform {
    /// As the digest record writes it.
    pub(crate) fn recorded(&self) -> RecordedPlatform {
        RecordedPlatform { digest: self.manifest.digest.clone(), config: self.config.clone(), size: self.size }
    }
}

impl Client {
    /// Reads manifests and configs of `reference`, which may lead to an image or an index; `None` when
    /// it does not exist.
    ///
    /// # Errors
    /// The registry cannot be asked; content of another digest; what is no image.
    pub(crate) fn inspect(&self, reference: &ImageReference) -> Result<Option<RemoteImage>> {
        let manifest = match self.get_manifest(reference) {
            Ok(manifest) => manifest,
            Err(error) if is_not_found(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut platforms = BTreeMap::new();
        match AnyManifest::parse(&manifest.bytes, &manifest.descriptor.media_type)
            .with_context(|| format!("cannot read `{reference}`"))?
        {
            AnyManifest::Image(image) => {
                let (platform, read) = self.platform(reference, &manifest.descriptor, &image)?;
                platforms.insert(platform, read);
            }
            AnyManifest::Index(index) => {
                for child in index.manifests {
                    let Some(platform) = child.platform.as_ref().and_then(PlatformObject::platform) else { continue };
                    let found = self.get_manifest(&reference.with_digest(child.digest.clone()))?;
                    let AnyManifest::Image(image) = AnyManifest::parse(&found.bytes, &child.media_type)? else {
                        continue;
                    };
                    let (_, read) = self.platform(reference, &found.descriptor, &image)?;
                    platforms.insert(platform, read);
                }
            }
        }
        Ok(Some(RemoteImage { manifest, platforms }))
    }

    fn platform(
        &self,
        reference: &ImageReference,
        manifest: &Descriptor,
        image: &Manifest,
    ) -> Result<(Platform, RemotePlatform)> {
        let mut bytes = Vec::new();
        self.fetch_blob(reference, &image.config.digest, image.config.size, &mut bytes)?;
        let config: ConfigFile =
            serde_json::from_slice(&bytes).with_context(|| format!("`{reference}` has no image config"))?;
        let variant = config.variant.iter().map(|variant| format!("/{variant}")).collect::<String>();
        let layers: u64 = image.layers.iter().map(|layer| layer.size).sum();
        let platform = format!("{}/{}{variant}", config.os, config.architecture).parse()?;
        let read = RemotePlatform {
            manifest: manifest.clone(),
            config: image.config.digest.clone(),
            size: layers + image.config.size + manifest.size,
            labels: config.config.labels.unwrap_or_default(),
            created: config.created,
        };
        Ok((platform, read))
    }
}
