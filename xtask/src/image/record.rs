//! The digest record, `docker-image-digests.json`: which image each component is.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::platform::Platform;
use super::reference::{Digest, ImageReference, Tag};

/// Where the record is kept, below the workspace root.
pub(crate) const RECORD_PATH: &str = "artifacts/docker/docker-image-digests.json";

/// Published images by component. Written sorted and without times, so that the same images give
/// the same bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct DigestRecord {
    /// The images by component name.
    pub(crate) images: BTreeMap<String, RecordedImage>,
}

/// A component's published image. Readers of the first four fields alone keep working.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RecordedImage {
    /// `registry/repository`.
    pub(crate) repository: String,
    /// The manifest's digest; the index's when there are several platforms.
    pub(crate) digest: Digest,
    /// `repository@digest`.
    pub(crate) image: ImageReference,
    /// The commit's tag, which exists in the registry.
    pub(crate) git_sha_tag: ImageReference,
    /// All tags this image was published under.
    #[serde(default)]
    pub(crate) tags: Vec<Tag>,
    /// The image of each platform.
    #[serde(default)]
    pub(crate) platforms: BTreeMap<Platform, RecordedPlatform>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RecordedPlatform {
    /// The platform's manifest.
    pub(crate) digest: Digest,
    /// The image config: what engines without a registry call the image's id.
    pub(crate) config: Digest,
    /// Compressed bytes of layers, config and manifest: all that a pull of it alone fetches.
    pub(crate) size: u64,
}

impl DigestRecord {
    /// Reads a record and checks that it agrees with itself.
    ///
    /// # Errors
    /// When it is not JSON of this shape, or an entry's parts name different images; the message
    /// names the component.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut images = BTreeMap::new();
        for (name, entry) in Self::entries(text)? {
            let image = serde_json::from_value(entry).with_context(|| wrong(&name))?;
            images.insert(name, image);
        }
        let record = DigestRecord { images };
        record.check()?;
        Ok(record)
    }

    /// Checks that names are such as components have, and that each entry agrees with itself.
    ///
    /// # Errors
    /// As [`DigestRecord::parse`].
    pub(crate) fn check(&self) -> Result<()> {
        for (name, image) in &self.images {
            let shown = name.escape_debug();
            ensure!(is_component_name(name), "`{shown}` in the digest record is no name of a component");
            image.check().with_context(|| wrong(name))?;
        }
        Ok(())
    }

    /// The entries as they are, by component.
    pub(crate) fn entries(text: &str) -> Result<BTreeMap<String, Value>> {
        serde_json::from_str(text).context("the digest record is no JSON object")
    }

    pub(crate) fn to_text(&self) -> String {
        serde_json::to_string_pretty(self).expect("text keys and no failing parts") + "\n"
    }
}

impl RecordedImage {
    /// The entry of `reference`'s repository. `tags` come as published, `sha_tag` among them.
    pub(crate) fn new(
        reference: &ImageReference,
        digest: Digest,
        sha_tag: Tag,
        tags: Vec<Tag>,
        platforms: BTreeMap<Platform, RecordedPlatform>,
    ) -> Self {
        RecordedImage {
            repository: reference.name(),
            image: reference.with_digest(digest.clone()),
            git_sha_tag: reference.with_tag(sha_tag),
            digest,
            tags,
            platforms,
        }
    }

    /// Compressed bytes of all platforms.
    pub(crate) fn size(&self) -> u64 {
        self.platforms.values().map(|platform| platform.size).sum()
    }

    fn check(&self) -> Result<()> {
        let Self { repository, digest, image, git_sha_tag, .. } = self;
        ensure!(image.name() == *repository, "`image` is `{image}`, not of `repository` `{repository}`");
        ensure!(image.digest.as_ref() == Some(digest), "`image` is `{image}`, not of `digest` `{digest}`");
        ensure!(
            git_sha_tag.name() == *repository && git_sha_tag.tag.is_some() && git_sha_tag.digest.is_none(),
            "`gitShaTag` is `{git_sha_tag}`, no tag of `repository` `{repository}`"
        );
        Ok(())
    }
}

fn wrong(name: &str) -> String {
    format!("`{}` in the digest record is wrong", name.escape_debug())
}

/// Names become words of shells, cells of tables and `NAME=value` lines; cargo's names of binaries are
/// fit for that.
fn is_component_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('-') && name.chars().all(|c| c.is_alphanumeric() || "-_.+".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> DigestRecord {
        let reference: ImageReference = "ghcr.io/acme/demon-engine".parse().unwrap();
        let digest = Digest::of(b"manifest");
        let platform = RecordedPlatform { digest: digest.clone(), config: Digest::of(b"config"), size: 7 };
        let tags: Vec<Tag> = ["sha-9c68c4a", "main"].map(|tag| tag.parse().unwrap()).into();
        let platforms = BTreeMap::from([("linux/amd64".parse().unwrap(), platform)]);
        let image = RecordedImage::new(&reference, digest, tags[0].clone(), tags, platforms);
        DigestRecord { images: BTreeMap::from([("engine".to_owned(), image)]) }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let text = record().to_text();
        assert_eq!(DigestRecord::parse(&text).unwrap(), record());
        let keys = ["repository", "digest", "image", "gitShaTag", "tags", "platforms"];
        let places: Vec<_> = keys.map(|key| text.find(&format!("\n    \"{key}\": ")).unwrap()).into();
        assert!(places.is_sorted(), "{text}");
    }

    #[test]
    fn four_fields_are_enough() {
        let mut value = serde_json::to_value(record()).unwrap();
        let entry = value["engine"].as_object_mut().unwrap();
        entry.remove("tags");
        entry.remove("platforms");
        assert!(DigestRecord::parse(&value.to_string()).unwrap().images["engine"].tags.is_empty());
    }

    #[test]
    fn an_entry_that_disagrees_with_itself_is_refused() {
        let error = |key: &str, text: &str| {
            let mut value = serde_json::to_value(record()).unwrap();
            value["engine"][key] = text.into();
            format!("{:#}", DigestRecord::parse(&value.to_string()).unwrap_err())
        };
        let other = Digest::of(b"other");
        assert!(error("digest", other.as_str()).starts_with("`engine` in the digest record is wrong: `image` is"));
        assert!(error("repository", "ghcr.io/acme/other").contains("not of `repository`"));
        assert!(error("gitShaTag", "ghcr.io/acme/other:sha-1").contains("`gitShaTag` is"));
        assert!(error("digest", "sha256:12").contains("is not a digest"));
        let renamed = record().to_text().replacen("engine", "a\\nPATH=/tmp", 1);
        assert!(DigestRecord::parse(&renamed).unwrap_err().to_string().contains("is no name of a component"));
        assert!(DigestRecord::parse("[]").unwrap_err().to_string().contains("no JSON object"));
    }
}
