//! What `smoke` says of many scenarios, and when, beside `kubectl rollout status`: the table of `docs/smoke.md`.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::parts::run;
use crate::stage::{Stage, Workload, alpha, apply, beta, service, settings};

/// What both commands may take.
const TIMEOUT: &str = "--timeout=40s";

/// A scenario: what is applied, and the word that smoke must say, one of `a|b`.
struct Scenario {
    name: &'static str,
    manifests: Vec<Value>,
    verdict: &'static str,
}

fn scenarios() -> Vec<Scenario> {
    let of = |name: &'static str, verdict: &'static str, manifests: Vec<Value>| Scenario { name, manifests, verdict };
    let workload = || Workload::new("alpha", &alpha().pinned());
    let alone = |name, verdict, workload: Workload| of(name, verdict, vec![workload.manifest()]);
    let beside = |name, verdict, manifest: Value| of(name, verdict, vec![workload().manifest(), manifest]);
    let missing = format!("{}@sha256:{}", alpha().repository, "0".repeat(64));
    let from = |kind: &str| json!([{ kind: { "name": "none" } }]);
    let probe = json!({ "httpGet": { "path": "/redy", "port": 8080 }, "periodSeconds": 5 });
    let crashing = || Workload::new("other", &alpha().pinned()).env("EXIT", "3").unprobed();
    let job = crashing().pod("restartPolicy", json!("Never")).of_kind("batch/v1", "Job", json!({ "backoffLimit": 0 }));
    let set = crashing().of_kind("apps/v1", "StatefulSet", json!({ "serviceName": "other" }));
    let mut lost = service("alpha");
    lost["spec"]["selector"] = json!({ "app": "alhpa" });
    let mut wrong = service("alpha");
    wrong["spec"]["ports"][0]["targetPort"] = json!(9999);
    let hard = json!({ "pods": "0" });
    let quota = json!({ "apiVersion": "v1", "kind": "ResourceQuota", "metadata": { "name": "none" }, "spec": { "hard": hard } });
    let kept = json!([{ "name": "kept", "emptyDir": {} }]);
    let first_exit = workload()
        .env("FIRST_LIFE_ENDS", "/kept/one")
        .pod("volumes", kept)
        .with("volumeMounts", json!([{ "name": "kept", "mountPath": "/kept" }]))
        .pod("securityContext", json!({ "fsGroup": 65532 }));
    vec![
        alone("all is well", "ok", workload()),
        alone("the first start fails, the second does not", "ok", first_exit),
        alone("no such image", "image-not-found", Workload::new("alpha", &missing)),
        alone("no such program", "cannot-start", workload().with("command", json!(["/none"]))),
        alone("a Secret is missing", "config-error", workload().with("envFrom", from("secretRef"))),
        alone("the program ends at each start", "crash-loop|failing-exit", workload().env("EXIT", "1")),
        alone("it ends 6 s after it was ready", "failing-exit|crash-loop", workload().env("DIE_AFTER", "6")),
        alone("a wrong readiness path", "not-ready", workload().with("readinessProbe", probe)),
        alone("no node with room", "unschedulable", workload().pod("nodeSelector", json!({ "color": "none" }))),
        of("a quota is used up", "replica-failure", vec![quota, workload().manifest()]),
        alone("another component's image", "mismatch", Workload::new("alpha", &beta().pinned())),
        beside("a Service selects nothing", "selects-nothing", lost),
        beside("a Service leads to a wrong port", "wrong-port", wrong),
        beside("a StatefulSet beside it crashes", "crash-loop|failing-exit", set),
        beside("a Job beside it fails", "job-failed", job),
    ]
}

/// A stage for a scenario, with what is recorded.
fn stage_of(scenario: &Scenario) -> Stage {
    let stage = Stage::new("table");
    stage.fixture.write("Cargo.toml", &settings(""));
    match scenario.verdict {
        "mismatch" => stage.record(&[("alpha", alpha()), ("beta", beta())]),
        _ => stage.record(&[("alpha", alpha())]),
    }
    stage
}

/// What smoke says of a scenario's manifests, applied, and after how long.
fn smoked(stage: &Stage, scenario: &Scenario, arguments: &str) -> (String, String) {
    scenario.manifests.iter().for_each(|manifest| apply(&stage.namespace, manifest));
    let began = Instant::now();
    let output = stage.smoke(&format!("--json {TIMEOUT} {arguments}")).command().output().unwrap();
    (String::from_utf8_lossy(&output.stdout).into_owned(), seconds(began))
}

fn seconds(began: Instant) -> String {
    format!("{:.1} s", began.elapsed().as_secs_f64())
}

/// The verdict of the scenario that a report has.
fn said(scenario: &Scenario, report: &str) -> &'static str {
    let mut wanted = scenario.verdict.split('|');
    let said = wanted.find(|verdict| report.contains(&format!("\"verdict\": \"{verdict}\"")));
    said.unwrap_or_else(|| panic!("{}: no {} in {report}", scenario.name, scenario.verdict))
}

#[test]
#[ignore = "needs a cluster, a registry and skopeo"]
fn verdicts_beside_kubectl() {
    let Some(file) = std::env::var_os("SMOKE_VERDICTS") else {
        // What is said alone: several at once, since most of it is waiting.
        let all = std::sync::Mutex::new(scenarios().into_iter());
        let next = || all.lock().unwrap().next();
        return std::thread::scope(|scope| {
            for _ in 0..5 {
                scope.spawn(|| {
                    while let Some(scenario) = next() {
                        said(&scenario, &smoked(&stage_of(&scenario), &scenario, "").0);
                    }
                });
            }
        });
    };
    let mut table = String::from(
        "| scenario | smoke says | after | with `--fail-fast` | `kubectl rollout status` | after |\n\
         |---|---|--:|--:|---|--:|\n",
    );
    for scenario in scenarios() {
        let stage = stage_of(&scenario);
        let namespace = ["--namespace", &stage.namespace];
        let (theirs, (ours, after)) = std::thread::scope(|scope| {
            let status = scope.spawn(|| {
                // The Deployment comes a moment later.
                std::thread::sleep(Duration::from_millis(500));
                let began = Instant::now();
                let output =
                    run("kubectl", &[&namespace[..], &["rollout", "status", "deployment/alpha", TIMEOUT]].concat());
                (if output.success { "succeeds" } else { "times out" }, seconds(began))
            });
            let ours = smoked(&stage, &scenario, "");
            (status.join().unwrap(), ours)
        });
        let said = said(&scenario, &ours);
        let fast = match scenario.verdict {
            "ok" => "–".to_owned(),
            _ => {
                crate::stage::kubectl(
                    &[&namespace[..], &["delete", "deployments,statefulsets,jobs", "--all"]].concat(),
                );
                smoked(&stage, &scenario, "--fail-fast").1
            }
        };
        let name = scenario.name;
        let _ = writeln!(table, "| {name} | `{said}` | {after} | {fast} | {} | {} |", theirs.0, theirs.1);
    }
    println!("{table}");
    std::fs::write(file, table).unwrap();
}
