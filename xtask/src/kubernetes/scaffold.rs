//! First manifests of a component, as a beginning: ours are written so.

use super::kustomization;
use super::yaml::document::Value;
use super::yaml::parse::parse;

/// What a first Deployment is made of.
#[derive(Debug)]
pub(crate) struct Scaffold<'a> {
    pub(crate) component: &'a str,
    /// The port of its settings.
    pub(crate) port: Option<u16>,
    /// Its image, with the placeholder's mark where it is one.
    pub(crate) image: String,
}

/// `name` as Kubernetes takes it for an object: a DNS label.
pub(crate) fn object_name(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let label: String = name.chars().map(plain).collect();
    let label = label.trim_start_matches(|c: char| !c.is_ascii_alphabetic());
    let label = label[..label.len().min(63)].trim_end_matches('-');
    if label.is_empty() { "app".to_owned() } else { label.to_owned() }
}

impl Scaffold<'_> {
    /// A Deployment, and with a port a Service.
    pub(crate) fn manifest(&self) -> String {
        let name = object_name(self.component);
        let labels = |indent: usize| format!("{:indent$}app.kubernetes.io/name: {name}\n", "");
        let mut text = format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {name}\n  labels:\n{}spec:\n  replicas: 1\n  \
             selector:\n    matchLabels:\n{}  template:\n    metadata:\n      labels:\n{}    spec:\n      \
             automountServiceAccountToken: false\n      # Only the names in this file are configuration; variables \
             for every service are not wanted.\n      enableServiceLinks: false\n      # A registry that asks for a \
             password: kubectl create secret docker-registry registry …\n      # imagePullSecrets:\n      #   - name: \
             registry\n      securityContext:\n        runAsNonRoot: true\n        runAsUser: 65532\n        \
             runAsGroup: 65532\n        seccompProfile:\n          type: RuntimeDefault\n      containers:\n        \
             - name: {name}\n          # `cargo xtask manifests` writes the published digest here.\n          image: \
             {}\n          # A digest never changes, so an image that is on the node is the right one.\n          \
             imagePullPolicy: IfNotPresent\n",
            labels(4),
            labels(6),
            labels(8),
            self.image,
        );
        if let Some(port) = self.port {
            text.push_str(&format!(
                "          ports:\n            - name: http\n              containerPort: {port}\n          \
                 startupProbe:\n            httpGet: {{ path: /health, port: http }}\n            periodSeconds: 1\n            \
                 failureThreshold: 30\n          livenessProbe:\n            httpGet: {{ path: /health, port: http }}\n            \
                 periodSeconds: 10\n            timeoutSeconds: 2\n          readinessProbe:\n            httpGet: {{ \
                 path: /ready, port: http }}\n            periodSeconds: 5\n            timeoutSeconds: 3\n"
            ));
        }
        text.push_str(
            "          resources:\n            requests: { cpu: 10m, memory: 16Mi }\n            limits: { memory: 64Mi }\n          \
             securityContext:\n            allowPrivilegeEscalation: false\n            readOnlyRootFilesystem: true\n            \
             capabilities:\n              drop: [ALL]\n",
        );
        if let Some(port) = self.port {
            text.push_str(&format!(
                "---\napiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\n  labels:\n{}spec:\n  selector:\n{}  \
                 ports:\n    - name: http\n      port: {port}\n      targetPort: http\n",
                labels(4),
                labels(4),
            ));
        }
        text
    }
}

/// A namespace.
pub(crate) fn namespace(name: &str) -> String {
    format!("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {name}\n")
}

/// A kustomization of these files.
pub(crate) fn kustomization(namespace: &str, files: &[String]) -> String {
    let list: String = files.iter().map(|file| format!("  - {file}\n")).collect();
    format!(
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n# Moves everything, the namespace's own name \
         included.\nnamespace: {namespace}\nresources:\n{list}"
    )
}

/// The kustomization `text` of the file `file` with further resources, nothing else changed; `None` when its list
/// is not written as lines of its own.
pub(crate) fn with_resources(text: &str, file: &str, added: &[String]) -> Option<String> {
    let documents = parse(text).ok()?;
    let document = documents.first()?;
    let list = document.get(document.root()?, "resources")?;
    let last = document.nodes.get(*document.items(list).last()?)?;
    if document.is_flow(list, text) || !matches!(last.value, Value::Scalar(..)) {
        return None;
    }
    let start = text[..last.start].rfind('\n').map_or(0, |at| at + 1);
    let before = &text[start..last.start];
    let prefix = &before[..before.find('-')? + 1];
    let end = text[last.start..].find(['\n', '\r']).map_or(text.len(), |length| last.start + length);
    let line_end = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let lines: String = added.iter().map(|name| format!("{line_end}{prefix} {name}")).collect();
    let new = format!("{}{lines}{}", &text[..end], &text[end..]);
    let names = kustomization::read(&new, file).names;
    let all = [kustomization::read(text, file).names.as_slice(), added].concat();
    (names.len() == all.len() && all.iter().all(|name| names.contains(name))).then_some(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_labels() {
        let cases = [("engine", "engine"), ("My_App", "my-app"), ("2fast-", "fast"), ("_", "app")];
        for (name, label) in cases {
            assert_eq!(object_name(name), label);
        }
    }

    #[test]
    fn without_a_port_there_is_nothing_to_ask() {
        let text = |port| Scaffold { component: "a", port, image: "x:1".into() }.manifest();
        for port in [None, Some(80)] {
            let text = text(port);
            let documents = parse(&text).unwrap();
            assert_eq!(documents.len(), if port.is_some() { 2 } else { 1 });
            assert_eq!(text.contains("Probe"), port.is_some());
        }
    }

    #[test]
    fn resources_are_added_in_their_own_lines() {
        let add = |text: &str| with_resources(text, "kustomization.yaml", &["b.yaml".into()]);
        assert_eq!(
            add("resources:\n- a.yaml # x\nimages: []\n").unwrap(),
            "resources:\n- a.yaml # x\n- b.yaml\nimages: []\n"
        );
        assert_eq!(add("resources:\r\n    - a.yaml").unwrap(), "resources:\r\n    - a.yaml\r\n    - b.yaml");
        for other in
            ["resources: [a.yaml]\n", "namespace: x\n", "resources:\n- [a]\n", "resources:\n- >-\n  a\n  b\n", ": ["]
        {
            assert_eq!(add(other), None, "{other}");
        }
    }
}
