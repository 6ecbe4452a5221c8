//! Variables of a container, as Kubernetes would set them.

use std::collections::BTreeMap;

use super::read::Application;
use crate::kubernetes::objects::{Container, EnvVar, ValueFrom, Workload};

/// The variables that the manifest gives a container, in order, later ones replacing earlier ones.
///
/// # Errors
/// What only a cluster has, as a sentence.
pub(crate) fn variables(
    application: &Application,
    workload: &Workload,
    container: &Container,
) -> Result<Vec<(String, String)>, String> {
    let mut found: Vec<(String, String)> = Vec::new();
    for source in &container.env_from {
        let (kind, maps, reference) = match (&source.config_map_ref, &source.secret_ref) {
            (Some(reference), _) => ("config map", &application.config_maps, reference),
            (None, Some(reference)) => ("secret", &application.secrets, reference),
            (None, None) => continue,
        };
        match maps.get(&reference.name) {
            Some(entries) => {
                found.extend(entries.iter().map(|(key, value)| (format!("{}{key}", source.prefix), value.clone())));
            }
            None if reference.optional => {}
            None => return Err(missing(kind, &reference.name)),
        }
    }
    for variable in &container.env {
        if let Some(value) = value(application, workload, variable, &found)? {
            found.push((variable.name.clone(), value));
        }
    }
    Ok(found)
}

fn value(
    application: &Application,
    workload: &Workload,
    variable: &EnvVar,
    earlier: &[(String, String)],
) -> Result<Option<String>, String> {
    let Some(from) = &variable.value_from else {
        return Ok(Some(expand(&variable.value, |name| last(earlier, name))));
    };
    let (kind, maps, reference) = match from {
        ValueFrom { field_ref: Some(field), .. } => {
            return self::field(workload, &field.field_path)
                .map(Some)
                .ok_or_else(|| format!("variable `{}` is `{}` of its pod", variable.name, field.field_path));
        }
        ValueFrom { config_map_key_ref: Some(reference), .. } => ("config map", &application.config_maps, reference),
        ValueFrom { secret_key_ref: Some(reference), .. } => ("secret", &application.secrets, reference),
        _ => return Err(format!("variable `{}` has a value that only a cluster knows", variable.name)),
    };
    match maps.get(&reference.name).map(|entries| entries.get(&reference.key)) {
        Some(Some(value)) => Ok(Some(value.clone())),
        _ if reference.optional => Ok(None),
        Some(None) => Err(format!("{kind} `{}` has no key `{}`", reference.name, reference.key)),
        None => Err(missing(kind, &reference.name)),
    }
}

/// Replaces `$(NAME)` by the variable's value; an unknown one stays, and `$$` is `$` (Kubernetes API,
/// Container, `args`).
pub(crate) fn expand(text: &str, variable: impl Fn(&str) -> Option<String>) -> String {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            expanded.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
            expanded.push_str(&variable(name).unwrap_or_else(|| format!("$({name})")));
            rest = after;
        } else {
            expanded.push('$');
        }
    }
    expanded.push_str(rest);
    expanded
}

/// The value that a variable has by the end of `variables`.
pub(crate) fn last(variables: &[(String, String)], name: &str) -> Option<String> {
    variables.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.clone())
}

/// That an object is not among the manifests.
pub(crate) fn missing(kind: &str, name: &str) -> String {
    format!("{kind} `{name}` is not among the manifests")
}

/// The name of the one pod that runs here.
pub(crate) fn pod_name(workload: &Workload) -> String {
    format!("{}-0", workload.metadata.name)
}

/// A field of the pod (Kubernetes API, EnvVarSource, `fieldRef`).
fn field(workload: &Workload, path: &str) -> Option<String> {
    let metadata = &workload.template().metadata;
    let in_map = |path: &str, map: &BTreeMap<String, String>| {
        let key = path.strip_prefix("['")?.strip_suffix("']")?;
        Some(map.get(key).cloned().unwrap_or_default())
    };
    if let Some(rest) = path.strip_prefix("metadata.labels") {
        return in_map(rest, &metadata.labels);
    }
    if let Some(rest) = path.strip_prefix("metadata.annotations") {
        return in_map(rest, &metadata.annotations);
    }
    Some(match path {
        "metadata.name" | "metadata.uid" => pod_name(workload),
        "metadata.namespace" => workload.metadata.namespace.clone(),
        "spec.serviceAccountName" => workload.template().spec.service_account_name.clone(),
        "spec.nodeName" => "localhost".to_owned(),
        "status.podIP" | "status.podIPs" | "status.hostIP" | "status.hostIPs" => "127.0.0.1".to_owned(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kubernetes::objects::Metadata;

    fn read(container: serde_json::Value) -> Result<Vec<(String, String)>, String> {
        let map = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
        let application = Application {
            config_maps: BTreeMap::from([("settings".to_owned(), map("LEVEL", "info"))]),
            secrets: BTreeMap::from([("keys".to_owned(), map("TOKEN", "s3cret"))]),
            ..Application::default()
        };
        let metadata = Metadata { name: "engine".into(), namespace: "ns".into(), ..Metadata::default() };
        let mut workload = Workload { metadata, ..Workload::default() };
        workload.spec.template.metadata.labels = map("tier", "web");
        variables(&application, &workload, &serde_json::from_value(container).unwrap())
    }

    #[test]
    fn values_come_from_all_that_manifests_hold() {
        let found = read(json!({
            "envFrom": [{"prefix": "X_", "configMapRef": {"name": "settings"}}, {"secretRef": {"name": "no", "optional": true}}],
            "env": [
                {"name": "A", "value": "1"},
                {"name": "B", "value": "$(A)$(X_LEVEL)$(LATER)"},
                {"name": "C", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
                {"name": "D", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['tier']"}}},
                {"name": "E", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "TOKEN"}}},
                {"name": "F", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "no", "optional": true}}},
                {"name": "LATER", "value": null},
            ]
        }));
        let expected = [
            ("X_LEVEL", "info"),
            ("A", "1"),
            ("B", "1info$(LATER)"),
            ("C", "ns"),
            ("D", "web"),
            ("E", "s3cret"),
            ("LATER", ""),
        ];
        assert_eq!(found.unwrap(), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn what_only_a_cluster_has_is_told() {
        let error = |source: serde_json::Value| read(json!({"env": [{"name": "A", "valueFrom": source}]})).unwrap_err();
        assert_eq!(error(json!({"secretKeyRef": {"name": "x", "key": "y"}})), "secret `x` is not among the manifests");
        assert_eq!(
            error(json!({"configMapKeyRef": {"name": "settings", "key": "y"}})),
            "config map `settings` has no key `y`"
        );
        assert!(error(json!({"resourceFieldRef": {"resource": "limits.cpu"}})).contains("only a cluster knows"));
        assert!(error(json!({"fieldRef": {"fieldPath": "status.phase"}})).contains("`status.phase` of its pod"));
        let error = read(json!({"envFrom": [{"configMapRef": {"name": "no"}}]})).unwrap_err();
        assert_eq!(error, "config map `no` is not among the manifests");
    }

    #[test]
    fn variables_are_expanded_as_kubernetes_does() {
        let expanded = |text: &str| expand(text, |name| (name == "A").then(|| "1".to_owned()));
        assert_eq!(expanded("$(A)-$(B)-$$(A)-$A-$"), "1-$(B)-$(A)-$A-$");
        assert_eq!(expanded("$(A"), "$(A");
    }
}
