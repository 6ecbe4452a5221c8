//! What a workload's own status says, by the rules of its kind: those of `kubectl rollout status`, and of
//! `kubectl wait` for Jobs.

use super::events::one_line;
use super::faults::how_it_ended;
use super::state::Namespace;
use crate::kubernetes::objects::{Kind, Pod, Terminated, Workload, condition};

/// How a workload stands by its own account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OwnStatus {
    /// Its pods say nothing yet; what it waits for.
    Waiting(String),
    /// It will not get better: verdict and reason.
    Failed(&'static str, String),
    /// It did what it is for, or has nothing to do now.
    Finished,
    /// It is at work, and says itself when it is done.
    Working(String),
    /// Its pods decide.
    Pods(Counts),
}

/// Pods as the controller counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    /// How many there should be.
    pub(crate) wanted: i64,
    /// How many there are, old ones too.
    pub(crate) all: i64,
    /// Whether the controller is content.
    pub(crate) is_complete: bool,
}

/// How `workload` stands by its own account.
pub(crate) fn own_status(namespace: &Namespace, workload: &Workload) -> OwnStatus {
    let Workload { kind, spec, status, .. } = workload;
    if !matches!(kind, Kind::Job | Kind::CronJob | Kind::Pod) && !workload.is_observed() {
        return OwnStatus::Waiting(format!("not yet seen by the {} controller", kind.name()));
    }
    let wanted = workload.replicas();
    let counts = |wanted, all, is_complete| OwnStatus::Pods(Counts { wanted, all, is_complete });
    let shown = workload.shown();
    match kind {
        Kind::Deployment if spec.paused => OwnStatus::Failed(
            "paused",
            format!("rollouts are held back; `kubectl rollout resume {shown}` lets them go on"),
        ),
        Kind::Deployment | Kind::StatefulSet | Kind::ReplicaSet | Kind::Rollout if spec.replicas == Some(0) => {
            OwnStatus::Failed(
                "zero-replicas",
                format!("nothing runs; `kubectl scale {shown} --replicas=1` starts a pod"),
            )
        }
        Kind::Deployment => {
            let is_complete =
                status.updated_replicas == wanted && status.replicas == wanted && status.available_replicas >= wanted;
            counts(wanted, status.replicas, is_complete)
        }
        Kind::Rollout => rollout(workload, wanted),
        Kind::StatefulSet => {
            let kept = spec.update_strategy.rolling_update.as_ref().map_or(0, |update| update.partition);
            let by_hand = spec.update_strategy.kind == "OnDelete";
            let is_updated = by_hand || status.updated_replicas >= wanted.saturating_sub(kept);
            counts(wanted, status.replicas, is_updated && status.replicas == wanted)
        }
        Kind::ReplicaSet => {
            counts(wanted, status.replicas, status.replicas == wanted && status.available_replicas >= wanted)
        }
        Kind::DaemonSet => {
            let wanted = status.desired_number_scheduled;
            if wanted == 0 {
                return OwnStatus::Failed("zero-replicas", "nothing runs: no node is one of its".to_owned());
            }
            let by_hand = spec.update_strategy.kind == "OnDelete";
            let is_updated = by_hand || status.updated_number_scheduled >= wanted;
            counts(wanted, wanted, is_updated && status.number_available >= wanted)
        }
        Kind::Job if spec.suspend => OwnStatus::Failed("paused", format!("{shown} is suspended")),
        Kind::Job => job(namespace, workload),
        // One that is held back, or never ran, has nothing to do.
        Kind::CronJob => match namespace.pod_controller(workload) {
            Some(newest) => job(namespace, newest),
            None => OwnStatus::Finished,
        },
        Kind::Pod => pod(namespace, workload),
    }
}

/// Newer Rollouts say it themselves, older ones are counted.
fn rollout(workload: &Workload, wanted: i64) -> OwnStatus {
    let status = &workload.status;
    let said = |otherwise: &str| match one_line(&status.message) {
        message if message.is_empty() => otherwise.to_owned(),
        message => message,
    };
    match status.phase.as_str() {
        "Degraded" => OwnStatus::Failed("degraded", said("the Rollout is degraded")),
        "Paused" => OwnStatus::Working(format!("paused: {}", said("`kubectl argo rollouts promote` lets it go on"))),
        "Progressing" => OwnStatus::Working(said("progressing")),
        _ => {
            let is_complete = status.updated_replicas == wanted && status.available_replicas >= wanted;
            OwnStatus::Pods(Counts { wanted, all: status.replicas, is_complete })
        }
    }
}

fn job(namespace: &Namespace, job: &Workload) -> OwnStatus {
    let conditions = &job.status.conditions;
    if condition(conditions, "Complete", "True").is_some() {
        return OwnStatus::Finished;
    }
    let Some(failed) = condition(conditions, "Failed", "True") else {
        return OwnStatus::Working("its Job has not completed".to_owned());
    };
    let pod = namespace.failed_pod_of(job);
    // The Job may be heard of before its last pod, which tells why.
    let is_live = |pod: &&Pod| ["Pending", "Running"].contains(&pod.status.phase.as_str());
    if pod.is_none() && namespace.pods_of(job).iter().any(is_live) {
        return OwnStatus::Waiting("its Job has failed, its last pod ends".to_owned());
    }
    let ended = pod.and_then(|pod| pod.status.all().find_map(|status| status.state.terminated.as_ref()));
    let ended = ended.map(|ended| format!("; its last pod {}", how_it_ended(ended))).unwrap_or_default();
    OwnStatus::Failed("job-failed", format!("{}: {}{ended}", failed.reason, one_line(&failed.message)))
}

fn pod(namespace: &Namespace, workload: &Workload) -> OwnStatus {
    let counts = Counts { wanted: 1, all: 1, is_complete: true };
    let Some(pod) = namespace.pods.get(&workload.metadata.name) else { return OwnStatus::Pods(counts) };
    match pod.status.phase.as_str() {
        "Succeeded" => OwnStatus::Finished,
        "Failed" => {
            let failed = |ended: &&Terminated| ended.exit_code != 0;
            let ended = pod.status.all().filter_map(|status| status.state.terminated.as_ref()).find(failed);
            let why = ended.map(how_it_ended);
            let why = why.unwrap_or_else(|| format!("{}: {}", pod.status.reason, one_line(&pod.status.message)));
            OwnStatus::Failed("pod-failed", why)
        }
        _ => OwnStatus::Pods(counts),
    }
}
