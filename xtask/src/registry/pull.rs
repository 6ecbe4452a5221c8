//! Reading: tags to digests, manifests.

use anyhow::{Context, Result, bail};
use ureq::Body;
use ureq::http::{HeaderMap, Method, Response};

use super::client::{ApiRequest, Client};
use super::error::WrongContent;
use crate::http::{ApiError, drain};
use crate::image::manifest::{Descriptor, MANIFEST_TYPES};
use crate::image::reference::{Digest, ImageReference};

/// The largest manifest that registries must take (distribution-spec, pushing manifests).
const MAX_MANIFEST: u64 = 4 * 1024 * 1024;
/// Where a registry says what digest content has.
pub(super) const DIGEST_HEADER: &str = "Docker-Content-Digest";

/// A manifest or index, its digest checked.
#[derive(Clone, Debug)]
pub(crate) struct FetchedManifest {
    pub(crate) descriptor: Descriptor,
    pub(crate) bytes: Vec<u8>,
}

impl Client {
    /// The digest that `reference` has in its registry now: a tag's, or its own when that is
    /// there.
    ///
    /// # Errors
    /// It does not exist, or the registry cannot be asked.
    pub(crate) fn resolve(&self, reference: &ImageReference) -> Result<Digest> {
        match self.head_manifest(reference)? {
            Some(descriptor) => Ok(descriptor.digest),
            None => bail!("`{reference}` does not exist in the registry"),
        }
    }

    /// What `reference` is in its registry, or `None` when it does not exist. Asks by HEAD, and
    /// by GET where the registry does not say all in the headers.
    ///
    /// # Errors
    /// The registry cannot be asked.
    pub(crate) fn head_manifest(&self, reference: &ImageReference) -> Result<Option<Descriptor>> {
        self.head_manifest_to(reference, "pull")
    }

    /// As [`Client::head_manifest`], on the way to other `actions`.
    ///
    /// # Errors
    /// As [`Client::head_manifest`].
    pub(super) fn head_manifest_to(
        &self,
        reference: &ImageReference,
        actions: &'static str,
    ) -> Result<Option<Descriptor>> {
        let mut attempts = self.attempts();
        let request = manifest_request(Method::HEAD, reference, actions);
        match self.send(&request, &mut attempts) {
            Ok(response) => {
                if let Some(descriptor) = described(&response) {
                    if let Some(asked) = &reference.digest {
                        same_digest(&descriptor.digest, asked).with_context(|| format!("cannot read `{reference}`"))?;
                    }
                    return Ok(Some(descriptor));
                }
            }
            Err(error) => match status_of(&error) {
                Some(404) => return Ok(None),
                Some(405) => {}
                _ => return Err(error.context(format!("cannot look up `{reference}`"))),
            },
        }
        Ok(if_there(self.get_manifest(reference))?.map(|manifest| manifest.descriptor))
    }

    /// Asks by HEAD whether a blob is there, on the way to `actions`.
    ///
    /// # Errors
    /// The registry refuses, for one that is not there by 404, and by 405 when it does not tell.
    pub(super) fn head_blob(&self, on: &ImageReference, digest: &Digest, actions: &'static str) -> Result<()> {
        let request = ApiRequest::new(Method::HEAD, on, actions, format!("blobs/{digest}"));
        self.send(&request, &mut self.attempts()).map(drain)
    }

    /// Reads a manifest or index.
    ///
    /// # Errors
    /// It does not exist ([`ApiError`] in the chain); content that is not that of the digest
    /// asked for or announced; the registry cannot be asked.
    pub(crate) fn get_manifest(&self, reference: &ImageReference) -> Result<FetchedManifest> {
        self.get_checked(reference).with_context(|| format!("cannot read `{reference}`"))
    }

    fn get_checked(&self, reference: &ImageReference) -> Result<FetchedManifest> {
        let request = manifest_request(Method::GET, reference, "pull");
        let (head, bytes) = self.read(&self.url(&request)?, &request, MAX_MANIFEST)?;
        let descriptor = Descriptor::of(&media_type(&head.headers), &bytes);
        let announced = header(&head.headers, DIGEST_HEADER).and_then(|text| text.parse().ok());
        // The digest asked for decides; else what is announced must at least be true.
        if let Some(expected) = reference.digest.as_ref().or(announced.as_ref()) {
            same_digest(&descriptor.digest, expected)?;
        }
        Ok(FetchedManifest { descriptor, bytes })
    }
}

fn manifest_request<'a>(method: Method, reference: &'a ImageReference, actions: &'static str) -> ApiRequest<'a> {
    let mut request = ApiRequest::new(method, reference, actions, format!("manifests/{}", reference.selector()));
    request.headers.push(("Accept", MANIFEST_TYPES.join(", ")));
    request
}

/// What a HEAD says, when it says all.
fn described(response: &Response<Body>) -> Option<Descriptor> {
    let headers = response.headers();
    let digest = header(headers, DIGEST_HEADER)?.parse().ok()?;
    let size = header(headers, "Content-Length")?.parse().ok()?;
    Some(Descriptor::new(&media_type(headers), digest, size))
}

fn media_type(headers: &HeaderMap) -> String {
    let text = header(headers, "Content-Type").unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim().to_owned()
}

/// A header of an answer.
pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Refuses what the registry sent for something else.
pub(super) fn same_digest(found: &Digest, expected: &Digest) -> Result<()> {
    if found != expected {
        bail!(WrongContent(format!("the registry sent `{found}` for `{expected}`")));
    }
    Ok(())
}

/// The status by which a registry, or its token service, refused.
pub(super) fn status_of(error: &anyhow::Error) -> Option<u16> {
    error.downcast_ref::<ApiError>().map(|answer| answer.status)
}

/// `None` for what does not exist.
pub(super) fn if_there<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Err(error) if is_not_found(&error) => Ok(None),
        result => result.map(Some),
    }
}

pub(super) fn is_not_found(error: &anyhow::Error) -> bool {
    status_of(error) == Some(404)
}
