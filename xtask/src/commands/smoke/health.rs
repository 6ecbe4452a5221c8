//! Asks every pod on its probes' paths, each once, and then each Service once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::rollout::Rollouts;
use crate::cluster::{Api, ApiFailure, Probed};
use crate::kubernetes::smoke::objects::{Deployment, Pod, Service};
use crate::kubernetes::smoke::probes::{PodRequest, Route, ServiceRequest, pod_requests, service_requests};
use crate::kubernetes::smoke::report::Check;
use crate::kubernetes::smoke::rollout::restarts;
use crate::kubernetes::smoke::state::{Change, Objects, apply};
use crate::system::parallel;

/// Requests at once.
const JOBS: usize = 16;
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(500);

/// A request and whom it is for.
enum Target {
    Pod { name: String, request: PodRequest },
    Service(ServiceRequest),
}

/// What a request found.
struct Found {
    /// Nothing when the pod is gone, so that others must be asked.
    check: Option<Check>,
    /// Whether the way to it failed meanwhile, as it does when a container ends.
    was_unreachable: bool,
}

/// Times of a run.
#[derive(Clone, Copy)]
pub(super) struct Times {
    /// When smoke began.
    pub(super) started: Instant,
    /// When it must end.
    pub(super) deadline: Instant,
}

/// What was asked and found so far.
#[derive(Default)]
pub(super) struct Health {
    pods: BTreeMap<String, AskedPod>,
    services: BTreeMap<String, Vec<Check>>,
    has_services: bool,
    /// Whether a pod could not be reached for a while: it may have been restarted, which the kubelet reports
    /// only after a moment.
    pub(super) is_doubtful: bool,
}

/// A pod that was asked.
struct AskedPod {
    /// By container, when it was asked.
    restarts: BTreeMap<(String, String), i64>,
    checks: Vec<Check>,
}

impl AskedPod {
    /// The containers that were restarted since it was asked.
    fn restarted(&self, pod: &Pod) -> Vec<String> {
        let now = restarts(&[pod]).into_iter();
        let more = now.filter(|(key, count)| self.restarts.get(key).is_some_and(|before| before < count));
        more.map(|((_, container), _)| container).collect()
    }
}

impl Health {
    /// Asks the pods of finished rollouts that were not asked before, and once all Services. False when there
    /// was nothing to ask.
    pub(super) fn ask(&mut self, api: &Api, rollouts: &Rollouts, times: Times) -> bool {
        let done: Vec<&Deployment> = rollouts.done().collect();
        let pods = done.iter().flat_map(|deployment| rollouts.namespace.current_pods(deployment));
        let pods: Vec<&Pod> = pods.filter(|pod| !self.pods.contains_key(&pod.metadata.uid)).collect();
        for pod in &pods {
            let asked = AskedPod { restarts: restarts(&[pod]), checks: Vec::new() };
            self.pods.insert(pod.metadata.uid.clone(), asked);
        }
        for (uid, found) in ask_pods(api, &pods, times) {
            self.is_doubtful |= found.was_unreachable;
            if let Some(asked) = self.pods.get_mut(&uid) {
                asked.checks.extend(found.check);
            }
        }
        let is_first = !self.has_services && !done.is_empty();
        if is_first {
            self.has_services = true;
            for (deployment, found) in ask_services(api, &done, times) {
                self.is_doubtful |= found.was_unreachable;
                self.services.entry(deployment).or_default().extend(found.check);
            }
        }
        !pods.is_empty() || is_first
    }

    /// Whether a container of an asked pod was restarted since.
    pub(super) fn saw_restart(&self, rollouts: &Rollouts) -> bool {
        let asked = |pod: &Pod| self.pods.get(&pod.metadata.uid).is_some_and(|asked| !asked.restarted(pod).is_empty());
        rollouts.namespace.pods.values().any(asked)
    }

    /// The checks of a Deployment and its pods.
    pub(super) fn checks(&self, deployment: &Deployment, pods: &[&Pod], seconds: f64) -> Vec<Check> {
        let mut checks = Vec::new();
        for pod in pods {
            let Some(asked) = self.pods.get(&pod.metadata.uid) else { continue };
            checks.extend(asked.checks.iter().cloned());
            for container in asked.restarted(pod) {
                let message = format!("container {container} was restarted while its health was checked");
                let subject = format!("pod {}", pod.metadata.name);
                checks.push(Check::failed("health", subject, "restarted", message, seconds));
            }
        }
        checks.extend(self.services.get(&deployment.metadata.name).into_iter().flatten().cloned());
        checks
    }
}

/// Asks the pods; the checks by pod uid.
fn ask_pods(api: &Api, pods: &[&Pod], times: Times) -> Vec<(String, Found)> {
    let targets: Vec<_> = pods
        .iter()
        .flat_map(|pod| {
            pod_requests(pod).into_iter().map(|request| {
                let name = pod.metadata.name.clone();
                (pod.metadata.uid.clone(), Target::Pod { name, request })
            })
        })
        .collect();
    parallel::map(targets, JOBS, |(uid, target)| (uid, ask(api, &target, times)))
}

/// Asks the Services of the Deployments' pods; the checks by Deployment.
fn ask_services(api: &Api, deployments: &[&Deployment], times: Times) -> Vec<(String, Found)> {
    let services = match list_services(api, times) {
        Ok(services) => services,
        Err(failure) => {
            let seconds = times.started.elapsed().as_secs_f64();
            let verdict = if matches!(failure, ApiFailure::Forbidden(_)) { "forbidden" } else { "unreachable" };
            let check = Check::failed("health", "services", verdict, failure.to_string(), seconds);
            let found = |deployment: &&Deployment| {
                let found = Found { check: Some(check.clone()), was_unreachable: false };
                (deployment.metadata.name.clone(), found)
            };
            return deployments.iter().map(found).collect();
        }
    };
    let mut targets: Vec<(String, ServiceRequest)> = Vec::new();
    for deployment in deployments {
        for request in service_requests(deployment, &services) {
            // A Service over several Deployments is asked once.
            if !targets.iter().any(|(_, other)| *other == request) {
                targets.push((deployment.metadata.name.clone(), request));
            }
        }
    }
    parallel::map(targets, JOBS, |(name, request)| (name, ask(api, &Target::Service(request), times)))
}

fn list_services(api: &Api, times: Times) -> Result<Objects<Service>, ApiFailure> {
    loop {
        match api.list::<Service>("services") {
            Ok(list) => {
                let mut services = Objects::new();
                apply(&mut services, Change::All(list.items.unwrap_or_default()));
                return Ok(services);
            }
            Err(ApiFailure::Away(_)) if Instant::now() < times.deadline => std::thread::sleep(PAUSE),
            Err(failure) => return Err(failure),
        }
    }
}

/// Asks until there is an answer that counts, or time is up.
fn ask(api: &Api, target: &Target, times: Times) -> Found {
    let begun = Instant::now();
    let subject = target.shown();
    let mut was_unreachable = false;
    loop {
        let probed = target.probe(api);
        let seconds = times.started.elapsed().as_secs_f64();
        let is_up = Instant::now() + PAUSE >= times.deadline;
        let failed = |verdict, message: String| Check::failed("health", &subject, verdict, message, seconds);
        let check = match probed {
            Ok(Probed::Gone) => return Found { check: None, was_unreachable },
            Ok(Probed::Answered(200..=399, _)) => Check::ok("health", &subject, seconds),
            Ok(Probed::Answered(status, body)) if is_up || begun.elapsed() >= target.patience() => {
                let said = if body.is_empty() { String::new() } else { format!(": {body}") };
                failed("unhealthy", format!("the application answered {status}{said}"))
            }
            Ok(Probed::Unreachable(why)) if is_up => failed("unreachable", why),
            Ok(probed) => {
                was_unreachable |= matches!(probed, Probed::Unreachable(_));
                std::thread::sleep(PAUSE);
                continue;
            }
            Err(ApiFailure::Forbidden(why)) => failed("forbidden", target.missing_right(&why)),
            Err(failure) => failed("unreachable", failure.to_string()),
        };
        return Found { check: Some(check), was_unreachable };
    }
}

impl Target {
    fn patience(&self) -> Duration {
        match self {
            Target::Pod { request, .. } => Duration::from_secs(request.patience),
            Target::Service(_) => Duration::ZERO,
        }
    }

    fn probe(&self, api: &Api) -> Result<Probed, ApiFailure> {
        match self {
            Target::Pod { name, request } if request.route == Route::Forward => api.probe_forwarded(name, request),
            Target::Pod { name, request } => api.probe(&request.api_path(&api.namespace, name), &request.headers),
            Target::Service(request) => match api.probe(&request.api_path(&api.namespace), &request.headers)? {
                // A Service does not go as pods do.
                Probed::Gone => Ok(Probed::Unreachable("the Service is gone".to_owned())),
                probed => Ok(probed),
            },
        }
    }

    fn shown(&self) -> String {
        match self {
            Target::Pod { name, request } => format!("pod {name}:{}{}", request.port, request.path),
            Target::Service(request) => format!("service {}:{}{}", request.service, request.port, request.path),
        }
    }

    fn missing_right(&self, why: &str) -> String {
        let right = match self {
            Target::Pod { request, .. } if request.route == Route::Forward => "create on pods/portforward",
            Target::Pod { .. } => "get on pods/proxy",
            Target::Service(_) => "get on services/proxy",
        };
        format!("smoke lacks the right to {right}: {why}")
    }
}
