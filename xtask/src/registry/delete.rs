//! Deleting manifests and tags, each kind of registry in its own way.

use anyhow::{Error, Result, ensure};
use ureq::http::Method;

use super::artifact::Artifact;
use super::client::{ApiRequest, Client};
use super::pull::{is_not_found, status_of};
use crate::errors::{hinted, hinted_cause};
use crate::http::{ApiError, drain};
use crate::image::prune::THROWAWAY_TYPE;
use crate::image::reference::{Digest, ImageReference, Tag};

/// How a repository's tags are deleted while what they name stays.
pub(crate) struct TagDeletion {
    /// What tags are pointed at, to go with it; its content is this run's alone.
    throwaway: Artifact,
    /// Whether the registry deletes a tag, and nothing else with it.
    by_tag: bool,
}

impl Client {
    /// Demands that the registry deletes in this repository when it is asked to. Nothing is changed.
    ///
    /// # Errors
    /// It does not, or not for us; it cannot be asked.
    pub(crate) fn check_deletes(&self, repository: &ImageReference) -> Result<()> {
        let nothing = Digest::of(format!("nothing of {} has this digest", repository.name()).as_bytes());
        self.delete(&repository.with_digest(nothing)).map(drop)
    }

    /// Deletes the manifest of a digest with all its tags, or a tag, as `reference` says. Says whether it was there.
    ///
    /// # Errors
    /// The registry refuses, or cannot be asked; it says that a digest is not there, which is.
    pub(crate) fn delete(&self, reference: &ImageReference) -> Result<bool> {
        let path = format!("manifests/{}", reference.selector());
        let request = ApiRequest::new(Method::DELETE, reference, "delete", path);
        match self.send(&request, &mut self.attempts()) {
            Ok(response) => {
                drain(response);
                Ok(true)
            }
            Err(error) if is_not_found(&error) => {
                // A tag may be refused so, which is found out otherwise.
                let is_there = reference.tag.is_none() && self.head_manifest(reference)?.is_some();
                let error =
                    || format!("`{reference}` is there, and the registry says that it is not when it is to delete it");
                ensure!(!is_there, hinted(error(), "delete by the registry's own API or rules"));
                Ok(false)
            }
            Err(error) => Err(refused(error, reference)),
        }
    }

    /// Finds out how tags are deleted in this repository, on tags of its own.
    ///
    /// # Errors
    /// The registry refuses, or cannot be asked.
    pub(crate) fn tag_deletion(&self, repository: &ImageReference, run: &str) -> Result<TagDeletion> {
        let throwaway = Artifact::new(THROWAWAY_TYPE, format!("\"{run}\"").into_bytes());
        self.push_artifact(repository, &throwaway)?;
        let tags = [1, 2].map(|number| format!("prune-throwaway-{number}").parse::<Tag>().expect("a valid tag"));
        for tag in &tags {
            self.tag(repository, tag, false, &throwaway.manifest)?;
        }
        let [first, second] = tags.map(|tag| repository.with_tag(tag));
        let by_tag = match self.delete(&first) {
            // There are registries that take the whole manifest.
            Ok(_) => self.head_manifest(&first)?.is_none() && self.head_manifest(&second)?.is_some(),
            Err(error) if matches!(status_of(&error), Some(400 | 405 | 501)) => false,
            Err(error) => return Err(error),
        };
        self.delete(&repository.with_digest(throwaway.digest().clone()))?;
        Ok(TagDeletion { throwaway, by_tag })
    }

    /// Deletes tags that still name what they are said to; gives the others.
    ///
    /// # Errors
    /// The registry refuses, or cannot be asked.
    pub(crate) fn delete_tags<'t>(
        &self,
        repository: &ImageReference,
        tags: impl IntoIterator<Item = (&'t Tag, &'t Digest)>,
        how: &TagDeletion,
    ) -> Result<Vec<&'t Tag>> {
        if !how.by_tag {
            self.push_artifact(repository, &how.throwaway)?;
        }
        let mut left = Vec::new();
        for (tag, digest) in tags {
            let reference = repository.with_tag(tag.clone());
            match self.head_manifest(&reference)? {
                Some(found) if found.digest == *digest && how.by_tag => drop(self.delete(&reference)?),
                Some(found) if found.digest == *digest => {
                    let manifest = &how.throwaway.manifest;
                    self.put_manifest(&reference, &manifest.descriptor.media_type, &manifest.bytes)?;
                }
                Some(_) => left.push(tag),
                None => {}
            }
        }
        if !how.by_tag {
            let throwaway = repository.with_digest(how.throwaway.digest().clone());
            ensure!(self.delete(&throwaway)?, "`{throwaway}` is gone before its tags were deleted with it");
        }
        Ok(left)
    }
}

fn refused(error: Error, reference: &ImageReference) -> Error {
    let answer = error.downcast_ref::<ApiError>();
    let code = answer.and_then(|answer| answer.code.as_deref());
    let what = format!("cannot delete `{reference}`");
    // A tag that is not deleted by its name is, with a manifest.
    if reference.tag.is_none() && (code == Some("UNSUPPORTED") || status_of(&error) == Some(405)) {
        let hint = "Docker's registry deletes with `storage: { delete: { enabled: true } }` in its configuration \
                    (REGISTRY_STORAGE_DELETE_ENABLED=true); others by their own API or rules alone";
        return hinted_cause(error, format!("the registry forbids deletes: {what}"), hint);
    }
    match answer.is_some_and(ApiError::is_denied) {
        true => hinted_cause(error, what, "whoever prunes needs the right to delete in this repository"),
        false => error.context(what),
    }
}
