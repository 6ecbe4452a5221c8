//! Tokens (distribution's token and OAuth 2 specifications): where they come from, and one request
//! for one.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use ureq::http::{Method, Uri};

use super::client::{CUT, refused};
use super::credentials::Credential;
use crate::http::{ApiError, Attempts, Exchange, Http, Secret, host_port, percent_encoded, read_whole, redacted};
use crate::image::reference::Registry;

/// How long a token lasts when the service does not say (distribution's token specification).
const DEFAULT_LIFE: Duration = Duration::from_secs(60);
const LONGEST_LIFE: Duration = Duration::from_secs(24 * 3600);
/// Tokens are large, but not this large.
const MAX_TOKEN: u64 = 1024 * 1024;

/// Where tokens come from. A registry may name another host, as Docker Hub does, and that host
/// gets the registry's credentials: so it must be https, or where plain text may go for a registry
/// that is spoken to in it.
///
/// # Errors
/// No valid address; one that would get credentials in plain text.
pub(super) fn token_realm(http: &Http, realm: &str, registry: &Registry) -> Result<Uri> {
    let url: Uri = realm.parse().ok().with_context(|| format!("registry `{registry}` names no valid token service"))?;
    let plain_here = url.scheme_str() == Some("http") && http.is_plain(registry) && http.may_be_plain(&url);
    ensure!(
        url.scheme_str() == Some("https") || plain_here,
        "registry `{registry}` names a token service without https, `{}`: no credentials go there",
        redacted(&url)
    );
    Ok(url)
}

/// What a token is asked for.
pub(super) struct TokenRequest<'a> {
    pub(super) realm: Uri,
    /// How it calls the registry.
    pub(super) service: Option<&'a str>,
    /// What the token must be good for; scopes are separated by spaces.
    pub(super) scope: &'a str,
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
    /// Seconds: a number by the specification; text and fractions are met.
    expires_in: Option<serde_json::Value>,
}

impl TokenAnswer {
    fn life(&self) -> Duration {
        let told = match &self.expires_in {
            Some(serde_json::Value::Number(number)) => number.as_f64(),
            Some(serde_json::Value::String(text)) => text.trim().parse().ok(),
            _ => None,
        };
        let life = told.and_then(|seconds: f64| Duration::try_from_secs_f64(seconds).ok()).unwrap_or(DEFAULT_LIFE);
        life.min(LONGEST_LIFE)
    }
}

/// Asks the service for a token, and gives the `Authorization` value with the moment it ends.
///
/// # Errors
/// [`ApiError`] within the chain when the service refuses; no answer; no token in it.
pub(super) fn fetch_token(
    http: &Http,
    request: &TokenRequest<'_>,
    credential: Option<&Credential>,
    attempts: &mut Attempts,
) -> Result<(Secret, Instant)> {
    let mut fields: Vec<(&str, &str)> = Vec::new();
    fields.extend(request.service.map(|service| ("service", service)));
    // A challenge may name several scopes, each its own parameter.
    fields.extend(request.scope.split(' ').filter(|s| !s.is_empty()).map(|scope| ("scope", scope)));

    let mut headers = Vec::new();
    let mut authorization = None;
    let (method, url, body) = match credential {
        Some(Credential::IdentityToken(token)) => {
            fields.push(("grant_type", "refresh_token"));
            fields.push(("client_id", "cargo-xtask"));
            fields.push(("refresh_token", token.reveal()));
            headers.push(("Content-Type", "application/x-www-form-urlencoded".to_owned()));
            (Method::POST, request.realm.clone(), form(&fields).into_bytes())
        }
        other => {
            if let Some(Credential::Password { username, password }) = other {
                authorization = Some(basic(username, password));
            }
            let separator = if request.realm.query().is_some() { '&' } else { '?' };
            let url = format!("{}{separator}{}", request.realm, form(&fields));
            (Method::GET, url.parse().context("its address is not valid")?, Vec::new())
        }
    };
    let exchange = Exchange { method, url, headers: &headers, body: &body, blob_size: 0 };
    let host = host_port(&request.realm);
    let (sent, bytes) = attempts.run(|_| {
        let sent = Instant::now();
        let response = http.exchange(&exchange, authorization.as_ref())?;
        if response.status().as_u16() != 200 {
            return Err(refused(ApiError::read(&host, response), anyhow::Error::new));
        }
        Ok((sent, read_whole(response.into_body(), MAX_TOKEN, CUT)?))
    })?;
    // The body is the secret: no error may show it.
    let answer: TokenAnswer = serde_json::from_slice(&bytes).ok().context("its answer is not valid")?;
    let life = answer.life();
    let token =
        answer.token.filter(|token| !token.is_empty()).or(answer.access_token).context("its answer holds no token")?;
    // Renewed a little early: a token that ends on the way costs a refusal.
    Ok((Secret::new(format!("Bearer {token}")), sent + life - life / 8))
}

/// Fields as `application/x-www-form-urlencoded`.
fn form(fields: &[(&str, &str)]) -> String {
    fields.iter().map(|(name, value)| format!("{name}={}", percent_encoded(value))).collect::<Vec<_>>().join("&")
}

/// The `Authorization` value of a user.
pub(super) fn basic(username: &str, password: &Secret) -> Secret {
    Secret::new(format!("Basic {}", STANDARD.encode(format!("{username}:{}", password.reveal()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_go_over_https_or_stay_here() {
        let mut http = Http::new(Duration::from_secs(1));
        let remote: Registry = "ghcr.io".parse().unwrap();
        let local: Registry = "localhost:5000".parse().unwrap();
        assert!(token_realm(&http, "https://auth.ghcr.io/token?x=y", &remote).is_ok());
        assert!(token_realm(&http, "http://127.0.0.1:5001/token", &local).is_ok());
        for (realm, registry) in [
            ("http://ghcr.io/token", &remote),
            ("http://127.0.0.1/token", &remote),
            ("http://auth.example/token", &local),
            ("/token", &remote),
            ("ftp://ghcr.io/token", &remote),
        ] {
            assert!(token_realm(&http, realm, registry).is_err(), "{realm}");
        }
        let allowed: Registry = "registry.lan:5000".parse().unwrap();
        assert!(token_realm(&http, "http://registry.lan:5000/token", &allowed).is_err());
        http.allow_plain(vec![allowed.clone()]);
        assert!(token_realm(&http, "http://registry.lan:5000/token", &allowed).is_ok());
        assert!(token_realm(&http, "http://other.lan/token", &allowed).is_err());
        assert!(token_realm(&http, "http://registry.lan:5000/token", &remote).is_err());
    }

    #[test]
    fn a_realm_shows_no_password() {
        let http = Http::new(Duration::from_secs(1));
        let registry: Registry = "ghcr.io".parse().unwrap();
        for realm in ["http://user:s3cret@auth.ghcr.io/token", "https://user:s3cret@/x y", "ftp://user:s3cret@a/"] {
            let error = format!("{:#}", token_realm(&http, realm, &registry).unwrap_err());
            assert!(!error.contains("s3cret") && !error.contains("user"), "{error}");
        }
    }

    #[test]
    fn the_life_of_a_token_is_read_in_all_its_forms() {
        let cases = [
            ("300", 300.0),
            ("\"300\"", 300.0),
            ("\" 300 \"", 300.0),
            ("299.5", 299.5),
            ("\"299.5\"", 299.5),
            ("3e2", 300.0),
            ("null", 60.0),
            ("\"soon\"", 60.0),
            ("-1", 60.0),
            ("\"NaN\"", 60.0),
            ("{}", 60.0),
            ("1e300", 60.0),
            ("999999999", 24.0 * 3600.0),
        ];
        for (text, seconds) in cases {
            let answer = format!(r#"{{"token":"T","expires_in":{text}}}"#);
            let answer: TokenAnswer = serde_json::from_str(&answer).unwrap();
            assert_eq!(answer.life(), Duration::from_secs_f64(seconds), "{text}");
        }
    }

    #[test]
    fn forms_are_escaped() {
        let fields = [("scope", "repository:a/b:pull,push"), ("service", "a&b=c é")];
        assert_eq!(form(&fields), "scope=repository%3Aa%2Fb%3Apull%2Cpush&service=a%26b%3Dc%20%C3%A9");
    }
}
