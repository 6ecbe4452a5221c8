//! Writing: manifests, and blobs from a stream.

use std::io::{self, Read};

use anyhow::{Context, Result, bail, ensure};
use ureq::Body;
use ureq::http::{Method, Response, Uri};

use super::client::{ApiRequest, Client, PUSH, refused};
use super::download::into_anyhow;
use super::pull::{DIGEST_HEADER, header, status_of};
use crate::errors::hinted;
use crate::http::{ApiError, Failure, drain, host_port, is_same_origin, redacted};
use crate::image::manifest::Descriptor;
use crate::image::reference::{Digest, ImageReference, Repository};

/// How a blob came to be in a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PushOutcome {
    /// It was there.
    Existed,
    /// The registry took it from another repository.
    Mounted,
    Uploaded,
}

/// A blob to be pushed.
pub(super) struct BlobUpload<'a> {
    pub(super) descriptor: &'a Descriptor,
    /// Opens its content; again for each try.
    pub(super) open: &'a dyn Fn() -> Result<Box<dyn Read + Send + 'a>>,
    /// Called with each number of bytes sent.
    pub(super) on_bytes: &'a (dyn Fn(u64) + Sync),
}

/// What the registry made of the request for an upload.
enum Session {
    Mounted,
    Upload(Uri),
}

impl Client {
    /// Writes a manifest or index under `target`'s tag, or by its digest when there is no tag.
    /// All that it leads to must be there.
    ///
    /// # Errors
    /// [`ApiError`] within the chain when the registry refuses; a digest that it makes of the
    /// bytes and we do not; the registry cannot be asked.
    pub(crate) fn put_manifest(&self, target: &ImageReference, media_type: &str, bytes: &[u8]) -> Result<Digest> {
        let digest = Digest::of(bytes);
        let selector = target.tag.as_ref().map_or(digest.as_str(), |tag| tag.as_str());
        let put = || {
            ensure!(
                target.digest.as_ref().is_none_or(|expected| *expected == digest),
                "the manifest's digest is `{digest}`"
            );
            let mut request = ApiRequest::new(Method::PUT, target, PUSH, format!("manifests/{selector}"));
            request.headers.push(("Content-Type", media_type.to_owned()));
            request.body = bytes;
            let response = self.attempts().run(|attempts| self.send(&request, attempts).map_err(manifest_refused))?;
            check_stored_digest(&response, &digest)?;
            drain(response);
            Ok(())
        };
        put().with_context(|| match &target.tag {
            Some(tag) => format!("cannot push `{}:{tag}`", target.name()),
            None => format!("cannot push `{}@{digest}`", target.name()),
        })?;
        Ok(digest)
    }

    /// Whether `target`'s repository has a blob.
    ///
    /// # Errors
    /// The registry cannot be asked, or refuses.
    pub(super) fn has_blob(&self, target: &ImageReference, digest: &Digest) -> Result<bool> {
        match self.head_blob(target, digest, PUSH) {
            Ok(()) => Ok(true),
            // 405: it does not tell; sending the blob does no harm.
            Err(error) if matches!(status_of(&error), Some(404 | 405)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether images may be pushed to `target`'s repository: asks for an upload and cancels it, so that a
    /// refusal comes before anything is built (distribution-spec, "Cancel a blob upload").
    ///
    /// # Errors
    /// The registry refuses, or cannot be asked.
    pub(crate) fn check_push(&self, target: &ImageReference) -> Result<()> {
        let begun = self.begin_upload(target, &Digest::of(b""), None);
        let Session::Upload(session) = begun.with_context(|| format!("cannot push to `{}`", target.name()))? else {
            return Ok(());
        };
        let request = ApiRequest::new(Method::DELETE, target, PUSH, String::new());
        if is_same_origin(&session, &self.url(&request)?) {
            // Not all registries know how; they forget sessions by themselves.
            let _ = self.send_to(session, &request, &mut self.attempts()).map(drain);
        }
        Ok(())
    }

    /// Makes a blob exist in `target`'s repository: it is there, or one of the repositories
    /// `mount_from` of the same registry has it, or it is sent.
    ///
    /// # Errors
    /// [`ApiError`] within the chain when the registry refuses; content that cannot be read; the
    /// registry cannot be asked.
    pub(super) fn push_blob(
        &self,
        target: &ImageReference,
        blob: &BlobUpload<'_>,
        mount_from: &[Repository],
    ) -> Result<PushOutcome> {
        let digest = &blob.descriptor.digest;
        let (mut is_begun, mut renewed) = (false, false);
        // Of sending it, each in a session of its own; the small requests around that have tries of their own.
        let outcome = self.attempts().run(|_| {
            if self.has_blob(target, digest)? {
                // The answer to a try before may have been lost on the way, not the blob.
                return Ok(if is_begun { PushOutcome::Uploaded } else { PushOutcome::Existed });
            }
            let source = if is_begun { None } else { self.mount_source(target, digest, mount_from) };
            is_begun = true;
            match self.begin_upload(target, digest, source)? {
                Session::Mounted => return Ok(PushOutcome::Mounted),
                Session::Upload(session) => self.send_blob(target, blob, &session, &mut renewed)?,
            }
            Ok(PushOutcome::Uploaded)
        });
        outcome.with_context(|| format!("cannot push blob `{digest}` to `{}`", target.name()))
    }

    /// The repository to mount from: the only one, else the first that has the blob. One that may
    /// not be read has it not.
    fn mount_source<'r>(
        &self,
        target: &ImageReference,
        digest: &Digest,
        mount_from: &'r [Repository],
    ) -> Option<&'r Repository> {
        let may = |source: &&Repository| **source != target.repository && self.locations.may_mount(target, source);
        let others: Vec<_> = mount_from.iter().filter(may).collect();
        match others.as_slice() {
            [only] => Some(only),
            several => several.iter().copied().find(|source| {
                let source = ImageReference::new(target.registry.clone(), (*source).clone());
                self.head_blob(&source, digest, "pull").is_ok()
            }),
        }
    }

    /// Asks for an upload session, or for a mount: a refused one gives a session, by the same
    /// answer (202) or by another request.
    fn begin_upload(&self, target: &ImageReference, digest: &Digest, source: Option<&Repository>) -> Result<Session> {
        let request = ApiRequest::new(Method::POST, target, PUSH, "blobs/uploads/".to_owned());
        if let Some(source) = source {
            let mut mount = request.clone();
            mount.path = format!("blobs/uploads/?mount={digest}&from={source}");
            mount.also_reads = Some(source);
            match self.send(&mount, &mut self.attempts()) {
                Ok(response) if response.status().as_u16() == 201 => {
                    drain(response);
                    return Ok(Session::Mounted);
                }
                Ok(response) => return self.session(&mount, response),
                // Whatever it has against a mount, it may have nothing against an upload.
                Err(error) if status_of(&error).is_some_and(|status| status < 500) => {
                    self.locations.refuse_mount(target, source);
                }
                Err(error) => return Err(error),
            }
        }
        let response =
            self.send(&request, &mut self.attempts()).map_err(|error| match error.downcast_ref::<ApiError>() {
                Some(answer) if answer.is_not_found() => {
                    let hint = "some registries want a repository to be created before the first push";
                    hinted(answer.clone(), hint)
                }
                _ => error,
            })?;
        self.session(&request, response)
    }

    fn session(&self, request: &ApiRequest<'_>, response: Response<Body>) -> Result<Session> {
        let url = self.url(request)?;
        let session = self.http.location(&url, &response);
        drain(response);
        Ok(Session::Upload(session.context("the registry names no place to upload to")?))
    }

    /// Sends a blob into a session once (distribution-spec, pushing a blob monolithically).
    fn send_blob(
        &self,
        target: &ImageReference,
        blob: &BlobUpload<'_>,
        session: &Uri,
        renewed: &mut bool,
    ) -> Result<(), Failure> {
        let request = ApiRequest::new(Method::PUT, target, PUSH, String::new());
        let Descriptor { digest, size, .. } = blob.descriptor;
        let url = with_digest(session, digest)?;
        // A session elsewhere carries its permission in its address; ours is for the registry alone.
        let is_registry = is_same_origin(session, &self.url(&request)?);
        let authorization = match is_registry {
            true => self.auth.authorize(&self.http, &request, &mut self.attempts())?,
            false => None,
        };
        let mut content = UploadBody { inner: (blob.open)()?, left: *size, on_bytes: blob.on_bytes, failure: None };
        self.count();
        let answer = self.http.upload(&url, *size, &mut content, authorization.as_ref());
        if let Some(failure) = content.failure {
            return Err(into_anyhow(failure).context("cannot read what is to be sent").into());
        }
        let response = answer?;
        match response.status().as_u16() {
            200..=299 => {
                check_stored_digest(&response, digest)?;
                drain(response);
                Ok(())
            }
            401 if is_registry && !*renewed => {
                *renewed = true;
                self.auth.answer_challenge(
                    &self.http,
                    &request,
                    authorization.as_ref(),
                    response,
                    &mut self.attempts(),
                )?;
                Err(Failure::Renewed)
            }
            _ => Err(upload_refused(ApiError::read(&host_port(session), response), |error| match is_registry {
                true => self.auth.explain(error, &request, authorization.as_ref()),
                false => anyhow::Error::new(error).context(format!("`{}` refuses the upload", redacted(session))),
            })),
        }
    }
}

/// A manifest's digest is of the very bytes that are sent, so what says that it is another's passes: distribution
/// answers so while another publisher of the same blob rewrites the file that links it (`link`, empty for a moment).
fn manifest_refused(error: anyhow::Error) -> Failure {
    let answer = error.downcast_ref::<ApiError>();
    match answer.is_some_and(|answer| answer.code.as_deref() == Some("DIGEST_INVALID")) {
        true => Failure::Transient(error, None),
        false => error.into(),
    }
}

/// As [`refused`]; a registry that was started anew does not know the session, which the next one mends.
fn upload_refused(error: ApiError, explain: impl FnOnce(ApiError) -> anyhow::Error) -> Failure {
    let (code, retry_after) = (error.code.as_deref(), error.retry_after);
    let is_lost = error.status == 404 || matches!(code, Some("BLOB_UPLOAD_UNKNOWN" | "BLOB_UPLOAD_INVALID"));
    match refused(error, explain) {
        Failure::Permanent(error) if is_lost => Failure::Transient(error, retry_after),
        failure => failure,
    }
}

/// The address that ends an upload session: its own, with the digest.
fn with_digest(session: &Uri, digest: &Digest) -> Result<Uri> {
    let separator = if session.query().is_some() { '&' } else { '?' };
    let text = format!("{session}{separator}digest=sha256%3A{}", digest.hex());
    // The error would repeat the address, query and all.
    text.parse().ok().context("the registry names no valid place to upload to")
}

/// Refuses a registry that stored something else than it was sent. Saying nothing is allowed.
fn check_stored_digest(response: &Response<Body>, sent: &Digest) -> Result<()> {
    match header(response.headers(), DIGEST_HEADER) {
        Some(echoed) if echoed != sent.as_str() => {
            bail!("the registry says that it stored `{}`, but was sent `{sent}`", echoed.escape_debug())
        }
        _ => Ok(()),
    }
}

/// A blob's content on its way: exactly as long as announced, counted, and with its own failure
/// kept apart from the connection's.
struct UploadBody<'a> {
    inner: Box<dyn Read + Send + 'a>,
    left: u64,
    on_bytes: &'a (dyn Fn(u64) + Sync),
    failure: Option<io::Error>,
}

impl Read for UploadBody<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let failure = loop {
            match self.inner.read(&mut buffer[..most]) {
                Ok(0) => break io::Error::other(format!("it ends {} bytes early", self.left)),
                Ok(count) => {
                    self.left -= count as u64;
                    (self.on_bytes)(count as u64);
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break error,
            }
        };
        self.failure = Some(failure);
        Err(io::Error::other("the source failed"))
    }
}
