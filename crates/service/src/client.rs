//! Short questions to other HTTP servers.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use axum::{
    body::Bytes,
    http::{HeaderValue, Request, StatusCode, Uri, header::AUTHORIZATION},
};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::{
    client::legacy::{
        self,
        connect::{Connect, HttpConnector},
    },
    rt::TokioExecutor,
};

/// The longest answer that is read.
const LONGEST: usize = 64 * 1024;

/// An HTTP client for short questions: a new connection each time, since it asks whether a server
/// answers now, and a time limit over all of a question.
///
/// [`Client::new`] speaks plain HTTP; a connector with TLS is given by the service that needs it.
#[derive(Clone, Debug)]
pub struct Client<C = HttpConnector> {
    inner: legacy::Client<C, Empty<Bytes>>,
    limit: Duration,
}

/// The answer to a question.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Status of the answer.
    pub status: StatusCode,
    /// Body of the answer; bytes that are not UTF-8 are replaced.
    pub body: String,
}

impl Client {
    /// A client for plain HTTP that waits at most `limit` for an answer.
    #[must_use]
    pub fn new(limit: Duration) -> Self {
        Self::with_connector(HttpConnector::new(), limit)
    }
}

impl<C> Client<C>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    /// A client that connects through `connector` and waits at most `limit` for an answer.
    pub fn with_connector(connector: C, limit: Duration) -> Self {
        let inner = legacy::Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        Self { inner, limit }
    }

    /// Gets `path`, which starts with a slash, below the URL `base`.
    ///
    /// # Errors
    ///
    /// When there is no whole answer within the limit, with the URL and the reason.
    pub async fn get(&self, base: &str, path: &str, authorization: Option<HeaderValue>) -> anyhow::Result<Reply> {
        let url = format!("{base}{path}");
        match tokio::time::timeout(self.limit, self.fetch(&url, authorization)).await {
            Ok(reply) => reply.with_context(|| format!("no answer from {url}")),
            Err(_) => bail!("no answer from {url} within {:?}", self.limit),
        }
    }

    async fn fetch(&self, url: &str, authorization: Option<HeaderValue>) -> anyhow::Result<Reply> {
        let mut request = Request::get(url).body(Empty::new())?;
        if let Some(value) = authorization {
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        let response = self.inner.request(request).await?;
        let status = response.status();
        let body =
            Limited::new(response.into_body(), LONGEST).collect().await.map_err(anyhow::Error::from_boxed)?.to_bytes();
        Ok(Reply { status, body: String::from_utf8_lossy(&body).into_owned() })
    }
}

/// Checks the URL that a path is appended to, and removes its trailing slash.
///
/// # Errors
///
/// When `url` has none of the `schemes` or no host, or has a user, a query or a fragment.
pub fn base_url(url: &str, schemes: &[&str]) -> anyhow::Result<String> {
    let usable = url.parse::<Uri>().is_ok_and(|uri| {
        uri.scheme_str().is_some_and(|s| schemes.contains(&s))
            && uri.host().is_some_and(|host| !host.is_empty())
            && !url.contains(['@', '?', '#'])
    });
    let expected: Vec<_> = schemes.iter().map(|scheme| format!("{scheme}://HOST[:PORT]")).collect();
    ensure!(usable, "cannot use the URL `{url}`: expected {}", expected.join(" or "));
    Ok(url.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use axum::{Router, http::HeaderMap, routing::get};

    use super::*;
    use crate::testing::spawn;

    #[test]
    fn base_urls_are_checked() {
        let both = ["http", "https"];
        assert_eq!(base_url("http://a:1/", &both).unwrap(), "http://a:1");
        assert_eq!(base_url("https://[::1]/x/", &both).unwrap(), "https://[::1]/x");
        for wrong in ["", "a:1", "ftp://a", "http://", "http://u:p@a", "http://a?b", "http://a b"] {
            let error = base_url(wrong, &both).unwrap_err().to_string();
            assert!(error.contains(&format!("`{wrong}`")), "{error}");
        }
        let error = base_url("https://a", &["http"]).unwrap_err().to_string();
        assert!(error.ends_with("expected http://HOST[:PORT]"), "{error}");
    }

    #[tokio::test]
    async fn a_reply_has_status_and_body() {
        let echo = async |headers: HeaderMap| {
            let value = headers.get(AUTHORIZATION).cloned();
            (StatusCode::CREATED, value.map_or_else(String::new, |v| v.to_str().unwrap().into()))
        };
        let base = format!("http://{}", spawn(Router::new().route("/echo", get(echo))).await);
        let client = Client::new(Duration::from_secs(5));
        let token = HeaderValue::from_static("Bearer abc");
        let reply = client.get(&base, "/echo", Some(token)).await.unwrap();
        assert_eq!(reply.status, StatusCode::CREATED);
        assert_eq!(reply.body, "Bearer abc");
    }

    #[tokio::test]
    async fn no_answer_is_told_with_url_and_reason() {
        let base = format!("http://{}", crate::testing::closed_address());
        let client = Client::new(Duration::from_secs(5));
        let error = client.get(&base, "/x", None).await.unwrap_err();
        let error = format!("{error:#}");
        assert!(error.starts_with(&format!("no answer from {base}/x: ")), "{error}");
        assert!(error.contains("refused"), "{error}");
    }

    #[tokio::test]
    async fn a_server_that_hangs_is_given_up() {
        let hang = Router::new().route("/", get(std::future::pending::<()>));
        let base = format!("http://{}", spawn(hang).await);
        let client = Client::new(Duration::from_millis(100));
        let error = client.get(&base, "/", None).await.unwrap_err().to_string();
        assert!(error.ends_with("within 100ms"), "{error}");
    }

    #[tokio::test]
    async fn a_body_without_end_is_not_read() {
        let long = Router::new().route("/", get(async || "x".repeat(LONGEST + 1)));
        let base = format!("http://{}", spawn(long).await);
        let client = Client::new(Duration::from_secs(5));
        let error = client.get(&base, "/", None).await.unwrap_err();
        assert!(format!("{error:#}").contains("length limit"), "{error:#}");
    }
}
