//! The releases of a workspace in its registry: written after the images, found by tag, digest or the one after.

use anyhow::{Context, Result, bail};
use camino::Utf8PathBuf;

use super::artifact::{Artifact, only_layer};
use super::client::Client;
use super::pull::{FetchedManifest, is_not_found};
use crate::image::manifest::{Descriptor, OCI_MANIFEST};
use crate::image::reference::{Digest, ImageReference, Tag};
use crate::image::release::{RELEASE_TYPE, Release, is_deployment};
use crate::system::files::write_atomically;

/// How often a release is made anew because another publication of the branch came first.
const TRIES: usize = 5;

/// The releases' repository.
pub(crate) struct Releases<'a> {
    /// Asks the registry.
    pub(crate) client: &'a Client,
    /// The repository; tag and digest do not matter.
    pub(crate) repository: ImageReference,
    /// A folder for what never changes: manifests and documents, named by their digests.
    pub(crate) cache: Utf8PathBuf,
}

/// A release and its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredRelease {
    /// Its manifest's.
    pub(crate) digest: Digest,
    /// What it says.
    pub(crate) release: Release,
}

impl Releases<'_> {
    /// The release that a tag names now; nothing when there is no such tag.
    ///
    /// # Errors
    /// The tag names something else, or what is gone; the registry cannot be asked.
    pub(crate) fn tagged(&self, tag: &Tag) -> Result<Option<StoredRelease>> {
        let Some(digest) = self.digest(tag)? else { return Ok(None) };
        let gone = || format!("`{}:{tag}` names {digest}, which is gone from the registry", self.repository.name());
        self.by_digest(&digest)?.with_context(gone).map(Some)
    }

    /// The digest that a tag names now.
    ///
    /// # Errors
    /// The registry cannot be asked.
    pub(crate) fn digest(&self, tag: &Tag) -> Result<Option<Digest>> {
        let found = self.client.head_manifest(&self.repository.with_tag(tag.clone()))?;
        Ok(found.map(|found| found.digest))
    }

    /// The release of this digest; nothing when there is none.
    ///
    /// # Errors
    /// It is something else; the registry cannot be asked.
    pub(crate) fn by_digest(&self, digest: &Digest) -> Result<Option<StoredRelease>> {
        let reference = self.repository.with_digest(digest.clone());
        let content = match self.cached_content(&reference, digest) {
            Some(content) => content,
            None => match self.client.get_artifact(&reference, RELEASE_TYPE) {
                Ok(artifact) => {
                    // Without a cache it takes longer, no more.
                    let _ = self.keep(&artifact);
                    artifact.content
                }
                Err(error) if is_not_found(&error) => return Ok(None),
                Err(error) => return Err(error.context(format!("cannot read the release `{reference}`"))),
            },
        };
        let release = Release::parse(&content).with_context(|| format!("`{reference}` is damaged"))?;
        Ok(Some(StoredRelease { digest: digest.clone(), release }))
    }

    /// `newest` and the ones before it, `count` at most. Ends early where one is gone.
    ///
    /// # Errors
    /// As [`Releases::by_digest`].
    pub(crate) fn history(&self, newest: StoredRelease, count: usize) -> Result<Vec<StoredRelease>> {
        let mut all = vec![newest];
        while all.len() < count {
            let Some(digest) = all.last().and_then(|last| last.release.previous.clone()) else { break };
            match self.by_digest(&digest)? {
                Some(before) => all.push(before),
                None => break,
            }
        }
        all.truncate(count);
        Ok(all)
    }

    /// Writes the release that `make` makes of the one before, whose images are there and tagged, unless the one under
    /// `line` (the branch's tag, or the commit's) says the same, and gives it its tags. Says whether it is a new one.
    ///
    /// # Errors
    /// The registry refuses, or cannot be asked; others publish the same branch all the time.
    pub(crate) fn write(
        &self,
        line: &Tag,
        make: impl Fn(Option<&Release>) -> Release,
    ) -> Result<(StoredRelease, bool)> {
        for _ in 0..TRIES {
            let previous = self.digest(line)?;
            // One that is gone still was the one before.
            let before = previous.as_ref().map(|digest| self.by_digest(digest)).transpose()?.flatten();
            let release = make(before.as_ref().map(|before| &before.release));
            let others = release.tags.iter().filter(|tag| *tag != line);
            if let Some(before) = before.filter(|before| before.release.says_the_same(&release)) {
                let manifest = self.manifest(&before.digest)?;
                for tag in others {
                    self.client.tag(&self.repository, tag, false, &manifest)?;
                }
                return Ok((before, false));
            }
            let release = Release { previous: previous.clone(), ..release.clone() };
            let artifact = Artifact::new(RELEASE_TYPE, release.to_bytes());
            self.client.push_artifact(&self.repository, &artifact)?;
            let _ = self.keep(&artifact);
            for tag in others {
                self.client.tag(&self.repository, tag, false, &artifact.manifest)?;
            }
            // The line last: what it names has all its other tags. If somebody else published meanwhile, theirs is the
            // one before.
            if self.digest(line)? == previous {
                self.client.tag(&self.repository, line, false, &artifact.manifest)?;
                return Ok((StoredRelease { digest: artifact.digest().clone(), release }, true));
            }
        }
        bail!("`{}:{line}` moved {TRIES} times while a release was written; run it again", self.repository.name())
    }

    /// Writes a release of another registry here, as it is, with its tags.
    ///
    /// # Errors
    /// The registry refuses, or cannot be asked.
    pub(crate) fn copy(&self, release: &Release) -> Result<StoredRelease> {
        let artifact = Artifact::new(RELEASE_TYPE, release.to_bytes());
        self.client.push_artifact(&self.repository, &artifact)?;
        for tag in release.tags.iter().filter(|tag| !is_deployment(tag)) {
            self.client.tag(&self.repository, tag, false, &artifact.manifest)?;
        }
        Ok(StoredRelease { digest: artifact.digest().clone(), release: release.clone() })
    }

    /// Gives a release that is here a further tag.
    ///
    /// # Errors
    /// An immutable tag that names another; the registry refuses, or cannot be asked.
    pub(crate) fn tag(&self, digest: &Digest, tag: &Tag, is_immutable: bool) -> Result<()> {
        self.client.tag(&self.repository, tag, is_immutable, &self.manifest(digest)?)
    }

    /// The manifest of a release that was read.
    fn manifest(&self, digest: &Digest) -> Result<FetchedManifest> {
        match self.cached(digest) {
            Some(bytes) => Ok(FetchedManifest { descriptor: Descriptor::of(OCI_MANIFEST, &bytes), bytes }),
            None => self.client.get_manifest(&self.repository.with_digest(digest.clone())),
        }
    }

    /// The document of a release, where the cache has it whole.
    fn cached_content(&self, reference: &ImageReference, digest: &Digest) -> Option<Vec<u8>> {
        let bytes = self.cached(digest)?;
        let manifest = FetchedManifest { descriptor: Descriptor::of(OCI_MANIFEST, &bytes), bytes };
        let layer = only_layer(&manifest, reference, RELEASE_TYPE).ok()?;
        self.cached(&layer.digest)
    }

    fn cached(&self, digest: &Digest) -> Option<Vec<u8>> {
        let bytes = std::fs::read(self.cache.join(digest.hex())).ok()?;
        (Digest::of(&bytes) == *digest).then_some(bytes)
    }

    fn keep(&self, artifact: &Artifact) -> Result<()> {
        write_atomically(&self.cache.join(Digest::of(&artifact.content).hex()), &artifact.content)?;
        write_atomically(&self.cache.join(artifact.digest().hex()), &artifact.manifest.bytes)
    }
}
