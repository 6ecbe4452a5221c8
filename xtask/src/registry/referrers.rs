//! What is attached to an image: its referrers (OCI distribution-spec 1.1), found as verifiers find them: by the API,
//! and where the registry has none, in the index under the tag `sha256-<hex>` ("Referrers Tag Schema").

use std::collections::{BTreeMap, HashSet};

use anyhow::{Context, Result, bail, ensure};
use ureq::http::{Method, Uri};

use super::artifact::MAX_CONTENT;
use super::client::{ApiRequest, Client};
use super::pull::{FetchedManifest, header, if_there, status_of};
use crate::http::{is_same_origin, next_link};
use crate::image::manifest::{AnyManifest, Descriptor, Index, Manifest, OCI_INDEX};
use crate::image::reference::{Digest, ImageReference, Tag};
use crate::system::parallel;

/// A page is this many bytes at most, as a manifest.
const MAX_PAGE: u64 = 4 * 1024 * 1024;
const MAX_PAGES: usize = 100;
/// Each is read: who attaches more than these attaches without an end. (Kyverno gives up after 50.)
const MAX_REFERRERS: usize = 1000;

/// A document that is attached to an image: its manifest was read, and names the image as its subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Referrer {
    /// Its manifest's, with type and annotations, as an index of referrers has to name it.
    pub(crate) descriptor: Descriptor,
    /// Where the document is; nothing when there is not exactly one.
    document: Option<Descriptor>,
}

impl Referrer {
    /// What the document is.
    pub(crate) fn artifact_type(&self) -> &str {
        self.descriptor.artifact_type.as_deref().unwrap_or_default()
    }

    /// A note of its manifest.
    pub(crate) fn annotation(&self, key: &str) -> Option<&str> {
        self.descriptor.annotations.get(key).map(String::as_str)
    }

    /// That of `subject` whose manifest this is; nothing when it is something else.
    pub(super) fn of(subject: &Digest, fetched: &FetchedManifest) -> Option<Self> {
        let Ok(AnyManifest::Image(manifest)) = AnyManifest::parse(&fetched.bytes, &fetched.descriptor.media_type)
        else {
            return None;
        };
        let Manifest { artifact_type, config, layers, annotations, subject: Some(named), .. } = manifest else {
            return None;
        };
        let artifact_type = artifact_type.filter(|kind| !kind.is_empty()).unwrap_or(config.media_type);
        let descriptor = Descriptor { artifact_type: Some(artifact_type), annotations, ..fetched.descriptor.clone() };
        let document = <[Descriptor; 1]>::try_from(layers).ok().map(|[layer]| layer);
        (named.digest == *subject).then_some(Referrer { descriptor, document })
    }
}

/// What a registry lists for an image, before any of it is looked at.
pub(super) struct Listing {
    /// The index below the fallback tag; nothing where the registry has the API, or no index is there.
    pub(super) fallback: Option<FetchedManifest>,
    pub(super) has_api: bool,
    pub(super) entries: Vec<Descriptor>,
}

/// What an entry of a list turned out to be.
pub(super) enum Looked {
    Attached(Referrer),
    /// Something that we do not know how to read.
    Other(Descriptor),
    /// It is gone, or names another image as its subject.
    False,
}

/// The tag of the index of an image's referrers, where the registry keeps no such list.
pub(super) fn fallback_tag(subject: &Digest) -> Tag {
    format!("sha256-{}", subject.hex()).parse().expect("a digest's digits make a tag")
}

impl Client {
    /// What is attached to `subject` in `repository`, each looked at; none for what is not there.
    ///
    /// # Errors
    /// More than a thousand; the registry cannot be asked.
    pub(crate) fn referrers(&self, repository: &ImageReference, subject: &Digest) -> Result<Vec<Referrer>> {
        let listing = self.referrer_list(repository, subject)?;
        self.attached_among(repository, subject, listing.entries)
    }

    /// As [`Client::referrers`]; without looking at what the list says to be of other types.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn referrers_of_types(
        &self,
        repository: &ImageReference,
        subject: &Digest,
        types: &[&str],
    ) -> Result<Vec<Referrer>> {
        let mut entries = self.referrer_list(repository, subject)?.entries;
        entries.retain(|entry| entry.artifact_type.as_deref().is_none_or(|said| types.contains(&said)));
        self.attached_among(repository, subject, entries)
    }

    fn attached_among(
        &self,
        repository: &ImageReference,
        subject: &Digest,
        entries: Vec<Descriptor>,
    ) -> Result<Vec<Referrer>> {
        let looked = self.look_at_entries(repository, subject, entries)?.into_iter();
        Ok(looked.filter_map(|found| if let Looked::Attached(it) = found { Some(it) } else { None }).collect())
    }

    /// The document of a referrer.
    ///
    /// # Errors
    /// There is not exactly one, it is too large, or gone; the registry cannot be asked.
    pub(crate) fn attached_document(&self, repository: &ImageReference, referrer: &Referrer) -> Result<Vec<u8>> {
        let name = || format!("`{}@{}`", repository.name(), referrer.descriptor.digest);
        let document = referrer.document.as_ref().with_context(|| format!("{} is not one document", name()))?;
        ensure!(document.size <= MAX_CONTENT, "the document of {} has {} bytes", name(), document.size);
        let mut content = Vec::new();
        self.fetch_blob(repository, &document.digest, document.size, &mut content)?;
        Ok(content)
    }

    /// What the registry lists.
    pub(super) fn referrer_list(&self, repository: &ImageReference, subject: &Digest) -> Result<Listing> {
        let listed = self.listed(repository, subject);
        let listing =
            listed.with_context(|| format!("cannot list what is attached to `{}@{subject}`", repository.name()))?;
        let count = listing.entries.len();
        ensure!(
            count <= MAX_REFERRERS,
            "{count} documents are attached to `{}@{subject}`, more than {MAX_REFERRERS}",
            repository.name()
        );
        Ok(listing)
    }

    fn listed(&self, repository: &ImageReference, subject: &Digest) -> Result<Listing> {
        if let Some(entries) = self.api_list(repository, subject)? {
            return Ok(Listing { fallback: None, has_api: true, entries });
        }
        let reference = repository.with_tag(fallback_tag(subject));
        let Some(fallback) = if_there(self.get_manifest(&reference))? else {
            return Ok(Listing { fallback: None, has_api: false, entries: Vec::new() });
        };
        match AnyManifest::parse(&fallback.bytes, &fallback.descriptor.media_type) {
            Ok(AnyManifest::Index(index)) => {
                Ok(Listing { fallback: Some(fallback), has_api: false, entries: index.manifests })
            }
            _ => bail!("`{reference}` is no index"),
        }
    }

    /// All pages of the API's list; nothing where there is no API. Whatever else than an index says that, as
    /// go-containerregistry reads it, and with it cosign, Kyverno and Trivy.
    fn api_list(&self, repository: &ImageReference, subject: &Digest) -> Result<Option<Vec<Descriptor>>> {
        let mut request = ApiRequest::new(Method::GET, repository, "pull", format!("referrers/{subject}"));
        request.headers.push(("Accept", OCI_INDEX.to_owned()));
        let mut url = self.url(&request)?;
        let Some((mut entries, mut next)) = self.referrers_page(&request, &url)? else { return Ok(None) };
        let mut read = HashSet::from([url.clone()]);
        while let Some(page) = next {
            ensure!(is_same_origin(&page, &self.http.secured(url)), "the list goes on at another host");
            ensure!(read.insert(page.clone()), "the list leads back to a page that was read");
            ensure!(read.len() <= MAX_PAGES, "the list has more than {MAX_PAGES} pages");
            let (more, after) = self.referrers_page(&request, &page)?.context("the list ends within its pages")?;
            entries.extend(more);
            (url, next) = (page, after);
        }
        Ok(Some(entries))
    }

    fn referrers_page(&self, request: &ApiRequest<'_>, url: &Uri) -> Result<Option<(Vec<Descriptor>, Option<Uri>)>> {
        let (head, bytes) = match self.read(url, request, MAX_PAGE) {
            Err(error) if matches!(status_of(&error), Some(400 | 404 | 405 | 406)) => return Ok(None),
            answer => answer?,
        };
        let kind = header(&head.headers, "Content-Type").unwrap_or_default();
        if kind.split(';').next().unwrap_or_default().trim() != OCI_INDEX {
            return Ok(None);
        }
        let index: Index = serde_json::from_slice(&bytes).context("the list is not valid")?;
        let url = self.http.secured(url.clone());
        let next = next_link(&head.headers).map(|link| self.http.resolve(&url, &link)).transpose()?;
        Ok(Some((index.manifests, next)))
    }

    /// Reads every entry's manifest: lists lie, and name what is gone.
    pub(super) fn look_at_entries(
        &self,
        repository: &ImageReference,
        subject: &Digest,
        entries: Vec<Descriptor>,
    ) -> Result<Vec<Looked>> {
        // Each once, in the list's order.
        let mut known = BTreeMap::new();
        let entries = entries.into_iter().filter(|entry| known.insert(entry.digest.clone(), ()).is_none()).collect();
        let looked = parallel::map(entries, parallel::REQUESTS, |entry| self.look(repository, subject, entry));
        looked.into_iter().collect()
    }

    fn look(&self, repository: &ImageReference, subject: &Digest, entry: Descriptor) -> Result<Looked> {
        let Some(fetched) = if_there(self.get_manifest(&repository.with_digest(entry.digest.clone())))? else {
            return Ok(Looked::False);
        };
        if let Some(referrer) = Referrer::of(subject, &fetched) {
            return Ok(Looked::Attached(referrer));
        }
        let document: serde_json::Value = serde_json::from_slice(&fetched.bytes).unwrap_or_default();
        let named = document["subject"]["digest"].as_str().is_some_and(|named| named != subject.as_str());
        Ok(if named { Looked::False } else { Looked::Other(entry) })
    }
}
