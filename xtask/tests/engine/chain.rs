//! The whole chain: published, pinned, applied, proven; and a commit in one service leaves the others' pods alone.

use serde_json::{Value, json};

use crate::parts::{Cleanup, tool, unique};
use crate::project::Shared;
use crate::stage::context;

/// Answers every request on port 8080 with 200 and its name.
const SERVER: &str = r#"use std::io::{Read, Write};

fn main() {
    for stream in std::net::TcpListener::bind("0.0.0.0:8080").unwrap().incoming() {
        let mut stream = stream.unwrap();
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nNAME");
    }
}
"#;

fn manifests(shared: &Shared, namespace: &str, components: &[&str]) {
    let meta = |name: &str| json!({ "name": name, "namespace": namespace });
    let space = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } });
    shared.write("k8s/namespace.yaml", &space.to_string());
    let mut resources = "  - namespace.yaml\n".to_owned();
    for name in components {
        let probe = json!({ "httpGet": { "path": "/", "port": 8080 }, "periodSeconds": 1 });
        let deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta(name),
            "spec": {
                "selector": { "matchLabels": { "app": name } },
                "template": {
                    "metadata": { "labels": { "app": name } },
                    "spec": { "terminationGracePeriodSeconds": 1, "containers": [{
                        "name": name, "image": format!("{}:main", shared.name(name)),
                        "ports": [{ "containerPort": 8080 }], "readinessProbe": probe, "livenessProbe": probe,
                    }] },
                },
            },
        });
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": meta(name),
            "spec": { "selector": { "app": name }, "ports": [{ "port": 80, "targetPort": 8080 }] },
        });
        shared.write(&format!("k8s/{name}.yaml"), &format!("{deployment}\n---\n{service}\n"));
        resources.push_str(&format!("  - {name}.yaml\n"));
    }
    shared.write("k8s/kustomization.yaml", &format!("resources:\n{resources}"));
}

/// Name and restarts of the pod of a component.
fn pod(namespace: &str, component: &str) -> (String, i64) {
    let selector = format!("app={component}");
    let arguments = ["--namespace", namespace, "get", "pods", "--selector", &selector, "--output=json"];
    let list: Value = serde_json::from_str(&tool("kubectl", &arguments)).expect("JSON");
    let alive = |pod: &&Value| pod["metadata"]["deletionTimestamp"].is_null();
    let pod = list["items"].as_array().expect("a list").iter().find(alive).expect("a pod");
    let name = pod["metadata"]["name"].as_str().expect("a name").to_owned();
    (name, pod["status"]["containerStatuses"][0]["restartCount"].as_i64().expect("a count"))
}

#[test]
#[ignore = "needs a cluster and a registry"]
fn a_commit_in_one_service_restarts_no_pod_of_the_others() {
    let components = ["ledger", "ui", "watcher"];
    let shared = Shared::new("chain", &components, "");
    for name in components {
        shared.write(&format!("{name}/src/main.rs"), &SERVER.replace("NAME", &name[..2].repeat(2)));
    }
    let namespace = unique("chain");
    manifests(&shared, &namespace, &components);
    shared.write(".gitignore", "/target\n/artifacts\n").commit("servers");
    let mut cleanup = Cleanup::default();
    cleanup.add(&format!("kubectl delete namespace {namespace} --ignore-not-found --wait=false"));
    let deploy = || {
        let published = shared.publish("").ok();
        let report = shared.run(&format!("smoke --apply --context {} --timeout 120s --json", context())).ok().json();
        assert_eq!(report["passed"], true);
        published.stderr
    };

    let said = deploy();
    assert_eq!(said.matches("\nbuild  ").count() + usize::from(said.starts_with("build  ")), 3, "{said}");
    let before = components.map(|name| pod(&namespace, name));

    // Docs, and one service.
    shared.write("README.md", "text\n").write("ui/src/main.rs", &SERVER.replace("NAME", "newu"));
    shared.commit("another ui");
    let said = deploy();
    assert!(
        said.contains("build  ui: ") && said.contains("adopt  ledger: ") && said.contains("adopt  watcher: "),
        "{said}"
    );
    let after = components.map(|name| pod(&namespace, name));
    assert_eq!((&before[0], &before[2]), (&after[0], &after[2]));
    assert_ne!(before[1].0, after[1].0);
}
