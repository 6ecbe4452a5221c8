//! `smoke` without a cluster: wrong usage, what it asks of an API server and how often.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::fake_cluster::FakeCluster;

/// On a busy machine requests arrive closer together than they were sent.
const NEARLY_A_SECOND: Duration = Duration::from_millis(900);

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
    assert_eq!(report["deployments"].as_array().unwrap().len(), COUNT);
    // Two paths on each pod, and its Service: each once, at most 16 at a time.
    let mut probed = cluster.probed();
    assert_eq!(probed.len(), 3 * COUNT);
    probed.sort();
    probed.dedup();
    assert_eq!(probed.len(), 3 * COUNT, "some were asked twice");
    assert!((2..=16).contains(&cluster.most_probes()), "{} at once", cluster.most_probes());
    // Four lists, a watch for each, and the Services: none because of how many there are.
    let asked = cluster.lists_and_watches();
    assert_eq!(asked.len(), 9, "{asked:#?}");
    for (at, _) in &asked {
        let within = asked.iter().filter(|(other, _)| other >= at && *other < *at + NEARLY_A_SECOND).count();
        assert!(within <= 5, "{within} lists and watches within a second");
    }
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
    assert!(report["seconds"].as_f64().unwrap() > 5.0, "{report:#}");
    let asked = cluster.lists_and_watches();
    for (at, _) in &asked {
        let within = asked.iter().filter(|(other, _)| other >= at && *other < *at + NEARLY_A_SECOND).count();
        assert!(within <= 5, "{within} lists and watches within a second");
    }
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
    for deployment in report["deployments"].as_array().unwrap() {
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
    cluster.fixture.write("k8s/a.yaml", "kind: Deployment\nmetadata: { name: a, namespace: one }\n");
    cluster.fixture.write("k8s/b.yml", "kind: Deployment\nmetadata:\n  namespace: two\n");
    let smoke = cluster.fixture.xtask("smoke").env("XTASK_IMAGES", "placeholder");
    smoke.path_first(&cluster.fixture.path("bin")).fails().says("several namespaces, `one`, `two`");
}
