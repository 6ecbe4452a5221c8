//! Services and their ports.

use std::collections::BTreeMap;

use serde_json::Value;

use super::lenient::objects;
use super::metadata::Metadata;
use super::pod::{Container, TCP};

objects! {
    Service {
        metadata: Metadata,
        spec: ServiceSpec,
    }

    /// Which pods and which ports a Service is for.
    ServiceSpec {
        selector: BTreeMap<String, String>,
        ports: Vec<ServicePort>,
        /// `ExternalName` has no pods.
        #[serde(rename = "type")]
        kind: String,
    }

    ServicePort {
        /// Absent for a single port.
        name: Option<String>,
        port: u16,
        /// The pods' number, or their port's name; the same number when it is not said.
        target_port: Value,
        /// `TCP` when absent.
        protocol: Option<String>,
    }
}

impl Service {
    /// Whether it leads to pods by their labels.
    pub(crate) fn has_selector(&self) -> bool {
        self.spec.kind != "ExternalName" && !self.spec.selector.is_empty()
    }

    /// Whether it leads to pods with these labels.
    pub(crate) fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        self.has_selector() && self.spec.selector.iter().all(|(name, value)| labels.get(name) == Some(value))
    }
}

impl ServicePort {
    /// The pods' number or name of it.
    pub(crate) fn target(&self) -> Value {
        if self.target_port.is_null() { Value::from(self.port) } else { self.target_port.clone() }
    }

    /// The number that it leads to in pods with `container`.
    pub(crate) fn number_in(&self, container: &Container) -> Option<u16> {
        container.port(&self.target(), self.protocol())
    }

    /// Whether it can be asked by HTTP.
    pub(crate) fn is_tcp(&self) -> bool {
        self.protocol() == TCP
    }

    fn protocol(&self) -> &str {
        self.protocol.as_deref().unwrap_or(TCP)
    }
}
