//! What a failure shows beside its reason: the pod's last events, what its readiness path answers, the end of
//! its logs.

use std::time::Duration;

use crate::cluster::{Api, Probed};
use crate::kubernetes::objects::{ContainerStatus, Pod, Workload};
use crate::kubernetes::smoke::events::last_lines;
use crate::kubernetes::smoke::requests::{Route, readiness_request};
use crate::kubernetes::smoke::rollout::Failure;
use crate::kubernetes::smoke::state::Namespace;

/// The lines for one failure; what cannot be read is a line that says so.
pub(super) fn details(api: &Api, namespace: &Namespace, workload: &Workload, failure: &Failure) -> Vec<String> {
    let events_of = |uid: &str| last_lines(&namespace.events_of(uid)).into_iter().map(|line| format!("event: {line}"));
    let Some(pod) = failure.pod.as_ref().and_then(|name| namespace.pods.get(name)) else {
        // Why pods are not made, the ReplicaSet is told; why that is not made, the Deployment.
        let controller = namespace.pod_controller(workload).unwrap_or(workload);
        return events_of(&controller.metadata.uid).collect();
    };
    let mut lines = vec![format!("pod: {}", pod.metadata.name)];
    lines.extend(events_of(&pod.metadata.uid));
    if let Some(status) = pod.status.all().find(|status| Some(&status.name) == failure.container.as_ref()) {
        lines.extend(readiness_line(api, pod, status));
        lines.extend(log_lines(api, pod, status, failure.previous_log));
    }
    lines
}

/// Asked directly, since events may come late, or not at all: kubelets send only a few in a second.
fn readiness_line(api: &Api, pod: &Pod, status: &ContainerStatus) -> Option<String> {
    if status.ready || status.state.running.is_none() {
        return None;
    }
    let container = pod.spec.all().find(|container| container.name == status.name)?;
    let request = readiness_request(container).filter(|request| request.route == Route::ApiServer)?;
    let answer =
        match api.probe(&request.api_path(&api.namespace, &pod.metadata.name), &request.http.headers, Duration::ZERO) {
            Ok(Probed::Answered(status, body)) => format!("answers {status}: {body}"),
            Ok(Probed::Unreachable(why)) => format!("cannot be reached: {why}"),
            Ok(Probed::Gone) => return None,
            Err(failure) => format!("cannot be asked: {failure}"),
        };
    Some(format!("readiness path {} on port {} {answer}", request.http.path, request.http.port))
}

fn log_lines(api: &Api, pod: &Pod, status: &ContainerStatus, previous: bool) -> Vec<String> {
    let container = &status.name;
    let runs = status.state.running.is_some() || status.state.terminated.is_some();
    let has_ended = status.last_state.terminated.is_some();
    if !(runs || has_ended) {
        return Vec::new();
    }
    match api.log(&pod.metadata.name, container, has_ended && (previous || !runs)) {
        Ok(log) if log.trim().is_empty() => vec![format!("log of {container}: empty")],
        Ok(log) => {
            let printable = |line: &str| line.chars().filter(|c| !c.is_control() || *c == '\t').collect::<String>();
            log.lines().map(|line| format!("log of {container}: {}", printable(line))).collect()
        }
        Err(failure) => vec![format!("log of {container} cannot be read: {failure}")],
    }
}
