//! What smoke asks pods and Services, from their own manifests.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::objects::{Container, ContainerPort, HttpGet, Pod, Probe, Service};
use super::workload::Workload;

/// How a request reaches the pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Route {
    /// Through the API server, which sets `Host` itself and keeps `Authorization` to itself.
    ApiServer,
    /// Through a port-forward.
    Forward,
}

/// One request to a pod.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PodRequest {
    /// The pod's port; numbers only: an API server of 1.20 fails on names.
    pub(crate) port: u16,
    /// Whether TLS is spoken.
    pub(crate) is_https: bool,
    /// Path and query, from `/`.
    pub(crate) path: String,
    /// Sent along.
    pub(crate) headers: Vec<(String, String)>,
    /// How it gets there.
    pub(crate) route: Route,
    /// Seconds that a failing answer may be due to the start: none where a readiness or startup probe tells
    /// that it is over, else as long as the liveness probe waits before it has the container restarted.
    pub(crate) patience: u64,
    /// Seconds that an answer may take, by the probe.
    pub(crate) timeout: u64,
}

/// The HTTP requests that a pod's readiness and liveness probes make, each once. Other kinds of probes
/// (exec, TCP, gRPC) count through the pod's readiness.
pub(crate) fn pod_requests(pod: &Pod) -> BTreeSet<PodRequest> {
    let is_sidecar = |container: &&Container| container.restart_policy.as_deref() == Some("Always");
    let containers = pod.spec.containers.iter().chain(pod.spec.init_containers.iter().filter(is_sidecar));
    let requests = containers.flat_map(|container| {
        let probes = [&container.readiness_probe, &container.liveness_probe];
        probes.into_iter().filter_map(|probe| pod_request(container, probe.as_ref()?))
    });
    requests.collect()
}

/// The request of a container's readiness probe, if it is an HTTP one.
pub(crate) fn readiness_request(container: &Container) -> Option<PodRequest> {
    pod_request(container, container.readiness_probe.as_ref()?)
}

fn pod_request(container: &Container, probe: &Probe) -> Option<PodRequest> {
    let get: &HttpGet = probe.http_get.as_ref()?;
    // A probe of another host says nothing of the pod.
    if get.host.as_ref().is_some_and(|host| !host.is_empty()) {
        return None;
    }
    let headers: Vec<_> = get.http_headers.iter().map(|h| (h.name.clone(), h.value.clone())).collect();
    let needs_forward = |(name, _): &(String, String)| {
        ["host", "authorization"].iter().any(|special| name.eq_ignore_ascii_case(special))
    };
    let route = if headers.iter().any(needs_forward) { Route::Forward } else { Route::ApiServer };
    Some(PodRequest {
        port: container_port(container, &get.port, TCP)?,
        is_https: is_https(get),
        path: rooted(get.path.as_deref()),
        headers,
        route,
        patience: patience(container, probe),
        timeout: probe.timeout_seconds.unwrap_or(1),
    })
}

fn patience(container: &Container, probe: &Probe) -> u64 {
    if container.readiness_probe.is_some() || container.startup_probe.is_some() {
        return 0;
    }
    let tries = probe.period_seconds.unwrap_or(10).saturating_mul(probe.failure_threshold.unwrap_or(3));
    probe.initial_delay_seconds.saturating_add(tries)
}

fn is_https(get: &HttpGet) -> bool {
    get.scheme.as_deref().is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"))
}

fn rooted(path: Option<&str>) -> String {
    match path.unwrap_or("/") {
        path if path.starts_with('/') => path.to_owned(),
        path => format!("/{path}"),
    }
}

/// The protocol of ports that name none.
const TCP: &str = "TCP";

/// A port's number, whether it is written as one or by the name that it has for a protocol.
fn container_port(container: &Container, port: &Value, protocol: &str) -> Option<u16> {
    match port {
        Value::Number(number) => u16::try_from(number.as_u64()?).ok(),
        Value::String(text) => text.parse().ok().or_else(|| {
            let is_it = |port: &&ContainerPort| {
                port.name.as_ref() == Some(text) && port.protocol.as_deref().unwrap_or(TCP) == protocol
            };
            let named = container.ports.iter().find(is_it);
            named.map(|port| port.container_port)
        }),
        _ => None,
    }
}

/// One request to a Service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ServiceRequest {
    /// The Service's name.
    pub(crate) service: String,
    /// The port's name, else its number.
    pub(crate) port: String,
    /// Whether TLS is spoken.
    pub(crate) is_https: bool,
    /// Path and query, from `/`.
    pub(crate) path: String,
    /// Sent along.
    pub(crate) headers: Vec<(String, String)>,
    /// Seconds that an answer may take.
    pub(crate) timeout: u64,
    /// Whether any answer will do, since no probe tells what is to be asked: only that something listens.
    pub(crate) is_knock: bool,
}

/// What is wrong with a Service by itself: a verdict and a sentence.
pub(crate) type ServiceFault = (&'static str, String);

impl Service {
    /// Whether it leads to pods by their labels.
    pub(crate) fn has_selector(&self) -> bool {
        self.spec.kind != "ExternalName" && !self.spec.selector.is_empty()
    }

    /// Whether it leads to pods with these labels.
    pub(crate) fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        self.has_selector() && self.spec.selector.iter().all(|(name, value)| labels.get(name) == Some(value))
    }

    fn shown_selector(&self) -> String {
        let pairs: Vec<_> = self.spec.selector.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join(",")
    }
}

/// The requests to a Service, through each of its ports: on the path of the HTTP readiness probe (else the
/// liveness probe) of the port that it leads to. `workloads` are those whose pods it selects.
///
/// # Errors
/// It selects no pods, or leads to a named port that none of them has.
pub(crate) fn service_requests(
    service: &Service,
    workloads: &[&Workload],
) -> Result<Vec<ServiceRequest>, ServiceFault> {
    if workloads.is_empty() {
        let selector = service.shown_selector();
        return Err(("selects-nothing", format!("no pods have the labels of its selector, `{selector}`")));
    }
    let mut requests = Vec::new();
    for port in &service.spec.ports {
        let protocol = port.protocol.as_deref().unwrap_or(TCP);
        let target = if port.target_port.is_null() { Value::from(port.port) } else { port.target_port.clone() };
        let containers = || workloads.iter().flat_map(|workload| &workload.template().spec.containers);
        let number = |container: &Container| container_port(container, &target, protocol);
        let numbers = || containers().filter_map(|container| Some((container, number(container)?)));
        if numbers().next().is_none() {
            let shown: Vec<_> = workloads.iter().map(|workload| workload.shown()).collect();
            let ports = containers().flat_map(|container| &container.ports);
            let ports: Vec<_> = ports.filter_map(|port| port.name.as_deref()).collect();
            return Err((
                "wrong-port",
                format!(
                    "its port {} leads to port {target}, which no container of {} has; their named ports are: {}",
                    port.port,
                    shown.join(", "),
                    if ports.is_empty() { "none".to_owned() } else { ports.join(", ") }
                ),
            ));
        }
        if protocol != TCP {
            continue;
        }
        let request = numbers().find_map(|(container, number)| {
            let probes = [&container.readiness_probe, &container.liveness_probe];
            let asks = |probe: &Option<Probe>| pod_request(container, probe.as_ref()?);
            probes.into_iter().filter_map(asks).find(|request| request.port == number)
        });
        let to = |is_https, path, headers, timeout, is_knock| ServiceRequest {
            service: service.metadata.name.clone(),
            port: port.name.clone().unwrap_or_else(|| port.port.to_string()),
            is_https,
            path,
            headers,
            timeout,
            is_knock,
        };
        match request {
            // What needs a port-forward cannot go through the API server.
            Some(request) if request.route == Route::Forward => {}
            Some(request) => {
                requests.push(to(request.is_https, request.path, request.headers, request.timeout, false));
            }
            // That a container declares the port says nothing of who listens.
            None => requests.push(to(false, "/".to_owned(), Vec::new(), 1, true)),
        }
    }
    Ok(requests)
}

impl PodRequest {
    /// The API server's address of it. `[https:]NAME:PORT` is the API's notation.
    pub(crate) fn api_path(&self, namespace: &str, pod: &str) -> String {
        let scheme = if self.is_https { "https:" } else { "" };
        format!("/api/v1/namespaces/{namespace}/pods/{scheme}{pod}:{}/proxy{}", self.port, self.path)
    }
}

impl ServiceRequest {
    /// The API server's address of it.
    pub(crate) fn api_path(&self, namespace: &str) -> String {
        let scheme = if self.is_https { "https:" } else { "" };
        format!("/api/v1/namespaces/{namespace}/services/{scheme}{}:{}/proxy{}", self.service, self.port, self.path)
    }
}

#[cfg(test)]
#[path = "probes_tests.rs"]
mod tests;
