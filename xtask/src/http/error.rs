//! What a server answers when it refuses.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use ureq::Body;
use ureq::http::{Response, StatusCode};

use super::bounded_body::read_start;
use super::retry::{is_transient, parse_retry_after};

/// As much of a message as is shown.
const MAX_MESSAGE: usize = 300;

/// A registry's, or its token service's, refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) host: String,
    pub(crate) status: u16,
    /// The registry's error code, such as `MANIFEST_UNKNOWN` (distribution-spec, error codes).
    pub(crate) code: Option<String>,
    pub(crate) message: Option<String>,
    /// When it asks to come back.
    pub(crate) retry_after: Option<Duration>,
}

impl ApiError {
    /// Whether what was asked for does not exist (or may not be seen: registries do not tell).
    pub(crate) fn is_not_found(&self) -> bool {
        self.status == 404
    }

    pub(crate) fn is_denied(&self) -> bool {
        matches!(self.status, 401 | 403)
    }

    /// Whether the same request may be granted later.
    pub(crate) fn is_transient(&self) -> bool {
        is_transient(self.status)
    }

    /// Reads the answer's body, as far as it is the spec's JSON.
    pub(crate) fn read(host: &str, response: Response<Body>) -> Self {
        #[derive(Deserialize)]
        struct Document {
            #[serde(default)]
            errors: Vec<Entry>,
            // Token services and proxies answer in other shapes.
            #[serde(default, alias = "error_description", alias = "message")]
            details: Option<serde_json::Value>,
        }
        #[derive(Default, Deserialize)]
        struct Entry {
            #[serde(default)]
            code: Option<serde_json::Value>,
            #[serde(default)]
            message: Option<String>,
        }
        let status = response.status().as_u16();
        let retry_after = response.headers().get("Retry-After").and_then(|value| value.to_str().ok());
        let retry_after = retry_after.and_then(parse_retry_after);
        // A body that cannot be read leaves the status to speak.
        let document = serde_json::from_slice::<Document>(&read_start(response)).ok();
        let (entry, details) = match document {
            Some(Document { errors, details }) => (errors.into_iter().next(), details),
            None => (None, None),
        };
        let entry = entry.unwrap_or_default();
        let text = |value: serde_json::Value| match value {
            serde_json::Value::String(text) => Some(shorten(&text)),
            serde_json::Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        ApiError {
            host: host.to_owned(),
            status,
            code: entry.code.and_then(text),
            message: entry.message.as_deref().map(shorten).or(details.and_then(text)),
            retry_after,
        }
    }
}

/// Without control characters, which could repaint the terminal, and not too long.
fn shorten(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_MESSAGE).collect()
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` answered {}", self.host, self.status)?;
        let reason = StatusCode::from_u16(self.status).ok().and_then(|status| status.canonical_reason());
        if let Some(reason) = reason {
            write!(f, " {reason}")?;
        }
        for part in [&self.code, &self.message].into_iter().flatten().filter(|p| !p.is_empty()) {
            write!(f, ": {part}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ApiError {}
