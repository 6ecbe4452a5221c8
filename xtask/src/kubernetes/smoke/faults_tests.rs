use serde_json::{Value, json};

use super::*;
use crate::kubernetes::objects::Kind as WorkloadKind;
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

fn kind(pod: &Pod, events: &[Event]) -> Option<Kind> {
    fault_of(pod, &events.iter().collect::<Vec<_>>(), 0, &[]).map(|fault| fault.kind)
}

#[test]
fn pull_errors_of_all_runtimes_are_told_apart() {
    let cases = [
        // Docker
        (
            "Error response from daemon: manifest for IMAGE not found: manifest unknown: manifest unknown",
            Kind::ImageNotFound,
        ),
        (
            "Error response from daemon: pull access denied for x, repository does not exist or may require 'docker login'",
            Kind::ImageUnauthorized,
        ),
        (
            "Error response from daemon: Get \"https://reg.io/v2/\": dial tcp 1.2.3.4:443: connect: connection refused",
            Kind::PullFailed,
        ),
        ("Error response from daemon: received unexpected HTTP status: 503 Service Unavailable", Kind::PullFailed),
        (
            "Error response from daemon: Get \"https://reg.io/v2/\": unauthorized: authentication required",
            Kind::ImageUnauthorized,
        ),
        // containerd
        (
            "failed to pull and unpack image \"IMAGE\": failed to resolve reference \"IMAGE\": IMAGE: not found",
            Kind::ImageNotFound,
        ),
        (
            "failed to resolve reference \"IMAGE\": failed to do request: Head \"https://reg.io/v2/x\": dial tcp: lookup reg.io: no such host",
            Kind::PullFailed,
        ),
        ("failed to resolve reference \"IMAGE\": unexpected status code 500 Internal Server Error", Kind::PullFailed),
        (
            "failed to authorize: failed to fetch anonymous token: unexpected status: 403 Forbidden",
            Kind::ImageUnauthorized,
        ),
        // CRI-O
        ("reading manifest v1 in reg.io/x: manifest unknown", Kind::ImageNotFound),
        (
            "pinging container registry reg.io: Get \"https://reg.io/v2/\": net/http: TLS handshake timeout",
            Kind::PullFailed,
        ),
        ("toomanyrequests: You have reached your pull rate limit", Kind::PullFailed),
        // What nobody knows may heal.
        ("something new in IMAGE", Kind::PullFailed),
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
        ("InvalidImageName", Some(Kind::InvalidImageName)),
        ("ErrImageNeverPull", Some(Kind::ImageNeverPulled)),
        ("RunContainerError", Some(Kind::CannotStart)),
        ("CreateContainerConfigError", Some(Kind::ConfigError)),
        ("CreateContainerError", Some(Kind::ConfigError)),
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
    assert_eq!(kind(&now(1, "Error"), &[]), Some(Kind::FailingExit));
    assert_eq!(kind(&now(137, "OOMKilled"), &[]), Some(Kind::OutOfMemory));
    assert_eq!(kind(&now(127, "ContainerCannotRun"), &[]), Some(Kind::CannotStart));
    // As init containers do. A program that should go on is soon a crash loop.
    assert_eq!(kind(&now(0, "Completed"), &[]), None);
    let restarted = pod(json!({
        "name": "c", "restartCount": 1, "state": { "running": {} }, "lastState": { "terminated": ended(2, "Error") },
    }));
    let at = seconds(Some(&"2026-01-01T00:00:10Z".to_owned())).unwrap();
    let fault = fault_of(&restarted, &[], at - 1, &[]).unwrap();
    assert_eq!((fault.kind, fault.previous_log, fault.class), (Kind::FailingExit, true, Class::Healed));
    assert_eq!(fault_of(&restarted, &[], at, &[]), None, "it ended before");
    let looping = pod(json!({
        "name": "c", "restartCount": 3, "state": { "waiting": { "reason": "CrashLoopBackOff" } },
        "lastState": { "terminated": ended(0, "Completed") },
    }));
    let fault = fault_of(&looping, &[], at, &[]).unwrap();
    assert_eq!((fault.kind, fault.class), (Kind::CrashLoop, Class::Final));
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
    assert_eq!((fault.kind, fault.class), (Kind::CannotStart, Class::Final));
}

#[test]
fn a_pod_that_its_node_refuses_is_told_with_the_reason() {
    let refused: Pod = serde_json::from_value(json!({
        "status": { "phase": "Failed", "reason": "NodePorts", "message": "Predicate NodePorts failed" },
    }))
    .unwrap();
    let fault = rejection_of(&refused).unwrap();
    assert_eq!((fault.kind, fault.class), (Kind::Rejected, Class::Healing));
    assert_eq!(fault.message, "NodePorts: Predicate NodePorts failed");
}

#[test]
fn mounts_that_healed_are_no_fault() {
    let pod = waiting("ContainerCreating", "");
    let failed = event("FailedMount", "secret \"keys\" not found", 5);
    assert_eq!(kind(&pod, std::slice::from_ref(&failed)), Some(Kind::MountFailed));
    assert_eq!(kind(&pod, &[failed.clone(), event("Pulling", "x", 7)]), None);
    assert_eq!(kind(&pod, &[event("Pulling", "x", 3), failed]), Some(Kind::MountFailed));
    assert_eq!(kind(&pod, &[event("FailedCreatePodSandBox", "cni", 1)]), Some(Kind::SandboxFailed));
    assert_eq!(kind(&waiting("PodInitializing", ""), &[]), None);
}

/// What a real cluster (Kubernetes 1.20 with Docker) reported.
#[test]
fn recorded_pods_have_their_faults() {
    let namespace = recorded();
    let cases = [
        ("ready", None),
        ("paused", None),
        ("missing", Some(Kind::ImageNotFound)),
        ("refused", Some(Kind::PullFailed)),
        ("crashing", Some(Kind::FailingExit)),
        ("hungry", Some(Kind::OutOfMemory)),
        ("unconfigured", Some(Kind::ConfigError)),
        ("unmounted", Some(Kind::MountFailed)),
        ("homeless", Some(Kind::Unschedulable)),
        ("invalid", Some(Kind::InvalidImageName)),
    ];
    for (name, expected) in cases {
        let pods = namespace.pods_of(&namespace.workloads[&WorkloadKind::Deployment][name]);
        assert!(!pods.is_empty(), "{name}");
        for pod in pods {
            let fault = fault_of(pod, &namespace.events_of(&pod.metadata.uid), 0, &[]);
            assert_eq!(fault.map(|fault| fault.kind), expected, "{name}");
        }
    }
}
