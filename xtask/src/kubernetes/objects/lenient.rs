//! How objects are read.

use serde::{Deserialize, Deserializer};

/// `null` means the same as a field that is not there.
pub(super) fn nullable<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// Declares objects. Every field may be absent or null: the API server leaves out what is empty, and authors what they
/// do not need.
macro_rules! objects {
    ($($(#[$meta:meta])* $name:ident {
        $($(#[$field_meta:meta])* $field:ident: $type:ty,)*
    })*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, Default, serde::Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        pub(crate) struct $name {
            $(
                $(#[$field_meta])*
                #[serde(deserialize_with = "crate::kubernetes::objects::lenient::nullable")]
                pub(crate) $field: $type,
            )*
        }
    )*};
}
pub(super) use objects;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::kubernetes::objects::{Kind, Workload};

    #[test]
    fn null_is_the_same_as_absent_in_all_objects() {
        let container =
            json!({"name": "a", "ports": null, "livenessProbe": null, "env": [{"name": "A", "value": null}]});
        let template = json!({"metadata": null, "spec": {"containers": [container], "initContainers": null}});
        let job = json!({"spec": {"replicas": null, "jobTemplate": {"spec": {"template": template}}}, "status": null});
        let read = Workload::read(Kind::CronJob, job).unwrap();
        let names: Vec<_> = read.containers().map(|container| container.name.as_str()).collect();
        assert_eq!((names, read.replicas(), read.is_observed()), (vec!["a"], 1, true));
    }
}
