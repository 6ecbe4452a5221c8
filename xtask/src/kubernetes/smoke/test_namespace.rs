//! A namespace as a real cluster reported it.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::state::{Change, Namespace, Object, Objects, apply};
use crate::kubernetes::objects::Kind;

/// Deployments that are ready, paused, empty, and broken in many ways: Kubernetes 1.20, recorded after 40 s.
pub(crate) fn recorded() -> Namespace {
    let all: Value = serde_json::from_str(include_str!("test_namespace.json")).unwrap();
    let mut namespace = Namespace::default();
    for kind in [Kind::Deployment, Kind::ReplicaSet] {
        let list = serde_json::from_value(all[kind.resource()].clone()).unwrap();
        namespace.apply_workloads(kind, Change::Listed(list));
    }
    read(&all["pods"], &mut namespace.pods);
    read(&all["events"], &mut namespace.events);
    namespace
}

fn read<T: Object + DeserializeOwned>(list: &Value, objects: &mut Objects<T>) {
    apply(objects, Change::Listed(serde_json::from_value(list.clone()).unwrap()));
}
