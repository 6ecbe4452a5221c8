//! GET requests to other services than registries, with the same connections, patience and rules:
//! credentials stay with the host they are for, plain text with this machine.

use anyhow::{Context, Result};
use ureq::http::{HeaderMap, Method, Uri};

use super::address::host_port;
use super::bounded_body::read_whole;
use super::error::ApiError;
use super::exchange::{Exchange, Http};
use super::retry::{Attempts, Failure, RetryPolicy};
use super::secret::Secret;

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
        let policy = RetryPolicy::default();
        Downloader { http: Http::new(policy.whole_answer), policy }
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
        // Without what may be a user and a password.
        let bare = || url.rsplit('@').next().unwrap_or_default().escape_debug();
        let url: Uri = url.parse().ok().with_context(|| format!("`{}` is no address", bare()))?;
        let host = host_port(&url);
        let exchange = Exchange { method: Method::GET, url, headers, body: &[], blob_size: 0 };
        let if_cut = format!("`{host}` cut the connection within its answer, or is too slow");
        Attempts::new(self.policy).run(|_| {
            let response = self.http.exchange(&exchange, Some(authorization))?;
            let headers = response.headers().clone();
            if response.status().is_success() {
                return Ok(Answer::Body(headers, read_whole(response.into_body(), limit, &if_cut)?));
            }
            let error = ApiError::read(&host, response);
            let used_up = headers.get("x-ratelimit-remaining").is_some_and(|left| left == "0");
            match error.is_transient() && !used_up {
                true => Err(Failure::Transient(error.clone().into(), error.retry_after)),
                false => Ok(Answer::Refused(headers, error)),
            }
        })
    }
}
