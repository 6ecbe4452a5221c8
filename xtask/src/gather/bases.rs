//! The base and builder images of a workspace: as its settings name them, and as `images.lock` pins them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;

use anyhow::{Context, Result};
use camino::Utf8Path;

use super::dockerfiles::builder_image;
use super::workspace::Workspace;
use crate::errors::hinted_cause;
use crate::image::images_lock::{IMAGES_LOCK, ImagesLock, PinnedImage, UPDATE, pin, tagged};
use crate::image::labels::base_labels;
use crate::image::platform::Platform;
use crate::image::reference::ImageReference;
use crate::workspace::inputs::Input;
use crate::workspace::settings::BuilderImage;

/// The `images.lock` of the workspace at `root`, where there is one.
///
/// # Errors
/// It cannot be read, or is none.
pub(super) fn read_images_lock(root: &Utf8Path) -> Result<Option<ImagesLock>> {
    let path = root.join(IMAGES_LOCK);
    let text = match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        text => text.with_context(|| format!("cannot read `{path}`"))?,
    };
    let wrong = |cause| {
        let mend = format!("restore it from git, or delete it and run {UPDATE}");
        hinted_cause(cause, format!("cannot read `{path}`"), mend)
    };
    ImagesLock::parse(&text).map(Some).map_err(wrong)
}

/// What images build on.
pub(crate) struct Base {
    /// `runtime-image` of the settings.
    pub(crate) image: String,
    /// The same, where it is a registry's.
    pub(crate) name: Option<ImageReference>,
    /// What is pulled for it; nothing for an OCI layout.
    pub(crate) pinned: Option<PinnedImage>,
}

impl Base {
    /// What images say of it.
    pub(crate) fn labels(&self) -> BTreeMap<String, String> {
        base_labels(self.name.as_ref(), self.pinned.as_ref().and_then(|pinned| pinned.digest.as_ref()))
    }
}

/// An image that settings name, and what for.
pub(crate) struct ImageInUse {
    /// As the settings write it.
    pub(crate) image: String,
    /// The same, where it is a registry's.
    pub(crate) reference: Option<ImageReference>,
    /// `runtime-image`, `builder-image`, `builder-image for linux/arm64`.
    pub(crate) used_as: Vec<String>,
}

impl ImageInUse {
    /// Whether an engine alone can do with it.
    pub(crate) fn is_builder(&self) -> bool {
        self.used_as.iter().all(|used| used != RUNTIME)
    }
}

const RUNTIME: &str = "runtime-image";
const BUILDER: &str = "builder-image";

impl Workspace {
    /// `image`, a registry's, as builds take it.
    ///
    /// # Errors
    /// As [`pin`].
    pub(crate) fn pin(&self, image: &str) -> Result<PinnedImage> {
        pin(image, self.images.as_ref(), self.packages.settings.mirror.as_ref())
    }

    /// What images build on; nothing for `scratch`.
    ///
    /// # Errors
    /// No image reference; a tag that the lock does not hold to a digest.
    pub(crate) fn base(&self) -> Result<Option<Base>> {
        let image = self.packages.settings.runtime_image.clone();
        if image == "scratch" {
            return Ok(None);
        }
        if image.starts_with("oci:") {
            return Ok(Some(Base { image, name: None, pinned: None }));
        }
        let wrong = || format!("`{RUNTIME}` in `[workspace.metadata.docker]` of `Cargo.toml` is wrong");
        let name = image.parse().with_context(wrong)?;
        let pinned = self.pin(&image)?;
        if pinned.is_local {
            anyhow::bail!("`{IMAGES_LOCK}` has no digest for `{image}`, and a base comes from a registry");
        }
        Ok(Some(Base { image, name: Some(name), pinned: Some(pinned) }))
    }

    /// All images that the settings name, each once; builder images also of platforms that are not built now.
    ///
    /// # Errors
    /// A name that is no image reference.
    pub(crate) fn images_in_use(&self) -> Result<Vec<ImageInUse>> {
        let settings = &self.packages.settings;
        let mut uses: BTreeMap<String, Vec<String>> = BTreeMap::new();
        if settings.runtime_image != "scratch" {
            uses.entry(settings.runtime_image.clone()).or_default().push(RUNTIME.to_owned());
        }
        match &settings.builder_image {
            Some(BuilderImage::PerPlatform(images)) => images.iter().for_each(|(platform, image)| {
                uses.entry(image.clone()).or_default().push(format!("{BUILDER} for {platform}"));
            }),
            // The same for all platforms.
            _ => uses.entry(builder_image(self, &self.platforms[0])?).or_default().push(BUILDER.to_owned()),
        }
        let in_use = |(image, used_as): (String, Vec<String>)| {
            let wrong = || format!("`{}` in `[workspace.metadata.docker]` of `Cargo.toml` is wrong", used_as[0]);
            let is_layout = image.starts_with("oci:") && used_as[0] == RUNTIME;
            let reference = if is_layout { None } else { Some(image.parse().with_context(wrong)?) };
            Ok(ImageInUse { image, reference, used_as })
        };
        uses.into_iter().map(in_use).collect()
    }

    /// What the lock says of the images that the settings name, for each platform.
    pub(super) fn locked_images(&self) -> BTreeMap<Input, String> {
        let Some(lock) = &self.images else { return BTreeMap::new() };
        let entry = |platform: &Platform, image: &str| {
            let reference = tagged(&image.parse().ok()?);
            let locked = lock.0.get(&reference)?;
            let input = Input::Lock {
                platform: platform.to_string(),
                name: reference.to_string(),
                version: locked.to_string(),
                source: IMAGES_LOCK.to_owned(),
                checksum: String::new(),
            };
            Some((input, format!("in `{IMAGES_LOCK}`")))
        };
        let of = |platform: &Platform| {
            let images = BTreeSet::from_iter(
                builder_image(self, platform).ok().into_iter().chain([self.packages.settings.runtime_image.clone()]),
            );
            images.iter().filter_map(|image| entry(platform, image)).collect::<Vec<_>>()
        };
        self.platforms.iter().flat_map(of).collect()
    }
}
