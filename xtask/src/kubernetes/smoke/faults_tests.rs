use serde_json::{Value, json};

use super::*;
use crate::kubernetes::objects::Kind;
use crate::kubernetes::smoke::test_namespace::recorded;

const IMAGE: &str = "reg.io/not-found/denied:v1";

fn pod(status: Value) -> Pod {
    serde_json::from_value(json!({
        "spec": { "containers": [{ "name": "c", "image": IMAGE }] },
        "status": { "containerStatuses": [status] },
    }))
    .unwrap()
}

fn waiting(reason: &str, message: &str) -> Pod {
    pod(json!({ "name": "c", "state": { "waiting": { "reason": reason, "message": message } } }))
}

fn event(reason: &str, message: &str, second: u8) -> Event {
    let time = format!("2026-01-01T00:00:{second:02}Z");
    serde_json::from_value(json!({ "reason": reason, "message": message, "lastTimestamp": time })).unwrap()
}

fn kind(pod: &Pod, events: &[Event]) -> Option<FaultKind> {
    fault_of(pod, &events.iter().collect::<Vec<_>>(), 0, &[]).map(|fault| fault.kind)
}

#[test]
fn pull_errors_of_all_runtimes_are_told_apart() {
    let cases = [
        // Docker
        (
            "Error response from daemon: manifest for IMAGE not found: manifest unknown: manifest unknown",
            FaultKind::ImageNotFound,
        ),
        (
            "Error response from daemon: pull access denied for x, repository does not exist or may require 'docker login'",
            FaultKind::ImageUnauthorized,
        ),
        (
            "Error response from daemon: Get \"https://reg.io/v2/\": dial tcp 1.2.3.4:443: connect: connection refused",
            FaultKind::PullFailed,
        ),
        ("Error response from daemon: received unexpected HTTP status: 503 Service Unavailable", FaultKind::PullFailed),
        (
            "Error response from daemon: Get \"https://reg.io/v2/\": unauthorized: authentication required",
            FaultKind::ImageUnauthorized,
        ),
        // containerd
        (
            "failed to pull and unpack image \"IMAGE\": failed to resolve reference \"IMAGE\": IMAGE: not found",
            FaultKind::ImageNotFound,
        ),
        (
            "failed to resolve reference \"IMAGE\": failed to do request: Head \"https://reg.io/v2/x\": dial tcp: lookup reg.io: no such host",
            FaultKind::PullFailed,
        ),
        (
            "failed to resolve reference \"IMAGE\": unexpected status code 500 Internal Server Error",
            FaultKind::PullFailed,
        ),
        (
            "failed to authorize: failed to fetch anonymous token: unexpected status: 403 Forbidden",
            FaultKind::ImageUnauthorized,
        ),
        // CRI-O
        ("reading manifest v1 in reg.io/x: manifest unknown", FaultKind::ImageNotFound),
        (
            "pinging container registry reg.io: Get \"https://reg.io/v2/\": net/http: TLS handshake timeout",
            FaultKind::PullFailed,
        ),
        ("toomanyrequests: You have reached your pull rate limit", FaultKind::PullFailed),
        // What nobody knows may heal.
        ("something new in IMAGE", FaultKind::PullFailed),
    ];
    for (text, expected) in cases {
        let text = format!("rpc error: code = Unknown desc = {}", text.replace("IMAGE", IMAGE));
        assert_eq!(kind(&waiting("ErrImagePull", &text), &[]), Some(expected), "{text}");
        // Soon only the event says why.
        let events = [event("Failed", &format!("Failed to pull image \"{IMAGE}\": {text}"), 1)];
        let backing_off = waiting("ImagePullBackOff", &format!("Back-off pulling image \"{IMAGE}\""));
        assert_eq!(kind(&backing_off, &events), Some(expected), "{text}");
    }
}

#[test]
fn a_new_pull_makes_the_last_report_out_of_date() {
    let failed = format!("Failed to pull image \"{IMAGE}\": connection refused");
    let pulling = format!("Pulling image \"{IMAGE}\"");
    let pod = waiting("ImagePullBackOff", &format!("Back-off pulling image \"{IMAGE}\""));
    let is_retrying = |second: u8| {
        let events = [event("Failed", &failed, 5), event("Pulling", &pulling, second)];
        fault_of(&pod, &events.iter().collect::<Vec<_>>(), 0, &[]).unwrap().is_retrying
    };
    assert!(is_retrying(6) && !is_retrying(5) && !is_retrying(4));
}

#[test]
fn states_have_their_words() {
    let cases = [
        ("InvalidImageName", Some(FaultKind::InvalidImageName)),
        ("ErrImageNeverPull", Some(FaultKind::ImageNeverPulled)),
        ("RunContainerError", Some(FaultKind::CannotStart)),
        ("CreateContainerConfigError", Some(FaultKind::ConfigError)),
        ("CreateContainerError", Some(FaultKind::ConfigError)),
        ("ContainerCreating", None),
        ("PodInitializing", None),
    ];
    for (reason, expected) in cases {
        assert_eq!(kind(&waiting(reason, "why"), &[]), expected, "{reason}");
    }
}

#[test]
fn ends_count_when_they_are_failures_of_now() {
    let ended =
        |code: i64, reason: &str| json!({ "exitCode": code, "reason": reason, "finishedAt": "2026-01-01T00:00:10Z" });
    let now = |code, reason| pod(json!({ "name": "c", "state": { "terminated": ended(code, reason) } }));
    assert_eq!(kind(&now(1, "Error"), &[]), Some(FaultKind::FailingExit));
    assert_eq!(kind(&now(137, "OOMKilled"), &[]), Some(FaultKind::OutOfMemory));
    assert_eq!(kind(&now(127, "ContainerCannotRun"), &[]), Some(FaultKind::CannotStart));
    // As init containers do. A program that should go on is soon a crash loop.
    assert_eq!(kind(&now(0, "Completed"), &[]), None);
    let restarted = pod(json!({
        "name": "c", "restartCount": 1, "state": { "running": {} }, "lastState": { "terminated": ended(2, "Error") },
    }));
    let at = seconds(Some(&"2026-01-01T00:00:10Z".to_owned())).unwrap();
    let fault = fault_of(&restarted, &[], at - 1, &[]).unwrap();
    assert_eq!((fault.kind, fault.previous_log, fault.class), (FaultKind::FailingExit, true, Class::Healed));
    assert_eq!(fault_of(&restarted, &[], at, &[]), None, "it ended before");
    let looping = pod(json!({
        "name": "c", "restartCount": 3, "state": { "waiting": { "reason": "CrashLoopBackOff" } },
        "lastState": { "terminated": ended(0, "Completed") },
    }));
    let fault = fault_of(&looping, &[], at, &[]).unwrap();
    assert_eq!((fault.kind, fault.class), (FaultKind::CrashLoop, Class::Final));
    assert_eq!(fault.message, "exited with code 0, but should keep running, 3 restarts");
}

#[test]
fn a_first_exit_may_heal_and_the_third_restart_is_a_loop() {
    let class = |restarts: i64, reason: &str| {
        let state = json!({ "terminated": { "exitCode": 1, "reason": reason } });
        fault_of(&pod(json!({ "name": "c", "restartCount": restarts, "state": state })), &[], 0, &[]).unwrap().class
    };
    for reason in ["Error", "OOMKilled"] {
        assert_eq!([0, 2, 3].map(|restarts| class(restarts, reason)), [Class::Healing, Class::Healing, Class::Final]);
    }
    // No such program, also while the kubelet waits with the next try.
    assert_eq!(class(0, "ContainerCannotRun"), Class::Final);
    let waiting = pod(json!({
        "name": "c", "restartCount": 1, "state": { "waiting": { "reason": "CrashLoopBackOff" } },
        "lastState": { "terminated": { "exitCode": 127, "reason": "ContainerCannotRun" } },
    }));
    let fault = fault_of(&waiting, &[], 0, &[]).unwrap();
    assert_eq!((fault.kind, fault.class), (FaultKind::CannotStart, Class::Final));
}

#[test]
fn a_pod_that_its_node_refuses_is_told_with_the_reason() {
    let refused: Pod = serde_json::from_value(json!({
        "status": { "phase": "Failed", "reason": "NodePorts", "message": "Predicate NodePorts failed" },
    }))
    .unwrap();
    let fault = rejection_of(&refused).unwrap();
    assert_eq!((fault.kind, fault.class), (FaultKind::Rejected, Class::Healing));
    assert_eq!(fault.message, "NodePorts: Predicate NodePorts failed");
}

#[test]
fn mounts_that_healed_are_no_fault() {
    let pod = waiting("ContainerCreating", "");
    let failed = event("FailedMount", "secret \"keys\" not found", 5);
    assert_eq!(kind(&pod, std::slice::from_ref(&failed)), Some(FaultKind::MountFailed));
    assert_eq!(kind(&pod, &[failed.clone(), event("Pulling", "x", 7)]), None);
    assert_eq!(kind(&pod, &[event("Pulling", "x", 3), failed]), Some(FaultKind::MountFailed));
    assert_eq!(kind(&pod, &[event("FailedCreatePodSandBox", "cni", 1)]), Some(FaultKind::SandboxFailed));
    assert_eq!(kind(&waiting("PodInitializing", ""), &[]), None);
}

/// What a real cluster (Kubernetes 1.20 with Docker) reported.
#[test]
fn recorded_pods_have_their_faults() {
    let namespace = recorded();
    let cases = [
        ("ready", None),
        ("paused", None),
        ("missing", Some(FaultKind::ImageNotFound)),
        ("refused", Some(FaultKind::PullFailed)),
        ("crashing", Some(FaultKind::FailingExit)),
        ("hungry", Some(FaultKind::OutOfMemory)),
        ("unconfigured", Some(FaultKind::ConfigError)),
        ("unmounted", Some(FaultKind::MountFailed)),
        ("homeless", Some(FaultKind::Unschedulable)),
        ("invalid", Some(FaultKind::InvalidImageName)),
    ];
    for (name, expected) in cases {
        let pods = namespace.pods_of(&namespace.workloads[&Kind::Deployment][name]);
        assert!(!pods.is_empty(), "{name}");
        for pod in pods {
            let fault = fault_of(pod, &namespace.events_of(&pod.metadata.uid), 0, &[]);
            assert_eq!(fault.map(|fault| fault.kind), expected, "{name}");
        }
    }
}
