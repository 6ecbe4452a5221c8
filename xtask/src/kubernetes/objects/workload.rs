//! What makes pods: Deployments and their kin.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::lenient::objects;
use super::metadata::{Condition, Metadata};
use super::pod::{Container, Pod, PodTemplate};

/// The kinds that are looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    #[default]
    Deployment,
    StatefulSet,
    DaemonSet,
    /// A Deployment's or a Rollout's, or one of its own.
    ReplicaSet,
    /// A CronJob's, or one of its own.
    Job,
    CronJob,
    /// Of Argo, where it is installed.
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

    /// As manifests write it; as the API's addresses do; the API; where its objects have the template of their pods,
    /// or what a pod has of one.
    fn facts(self) -> (&'static str, &'static str, &'static str, &'static [&'static str]) {
        const APPS: &str = "/apis/apps/v1";
        const BATCH: &str = "/apis/batch/v1";
        match self {
            Kind::Deployment => ("Deployment", "deployments", APPS, &["spec", "template"]),
            Kind::StatefulSet => ("StatefulSet", "statefulsets", APPS, &["spec", "template"]),
            Kind::DaemonSet => ("DaemonSet", "daemonsets", APPS, &["spec", "template"]),
            Kind::ReplicaSet => ("ReplicaSet", "replicasets", APPS, &["spec", "template"]),
            Kind::Job => ("Job", "jobs", BATCH, &["spec", "template"]),
            // Of `v1beta1` before Kubernetes 1.21.
            Kind::CronJob => ("CronJob", "cronjobs", BATCH, &["spec", "jobTemplate", "spec", "template"]),
            Kind::Rollout => ("Rollout", "rollouts", "/apis/argoproj.io/v1alpha1", &["spec", "template"]),
            Kind::Pod => ("Pod", "pods", "/api/v1", &[]),
        }
    }

    /// As manifests write it.
    pub(crate) fn name(self) -> &'static str {
        self.facts().0
    }

    /// As the API's addresses write it.
    pub(crate) fn resource(self) -> &'static str {
        self.facts().1
    }

    /// The API that has it.
    pub(crate) fn api(self) -> &'static str {
        self.facts().2
    }

    /// Where its objects have the template of their pods, or what a pod has of one.
    pub(crate) fn template_path(self) -> &'static [&'static str] {
        self.facts().3
    }

    pub(crate) fn of_name(name: &str) -> Option<Self> {
        Kind::LISTED.into_iter().chain([Kind::Pod]).find(|kind| kind.name() == name)
    }
}

objects! {
    /// Something that makes pods.
    Workload {
        /// Lists leave it out.
        #[serde(skip)]
        kind: Kind,
        metadata: Metadata,
        spec: WorkloadSpec,
        status: WorkloadStatus,
    }

    WorkloadSpec {
        /// Pods wanted; 1 when absent.
        replicas: Option<i64>,
        /// Whether rollouts are held back.
        paused: bool,
        /// Whether a Job is held back.
        suspend: bool,
        /// What its pods are made from; [`Workload::template`] knows that of every kind.
        template: PodTemplate,
        /// What a CronJob's Jobs are made from.
        job_template: JobTemplate,
        /// How a StatefulSet or DaemonSet replaces pods.
        update_strategy: UpdateStrategy,
        /// The Deployment whose template a Rollout takes, and which it scales down.
        workload_ref: Option<WorkloadRef>,
    }

    /// A Deployment that a Rollout stands in for.
    WorkloadRef {
        name: String,
    }

    /// What a CronJob makes Jobs from.
    JobTemplate {
        spec: JobSpec,
    }

    /// What a Job wants, as far as a CronJob says.
    JobSpec {
        template: PodTemplate,
    }

    UpdateStrategy {
        /// `RollingUpdate` when absent, or `OnDelete`.
        #[serde(rename = "type")]
        kind: String,
        /// A StatefulSet's.
        rolling_update: Option<RollingUpdate>,
    }

    RollingUpdate {
        /// Pods with a lower number stay as they are.
        partition: i64,
    }

    WorkloadStatus {
        /// The newest generation that the controller has seen.
        observed_generation: Generation,
        /// Pods of all its ReplicaSets.
        replicas: i64,
        /// Pods of the current one.
        updated_replicas: i64,
        /// Pods that have been ready for `minReadySeconds`.
        available_replicas: i64,
        /// Nodes that a DaemonSet wants pods on.
        desired_number_scheduled: i64,
        /// Nodes with a DaemonSet's current pod.
        updated_number_scheduled: i64,
        /// Nodes with a DaemonSet's available pod.
        number_available: i64,
        /// A Rollout's own verdict.
        phase: String,
        /// A sentence for it.
        message: String,
        /// Which ReplicaSet is a Rollout's current one.
        current_pod_hash: String,
        /// `Progressing`, `ReplicaFailure`, `Complete`, …
        conditions: Vec<Condition>,
    }
}

/// A generation; Rollouts write it as a text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Generation(pub(crate) i64);

impl<'de> Deserialize<'de> for Generation {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(from)?;
        Ok(Generation(value.as_i64().or_else(|| value.as_str()?.parse().ok()).unwrap_or_default()))
    }
}

impl Workload {
    /// Reads an object of a kind.
    ///
    /// # Errors
    /// It is not as its kind should be.
    pub(crate) fn read(kind: Kind, object: Value) -> serde_json::Result<Self> {
        match kind {
            Kind::Pod => Ok(Workload::of_pod(&serde_json::from_value(object)?)),
            _ => Ok(Workload { kind, ..serde_json::from_value(object)? }),
        }
    }

    /// How many pods it wants, where that is for it to say.
    pub(crate) fn replicas(&self) -> i64 {
        self.spec.replicas.unwrap_or(1)
    }

    /// Whether its controller has seen the newest `spec`.
    pub(crate) fn is_observed(&self) -> bool {
        self.status.observed_generation.0 >= self.metadata.generation
    }

    /// A pod that stands for itself.
    pub(crate) fn of_pod(pod: &Pod) -> Self {
        let template = PodTemplate { metadata: pod.metadata.clone(), spec: pod.spec.clone() };
        let spec = WorkloadSpec { template, ..WorkloadSpec::default() };
        Workload { kind: Kind::Pod, metadata: pod.metadata.clone(), spec, status: WorkloadStatus::default() }
    }

    /// What made it, where that is of a kind that we do not know: how many there should be, it alone knows.
    pub(crate) fn unknown_controller(&self) -> Option<String> {
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

    /// The containers of its pods, those that run first first.
    pub(crate) fn containers(&self) -> impl Iterator<Item = &Container> {
        self.template().spec.all()
    }

    /// As kubectl writes it: `deployment/engine`.
    pub(crate) fn shown(&self) -> String {
        format!("{}/{}", self.kind.name().to_lowercase(), self.metadata.name)
    }

    /// Whether its pods come to an end by themselves.
    pub(crate) fn is_job(&self) -> bool {
        matches!(self.kind, Kind::Job | Kind::CronJob)
    }

    pub(crate) fn pod_labels(&self) -> &BTreeMap<String, String> {
        &self.template().metadata.labels
    }
}
