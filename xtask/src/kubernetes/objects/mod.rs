//! Kubernetes' objects, as far as they are read: the API server's JSON and the manifests' YAML alike (API versions
//! `v1`, `apps/v1`, `batch/v1`).

mod config;
mod event;
mod lenient;
mod metadata;
mod pod;
mod pod_status;
mod probe;
mod service;
mod workload;

pub(crate) use config::{ConfigMap, Secret};
pub(crate) use event::Event;
pub(crate) use metadata::{List, Metadata, Status, condition, seconds};
pub(crate) use pod::{Container, EnvVar, FilesSource, Pod, ValueFrom, Volume};
pub(crate) use pod_status::{ContainerStatus, Terminated};
pub(crate) use probe::{HttpRequest, Probe, ProbeAction};
pub(crate) use service::{Service, ServicePort};
pub(crate) use workload::{Kind, Workload};
