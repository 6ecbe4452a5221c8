//! How a workload's current rollout stands.
//!
//! Beyond what the workload says itself, the pods of the current rollout are looked at one by one, which tells in seconds what counts only tell by a timeout.

use std::collections::BTreeMap;
use std::time::Duration;

use super::events::{newest, one_line};
use super::faults::{Class, Fault, FaultKind, fault_of, how_it_ended, rejection_of};
use super::state::Namespace;
use super::status::{OwnStatus, own_status};
use crate::kubernetes::objects::{Kind, Pod, Workload, condition, seconds};

/// How long a fault that can heal is waited for.
const GRACE: Duration = Duration::from_secs(10);
/// How long one is waited for that the kubelet retries every 10 to 15 seconds, when no event says that
/// it was retried: it may have healed on a slow node.
const RETRY_LIMIT: Duration = Duration::from_secs(30);
/// How long a container without readiness probe must have run: to Kubernetes it is ready from its first
/// moment, also when it ends in the next.
const UPTIME_UNPROBED: Duration = Duration::from_secs(3);
/// How late a kubelet may be to report that a container ended: readiness that is longer ago than this needs
/// no watching.
const REPORT_DELAY: Duration = Duration::from_secs(5);
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
pub(crate) enum RolloutStatus {
    /// Not yet decided; what it waits for.
    Waiting(String),
    /// All pods of the current rollout are ready, and there are no others; watched for an early end.
    Settling,
    /// They are, and stay so; or the work is done.
    Done,
    /// It will not get better; why, one entry for each kind of failure.
    Failed(Vec<Failure>),
}

/// Why a rollout failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The verdict, as reports write it: `image-not-found`, `paused`, `not-ready`, …
    pub(crate) verdict: &'static str,
    pub(crate) message: String,
    /// The pod whose events and log tell more.
    pub(crate) pod: Option<String>,
    pub(crate) container: Option<String>,
    /// Whether the log of the container before its restart tells why.
    pub(crate) previous_log: bool,
}

impl Failure {
    /// One of the workload itself.
    pub(crate) fn of_workload(verdict: &'static str, message: impl Into<String>) -> Self {
        Failure { verdict, message: message.into(), pod: None, container: None, previous_log: false }
    }

    fn of_pod(pod: &Pod, fault: Fault) -> Self {
        Failure {
            verdict: fault.kind.verdict(),
            message: fault.message,
            pod: Some(pod.metadata.name.clone()),
            container: fault.container,
            previous_log: fault.previous_log,
        }
    }
}

/// A thing that was first seen at some moment: a pod's uid, and what of it.
type Seen = BTreeMap<(String, String), Moment>;

/// Which faults are waited for until time is up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Strictness {
    /// None.
    FailFast,
    /// Those that can heal.
    #[default]
    Normal,
    /// All.
    Tolerate,
}

/// Judges rollouts, remembering since when things are as they are.
#[derive(Debug)]
pub(crate) struct Judge {
    since: i64,
    strictness: Strictness,
    settle: Duration,
    faults: Seen,
    running: Seen,
}

impl Judge {
    /// Ends of containers after `since` (unix seconds, the cluster's clock) count against a rollout; pods must
    /// have been ready for `settle`.
    pub(crate) fn new(since: i64, strictness: Strictness, settle: Duration) -> Self {
        Judge { since, strictness, settle, faults: Seen::new(), running: Seen::new() }
    }

    /// How `workload` stands, by the containers that are not in `skipped`.
    pub(crate) fn judge(
        &mut self,
        namespace: &Namespace,
        workload: &Workload,
        skipped: &[&str],
        now: Moment,
    ) -> RolloutStatus {
        let (counts, working) = match own_status(namespace, workload) {
            OwnStatus::Waiting(text) => return RolloutStatus::Waiting(text),
            OwnStatus::Failed(verdict, message) => {
                return RolloutStatus::Failed(vec![own_failure(namespace, workload, verdict, message)]);
            }
            OwnStatus::Finished => return RolloutStatus::Done,
            OwnStatus::Working(text) => (None, text),
            OwnStatus::Pods(counts) => (Some(counts), String::new()),
        };
        let Some(controller) = namespace.pod_controller(workload) else {
            return match self.refused(namespace, workload, workload, now) {
                Some(failure) => RolloutStatus::Failed(vec![failure]),
                None => RolloutStatus::Waiting("no ReplicaSet yet".to_owned()),
            };
        };
        let pods = namespace.pods_of(workload);
        let (mut final_faults, mut pending) = (Vec::new(), None);
        for pod in &pods {
            let events = namespace.events_of(&pod.metadata.uid);
            let Some(fault) = fault_of(pod, &events, self.since, skipped) else {
                self.faults.retain(|(uid, _), _| *uid != pod.metadata.uid);
                continue;
            };
            match self.is_final(&pod.metadata.uid, &fault, workload, now) {
                true => final_faults.push((*pod, fault)),
                false => pending = pending.or(Some(fault)),
            }
        }
        if !final_faults.is_empty() {
            return RolloutStatus::Failed(grouped(final_faults));
        }
        let ready = pods.iter().filter(|pod| is_ready(pod)).count();
        let is_complete = match counts {
            // The next Job of a CronJob comes in its time.
            None => workload.kind == Kind::CronJob,
            // Nobody knows whether what is skipped ever gets ready.
            Some(_) if !skipped.is_empty() => has_only(workload, skipped) || are_ready_but(&pods, skipped),
            Some(counts) => counts.is_complete && i64::try_from(ready) == Ok(counts.wanted) && pods.len() == ready,
        };
        if is_complete {
            // Each is looked at, so that all are remembered from now on.
            let unsettled = pods.iter().filter(|pod| !self.is_settled(pod, now)).count();
            return if unsettled == 0 || counts.is_none() || has_only(workload, skipped) {
                RolloutStatus::Done
            } else {
                RolloutStatus::Settling
            };
        }
        let refused = self.refused(namespace, workload, controller, now);
        if let Some((pod, fault)) = rejection(namespace, workload, &pods) {
            match self.is_final(&controller.metadata.uid, &fault, workload, now) {
                true => return RolloutStatus::Failed(grouped(vec![(pod, fault)])),
                false => pending = pending.or(Some(fault)),
            }
        }
        if let Some(failure) = refused {
            return RolloutStatus::Failed(vec![failure]);
        }
        let status = &workload.status;
        let progress = counts.map_or(working, |counts| progress(ready, counts.wanted, counts.all));
        if let Some(late) = condition(&status.conditions, "Progressing", "False")
            && late.reason == "ProgressDeadlineExceeded"
        {
            let message = format!("{}; {progress}", one_line(&late.message));
            return RolloutStatus::Failed(vec![unready(namespace, &pods, "deadline-exceeded", message)]);
        }
        let fault = pending.map(|fault| format!("; {}: {}", fault.kind.verdict(), fault.message)).unwrap_or_default();
        let refusal = self.refusal(namespace, workload, controller);
        let refusal = refusal.map(|why| format!("; replica-failure: {why}")).unwrap_or_default();
        RolloutStatus::Waiting(progress + &fault + &refusal)
    }

    /// What to say of a rollout that is still waiting when time is up.
    pub(crate) fn timed_out(
        &self,
        namespace: &Namespace,
        workload: &Workload,
        skipped: &[&str],
        waiting: &str,
    ) -> Vec<Failure> {
        let pods = namespace.pods_of(workload);
        let faulty = pods.iter().filter_map(|pod| {
            let fault = fault_of(pod, &namespace.events_of(&pod.metadata.uid), self.since, skipped)?;
            (fault.class != Class::Healed).then_some((*pod, fault))
        });
        let faulty: Vec<_> = faulty.collect();
        if !faulty.is_empty() {
            return grouped(faulty);
        }
        let controller = namespace.pod_controller(workload).unwrap_or(workload);
        if let Some(why) = self.refusal(namespace, workload, controller) {
            return vec![Failure::of_workload("replica-failure", why)];
        }
        if let Some((pod, fault)) = rejection(namespace, workload, &pods) {
            return grouped(vec![(pod, fault)]);
        }
        // The pods of a Job that ended do not count, and tell why it has not completed.
        if let Some(pod) = namespace.failed_pod_of(workload).filter(|_| workload.is_job())
            && let Some((status, ended)) =
                pod.status.all().find_map(|status| Some((status, status.state.terminated.as_ref()?)))
        {
            let message = format!("{waiting}; its last pod {}", how_it_ended(ended));
            let failure = Failure::of_workload("failing-exit", message);
            let (pod, container) = (Some(pod.metadata.name.clone()), Some(status.name.clone()));
            return vec![Failure { pod, container, ..failure }];
        }
        vec![unready(namespace, &pods, "not-ready", waiting.to_owned())]
    }

    /// What to say of a rollout that is settling when time is up: that is as long as it can be watched, unless
    /// a container was restarted, and may well end again.
    pub(crate) fn unsettled(
        &mut self,
        namespace: &Namespace,
        workload: &Workload,
        skipped: &[&str],
        now: Moment,
    ) -> Vec<Failure> {
        let mut failures = Vec::new();
        for pod in namespace.pods_of(workload) {
            let restarts = restarts_of(pod);
            if restarts == 0 || self.is_settled(pod, now) {
                continue;
            }
            let fault = fault_of(pod, &namespace.events_of(&pod.metadata.uid), self.since, skipped);
            let mut failure =
                fault.map_or_else(|| Failure::of_workload("restarted", ""), |fault| Failure::of_pod(pod, fault));
            failure.pod = Some(pod.metadata.name.clone());
            let message = format!("{restarts} restarts so far, and time is up a moment after the last");
            failure.message =
                [failure.message, message].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("; ");
            failures.push(failure);
        }
        failures
    }

    fn is_final(&mut self, uid: &str, fault: &Fault, workload: &Workload, now: Moment) -> bool {
        let first = *self.faults.entry((uid.to_owned(), fault.kind.verdict().to_owned())).or_insert(now);
        let age = now.elapsed.saturating_sub(first.elapsed);
        let is_end = matches!(fault.kind, FaultKind::FailingExit | FaultKind::CrashLoop | FaultKind::OutOfMemory);
        match (self.strictness, fault.class) {
            (Strictness::Tolerate, _) => false,
            (Strictness::FailFast, _) => true,
            // A Job counts its failures itself.
            _ if is_end && workload.is_job() => false,
            (_, Class::Final) => true,
            (_, Class::Healing | Class::Healed) => false,
            (_, Class::Retried) => {
                let grace = i64::try_from(GRACE.as_secs()).unwrap_or(i64::MAX);
                let is_retried = age >= GRACE && fault.reported >= first.cluster + grace;
                !fault.is_retrying && (is_retried || age >= RETRY_LIMIT)
            }
        }
    }

    /// Why pods are not made: quota, admission. Controllers other than ReplicaSets' only tell it by an event.
    fn refusal(&self, namespace: &Namespace, workload: &Workload, controller: &Workload) -> Option<String> {
        if let Some(refused) = condition(&controller.status.conditions, "ReplicaFailure", "True") {
            return Some(one_line(&refused.message));
        }
        let tells_by_event = matches!(workload.kind, Kind::StatefulSet | Kind::DaemonSet | Kind::Job | Kind::CronJob);
        let events = namespace.events_of(&controller.metadata.uid);
        let last = newest(&events, &["FailedCreate", "SuccessfulCreate"]).filter(|_| tells_by_event)?;
        (last.reason == "FailedCreate").then(|| one_line(&last.message))
    }

    /// A refusal that does not heal.
    fn refused(
        &mut self,
        namespace: &Namespace,
        workload: &Workload,
        controller: &Workload,
        now: Moment,
    ) -> Option<Failure> {
        let message = self.refusal(namespace, workload, controller)?;
        let first = *self.faults.entry((controller.metadata.uid.clone(), "refused".to_owned())).or_insert(now);
        // Somebody else's pods end, one of the same name is still being deleted, the API server is busy.
        let heals = [
            "exceeded quota",
            "failed calling webhook",
            "object has been modified",
            "please try again",
            "already exists",
            "is being deleted",
            "timeout",
            "timed out",
            "too many requests",
            "unable to handle the request",
        ];
        let is_final = match self.strictness {
            Strictness::Tolerate => false,
            Strictness::FailFast => true,
            Strictness::Normal if heals.iter().any(|text| message.contains(text)) => false,
            // What it names may come a moment later; a new namespace gets its accounts within one.
            Strictness::Normal if message.contains("not found") => now.elapsed.saturating_sub(first.elapsed) >= GRACE,
            Strictness::Normal => true,
        };
        is_final.then(|| Failure::of_workload("replica-failure", message))
    }

    /// Whether the pod has been ready for long enough to be believed.
    fn is_settled(&mut self, pod: &Pod, now: Moment) -> bool {
        let restarts = restarts_of(pod);
        let ready = condition(&pod.status.conditions, "Ready", "True");
        let since = ready.and_then(|ready| seconds(ready.last_transition_time.as_ref()));
        // One that was unready for a while begins anew.
        let key = (pod.metadata.uid.clone(), format!("ready since {since:?}, {restarts} restarts"));
        let first = *self.running.entry(key).or_insert(now);
        let seen = now.elapsed.saturating_sub(first.elapsed);
        let ready_for = since.and_then(|since| u64::try_from(now.cluster - since).ok()).unwrap_or(0);
        let needed = self.needed(pod, restarts);
        seen >= needed || Duration::from_secs(ready_for) >= needed + REPORT_DELAY
    }

    fn needed(&self, pod: &Pod, restarts: i64) -> Duration {
        let is_unprobed = pod.spec.containers.iter().any(|container| container.readiness_probe.is_none());
        let least = match (restarts > 0, is_unprobed) {
            (true, _) => UPTIME_RESTARTED,
            (false, true) => UPTIME_UNPROBED,
            (false, false) => Duration::ZERO,
        };
        least.max(self.settle)
    }
}

fn restarts_of(pod: &Pod) -> i64 {
    pod.status.container_statuses.iter().map(|status| status.restart_count).sum()
}

/// What a node said that refused a pod, when no other came after it.
fn rejection<'a>(namespace: &'a Namespace, workload: &Workload, pods: &[&Pod]) -> Option<(&'a Pod, Fault)> {
    let created = |pod: &Pod| seconds(pod.metadata.creation_timestamp.as_ref());
    let failed = namespace.failed_pod_of(workload).filter(|_| !workload.is_job())?;
    let is_newest = pods.iter().all(|pod| created(pod) <= created(failed));
    is_newest.then(|| rejection_of(failed).map(|fault| (failed, fault)))?
}

/// Whether there are no containers but these.
fn has_only(workload: &Workload, names: &[&str]) -> bool {
    workload.template().spec.containers.iter().all(|container| names.contains(&container.name.as_str()))
}

/// Whether there are pods, and all their containers are ready but for these.
fn are_ready_but(pods: &[&Pod], names: &[&str]) -> bool {
    let is_ready = |pod: &&Pod| {
        pod.status.container_statuses.iter().all(|status| status.ready || names.contains(&status.name.as_str()))
    };
    !pods.is_empty() && pods.iter().all(is_ready)
}

/// A failure of the workload's own, with the pod that may tell more.
fn own_failure(namespace: &Namespace, workload: &Workload, verdict: &'static str, message: String) -> Failure {
    let mut failure = Failure::of_workload(verdict, message);
    let pod = namespace.failed_pod_of(workload).filter(|_| ["job-failed", "pod-failed"].contains(&verdict));
    failure.pod = pod.map(|pod| pod.metadata.name.clone());
    let ended = pod.and_then(|pod| pod.status.all().find(|status| status.state.terminated.is_some()));
    failure.container = ended.map(|status| status.name.clone());
    failure
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

/// One failure for all pods that have the same kind of fault in the same container.
fn grouped(faults: Vec<(&Pod, Fault)>) -> Vec<Failure> {
    let mut groups: BTreeMap<(FaultKind, Option<String>), (Failure, usize)> = BTreeMap::new();
    for (pod, fault) in faults {
        let key = (fault.kind, fault.container.clone());
        groups.entry(key).or_insert_with(|| (Failure::of_pod(pod, fault), 0)).1 += 1;
    }
    let with_count = |(mut failure, count): (Failure, usize)| {
        if count > 1 {
            failure.message.push_str(&format!(" (and {} more pods)", count - 1));
        }
        failure
    };
    groups.into_values().map(with_count).collect()
}

/// A failure that points to the first pod that is not ready, and says what its probes say.
fn unready(namespace: &Namespace, pods: &[&Pod], verdict: &'static str, message: String) -> Failure {
    let mut failure = Failure::of_workload(verdict, message);
    let Some(pod) = pods.iter().find(|pod| !is_ready(pod)) else { return failure };
    failure.pod = Some(pod.metadata.name.clone());
    let unready = pod.status.all().find(|status| !status.ready && status.state.terminated.is_none());
    failure.container = unready.map(|status| status.name.clone());
    if let Some(waiting) = unready.and_then(|status| status.state.waiting.as_ref()) {
        failure.message.push_str(&format!("; it waits: {}", waiting.reason));
    }
    if let Some(event) = newest(&namespace.events_of(&pod.metadata.uid), &["Unhealthy"]) {
        failure.message.push_str(&format!("; {}", one_line(&event.message)));
    }
    failure
}

#[cfg(test)]
#[path = "rollout_tests.rs"]
mod tests;
