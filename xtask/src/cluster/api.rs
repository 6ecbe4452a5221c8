//! Questions to the API server, and its answers sorted by what can be done about them.

use std::fmt;
use std::io::{BufRead, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::de::DeserializeOwned;

use super::forward::Forward;
use super::http::{self, Answer};
use super::kubectl::Kubectl;
use super::pace::Pace;
use super::proxy::Proxy;
use crate::image::time::parse_http_date;
use crate::kubernetes::objects::{HttpRequest, Kind, List, Metadata, Status};

/// CronJobs before Kubernetes 1.21, which knows them by another version.
pub(super) const OLD_CRON_JOBS: &str = "cronjobs of v1beta1";
/// Longer than any list that smoke is made for.
const MAX_LIST: u64 = 256 * 1024 * 1024;
/// As much of an error's or a probe's body as is read.
const MAX_START: u64 = 64 * 1024;
/// Without a byte of an answer.
const SILENCE: Duration = Duration::from_secs(15);
/// The API server ends a watch after this, so that one that died unnoticed is replaced.
const WATCH_SECONDS: u64 = 20;
/// Between two questions whether the API server is there, while nothing else is heard.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// An API server that says nothing for so long is not there.
pub(crate) const SILENT: Duration = Duration::from_secs(6);

/// The API server, for one namespace.
#[derive(Clone)]
pub(crate) struct Api {
    shared: Arc<Shared>,
    /// The namespace that is looked at.
    pub(crate) namespace: String,
}

/// What is the same for all namespaces.
struct Shared {
    proxy: Proxy,
    pace: Pace,
    clock: Mutex<Option<(Instant, i64)>>,
    heard: Mutex<Instant>,
    deadline: Instant,
}

/// A connection that ends with the run's time.
struct Bounded {
    stream: UnixStream,
    silence: Duration,
    deadline: Instant,
}

impl Bounded {
    fn left(&self) -> std::io::Result<Option<Duration>> {
        let left = self.deadline.saturating_duration_since(Instant::now()).min(self.silence);
        if left.is_zero() {
            Err(std::io::Error::new(std::io::ErrorKind::TimedOut, "time is up"))
        } else {
            Ok(Some(left))
        }
    }
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(buffer).map_err(|error| match error.kind() {
            std::io::ErrorKind::WouldBlock => std::io::Error::new(std::io::ErrorKind::TimedOut, "it does not answer"),
            _ => error,
        })
    }
}

impl Write for Bounded {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(buffer)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.stream.flush()
    }
}

/// Why there is no answer to use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ApiFailure {
    /// The API server cannot be reached just now, or is too busy: worth another try.
    Unavailable(String),
    /// A right is missing; the API server's own sentence names it.
    Forbidden(String),
    /// kubectl's credentials are not accepted.
    Unauthorized(String),
    /// What was asked for does not exist.
    NotFound(String),
    /// The watch's place in history is too old: begin with a list.
    Expired,
    Other(String),
}

impl fmt::Display for ApiFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ApiFailure::Unavailable(why) => write!(f, "the API server cannot be reached: {why}"),
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

/// Whether a namespace is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NamespaceState {
    There,
    /// It is being deleted, with all that is in it.
    Terminating,
    Missing,
    /// We may not ask.
    Unknown,
}

/// A namespace, as far as it is read.
#[derive(Default, serde::Deserialize)]
struct NamespaceObject {
    metadata: Metadata,
}

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
    /// Starts the proxy; the API server is not asked yet. No request goes on beyond the deadline.
    pub(crate) fn open(kubectl: Kubectl, namespace: &str, deadline: Instant) -> Result<Self> {
        let proxy = Proxy::start(kubectl, deadline)?;
        let (pace, clock, heard) = (Pace::default(), Mutex::new(None), Mutex::new(Instant::now()));
        let shared = Arc::new(Shared { proxy, pace, clock, heard, deadline });
        Ok(Api { shared, namespace: namespace.to_owned() })
    }

    /// The same API server for another namespace.
    pub(crate) fn in_namespace(&self, namespace: &str) -> Self {
        Api { shared: Arc::clone(&self.shared), namespace: namespace.to_owned() }
    }

    /// Ends the proxy. Watches still hold the API at a run's end, so dropping it would not.
    pub(crate) fn close(&self) {
        self.shared.proxy.close();
    }

    /// The kubectl that it was opened with.
    pub(crate) fn kubectl(&self) -> &Kubectl {
        self.shared.proxy.kubectl()
    }

    /// For how long nothing was heard of the API server.
    pub(crate) fn silence(&self) -> Duration {
        self.shared.heard.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// From now on, an API server of which nothing is heard is asked whether it is there: idle watches do not
    /// tell.
    pub(crate) fn keep_asking(&self) {
        let api = self.clone();
        std::thread::spawn(move || {
            while Instant::now() < api.shared.deadline {
                std::thread::sleep(HEARTBEAT);
                if api.silence() >= HEARTBEAT {
                    // Who asks for the time of silence sees what came of it.
                    let _ = api.ask_patiently("/version", SILENT);
                }
            }
        });
    }

    fn has_answered(&self) {
        *self.shared.heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Unix seconds by the API server's clock; nothing before its first answer.
    pub(crate) fn cluster_time(&self) -> Option<i64> {
        let clock = *self.shared.clock.lock().unwrap_or_else(PoisonError::into_inner);
        clock.map(|(at, seconds)| seconds.saturating_add(i64::try_from(at.elapsed().as_secs()).unwrap_or(i64::MAX)))
    }

    pub(crate) fn namespace_state(&self) -> Result<NamespaceState, ApiFailure> {
        match self.ask(&format!("/api/v1/namespaces/{}", self.namespace)) {
            Ok(answer) => {
                let found: NamespaceObject = serde_json::from_slice(&answer.read_start(MAX_START)).unwrap_or_default();
                let is_leaving = found.metadata.is_terminating();
                Ok(if is_leaving { NamespaceState::Terminating } else { NamespaceState::There })
            }
            Err(ApiFailure::NotFound(_)) => Ok(NamespaceState::Missing),
            Err(ApiFailure::Forbidden(_)) => Ok(NamespaceState::Unknown),
            Err(failure) => Err(failure),
        }
    }

    /// All objects of a kind in the namespace, read past any cache: what was applied a moment ago is there.
    pub(crate) fn list<T: DeserializeOwned>(&self, resource: &str) -> Result<List<T>, ApiFailure> {
        self.shared.pace.wait();
        let answer = self.ask(&self.path_of(resource))?;
        let bytes = answer.read(MAX_LIST).map_err(|error| self.unavailable(&error))?;
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
        self.shared.pace.wait();
        let path = format!(
            "{}?watch=1&allowWatchBookmarks=true&resourceVersion={version}&timeoutSeconds={WATCH_SECONDS}",
            self.path_of(resource)
        );
        let answer = self.ask_patiently(&path, Duration::from_secs(WATCH_SECONDS + 5))?;
        if !is_open() {
            return Ok(());
        }
        for line in answer.into_reader().lines() {
            let line = line.map_err(|error| self.unavailable(&error.into()))?;
            self.has_answered();
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
    pub(crate) fn probe(
        &self,
        path: &str,
        headers: &[(String, String)],
        timeout: Duration,
    ) -> Result<Probed, ApiFailure> {
        let answer = match self.send(path, headers, timeout.max(SILENCE)) {
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
    pub(crate) fn probe_forwarded(&self, pod: &str, request: HttpRequest) -> Result<Probed, ApiFailure> {
        let forward = Forward::start(
            self.kubectl(),
            self.shared.proxy.folder(),
            &self.namespace,
            pod,
            request.port,
            self.shared.deadline,
        );
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
        if resource == OLD_CRON_JOBS {
            return format!("/apis/batch/v1beta1/namespaces/{}/cronjobs", self.namespace);
        }
        let kind = Kind::LISTED.into_iter().find(|kind| kind.resource() == resource);
        format!("{}/namespaces/{}/{resource}", kind.unwrap_or(Kind::Pod).api(), self.namespace)
    }

    fn ask(&self, path: &str) -> Result<Answer<Bounded>, ApiFailure> {
        self.ask_patiently(path, SILENCE)
    }

    /// Sends a GET; answers other than 200 are failures.
    fn ask_patiently(&self, path: &str, silence: Duration) -> Result<Answer<Bounded>, ApiFailure> {
        let answer = self.send(path, &[], silence).map_err(|error| self.unavailable(&error))?;
        let status = answer.status;
        // A 502 is the proxy's, with this machine's time.
        if status < 500
            && let Some(seconds) = answer.date.as_deref().and_then(parse_http_date)
        {
            *self.shared.clock.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), seconds));
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
            502 => ApiFailure::Unavailable(self.why_away()),
            429 | 500..=599 => ApiFailure::Unavailable(format!("it answered {status}: {message}")),
            _ => ApiFailure::Other(format!("the API server answered {status}: {message}")),
        })
    }

    fn send(&self, path: &str, headers: &[(String, String)], silence: Duration) -> Result<Answer<Bounded>> {
        let stream = Bounded { stream: self.shared.proxy.connect()?, silence, deadline: self.shared.deadline };
        let answer = http::get(stream, "localhost", path, headers)?;
        // A 502 without a word is the proxy's, of an API server that is away.
        if answer.status != 502 {
            self.has_answered();
        }
        Ok(answer)
    }

    fn unavailable(&self, error: &anyhow::Error) -> ApiFailure {
        ApiFailure::Unavailable(format!("{error:#}"))
    }

    fn why_away(&self) -> String {
        self.shared.proxy.last_words().unwrap_or_else(|| "`kubectl proxy` answered 502".to_owned())
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
