//! GET requests to other services than registries, with the same connections, patience and rules:
//! credentials stay with the host they are for, plain text with this machine.

use std::io::Read;

use anyhow::{Context, Result, bail, ensure};
use ureq::Body;
use ureq::http::{HeaderMap, Method, Response, Uri};

use super::client::retry_after;
use super::credentials::Secret;
use super::error::ApiError;
use super::http::{Exchange, Failure, Http};
use super::retry::{Attempts, RetryPolicy, is_retryable};

/// What is downloaded from services with an HTTP API.
pub(crate) struct Downloader {
    http: Http,
    policy: RetryPolicy,
}

/// What a service answered in the end.
pub(crate) enum Answer {
    /// The headers and the body of a 2xx.
    Body(HeaderMap, Vec<u8>),
    /// Any other status, with its headers.
    Refused(HeaderMap, ApiError),
}

impl Downloader {
    /// No connection is made yet.
    pub(crate) fn new() -> Self {
        Downloader { http: Http::new(), policy: RetryPolicy::default() }
    }

    /// Reads `url`, whose body may have at most `limit` bytes. Redirects are followed;
    /// `authorization` goes to the first host alone. Connection faults, 408, 429 and 5xx are tried
    /// again, unless the answer says that this hour's requests are used up.
    ///
    /// # Errors
    /// A bad address, no answer, a cut or a longer body.
    pub(crate) fn get(
        &self,
        url: &str,
        headers: &[(&'static str, String)],
        authorization: &Secret,
        limit: u64,
    ) -> Result<Answer> {
        let url: Uri = url.parse().ok().with_context(|| format!("`{}` is no address", url.escape_debug()))?;
        let host = url.authority().map_or("", |authority| authority.as_str()).to_owned();
        let exchange = Exchange { method: Method::GET, url, headers, body: &[] };
        let mut attempts = Attempts::new(self.policy);
        loop {
            let response = match self.http.exchange(&exchange, Some(authorization.reveal())) {
                Ok(response) => response,
                Err(Failure::Connection(_)) if attempts.wait(None) => continue,
                Err(failure) => return Err(failure.into_error()),
            };
            let headers = response.headers().clone();
            if response.status().is_success() {
                if let Some(bytes) = read_body(response, limit)? {
                    return Ok(Answer::Body(headers, bytes));
                }
                ensure!(attempts.wait(None), "`{host}` cut the connection within its answer");
                continue;
            }
            let used_up = headers.get("x-ratelimit-remaining").is_some_and(|left| left == "0");
            if is_retryable(response.status().as_u16()) && !used_up && attempts.wait(retry_after(&response)) {
                continue;
            }
            return Ok(Answer::Refused(headers, ApiError::read(&host, response)));
        }
    }
}

/// The whole body, or `None` when it was cut.
fn read_body(response: Response<Body>, limit: u64) -> Result<Option<Vec<u8>>> {
    let length = response.body().content_length();
    let mut bytes = Vec::new();
    let read = response.into_body().into_reader().take(limit + 1).read_to_end(&mut bytes);
    let size = bytes.len() as u64;
    if size > limit || length.is_some_and(|length| length > limit) {
        bail!("the answer is longer than {limit} bytes");
    }
    let cut = read.is_err() || length.is_some_and(|length| length > size);
    Ok((!cut).then_some(bytes))
}
