//! `smoke` without a cluster: wrong usage, what it asks of an API server and how often.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::fake_cluster::FakeCluster;

/// Peak memory of a process so far, in KiB.
#[cfg(target_os = "linux")]
fn peak_memory(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[test]
fn a_hundred_deployments_are_asked_gently() {
    const COUNT: usize = 100;
    let cluster = FakeCluster::new(COUNT, Some(Duration::from_secs(4)), None);
    let report = cluster.smoke("").ok().json();
    assert_eq!(report["workloads"].as_array().unwrap().len(), COUNT);
    // Two paths on each pod, and its Service: each once, at most 16 at a time.
    let mut probed = cluster.probed();
    assert_eq!(probed.len(), 3 * COUNT);
    probed.sort();
    probed.dedup();
    assert_eq!(probed.len(), 3 * COUNT, "some were asked twice");
    assert!((2..=16).contains(&cluster.most_probes()), "{} at once", cluster.most_probes());
    // Ten kinds of objects, a list and a watch for each, and the pods once more before it passes: none because of
    // how many there are.
    let asked = cluster.lists_and_watches();
    assert_eq!(asked.len(), 21, "{asked:#?}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_hundred_deployments_fit_into_little_memory() {
    let cluster = FakeCluster::new(100, Some(Duration::from_secs(3)), None);
    let mut child = cluster.smoke("").command().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        peak = peak.max(peak_memory(child.id()).unwrap_or(0));
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(child.wait().unwrap().success());
    println!("peak memory: {peak} KiB");
    assert!(peak > 0 && peak < 100 * 1024, "{peak} KiB");
}

#[test]
fn an_api_server_that_is_away_is_asked_no_faster() {
    let seconds = Duration::from_secs;
    let cluster =
        FakeCluster::new(3, Some(seconds(6)), Some((Duration::from_millis(2500), Duration::from_millis(7500))));
    let report = cluster.smoke("").ok().json();
    let seconds = report["seconds"].as_f64().unwrap();
    assert!(seconds > 5.0, "{report:#}");
    // A burst, and then five in a second, however many threads ask.
    let asked = cluster.lists_and_watches().len();
    assert!(asked as f64 <= 40.0 + 5.5 * seconds, "{asked} lists and watches in {seconds} s");
}

#[test]
fn the_verdict_follows_the_last_pod_at_once() {
    let cluster = FakeCluster::new(20, Some(Duration::from_secs(4)), None);
    let began = Instant::now();
    cluster.smoke("").ok();
    let after = began.elapsed().saturating_sub(Duration::from_secs(4));
    // Much less than a second where nothing else runs.
    assert!(after < Duration::from_secs(2), "{after:?} after the last pod was ready");
}

#[test]
fn what_is_not_ready_in_time_fails() {
    let cluster = FakeCluster::new(2, None, None);
    let folder = tempfile::tempdir().unwrap();
    let report = cluster.smoke("--timeout 3s").env("TMPDIR", folder.path()).fails().json();
    // Nothing of kubectl is left.
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
    for deployment in report["workloads"].as_array().unwrap() {
        assert_eq!(deployment["checks"][0]["verdict"], "not-ready", "{report:#}");
    }
}

#[test]
fn arguments_are_checked() {
    let cluster = FakeCluster::new(0, None, None);
    cluster.smoke("--dry-run").misused().says("--apply");
    cluster.smoke("--report smoke.html").misused().says("must end in `.json` (JSON) or `.xml` (JUnit)");
    cluster.smoke("--timeout soon").misused().says("`soon` is no time; write for example `30s` or `2m`");
    cluster.smoke("").fails().says("names no image, so nothing could be told");
    cluster.smoke("--digests none.json").fails().says("there is no digest record").says("none.json");
    cluster.smoke("--selector =x").misused().says("`=x` is no label requirement");
    cluster.smoke("--fail-fast --tolerate-failures").misused().says("cannot be used with");
}

/// The checks of a report with this name.
fn checks<'a>(report: &'a Value, name: &str) -> Vec<&'a Value> {
    let workloads = report["workloads"].as_array().unwrap().iter();
    let checks = workloads.flat_map(|workload| workload["checks"].as_array().unwrap());
    checks.filter(|check| check["name"] == name).collect()
}

#[test]
fn an_api_server_that_falls_silent_makes_the_rest_unknown_in_time() {
    let cluster = FakeCluster::new(3, None, None).falls_silent(Duration::from_secs(2));
    let began = Instant::now();
    let report = cluster.smoke("--timeout 10s").fails().json();
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    assert!(report["seconds"].as_f64().unwrap() <= 10.5, "{report:#}");
    let found = checks(&report, "rollout");
    assert_eq!(found.len(), 3);
    for check in found {
        assert_eq!(check["verdict"], "unknown", "{report:#}");
        assert!(check["message"].as_str().unwrap().contains("silent for"), "{check}");
    }
}

#[test]
fn an_api_server_that_never_answers_ends_with_the_time() {
    let cluster = FakeCluster::new(3, None, None).falls_silent(Duration::ZERO);
    let began = Instant::now();
    cluster.smoke("--timeout 4s").fails().says("gives no answer to use");
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
}

#[test]
fn applying_ends_with_the_time() {
    let cluster = FakeCluster::new(1, Some(Duration::ZERO), None);
    cluster.fixture.write("k8s/a.yaml", "kind: Deployment\nmetadata: { name: a, namespace: ns }\n");
    let began = Instant::now();
    let output = cluster.smoke("--apply --context fake --timeout 4s").fails();
    output.says("not, or not wholly, applied").says("had not ended when time was up");
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
    // Nobody said that it may be this one.
    cluster.smoke("--apply").fails().says("`fake`").says("is confirmed by nobody");
}

#[test]
fn details_of_many_failures_come_within_the_time() {
    // Thirty pods whose readiness path takes longer than there is.
    let cluster = FakeCluster::new(30, None, None).answers_after(Duration::from_secs(30));
    let began = Instant::now();
    let report = cluster.smoke("--timeout 8s").fails().json();
    assert!(began.elapsed() < Duration::from_secs(13), "{:?}", began.elapsed());
    assert!(checks(&report, "rollout").iter().all(|check| check["verdict"] == "not-ready"), "{report:#}");
}

#[test]
fn a_busy_application_is_asked_again() {
    let ready = Some(Duration::ZERO);
    let report = FakeCluster::new(1, ready, None).answers_busy(4).smoke("").ok().json();
    let health = checks(&report, "health");
    assert!(health.iter().all(|check| check["verdict"] == "ok"), "{report:#}");
    assert!(
        health.iter().any(|check| check["message"].as_str().unwrap_or_default().contains("answers that were errors"))
    );
    // To the end, and then how often.
    let report = FakeCluster::new(1, ready, None).answers_busy(1000).smoke("--timeout 6s").fails().json();
    let message = checks(&report, "health")[0]["message"].as_str().unwrap().to_owned();
    assert!(message.starts_with("the application answered 503 ") && message.contains(" times: busy"), "{message}");
    // Unless nobody wants to wait.
    let began = Instant::now();
    FakeCluster::new(1, ready, None).answers_busy(1000).smoke("--fail-fast").fails();
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[test]
fn probes_may_take_their_time() {
    // As their `timeoutSeconds` allows, and longer than smoke waits of its own.
    let cluster = FakeCluster::new(1, Some(Duration::ZERO), None).answers_after(Duration::from_secs(17));
    let report = cluster.smoke("").ok().json();
    assert_eq!(checks(&report, "health").len(), 3, "{report:#}");
}

#[test]
fn a_registry_that_falls_silent_is_unknown_in_time() {
    let cluster = FakeCluster::new(1, Some(Duration::ZERO), None);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    // What runs is compared with the record, which says enough.
    let mut record: Value =
        serde_json::from_str(&cluster.fixture.read("artifacts/docker/docker-image-digests.json")).unwrap();
    let repository = format!("{}/component-0", listener.local_addr().unwrap());
    let digest = record["component-0"]["digest"].as_str().unwrap().to_owned();
    let image = &mut record["component-0"];
    image["repository"] = repository.clone().into();
    image["image"] = format!("{repository}@{digest}").into();
    image["gitShaTag"] = format!("{repository}:sha-0000000").into();
    cluster.fixture.write("artifacts/docker/docker-image-digests.json", &record.to_string());
    let began = Instant::now();
    let report = cluster.smoke("--timeout 5s").fails().json();
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    let registry = report["checks"].as_array().unwrap().iter().find(|check| check["name"] == "registry").unwrap();
    assert_eq!(registry["verdict"], "unknown", "{report:#}");
}

#[test]
fn what_no_watch_told_is_seen_before_it_passes() {
    let time = Duration::from_secs(2);
    // Health is asked while the pods crash.
    let cluster = FakeCluster::new(1, Some(Duration::ZERO), None).crashes_unheard(time).answers_after(2 * time);
    let report = cluster.smoke("--timeout 30s").fails().json();
    assert_eq!(checks(&report, "rollout")[0]["verdict"], "crash-loop", "{report:#}");
}

/// A Deployment of the first component, as manifests have it.
fn manifest(cluster: &FakeCluster, name: &str) -> String {
    let record: Value =
        serde_json::from_str(&cluster.fixture.read("artifacts/docker/docker-image-digests.json")).unwrap();
    let image = record["component-0"]["image"].as_str().unwrap();
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\nspec:\n  template:\n    spec:\n      containers:\n      \
         - {{name: component-0, image: '{image}'}}\n"
    )
}

#[test]
fn a_workload_that_only_the_manifests_have_is_missing() {
    let cluster = FakeCluster::new(1, Some(Duration::ZERO), None);
    cluster.fixture.write("k8s/a.yaml", &manifest(&cluster, "component-0"));
    cluster.smoke("").ok();
    cluster.fixture.write("k8s/b.yaml", &manifest(&cluster, "worker"));
    cluster.smoke("").fails().says("the manifests have deployment/worker, and the cluster does not");
    cluster.smoke("--exclude deployment/worker").ok();
}

#[test]
fn of_several_namespaces_none_is_guessed() {
    let cluster = FakeCluster::new(1, Some(Duration::ZERO), None);
    cluster.fixture.write("k8s/a.yaml", &manifest(&cluster, "component-0"));
    let applied = cluster.smoke("--namespace other --apply --context fake").fails();
    applied.says("deployment/component-0 names no namespace, and of several `--namespace` nobody knows which is meant");
}

#[test]
fn a_kubectl_that_hangs_ends_with_the_time() {
    // As one does whose configuration asks a program for credentials, and that asks a terminal.
    let cluster = FakeCluster::new(1, Some(Duration::ZERO), None);
    cluster.fixture.script("bin/kubectl", "#!/bin/sh\nsleep 600\n");
    let began = Instant::now();
    cluster.smoke("--timeout 4s").fails().says("had not ended when time was up");
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
}

#[test]
fn settling_that_time_cut_short_is_told() {
    let cluster = FakeCluster::new(1, Some(Duration::ZERO), None);
    // What started is a day old for this cluster.
    let report = cluster.smoke("--settle 48h --timeout 4s").ok().json();
    let check = checks(&report, "rollout").into_iter().find(|check| check["verdict"] == "not-settled");
    assert_eq!(check.unwrap_or_else(|| panic!("{report:#}"))["passed"], true, "{report:#}");
    let report = cluster.smoke("--settle 1s").ok().json();
    assert!(!report.to_string().contains("not-settled"), "{report:#}");
}

#[test]
fn what_the_manifests_run_once_may_be_gone_by_now() {
    let cluster = FakeCluster::new(1, Some(Duration::ZERO), None);
    cluster.fixture.write("k8s/a.yaml", &manifest(&cluster, "component-0"));
    let job = manifest(&cluster, "migrate").replace("apps/v1", "batch/v1").replace("Deployment", "Job");
    cluster.fixture.write("k8s/b.yaml", &job);
    let report = cluster.smoke("").ok().json();
    let check = report["checks"].as_array().unwrap().iter().find(|check| check["verdict"] == "missing");
    let check = check.unwrap_or_else(|| panic!("{report:#}"));
    assert!(check["passed"] == true && check["message"].as_str().unwrap().contains("job/migrate"), "{check}");
}
