//! The way every request takes: authorized, repeated, its failure explained.

use std::time::Duration;

use anyhow::{Context, Result};
use ureq::Body;
use ureq::http::{Method, Response, Uri};

use super::auth::Auth;
use super::credentials::Credentials;
use super::error::ApiError;
use super::http::{Exchange, Failure, Http};
use super::retry::{Attempts, RetryPolicy, is_retryable, parse_retry_after};
use crate::image::reference::{Registry, Repository};

/// A client for all registries. Threads may share one.
pub(crate) struct Client {
    http: Http,
    auth: Auth,
    policy: RetryPolicy,
}

/// A request to a registry's API.
pub(super) struct ApiRequest<'a> {
    /// The method.
    pub(super) method: Method,
    /// Where to.
    pub(super) registry: &'a Registry,
    /// What it concerns, for authorization.
    pub(super) repository: &'a Repository,
    /// What it does there: `pull`, `pull,push`, `delete` (distribution's token scope actions).
    pub(super) actions: &'static str,
    /// The path below `/v2/REPOSITORY/`.
    pub(super) path: String,
    /// Header names and values.
    pub(super) headers: Vec<(&'static str, String)>,
}

impl Client {
    /// A client that shows `credentials` to the registries they are for.
    pub(crate) fn new(credentials: Credentials) -> Self {
        Client::with_policy(credentials, RetryPolicy::default())
    }

    /// As [`Client::new`], with other patience.
    pub(crate) fn with_policy(credentials: Credentials, policy: RetryPolicy) -> Self {
        Client { http: Http::new(), auth: Auth::new(credentials), policy }
    }

    /// Begins an operation, which may take several requests.
    pub(super) fn attempts(&self) -> Attempts {
        Attempts::new(self.policy)
    }

    /// Sends a request, with a token if one is asked for, and again after connection faults,
    /// 408, 429 and 5xx, as often as `attempts` allows. Gives answers of 2xx.
    ///
    /// # Errors
    /// [`ApiError`] within the chain for other answers; no answer; no token.
    pub(super) fn send(&self, request: &ApiRequest<'_>, attempts: &mut Attempts) -> Result<Response<Body>> {
        let url: Uri = format!("{}/v2/{}/{}", base_url(request.registry), request.repository, request.path)
            .parse()
            .with_context(|| format!("registry `{}` gives no valid address", request.registry))?;
        let exchange = Exchange { method: request.method.clone(), url, headers: &request.headers, body: &[] };
        let scope = format!("repository:{}:{}", request.repository, request.actions);
        // Whether the authorization in use was made for this very answer: a second refusal of
        // it is final, one of an older token is only its end.
        let mut fresh = false;
        loop {
            let authorization = self.auth.known(request.registry, &scope);
            let response = match self.http.exchange(&exchange, authorization.as_deref()) {
                Ok(response) => response,
                Err(Failure::Connection(_)) if attempts.wait(None) => continue,
                Err(failure) => return Err(failure.into_error()),
            };
            match response.status().as_u16() {
                200..=299 => return Ok(response),
                401 if !fresh => {
                    self.auth.answer(&self.http, request, &scope, response, attempts)?;
                    fresh = true;
                }
                status if is_retryable(status) => {
                    fresh = false;
                    let retry_after = retry_after(&response);
                    if !attempts.wait(retry_after) {
                        let error = ApiError::read(request.registry.as_str(), response);
                        return Err(with_wait(error, retry_after));
                    }
                }
                _ => {
                    let error = ApiError::read(request.registry.as_str(), response);
                    return Err(self.auth.explain(error, request));
                }
            }
        }
    }
}

/// Where a registry's API is. Plain http is spoken with this machine alone.
fn base_url(registry: &Registry) -> String {
    if registry.is_docker_hub() {
        // The names of Docker Hub's images and of its API have been different hosts ever since.
        return "https://registry-1.docker.io".to_owned();
    }
    let scheme = if registry.is_loopback() { "http" } else { "https" };
    format!("{scheme}://{registry}")
}

/// What the answer says about coming back.
pub(super) fn retry_after(response: &Response<Body>) -> Option<Duration> {
    parse_retry_after(response.headers().get("Retry-After")?.to_str().ok()?)
}

/// Adds how long the registry asks to wait, when that is why we gave up.
pub(super) fn with_wait(error: ApiError, retry_after: Option<Duration>) -> anyhow::Error {
    match retry_after {
        Some(wait) => {
            let hint = format!("the registry asks to come back in {} seconds", wait.as_secs());
            anyhow::Error::new(error).context(hint)
        }
        None => error.into(),
    }
}
