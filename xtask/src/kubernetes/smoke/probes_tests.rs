use serde_json::json;

use super::*;
use crate::kubernetes::smoke::state::{Change, Objects, apply};

fn pod(containers: Value) -> Pod {
    serde_json::from_value(json!({ "metadata": { "name": "p" }, "spec": { "containers": containers } })).unwrap()
}

fn container(readiness: Value, liveness: Value) -> Value {
    json!([{
        "name": "c",
        "ports": [{ "name": "http", "containerPort": 8080 }],
        "readinessProbe": readiness,
        "livenessProbe": liveness,
    }])
}

fn get(path: &str, port: Value) -> Value {
    json!({ "httpGet": { "path": path, "port": port } })
}

fn paths(pod: &Pod) -> Vec<String> {
    pod_requests(pod).iter().map(|request| request.api_path("ns", "p")).collect()
}

#[test]
fn ports_become_numbers_and_each_path_is_asked_once() {
    let same = pod(container(get("/ready", json!("http")), get("/ready", json!(8080))));
    assert_eq!(paths(&same), ["/api/v1/namespaces/ns/pods/p:8080/proxy/ready"]);
    let secure = json!({ "httpGet": { "path": "health?full=1", "port": "8443", "scheme": "HTTPS" } });
    let other = pod(container(secure, json!({ "tcpSocket": { "port": 1 } })));
    assert_eq!(paths(&other), ["/api/v1/namespaces/ns/pods/https:p:8443/proxy/health?full=1"]);
}

#[test]
fn what_cannot_be_repeated_is_left_to_the_kubelet() {
    let exec = json!({ "exec": { "command": ["true"] } });
    let elsewhere = json!({ "httpGet": { "host": "example.com", "port": 80 } });
    assert!(paths(&pod(container(exec, elsewhere))).is_empty());
    assert!(paths(&pod(container(get("/", json!("nosuch")), Value::Null))).is_empty());
}

#[test]
fn headers_that_the_api_server_would_change_need_a_forward() {
    for (name, route) in [("HOST", Route::Forward), ("authorization", Route::Forward), ("X-Own", Route::ApiServer)] {
        let probe = json!({ "httpGet": { "port": 8080, "httpHeaders": [{ "name": name, "value": "v" }] } });
        let requests = pod_requests(&pod(container(probe, Value::Null)));
        let request = requests.first().unwrap();
        assert_eq!((request.route, request.path.as_str()), (route, "/"), "{name}");
    }
}

#[test]
fn only_a_liveness_probe_alone_gives_time() {
    let mut liveness = get("/health", json!(8080));
    liveness["initialDelaySeconds"] = json!(5);
    liveness["periodSeconds"] = json!(2);
    let alone = pod_requests(&pod(container(Value::Null, liveness.clone())));
    assert_eq!(alone.first().unwrap().patience, 11);
    let beside = pod_requests(&pod(container(get("/ready", json!(8080)), liveness)));
    assert!(beside.iter().all(|request| request.patience == 0));
}

#[test]
fn services_are_asked_by_port_name() {
    let deployment: Deployment = serde_json::from_value(json!({
        "spec": { "template": {
            "metadata": { "labels": { "app": "a", "tier": "web" } },
            "spec": { "containers": container(get("/ready", json!("http")), get("/health", json!("http"))) },
        } },
    }))
    .unwrap();
    let service = |name: &str, app: &str, ports: Value| {
        serde_json::from_value(
            json!({ "metadata": { "name": name }, "spec": { "selector": { "app": app }, "ports": ports } }),
        )
        .unwrap()
    };
    let mut services = Objects::<Service>::new();
    let all = vec![
        service("named", "a", json!([{ "name": "web", "port": 80, "targetPort": "http" }])),
        service("same", "a", json!([{ "port": 8080 }])),
        service("other-port", "a", json!([{ "port": 80, "targetPort": 9090 }])),
        service("udp", "a", json!([{ "port": 80, "targetPort": 8080, "protocol": "UDP" }])),
        service("foreign", "b", json!([{ "port": 80, "targetPort": "http" }])),
        serde_json::from_value(json!({ "metadata": { "name": "headless" }, "spec": { "ports": [{ "port": 8080 }] } }))
            .unwrap(),
    ];
    apply(&mut services, Change::All(all));
    let found: Vec<_> = service_requests(&deployment, &services).iter().map(|r| r.api_path("ns")).collect();
    assert_eq!(
        found,
        [
            "/api/v1/namespaces/ns/services/named:web/proxy/ready",
            "/api/v1/namespaces/ns/services/same:8080/proxy/ready",
        ]
    );
}
