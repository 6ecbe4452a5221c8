use serde_json::json;

use super::*;
use crate::kubernetes::smoke::state::{Change, Objects, apply};
use crate::kubernetes::smoke::test_namespace::recorded;

/// Some time after all of the recording.
const LATER: i64 = 1_800_000_000;

fn at(seconds: u64) -> Moment {
    Moment { elapsed: Duration::from_secs(seconds), cluster: LATER + i64::try_from(seconds).unwrap() }
}

fn judged(judge: &mut Judge, namespace: &Namespace, name: &str, seconds: u64) -> RolloutStatus {
    judge.judge(namespace, &deployments(namespace)[name], &[], at(seconds))
}

fn deployments(namespace: &Namespace) -> &Objects<Workload> {
    &namespace.workloads[&Kind::Deployment]
}

/// The Deployment `ready` of [`ready`], for changes.
fn deployment(namespace: &mut Namespace) -> &mut Workload {
    namespace.workloads.get_mut(&Kind::Deployment).unwrap().get_mut("ready").unwrap()
}

/// Its ReplicaSet.
fn replica_set(namespace: &mut Namespace) -> &mut Workload {
    namespace.workloads.get_mut(&Kind::ReplicaSet).unwrap().first_entry().unwrap().into_mut()
}

fn judge(settle: u64) -> Judge {
    Judge::new(0, Strictness::Normal, Duration::from_secs(settle))
}

fn verdict(status: &RolloutStatus) -> &'static str {
    match status {
        RolloutStatus::Waiting(_) => "waiting",
        RolloutStatus::Settling => "settling",
        RolloutStatus::Done => "done",
        RolloutStatus::Failed(failures) => failures[0].verdict,
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
        // With three restarts.
        ("crashing", ["failing-exit"; 4]),
        ("hungry", ["out-of-memory"; 4]),
        ("invalid", ["invalid-image-name"; 4]),
        ("homeless", ["waiting"; 4]),
        ("unmounted", ["waiting", "waiting", "waiting", "mount-failed"]),
        ("refused", ["waiting", "waiting", "waiting", "pull-failed"]),
        ("unconfigured", ["waiting", "waiting", "waiting", "config-error"]),
    ];
    for (name, expected) in cases {
        let mut judge = judge(0);
        let found = [0, 5, 10, 30].map(|seconds| verdict(&judged(&mut judge, &namespace, name, seconds)));
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn strictness_moves_the_line() {
    let namespace = recorded();
    for (strictness, expected) in [
        (Strictness::FailFast, ["unschedulable", "config-error", "image-not-found"]),
        (Strictness::Normal, ["waiting", "waiting", "image-not-found"]),
        (Strictness::Tolerate, ["waiting"; 3]),
    ] {
        let mut judge = Judge::new(0, strictness, Duration::ZERO);
        let names = ["homeless", "unconfigured", "missing"];
        let found = names.map(|name| verdict(&judged(&mut judge, &namespace, name, 0)));
        assert_eq!(found, expected, "{strictness:?}");
    }
}

#[test]
fn a_fault_that_heals_and_comes_back_has_its_grace_anew() {
    let broken = recorded();
    let mut healed = recorded();
    for pod in healed.pods.values_mut() {
        pod.status.container_statuses.clear();
    }
    let mut judge = judge(0);
    for (namespace, seconds, expected) in
        [(&broken, 0, "waiting"), (&healed, 20, "waiting"), (&broken, 32, "waiting"), (&broken, 62, "config-error")]
    {
        assert_eq!(verdict(&judged(&mut judge, namespace, "unconfigured", seconds)), expected, "at {seconds}");
    }
}

#[test]
fn a_retry_that_failed_after_the_grace_is_final() {
    let mut namespace = recorded();
    let mut judge = judge(0);
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
        let deployments = namespace.workloads.get_mut(&Kind::Deployment).unwrap();
        deployments.get_mut(name).unwrap().metadata.generation += 1;
        let status = judged(&mut judge(0), &namespace, name, 0);
        assert_eq!(status, RolloutStatus::Waiting("not yet seen by the Deployment controller".into()), "{name}");
    }
}

/// The parts of `ready`, for changes.
fn ready() -> Namespace {
    let mut namespace = recorded();
    namespace.pods.retain(|name, _| name.starts_with("ready-"));
    for objects in namespace.workloads.values_mut() {
        objects.retain(|name, _| name == "ready" || name.starts_with("ready-"));
        assert_eq!(objects.len(), 1);
    }
    assert_eq!(namespace.pods.len(), 2);
    namespace
}

#[test]
fn only_pods_of_the_current_replica_set_count() {
    let verdict_of = |namespace: &Namespace| verdict(&judged(&mut judge(0), namespace, "ready", 0));
    // A terminating pod beside two is nobody's.
    let mut namespace = ready();
    let mut leaving = namespace.pods.values().next().unwrap().clone();
    leaving.metadata.name = "leaving".into();
    leaving.metadata.uid = "leaving".into();
    leaving.metadata.deletion_timestamp = Some("2026-01-01T00:00:00Z".into());
    leaving.status.container_statuses[0].state =
        serde_json::from_value(json!({ "terminated": { "exitCode": 137 } })).unwrap();
    apply(&mut namespace.pods, Change::Applied(leaving));
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
    replica_set(&mut namespace).metadata.annotations.clear();
    assert_eq!(verdict_of(&namespace), "waiting");
    // Another Deployment of that name had it.
    let mut namespace = ready();
    deployment(&mut namespace).metadata.uid = "other".into();
    assert_eq!(verdict_of(&namespace), "waiting");
    // The old rollout's pods are still up.
    let mut namespace = ready();
    deployment(&mut namespace).status.replicas = 3;
    let status = judged(&mut judge(0), &namespace, "ready", 0);
    assert_eq!(status, RolloutStatus::Waiting("2 of 2 pods ready; 1 of the old rollout still up".into()));
    // Ready, but not for `minReadySeconds`.
    let mut namespace = ready();
    deployment(&mut namespace).status.available_replicas = 1;
    assert_eq!(verdict_of(&namespace), "waiting");
}

#[test]
fn conditions_that_are_final() {
    let with = |condition: serde_json::Value, seconds: &[u64]| {
        let mut namespace = ready();
        let deployment = deployment(&mut namespace);
        deployment.status.available_replicas = 0;
        deployment.status.conditions = vec![serde_json::from_value(condition.clone()).unwrap()];
        replica_set(&mut namespace).status.conditions = vec![serde_json::from_value(condition).unwrap()];
        let mut judge = judge(0);
        seconds.iter().map(|at| verdict(&judged(&mut judge, &namespace, "ready", *at))).collect::<Vec<_>>()
    };
    let late = json!({ "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded" });
    assert_eq!(with(late, &[0]), ["deadline-exceeded"]);
    let refused = json!({ "type": "ReplicaFailure", "status": "True", "message": "denied by a policy" });
    assert_eq!(with(refused, &[0]), ["replica-failure"]);
    // Somebody else's pods end.
    let quota = json!({ "type": "ReplicaFailure", "status": "True", "message": "exceeded quota: none" });
    assert_eq!(with(quota, &[0, 100]), ["waiting", "waiting"]);
    // A pod of the same name is still being deleted.
    let message = "The POST operation against Pod could not be completed at this time, please try again.";
    let again = json!({ "type": "ReplicaFailure", "status": "True", "message": message });
    assert_eq!(with(again, &[0, 100]), ["waiting", "waiting"]);
    // A namespace of a moment ago.
    let account = "pods \"x\" is forbidden: error looking up service account a/b: serviceaccount \"b\" not found";
    let account = json!({ "type": "ReplicaFailure", "status": "True", "message": account });
    assert_eq!(with(account, &[0, 9, 10]), ["waiting", "waiting", "replica-failure"]);
}

#[test]
fn fresh_pods_are_believed_after_a_while() {
    let fresh = |settle: u64, probe: bool, restarts: i64, seconds: &[u64]| {
        let mut namespace = ready();
        for pod in namespace.pods.values_mut() {
            if !probe {
                pod.spec.containers[0].readiness_probe = None;
            }
            pod.status.container_statuses[0].restart_count = restarts;
            let condition = pod.status.conditions.iter_mut().find(|condition| condition.kind == "Ready").unwrap();
            condition.last_transition_time = Some(crate::image::time::rfc3339(LATER));
        }
        let mut judge = judge(settle);
        seconds.iter().map(|at| verdict(&judged(&mut judge, &namespace, "ready", *at))).collect::<Vec<_>>()
    };
    assert_eq!(fresh(0, true, 0, &[0]), ["done"]);
    assert_eq!(fresh(0, false, 0, &[0, 2, 3]), ["settling", "settling", "done"]);
    assert_eq!(fresh(0, true, 1, &[0, 9, 10]), ["settling", "settling", "done"]);
    assert_eq!(fresh(8, true, 0, &[0, 7, 8]), ["settling", "settling", "done"]);
    // Seen late, but ready for long.
    assert_eq!(fresh(8, false, 0, &[60]), ["done"]);
}

#[test]
fn a_restart_right_before_time_is_up_does_not_pass() {
    let mut namespace = ready();
    let ended = crate::image::time::rfc3339(LATER);
    for pod in namespace.pods.values_mut() {
        let condition = pod.status.conditions.iter_mut().find(|condition| condition.kind == "Ready").unwrap();
        condition.last_transition_time = Some(ended.clone());
    }
    let unsettled = |namespace: &Namespace| {
        let mut judge = judge(8);
        assert_eq!(verdict(&judged(&mut judge, namespace, "ready", 1)), "settling");
        judge.unsettled(namespace, &deployments(namespace)["ready"], &[], at(2))
    };
    // Watched for as long as there was time.
    assert_eq!(unsettled(&namespace), []);
    let status = &mut namespace.pods.first_entry().unwrap().into_mut().status.container_statuses[0];
    status.restart_count = 1;
    assert_eq!(unsettled(&namespace)[0].verdict, "restarted");
    let status = &mut namespace.pods.first_entry().unwrap().into_mut().status.container_statuses[0];
    let terminated = json!({ "terminated": { "exitCode": 9, "finishedAt": ended } });
    status.last_state = serde_json::from_value(terminated).unwrap();
    let failures = unsettled(&namespace);
    assert_eq!((failures.len(), failures[0].verdict), (1, "failing-exit"));
    assert!(failures[0].message.starts_with("exited with code 9; 1 restarts so far"), "{failures:?}");
}

#[test]
fn when_time_is_up_what_is_known_is_said() {
    let namespace = recorded();
    let judge = judge(0);
    let said =
        |name: &str| judge.timed_out(&namespace, &deployments(&namespace)[name], &[], "0 of 1 pod ready").remove(0);
    assert_eq!(said("refused").verdict, "pull-failed");
    assert!(said("refused").message.contains("connection refused"), "{:?}", said("refused"));
    let mut unready = ready();
    for pod in unready.pods.values_mut() {
        pod.status.conditions.clear();
        pod.status.container_statuses[0].ready = false;
    }
    let failure = judge.timed_out(&unready, &deployments(&unready)["ready"], &[], "0 of 2 pods ready").remove(0);
    assert_eq!((failure.verdict, failure.message.as_str()), ("not-ready", "0 of 2 pods ready"));
    assert_eq!(failure.container.as_deref(), Some("ready"));
}

#[test]
fn pods_with_the_same_fault_are_one_trouble() {
    let mut namespace = ready();
    for pod in namespace.pods.values_mut() {
        pod.status.container_statuses[0].state =
            serde_json::from_value(json!({ "waiting": { "reason": "InvalidImageName", "message": "no" } })).unwrap();
    }
    let RolloutStatus::Failed(failures) = judged(&mut judge(0), &namespace, "ready", 0) else { panic!("not failed") };
    assert_eq!(failures.len(), 1);
    assert_eq!(failures[0].message, "no (and 1 more pods)");
}

#[test]
fn times_come_from_the_cluster() {
    let namespace = ready();
    let pods: Vec<&Pod> = namespace.pods.values().collect();
    assert!(pods.iter().all(|pod| ready_seconds(pod).is_some_and(|seconds| seconds < 30)));
    assert_eq!(restarts(&pods).values().sum::<i64>(), 0);
}

/// A namespace with objects of these kinds.
fn namespace_of(objects: &[(Kind, serde_json::Value)], pods: serde_json::Value) -> Namespace {
    let mut namespace = Namespace::default();
    for (kind, object) in objects {
        namespace.apply_workloads(*kind, Change::Applied(serde_json::from_value(object.clone()).unwrap()));
    }
    apply(&mut namespace.pods, Change::Listed(serde_json::from_value(pods).unwrap()));
    namespace
}

/// A pod that `owner` controls, ready since long ago or not.
fn pod_of(name: &str, kind: Kind, owner: &str, ready: bool) -> serde_json::Value {
    let status = if ready { "True" } else { "False" };
    let long_ago = "2026-01-01T00:00:00Z";
    json!({
        "metadata": {
            "name": name, "uid": name,
            "ownerReferences": [{ "kind": kind.name(), "uid": owner, "controller": true }],
        },
        "status": {
            "phase": "Running",
            "conditions": [{ "type": "Ready", "status": status, "lastTransitionTime": long_ago }],
        },
    })
}

fn judged_one(namespace: &Namespace) -> (String, RolloutStatus) {
    let workloads = namespace.workloads();
    assert_eq!(workloads.len(), 1, "{workloads:#?}");
    (workloads[0].shown(), judge(0).judge(namespace, &workloads[0], &[], at(0)))
}

#[test]
fn each_kind_is_done_by_its_own_rules() {
    let metadata = json!({ "name": "a", "uid": "u", "generation": 2 });
    let with = |spec: serde_json::Value, status: serde_json::Value| {
        let mut status = status;
        status["observedGeneration"] = json!(2);
        json!({ "metadata": metadata, "spec": spec, "status": status })
    };
    let sets = |updated: i64| with(json!({ "replicas": 2 }), json!({ "replicas": 2, "updatedReplicas": updated }));
    let partition = |updated: i64| {
        let strategy = json!({ "rollingUpdate": { "partition": 1 } });
        let spec = json!({ "replicas": 2, "updateStrategy": strategy });
        with(spec, json!({ "replicas": 2, "updatedReplicas": updated }))
    };
    let daemons = |updated: i64, available: i64| {
        let status = json!({
            "desiredNumberScheduled": 2, "updatedNumberScheduled": updated, "numberAvailable": available,
        });
        with(json!({}), status)
    };
    let bare = with(json!({ "replicas": 2 }), json!({ "replicas": 2, "availableReplicas": 2 }));
    for (kind, object, expected) in [
        (Kind::StatefulSet, sets(2), "done"),
        (Kind::StatefulSet, sets(1), "waiting"),
        (Kind::StatefulSet, partition(1), "done"),
        (Kind::StatefulSet, with(json!({ "replicas": 0 }), json!({})), "zero-replicas"),
        (Kind::DaemonSet, daemons(2, 2), "done"),
        (Kind::DaemonSet, daemons(1, 2), "waiting"),
        (Kind::DaemonSet, daemons(2, 1), "waiting"),
        (Kind::DaemonSet, with(json!({}), json!({})), "zero-replicas"),
        (Kind::ReplicaSet, bare, "done"),
    ] {
        let pods = json!([pod_of("a-0", kind, "u", true), pod_of("a-1", kind, "u", true)]);
        let namespace = namespace_of(&[(kind, object.clone())], pods);
        assert_eq!(verdict(&judged_one(&namespace).1), expected, "{kind:?} {object}");
        // One of two.
        let pods = json!([pod_of("a-0", kind, "u", true), pod_of("a-1", kind, "u", false)]);
        let namespace = namespace_of(&[(kind, object)], pods);
        assert_ne!(verdict(&judged_one(&namespace).1), "done", "{kind:?}");
    }
}

#[test]
fn jobs_are_done_when_they_say_so() {
    let job = |conditions: serde_json::Value| json!({ "metadata": { "name": "seed", "uid": "u" }, "status": { "conditions": conditions } });
    let ended =
        json!([{ "type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "too many" }]);
    let mut dead = pod_of("seed-x", Kind::Job, "u", false);
    dead["status"]["phase"] = json!("Failed");
    let terminated = json!({ "terminated": { "exitCode": 3, "reason": "Error" } });
    dead["status"]["containerStatuses"] = json!([{ "name": "seed", "state": terminated }]);
    for (conditions, expected) in [
        (json!([{ "type": "Complete", "status": "True" }]), "done"),
        (json!([]), "waiting"),
        (ended.clone(), "job-failed"),
    ] {
        let namespace = namespace_of(&[(Kind::Job, job(conditions))], json!([dead]));
        assert_eq!(verdict(&judged_one(&namespace).1), expected);
    }
    let namespace = namespace_of(&[(Kind::Job, job(ended.clone()))], json!([dead]));
    let RolloutStatus::Failed(failures) = judged_one(&namespace).1 else { panic!("not failed") };
    assert_eq!(failures[0].message, "BackoffLimitExceeded: too many; its last pod exited with code 3");
    assert_eq!(failures[0].pod.as_deref(), Some("seed-x"));
    // It tries on, and time is up.
    let namespace = namespace_of(&[(Kind::Job, job(json!([])))], json!([dead]));
    let workload = &namespace.workloads[&Kind::Job]["seed"];
    let failure =
        Judge::new(0, Strictness::Normal, Duration::ZERO).timed_out(&namespace, workload, &[], "waiting").remove(0);
    assert_eq!((failure.verdict, failure.pod.as_deref()), ("failing-exit", Some("seed-x")));
    assert_eq!(failure.message, "waiting; its last pod exited with code 3");
    // Its pod is heard of a moment later.
    let namespace = namespace_of(&[(Kind::Job, job(ended.clone()))], json!([pod_of("x", Kind::Job, "u", false)]));
    assert_eq!(verdict(&judged_one(&namespace).1), "waiting");
    // A CronJob is as its newest Job; the one before it does not count.
    let of_cron = |name: &str, at: &str, conditions: serde_json::Value| {
        json!({
            "metadata": {
                "name": name, "uid": name, "creationTimestamp": at,
                "ownerReferences": [{ "kind": "CronJob", "uid": "c", "controller": true }],
            },
            "status": { "conditions": conditions },
        })
    };
    let cron = json!({ "metadata": { "name": "nightly", "uid": "c" } });
    let complete = json!([{ "type": "Complete", "status": "True" }]);
    for (first, second, expected) in
        [(&ended, &complete, "done"), (&complete, &ended, "job-failed"), (&complete, &json!([]), "done")]
    {
        let jobs = [
            (Kind::CronJob, cron.clone()),
            (Kind::Job, of_cron("one", "2026-01-01T00:00:00Z", first.clone())),
            (Kind::Job, of_cron("two", "2026-01-02T00:00:00Z", second.clone())),
        ];
        let (name, status) = judged_one(&namespace_of(&jobs, json!([])));
        assert_eq!((name.as_str(), verdict(&status)), ("cronjob/nightly", expected));
    }
}

#[test]
fn pods_of_nobody_stand_for_themselves() {
    let mut alone = pod_of("alone", Kind::Pod, "somebody", true);
    let status = |pod: &serde_json::Value| judged_one(&namespace_of(&[], json!([pod]))).1;
    assert_eq!(verdict(&status(&alone)), "done");
    alone["status"]["phase"] = json!("Failed");
    alone["status"]["reason"] = json!("OutOfcpu");
    let RolloutStatus::Failed(failures) = status(&alone) else { panic!("not failed") };
    assert_eq!(failures[0].verdict, "pod-failed");
    assert!(failures[0].message.starts_with("OutOfcpu"), "{failures:?}");
    alone["status"]["phase"] = json!("Succeeded");
    assert_eq!(verdict(&status(&alone)), "done");
    // Whose owner is still to be heard of is no pod of its own.
    let early = pod_of("early", Kind::ReplicaSet, "unheard", false);
    assert!(namespace_of(&[], json!([early])).workloads().is_empty());
}

#[test]
fn rollouts_say_how_they_are() {
    let rollout = |phase: &str, replicas: i64| {
        json!({
            "metadata": { "name": "web", "uid": "u", "generation": 3 },
            "spec": { "replicas": 1 },
            "status": {
                "observedGeneration": "3", "phase": phase, "message": "said so", "currentPodHash": "abc",
                "replicas": 1, "updatedReplicas": replicas, "availableReplicas": replicas,
            },
        })
    };
    let set = json!({
        "metadata": {
            "name": "web-abc", "uid": "s", "labels": { "rollouts-pod-template-hash": "abc" },
            "ownerReferences": [{ "kind": "Rollout", "uid": "u", "controller": true }],
        },
        "status": { "replicas": 1, "availableReplicas": 1 },
    });
    let pods = json!([pod_of("web-abc-x", Kind::ReplicaSet, "s", true)]);
    for (phase, expected) in
        [("Healthy", "done"), ("", "done"), ("Degraded", "degraded"), ("Paused", "waiting"), ("Progressing", "waiting")]
    {
        let objects = [(Kind::Rollout, rollout(phase, 1)), (Kind::ReplicaSet, set.clone())];
        let (name, status) = judged_one(&namespace_of(&objects, pods.clone()));
        assert_eq!((name.as_str(), verdict(&status)), ("rollout/web", expected), "{phase}");
    }
    // One that takes a Deployment's template, and its place.
    let mut taking = rollout("Healthy", 1);
    taking["spec"]["workloadRef"] = json!({ "kind": "Deployment", "name": "web" });
    let mut templated = set.clone();
    templated["spec"] = json!({ "template": { "spec": { "containers": [{ "name": "web" }] } } });
    let scaled_down = json!({ "metadata": { "name": "web", "uid": "d" }, "spec": { "replicas": 0 } });
    let objects = [(Kind::Rollout, taking), (Kind::ReplicaSet, templated), (Kind::Deployment, scaled_down)];
    let namespace = namespace_of(&objects, pods.clone());
    assert_eq!(verdict(&judged_one(&namespace).1), "done");
    assert_eq!(namespace.workloads()[0].template().spec.containers.len(), 1);
    // Where nobody may see Rollouts, what they make stands for itself.
    let (name, status) = judged_one(&namespace_of(&[(Kind::ReplicaSet, set)], pods));
    assert_eq!((name.as_str(), verdict(&status)), ("replicaset/web-abc", "done"));
}

#[test]
fn services_lead_to_pods_by_labels_of_their_template_or_their_own() {
    let template = json!({ "metadata": { "labels": { "app": "db" } } });
    let set = json!({ "metadata": { "name": "db", "uid": "u" }, "spec": { "template": template } });
    let mut pod = pod_of("db-0", Kind::StatefulSet, "u", true);
    // As the controller does.
    pod["metadata"]["labels"] = json!({ "app": "db", "statefulset.kubernetes.io/pod-name": "db-0" });
    let namespace = namespace_of(&[(Kind::StatefulSet, set)], json!([pod]));
    let workloads = namespace.workloads();
    let is_behind = |selector: serde_json::Value| {
        let service = serde_json::from_value(json!({ "spec": { "selector": selector } })).unwrap();
        namespace.is_behind(&service, &workloads[0])
    };
    assert!(is_behind(json!({ "app": "db" })) && is_behind(json!({ "statefulset.kubernetes.io/pod-name": "db-0" })));
    assert!(!is_behind(json!({ "app": "web" })) && !is_behind(json!({})));
}
