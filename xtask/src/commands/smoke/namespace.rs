//! One namespace, looked at from its first list to the last answer of a pod.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::ask::{Health, service_faults};
use super::explain::details;
use super::gather::Plan;
use super::look_up::Identities;
use super::timing::{Steps, Times};
use super::view::View;
use super::watch::{Rollouts, placeholders};
use crate::cli::SmokeArgs;
use crate::cluster::Api;
use crate::kubernetes::objects::{Container, Kind, Pod, Workload};
use crate::kubernetes::smoke::expected_images::ContainerOwner;
use crate::kubernetes::smoke::report::{Check, WorkloadReport};
use crate::kubernetes::smoke::rollout::{Strictness, ready_seconds};
use crate::registry::Client;
use crate::system::parallel;

/// How long an event may come after the state that it explains.
const EVENT_REPORT: Duration = Duration::from_millis(700);
/// How long a busy kubelet may take to report that a container was restarted; it looks every second.
const RESTART_REPORT: Duration = Duration::from_secs(10);
/// Workloads whose failures are explained at once.
const JOBS: usize = 16;

/// What was found in a namespace.
pub(super) struct NamespaceResult {
    pub(super) namespace: String,
    /// Whether there was nothing to look at.
    pub(super) is_empty: bool,
    /// Components that some workload runs, be it looked at or not.
    pub(super) components: BTreeSet<String>,
    /// All workloads, with the names of their containers.
    pub(super) containers: BTreeMap<(Kind, String), BTreeSet<String>>,
    /// Components that somebody else's image is called like, with a sentence on where it runs.
    pub(super) alike: Vec<(String, String)>,
    pub(super) checks: Vec<Check>,
    pub(super) workloads: Vec<WorkloadReport>,
    pub(super) steps: Steps,
}

impl NamespaceResult {
    pub(super) fn seconds(&self) -> f64 {
        self.steps.steps.iter().map(|step| step.seconds).sum()
    }
}

/// Follows the rollouts, compares images, asks for health.
///
/// # Errors
/// Missing rights; an API server that was never heard.
pub(super) fn check(
    plan: &Plan,
    api: &Api,
    client: &Arc<Client>,
    view: &View,
    arguments: &SmokeArgs,
    times: Times,
    since: i64,
) -> Result<NamespaceResult> {
    let mut steps = Steps::new(Instant::now());
    let strictness = match (arguments.fail_fast, arguments.tolerate_failures) {
        (true, _) => Strictness::FailFast,
        (_, true) => Strictness::Tolerate,
        _ => Strictness::Normal,
    };
    let mut rollouts = Rollouts::follow(plan, api, since, strictness, times);
    rollouts.wait(view)?;
    steps.end("rollout");
    let mut identities = Identities::new(client, plan, &api.namespace, arguments.allow_unverifiable);
    identities.look_up(&rollouts, times);
    steps.end("identity");
    let is_lost = rollouts.has_failed() || identities.has_mismatch(&rollouts);
    let times = if is_lost { rollouts.shorten() } else { times };
    let mut health = Health::new(arguments.fail_fast);
    let mut is_last_look = false;
    loop {
        while health.ask(api, &rollouts, times) {
            if health.is_doubtful {
                rollouts.keep_watching(RESTART_REPORT, |rollouts| health.saw_restart(rollouts))?;
            }
            // Pods that took the place of others meanwhile are checked as well.
            rollouts.wait(view)?;
            if Instant::now() >= times.decide {
                break;
            }
        }
        if is_last_look || rollouts.has_failed() {
            break;
        }
        is_last_look = true;
        rollouts.list_pods_again();
        rollouts.wait(view)?;
    }
    identities.look_up(&rollouts, times);
    steps.end("health");
    rollouts.keep_watching(EVENT_REPORT, |rollouts| !rollouts.lacks_events())?;

    let seconds = times.started.elapsed().as_secs_f64();
    let all = rollouts.workloads();
    let reports = parallel::map(all.iter().map(AsRef::as_ref).collect(), JOBS, |workload: &Workload| {
        let pods = rollouts.namespace.pods_of(workload);
        let mut checks = rollout_checks(plan, api, &rollouts, workload);
        let is_done = rollouts.is_done(workload);
        checks.extend(identities.checks(workload, &pods, is_done, seconds));
        checks.extend(health.checks(workload, &pods, seconds));
        let slowest = if is_done { pods.iter().filter_map(|pod| ready_seconds(pod)).max() } else { None };
        checks.extend(time_check(slowest, arguments.ready_within, &pods, seconds));
        WorkloadReport {
            namespace: api.namespace.clone(),
            kind: workload.kind.name(),
            name: workload.metadata.name.clone(),
            components: components(plan, workload),
            pods: pods.len(),
            ready_seconds: slowest,
            checks,
        }
    });
    let run = rollouts.namespace.workloads();
    let mut checks = service_faults(&rollouts, seconds);
    let controllers: BTreeSet<String> = all.iter().filter_map(|workload| workload.unknown_controller()).collect();
    checks.extend(controllers.iter().map(|controller| {
        let message = "its pods are looked at, and how many there should be is not known";
        Check { passed: true, ..Check::failed("rollout", controller.as_str(), "not-counted", message, seconds) }
    }));
    Ok(NamespaceResult {
        namespace: api.namespace.clone(),
        is_empty: all.is_empty(),
        components: run.iter().flat_map(|workload| components(plan, workload)).collect(),
        containers: run
            .iter()
            .map(|workload| {
                let names = workload.containers().map(|container| container.name.clone());
                ((workload.kind, workload.metadata.name.clone()), names.collect())
            })
            .collect(),
        alike: run.iter().flat_map(|workload| alike(plan, workload)).collect(),
        checks,
        workloads: reports,
        steps,
    })
}

fn components(plan: &Plan, workload: &Workload) -> Vec<String> {
    let owners = workload.containers().map(|container| plan.expectations.owner(workload, container));
    let names = owners.filter_map(|owner| match owner {
        ContainerOwner::Component(name) | ContainerOwner::Placeholder(name) => Some(name.to_owned()),
        ContainerOwner::Foreign => None,
    });
    names.collect::<BTreeSet<_>>().into_iter().collect()
}

fn alike(plan: &Plan, workload: &Workload) -> Vec<(String, String)> {
    let containers = workload.containers();
    let found = containers.filter_map(|container| {
        let component = plan.expectations.alike(container)?;
        let Container { name, image, .. } = container;
        let text = format!("container {name} of {} runs {image}, which is none of its repositories", workload.shown());
        Some((component.to_owned(), text))
    });
    found.collect()
}

fn rollout_checks(plan: &Plan, api: &Api, rollouts: &Rollouts<'_>, workload: &Workload) -> Vec<Check> {
    let mut checks = Vec::new();
    for container in placeholders(plan, workload) {
        let message = "its image is a placeholder; `cargo xtask manifests` puts the recorded one in";
        let check = Check::failed("rollout", container, "placeholder", message, rollouts.elapsed());
        checks.push(Check { passed: plan.placeholders_pass, ..check });
    }
    let Some(decided) = rollouts.decided.get(&workload.shown()) else {
        let message = "it appeared while others were checked";
        checks.push(Check::failed("rollout", "", "not-ready", message, rollouts.elapsed()));
        return checks;
    };
    if decided.failures.is_empty() && checks.is_empty() {
        let short = || {
            let message = format!("its pods were not watched for {} s, since time was up", plan.settle.as_secs());
            Check { passed: true, ..Check::failed("rollout", "", "not-settled", message, decided.seconds) }
        };
        checks.push(if decided.is_settled { Check::ok("rollout", "", decided.seconds) } else { short() });
    }
    checks.extend(decided.failures.iter().map(|failure| {
        let subject = failure.pod.as_ref().map(|pod| match &failure.container {
            Some(container) => format!("pod {pod}, container {container}"),
            None => format!("pod {pod}"),
        });
        let subject = subject.unwrap_or_default();
        let check = Check::failed("rollout", subject, failure.verdict, &failure.message, decided.seconds);
        Check { details: details(api, &rollouts.namespace, workload, failure), ..check }
    }));
    checks
}

fn time_check(slowest: Option<u64>, within: Option<Duration>, pods: &[&Pod], seconds: f64) -> Option<Check> {
    let (slowest, within) = (slowest?, within?);
    if Duration::from_secs(slowest) <= within {
        return Some(Check::ok("time", "", seconds));
    }
    let pod =
        pods.iter().max_by_key(|pod| ready_seconds(pod)).map(|pod| pod.metadata.name.as_str()).unwrap_or_default();
    let message = format!("pod {pod} was ready {slowest} s after its creation; allowed are {} s", within.as_secs_f64());
    Some(Check::failed("time", "", "slow", message, seconds))
}
