//! Pods, their templates and containers.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::lenient::objects;
use super::metadata::Metadata;
use super::pod_status::PodStatus;
use super::probe::{Probe, ProbeAction};

/// The protocol of ports that name none.
pub(super) const TCP: &str = "TCP";

objects! {
    Pod {
        metadata: Metadata,
        spec: PodSpec,
        status: PodStatus,
    }

    /// What pods are made from.
    PodTemplate {
        metadata: Metadata,
        spec: PodSpec,
    }

    PodSpec {
        /// They run side by side.
        containers: Vec<Container>,
        /// They run before, one after another.
        init_containers: Vec<Container>,
        volumes: Vec<Volume>,
        service_account_name: String,
        /// Seconds between SIGTERM and SIGKILL; 30 when it is not said. Old clusters take negative ones.
        termination_grace_period_seconds: Option<i64>,
        /// Whether it gets variables for each Service; it does when it is not said.
        enable_service_links: Option<bool>,
    }

    Container {
        name: String,
        /// The image reference, as the manifest wrote it.
        image: String,
        /// The component whose image it is, which is not Kubernetes' to know: who reads manifests fills it in.
        #[serde(skip)]
        component: Option<String>,
        /// Instead of the image's entrypoint.
        command: Vec<String>,
        /// Instead of the image's command.
        args: Vec<String>,
        /// Instead of the image's folder.
        working_dir: String,
        ports: Vec<ContainerPort>,
        env: Vec<EnvVar>,
        /// Variables, whole config maps and secrets at a time.
        env_from: Vec<EnvFrom>,
        volume_mounts: Vec<VolumeMount>,
        startup_probe: Option<Probe>,
        readiness_probe: Option<Probe>,
        liveness_probe: Option<Probe>,
        /// `Always` makes an init container a sidecar.
        restart_policy: String,
    }

    /// A port that a container listens on.
    ContainerPort {
        /// Probes and Services may name it.
        name: Option<String>,
        container_port: u16,
        /// `TCP` when absent.
        protocol: Option<String>,
    }

    EnvVar {
        name: String,
        /// `$(NAME)` in it stands for another's.
        value: String,
        /// Or where its value is.
        value_from: Option<ValueFrom>,
    }

    /// Where a value is.
    ValueFrom {
        /// In the pod's own object.
        field_ref: Option<FieldRef>,
        config_map_key_ref: Option<KeyRef>,
        secret_key_ref: Option<KeyRef>,
    }

    /// A field of the pod's own object.
    FieldRef {
        field_path: String,
    }

    /// A config map or a secret, and a key of it where one is meant.
    KeyRef {
        name: String,
        key: String,
        optional: bool,
    }

    /// All keys of a config map or a secret as variables.
    EnvFrom {
        prefix: String,
        config_map_ref: Option<KeyRef>,
        secret_ref: Option<KeyRef>,
    }

    /// Where a volume is in a container.
    VolumeMount {
        name: String,
        mount_path: String,
        /// A path within the volume.
        sub_path: String,
    }

    /// Files of a config map (`name`) or a secret (`secretName`).
    FilesSource {
        name: String,
        secret_name: String,
        /// Only these keys, under these paths.
        items: Vec<FileItem>,
        optional: bool,
    }

    /// A key as a file.
    FileItem {
        key: String,
        path: String,
    }
}

/// A volume: its name, and one more key, its kind.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Volume {
    pub(crate) name: String,
    /// The kind, and what that kind needs to know.
    #[serde(flatten)]
    pub(crate) source: BTreeMap<String, Value>,
}

impl PodSpec {
    /// All containers, those that run first first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Container> {
        self.init_containers.iter().chain(&self.containers)
    }

    /// The same, to be changed.
    pub(crate) fn all_mut(&mut self) -> impl Iterator<Item = &mut Container> {
        self.init_containers.iter_mut().chain(&mut self.containers)
    }

    /// Init containers that come to an end, before others start.
    pub(crate) fn run_once(&self) -> impl Iterator<Item = &Container> {
        self.init_containers.iter().filter(|container| !container.is_sidecar())
    }

    /// Containers that run as long as the pod: sidecars, then the rest.
    pub(crate) fn long_running(&self) -> impl Iterator<Item = &Container> {
        self.init_containers.iter().filter(|container| container.is_sidecar()).chain(&self.containers)
    }
}

impl Container {
    /// Whether it stays, if it is an init container.
    fn is_sidecar(&self) -> bool {
        self.restart_policy == "Always"
    }

    /// The number of a port that is written as one, or by the name that it has for a protocol.
    pub(crate) fn port(&self, port: &Value, protocol: &str) -> Option<u16> {
        self.port_that(port, |own| own.protocol() == protocol)
    }

    fn port_that(&self, port: &Value, is_meant: impl Fn(&ContainerPort) -> bool) -> Option<u16> {
        match port {
            Value::Number(number) => u16::try_from(number.as_u64()?).ok(),
            Value::String(text) => text.parse().ok().or_else(|| {
                let named = |port: &&ContainerPort| port.name.as_ref() == Some(text) && is_meant(port);
                self.ports.iter().find(named).map(|port| port.container_port)
            }),
            _ => None,
        }
    }

    /// What is done for one of its probes; `None` when that says nothing of the pod.
    ///
    /// # Errors
    /// A port that it does not have.
    pub(crate) fn action(&self, probe: &Probe) -> Result<Option<ProbeAction>, String> {
        // By name alone, as the kubelet does.
        probe.action(|port| self.port_that(port, |_| true))
    }

    /// Its probes, in the order in which they are asked.
    pub(crate) fn probes(&self) -> impl Iterator<Item = &Probe> {
        [&self.startup_probe, &self.liveness_probe, &self.readiness_probe].into_iter().flatten()
    }
}

impl ContainerPort {
    fn protocol(&self) -> &str {
        self.protocol.as_deref().unwrap_or(TCP)
    }
}
