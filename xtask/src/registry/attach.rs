//! Attaching documents to an image: pushed with the image as their subject, and where the registry keeps no list of
//! them, listed by us, as verifiers look for them.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use super::artifact::Artifact;
use super::client::Client;
use super::referrers::{Listing, Looked, Referrer, fallback_tag};
use crate::errors::hinted;
use crate::http::Failure;
use crate::image::labels::ATTACHMENT;
use crate::image::manifest::{Descriptor, Index, OCI_INDEX, to_json};
use crate::image::reference::{Digest, ImageReference};

/// A document to attach: the same one gives the same digest, as nothing in it says when.
#[derive(Clone, Debug)]
pub(crate) struct Attachment {
    /// Its media type.
    pub(crate) artifact_type: String,
    annotations: BTreeMap<String, String>,
    pub(crate) content: Vec<u8>,
}

impl Attachment {
    /// A document of this media type. `name` (`sbom`, `signature`, …) says which of the image's documents it is: it
    /// replaces the one of the same name and type that this tool attached before.
    pub(crate) fn new(name: &str, artifact_type: &str, content: Vec<u8>) -> Self {
        let annotations = BTreeMap::from([(ATTACHMENT.to_owned(), name.to_owned())]);
        Attachment { artifact_type: artifact_type.to_owned(), annotations, content }
    }

    /// Which of the image's documents it is.
    pub(crate) fn name(&self) -> &str {
        &self.annotations[ATTACHMENT]
    }

    /// The same, with a note for those who look for it.
    pub(crate) fn annotated(mut self, key: &str, value: &str) -> Self {
        self.annotations.insert(key.to_owned(), value.to_owned());
        self
    }
}

/// What [`Client::attach`] did.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Attached {
    /// Whether anything changed in the registry.
    pub(crate) is_new: bool,
    /// What was replaced, but that the registry does not delete: it lists it still.
    pub(crate) left: Vec<Digest>,
}

impl Client {
    /// Attaches documents to `subject`, an image in `repository`, in place of those of the same names, and makes
    /// sure that they are found. What is there already is not written again.
    ///
    /// # Errors
    /// The image does not exist; the registry refuses, does not list them, or cannot be asked; others attach to the
    /// same image all the time.
    pub(crate) fn attach(
        &self,
        repository: &ImageReference,
        subject: &Digest,
        attachments: Vec<Attachment>,
    ) -> Result<Attached> {
        let pushed = self.push_attachments(repository, subject, attachments);
        let (ours, is_pushed) =
            pushed.with_context(|| format!("cannot attach to `{}@{subject}`", repository.name()))?;
        if self.referrer_list(repository, subject)?.has_api {
            let mut left = self.wait_until_listed(repository, subject, &ours)?;
            left.retain(|digest| !self.delete_manifest(repository, digest));
            return Ok(Attached { is_new: is_pushed, left });
        }
        let (is_listed, superseded) = self.list_below_tag(repository, subject, &ours)?;
        // What no list names does no harm.
        for digest in &superseded {
            self.delete_manifest(repository, digest);
        }
        Ok(Attached { is_new: is_pushed || is_listed, left: Vec::new() })
    }

    /// Says whether any of them was not there.
    fn push_attachments(
        &self,
        repository: &ImageReference,
        subject: &Digest,
        attachments: Vec<Attachment>,
    ) -> Result<(Vec<Referrer>, bool)> {
        let image = self.head_manifest(&repository.with_digest(subject.clone()))?;
        let Descriptor { media_type, digest, size, .. } = image.context("it does not exist in the registry")?;
        let mut is_new = false;
        let push = |Attachment { artifact_type, annotations, content }| {
            let named = Descriptor::new(&media_type, digest.clone(), size);
            let artifact = Artifact::attached(&artifact_type, content, Some(named), annotations);
            is_new |= self.push_artifact(repository, &artifact)?;
            Referrer::of(subject, &artifact.manifest).context("what was pushed is not attached")
        };
        let ours = attachments.into_iter().map(push).collect::<Result<Vec<_>>>()?;
        Ok((ours, is_new))
    }

    /// Where the registry keeps the list, it must list what was pushed: verifiers ask it alone. Gives what ours
    /// replace.
    fn wait_until_listed(
        &self,
        repository: &ImageReference,
        subject: &Digest,
        ours: &[Referrer],
    ) -> Result<Vec<Digest>> {
        let entries = self.attempts().run(|_| {
            let entries = self.referrer_list(repository, subject)?.entries;
            match ours.iter().all(|our| entries.iter().any(|entry| entry.digest == our.descriptor.digest)) {
                true => Ok(entries),
                false => Err(Failure::Transient(not_listed(repository, subject), None)),
            }
        })?;
        Ok(merged(self.look_at_entries(repository, subject, entries)?, ours).1)
    }

    /// Writes the list where the registry keeps none. Registries offer no compare-and-set, so it is read back after a
    /// wait, until nothing has to be changed in it: of two writers at once the one that lost writes again.
    fn list_below_tag(
        &self,
        repository: &ImageReference,
        subject: &Digest,
        ours: &[Referrer],
    ) -> Result<(bool, Vec<Digest>)> {
        let (mut is_new, mut superseded) = (false, Vec::new());
        self.attempts().run(|_| {
            let Listing { fallback, entries, .. } = self.referrer_list(repository, subject)?;
            let (wanted, replaced) = merged(self.look_at_entries(repository, subject, entries.clone())?, ours);
            let before = fallback.map(|before| before.descriptor.digest);
            superseded.extend(replaced);
            if wanted == entries {
                let is_named = |digest: &Digest| wanted.iter().any(|entry| entry.digest == *digest);
                superseded.retain(|digest| Some(digest) != before.as_ref() && !is_named(digest));
                return Ok(());
            }
            let reference = repository.with_tag(fallback_tag(subject));
            if self.head_manifest(&reference)?.map(|now| now.digest) == before {
                self.put_manifest(&reference, OCI_INDEX, &to_json(&Index::new(wanted)))?;
                is_new = true;
                superseded.extend(before);
            }
            Err(Failure::Transient(not_listed(repository, subject), None))
        })?;
        Ok((is_new, superseded))
    }

    /// Deletes a manifest, if the registry does that.
    fn delete_manifest(&self, repository: &ImageReference, digest: &Digest) -> bool {
        self.delete(&repository.with_digest(digest.clone())).is_ok()
    }
}

fn not_listed(repository: &ImageReference, subject: &Digest) -> anyhow::Error {
    let image = format!("`{}@{subject}`", repository.name());
    hinted(
        format!("what was just attached to {image} is not listed"),
        "others attach to the same image all the time, or the registry does not keep the list that it offers",
    )
}

/// The list with `ours`, and what they replace in it. All that was read is named by what it says itself: other
/// writers leave out the type that verifiers filter by, or write another.
fn merged(looked: Vec<Looked>, ours: &[Referrer]) -> (Vec<Descriptor>, Vec<Digest>) {
    let (mut wanted, mut replaced) = (Vec::new(), Vec::new());
    for found in looked {
        match found {
            Looked::Attached(other) if !ours.contains(&other) && ours.iter().any(|our| replaces(our, &other)) => {
                replaced.push(other.descriptor.digest);
            }
            Looked::Attached(other) => wanted.push(other.descriptor),
            Looked::Other(entry) => wanted.push(entry),
            Looked::False => {}
        }
    }
    let is_missing = |our: &&Referrer| !wanted.iter().any(|entry| entry.digest == our.descriptor.digest);
    let missing: Vec<_> = ours.iter().filter(is_missing).map(|our| our.descriptor.clone()).collect();
    wanted.extend(missing);
    (wanted, replaced)
}

fn replaces(our: &Referrer, other: &Referrer) -> bool {
    our.descriptor.digest != other.descriptor.digest
        && our.artifact_type() == other.artifact_type()
        && our.annotation(ATTACHMENT) == other.annotation(ATTACHMENT)
}
