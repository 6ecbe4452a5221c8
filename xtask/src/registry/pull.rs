//! Reading: tags to digests, manifests, blobs.

use std::io::{self, Read, Write};

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest as _, Sha256};
use ureq::Body;
use ureq::http::{Method, Response};

use super::client::{ApiRequest, Client};
use super::error::ApiError;
use super::retry::Attempts;
use crate::image::manifest::{Descriptor, MANIFEST_TYPES};
use crate::image::reference::{Digest, ImageReference};

/// The largest manifest that registries must take (distribution-spec, pushing manifests).
const MAX_MANIFEST: u64 = 4 * 1024 * 1024;
const DIGEST_HEADER: &str = "Docker-Content-Digest";

/// A manifest or index, its digest checked.
#[derive(Clone, Debug)]
pub(crate) struct FetchedManifest {
    /// What it is, its digest, its size.
    pub(crate) descriptor: Descriptor,
    /// Its bytes.
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
        let mut attempts = self.attempts();
        let request = manifest_request(Method::HEAD, reference);
        match self.send(&request, &mut attempts) {
            Ok(response) => {
                if let Some(descriptor) = described(&response) {
                    if let Some(asked) = &reference.digest {
                        same_digest(&descriptor.digest, asked).with_context(|| format!("cannot read `{reference}`"))?;
                    }
                    return Ok(Some(descriptor));
                }
            }
            Err(error) => match error.downcast_ref::<ApiError>() {
                Some(answer) if answer.is_not_found() => return Ok(None),
                Some(answer) if answer.status == 405 => {}
                _ => return Err(error.context(format!("cannot look up `{reference}`"))),
            },
        }
        match self.get_manifest(reference) {
            Ok(manifest) => Ok(Some(manifest.descriptor)),
            Err(error) if is_not_found(&error) => Ok(None),
            Err(error) => Err(error),
        }
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
        let request = manifest_request(Method::GET, reference);
        let mut attempts = self.attempts();
        loop {
            let response = self.send(&request, &mut attempts)?;
            let announced = header(&response, DIGEST_HEADER).and_then(|text| text.parse().ok());
            let media_type = media_type(&response);
            let length = response.body().content_length();
            let mut bytes = Vec::new();
            let read = response.into_body().into_reader().take(MAX_MANIFEST + 1).read_to_end(&mut bytes);
            let cut = read.is_err() || length.is_some_and(|length| length > bytes.len() as u64);
            ensure!(bytes.len() as u64 <= MAX_MANIFEST, "the manifest is larger than 4 MiB");
            if cut {
                if attempts.wait(None) {
                    continue;
                }
                bail!("the connection was cut within the manifest");
            }
            let descriptor = Descriptor::of(&media_type, &bytes);
            // The digest asked for decides; else what is announced must at least be true.
            if let Some(expected) = reference.digest.as_ref().or(announced.as_ref()) {
                same_digest(&descriptor.digest, expected)?;
            }
            return Ok(FetchedManifest { descriptor, bytes });
        }
    }

    /// Reads a blob of `reference`'s repository into `out`, checking digest and size. A cut
    /// connection is taken up where it was cut.
    ///
    /// # Errors
    /// It does not exist ([`ApiError`] in the chain); content of another digest or size; the
    /// registry cannot be asked; a failing `out`. What `out` got is then worthless.
    pub(crate) fn fetch_blob(
        &self,
        reference: &ImageReference,
        digest: &Digest,
        size: u64,
        out: &mut dyn Write,
    ) -> Result<()> {
        let mut blob = Download { size, received: 0, hasher: Sha256::new(), out };
        self.download(reference, digest, &mut blob)
            .with_context(|| format!("cannot read blob `{digest}` of `{}`", reference.name()))
    }

    fn download(&self, reference: &ImageReference, digest: &Digest, blob: &mut Download<'_>) -> Result<()> {
        let mut attempts = self.attempts();
        while !self.download_part(reference, digest, blob, &mut attempts)? {
            ensure!(attempts.wait(None), "the connection was cut after {} of {} bytes", blob.received, blob.size);
        }
        same_digest(&Digest::finish(std::mem::take(&mut blob.hasher)), digest)
    }

    /// Reads on from where the download is; false when the connection was cut.
    fn download_part(
        &self,
        reference: &ImageReference,
        digest: &Digest,
        blob: &mut Download<'_>,
        attempts: &mut Attempts,
    ) -> Result<bool> {
        let mut headers = Vec::new();
        if blob.received > 0 {
            headers.push(("Range", format!("bytes={}-", blob.received)));
        }
        let request = ApiRequest {
            method: Method::GET,
            registry: &reference.registry,
            repository: &reference.repository,
            actions: "pull",
            path: format!("blobs/{digest}"),
            headers,
        };
        let response = self.send(&request, attempts)?;
        // Anything but the rest from where we are is the whole blob again.
        let wanted = format!("bytes {}-", blob.received);
        let is_rest = response.status().as_u16() == 206
            && header(&response, "Content-Range").is_some_and(|range| range.starts_with(&wanted));
        ensure!(
            is_rest || response.status().as_u16() != 206,
            "the registry answered with another part than was asked for"
        );
        let known = if is_rest { 0 } else { blob.received };
        blob.take(response, known)
    }
}

/// A blob on its way.
struct Download<'a> {
    size: u64,
    received: u64,
    hasher: Sha256,
    out: &'a mut dyn Write,
}

impl Download<'_> {
    /// Reads a body whose first `skip` bytes are known already; false when it was cut.
    fn take(&mut self, response: Response<Body>, mut skip: u64) -> Result<bool> {
        let mut body = response.into_body().into_reader();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let count = match body.read(&mut buffer) {
                Ok(0) => return Ok(self.received == self.size),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return Ok(false),
            };
            let known = usize::try_from(skip).unwrap_or(usize::MAX).min(count);
            skip -= known as u64;
            let bytes = &buffer[known..count];
            self.received += bytes.len() as u64;
            ensure!(self.received <= self.size, "it is longer than its {} bytes", self.size);
            self.hasher.update(bytes);
            self.out.write_all(bytes)?;
        }
    }
}

fn manifest_request(method: Method, reference: &ImageReference) -> ApiRequest<'_> {
    ApiRequest {
        method,
        registry: &reference.registry,
        repository: &reference.repository,
        actions: "pull",
        path: format!("manifests/{}", reference.selector()),
        headers: vec![("Accept", MANIFEST_TYPES.join(", "))],
    }
}

/// What a HEAD says, when it says all.
fn described(response: &Response<Body>) -> Option<Descriptor> {
    let digest = header(response, DIGEST_HEADER)?.parse().ok()?;
    let size = header(response, "Content-Length")?.parse().ok()?;
    Some(Descriptor::new(&media_type(response), digest, size))
}

fn media_type(response: &Response<Body>) -> String {
    let text = header(response, "Content-Type").unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim().to_owned()
}

fn header<'a>(response: &'a Response<Body>, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

fn same_digest(found: &Digest, expected: &Digest) -> Result<()> {
    ensure!(found == expected, "the registry sent `{found}` for `{expected}`");
    Ok(())
}

pub(super) fn is_not_found(error: &anyhow::Error) -> bool {
    error.downcast_ref::<ApiError>().is_some_and(ApiError::is_not_found)
}
