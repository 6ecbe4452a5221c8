//! Asks every pod on its probes' paths, each once, and then each Service once; again where the answer may be a
//! matter of load.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::timing::Times;
use super::watch::Rollouts;
use crate::cluster::{Api, ApiFailure, Probed, SILENT};
use crate::kubernetes::objects::{Pod, Service, Workload};
use crate::kubernetes::smoke::report::Check;
use crate::kubernetes::smoke::requests::{PodRequest, Route, ServiceRequest, pod_requests, service_requests};
use crate::kubernetes::smoke::rollout::restarts;
use crate::system::parallel;

/// Requests at once.
const JOBS: usize = 16;
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(500);
/// So many times a path is asked before an answer counts that no load explains.
const TRIES: u32 = 3;

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

/// What was asked and found so far.
#[derive(Default)]
pub(super) struct Health {
    pods: BTreeMap<String, AskedPod>,
    /// By the workload that they lead to.
    services: BTreeMap<String, Vec<Check>>,
    has_services: bool,
    is_fail_fast: bool,
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
    pub(super) fn new(is_fail_fast: bool) -> Self {
        Health { is_fail_fast, ..Health::default() }
    }

    /// Asks the pods of finished rollouts that were not asked before, and once all Services. False when there
    /// was nothing to ask.
    pub(super) fn ask(&mut self, api: &Api, rollouts: &Rollouts<'_>, times: Times) -> bool {
        let done = rollouts.done();
        let running = |pod: &&Pod| pod.status.phase == "Running";
        let pods = done.iter().flat_map(|workload| rollouts.namespace.pods_of(workload)).filter(running);
        let pods: Vec<&Pod> = pods.filter(|pod| !self.pods.contains_key(&pod.metadata.uid)).collect();
        let mut targets: Vec<(String, Target)> = Vec::new();
        for pod in &pods {
            let asked = AskedPod { restarts: restarts(&[pod]), checks: Vec::new() };
            self.pods.insert(pod.metadata.uid.clone(), asked);
            let name = &pod.metadata.name;
            let requests = pod_requests(pod).into_iter();
            targets.extend(
                requests.map(|request| (pod.metadata.uid.clone(), Target::Pod { name: name.clone(), request })),
            );
        }
        for (uid, found) in self.ask_all(api, targets, times) {
            if let Some(asked) = self.pods.get_mut(&uid) {
                asked.checks.extend(found);
            }
        }
        let is_first = !self.has_services && !done.is_empty();
        if is_first {
            self.has_services = true;
            let targets = service_targets(rollouts);
            for (workload, found) in self.ask_all(api, targets, times) {
                self.services.entry(workload).or_default().extend(found);
            }
        }
        !pods.is_empty() || is_first
    }

    fn ask_all(&mut self, api: &Api, targets: Vec<(String, Target)>, times: Times) -> Vec<(String, Option<Check>)> {
        let is_fail_fast = self.is_fail_fast;
        let found = parallel::map(targets, JOBS, |(of, target)| (of, ask(api, &target, is_fail_fast, times)));
        self.is_doubtful |= found.iter().any(|(_, found)| found.was_unreachable);
        found.into_iter().map(|(of, found)| (of, found.check)).collect()
    }

    /// Whether a container of an asked pod was restarted since.
    pub(super) fn saw_restart(&self, rollouts: &Rollouts<'_>) -> bool {
        let asked = |pod: &Pod| self.pods.get(&pod.metadata.uid).is_some_and(|asked| !asked.restarted(pod).is_empty());
        rollouts.namespace.pods.values().any(asked)
    }

    /// The checks of a workload and its pods.
    pub(super) fn checks(&self, workload: &Workload, pods: &[&Pod], seconds: f64) -> Vec<Check> {
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
        checks.extend(self.services.get(&workload.shown()).into_iter().flatten().cloned());
        checks
    }
}

/// What is asked of Services whose workloads are all done, with the first of these.
fn service_targets(rollouts: &Rollouts<'_>) -> Vec<(String, Target)> {
    let done = rollouts.done();
    let mut targets = Vec::new();
    for service in rollouts.services() {
        let selected = behind(service, &done, rollouts);
        let Some(first) = selected.first() else { continue };
        // What is wrong with it by itself is told apart.
        let requests = service_requests(service, &selected).unwrap_or_default();
        targets.extend(requests.into_iter().map(|request| (first.shown(), Target::Service(request))));
    }
    targets
}

fn behind<'w>(service: &Service, workloads: &'w [Cow<'_, Workload>], rollouts: &Rollouts<'_>) -> Vec<&'w Workload> {
    workloads.iter().map(AsRef::as_ref).filter(|workload| rollouts.namespace.is_behind(service, workload)).collect()
}

/// What is wrong with Services by themselves.
pub(super) fn service_faults(rollouts: &Rollouts<'_>, seconds: f64) -> Vec<Check> {
    let workloads = rollouts.namespace.workloads();
    let faults = rollouts.services().filter_map(|service| {
        let selected = behind(service, &workloads, rollouts);
        let (verdict, message) = service_requests(service, &selected).err()?;
        let check = Check::failed("service", &service.metadata.name, verdict, message, seconds);
        // An operator's may be there for pods that come later.
        let passed = verdict == "selects-nothing" && service.metadata.controller().is_some();
        Some(Check { passed, ..check })
    });
    faults.collect()
}

/// Asks until there is an answer that counts, or time is up.
fn ask(api: &Api, target: &Target, is_fail_fast: bool, times: Times) -> Found {
    let begun = Instant::now();
    let subject = target.shown();
    let mut was_unreachable = false;
    let (mut tries, mut bad_answers) = (0, 0);
    loop {
        let probed = target.probe(api);
        tries += 1;
        let seconds = times.started.elapsed().as_secs_f64();
        let is_up = Instant::now() + PAUSE >= times.decide;
        let failed = |verdict, message: String| Check::failed("health", &subject, verdict, message, seconds);
        let check = match probed {
            Ok(Probed::Gone) => return Found { check: None, was_unreachable },
            Ok(Probed::Answered(status, _)) if (200..400).contains(&status) || target.is_port_check() => {
                let check = Check::ok("health", &subject, seconds);
                match bad_answers {
                    0 => check,
                    count => Check { message: format!("after {count} answers that were errors"), ..check },
                }
            }
            Ok(Probed::Answered(status, body)) => {
                bad_answers += 1;
                let may_be_load = matches!(status, 429 | 502..=504) && !is_fail_fast;
                let is_told = tries >= TRIES && begun.elapsed() >= target.patience() && !may_be_load;
                if !(is_up || is_told) {
                    pause(tries, times);
                    continue;
                }
                let said = if body.is_empty() { String::new() } else { format!(": {body}") };
                let often = if tries == 1 { String::new() } else { format!(" {bad_answers} of {tries} times") };
                failed("unhealthy", format!("the application answered {status}{often}{said}"))
            }
            Ok(Probed::Unreachable(why)) if target.is_port_check() && !why.contains("refused") && !is_away(&why) => {
                // Something listens, and speaks something else.
                Check::ok("health", &subject, seconds)
            }
            Ok(Probed::Unreachable(why)) if target.is_port_check() && why.contains("refused") && tries >= TRIES => {
                failed("wrong-port", format!("nothing listens on the port that it leads to: {why}"))
            }
            // Nothing was learnt of the pod.
            Ok(Probed::Unreachable(why)) if is_up && api.silence() >= SILENT => failed("unknown", why),
            Ok(Probed::Unreachable(why)) if is_up => failed("unreachable", format!("{why} (asked {tries} times)")),
            Ok(Probed::Unreachable(_)) => {
                was_unreachable = true;
                pause(tries, times);
                continue;
            }
            Err(ApiFailure::Forbidden(why)) => failed("forbidden", target.missing_right(&why)),
            Err(failure) => failed("unreachable", failure.to_string()),
        };
        return Found { check: Some(check), was_unreachable };
    }
}

/// Longer and longer, up to 2 s.
fn pause(tries: u32, times: Times) {
    let pause = PAUSE * (tries / 4 + 1).min(4);
    std::thread::sleep(pause.min(times.decide.saturating_duration_since(Instant::now())));
}

/// Whether it is the way to the API server that failed.
fn is_away(why: &str) -> bool {
    ["no endpoints", "time is up", "does not answer", "kubectl proxy", "timeout"].iter().any(|text| why.contains(text))
}

impl Target {
    fn patience(&self) -> Duration {
        match self {
            Target::Pod { request, .. } => request.patience,
            Target::Service(_) => Duration::ZERO,
        }
    }

    fn is_port_check(&self) -> bool {
        matches!(self, Target::Service(request) if request.is_port_check)
    }

    fn probe(&self, api: &Api) -> Result<Probed, ApiFailure> {
        match self {
            Target::Pod { name, request } if request.route == Route::Forward => {
                api.probe_forwarded(name, request.http.clone())
            }
            Target::Pod { name, request } => {
                api.probe(&request.api_path(&api.namespace, name), &request.http.headers, request.timeout)
            }
            Target::Service(request) => {
                match api.probe(&request.api_path(&api.namespace), &request.http.headers, request.timeout)? {
                    // A Service does not go as pods do.
                    Probed::Gone => Ok(Probed::Unreachable("the Service is gone".to_owned())),
                    probed => Ok(probed),
                }
            }
        }
    }

    fn shown(&self) -> String {
        match self {
            Target::Pod { name, request } => format!("pod {name}:{}{}", request.http.port, request.http.path),
            Target::Service(request) => format!("service {}:{}{}", request.service, request.port, request.http.path),
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
