//! All that a repository holds, as far as tags lead.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use serde_json::Value;

use super::client::Client;
use super::pull::{FetchedManifest, if_there};
use crate::errors::{all, hinted_cause};
use crate::image::labels::INPUT_HASH;
use crate::image::manifest::{AnyManifest, ConfigFile, Manifest};
use crate::image::prune::{Contents, Kind, Known, THROWAWAY_TYPE, subject_of};
use crate::image::reference::{Digest, ImageReference, Tag};
use crate::image::release::{RELEASE_TYPE, Release};
use crate::image::time::parse_rfc3339;
use crate::system::parallel;

/// Configs are a few KiB; what is larger is none of ours.
const MAX_CONFIG: u64 = 4 * 1024 * 1024;

impl Client {
    /// All tags of the repository, and all that they lead to.
    ///
    /// # Errors
    /// The registry cannot be asked; a release is damaged.
    pub(crate) fn contents(&self, repository: &ImageReference) -> Result<Contents> {
        let tags = self.named_by(repository, self.tags(repository)?)?;
        let subjects = tags.keys().filter_map(subject_of);
        let wanted = tags.values().cloned().chain(subjects).collect();
        let mut contents = Contents { tags, manifests: BTreeMap::new() };
        self.look_at(repository, wanted, &mut contents)?;
        let Contents { tags, manifests } = &mut contents;
        tags.retain(|_, digest| manifests.contains_key(digest));
        Ok(contents)
    }

    /// What tags name now; those that are gone are left out.
    ///
    /// # Errors
    /// The registry cannot be asked.
    pub(crate) fn named_by(&self, repository: &ImageReference, tags: Vec<Tag>) -> Result<BTreeMap<Tag, Digest>> {
        let heads = parallel::map(tags, parallel::REQUESTS, |tag| {
            let head = self.head_manifest(&repository.with_tag(tag.clone()))?;
            Ok(head.map(|head| (tag, head.digest)))
        });
        Ok(all(heads)?.into_iter().flatten().collect())
    }

    /// Adds manifests of these digests, and all that they lead to; what is not there is left out.
    ///
    /// # Errors
    /// As [`Client::contents`].
    pub(crate) fn look_at(
        &self,
        repository: &ImageReference,
        mut wanted: BTreeSet<Digest>,
        contents: &mut Contents,
    ) -> Result<()> {
        let mut asked: BTreeSet<Digest> = contents.manifests.keys().cloned().collect();
        loop {
            wanted.retain(|digest| asked.insert(digest.clone()));
            if wanted.is_empty() {
                break;
            }
            let found =
                parallel::map(std::mem::take(&mut wanted).into_iter().collect(), parallel::REQUESTS, |digest| {
                    Ok(self.known(&repository.with_digest(digest.clone()))?.map(|known| (digest, known)))
                });
            for (digest, known) in all(found)?.into_iter().flatten() {
                wanted.extend(known.children.iter().chain(&known.subject).cloned());
                if let Kind::Release(release) = &known.kind {
                    wanted.extend(release.previous.clone());
                }
                contents.manifests.insert(digest, known);
            }
        }
        name_indexes(contents);
        Ok(())
    }

    fn known(&self, reference: &ImageReference) -> Result<Option<Known>> {
        let Some(fetched) = if_there(self.get_manifest(reference))? else { return Ok(None) };
        let FetchedManifest { descriptor, bytes } = &fetched;
        let subject = serde_json::from_slice::<Value>(bytes).ok();
        let subject = subject.and_then(|value| value.pointer("/subject/digest")?.as_str()?.parse().ok());
        let own = (descriptor.digest.clone(), bytes.len() as u64);
        let mut known =
            Known { kind: Kind::Other, children: Vec::new(), subject, config: None, created: None, blobs: vec![own] };
        match AnyManifest::parse(bytes, &descriptor.media_type) {
            Ok(AnyManifest::Index(index)) => {
                known.children = index.manifests.into_iter().map(|child| child.digest).collect();
            }
            Ok(AnyManifest::Image(manifest)) => {
                known.blobs.extend(manifest.kept_layers().map(|layer| (layer.digest.clone(), layer.size)));
                known.blobs.push((manifest.config.digest.clone(), manifest.config.size));
                known.config = Some(manifest.config.digest.clone());
                (known.kind, known.created) = self.kind(reference, &manifest)?;
            }
            // No kind of ours.
            Err(_) => {}
        }
        Ok(Some(known))
    }

    /// What a manifest is, and when it was made.
    fn kind(&self, reference: &ImageReference, manifest: &Manifest) -> Result<(Kind, Option<i64>)> {
        match manifest.artifact_type.as_deref() {
            Some(THROWAWAY_TYPE) => return Ok((Kind::Throwaway, None)),
            Some(RELEASE_TYPE) => return Ok((self.release(reference)?, None)),
            Some(_) => return Ok((Kind::Other, None)),
            None if manifest.config.size > MAX_CONFIG => return Ok((Kind::Other, None)),
            None => {}
        }
        let mut bytes = Vec::new();
        let config = &manifest.config;
        if if_there(self.fetch_blob(reference, &config.digest, config.size, &mut bytes))?.is_none() {
            return Ok((Kind::Broken, None));
        }
        let Ok(config) = serde_json::from_slice::<ConfigFile>(&bytes) else { return Ok((Kind::Other, None)) };
        let is_ours = config.config.labels.is_some_and(|labels| labels.contains_key(INPUT_HASH));
        let created = config.created.as_deref().and_then(parse_rfc3339);
        Ok((if is_ours { Kind::Component } else { Kind::Other }, created))
    }

    fn release(&self, reference: &ImageReference) -> Result<Kind> {
        let read = || Release::parse(&self.get_artifact(reference, RELEASE_TYPE)?.content);
        let release = read().map_err(|cause| {
            let error = format!("cannot read the release `{reference}`, so nobody knows what it names");
            hinted_cause(cause, error, "delete it, or its repository's tags of it, if nothing needs it")
        })?;
        Ok(Kind::Release(Box::new(release)))
    }
}

/// An index is what its children are.
fn name_indexes(contents: &mut Contents) {
    let kinds: BTreeMap<Digest, Kind> =
        contents.manifests.iter().map(|(digest, known)| (digest.clone(), known.kind.clone())).collect();
    for known in contents.manifests.values_mut().filter(|known| !known.children.is_empty()) {
        let of_children = || known.children.iter().map(|child| kinds.get(child));
        if of_children().any(|kind| kind == Some(&Kind::Component)) {
            known.kind = Kind::Component;
        } else if of_children().any(|kind| kind.is_none_or(|kind| *kind == Kind::Broken)) {
            known.kind = Kind::Broken;
        }
    }
}
