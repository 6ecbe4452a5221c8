//! Authorization: what a registry asks for (RFC 9110 section 11, distribution's token
//! specification), and tokens kept until they end.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Read;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use ureq::Body;
use ureq::http::{Method, Response, Uri};

use super::client::{ApiRequest, retry_after, with_wait};
use super::credentials::{Credential, Credentials, Found, Secret};
use super::error::ApiError;
use super::http::{Exchange, Failure, Http, is_loopback, shown};
use super::retry::{Attempts, is_retryable};
use crate::image::reference::{Registry, Repository};

/// How long a token lasts when the service does not say (distribution's token specification).
const DEFAULT_LIFE: u64 = 60;
/// Tokens are large, but not this large.
const MAX_TOKEN: u64 = 1024 * 1024;

/// The authorizations in use, for all registries.
pub(super) struct Auth {
    credentials: Credentials,
    /// By registry and scope.
    grants: Mutex<HashMap<(Registry, String), Grant>>,
    /// By registry and repository: asking a helper program takes time.
    found: Mutex<HashMap<(Registry, Repository), Found>>,
}

/// The value of an `Authorization` header.
struct Grant {
    value: Secret,
    /// `None`: until it is refused.
    ends: Option<Instant>,
}

/// What a registry asks for.
#[derive(Debug, PartialEq, Eq)]
enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

impl Auth {
    /// Nothing is asked for or looked up yet.
    pub(super) fn new(credentials: Credentials) -> Self {
        Auth { credentials, grants: Mutex::default(), found: Mutex::default() }
    }

    /// The `Authorization` for a scope, if there is one that has not ended.
    pub(super) fn known(&self, registry: &Registry, scope: &str) -> Option<String> {
        let grants = lock(&self.grants);
        let grant = grants.get(&(registry.clone(), scope.to_owned()))?;
        let ended = grant.ends.is_some_and(|ends| Instant::now() >= ends);
        (!ended).then(|| grant.value.reveal().to_owned())
    }

    /// Gets what a 401 asks for; [`Auth::known`] has it then.
    ///
    /// # Errors
    /// Nothing that we could show; a token service that refuses or fails.
    pub(super) fn answer(
        &self,
        http: &Http,
        request: &ApiRequest<'_>,
        scope: &str,
        response: Response<Body>,
        attempts: &mut Attempts,
    ) -> Result<()> {
        let headers = response.headers().get_all("WWW-Authenticate");
        let challenges: Vec<Challenge> =
            headers.iter().filter_map(|value| value.to_str().ok()).flat_map(parse_challenges).collect();
        let credential = self.credential(request).credential;
        let bearer = challenges.iter().find(|challenge| **challenge != Challenge::Basic);
        let grant = match (bearer, credential) {
            (Some(Challenge::Bearer { realm, service, scope: asked }), credential) => {
                let asked = asked.as_deref().unwrap_or(scope);
                let ticket =
                    Ticket { realm: token_realm(realm, request.registry)?, service: service.as_deref(), scope: asked };
                fetch_token(http, &ticket, credential.as_ref(), attempts)
                    .map_err(|error| self.explain_chain(error, request))
                    .with_context(|| format!("cannot get a token from `{}`", shown(&ticket.realm)))?
            }
            (_, Some(Credential::Password { username, password })) if challenges.contains(&Challenge::Basic) => {
                Grant { value: basic(&username, &password), ends: None }
            }
            _ => {
                let error = ApiError::read(request.registry.as_str(), response);
                return Err(self.explain(error, request));
            }
        };
        let key = (request.registry.clone(), scope.to_owned());
        lock(&self.grants).insert(key, grant);
        Ok(())
    }

    /// Adds to a refusal what could mend it.
    pub(super) fn explain(&self, error: ApiError, request: &ApiRequest<'_>) -> anyhow::Error {
        if !error.is_denied() {
            return error.into();
        }
        let registry = request.registry;
        let found = self.credential(request);
        // The hint is the innermost error, so that it is printed last.
        let hint = match (&found.credential, &found.trouble) {
            (_, Some(trouble)) => format!("hint: no credentials were used: {trouble}"),
            (None, None) => format!("hint: log in with `docker login {registry}`"),
            (Some(credential), None) => format!(
                "hint: the credentials ({}) may not do this to `{registry}/{}`",
                credential.described(),
                request.repository
            ),
        };
        anyhow::Error::msg(hint).context(error)
    }

    fn explain_chain(&self, error: anyhow::Error, request: &ApiRequest<'_>) -> anyhow::Error {
        match error.downcast::<ApiError>() {
            Ok(error) => self.explain(error, request),
            Err(error) => error,
        }
    }

    fn credential(&self, request: &ApiRequest<'_>) -> Found {
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

fn basic(username: &str, password: &Secret) -> Secret {
    Secret::new(format!("Basic {}", STANDARD.encode(format!("{username}:{}", password.reveal()))))
}

/// Where tokens come from. A registry may name another host, as Docker Hub does, and that host
/// gets the registry's credentials: so it must be https, or this machine for a registry on it.
fn token_realm(realm: &str, registry: &Registry) -> Result<Uri> {
    let url: Uri = realm.parse().ok().with_context(|| format!("registry `{registry}` names no valid token service"))?;
    let plain_here = url.scheme_str() == Some("http") && registry.is_loopback() && is_loopback(&url);
    ensure!(
        url.scheme_str() == Some("https") || plain_here,
        "registry `{registry}` names a token service without https, `{}`: no credentials go there",
        shown(&url)
    );
    Ok(url)
}

/// What a token is asked for.
struct Ticket<'a> {
    realm: Uri,
    service: Option<&'a str>,
    scope: &'a str,
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

fn fetch_token(
    http: &Http,
    ticket: &Ticket<'_>,
    credential: Option<&Credential>,
    attempts: &mut Attempts,
) -> Result<Grant> {
    let mut fields: Vec<(&str, &str)> = Vec::new();
    fields.extend(ticket.service.map(|service| ("service", service)));
    // A challenge may name several scopes, each its own parameter.
    fields.extend(ticket.scope.split(' ').filter(|s| !s.is_empty()).map(|scope| ("scope", scope)));

    let mut headers = Vec::new();
    let mut authorization = None;
    let (method, url, body) = match credential {
        Some(Credential::IdentityToken(token)) => {
            fields.push(("grant_type", "refresh_token"));
            fields.push(("client_id", "cargo-xtask"));
            fields.push(("refresh_token", token.reveal()));
            headers.push(("Content-Type", "application/x-www-form-urlencoded".to_owned()));
            (Method::POST, ticket.realm.clone(), form(&fields).into_bytes())
        }
        other => {
            if let Some(Credential::Password { username, password }) = other {
                authorization = Some(basic(username, password));
            }
            let separator = if ticket.realm.query().is_some() { '&' } else { '?' };
            let url = format!("{}{separator}{}", ticket.realm, form(&fields));
            (Method::GET, url.parse().context("its address is not valid")?, Vec::new())
        }
    };
    let exchange = Exchange { method, url, headers: &headers, body: &body };
    loop {
        let sent = Instant::now();
        let response = match http.exchange(&exchange, authorization.as_ref().map(Secret::reveal)) {
            Ok(response) => response,
            Err(Failure::Connection(_)) if attempts.wait(None) => continue,
            Err(failure) => return Err(failure.into_error()),
        };
        let status = response.status().as_u16();
        let host = ticket.realm.authority().map_or("", |authority| authority.as_str());
        if is_retryable(status) {
            let wait = retry_after(&response);
            if attempts.wait(wait) {
                continue;
            }
            return Err(with_wait(ApiError::read(host, response), wait));
        }
        if status != 200 {
            return Err(ApiError::read(host, response).into());
        }
        let mut bytes = Vec::new();
        if response.into_body().into_reader().take(MAX_TOKEN).read_to_end(&mut bytes).is_err() {
            if attempts.wait(None) {
                continue;
            }
            bail!("the connection was cut");
        }
        // The body is the secret: no error may show it.
        let answer: TokenAnswer = serde_json::from_slice(&bytes).ok().context("its answer is not valid")?;
        let token = answer
            .token
            .filter(|token| !token.is_empty())
            .or(answer.access_token)
            .context("its answer holds no token")?;
        let life = answer.expires_in.unwrap_or(DEFAULT_LIFE).min(24 * 3600);
        // Renewed a little early: a token that ends on the way costs a refusal.
        let ends = sent + Duration::from_secs(life - life / 8);
        return Ok(Grant { value: Secret::new(format!("Bearer {token}")), ends: Some(ends) });
    }
}

/// Fields as `application/x-www-form-urlencoded`.
fn form(fields: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, value) in fields {
        if !text.is_empty() {
            text.push('&');
        }
        text.push_str(name);
        text.push('=');
        for byte in value.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    text.push(char::from(byte));
                }
                byte => write!(text, "%{byte:02X}").expect("a string takes all"),
            }
        }
    }
    text
}

/// Reads a `WWW-Authenticate` value; it may hold several challenges, and unknown ones are
/// passed over.
fn parse_challenges(text: &str) -> Vec<Challenge> {
    let mut found: Vec<(String, HashMap<String, String>)> = Vec::new();
    let mut rest = text.trim_start_matches([' ', ',']);
    while !rest.is_empty() {
        let end = rest.find([' ', ',', '=']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let after = after.trim_start_matches(' ');
        if let Some(value) = after.strip_prefix('=') {
            let (value, after) = parse_value(value.trim_start_matches(' '));
            if let Some((_, parameters)) = found.last_mut() {
                parameters.insert(word.to_ascii_lowercase(), value);
            }
            rest = after;
        } else {
            found.push((word.to_ascii_lowercase(), HashMap::new()));
            rest = after;
        }
        rest = rest.trim_start_matches([' ', ',']);
    }
    let known = |(scheme, mut parameters): (String, HashMap<String, String>)| match scheme.as_str() {
        "basic" => Some(Challenge::Basic),
        "bearer" => Some(Challenge::Bearer {
            realm: parameters.remove("realm")?,
            service: parameters.remove("service"),
            scope: parameters.remove("scope"),
        }),
        _ => None,
    };
    found.into_iter().filter_map(known).collect()
}

/// A parameter's value, quoted or not, and what follows it.
fn parse_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([' ', ',']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        Challenge::Bearer {
            realm: realm.to_owned(),
            service: service.map(str::to_owned),
            scope: scope.map(str::to_owned),
        }
    }

    #[test]
    fn reads_challenges() {
        let cases = [
            (
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#,
                vec![bearer(
                    "https://auth.docker.io/token",
                    Some("registry.docker.io"),
                    Some("repository:a/b:pull,push"),
                )],
            ),
            ("Basic realm=\"x, y\"", vec![Challenge::Basic]),
            ("basic", vec![Challenge::Basic]),
            (
                "Negotiate, BEARER realm=https://a/t , Basic realm=\"q\\\"uote\"",
                vec![bearer("https://a/t", None, None), Challenge::Basic],
            ),
            ("Bearer service=\"no realm\"", vec![]),
            ("", vec![]),
            ("=\"", vec![]),
            ("Bearer realm=\"unclosed", vec![bearer("unclosed", None, None)]),
        ];
        for (text, challenges) in cases {
            assert_eq!(parse_challenges(text), challenges, "{text}");
        }
    }

    #[test]
    fn credentials_go_over_https_or_stay_here() {
        let remote: Registry = "ghcr.io".parse().unwrap();
        let local: Registry = "localhost:5000".parse().unwrap();
        assert!(token_realm("https://auth.ghcr.io/token?x=y", &remote).is_ok());
        assert!(token_realm("http://127.0.0.1:5001/token", &local).is_ok());
        for (realm, registry) in [
            ("http://ghcr.io/token", &remote),
            ("http://127.0.0.1/token", &remote),
            ("http://auth.example/token", &local),
            ("/token", &remote),
            ("ftp://ghcr.io/token", &remote),
        ] {
            assert!(token_realm(realm, registry).is_err(), "{realm}");
        }
    }

    #[test]
    fn forms_are_escaped() {
        let fields = [("scope", "repository:a/b:pull,push"), ("service", "a&b=c é")];
        assert_eq!(form(&fields), "scope=repository%3Aa%2Fb%3Apull%2Cpush&service=a%26b%3Dc%20%C3%A9");
    }
}
