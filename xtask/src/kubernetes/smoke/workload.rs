//! What makes pods: Deployments and their kin, as far as smoke reads them.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::objects::{Condition, Metadata, Pod, PodSpec};

/// The kinds that are looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// `apps/v1`.
    #[default]
    Deployment,
    /// `apps/v1`.
    StatefulSet,
    /// `apps/v1`.
    DaemonSet,
    /// `apps/v1`; a Deployment's or a Rollout's, or one of its own.
    ReplicaSet,
    /// `batch/v1`; a CronJob's, or one of its own.
    Job,
    /// `batch/v1`, `batch/v1beta1` before Kubernetes 1.21.
    CronJob,
    /// `argoproj.io/v1alpha1`, where it is installed.
    Rollout,
    /// A pod that none of the others makes.
    Pod,
}

impl Kind {
    /// Those that are asked for by themselves.
    pub(crate) const LISTED: [Kind; 7] = [
        Kind::Deployment,
        Kind::StatefulSet,
        Kind::DaemonSet,
        Kind::ReplicaSet,
        Kind::Job,
        Kind::CronJob,
        Kind::Rollout,
    ];

    /// As manifests write it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Deployment => "Deployment",
            Kind::StatefulSet => "StatefulSet",
            Kind::DaemonSet => "DaemonSet",
            Kind::ReplicaSet => "ReplicaSet",
            Kind::Job => "Job",
            Kind::CronJob => "CronJob",
            Kind::Rollout => "Rollout",
            Kind::Pod => "Pod",
        }
    }

    /// The kind of this name.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        Kind::LISTED.into_iter().chain([Kind::Pod]).find(|kind| kind.name() == name)
    }

    /// As the API's addresses write it.
    pub(crate) fn resource(self) -> &'static str {
        match self {
            Kind::Deployment => "deployments",
            Kind::StatefulSet => "statefulsets",
            Kind::DaemonSet => "daemonsets",
            Kind::ReplicaSet => "replicasets",
            Kind::Job => "jobs",
            Kind::CronJob => "cronjobs",
            Kind::Rollout => "rollouts",
            Kind::Pod => "pods",
        }
    }
}

/// Something that makes pods.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Workload {
    /// Which kind of it; lists leave it out.
    #[serde(skip)]
    pub(crate) kind: Kind,
    /// Name, uid, generation.
    pub(crate) metadata: Metadata,
    /// What is wanted.
    pub(crate) spec: WorkloadSpec,
    /// What is.
    pub(crate) status: WorkloadStatus,
}

/// What a workload wants.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct WorkloadSpec {
    /// Pods wanted; 1 when absent.
    pub(crate) replicas: Option<i64>,
    /// Whether rollouts are held back.
    pub(crate) paused: bool,
    /// Whether a Job is held back.
    pub(crate) suspend: bool,
    /// What its pods are made from.
    template: PodTemplate,
    /// What a CronJob's Jobs are made from.
    job_template: JobTemplate,
    /// How a StatefulSet or DaemonSet replaces pods.
    pub(crate) update_strategy: UpdateStrategy,
    /// The Deployment whose template a Rollout takes.
    pub(crate) workload_ref: Option<WorkloadRef>,
}

/// A Deployment that a Rollout stands in for, and scales down.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct WorkloadRef {
    /// Its name.
    pub(crate) name: String,
}

/// What a CronJob makes Jobs from.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
struct JobTemplate {
    spec: JobSpec,
}

/// What a Job wants, as far as a CronJob says.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
struct JobSpec {
    template: PodTemplate,
}

/// How pods are replaced.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct UpdateStrategy {
    /// `RollingUpdate` when absent, or `OnDelete`.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// A StatefulSet's.
    pub(crate) rolling_update: Option<RollingUpdate>,
}

/// How a StatefulSet replaces pods.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct RollingUpdate {
    /// Pods with a lower number stay as they are.
    pub(crate) partition: i64,
}

/// What pods are made from.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PodTemplate {
    /// The pods' labels.
    pub(crate) metadata: Metadata,
    /// The pods' spec.
    pub(crate) spec: PodSpec,
}

/// How far a workload is.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct WorkloadStatus {
    /// The newest generation that the controller has seen; Rollouts write it as a text.
    #[serde(deserialize_with = "number")]
    pub(crate) observed_generation: i64,
    /// Pods of all its ReplicaSets.
    pub(crate) replicas: i64,
    /// Pods of the current one.
    pub(crate) updated_replicas: i64,
    /// Pods that have been ready for `minReadySeconds`.
    pub(crate) available_replicas: i64,
    /// Nodes that a DaemonSet wants pods on.
    pub(crate) desired_number_scheduled: i64,
    /// Nodes with a DaemonSet's current pod.
    pub(crate) updated_number_scheduled: i64,
    /// Nodes with a DaemonSet's available pod.
    pub(crate) number_available: i64,
    /// A Rollout's own verdict.
    pub(crate) phase: String,
    /// A sentence for it.
    pub(crate) message: String,
    /// Which ReplicaSet is a Rollout's current one.
    pub(crate) current_pod_hash: String,
    /// `Progressing`, `ReplicaFailure`, `Complete`, …
    pub(crate) conditions: Vec<Condition>,
}

/// A number, or a text that is one.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(value.as_i64().or_else(|| value.as_str()?.parse().ok()).unwrap_or_default())
}

impl Workload {
    /// A pod that stands for itself.
    pub(crate) fn of_pod(pod: &Pod) -> Self {
        let template = PodTemplate { metadata: pod.metadata.clone(), spec: pod.spec.clone() };
        let spec = WorkloadSpec { template, ..WorkloadSpec::default() };
        Workload { kind: Kind::Pod, metadata: pod.metadata.clone(), spec, status: WorkloadStatus::default() }
    }

    /// What made it, where that is of a kind that we do not know: how many there should be, it alone knows.
    pub(crate) fn unknown_maker(&self) -> Option<String> {
        let owner = self.metadata.controller().filter(|_| self.kind == Kind::Pod)?;
        Some(format!("{} {}", owner.kind, owner.name))
    }

    /// The same with another's template.
    pub(crate) fn with_template_of(&self, other: &Workload) -> Self {
        let spec = WorkloadSpec { template: other.spec.template.clone(), ..self.spec.clone() };
        Workload { spec, ..self.clone() }
    }

    /// What its pods are made from.
    pub(crate) fn template(&self) -> &PodTemplate {
        if self.kind == Kind::CronJob { &self.spec.job_template.spec.template } else { &self.spec.template }
    }

    /// As kubectl writes it: `deployment/engine`.
    pub(crate) fn shown(&self) -> String {
        format!("{}/{}", self.kind.name().to_lowercase(), self.metadata.name)
    }

    /// Whether its pods come to an end by themselves.
    pub(crate) fn is_job(&self) -> bool {
        matches!(self.kind, Kind::Job | Kind::CronJob)
    }

    /// The labels of its pods.
    pub(crate) fn pod_labels(&self) -> &BTreeMap<String, String> {
        &self.template().metadata.labels
    }
}
