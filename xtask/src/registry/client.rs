//! The way every request takes: authorized, repeated, its failure explained.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use ureq::Body;
use ureq::http::response::Parts;
use ureq::http::{Method, Response, Uri};

use super::auth::Auth;
use super::blob_locations::BlobLocations;
use super::credentials::Credentials;
use crate::http::{ApiError, Attempts, Exchange, Failure, Http, RetryPolicy, read_whole};
use crate::image::reference::{ImageReference, Registry, Repository};

/// A client for all registries. Threads may share one.
pub(crate) struct Client {
    pub(super) http: Http,
    pub(super) auth: Auth,
    pub(super) locations: BlobLocations,
    policy: RetryPolicy,
    requests: AtomicU64,
}

/// What pushing asks a token for: one for all requests of an image, reading ones included.
pub(super) const PUSH: &str = "pull,push";

/// What is said of a small answer that does not come whole.
pub(super) const CUT: &str = "the connection was cut, or too slow, within the answer";

/// A request to a registry's API.
#[derive(Clone)]
pub(super) struct ApiRequest<'a> {
    pub(super) method: Method,
    pub(super) registry: &'a Registry,
    /// What it concerns, for authorization.
    pub(super) repository: &'a Repository,
    /// What it does there: `pull`, `pull,push`, `delete` (distribution's token scope actions).
    pub(super) actions: &'static str,
    /// A further repository of the registry that it reads.
    pub(super) also_reads: Option<&'a Repository>,
    /// The path below `/v2/REPOSITORY/`.
    pub(super) path: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: &'a [u8],
    /// The size of the blob that is asked for; 0 for what is small.
    pub(super) blob_size: u64,
}

impl<'a> ApiRequest<'a> {
    /// A request on a repository, without headers and body.
    pub(super) fn new(method: Method, on: &'a ImageReference, actions: &'static str, path: String) -> Self {
        ApiRequest {
            method,
            registry: &on.registry,
            repository: &on.repository,
            actions,
            also_reads: None,
            path,
            headers: Vec::new(),
            body: &[],
            blob_size: 0,
        }
    }

    /// What a token must be good for (distribution's token scopes, separated by spaces).
    pub(super) fn scope(&self) -> String {
        let scope = format!("repository:{}:{}", self.repository, self.actions);
        match self.also_reads {
            Some(source) => format!("{scope} repository:{source}:pull"),
            None => scope,
        }
    }
}

impl Client {
    /// A client that shows `credentials` to the registries they are for.
    pub(crate) fn new(credentials: Credentials) -> Self {
        Client::with_policy(credentials, RetryPolicy::default())
    }

    /// As [`Client::new`], with other patience.
    pub(crate) fn with_policy(credentials: Credentials, policy: RetryPolicy) -> Self {
        Client {
            http: Http::new(policy.whole_answer),
            auth: Auth::new(credentials),
            locations: BlobLocations::default(),
            policy,
            requests: AtomicU64::new(0),
        }
    }

    /// Speaks plain http with these registries, too; with those of this machine it always does.
    pub(crate) fn allowing_plain_http(mut self, registries: Vec<Registry>) -> Self {
        self.http.allow_plain(registries);
        self
    }

    /// Requests sent so far, those for tokens not counted.
    #[cfg(test)]
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    pub(super) fn count(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Begins a request, or an operation that is begun anew as a whole.
    pub(super) fn attempts(&self) -> Attempts {
        Attempts::new(self.policy)
    }

    /// Where a request goes.
    ///
    /// # Errors
    /// A registry whose name is no address.
    pub(super) fn url(&self, request: &ApiRequest<'_>) -> Result<Uri> {
        let registry = request.registry;
        // The names of Docker Hub's images and of its API have been different hosts ever since.
        let host = if registry.is_docker_hub() { "registry-1.docker.io" } else { registry.as_str() };
        let scheme = if self.http.is_plain(registry) { "http" } else { "https" };
        format!("{scheme}://{host}/v2/{}/{}", request.repository, request.path)
            .parse()
            .with_context(|| format!("registry `{registry}` gives no valid address"))
    }

    /// As [`Client::send_to`], with the whole answer, which may have at most `limit` bytes; one that is cut is
    /// asked for again.
    ///
    /// # Errors
    /// As [`Client::send`]; a longer answer, or one that never comes whole.
    pub(super) fn read(&self, url: &Uri, request: &ApiRequest<'_>, limit: u64) -> Result<(Parts, Vec<u8>)> {
        self.attempts().run(|attempts| {
            let (parts, body) = self.send_to(url.clone(), request, attempts)?.into_parts();
            Ok((parts, read_whole(body, limit, CUT)?))
        })
    }

    /// Sends a request, with a token if one is asked for, and again after connection faults,
    /// 408, 429 and 5xx, as often as `attempts` allows. Gives answers of 2xx.
    ///
    /// # Errors
    /// [`ApiError`] within the chain for other answers; no answer; no token.
    pub(super) fn send(&self, request: &ApiRequest<'_>, attempts: &mut Attempts) -> Result<Response<Body>> {
        self.send_to(self.url(request)?, request, attempts)
    }

    /// As [`Client::send`], to an address that the registry gave.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub(super) fn send_to(
        &self,
        url: Uri,
        request: &ApiRequest<'_>,
        attempts: &mut Attempts,
    ) -> Result<Response<Body>> {
        let ApiRequest { method, headers, body, blob_size, .. } = request;
        let exchange = Exchange { method: method.clone(), url, headers, body, blob_size: *blob_size };
        // Whether the authorization in use was made for this very answer: a second refusal of
        // it is final, one of an older token is only its end.
        let mut fresh = false;
        attempts.run(|attempts| {
            let authorization = self.auth.authorize(&self.http, request, attempts)?;
            self.count();
            let response = self.http.exchange(&exchange, authorization.as_ref())?;
            match response.status().as_u16() {
                200..=299 => return Ok(response),
                401 if !fresh => {
                    self.auth.answer_challenge(&self.http, request, authorization.as_ref(), response, attempts)?;
                    fresh = true;
                    return Err(Failure::Renewed);
                }
                _ => fresh = false,
            }
            let error = ApiError::read(request.registry.as_str(), response);
            Err(refused(error, |error| self.auth.explain(error, request, authorization.as_ref())))
        })
    }
}

/// A refusal that may pass, with how long the registry asks to wait; one that will not is `explain`ed.
pub(super) fn refused(error: ApiError, explain: impl FnOnce(ApiError) -> anyhow::Error) -> Failure {
    if !error.is_transient() {
        return explain(error).into();
    }
    let retry_after = error.retry_after;
    let error = match retry_after.filter(|wait| !wait.is_zero()) {
        Some(wait) => {
            let hint = format!("the registry asks to come back in {} seconds", wait.as_secs());
            anyhow::Error::new(error).context(hint)
        }
        None => error.into(),
    };
    Failure::Transient(error, retry_after)
}
