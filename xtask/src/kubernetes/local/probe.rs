//! What a container's probes ask, with the ports of this machine.

use std::time::Duration;

use super::values::Ports;
use crate::kubernetes::objects::{Container, Probe, ProbeAction};

/// A probe of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LocalProbe {
    /// What is asked, at a port of this machine.
    pub(crate) action: ProbeAction,
    /// How long an answer may take.
    pub(crate) timeout: Duration,
}

/// The probe with the ports of this machine; `None` for other hosts.
///
/// # Errors
/// A port that the container does not have.
pub(crate) fn local_probe(container: &Container, probe: &Probe, ports: &Ports) -> Result<Option<LocalProbe>, String> {
    let Some(action) = container.action(probe)? else { return Ok(None) };
    let action = match action.port() {
        Some(port) => {
            let nothing = || format!("a probe asks port {port}, which nothing listens on");
            action.at(*ports.get(&port).ok_or_else(nothing)?)
        }
        None => action,
    };
    Ok(Some(LocalProbe { action, timeout: probe.timeout() }))
}

impl LocalProbe {
    /// What is asked, for messages.
    pub(crate) fn shown(&self) -> String {
        match &self.action {
            ProbeAction::Http(request) => format!("GET {}", request.local_url()),
            ProbeAction::Tcp(port) => format!("a connection to port {port}"),
            ProbeAction::Exec(command) => format!("`{}`", command.join(" ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kubernetes::objects::HttpRequest;

    #[test]
    fn probes_go_to_local_ports() {
        let container: Container = serde_json::from_value(json!({
            "ports": [{"name": "http", "containerPort": 80}],
            "livenessProbe": {"httpGet": {"path": "live?a", "port": "http", "httpHeaders": [{"name": "X", "value": "y"}]}},
            "readinessProbe": {"tcpSocket": {"port": 80}, "timeoutSeconds": 3},
            "startupProbe": {"exec": {"command": ["x"]}},
        }))
        .unwrap();
        let ports = Ports::from([(80, 40000)]);
        let asked: Vec<_> = container.probes().map(|probe| local_probe(&container, probe, &ports).unwrap()).collect();
        let headers = vec![("X".into(), "y".into())];
        let live = ProbeAction::Http(HttpRequest { port: 40000, is_https: false, path: "/live?a".into(), headers });
        let command = LocalProbe { action: ProbeAction::Exec(vec!["x".into()]), timeout: Duration::from_secs(1) };
        assert_eq!((asked[0].clone(), command.action.port()), (Some(command), None));
        assert_eq!(asked[1].as_ref().unwrap().shown(), "GET http://127.0.0.1:40000/live?a");
        assert_eq!(asked[1], Some(LocalProbe { action: live, timeout: Duration::from_secs(1) }));
        assert_eq!(asked[2], Some(LocalProbe { action: ProbeAction::Tcp(40000), timeout: Duration::from_secs(3) }));
        let wrong: Probe = serde_json::from_value(json!({"httpGet": {"port": "admin"}})).unwrap();
        assert!(local_probe(&container, &wrong, &ports).unwrap_err().contains("port \"admin\""));
    }
}
