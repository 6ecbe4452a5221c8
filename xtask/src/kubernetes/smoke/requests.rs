//! What smoke asks pods and Services, from their own manifests.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::kubernetes::objects::{Container, HttpRequest, Pod, Probe, ProbeAction, Service, ServicePort, Workload};

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
    pub(crate) http: HttpRequest,
    pub(crate) route: Route,
    /// How long a failing answer may be due to the start: no time where a readiness or startup probe tells that it is
    /// over, else as long as the liveness probe waits before it has the container restarted.
    pub(crate) patience: Duration,
    /// How long an answer may take, by the probe.
    pub(crate) timeout: Duration,
}

/// The HTTP requests that a pod's readiness and liveness probes make, each once. Other kinds of probes
/// (exec, TCP, gRPC) count through the pod's readiness.
pub(crate) fn pod_requests(pod: &Pod) -> BTreeSet<PodRequest> {
    pod.spec.long_running().flat_map(container_requests).collect()
}

/// The request of a container's readiness probe, if it is an HTTP one.
pub(crate) fn readiness_request(container: &Container) -> Option<PodRequest> {
    pod_request(container, container.readiness_probe.as_ref()?)
}

fn container_requests(container: &Container) -> impl Iterator<Item = PodRequest> {
    let probes = [&container.readiness_probe, &container.liveness_probe];
    probes.into_iter().flatten().filter_map(|probe| pod_request(container, probe))
}

fn pod_request(container: &Container, probe: &Probe) -> Option<PodRequest> {
    let Ok(Some(ProbeAction::Http(http))) = container.action(probe) else { return None };
    let needs_forward = |(name, _): &(String, String)| {
        ["host", "authorization"].iter().any(|special| name.eq_ignore_ascii_case(special))
    };
    let route = if http.headers.iter().any(needs_forward) { Route::Forward } else { Route::ApiServer };
    let is_start_told = container.readiness_probe.is_some() || container.startup_probe.is_some();
    let patience = if is_start_told { Duration::ZERO } else { probe.patience() };
    Some(PodRequest { http, route, patience, timeout: probe.timeout() })
}

/// One request to a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServiceRequest {
    /// The Service's name.
    pub(crate) service: String,
    /// The Service's port: its name, else its number.
    pub(crate) port: String,
    /// As the pods behind it are asked.
    pub(crate) http: HttpRequest,
    /// How long an answer may take.
    pub(crate) timeout: Duration,
    /// Whether any answer will do, since no probe tells what is to be asked: only that something listens.
    pub(crate) is_port_check: bool,
}

/// What is wrong with a Service by itself: a verdict and a sentence.
pub(crate) type ServiceFault = (&'static str, String);

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
        let pairs: Vec<_> = service.spec.selector.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let message = format!("no pods have the labels of its selector, `{}`", pairs.join(","));
        return Err(("selects-nothing", message));
    }
    let mut requests = Vec::new();
    for port in &service.spec.ports {
        let numbers: Vec<_> =
            containers(workloads).filter_map(|container| Some((container, port.number_in(container)?))).collect();
        if numbers.is_empty() {
            return Err(("wrong-port", leads_nowhere(port, workloads)));
        }
        if port.is_tcp() {
            requests.extend(port_request(service, port, &numbers));
        }
    }
    Ok(requests)
}

fn containers<'a>(workloads: &[&'a Workload]) -> impl Iterator<Item = &'a Container> {
    workloads.iter().flat_map(|workload| &workload.template().spec.containers)
}

fn leads_nowhere(port: &ServicePort, workloads: &[&Workload]) -> String {
    let shown: Vec<_> = workloads.iter().map(|workload| workload.shown()).collect();
    let ports = containers(workloads).flat_map(|container| &container.ports);
    let ports: Vec<_> = ports.filter_map(|port| port.name.as_deref()).collect();
    format!(
        "its port {} leads to port {}, which no container of {} has; their named ports are: {}",
        port.port,
        port.target(),
        shown.join(", "),
        if ports.is_empty() { "none".to_owned() } else { ports.join(", ") }
    )
}

/// The request through a port that leads to these ports of containers.
fn port_request(service: &Service, port: &ServicePort, numbers: &[(&Container, u16)]) -> Option<ServiceRequest> {
    let probed = numbers
        .iter()
        .find_map(|(container, number)| container_requests(container).find(|request| request.http.port == *number));
    let is_port_check = probed.is_none();
    let (http, timeout) = match probed {
        // What needs a port-forward cannot go through the API server.
        Some(request) if request.route == Route::Forward => return None,
        Some(request) => (request.http, request.timeout),
        // That a container declares the port says nothing of who listens.
        None => (HttpRequest { path: "/".to_owned(), ..HttpRequest::default() }, Duration::from_secs(1)),
    };
    let service = service.metadata.name.clone();
    let port = port.name.clone().unwrap_or_else(|| port.port.to_string());
    Some(ServiceRequest { service, port, http, timeout, is_port_check })
}

impl PodRequest {
    /// The API server's address of it.
    pub(crate) fn api_path(&self, namespace: &str, pod: &str) -> String {
        self.http.proxy_path(namespace, "pods", pod, &self.http.port.to_string())
    }
}

impl ServiceRequest {
    /// The API server's address of it.
    pub(crate) fn api_path(&self, namespace: &str) -> String {
        self.http.proxy_path(namespace, "services", &self.service, &self.port)
    }
}

#[cfg(test)]
#[path = "requests_tests.rs"]
mod tests;
