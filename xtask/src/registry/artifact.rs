//! Artifacts: a document of ours in a repository, beside images and as they are (OCI image-spec, "Guidelines for
//! Artifact Usage").

use std::collections::BTreeMap;
use std::io::Read;

use anyhow::{Result, bail, ensure};

use super::client::Client;
use super::error::WrongContent;
use super::inspect::parse;
use super::pull::FetchedManifest;
use super::transfer::{ImageSource, transfer};
use crate::image::manifest::{AnyManifest, Descriptor, Manifest, OCI_MANIFEST, to_json};
use crate::image::reference::{Digest, ImageReference};

/// A config that says nothing (OCI image-spec, "Guidance for an Empty Descriptor").
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
const EMPTY: &[u8] = b"{}";
/// The largest document, in bytes: that of ten thousand components.
pub(super) const MAX_CONTENT: u64 = 16 * 1024 * 1024;

/// A document, and the manifest that leads to it.
#[derive(Clone, Debug)]
pub(crate) struct Artifact {
    /// The manifest.
    pub(crate) manifest: FetchedManifest,
    /// The document.
    pub(crate) content: Vec<u8>,
}

impl Artifact {
    /// The artifact of a document of this media type: the same document gives the same digest.
    pub(crate) fn new(media_type: &str, content: Vec<u8>) -> Self {
        Artifact::attached(media_type, content, None, BTreeMap::new())
    }

    /// As [`Artifact::new`], attached to `subject`, with notes.
    pub(super) fn attached(
        media_type: &str,
        content: Vec<u8>,
        subject: Option<Descriptor>,
        annotations: BTreeMap<String, String>,
    ) -> Self {
        let layers = vec![Descriptor::of(media_type, &content)];
        let artifact_type = Some(media_type.to_owned());
        let empty = Manifest::new(Descriptor::of(EMPTY_TYPE, EMPTY), layers);
        let manifest = Manifest { artifact_type, subject: subject.map(Box::new), annotations, ..empty };
        let bytes = to_json(&manifest);
        let descriptor = Descriptor::of(OCI_MANIFEST, &bytes);
        Artifact { manifest: FetchedManifest { descriptor, bytes }, content }
    }

    /// The manifest's digest.
    pub(crate) fn digest(&self) -> &Digest {
        &self.manifest.descriptor.digest
    }
}

impl ImageSource for Artifact {
    fn document(&self, _: &Descriptor) -> Result<Vec<u8>> {
        Ok(self.manifest.bytes.clone())
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>> {
        Ok(Box::new(if descriptor.digest == Digest::of(EMPTY) { EMPTY } else { self.content.as_slice() }))
    }
}

impl Client {
    /// Makes the artifact exist in `repository`, by digest, without any tag. Says whether its manifest was not there.
    ///
    /// # Errors
    /// As [`transfer`].
    pub(crate) fn push_artifact(&self, repository: &ImageReference, artifact: &Artifact) -> Result<bool> {
        let done = transfer(self, artifact, &artifact.manifest.descriptor, repository, &[], 1, &|_| ())?;
        Ok(done.manifests > 0)
    }

    /// Reads the artifact of this media type that `reference` leads to.
    ///
    /// # Errors
    /// It, or its document, does not exist ([`crate::http::ApiError`] in the chain); it is something else
    /// ([`WrongContent`] in the chain); the registry cannot be asked.
    pub(crate) fn get_artifact(&self, reference: &ImageReference, media_type: &str) -> Result<Artifact> {
        let manifest = self.get_manifest(reference)?;
        let layer = only_layer(&manifest, reference, media_type)?;
        let mut content = Vec::new();
        self.fetch_blob(reference, &layer.digest, layer.size, &mut content)?;
        Ok(Artifact { manifest, content })
    }
}

/// Where the document of an artifact of this media type is.
///
/// # Errors
/// [`WrongContent`]: the manifest is something else's.
pub(super) fn only_layer(
    manifest: &FetchedManifest,
    reference: &ImageReference,
    media_type: &str,
) -> Result<Descriptor> {
    match parse(manifest, reference)? {
        AnyManifest::Image(Manifest { artifact_type: Some(kind), layers, .. }) if kind == media_type => {
            let [layer] = layers.as_slice() else {
                bail!(WrongContent(format!("`{reference}` has {} documents instead of one", layers.len())))
            };
            ensure!(
                layer.size <= MAX_CONTENT,
                WrongContent(format!("the document of `{reference}` has {} bytes", layer.size))
            );
            Ok(layer.clone())
        }
        _ => bail!(WrongContent(format!("`{reference}` is something else than `{media_type}`"))),
    }
}
