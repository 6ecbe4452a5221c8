//! Pods, Services, events and what all objects have, as far as smoke reads them (API version `v1`).
//!
//! Every field may be absent: the API server leaves out what is empty.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::image::time::parse_rfc3339;

/// What every object has.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Metadata {
    /// Unique within namespace and kind.
    pub(crate) name: String,
    /// Unique for ever.
    pub(crate) uid: String,
    /// Moves with each change.
    pub(crate) resource_version: String,
    /// Moves with each change of `spec`.
    pub(crate) generation: i64,
    /// RFC 3339, whole seconds.
    pub(crate) creation_timestamp: Option<String>,
    /// There once the object is being deleted.
    pub(crate) deletion_timestamp: Option<String>,
    /// Notes.
    pub(crate) annotations: BTreeMap<String, String>,
    /// What selectors look at.
    pub(crate) labels: BTreeMap<String, String>,
    /// Who made it.
    pub(crate) owner_references: Vec<OwnerReference>,
}

impl Metadata {
    /// Whether `uid` made this object and looks after it.
    pub(crate) fn is_controlled_by(&self, uid: &str) -> bool {
        self.owner_references.iter().any(|owner| owner.controller && owner.uid == uid)
    }

    /// The owner that controls it.
    pub(crate) fn controller(&self) -> Option<&OwnerReference> {
        self.owner_references.iter().find(|owner| owner.controller)
    }

    /// Whether it is being deleted.
    pub(crate) fn is_terminating(&self) -> bool {
        self.deletion_timestamp.is_some()
    }
}

/// An owner of an object.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct OwnerReference {
    /// The owner's kind.
    pub(crate) kind: String,
    /// The owner's name.
    pub(crate) name: String,
    /// The owner's uid.
    pub(crate) uid: String,
    /// Whether it is the one owner that controls the object.
    pub(crate) controller: bool,
}

/// One of an object's conditions.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Condition {
    /// `Ready`, `Progressing`, …
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// `True`, `False`, `Unknown`.
    pub(crate) status: String,
    /// A word.
    pub(crate) reason: String,
    /// A sentence.
    pub(crate) message: String,
    /// RFC 3339, whole seconds.
    pub(crate) last_transition_time: Option<String>,
}

/// The condition `kind`, when its status is `status`.
pub(crate) fn condition<'a>(conditions: &'a [Condition], kind: &str, status: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.kind == kind && condition.status == status)
}

/// A pod.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Pod {
    /// Name, owner, times.
    pub(crate) metadata: Metadata,
    /// What is wanted.
    pub(crate) spec: PodSpec,
    /// What is.
    pub(crate) status: PodStatus,
}

/// What a pod wants.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PodSpec {
    /// Run one after the other before the rest.
    pub(crate) init_containers: Vec<Container>,
    /// Run together.
    pub(crate) containers: Vec<Container>,
}

impl PodSpec {
    /// All containers, those that run first first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Container> {
        self.init_containers.iter().chain(&self.containers)
    }
}

/// One of a pod's containers.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Container {
    /// Unique within the pod.
    pub(crate) name: String,
    /// The image reference, as the manifest wrote it.
    pub(crate) image: String,
    /// Named ports.
    pub(crate) ports: Vec<ContainerPort>,
    /// Tells whether it may be sent requests.
    pub(crate) readiness_probe: Option<Probe>,
    /// Tells whether it must be restarted.
    pub(crate) liveness_probe: Option<Probe>,
    /// Tells whether it has started.
    pub(crate) startup_probe: Option<Probe>,
    /// `Always` makes an init container a sidecar.
    pub(crate) restart_policy: Option<String>,
}

/// A container's port.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ContainerPort {
    /// Its name, if it has one.
    pub(crate) name: Option<String>,
    /// Its number.
    pub(crate) container_port: u16,
    /// `TCP` when absent.
    pub(crate) protocol: Option<String>,
}

/// A probe; only HTTP ones can be repeated from here.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Probe {
    /// There when it asks by HTTP.
    pub(crate) http_get: Option<HttpGet>,
    /// Seconds that an answer may take; 1 when absent.
    pub(crate) timeout_seconds: Option<u64>,
    /// Seconds before the first time.
    pub(crate) initial_delay_seconds: u64,
    /// Seconds between times; 10 when absent.
    pub(crate) period_seconds: Option<u64>,
    /// Failures in a row that count; 3 when absent.
    pub(crate) failure_threshold: Option<u64>,
}

/// What an HTTP probe asks.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct HttpGet {
    /// A host other than the pod.
    pub(crate) host: Option<String>,
    /// Path and query; `/` when absent.
    pub(crate) path: Option<String>,
    /// A port's number or name.
    pub(crate) port: Value,
    /// `HTTP` or `HTTPS`.
    pub(crate) scheme: Option<String>,
    /// Sent along.
    pub(crate) http_headers: Vec<HttpHeader>,
}

/// A header of an HTTP probe.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct HttpHeader {
    /// Its name.
    pub(crate) name: String,
    /// Its value.
    pub(crate) value: String,
}

/// What a pod is doing.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PodStatus {
    /// `Pending`, `Running`, `Succeeded`, `Failed`, `Unknown`.
    pub(crate) phase: String,
    /// A word for why it failed (`Evicted`).
    pub(crate) reason: String,
    /// A sentence for why it failed.
    pub(crate) message: String,
    /// `Ready`, `PodScheduled`, …
    pub(crate) conditions: Vec<Condition>,
    /// States of the init containers.
    pub(crate) init_container_statuses: Vec<ContainerStatus>,
    /// States of the containers.
    pub(crate) container_statuses: Vec<ContainerStatus>,
}

impl PodStatus {
    /// The states of all containers, of those that run first first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &ContainerStatus> {
        self.init_container_statuses.iter().chain(&self.container_statuses)
    }
}

/// What a container is doing.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ContainerStatus {
    /// The container's name.
    pub(crate) name: String,
    /// What it does now.
    pub(crate) state: ContainerState,
    /// What it did before its last restart.
    pub(crate) last_state: ContainerState,
    /// Restarts so far.
    pub(crate) restart_count: i64,
    /// Which image runs, in the words of the container runtime; empty before the pull.
    #[serde(rename = "imageID")]
    pub(crate) image_id: String,
    /// Whether its readiness probe passes, or there is none and it runs.
    pub(crate) ready: bool,
}

/// One of three.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ContainerState {
    /// Not started yet, or waiting to be restarted.
    pub(crate) waiting: Option<Waiting>,
    /// It runs.
    pub(crate) running: Option<Running>,
    /// It ended.
    pub(crate) terminated: Option<Terminated>,
}

/// Why a container waits.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Waiting {
    /// A word.
    pub(crate) reason: String,
    /// A sentence.
    pub(crate) message: String,
}

/// Since when a container runs.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Running {
    /// RFC 3339, whole seconds.
    pub(crate) started_at: Option<String>,
}

/// How a container ended.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Terminated {
    /// The program's exit code; 128 + n for signal n.
    pub(crate) exit_code: i64,
    /// `Error`, `Completed`, `OOMKilled`, …
    pub(crate) reason: String,
    /// A sentence.
    pub(crate) message: String,
    /// RFC 3339, whole seconds.
    pub(crate) finished_at: Option<String>,
}

/// A Service.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Service {
    /// Its name.
    pub(crate) metadata: Metadata,
    /// What it serves.
    pub(crate) spec: ServiceSpec,
}

/// What a Service serves.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct ServiceSpec {
    /// Labels of its pods.
    pub(crate) selector: BTreeMap<String, String>,
    /// Its ports.
    pub(crate) ports: Vec<ServicePort>,
    /// `ExternalName` has no pods.
    #[serde(rename = "type")]
    pub(crate) kind: String,
}

/// A Service's port.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ServicePort {
    /// Its name; absent for a single port.
    pub(crate) name: Option<String>,
    /// Its number.
    pub(crate) port: u16,
    /// The pods' port, by number or name; the same number when absent.
    pub(crate) target_port: Value,
    /// `TCP` when absent.
    pub(crate) protocol: Option<String>,
}

/// An event.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Event {
    /// Name and uid of the event itself.
    pub(crate) metadata: Metadata,
    /// What it is about.
    pub(crate) involved_object: InvolvedObject,
    /// A word.
    pub(crate) reason: String,
    /// A sentence.
    pub(crate) message: String,
    /// `Normal` or `Warning`.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// How often.
    pub(crate) count: Option<i64>,
    /// RFC 3339, whole seconds.
    pub(crate) last_timestamp: Option<String>,
    /// Of newer events, in place of `lastTimestamp`.
    pub(crate) event_time: Option<String>,
}

/// What an event is about.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct InvolvedObject {
    /// The object's uid.
    pub(crate) uid: String,
}

/// A list of objects.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct List<T> {
    /// Where a watch takes up.
    pub(crate) metadata: ListMetadata,
    /// The objects; `null` when there are none.
    pub(crate) items: Option<Vec<T>>,
}

/// What a list has.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ListMetadata {
    /// The state that the list shows.
    pub(crate) resource_version: String,
}

/// The body of the API server's own refusals (`kind: Status`).
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Status {
    /// `Status`, or it is something else.
    pub(crate) kind: String,
    /// `v1`, likewise.
    #[serde(rename = "apiVersion")]
    pub(crate) api_version: String,
    /// A sentence.
    pub(crate) message: String,
    /// A word.
    pub(crate) reason: String,
}

/// Seconds since 1970 of a time that Kubernetes wrote; nothing for what is no time.
pub(crate) fn seconds(time: Option<&String>) -> Option<i64> {
    parse_rfc3339(time?)
}
