//! A blob read from a registry as a stream: checked, and taken up where a connection was cut.

use std::fmt;
use std::io::{self, Read, Write};

use anyhow::{Context, Result, anyhow, ensure};
use sha2::{Digest as _, Sha256};
use ureq::BodyReader;
use ureq::http::Method;

use super::client::{ApiRequest, Client};
use super::pull::{header, same_digest};
use crate::http::{Attempts, Failure};
use crate::image::reference::{Digest, ImageReference};

/// A blob on its way here. Its last bytes come only when all of it has the digest asked for.
pub(crate) struct BlobReader<'a> {
    client: &'a Client,
    reference: ImageReference,
    digest: Digest,
    size: u64,
    received: u64,
    hasher: Sha256,
    attempts: Attempts,
    /// `None`: the connection was cut, or has not begun.
    body: Option<BodyReader<'static>>,
    /// Bytes of `body` that are known already.
    skip: u64,
}

/// An [`anyhow::Error`] within an [`io::Error`].
#[derive(Debug)]
struct BlobError(anyhow::Error);

impl fmt::Display for BlobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

impl std::error::Error for BlobError {}

/// The error that a [`BlobReader`] meant, with its chain.
pub(super) fn into_anyhow(error: io::Error) -> anyhow::Error {
    match error.downcast::<BlobError>() {
        Ok(BlobError(error)) => error,
        Err(error) => error.into(),
    }
}

impl Client {
    /// Begins to read a blob of `reference`'s repository.
    ///
    /// # Errors
    /// It does not exist ([`crate::http::ApiError`] in the chain); the registry cannot be asked.
    pub(crate) fn open_blob(&self, reference: &ImageReference, digest: &Digest, size: u64) -> Result<BlobReader<'_>> {
        let mut attempts = self.attempts();
        let mut reader = BlobReader {
            client: self,
            reference: reference.clone(),
            digest: digest.clone(),
            size,
            received: 0,
            hasher: Sha256::new(),
            attempts,
            body: None,
            skip: 0,
        };
        reader.request(&mut attempts).with_context(|| reader.shown())?;
        reader.attempts = attempts;
        Ok(reader)
    }

    /// Reads a blob of `reference`'s repository into `out`, checking digest and size. A cut
    /// connection is taken up where it was cut.
    ///
    /// # Errors
    /// It does not exist ([`crate::http::ApiError`] in the chain); content of another digest or
    /// size; the registry cannot be asked; a failing `out`. What `out` got is then worthless.
    pub(crate) fn fetch_blob(
        &self,
        reference: &ImageReference,
        digest: &Digest,
        size: u64,
        out: &mut dyn Write,
    ) -> Result<()> {
        let mut blob = self.open_blob(reference, digest, size)?;
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match blob.read(&mut buffer).map_err(into_anyhow)? {
                0 => return Ok(()),
                count => out.write_all(&buffer[..count]).with_context(|| blob.shown())?,
            }
        }
    }
}

impl BlobReader<'_> {
    fn shown(&self) -> String {
        format!("cannot read blob `{}` of `{}`", self.digest, self.reference.name())
    }

    /// Asks for what is missing.
    fn request(&mut self, attempts: &mut Attempts) -> Result<()> {
        let mut request = ApiRequest::new(Method::GET, &self.reference, "pull", format!("blobs/{}", self.digest));
        request.blob_size = self.size;
        if self.received > 0 {
            request.headers.push(("Range", format!("bytes={}-", self.received)));
        }
        let response = self.client.send(&request, attempts)?;
        // Anything but the rest from where we are is the whole blob again.
        let wanted = format!("bytes {}-", self.received);
        let is_rest = response.status().as_u16() == 206
            && header(response.headers(), "Content-Range").is_some_and(|range| range.starts_with(&wanted));
        ensure!(
            is_rest || response.status().as_u16() != 206,
            "the registry answered with another part than was asked for"
        );
        self.skip = if is_rest { 0 } else { self.received };
        self.body = Some(response.into_body().into_reader());
        Ok(())
    }

    /// Reads what comes next.
    fn receive(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        loop {
            let count = match self.body.as_mut().map_or(Ok(0), |body| body.read(buffer)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Ok(0) | Err(_) => {
                    self.body = None;
                    let error = anyhow!("the connection was cut after {} of {} bytes", self.received, self.size);
                    return Err(Failure::Transient(error, None));
                }
                Ok(count) => count,
            };
            let known = usize::try_from(self.skip).unwrap_or(usize::MAX).min(count);
            self.skip -= known as u64;
            let new = count - known;
            if new == 0 {
                continue;
            }
            buffer.copy_within(known..count, 0);
            self.received += new as u64;
            if self.received > self.size {
                return Err(anyhow!("it is longer than its {} bytes", self.size).into());
            }
            self.hasher.update(&buffer[..new]);
            if self.received == self.size {
                self.finish()?;
            }
            return Ok(new);
        }
    }

    fn finish(&mut self) -> Result<()> {
        self.body = None;
        same_digest(&Digest::finish(std::mem::take(&mut self.hasher)), &self.digest)
    }

    fn read_on(&mut self, buffer: &mut [u8]) -> Result<usize> {
        if self.received == self.size {
            if self.size == 0 && self.body.is_some() {
                self.finish()?;
            }
            return Ok(0);
        }
        // Of the whole blob, not of each reading.
        let mut attempts = self.attempts;
        let outcome = attempts.run(|attempts| {
            if self.body.is_none() {
                self.request(attempts)?;
            }
            self.receive(buffer)
        });
        self.attempts = attempts;
        outcome
    }
}

impl Read for BlobReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        self.read_on(buffer).with_context(|| self.shown()).map_err(|error| io::Error::other(BlobError(error)))
    }
}
