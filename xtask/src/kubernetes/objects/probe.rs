//! Probes: what the kubelet asks a container.

use std::time::Duration;

use serde_json::Value;

use super::lenient::objects;

objects! {
    /// A probe, as it is written.
    Probe {
        http_get: Option<HttpGet>,
        tcp_socket: Option<Socket>,
        exec: Option<Exec>,
        grpc: Option<Socket>,
        /// Seconds that an answer may take; 1 when it is not said.
        timeout_seconds: Option<u64>,
        initial_delay_seconds: u64,
        /// Seconds between times; 10 when it is not said.
        period_seconds: Option<u64>,
        /// Failures in a row that count; 3 when it is not said.
        failure_threshold: Option<u64>,
    }

    HttpGet {
        /// Another host than the pod.
        host: String,
        /// Path and query; `/` when empty.
        path: String,
        /// A number, or a container port's name.
        port: Value,
        /// `HTTPS`, or else HTTP.
        scheme: String,
        http_headers: Vec<Header>,
    }

    Header {
        name: String,
        value: String,
    }

    Socket {
        /// A number, or a container port's name.
        port: Value,
    }

    Exec {
        command: Vec<String>,
    }
}

/// What is done for a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ProbeAction {
    /// A status from 200 to 399 is good, and redirects are not followed.
    Http(HttpRequest),
    /// A connection to this port is good. Of gRPC, that alone.
    Tcp(u16),
    /// This command in the container is good when it ends with 0.
    Exec(Vec<String>),
}

/// A GET request to a pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HttpRequest {
    /// Numbers only: an API server of 1.20 fails on names.
    pub(crate) port: u16,
    pub(crate) is_https: bool,
    /// Path and query, from `/`.
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
}

impl Probe {
    /// What is done for it, where `number` tells a port's; `None` when it asks another host, which says nothing of the
    /// pod.
    ///
    /// # Errors
    /// A port that the container does not have.
    pub(super) fn action(&self, number: impl Fn(&Value) -> Option<u16>) -> Result<Option<ProbeAction>, String> {
        let number =
            |port: &Value| number(port).ok_or_else(|| format!("a probe asks port {port}, which the container lacks"));
        Ok(if let Some(get) = &self.http_get {
            if !get.host.is_empty() {
                return Ok(None);
            }
            let slash = if get.path.starts_with('/') { "" } else { "/" };
            Some(ProbeAction::Http(HttpRequest {
                port: number(&get.port)?,
                is_https: get.scheme.eq_ignore_ascii_case("https"),
                path: format!("{slash}{}", get.path),
                headers: get.http_headers.iter().map(|header| (header.name.clone(), header.value.clone())).collect(),
            }))
        } else if let Some(socket) = self.tcp_socket.as_ref().or(self.grpc.as_ref()) {
            Some(ProbeAction::Tcp(number(&socket.port)?))
        } else {
            self.exec.as_ref().map(|exec| ProbeAction::Exec(exec.command.clone()))
        })
    }

    /// How long an answer may take.
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds.unwrap_or(1).max(1))
    }

    /// How long failing answers are taken for those of a start, from the container's own start.
    pub(crate) fn patience(&self) -> Duration {
        let tries = self.period_seconds.unwrap_or(10).saturating_mul(self.failure_threshold.unwrap_or(3));
        Duration::from_secs(self.initial_delay_seconds.saturating_add(tries))
    }
}

impl ProbeAction {
    /// The port that is asked.
    pub(crate) fn port(&self) -> Option<u16> {
        match self {
            ProbeAction::Http(request) => Some(request.port),
            ProbeAction::Tcp(port) => Some(*port),
            ProbeAction::Exec(_) => None,
        }
    }

    /// The same at another port.
    pub(crate) fn at(self, port: u16) -> Self {
        match self {
            ProbeAction::Http(request) => ProbeAction::Http(HttpRequest { port, ..request }),
            ProbeAction::Tcp(_) => ProbeAction::Tcp(port),
            ProbeAction::Exec(_) => self,
        }
    }
}

impl HttpRequest {
    /// Its address on this machine.
    pub(crate) fn local_url(&self) -> String {
        let scheme = if self.is_https { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}{}", self.port, self.path)
    }

    /// The API server's address of it, for an object that it proxies to: `pods`, `services`. `[https:]NAME:PORT` is the
    /// API's notation.
    pub(crate) fn proxy_path(&self, namespace: &str, resource: &str, name: &str, port: &str) -> String {
        let scheme = if self.is_https { "https:" } else { "" };
        format!("/api/v1/namespaces/{namespace}/{resource}/{scheme}{name}:{port}/proxy{}", self.path)
    }
}
