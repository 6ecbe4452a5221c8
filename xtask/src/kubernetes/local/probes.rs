//! What a container's probes ask, with the ports of this machine.

use std::time::Duration;

use super::objects::{Container, Probe};
use super::values::Ports;

/// A question to a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Question {
    /// What is asked.
    pub(crate) ask: Ask,
    /// How long an answer may take.
    pub(crate) timeout: Duration,
}

/// A kind of question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ask {
    /// A GET request; a status from 200 to 399 is good, and redirects are not followed.
    Http {
        /// The address.
        url: String,
        /// Sent along.
        headers: Vec<(String, String)>,
    },
    /// A connection to this port is good.
    Tcp(u16),
    /// This command in the container is good when it ends with 0.
    Exec(Vec<String>),
}

/// The question of a probe. Of gRPC the connection alone is asked; `None` for other hosts.
///
/// # Errors
/// A port that the container does not have.
pub(crate) fn question(container: &Container, probe: &Probe, ports: &Ports) -> Result<Option<Question>, String> {
    let local = |port: &serde_json::Value| {
        let number =
            container.port(port).ok_or_else(|| format!("a probe asks port {port}, which the container lacks"))?;
        ports.get(&number).copied().ok_or_else(|| format!("a probe asks port {number}, which nothing listens on"))
    };
    let ask = if let Some(get) = &probe.http_get {
        if !get.host.is_empty() {
            return Ok(None);
        }
        let scheme = if get.scheme.eq_ignore_ascii_case("https") { "https" } else { "http" };
        let slash = if get.path.starts_with('/') { "" } else { "/" };
        let url = format!("{scheme}://127.0.0.1:{}{slash}{}", local(&get.port)?, get.path);
        let headers = get.http_headers.iter().map(|header| (header.name.clone(), header.value.clone()));
        Ask::Http { url, headers: headers.collect() }
    } else if let Some(socket) = &probe.tcp_socket {
        Ask::Tcp(local(&socket.port)?)
    } else if let Some(grpc) = &probe.grpc {
        Ask::Tcp(local(&grpc.port)?)
    } else if let Some(exec) = &probe.exec {
        Ask::Exec(exec.command.clone())
    } else {
        return Ok(None);
    };
    Ok(Some(Question { ask, timeout: Duration::from_secs(probe.timeout_seconds.unwrap_or(1).max(1)) }))
}

impl Question {
    /// What is asked, for messages.
    pub(crate) fn shown(&self) -> String {
        match &self.ask {
            Ask::Http { url, .. } => format!("GET {url}"),
            Ask::Tcp(port) => format!("a connection to port {port}"),
            Ask::Exec(command) => format!("`{}`", command.join(" ")),
        }
    }

    /// The port that has to be the program's own.
    pub(crate) fn port(&self) -> Option<u16> {
        match &self.ask {
            Ask::Http { url, .. } => {
                let digits = url.split_once("://127.0.0.1:")?.1;
                digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
            }
            Ask::Tcp(port) => Some(*port),
            Ask::Exec(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn questions_go_to_local_ports() {
        let container: Container = serde_json::from_value(json!({
            "ports": [{"name": "http", "containerPort": 80}],
            "livenessProbe": {"httpGet": {"path": "live?a", "port": "http", "httpHeaders": [{"name": "X", "value": "y"}]}},
            "readinessProbe": {"tcpSocket": {"port": 80}, "timeoutSeconds": 3},
            "startupProbe": {"exec": {"command": ["x"]}},
        }))
        .unwrap();
        let ports = Ports::from([(80, 40000)]);
        let asked: Vec<_> = container.probes().map(|probe| question(&container, probe, &ports).unwrap()).collect();
        let live = Ask::Http { url: "http://127.0.0.1:40000/live?a".into(), headers: vec![("X".into(), "y".into())] };
        let command = Question { ask: Ask::Exec(vec!["x".into()]), timeout: Duration::from_secs(1) };
        assert_eq!((asked[0].clone(), command.port()), (Some(command), None));
        assert_eq!(asked[1].as_ref().and_then(Question::port), Some(40000));
        assert_eq!(asked[1], Some(Question { ask: live, timeout: Duration::from_secs(1) }));
        assert_eq!(asked[2], Some(Question { ask: Ask::Tcp(40000), timeout: Duration::from_secs(3) }));
        let wrong: Probe = serde_json::from_value(json!({"httpGet": {"port": "admin"}})).unwrap();
        assert!(question(&container, &wrong, &ports).unwrap_err().contains("port \"admin\""));
    }
}
