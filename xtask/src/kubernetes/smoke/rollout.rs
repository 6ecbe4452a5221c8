//! How a Deployment's current rollout stands.
//!
//! The rules for counts are those of `kubectl rollout status`; beyond them the pods of the current
//! ReplicaSet are looked at one by one, which tells in seconds what counts only tell by a timeout.

use std::collections::BTreeMap;
use std::time::Duration;

use super::events::{newest, one_line};
use super::faults::{Fault, Kind, Patience, fault_of};
use super::objects::{Condition, ContainerStatus, Deployment, Pod, condition, seconds};
use super::state::Namespace;

/// How long a fault that can heal is waited for.
const GRACE: Duration = Duration::from_secs(10);
/// How long one is waited for that the kubelet retries every 10 to 15 seconds, when no event says that
/// it was retried: it may have healed on a slow node.
const RETRY_LIMIT: Duration = Duration::from_secs(30);
/// How long a container without readiness probe must have run: to Kubernetes it is ready from its first
/// moment, also when it ends in the next.
const UPTIME_UNPROBED: Duration = Duration::from_secs(3);
/// How late a busy kubelet may be to report that a container ended: a start that is longer ago than this
/// needs no watching.
const REPORT_DELAY: Duration = Duration::from_secs(30);
/// How long a container must have run after a restart.
const UPTIME_RESTARTED: Duration = Duration::from_secs(10);

/// The time of an observation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Since smoke began, by this machine's clock.
    pub(crate) elapsed: Duration,
    /// Unix seconds, by the cluster's clock.
    pub(crate) cluster: i64,
}

/// How a rollout stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Not yet decided; what it waits for.
    Waiting(String),
    /// All pods of the current ReplicaSet are ready, and there are no others.
    Done,
    /// It will not get better; why, one entry for each kind of trouble.
    Failed(Vec<Trouble>),
}

/// Why a rollout failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// The verdict, as reports write it: `image-not-found`, `paused`, `not-ready`, …
    pub(crate) verdict: &'static str,
    /// A sentence.
    pub(crate) message: String,
    /// The pod whose events and log tell more.
    pub(crate) pod: Option<String>,
    /// Its container.
    pub(crate) container: Option<String>,
    /// Whether the log of the container before its restart tells why.
    pub(crate) previous_log: bool,
}

impl Trouble {
    fn of_deployment(verdict: &'static str, message: impl Into<String>) -> Self {
        Trouble { verdict, message: message.into(), pod: None, container: None, previous_log: false }
    }

    fn of_pod(pod: &Pod, fault: Fault) -> Self {
        Trouble {
            verdict: fault.kind.word(),
            message: fault.message,
            pod: Some(pod.metadata.name.clone()),
            container: fault.container,
            previous_log: fault.previous_log,
        }
    }
}

/// A thing that was first seen at some moment: a pod's uid, and what of it.
type Seen = BTreeMap<(String, String), Moment>;

/// Judges rollouts, remembering since when things are as they are.
#[derive(Debug)]
pub(crate) struct Judge {
    since: i64,
    faults: Seen,
    running: Seen,
}

impl Judge {
    /// Ends of containers after `since` (unix seconds, the cluster's clock) count against a rollout.
    pub(crate) fn new(since: i64) -> Self {
        Judge { since, faults: Seen::new(), running: Seen::new() }
    }

    /// How the rollout of `deployment` stands.
    pub(crate) fn judge(&mut self, namespace: &Namespace, deployment: &Deployment, now: Moment) -> Standing {
        if let Some(standing) = before_pods(deployment) {
            return standing;
        }
        let wanted = deployment.spec.replicas.unwrap_or(1);
        let Some(set) = namespace.current_replica_set(deployment) else {
            return match self.refused(&deployment.status.conditions, &deployment.metadata.uid, now) {
                Some(trouble) => Standing::Failed(vec![trouble]),
                None => Standing::Waiting("no ReplicaSet yet".to_owned()),
            };
        };
        let pods = namespace.pods_of(set);
        let (mut final_faults, mut pending) = (Vec::new(), None);
        for pod in &pods {
            let events = namespace.events_of(&pod.metadata.uid);
            let Some(fault) = fault_of(pod, &events, self.since) else {
                self.faults.retain(|(uid, _), _| *uid != pod.metadata.uid);
                continue;
            };
            match self.is_final(&pod.metadata.uid, &fault, now) {
                true => final_faults.push((*pod, fault)),
                false => pending = pending.or(Some(fault)),
            }
        }
        if !final_faults.is_empty() {
            return Standing::Failed(grouped(final_faults));
        }
        let ready = pods.iter().filter(|pod| is_ready(pod)).count();
        let status = &deployment.status;
        let is_complete = status.updated_replicas == wanted
            && status.replicas == wanted
            && status.available_replicas >= wanted
            && i64::try_from(ready) == Ok(wanted)
            && pods.len() == ready;
        if is_complete {
            // Each is looked at, so that all are remembered from now on.
            let unsettled = pods.iter().filter(|pod| !self.is_settled(pod, now)).count();
            return if unsettled == 0 {
                Standing::Done
            } else {
                Standing::Waiting("ready; watched for an early end".into())
            };
        }
        if let Some(trouble) = self.refused(&set.status.conditions, &set.metadata.uid, now) {
            return Standing::Failed(vec![trouble]);
        }
        if let Some(late) = condition(&status.conditions, "Progressing", "False")
            && late.reason == "ProgressDeadlineExceeded"
        {
            let message = format!("{}; {}", one_line(&late.message), progress(ready, wanted, status.replicas));
            return Standing::Failed(vec![unready(namespace, &pods, "deadline-exceeded", message)]);
        }
        let fault = pending.map(|fault| format!("; {}: {}", fault.kind.word(), fault.message)).unwrap_or_default();
        Standing::Waiting(progress(ready, wanted, status.replicas) + &fault)
    }

    /// What to say of a rollout that is still waiting when time is up.
    pub(crate) fn timed_out(&self, namespace: &Namespace, deployment: &Deployment, waiting: &str) -> Vec<Trouble> {
        let pods = namespace.current_pods(deployment);
        let faulty = pods.iter().filter_map(|pod| {
            let fault = fault_of(pod, &namespace.events_of(&pod.metadata.uid), self.since)?;
            Some((*pod, fault))
        });
        let faulty: Vec<_> = faulty.collect();
        if !faulty.is_empty() {
            return grouped(faulty);
        }
        vec![unready(namespace, &pods, "not-ready", waiting.to_owned())]
    }

    fn is_final(&mut self, uid: &str, fault: &Fault, now: Moment) -> bool {
        let first = *self.faults.entry((uid.to_owned(), fault.kind.word().to_owned())).or_insert(now);
        let age = now.elapsed.saturating_sub(first.elapsed);
        match fault.kind.patience() {
            Patience::None => true,
            Patience::Grace => age >= GRACE,
            Patience::Retry => {
                let grace = i64::try_from(GRACE.as_secs()).unwrap_or(i64::MAX);
                let is_retried = age >= GRACE && fault.reported >= first.cluster + grace;
                !fault.is_retrying && (is_retried || age >= RETRY_LIMIT)
            }
        }
    }

    /// Pods that the API server does not let be made: quota, admission.
    fn refused(&mut self, conditions: &[Condition], uid: &str, now: Moment) -> Option<Trouble> {
        let refused = condition(conditions, "ReplicaFailure", "True")?;
        let message = one_line(&refused.message);
        // A new namespace gets its accounts within a moment.
        if message.contains("serviceaccount") && message.contains("not found") {
            let first = *self.faults.entry((uid.to_owned(), "refused".to_owned())).or_insert(now);
            if now.elapsed.saturating_sub(first.elapsed) < GRACE {
                return None;
            }
        }
        Some(Trouble::of_deployment("replica-failure", message))
    }

    /// Whether the pod has run long enough to be believed.
    fn is_settled(&mut self, pod: &Pod, now: Moment) -> bool {
        let mut is_settled = true;
        for status in &pod.status.container_statuses {
            let key = (pod.metadata.uid.clone(), format!("{} {}", status.name, status.restart_count));
            let first = *self.running.entry(key).or_insert(now);
            let seen = now.elapsed.saturating_sub(first.elapsed);
            let needed = needed_uptime(pod, status);
            is_settled &= seen >= needed || uptime(status, now) >= needed + REPORT_DELAY;
        }
        is_settled
    }
}

/// What can be said without looking at pods.
fn before_pods(deployment: &Deployment) -> Option<Standing> {
    let Deployment { metadata, spec, status } = deployment;
    let name = &metadata.name;
    if status.observed_generation < metadata.generation {
        return Some(Standing::Waiting("not yet seen by the Deployment controller".to_owned()));
    }
    if spec.paused {
        let message = format!("rollouts are held back; `kubectl rollout resume deployment/{name}` lets them go on");
        return Some(Standing::Failed(vec![Trouble::of_deployment("paused", message)]));
    }
    if spec.replicas == Some(0) {
        let message = format!("nothing runs; `kubectl scale deployment/{name} --replicas=1` starts a pod");
        return Some(Standing::Failed(vec![Trouble::of_deployment("zero-replicas", message)]));
    }
    None
}

fn needed_uptime(pod: &Pod, status: &ContainerStatus) -> Duration {
    let container = pod.spec.containers.iter().find(|container| container.name == status.name);
    let is_probed = container.is_some_and(|container| container.readiness_probe.is_some());
    match (status.restart_count > 0, is_probed) {
        (true, _) => UPTIME_RESTARTED,
        (false, false) => UPTIME_UNPROBED,
        (false, true) => Duration::ZERO,
    }
}

fn uptime(status: &ContainerStatus, now: Moment) -> Duration {
    let started = status.state.running.as_ref().and_then(|running| seconds(running.started_at.as_ref()));
    let uptime = started.map_or(0, |started| now.cluster - started);
    Duration::from_secs(u64::try_from(uptime).unwrap_or(0))
}

/// Whether the kubelet calls the pod ready.
fn is_ready(pod: &Pod) -> bool {
    condition(&pod.status.conditions, "Ready", "True").is_some()
}

/// Seconds from a pod's creation until it was ready, by the cluster's clock.
pub(crate) fn ready_seconds(pod: &Pod) -> Option<u64> {
    let ready = condition(&pod.status.conditions, "Ready", "True")?;
    let created = seconds(pod.metadata.creation_timestamp.as_ref())?;
    u64::try_from(seconds(ready.last_transition_time.as_ref())? - created).ok()
}

/// Restarts so far, by pod uid and container.
pub(crate) fn restarts(pods: &[&Pod]) -> BTreeMap<(String, String), i64> {
    let counts = pods.iter().flat_map(|pod| {
        let uid = &pod.metadata.uid;
        pod.status.container_statuses.iter().map(|s| ((uid.clone(), s.name.clone()), s.restart_count))
    });
    counts.collect()
}

fn progress(ready: usize, wanted: i64, all: i64) -> String {
    let pods = if wanted == 1 { "pod" } else { "pods" };
    let old = all - wanted;
    let old = if old > 0 && i64::try_from(ready) == Ok(wanted) {
        format!("; {old} of the old rollout still up")
    } else {
        String::new()
    };
    format!("{ready} of {wanted} {pods} ready{old}")
}

/// One trouble for all pods that have the same kind of fault in the same container.
fn grouped(faults: Vec<(&Pod, Fault)>) -> Vec<Trouble> {
    let mut groups: BTreeMap<(Kind, Option<String>), (Trouble, usize)> = BTreeMap::new();
    for (pod, fault) in faults {
        let key = (fault.kind, fault.container.clone());
        groups.entry(key).or_insert_with(|| (Trouble::of_pod(pod, fault), 0)).1 += 1;
    }
    let with_count = |(mut trouble, count): (Trouble, usize)| {
        if count > 1 {
            trouble.message.push_str(&format!(" (and {} more pods)", count - 1));
        }
        trouble
    };
    groups.into_values().map(with_count).collect()
}

/// A trouble that points to the first pod that is not ready, and says what its probes say.
fn unready(namespace: &Namespace, pods: &[&Pod], verdict: &'static str, message: String) -> Trouble {
    let mut trouble = Trouble::of_deployment(verdict, message);
    let Some(pod) = pods.iter().find(|pod| !is_ready(pod)) else { return trouble };
    trouble.pod = Some(pod.metadata.name.clone());
    let unready = pod.status.all().find(|status| !status.ready && status.state.terminated.is_none());
    trouble.container = unready.map(|status| status.name.clone());
    if let Some(waiting) = unready.and_then(|status| status.state.waiting.as_ref()) {
        trouble.message.push_str(&format!("; it waits: {}", waiting.reason));
    }
    if let Some(event) = newest(&namespace.events_of(&pod.metadata.uid), &["Unhealthy"]) {
        trouble.message.push_str(&format!("; {}", one_line(&event.message)));
    }
    trouble
}

#[cfg(test)]
#[path = "rollout_tests.rs"]
mod tests;
