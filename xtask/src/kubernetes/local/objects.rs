//! Kubernetes' objects as manifests write them, as far as running their programs needs it (API versions `v1`,
//! `apps/v1`).

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// `null` means the same as a field that is not there.
fn nullable<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// Declares an object: every field may be absent or null.
macro_rules! object {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        pub(crate) struct $name {
            $($(#[$field_doc])* #[serde(deserialize_with = "nullable")] pub(crate) $field: $type,)*
        }
    };
}

object! {
    /// What every object has.
    Metadata {
        /// Unique within namespace and kind.
        name: String,
        /// Where it belongs.
        namespace: String,
        /// What selectors look at.
        labels: BTreeMap<String, String>,
        /// Notes.
        annotations: BTreeMap<String, String>,
    }
}

object! {
    /// A pod, or the template of pods.
    PodTemplate {
        /// Labels and annotations.
        metadata: Metadata,
        /// What runs.
        spec: PodSpec,
    }
}

object! {
    /// What runs in a pod.
    PodSpec {
        /// They run side by side.
        containers: Vec<Container>,
        /// They run before, one after another.
        init_containers: Vec<Container>,
        /// Folders for containers.
        volumes: Vec<Volume>,
        /// The name of its account.
        service_account_name: String,
        /// Seconds between SIGTERM and SIGKILL; 30 when it is not said.
        termination_grace_period_seconds: Option<u64>,
        /// Whether it gets variables for each Service; it does when it is not said.
        enable_service_links: Option<bool>,
    }
}

object! {
    /// One container.
    Container {
        /// Unique in its pod.
        name: String,
        /// Its image.
        image: String,
        /// Instead of the image's entrypoint.
        command: Vec<String>,
        /// Instead of the image's command.
        args: Vec<String>,
        /// Instead of the image's folder.
        working_dir: String,
        /// What it listens on.
        ports: Vec<ContainerPort>,
        /// Variables.
        env: Vec<EnvVar>,
        /// Variables, whole config maps and secrets at a time.
        env_from: Vec<EnvFrom>,
        /// Where volumes are.
        volume_mounts: Vec<VolumeMount>,
        /// Whether it has started.
        startup_probe: Option<Probe>,
        /// Whether it may be asked.
        readiness_probe: Option<Probe>,
        /// Whether it lives.
        liveness_probe: Option<Probe>,
        /// `Always`: an init container that stays (a sidecar).
        restart_policy: String,
    }
}

object! {
    /// A port that a container listens on.
    ContainerPort {
        /// Probes and Services may name it.
        name: String,
        /// The number.
        container_port: u16,
    }
}

object! {
    /// A variable.
    EnvVar {
        /// Its name.
        name: String,
        /// Its value; `$(NAME)` in it stands for another's.
        value: String,
        /// Or where its value is.
        value_from: Option<ValueFrom>,
    }
}

object! {
    /// Where a value is.
    ValueFrom {
        /// In the pod's own object.
        field_ref: Option<FieldRef>,
        /// In a config map.
        config_map_key_ref: Option<KeyRef>,
        /// In a secret.
        secret_key_ref: Option<KeyRef>,
    }
}

object! {
    /// A field of the pod's own object.
    FieldRef {
        /// Its path.
        field_path: String,
    }
}

object! {
    /// A key of a config map or a secret.
    KeyRef {
        /// The object's name.
        name: String,
        /// The key.
        key: String,
        /// Whether it may be missing.
        optional: bool,
    }
}

object! {
    /// All keys of a config map or a secret as variables.
    EnvFrom {
        /// Before each name.
        prefix: String,
        /// The config map.
        config_map_ref: Option<KeyRef>,
        /// Or the secret.
        secret_ref: Option<KeyRef>,
    }
}

object! {
    /// Where a volume is in a container.
    VolumeMount {
        /// The volume's name.
        name: String,
        /// The path in the container.
        mount_path: String,
        /// A path within the volume.
        sub_path: String,
    }
}

object! {
    /// A question to a container.
    Probe {
        /// An HTTP request.
        http_get: Option<HttpGet>,
        /// A TCP connection.
        tcp_socket: Option<TcpSocket>,
        /// A program in the container.
        exec: Option<Exec>,
        /// A gRPC call.
        grpc: Option<TcpSocket>,
        /// Seconds until an answer must be there; 1 when it is not said.
        timeout_seconds: Option<u64>,
    }
}

object! {
    /// An HTTP request.
    HttpGet {
        /// From `/`.
        path: String,
        /// A number or a container port's name.
        port: Value,
        /// `HTTPS`, or else HTTP.
        scheme: String,
        /// Another host than the pod.
        host: String,
        /// Sent along.
        http_headers: Vec<Header>,
    }
}

object! {
    /// A TCP connection.
    TcpSocket {
        /// A number or a container port's name.
        port: Value,
    }
}

object! {
    /// A program in the container.
    Exec {
        /// The program and its arguments.
        command: Vec<String>,
    }
}

object! {
    /// A header.
    Header {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    }
}

/// A volume: its name, and one more key, its kind.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Volume {
    /// Its name.
    pub(crate) name: String,
    /// Its kind, and what that kind needs to know.
    #[serde(flatten)]
    pub(crate) source: BTreeMap<String, Value>,
}

object! {
    /// Files of a config map (`name`) or a secret (`secretName`).
    FilesSource {
        /// The config map.
        name: String,
        /// The secret.
        secret_name: String,
        /// Only these keys, under these paths.
        items: Vec<FileItem>,
        /// Whether it may be missing.
        optional: bool,
    }
}

object! {
    /// A key as a file.
    FileItem {
        /// The key.
        key: String,
        /// The file.
        path: String,
    }
}

object! {
    /// A Service.
    Service {
        /// Name and namespace.
        metadata: Metadata,
        /// Which pods, which ports.
        spec: ServiceSpec,
    }
}

object! {
    /// Which pods and which ports a Service is for.
    ServiceSpec {
        /// The pods' labels.
        selector: BTreeMap<String, String>,
        /// The ports.
        ports: Vec<ServicePort>,
    }
}

object! {
    /// A port of a Service.
    ServicePort {
        /// Its name.
        name: String,
        /// The Service's number.
        port: u16,
        /// The pods' number, or their port's name; the same number when it is not said.
        target_port: Value,
    }
}

impl Container {
    /// The number of a port that is written as one, or by name.
    pub(crate) fn port(&self, port: &Value) -> Option<u16> {
        match port {
            Value::Number(number) => u16::try_from(number.as_u64()?).ok(),
            Value::String(text) => text
                .parse()
                .ok()
                .or_else(|| self.ports.iter().find(|port| port.name == *text).map(|port| port.container_port)),
            _ => None,
        }
    }

    /// Its probes, in the order in which they are asked.
    pub(crate) fn probes(&self) -> impl Iterator<Item = &Probe> {
        [&self.startup_probe, &self.liveness_probe, &self.readiness_probe].into_iter().flatten()
    }
}

impl ServicePort {
    /// The pods' number or name of it.
    pub(crate) fn target(&self) -> Value {
        if self.target_port.is_null() { Value::from(self.port) } else { self.target_port.clone() }
    }
}
