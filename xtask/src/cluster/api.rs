//! Questions to the API server, and its answers sorted by what can be done about them.

use std::fmt;
use std::io::BufRead;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::de::DeserializeOwned;

use super::http::{self, Answer};
use super::pace::Pace;
use super::proxy::Proxy;
use super::{Forward, Kubectl};
use crate::image::time::parse_http_date;
use crate::kubernetes::smoke::objects::{List, Status};
use crate::kubernetes::smoke::probes::PodRequest;

/// Longer than any list that smoke is made for.
const MAX_LIST: u64 = 256 * 1024 * 1024;
/// As much of an error's or a probe's body as is read.
const MAX_START: u64 = 64 * 1024;
/// Without a byte of an answer.
const SILENCE: Duration = Duration::from_secs(15);
/// The API server ends a watch after this, so that one that died unnoticed is replaced.
const WATCH_SECONDS: u64 = 30;

/// The API server, for one namespace.
pub(crate) struct Api {
    proxy: Proxy,
    pace: Pace,
    clock: Mutex<Option<(Instant, i64)>>,
    /// The namespace that is looked at.
    pub(crate) namespace: String,
}

/// Why there is no answer to use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ApiFailure {
    /// The API server cannot be reached just now, or is too busy: worth another try.
    Away(String),
    /// A right is missing; the API server's own sentence names it.
    Forbidden(String),
    /// kubectl's credentials are not accepted.
    Unauthorized(String),
    /// What was asked for does not exist.
    NotFound(String),
    /// The watch's place in history is too old: begin with a list.
    Expired,
    /// Anything else.
    Other(String),
}

impl fmt::Display for ApiFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ApiFailure::Away(why) => write!(f, "the API server cannot be reached: {why}"),
            ApiFailure::Forbidden(why) => write!(f, "a right is missing: {why}"),
            ApiFailure::Unauthorized(why) => {
                write!(f, "the API server does not accept kubectl's credentials: {why}")
            }
            ApiFailure::NotFound(why) | ApiFailure::Other(why) => f.write_str(why),
            ApiFailure::Expired => f.write_str("the watch is out of date"),
        }
    }
}

impl std::error::Error for ApiFailure {}

/// What a probe was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Probed {
    /// The application's status, and the start of what it said.
    Answered(u16, String),
    /// The way to it failed; why.
    Unreachable(String),
    /// The pod is there no more.
    Gone,
}

impl Api {
    /// Starts the proxy; the API server is not asked yet.
    pub(crate) fn open(kubectl: Kubectl, namespace: &str) -> Result<Self> {
        let proxy = Proxy::start(kubectl)?;
        Ok(Api { proxy, pace: Pace::default(), clock: Mutex::new(None), namespace: namespace.to_owned() })
    }

    /// Ends the proxy. Watches still hold the API at a run's end, so dropping it would not.
    pub(crate) fn close(&self) {
        self.proxy.close();
    }

    /// The kubectl that it was opened with.
    pub(crate) fn kubectl(&self) -> &Kubectl {
        self.proxy.kubectl()
    }

    /// Unix seconds by the API server's clock; nothing before its first answer.
    pub(crate) fn cluster_time(&self) -> Option<i64> {
        let clock = *self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        clock.map(|(at, seconds)| seconds.saturating_add(i64::try_from(at.elapsed().as_secs()).unwrap_or(i64::MAX)))
    }

    /// Whether the namespace exists; nothing when we may not ask.
    pub(crate) fn namespace_exists(&self) -> Result<Option<bool>, ApiFailure> {
        match self.ask(&format!("/api/v1/namespaces/{}", self.namespace)) {
            Ok(_) => Ok(Some(true)),
            Err(ApiFailure::NotFound(_)) => Ok(Some(false)),
            Err(ApiFailure::Forbidden(_)) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// All objects of a kind in the namespace, read past any cache: what was applied a moment ago is there.
    pub(crate) fn list<T: DeserializeOwned>(&self, resource: &str) -> Result<List<T>, ApiFailure> {
        self.pace.wait();
        let answer = self.ask(&self.path_of(resource))?;
        let bytes = answer.read(MAX_LIST).map_err(|error| self.away(&error))?;
        serde_json::from_slice(&bytes).map_err(|error| ApiFailure::Other(format!("cannot read {resource}: {error}")))
    }

    /// Changes after `version`, a line of JSON each, until the connection ends, or `is_open` (asked once, when
    /// the watch stands) or `on_line` is false.
    pub(super) fn watch(
        &self,
        resource: &str,
        version: &str,
        is_open: impl FnOnce() -> bool,
        mut on_line: impl FnMut(&str) -> bool,
    ) -> Result<(), ApiFailure> {
        self.pace.wait();
        let path = format!(
            "{}?watch=1&allowWatchBookmarks=true&resourceVersion={version}&timeoutSeconds={WATCH_SECONDS}",
            self.path_of(resource)
        );
        let answer = self.ask_patiently(&path, Duration::from_secs(WATCH_SECONDS + 5))?;
        if !is_open() {
            return Ok(());
        }
        for line in answer.into_reader().lines() {
            let line = line.map_err(|error| self.away(&error.into()))?;
            if !on_line(&line) {
                break;
            }
        }
        Ok(())
    }

    /// The end of a container's log.
    pub(crate) fn log(&self, pod: &str, container: &str, previous: bool) -> Result<String, ApiFailure> {
        let path = format!(
            "/api/v1/namespaces/{}/pods/{pod}/log?container={container}&tailLines=10&previous={previous}",
            self.namespace
        );
        Ok(String::from_utf8_lossy(&self.ask(&path)?.read_start(MAX_START)).into_owned())
    }

    /// Asks a pod or a Service through the API server.
    ///
    /// # Errors
    /// Rights, credentials: what another try does not mend.
    pub(crate) fn probe(&self, path: &str, headers: &[(String, String)]) -> Result<Probed, ApiFailure> {
        let answer = match self.send(path, headers, SILENCE) {
            Ok(answer) => answer,
            Err(error) => return Ok(Probed::Unreachable(format!("{error:#}"))),
        };
        let status = answer.status;
        let body = answer.read_start(MAX_START);
        match refusal(&body) {
            Some(refusal) if status == 403 => Err(ApiFailure::Forbidden(refusal.message)),
            Some(refusal) if status == 401 => Err(ApiFailure::Unauthorized(refusal.message)),
            Some(refusal) if status == 404 && refusal.reason == "NotFound" => Ok(Probed::Gone),
            Some(refusal) if !(200..400).contains(&status) => Ok(Probed::Unreachable(refusal.message)),
            // Without a body it is kubectl's own: applications say more.
            _ if status == 502 && body.is_empty() => Ok(Probed::Unreachable(self.why_away())),
            _ => Ok(Probed::Answered(status, start_of(&body))),
        }
    }

    /// Asks a pod through a port-forward of its own.
    pub(crate) fn probe_forwarded(&self, pod: &str, request: &PodRequest) -> Result<Probed, ApiFailure> {
        let forward = Forward::start(self.kubectl(), self.proxy.folder(), &self.namespace, pod, request.port);
        match forward.and_then(|forward| forward.get(request)) {
            Ok((status, body)) => Ok(Probed::Answered(status, start_of(&body))),
            Err(error) => {
                let why = format!("{error:#}");
                match why.contains("forbidden") {
                    true => Err(ApiFailure::Forbidden(why)),
                    false => Ok(Probed::Unreachable(why)),
                }
            }
        }
    }

    fn path_of(&self, resource: &str) -> String {
        let group = if ["deployments", "replicasets"].contains(&resource) { "/apis/apps/v1" } else { "/api/v1" };
        format!("{group}/namespaces/{}/{resource}", self.namespace)
    }

    fn ask(&self, path: &str) -> Result<Answer<UnixStream>, ApiFailure> {
        self.ask_patiently(path, SILENCE)
    }

    /// Sends a GET; answers other than 200 are failures.
    fn ask_patiently(&self, path: &str, silence: Duration) -> Result<Answer<UnixStream>, ApiFailure> {
        let answer = self.send(path, &[], silence).map_err(|error| self.away(&error))?;
        let status = answer.status;
        // A 502 is the proxy's, with this machine's time.
        if status < 500
            && let Some(seconds) = answer.date.as_deref().and_then(parse_http_date)
        {
            *self.clock.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), seconds));
        }
        if status == 200 {
            return Ok(answer);
        }
        let body = answer.read_start(MAX_START);
        let message = refusal(&body).map_or_else(|| start_of(&body), |refusal| refusal.message);
        Err(match status {
            401 => ApiFailure::Unauthorized(message),
            403 => ApiFailure::Forbidden(message),
            404 => ApiFailure::NotFound(message),
            410 => ApiFailure::Expired,
            502 => ApiFailure::Away(self.why_away()),
            429 | 500..=599 => ApiFailure::Away(format!("it answered {status}: {message}")),
            _ => ApiFailure::Other(format!("the API server answered {status}: {message}")),
        })
    }

    fn send(&self, path: &str, headers: &[(String, String)], silence: Duration) -> Result<Answer<UnixStream>> {
        let stream = self.proxy.connect()?;
        stream.set_read_timeout(Some(silence))?;
        stream.set_write_timeout(Some(SILENCE))?;
        http::get(stream, "localhost", path, headers)
    }

    fn away(&self, error: &anyhow::Error) -> ApiFailure {
        ApiFailure::Away(format!("{error:#}"))
    }

    fn why_away(&self) -> String {
        self.proxy.last_words().unwrap_or_else(|| "`kubectl proxy` answered 502".to_owned())
    }
}

/// The API server's own refusal, if `body` is one.
fn refusal(body: &[u8]) -> Option<Status> {
    let status: Status = serde_json::from_slice(body).ok()?;
    (status.kind == "Status" && status.api_version == "v1").then_some(status)
}

/// As much of a body as fits into a line.
fn start_of(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    crate::kubernetes::smoke::events::one_line(&text).chars().take(200).collect()
}
