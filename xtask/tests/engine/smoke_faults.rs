//! What `smoke` says of Deployments that do not run as they should, each on a real cluster.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::stage::{Stage, Workload, alpha, apply, beta, detail_lines, kubectl, service};

#[test]
#[ignore = "needs a cluster, a registry and skopeo"]
fn what_is_well_passes() {
    let stage = Stage::new("well");
    stage.deploy(Workload::new("alpha", &alpha().pinned()).replicas(2));
    stage.apply(&service("alpha"));
    let report = stage.passes("--ready-within 60s --report smoke.xml --report out/smoke.json");
    let deployment = &report["workloads"][0];
    assert_eq!((&deployment["name"], &deployment["pods"]), (&json!("alpha"), &json!(2)), "{report:#}");
    let asked: Vec<_> = deployment["checks"].as_array().unwrap().iter().filter(|c| c["name"] == "health").collect();
    // Two paths on two pods, and the Service once.
    assert_eq!(asked.len(), 5, "{report:#}");
    let xml = stage.fixture.read("smoke.xml");
    assert!(xml.contains("<testsuite name=\"deployment/alpha\" tests=\"8\" failures=\"0\""), "{xml}");
    assert!(stage.fixture.read("out/smoke.json").contains("\"passed\": true"));
}

#[test]
#[ignore = "needs a cluster, a registry and skopeo"]
fn an_image_that_does_not_exist_is_found_at_once() {
    let stage = Stage::new("no-image");
    let missing = format!("{}@sha256:{}", alpha().repository, "0".repeat(64));
    stage.deploy(Workload::new("alpha", &missing));
    let started = Instant::now();
    let (output, check) = stage.fails_with("--timeout 60s", "rollout", "image-not-found");
    assert!(check["message"].as_str().unwrap().contains("the registry has no such image"), "{check}");
    assert!(started.elapsed() < Duration::from_secs(20), "{}", output.stderr);
    assert!(detail_lines(&check).contains("event: "), "{check}");
}

#[test]
#[ignore = "needs a cluster, a registry and skopeo"]
fn an_unreachable_registry_is_told_from_a_missing_image() {
    let stage = Stage::new("no-registry");
    // Nobody listens on port 1.
    stage.deploy(Workload::new("alpha", "localhost:1/xtask-test/alpha:v1"));
    let started = Instant::now();
    let (_, check) = stage.fails_with("--timeout 60s", "rollout", "pull-failed");
    assert!(check["message"].as_str().unwrap().contains("cannot be reached"), "{check}");
    let took = started.elapsed();
    assert!((10..60).contains(&took.as_secs()), "{took:?}");
    stage.deploy(Workload::new("alpha", "Not-A-Name!"));
    stage.fails_with("--timeout 60s", "rollout", "invalid-image-name");
}

#[test]
#[ignore = "needs a cluster, a registry and skopeo"]
fn another_components_image_is_a_mismatch() {
    let stage = Stage::new("swapped");
    stage.record(&[("alpha", alpha()), ("beta", beta())]);
    stage.deploy(Workload::new("alpha", &beta().pinned()));
    stage.deploy(Workload::new("beta", &beta().pinned()));
    let (_, check) = stage.fails_with("", "identity", "mismatch");
    let message = check["message"].as_str().unwrap();
    assert!(message.contains(&beta().digest) && message.contains(&alpha().digest), "{message}");
    // A component that nothing runs.
    stage.kubectl("delete deployment alpha");
    let (_, check) = stage.fails_with("", "component", "missing");
    assert_eq!(check["subject"], "alpha");
}

#[test]
#[ignore = "needs a cluster, a registry and skopeo"]
fn programs_that_end_are_found_with_their_code_and_log() {
    let stage = Stage::new("exits");
    stage.deploy(Workload::new("alpha", &alpha().pinned()).env("EXIT", "1"));
    let (_, check) = stage.fails_with("--timeout 60s", "rollout", "failing-exit|crash-loop");
    assert!(check["message"].as_str().unwrap().contains("code 1"), "{check}");
    assert!(detail_lines(&check).contains("about to exit with 1"), "{check}");
    stage.deploy(Workload::new("alpha", &alpha().pinned()).env("EXIT", "0").unprobed());
    // Final from the third restart on, which a slow machine comes to late.
    let (_, check) = stage.fails_with("--timeout 120s", "rollout", "crash-loop");
    assert!(check["message"].as_str().unwrap().contains("code 0"), "{check}");
    // To Kubernetes, without a probe, it is ready as long as it runs.
    stage.deploy(Workload::new("alpha", &alpha().pinned()).env("EXIT", "3").env("SLEEP", "1.5").unprobed());
    let (_, check) = stage.fails_with("--timeout 60s", "rollout", "failing-exit|crash-loop");
    assert!(check["message"].as_str().unwrap().contains("code 3"), "{check}");
}

#[test]
#[ignore = "needs a cluster, a registry and skopeo"]
fn init_containers_count() {
    let stage = Stage::new("init");
    let init = |image: &str, code: &str| json!([{ "name": "init", "image": image, "env": [{ "name": "EXIT", "value": code }] }]);
    stage.record(&[("alpha", alpha()), ("init", alpha())]);
    stage.deploy(Workload::new("alpha", &alpha().pinned()).pod("initContainers", init(&alpha().pinned(), "7")));
    let (_, check) = stage.fails_with("--timeout 60s", "rollout", "failing-exit|crash-loop");
    assert!(check["message"].as_str().unwrap().contains("code 7"), "{check}");
    stage.deploy(Workload::new("alpha", &alpha().pinned()).pod("initContainers", init(&alpha().pinned(), "0")));
    stage.passes("");
    stage.record(&[("alpha", alpha()), ("init", alpha()), ("beta", beta())]);
    stage.deploy(Workload::new("alpha", &alpha().pinned()).pod("initContainers", init(&beta().pinned(), "0")));
    let (_, check) = stage.fails_with("", "identity", "mismatch");
    assert_eq!(check["subject"], "init");
}

#[test]
#[ignore = "needs a cluster, a registry and skopeo"]
fn a_program_killed_for_memory_is_named_so() {
    let stage = Stage::new("memory");
    let limits = json!({ "limits": { "memory": "24Mi" } });
    stage.deploy(Workload::new("alpha", &alpha().pinned()).env("EAT", "1").with("resources", limits));
    let (_, check) = stage.fails_with("--timeout 60s", "rollout", "out-of-memory");
    assert!(check["message"].as_str().unwrap().contains("OOMKilled"), "{check}");
}

#[test]
#[ignore = "needs a cluster, a registry and skopeo"]
fn pods_that_never_get_ready_are_told_with_what_their_probe_says() {
    let stage = Stage::new("unready");
    stage.deploy(Workload::new("alpha", &alpha().pinned()).env("NEVER_READY", "1"));
    let (_, check) = stage.fails_with("--timeout 10s", "rollout", "not-ready");
    assert!(check["message"].as_str().unwrap().contains("0 of 1 pod ready"), "{check}");
    let details = detail_lines(&check);
    assert!(details.contains("readiness path /ready on port 8080 answers 503"), "{details}");
    assert!(details.contains("log of alpha: this is alpha"), "{details}");
    let wrong = json!({ "httpGet": { "path": "/redy", "port": 8080 }, "periodSeconds": 5 });
    stage.deploy(Workload::new("alpha", &alpha().pinned()).with("readinessProbe", wrong));
    let (_, check) = stage.fails_with("--timeout 10s", "rollout", "not-ready");
    assert!(detail_lines(&check).contains("readiness path /redy on port 8080 answers 404"), "{check}");
}

#[test]
#[ignore = "needs a cluster, a registry and skopeo"]
fn an_old_rollout_does_not_hide_a_failing_new_one() {
    let stage = Stage::new("old");
    stage.deploy(Workload::new("alpha", &alpha().pinned()));
    stage.passes("");
    stage.deploy(Workload::new("alpha", &alpha().pinned()).env("EXIT", "1"));
    stage.fails_with("--timeout 60s", "rollout", "failing-exit|crash-loop");
    assert_eq!(stage.kubectl("get deployment alpha --output=jsonpath={.status.availableReplicas}"), "1");
}

#[test]
#[ignore = "needs a cluster, a registry and skopeo"]
fn what_heals_in_time_passes() {
    let late = |what: &str, workload: Workload| {
        let stage = Stage::new(what);
        stage.deploy(workload);
        let namespace = stage.namespace.clone();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                std::thread::sleep(Duration::from_secs(5));
                kubectl(&["--namespace", &namespace, "create", "configmap", "late", "--from-literal=EXTRA=1"]);
            });
            stage.passes("--timeout 90s");
        });
    };
    let volume = json!([{ "name": "late", "configMap": { "name": "late" } }]);
    let mounted = Workload::new("alpha", &alpha().pinned())
        .pod("volumes", volume)
        .with("volumeMounts", json!([{ "name": "late", "mountPath": "/late" }]));
    let env =
        Workload::new("alpha", &alpha().pinned()).with("envFrom", json!([{ "configMapRef": { "name": "late" } }]));
    std::thread::scope(|scope| {
        scope.spawn(|| late("late-env", env));
        late("late-volume", mounted);
    });
}

#[test]
#[ignore = "needs a cluster, a registry and skopeo"]
fn what_does_not_heal_is_final_after_a_while() {
    let never = |what: &str, verdict: &str, workload: Workload| {
        let stage = Stage::new(what);
        stage.deploy(workload);
        let started = Instant::now();
        let (_, check) = stage.fails_with("--timeout 90s", "rollout", verdict);
        let took = started.elapsed().as_secs();
        assert!((10..60).contains(&took), "{verdict} after {took} s");
        check
    };
    let volume = json!([{ "name": "keys", "secret": { "secretName": "keys" } }]);
    let mounted = Workload::new("alpha", &alpha().pinned())
        .pod("volumes", volume)
        .with("volumeMounts", json!([{ "name": "keys", "mountPath": "/keys" }]));
    let env =
        Workload::new("alpha", &alpha().pinned()).with("envFrom", json!([{ "configMapRef": { "name": "none" } }]));
    std::thread::scope(|scope| {
        scope.spawn(|| never("no-config", "config-error", env));
        let check = never("no-secret", "mount-failed", mounted);
        assert!(check["message"].as_str().unwrap().contains("keys"), "{check}");
    });
}

#[test]
#[ignore = "needs a cluster, a registry and skopeo"]
fn paused_and_empty_deployments_are_verdicts_of_their_own() {
    let stage = Stage::new("held");
    stage.record(&[("alpha", alpha()), ("beta", beta())]);
    stage.deploy(Workload::new("alpha", &alpha().pinned()));
    stage.deploy(Workload::new("beta", &beta().pinned()).replicas(0));
    stage.kubectl("rollout pause deployment/alpha");
    let (_, check) = stage.fails_with("", "rollout", "paused");
    assert!(check["message"].as_str().unwrap().contains("kubectl rollout resume deployment/alpha"), "{check}");
    stage.fails_with("", "rollout", "zero-replicas");
}

/// A quota of so many pods.
fn quota(pods: u32) -> serde_json::Value {
    let hard = json!({ "pods": pods.to_string() });
    json!({ "apiVersion": "v1", "kind": "ResourceQuota", "metadata": { "name": "few" }, "spec": { "hard": hard } })
}

#[test]
#[ignore = "needs a cluster, a registry and skopeo"]
fn a_quota_that_is_raised_heals() {
    let stage = Stage::new("quota");
    stage.apply(&quota(0));
    stage.deploy(Workload::new("alpha", &alpha().pinned()));
    // Told at once, decided when time is up.
    let (output, check) = stage.fails_with("--timeout 12s", "rollout", "replica-failure");
    assert!(check["message"].as_str().unwrap().contains("exceeded quota"), "{check}");
    let output = output.says("pod ready; replica-failure: ");
    assert!(output.json()["seconds"].as_f64().unwrap() > 10.0);
    let (output, _) = stage.fails_with("--timeout 60s --fail-fast", "rollout", "replica-failure");
    assert!(output.json()["seconds"].as_f64().unwrap() < 15.0);
    let namespace = stage.namespace.clone();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            std::thread::sleep(Duration::from_secs(4));
            apply(&namespace, &quota(9));
        });
        stage.passes("--timeout 90s");
    });
}

#[test]
#[ignore = "needs a cluster, a registry and skopeo"]
fn no_room_is_decided_when_time_is_up() {
    let stage = Stage::new("no-node");
    stage.deploy(Workload::new("alpha", &alpha().pinned()).pod("nodeSelector", json!({ "color": "none" })));
    let (output, _) = stage.fails_with("--timeout 15s", "rollout", "unschedulable");
    let output = output.says("0 of 1 pod ready; unschedulable: ");
    assert!(output.json()["seconds"].as_f64().unwrap() > 12.0);
    let (output, _) = stage.fails_with("--timeout 60s --fail-fast", "rollout", "unschedulable");
    assert!(output.json()["seconds"].as_f64().unwrap() < 15.0);
    // A port of the node that another pod has until it goes.
    let stage = Stage::new("host-port");
    stage.record(&[("alpha", alpha()), ("beta", beta())]);
    let port = json!([{ "name": "http", "containerPort": 8080, "hostPort": 39471 }]);
    stage.deploy(Workload::new("alpha", &alpha().pinned()).with("ports", port.clone()));
    stage.kubectl("rollout status deployment/alpha --timeout=60s");
    stage.deploy(Workload::new("beta", &beta().pinned()).with("ports", port));
    stage.record(&[("beta", beta())]);
    let namespace = stage.namespace.clone();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            std::thread::sleep(Duration::from_secs(5));
            kubectl(&["--namespace", &namespace, "delete", "deployment", "alpha"]);
        });
        stage.passes("--timeout 90s");
    });
}

#[test]
#[ignore = "needs a cluster, a registry and skopeo"]
fn a_first_exit_heals_and_fail_fast_does_not_wait() {
    let stage = Stage::new("first-exit");
    let first = |path: &str| {
        Workload::new("alpha", &alpha().pinned())
            .env("FIRST_LIFE_ENDS", path)
            .pod("volumes", json!([{ "name": "kept", "emptyDir": {} }]))
            .with("volumeMounts", json!([{ "name": "kept", "mountPath": "/kept" }]))
            .pod("securityContext", json!({ "fsGroup": 65532 }))
    };
    stage.deploy(first("/kept/one"));
    stage.passes("--timeout 90s");
    stage.deploy(first("/kept/two"));
    stage.fails_with("--timeout 90s --fail-fast", "rollout", "failing-exit|crash-loop");
    // What does not heal is told all the same when nobody wants to be told early.
    let missing = format!("{}@sha256:{}", alpha().repository, "0".repeat(64));
    stage.deploy(Workload::new("alpha", &missing));
    let (output, _) = stage.fails_with("--timeout 12s --tolerate-failures", "rollout", "image-not-found");
    assert!(output.json()["seconds"].as_f64().unwrap() > 9.0);
}

#[test]
#[ignore = "needs a cluster, a registry and skopeo"]
fn a_pod_that_dies_after_its_readiness_is_found_out() {
    let stage = Stage::new("settle");
    stage.fixture.write("Cargo.toml", &crate::stage::settings(""));
    stage.deploy(Workload::new("alpha", &alpha().pinned()).env("DIE_AFTER", "6"));
    stage.fails_with("--timeout 60s", "rollout", "failing-exit|crash-loop");
    // Who does not want to know is not told.
    stage.deploy(Workload::new("alpha", &alpha().pinned()).env("DIE_AFTER", "60"));
    let report = stage.passes("--settle 0s");
    assert!(report["seconds"].as_f64().unwrap() < 12.0, "{report:#}");
}

#[test]
#[ignore = "needs a cluster, a registry and skopeo"]
fn restarts_during_the_checks_fail() {
    for code in ["0", "4"] {
        let stage = Stage::new("restarts");
        stage.deploy(Workload::new("alpha", &alpha().pinned()).env("DIE_WHEN_ASKED", code));
        stage.fails_with("--timeout 40s", "health", "restarted");
    }
}

#[test]
#[ignore = "needs a cluster, a registry and skopeo"]
fn twenty_pods_are_asked_each() {
    let stage = Stage::new("twenty");
    stage.deploy(Workload::new("alpha", &alpha().pinned()).replicas(20));
    let report = stage.passes("--timeout 180s");
    let checks = report["workloads"][0]["checks"].as_array().unwrap();
    assert_eq!(checks.iter().filter(|check| check["name"] == "health").count(), 40, "{report:#}");
}
