use serde_json::{Value, json};

use super::*;

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
        assert_eq!((request.route, request.http.path.as_str()), (route, "/"), "{name}");
    }
}

#[test]
fn only_a_liveness_probe_alone_gives_time() {
    let mut liveness = get("/health", json!(8080));
    liveness["initialDelaySeconds"] = json!(5);
    liveness["periodSeconds"] = json!(2);
    let alone = pod_requests(&pod(container(Value::Null, liveness.clone())));
    assert_eq!(alone.first().unwrap().patience, Duration::from_secs(11));
    let beside = pod_requests(&pod(container(get("/ready", json!(8080)), liveness)));
    assert!(beside.iter().all(|request| request.patience.is_zero()));
}

/// A Deployment of [`container`] with the labels `app=a`.
fn deployment() -> Workload {
    serde_json::from_value(json!({
        "metadata": { "name": "a" },
        "spec": { "template": {
            "metadata": { "labels": { "app": "a", "tier": "web" } },
            "spec": { "containers": container(get("/ready", json!("http")), get("/health", json!("http"))) },
        } },
    }))
    .unwrap()
}

fn service(app: &str, ports: Value) -> Service {
    let spec = json!({ "selector": { "app": app }, "ports": ports });
    serde_json::from_value(json!({ "metadata": { "name": "s" }, "spec": spec })).unwrap()
}

#[test]
fn services_are_asked_by_port_name() {
    let workload = deployment();
    let asked = |ports: Value| -> Vec<(String, bool)> {
        let requests = service_requests(&service("a", ports), &[&workload]).unwrap();
        requests.iter().map(|request| (request.api_path("ns"), request.is_port_check)).collect()
    };
    let path = |rest: &str| format!("/api/v1/namespaces/ns/services/s:{rest}");
    let named = json!([{ "name": "web", "port": 80, "targetPort": "http" }]);
    assert_eq!(asked(named), [(path("web/proxy/ready"), false)]);
    assert_eq!(asked(json!([{ "port": 8080 }])), [(path("8080/proxy/ready"), false)]);
    assert_eq!(asked(json!([{ "port": 80, "targetPort": 8080, "protocol": "UDP" }])), []);
    // A port of which no container speaks.
    assert_eq!(asked(json!([{ "port": 80, "targetPort": 9090 }])), [(path("80/proxy/"), true)]);
}

#[test]
fn services_that_lead_nowhere_are_told() {
    let workload = deployment();
    let fault = |service: &Service, workloads: &[&Workload]| service_requests(service, workloads).unwrap_err();
    let (verdict, message) = fault(&service("b", json!([{ "port": 80 }])), &[]);
    assert_eq!((verdict, message.as_str()), ("selects-nothing", "no pods have the labels of its selector, `app=b`"));
    let wrong = service("a", json!([{ "port": 80, "targetPort": "htpp" }]));
    let (verdict, message) = fault(&wrong, &[&workload]);
    assert_eq!(verdict, "wrong-port");
    // A port's name is one for a protocol.
    let udp = service("a", json!([{ "port": 80, "targetPort": "http", "protocol": "UDP" }]));
    assert_eq!(fault(&udp, &[&workload]).0, "wrong-port");
    assert!(
        message.contains("\"htpp\", which no container of deployment/a has; their named ports are: http"),
        "{message}"
    );
    assert!(wrong.selects(workload.pod_labels()) && !service("b", json!([])).selects(workload.pod_labels()));
    let headless: Service = serde_json::from_value(json!({ "spec": { "ports": [{ "port": 1 }] } })).unwrap();
    assert!(!headless.has_selector());
}
