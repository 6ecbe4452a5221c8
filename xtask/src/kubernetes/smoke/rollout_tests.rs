use serde_json::json;

use super::*;
use crate::kubernetes::smoke::recorded::recorded;
use crate::kubernetes::smoke::state::{Change, apply};

/// Some time after all of the recording.
const LATER: i64 = 1_800_000_000;

fn at(seconds: u64) -> Moment {
    Moment { elapsed: Duration::from_secs(seconds), cluster: LATER + i64::try_from(seconds).unwrap() }
}

fn judged(judge: &mut Judge, namespace: &Namespace, name: &str, seconds: u64) -> Standing {
    judge.judge(namespace, &namespace.deployments[name], at(seconds))
}

fn verdict(standing: &Standing) -> &'static str {
    match standing {
        Standing::Waiting(_) => "waiting",
        Standing::Done => "done",
        Standing::Failed(troubles) => troubles[0].verdict,
    }
}

/// For each: the verdicts at once, after 5 s, after the grace, and after the limit of retries.
#[test]
fn recorded_rollouts_are_judged_in_their_time() {
    let namespace = recorded();
    let cases = [
        ("ready", ["done"; 4]),
        ("paused", ["paused"; 4]),
        ("empty", ["zero-replicas"; 4]),
        ("missing", ["image-not-found"; 4]),
        ("crashing", ["failing-exit"; 4]),
        ("hungry", ["out-of-memory"; 4]),
        ("invalid", ["invalid-image-name"; 4]),
        ("homeless", ["waiting", "waiting", "unschedulable", "unschedulable"]),
        ("unmounted", ["waiting", "waiting", "waiting", "mount-failed"]),
        ("refused", ["waiting", "waiting", "waiting", "pull-failed"]),
        ("unconfigured", ["waiting", "waiting", "waiting", "config-error"]),
    ];
    for (name, expected) in cases {
        let mut judge = Judge::new(0);
        let found = [0, 5, 10, 30].map(|seconds| verdict(&judged(&mut judge, &namespace, name, seconds)));
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn a_fault_that_heals_and_comes_back_has_its_grace_anew() {
    let broken = recorded();
    let mut healed = recorded();
    for pod in healed.pods.values_mut() {
        pod.status.conditions.retain(|condition| condition.kind != "PodScheduled");
    }
    let mut judge = Judge::new(0);
    for (namespace, seconds, expected) in
        [(&broken, 0, "waiting"), (&healed, 8, "waiting"), (&broken, 12, "waiting"), (&broken, 22, "unschedulable")]
    {
        assert_eq!(verdict(&judged(&mut judge, namespace, "homeless", seconds)), expected, "at {seconds}");
    }
}

#[test]
fn a_retry_that_failed_after_the_grace_is_final() {
    let mut namespace = recorded();
    let mut judge = Judge::new(0);
    assert_eq!(verdict(&judged(&mut judge, &namespace, "unconfigured", 0)), "waiting");
    for event in namespace.events.values_mut().filter(|event| event.reason == "Failed") {
        // 12 s after it was seen first.
        event.last_timestamp = Some(crate::image::time::rfc3339(LATER + 12));
    }
    assert_eq!(verdict(&judged(&mut judge, &namespace, "unconfigured", 13)), "config-error");
}

#[test]
fn an_unobserved_generation_is_waited_for() {
    let mut namespace = recorded();
    for name in ["ready", "missing", "paused", "empty"] {
        namespace.deployments.get_mut(name).unwrap().metadata.generation += 1;
        let standing = judged(&mut Judge::new(0), &namespace, name, 0);
        assert_eq!(standing, Standing::Waiting("not yet seen by the Deployment controller".into()), "{name}");
    }
}

/// The parts of `ready`, for changes.
fn ready() -> Namespace {
    let mut namespace = recorded();
    namespace.deployments.retain(|name, _| name == "ready");
    namespace.pods.retain(|name, _| name.starts_with("ready-"));
    namespace.replica_sets.retain(|name, _| name.starts_with("ready-"));
    assert_eq!((namespace.pods.len(), namespace.replica_sets.len()), (2, 1));
    namespace
}

#[test]
fn only_pods_of_the_current_replica_set_count() {
    let verdict_of = |namespace: &Namespace| verdict(&judged(&mut Judge::new(0), namespace, "ready", 0));
    // A terminating pod beside two is nobody's.
    let mut namespace = ready();
    let mut leaving = namespace.pods.values().next().unwrap().clone();
    leaving.metadata.name = "leaving".into();
    leaving.metadata.uid = "leaving".into();
    leaving.metadata.deletion_timestamp = Some("2026-01-01T00:00:00Z".into());
    leaving.status.container_statuses[0].state =
        serde_json::from_value(json!({ "terminated": { "exitCode": 137 } })).unwrap();
    apply(&mut namespace.pods, Change::Put(leaving));
    assert_eq!(verdict_of(&namespace), "done");
    // An evicted one, too.
    namespace.pods.get_mut("leaving").unwrap().metadata.deletion_timestamp = None;
    namespace.pods.get_mut("leaving").unwrap().status.phase = "Failed".into();
    assert_eq!(verdict_of(&namespace), "done");
    // One of two is missing.
    let mut namespace = ready();
    namespace.pods.pop_first();
    assert_eq!(verdict_of(&namespace), "waiting");
    // An old ReplicaSet's pods are not looked at.
    let mut namespace = ready();
    namespace.replica_sets.first_entry().unwrap().get_mut().metadata.annotations.clear();
    assert_eq!(verdict_of(&namespace), "waiting");
    // Another Deployment of that name had it.
    let mut namespace = ready();
    namespace.deployments.get_mut("ready").unwrap().metadata.uid = "other".into();
    assert_eq!(verdict_of(&namespace), "waiting");
    // The old rollout's pods are still up.
    let mut namespace = ready();
    namespace.deployments.get_mut("ready").unwrap().status.replicas = 3;
    let standing = judged(&mut Judge::new(0), &namespace, "ready", 0);
    assert_eq!(standing, Standing::Waiting("2 of 2 pods ready; 1 of the old rollout still up".into()));
    // Ready, but not for `minReadySeconds`.
    let mut namespace = ready();
    namespace.deployments.get_mut("ready").unwrap().status.available_replicas = 1;
    assert_eq!(verdict_of(&namespace), "waiting");
}

#[test]
fn conditions_that_are_final() {
    let with = |condition: serde_json::Value, seconds: &[u64]| {
        let mut namespace = ready();
        let deployment = namespace.deployments.get_mut("ready").unwrap();
        deployment.status.available_replicas = 0;
        deployment.status.conditions = vec![serde_json::from_value(condition.clone()).unwrap()];
        let set = namespace.replica_sets.first_entry().unwrap().into_mut();
        set.status.conditions = vec![serde_json::from_value(condition).unwrap()];
        let mut judge = Judge::new(0);
        seconds.iter().map(|at| verdict(&judged(&mut judge, &namespace, "ready", *at))).collect::<Vec<_>>()
    };
    let late = json!({ "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded" });
    assert_eq!(with(late, &[0]), ["deadline-exceeded"]);
    let quota = json!({ "type": "ReplicaFailure", "status": "True", "message": "exceeded quota: none" });
    assert_eq!(with(quota, &[0]), ["replica-failure"]);
    // A namespace of a moment ago.
    let account = "pods \"x\" is forbidden: error looking up service account a/b: serviceaccount \"b\" not found";
    let account = json!({ "type": "ReplicaFailure", "status": "True", "message": account });
    assert_eq!(with(account, &[0, 9, 10]), ["waiting", "waiting", "replica-failure"]);
}

#[test]
fn fresh_containers_are_believed_after_a_while() {
    let fresh = |probe: bool, restarts: i64, seconds: &[u64]| {
        let mut namespace = ready();
        for pod in namespace.pods.values_mut() {
            if !probe {
                pod.spec.containers[0].readiness_probe = None;
            }
            let status = &mut pod.status.container_statuses[0];
            status.restart_count = restarts;
            let started = crate::image::time::rfc3339(LATER);
            status.state = serde_json::from_value(json!({ "running": { "startedAt": started } })).unwrap();
        }
        let mut judge = Judge::new(0);
        seconds.iter().map(|at| verdict(&judged(&mut judge, &namespace, "ready", *at))).collect::<Vec<_>>()
    };
    assert_eq!(fresh(true, 0, &[0]), ["done"]);
    assert_eq!(fresh(false, 0, &[0, 2, 3]), ["waiting", "waiting", "done"]);
    assert_eq!(fresh(true, 1, &[0, 9, 10]), ["waiting", "waiting", "done"]);
    // Seen late, but up for long.
    assert_eq!(fresh(false, 0, &[60]), ["done"]);
}

#[test]
fn when_time_is_up_what_is_known_is_said() {
    let namespace = recorded();
    let judge = Judge::new(0);
    let said = |name: &str| judge.timed_out(&namespace, &namespace.deployments[name], "0 of 1 pod ready").remove(0);
    assert_eq!(said("refused").verdict, "pull-failed");
    assert!(said("refused").message.contains("connection refused"), "{:?}", said("refused"));
    let mut unready = ready();
    for pod in unready.pods.values_mut() {
        pod.status.conditions.clear();
        pod.status.container_statuses[0].ready = false;
    }
    let trouble = judge.timed_out(&unready, &unready.deployments["ready"], "0 of 2 pods ready").remove(0);
    assert_eq!((trouble.verdict, trouble.message.as_str()), ("not-ready", "0 of 2 pods ready"));
    assert_eq!(trouble.container.as_deref(), Some("ready"));
}

#[test]
fn pods_with_the_same_fault_are_one_trouble() {
    let mut namespace = ready();
    for pod in namespace.pods.values_mut() {
        pod.status.container_statuses[0].state =
            serde_json::from_value(json!({ "waiting": { "reason": "InvalidImageName", "message": "no" } })).unwrap();
    }
    let Standing::Failed(troubles) = judged(&mut Judge::new(0), &namespace, "ready", 0) else { panic!("not failed") };
    assert_eq!(troubles.len(), 1);
    assert_eq!(troubles[0].message, "no (and 1 more pods)");
}

#[test]
fn times_come_from_the_cluster() {
    let namespace = ready();
    let pods: Vec<&Pod> = namespace.pods.values().collect();
    assert!(pods.iter().all(|pod| ready_seconds(pod).is_some_and(|seconds| seconds < 30)));
    assert_eq!(restarts(&pods).values().sum::<i64>(), 0);
}
