//! Authorization: what is shown to a registry, and what a refusal means.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

use anyhow::{Context, Result};
use ureq::Body;
use ureq::http::Response;

use super::challenge::{Challenge, merge_scopes, parse_challenges};
use super::client::ApiRequest;
use super::credentials::{Credential, Credentials, FoundCredential};
use super::token::{TokenRequest, basic, fetch_token, token_realm};
use crate::errors::hinted;
use crate::http::{ApiError, Attempts, Http, Secret, drain, redacted};
use crate::image::reference::{Registry, Repository};

/// The authorizations in use, for all registries.
pub(super) struct Auth {
    credentials: Credentials,
    /// By registry and scope.
    authorizations: Mutex<HashMap<(Registry, String), Authorization>>,
    /// What each registry asked for last: the next scope's authorization is had without a refusal.
    challenges: Mutex<HashMap<Registry, Vec<Challenge>>>,
    /// By registry and repository: asking a helper program takes time.
    found: Mutex<HashMap<(Registry, Repository), FoundCredential>>,
    /// Held while an authorization is made, so that threads that need the same one get one.
    renewing: Mutex<()>,
}

/// The value of an `Authorization` header.
struct Authorization {
    value: Secret,
    /// `None`: until it is refused.
    expires: Option<Instant>,
}

impl Auth {
    /// Nothing is asked for or looked up yet.
    pub(super) fn new(credentials: Credentials) -> Self {
        Auth {
            credentials,
            authorizations: Mutex::default(),
            challenges: Mutex::default(),
            found: Mutex::default(),
            renewing: Mutex::default(),
        }
    }

    /// The `Authorization` for a request, made anew if the last one has ended. `None` as long as
    /// the registry has not asked for any.
    ///
    /// # Errors
    /// A token service that refuses or fails.
    pub(super) fn authorize(
        &self,
        http: &Http,
        request: &ApiRequest<'_>,
        attempts: &mut Attempts,
    ) -> Result<Option<Secret>> {
        if let Some(known) = self.valid(request) {
            return Ok(Some(known));
        }
        let Some(challenges) = lock(&self.challenges).get(request.registry).cloned() else { return Ok(None) };
        let _renewing = lock(&self.renewing);
        if let Some(known) = self.valid(request) {
            return Ok(Some(known));
        }
        self.acquire(http, request, &challenges, attempts)
    }

    /// Gets what a 401 to `refused` asks for; [`Auth::authorize`] has it then.
    ///
    /// # Errors
    /// Nothing that we could show; a token service that refuses or fails.
    pub(super) fn answer_challenge(
        &self,
        http: &Http,
        request: &ApiRequest<'_>,
        refused: Option<&Secret>,
        response: Response<Body>,
        attempts: &mut Attempts,
    ) -> Result<()> {
        let headers = response.headers().get_all("WWW-Authenticate");
        let challenges: Vec<Challenge> =
            headers.iter().filter_map(|value| value.to_str().ok()).flat_map(parse_challenges).collect();
        let _renewing = lock(&self.renewing);
        let is_made = self.valid(request).is_some_and(|known| Some(&known) != refused);
        if is_made || self.acquire(http, request, &challenges, attempts)?.is_some() {
            drain(response);
            return Ok(());
        }
        let error = ApiError::read(request.registry.as_str(), response);
        Err(self.explain(error, request, None))
    }

    /// Adds to the registry's refusal of `shown` what could mend it.
    pub(super) fn explain(&self, error: ApiError, request: &ApiRequest<'_>, shown: Option<&Secret>) -> anyhow::Error {
        // A password is shown with each request; a token was given for the right one.
        let is_password = shown.is_some_and(|value| value.reveal().starts_with("Basic "));
        let is_wrong = error.status == 401 && is_password;
        self.with_hint(error, request, is_wrong)
    }

    /// The authorization that has not ended, of this scope or of one that holds it.
    fn valid(&self, request: &ApiRequest<'_>) -> Option<Secret> {
        let authorizations = lock(&self.authorizations);
        let unexpired = |scope: String| {
            let authorization = authorizations.get(&(request.registry.clone(), scope))?;
            let ended = authorization.expires.is_some_and(|expires| Instant::now() >= expires);
            (!ended).then(|| authorization.value.clone())
        };
        let wider = request.actions == "pull";
        let pushing = || unexpired(format!("repository:{}:pull,push", request.repository)).filter(|_| wider);
        unexpired(request.scope()).or_else(pushing)
    }

    /// Makes and keeps what the challenges ask for; `None` when nothing that we have fits.
    fn acquire(
        &self,
        http: &Http,
        request: &ApiRequest<'_>,
        challenges: &[Challenge],
        attempts: &mut Attempts,
    ) -> Result<Option<Secret>> {
        let credential = self.credential(request).credential;
        let bearer = challenges.iter().find(|challenge| **challenge != Challenge::Basic);
        let authorization = match (bearer, credential) {
            (Some(Challenge::Bearer { realm, service, scope }), credential) => {
                let scope = merge_scopes(&request.scope(), scope.as_deref().unwrap_or_default());
                let realm = token_realm(http, realm, request.registry)?;
                let token_request = TokenRequest { realm, service: service.as_deref(), scope: &scope };
                let (value, expires) = fetch_token(http, &token_request, credential.as_ref(), attempts)
                    .map_err(|error| self.explain_token(error, request))
                    .with_context(|| format!("cannot get a token from `{}`", redacted(&token_request.realm)))?;
                Authorization { value, expires: Some(expires) }
            }
            (_, Some(Credential::Password { username, password })) if challenges.contains(&Challenge::Basic) => {
                Authorization { value: basic(&username, &password), expires: None }
            }
            _ => return Ok(None),
        };
        let value = authorization.value.clone();
        lock(&self.authorizations).insert((request.registry.clone(), request.scope()), authorization);
        // Without the scope: that was this request's.
        let kept = challenges.iter().cloned().map(|challenge| match challenge {
            Challenge::Bearer { realm, service, .. } => Challenge::Bearer { realm, service, scope: None },
            Challenge::Basic => Challenge::Basic,
        });
        lock(&self.challenges).insert(request.registry.clone(), kept.collect());
        Ok(Some(value))
    }

    /// A token service refuses a wrong password by 401; whether 403 says that too, differs.
    fn explain_token(&self, error: anyhow::Error, request: &ApiRequest<'_>) -> anyhow::Error {
        match error.downcast::<ApiError>() {
            Ok(error) => {
                let is_wrong = error.status == 401;
                self.with_hint(error, request, is_wrong)
            }
            Err(error) => error,
        }
    }

    fn with_hint(&self, error: ApiError, request: &ApiRequest<'_>, is_wrong: bool) -> anyhow::Error {
        if !error.is_denied() {
            return error.into();
        }
        let registry = request.registry;
        let found = self.credential(request);
        let who = found.credential.as_ref().map(Credential::described).unwrap_or_default();
        let source = match found.source.as_str() {
            "" => String::new(),
            source => format!("; they are from {source}"),
        };
        let hint = match (&found.credential, &found.trouble) {
            (_, Some(trouble)) => format!("no credentials were used: {trouble}"),
            (None, None) => format!("log in with `docker login {registry}`"),
            (Some(_), None) if is_wrong => {
                format!("the credentials ({who}) are wrong, or have expired{source}")
            }
            (Some(_), None) => {
                let permission = request.actions.rsplit(',').next().unwrap_or_default();
                let in_github = match (registry.as_str(), permission) {
                    ("ghcr.io", "push") => " (`packages: write` in a workflow, `write:packages` in a token)",
                    ("ghcr.io", _) => " (`packages: read` in a workflow, `read:packages` in a token)",
                    _ => "",
                };
                format!(
                    "the credentials ({who}) need {permission} permission on `{registry}/{}`{in_github}{source}",
                    request.repository
                )
            }
        };
        hinted(error, hint)
    }

    fn credential(&self, request: &ApiRequest<'_>) -> FoundCredential {
        let key = (request.registry.clone(), request.repository.clone());
        if let Some(found) = lock(&self.found).get(&key) {
            return found.clone();
        }
        let found = self.credentials.find(request.registry, request.repository);
        lock(&self.found).insert(key, found.clone());
        found
    }
}

/// What is left in a map after a panic elsewhere is still true.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
