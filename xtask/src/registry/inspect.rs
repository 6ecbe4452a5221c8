//! What an image in a registry consists of.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

use super::client::Client;
use super::complete::or_lost;
use super::error::WrongContent;
use super::pull::{FetchedManifest, if_there};
use crate::image::manifest::{AnyManifest, ConfigFile, Descriptor, Manifest};
use crate::image::platform::{Platform, PlatformObject};
use crate::image::record::RecordedPlatform;
use crate::image::reference::{Digest, ImageReference};

/// Configs are a few KiB; what is larger than a manifest may be is none.
const MAX_CONFIG: u64 = 4 * 1024 * 1024;

/// An image in a registry: one platform's, or an index of several.
#[derive(Clone, Debug)]
pub(crate) struct RemoteImage {
    /// What the reference leads to.
    pub(crate) manifest: FetchedManifest,
    /// The image of each platform; what an index holds for none (attestations) is not among them.
    pub(crate) platforms: BTreeMap<Platform, RemotePlatform>,
    /// What an index holds beside them, unread.
    pub(super) others: Vec<Descriptor>,
}

/// One platform's image in a registry.
#[derive(Clone, Debug)]
pub(crate) struct RemotePlatform {
    pub(crate) manifest: Descriptor,
    pub(crate) config: Digest,
    /// Compressed bytes of layers, config and manifest.
    pub(crate) size: u64,
    pub(crate) labels: BTreeMap<String, String>,
    /// When it was made, RFC 3339, if it says so.
    pub(crate) created: Option<String>,
    /// The layers that a registry must have for it.
    pub(super) layers: Vec<Descriptor>,
}

impl RemoteImage {
    /// What the reference leads to.
    pub(crate) fn digest(&self) -> &Digest {
        &self.manifest.descriptor.digest
    }

    /// Its platforms as the digest record writes them.
    pub(crate) fn recorded(&self) -> BTreeMap<Platform, RecordedPlatform> {
        self.platforms.iter().map(|(platform, image)| (platform.clone(), image.recorded())).collect()
    }

    /// Labels of the first platform's config: what they say of the commit is the same for all.
    pub(crate) fn labels(&self) -> Option<&BTreeMap<String, String>> {
        self.platforms.values().next().map(|platform| &platform.labels)
    }
}

impl RemotePlatform {
    /// As the digest record writes it.
    pub(crate) fn recorded(&self) -> RecordedPlatform {
        RecordedPlatform { digest: self.manifest.digest.clone(), config: self.config.clone(), size: self.size }
    }
}

impl Client {
    /// As [`Client::inspect`]; `None` when the image, or a part of it, does not exist.
    ///
    /// # Errors
    /// As [`Client::inspect`].
    pub(crate) fn inspect_if_there(&self, reference: &ImageReference) -> Result<Option<RemoteImage>> {
        if_there(self.inspect(reference))
    }

    /// Reads the image that `reference` leads to, its platforms' manifests and configs.
    ///
    /// # Errors
    /// It, or a part of it, does not exist ([`crate::http::ApiError`] in the chain); it is no image
    /// ([`WrongContent`] in the chain); the registry cannot be asked.
    pub(crate) fn inspect(&self, reference: &ImageReference) -> Result<RemoteImage> {
        let fetched = self.get_manifest(reference)?;
        let mut platforms = BTreeMap::new();
        let mut others = Vec::new();
        match parse(&fetched, reference)? {
            AnyManifest::Image(manifest) => {
                let (own, image) = self.platform(reference, reference, &fetched.descriptor, &manifest)?;
                platforms.insert(own.map_err(|error| wrong(reference, &error))?, image);
            }
            AnyManifest::Index(index) => {
                for descriptor in &index.manifests {
                    let platform = descriptor.platform.as_ref().and_then(PlatformObject::platform);
                    let Some(platform) = platform.filter(|platform| !platforms.contains_key(platform)) else {
                        others.push(descriptor.clone());
                        continue;
                    };
                    let part = reference.with_digest(descriptor.digest.clone());
                    let found = self.get_manifest(&part).map_err(or_lost(reference, "manifest", &descriptor.digest))?;
                    let AnyManifest::Image(manifest) = parse(&found, &part)? else {
                        bail!(WrongContent(format!("for `{platform}`, `{reference}` leads to another index")));
                    };
                    platforms.insert(platform, self.platform(reference, &part, &found.descriptor, &manifest)?.1);
                }
            }
        }
        if platforms.is_empty() {
            bail!(WrongContent(format!("`{reference}` is an index without platforms")));
        }
        Ok(RemoteImage { manifest: fetched, platforms, others })
    }

    /// When the image that `reference` leads to was made, RFC 3339, if it says so: that of the first platform, since
    /// every manifest counts where registries limit pulls. `None` outside when it does not exist.
    ///
    /// # Errors
    /// As [`Client::inspect`].
    pub(crate) fn created(&self, reference: &ImageReference) -> Result<Option<Option<String>>> {
        let Some(mut found) = if_there(self.get_manifest(reference))? else { return Ok(None) };
        let mut part = reference.clone();
        if let AnyManifest::Index(index) = parse(&found, reference)? {
            let first = index.manifests.iter().find(|child| child.platform.as_ref().is_some_and(is_real));
            let first = first.ok_or_else(|| WrongContent(format!("`{reference}` is an index without platforms")))?;
            part = reference.with_digest(first.digest.clone());
            found = self.get_manifest(&part).map_err(or_lost(reference, "manifest", &first.digest))?;
        }
        let AnyManifest::Image(manifest) = parse(&found, &part)? else {
            bail!(WrongContent(format!("`{reference}` leads to another index")));
        };
        Ok(Some(self.platform(reference, &part, &found.descriptor, &manifest)?.1.created))
    }

    /// One platform's image of the one that was `asked` for, and what its config says that it is for.
    fn platform(
        &self,
        asked: &ImageReference,
        reference: &ImageReference,
        descriptor: &Descriptor,
        manifest: &Manifest,
    ) -> Result<(Result<Platform>, RemotePlatform)> {
        let config = &manifest.config;
        if config.size > MAX_CONFIG {
            bail!(WrongContent(format!("the config of `{reference}` has {} bytes", config.size)));
        }
        let mut bytes = Vec::new();
        self.fetch_blob(reference, &config.digest, config.size, &mut bytes).map_err(or_lost(
            asked,
            "config",
            &config.digest,
        ))?;
        let read: ConfigFile = serde_json::from_slice(&bytes).map_err(|error| wrong(reference, &error.into()))?;
        let own = own_platform(&read);
        let layers = manifest.layers.iter().fold(0, |sum: u64, layer| sum.saturating_add(layer.size));
        let image = RemotePlatform {
            manifest: descriptor.clone(),
            config: config.digest.clone(),
            size: layers.saturating_add(config.size).saturating_add(descriptor.size),
            labels: read.config.labels.unwrap_or_default(),
            created: read.created,
            layers: manifest.kept_layers().cloned().collect(),
        };
        Ok((own, image))
    }
}

/// Whether it is one that runs: attestations are for `unknown/unknown`.
fn is_real(platform: &PlatformObject) -> bool {
    platform.platform().is_some()
}

pub(super) fn parse(fetched: &FetchedManifest, reference: &ImageReference) -> Result<AnyManifest> {
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
