//! What `smoke` says of workloads other than Deployments, of Services, and of what it is told to look at.

use std::time::Duration;

use serde_json::{Value, json};

use crate::parts::{run, unique, wait_for};
use crate::stage::{Stage, Workload, alpha, beta, context, find, kubectl, service, settings};

/// The report of the workload `kind/name`.
#[track_caller]
fn workload<'a>(report: &'a Value, kind: &str, name: &str) -> &'a Value {
    let mut all = report["workloads"].as_array().unwrap().iter();
    all.find(|one| one["kind"] == kind && one["name"] == name).unwrap_or_else(|| panic!("no {kind} {name}: {report:#}"))
}

/// A workload of `alpha` under another name.
fn named(name: &str) -> Workload {
    Workload::new(name, &alpha().pinned())
}

/// Ends with this code, as often as it is run.
fn ending(name: &str, code: &str) -> Workload {
    named(name).env("EXIT", code).unprobed().pod("restartPolicy", json!("Never"))
}

#[test]
#[ignore = "needs a cluster, a registry and skopeo"]
fn a_component_may_run_as_any_kind() {
    let stage = Stage::new("kinds");
    for (version, kind, more) in [
        ("apps/v1", "StatefulSet", json!({ "serviceName": "alpha" })),
        ("apps/v1", "DaemonSet", json!({})),
        ("apps/v1", "ReplicaSet", json!({})),
        ("batch/v1", "Job", json!({ "backoffLimit": 0 })),
    ] {
        let of = if kind == "Job" { ending("alpha", "0") } else { named("alpha") };
        stage.apply(&of.of_kind(version, kind, more));
        let report = stage.passes("");
        let found = workload(&report, kind, "alpha");
        assert_eq!(found["components"], json!(["alpha"]), "{report:#}");
        assert!(found["checks"].as_array().unwrap().iter().any(|c| c["name"] == "identity" && c["verdict"] == "ok"));
        // Another image in it is found out.
        stage.kubectl(&format!("delete {kind} alpha"));
        let of = if kind == "Job" {
            Workload::new("alpha", &beta().pinned()).env("EXIT", "0").unprobed().pod("restartPolicy", json!("Never"))
        } else {
            Workload::new("alpha", &beta().pinned())
        };
        stage.record(&[("alpha", alpha()), ("beta", beta())]);
        let more = if kind == "StatefulSet" { json!({ "serviceName": "alpha" }) } else { json!({}) };
        stage.apply(&of.of_kind(version, kind, more));
        stage.fails_with("", "identity", "mismatch");
        stage.record(&[("alpha", alpha())]);
        stage.kubectl(&format!("delete {kind} alpha"));
    }
    // One that has not run yet is known by its template.
    let schedule = json!({ "schedule": "0 0 1 1 *" });
    stage.apply(&ending("alpha", "0").of_kind("batch/v1beta1", "CronJob", schedule));
    let report = stage.passes("");
    assert!(find(&report, "identity", "not-run").is_some(), "{report:#}");
}

#[test]
#[ignore = "needs a cluster, a registry and skopeo"]
fn what_crashes_beside_a_component_is_told() {
    let beside = |what: &str, verdict: &str, manifest: Value| {
        let stage = Stage::new(what);
        stage.deploy(named("alpha"));
        stage.apply(&manifest);
        let (_, check) = stage.fails_with("--timeout 60s --fail-fast", "rollout", verdict);
        check
    };
    let crash = "failing-exit|crash-loop";
    let crashing = |name: &str| named(name).env("EXIT", "3").unprobed();
    beside("beside-set", crash, crashing("other").of_kind("apps/v1", "StatefulSet", json!({ "serviceName": "x" })));
    beside("beside-daemon", crash, crashing("other").of_kind("apps/v1", "DaemonSet", json!({})));
    let check = beside("beside-job", "job-failed", {
        ending("other", "3").of_kind("batch/v1", "Job", json!({ "backoffLimit": 0 }))
    });
    assert!(check["message"].as_str().unwrap().contains("exited with code 3"), "{check}");
    let mut pod = crashing("other").manifest();
    let mut lone = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "other" } });
    lone["spec"] = pod["spec"]["template"]["spec"].take();
    lone["spec"]["restartPolicy"] = json!("Never");
    beside("beside-pod", "pod-failed", lone);
    let stage = Stage::new("beside-cron");
    stage.deploy(named("alpha"));
    stage.apply(&ending("other", "3").of_kind("batch/v1beta1", "CronJob", json!({ "schedule": "* * * * *" })));
    wait_for("failed Job", Duration::from_secs(120), || {
        stage.kubectl("get jobs --output=jsonpath={.items[*].status.failed}").contains('1')
    });
    let (_, check) = stage.fails_with("--timeout 60s", "rollout", "job-failed");
    assert!(check["message"].as_str().unwrap().contains("exited with code 3"), "{check}");
}

#[test]
#[ignore = "needs a cluster, a registry and skopeo"]
fn services_that_lead_nowhere_fail() {
    let stage = Stage::new("services");
    stage.deploy(named("alpha"));
    let mut lost = service("alpha");
    lost["spec"]["selector"] = json!({ "app": "alhpa" });
    stage.apply(&lost);
    let (_, check) = stage.fails_with("", "service", "selects-nothing");
    assert!(check["message"].as_str().unwrap().contains("`app=alhpa`"), "{check}");
    stage.passes("--exclude service/alpha");
    lost = service("alpha");
    lost["spec"]["ports"][0]["targetPort"] = json!("htpp");
    stage.apply(&lost);
    let (_, check) = stage.fails_with("", "service", "wrong-port");
    assert!(check["message"].as_str().unwrap().contains("named ports are: http"), "{check}");
    lost["spec"]["ports"][0]["targetPort"] = json!(9999);
    stage.apply(&lost);
    let (_, check) = stage.fails_with("--timeout 30s", "health", "wrong-port");
    assert!(check["message"].as_str().unwrap().contains("refused"), "{check}");
    // A port that no container speaks of, and that is served all the same.
    stage.deploy(named("alpha").with("ports", json!([])).unprobed());
    lost["spec"]["ports"][0]["targetPort"] = json!(8080);
    stage.apply(&lost);
    stage.passes("");
}

#[test]
#[ignore = "needs a cluster, a registry and skopeo"]
fn a_placeholder_hides_no_crash_and_a_real_nginx_is_none() {
    let stage = Stage::new("nginx");
    stage.deploy(named("alpha"));
    // Somebody's own; that it cannot be pulled here is another matter.
    let mut proxy = Workload::new("proxy", "nginx:alpine").with("imagePullPolicy", json!("Never"));
    stage.deploy(proxy);
    let (output, _) = stage.fails_with("--timeout 30s", "rollout", "image-never-pulled");
    assert!(find(&output.json(), "rollout", "placeholder").is_none(), "{}", output.stdout);
    let output = stage.smoke("--json --timeout 30s").env("XTASK_IMAGES", "placeholder").fails();
    assert!(find(&output.json(), "rollout", "image-never-pulled").is_some(), "{}", output.stdout);
    stage.kubectl("delete deployment proxy");
    // Beside a placeholder of ours.
    let other = json!([{ "name": "other", "image": alpha().pinned(), "env": [{ "name": "EXIT", "value": "3" }] }]);
    proxy = Workload::new("beta", "nginx:alpine").with("imagePullPolicy", json!("Never"));
    stage.record(&[("alpha", alpha()), ("beta", beta())]);
    let mut manifest = proxy.manifest();
    let containers = manifest["spec"]["template"]["spec"]["containers"].as_array_mut().unwrap();
    containers.extend(other.as_array().unwrap().iter().cloned());
    stage.apply(&manifest);
    let output = stage.smoke("--json --timeout 60s --fail-fast").env("XTASK_IMAGES", "placeholder").fails();
    let crash = find(&output.json(), "rollout", "failing-exit").or(find(&output.json(), "rollout", "crash-loop"));
    assert!(crash.is_some_and(|check| check["message"].to_string().contains("code 3")), "{}", output.stdout);
}

#[test]
#[ignore = "needs a cluster, a registry and skopeo"]
fn what_failed_for_good_ends_the_waiting_for_the_rest() {
    let stage = Stage::new("lost");
    stage.record(&[("alpha", alpha()), ("beta", beta())]);
    stage.deploy(Workload::new("alpha", "Not-A-Name!"));
    stage.deploy(Workload::new("beta", &beta().pinned()).env("NEVER_READY", "1"));
    let (output, _) = stage.fails_with("--timeout 120s", "rollout", "invalid-image-name");
    assert!(find(&output.json(), "rollout", "undecided").is_some(), "{}", output.stdout);
    assert!(output.json()["seconds"].as_f64().unwrap() < 40.0, "{}", output.stdout);
}

#[test]
#[ignore = "needs a cluster, a registry and skopeo"]
fn selectors_and_excludes_narrow() {
    let stage = Stage::new("narrow");
    stage.deploy(named("alpha"));
    let mut broken = named("broken").env("NEVER_READY", "1").manifest();
    broken["metadata"]["labels"] = json!({ "team": "other" });
    stage.apply(&broken);
    stage.fails_with("--timeout 5s", "rollout", "not-ready");
    for arguments in ["--selector team!=other", "--exclude broken", "--exclude deployment/bro*"] {
        let report = stage.passes(arguments);
        assert_eq!(report["workloads"].as_array().unwrap().len(), 1, "{report:#}");
    }
    stage.fixture.write("Cargo.toml", &settings("settle = \"1s\"\nexclude = [\"deployment/broken\"]"));
    stage.passes("");
    // What is left out of sight is not missing; but something must be seen.
    stage.fails_with("--selector team=nobody", "component", "missing");
}

#[test]
#[ignore = "needs a cluster, a registry and skopeo"]
fn several_namespaces_are_one_run() {
    let mut stage = Stage::new("several");
    let other = unique("smoke-several-other");
    stage.cleanup.add(&format!("kubectl delete namespace {other} --ignore-not-found --wait=false"));
    stage.record(&[("alpha", alpha()), ("beta", beta())]);
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": other } });
    stage.fixture.write("k8s/0-namespace.yaml", &namespace.to_string());
    for (name, image, namespace) in [("alpha", alpha(), &stage.namespace), ("beta", beta(), &other)] {
        let mut manifest = Workload::new(name, &image.pinned()).manifest();
        manifest["metadata"]["namespace"] = json!(namespace);
        stage.fixture.write(&format!("k8s/{name}.yaml"), &manifest.to_string());
    }
    let smoke = |arguments: &str| stage.fixture.xtask(&format!("smoke --json {arguments}"));
    let report = smoke(&format!("--apply --context {}", context())).ok().json();
    assert_eq!(report["namespaces"].as_array().unwrap().len(), 2, "{report:#}");
    assert_eq!(report["workloads"].as_array().unwrap().len(), 2, "{report:#}");
    // Each must run where its manifest says.
    kubectl(&["--namespace", &other, "delete", "deployment", "beta"]);
    let output = smoke("").fails();
    let check = find(&output.json(), "component", "missing").unwrap();
    assert!(
        output.json()["checks"].to_string().contains(&format!("nothing in namespace {other} runs component beta")),
        "{check}"
    );
}

#[test]
#[ignore = "needs a cluster, a registry and skopeo"]
fn a_namespace_that_is_being_deleted_is_no_place() {
    let stage = Stage::new("leaving");
    stage.deploy(named("alpha"));
    stage.kubectl("rollout status deployment/alpha --timeout=60s");
    // Something holds it back.
    let held = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "held", "finalizers": ["example.com/held"] },
    });
    stage.apply(&held);
    kubectl(&["delete", "namespace", &stage.namespace, "--wait=false"]);
    stage.smoke("").fails().says("is being deleted");
    stage.smoke(&format!("--apply --context {}", context())).fails();
    let patch = ["--type=merge", "--patch={\"metadata\":{\"finalizers\":null}}"];
    run("kubectl", &[&["--namespace", &stage.namespace, "patch", "configmap", "held"], &patch[..]].concat());
}

#[test]
#[ignore = "needs a cluster, a registry and skopeo"]
fn pods_that_the_kubelet_rejects_are_told_with_the_reason() {
    let stage = Stage::new("rejected");
    // A pod that goes past the scheduler to a node without room for it.
    let node = kubectl(&["get", "nodes", "--output=jsonpath={.items[0].metadata.name}"]);
    let greedy =
        named("alpha").pod("nodeName", json!(node.trim())).with("resources", json!({ "requests": { "cpu": "900" } }));
    stage.deploy(greedy);
    let (_, check) = stage.fails_with("--timeout 20s --fail-fast", "rollout", "rejected");
    assert!(check["message"].as_str().unwrap().to_lowercase().contains("outofcpu"), "{check}");
}

#[test]
#[ignore = "needs a cluster, a registry and skopeo"]
fn a_replication_controllers_pods_are_watched_and_not_counted() {
    let stage = Stage::new("controller");
    let template = named("alpha").manifest()["spec"]["template"].clone();
    let controller = json!({
        "apiVersion": "v1", "kind": "ReplicationController", "metadata": { "name": "alpha" },
        "spec": { "replicas": 1, "template": template },
    });
    stage.apply(&controller);
    wait_for("pod", Duration::from_secs(60), || stage.kubectl("get pods --output=name").contains("pod/"));
    let report = stage.passes("");
    let check = find(&report, "rollout", "not-counted").unwrap_or_else(|| panic!("{report:#}"));
    assert_eq!(check["passed"], true, "{report:#}");
}

#[test]
#[ignore = "needs a cluster, a registry and skopeo"]
fn smoke_of_what_runs_takes_less_than_a_second() {
    let stage = Stage::new("quick");
    stage.record(&[("alpha", alpha()), ("beta", beta())]);
    for (name, image) in [("alpha", alpha()), ("beta", beta()), ("gamma", alpha())] {
        stage.deploy(Workload::new(name, &image.pinned()));
        stage.apply(&service(name));
    }
    stage.passes("--settle 8s");
    std::thread::sleep(Duration::from_secs(8));
    let times: Vec<f64> = (0..3).map(|_| stage.passes("--settle 8s")["seconds"].as_f64().unwrap()).collect();
    println!("{times:?}");
    // Much less on a machine with nothing else to do.
    assert!(times.iter().copied().fold(f64::MAX, f64::min) < 3.0, "{times:?}");
}
