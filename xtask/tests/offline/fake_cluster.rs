//! A cluster and a registry played by threads of the test, and a `kubectl` that leads to them.
//!
//! `kubectl proxy --unix-socket=PATH` becomes a link to the test's own socket, so the real program speaks to it
//! as it would to kubectl's.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Fixture, Xtask};

/// When all containers started: long ago for the cluster's clock, which stands still.
const STARTED: &str = "2026-01-01T00:00:00Z";
const DATE: &str = "Fri, 02 Jan 2026 00:00:00 GMT";

/// What the threads share.
pub(crate) struct Shared {
    /// The registry's address.
    registry: String,
    deployments: usize,
    /// Pods are ready from then on; nothing while they never are.
    ready_from: Option<Instant>,
    /// The API server is away between these.
    away: Option<(Instant, Instant)>,
    /// Requests in the order they came: when, and for what.
    requests: Mutex<Vec<(Instant, String)>>,
    /// Probes at once, now and at most.
    probes: Mutex<(usize, usize)>,
    /// From then on it accepts connections and says nothing.
    silent_from: Mutex<Option<Instant>>,
    /// So many probes are answered 503.
    busy: Mutex<usize>,
    /// How long a probe takes.
    probe_time: Mutex<Duration>,
    /// From then on all pods have crashed, and no watch says so.
    crashed_from: Mutex<Option<Instant>>,
}

/// A workspace, a record, and the cluster that runs what it says.
pub(crate) struct FakeCluster {
    pub(crate) fixture: Fixture,
    pub(crate) shared: Arc<Shared>,
}

impl FakeCluster {
    /// With so many Deployments of a pod each, ready after `ready`, and away in `away`.
    pub(crate) fn new(deployments: usize, ready: Option<Duration>, away: Option<(Duration, Duration)>) -> Self {
        let fixture = Fixture::unlocked(&[("Cargo.toml", "[workspace]\nresolver = \"3\"\nmembers = []\n")]);
        let now = Instant::now();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let registry = listener.local_addr().expect("an address").to_string();
        let shared = Arc::new(Shared {
            registry: registry.clone(),
            deployments,
            ready_from: ready.map(|ready| now + ready),
            away: away.map(|(from, to)| (now + from, now + to)),
            requests: Mutex::default(),
            probes: Mutex::default(),
            silent_from: Mutex::default(),
            busy: Mutex::default(),
            probe_time: Mutex::new(Duration::from_millis(30)),
            crashed_from: Mutex::default(),
        });
        let socket = fixture.beside("api");
        serve_unix(UnixListener::bind(&socket).expect("a socket"), Arc::clone(&shared));
        serve_tcp(listener, Arc::clone(&shared));
        let kubectl = format!(
            "#!/bin/sh\ncase \"$*\" in\n\
             *'config view'*) echo '{{\"current-context\":\"fake\",\"contexts\":[],\"clusters\":[]}}' ;;\n\
             proxy*) for option; do case \"$option\" in --unix-socket=*) ln -s '{}' \"${{option#*=}}\" ;; esac; done\n  \
             exec sleep 600 ;;\n\
             apply*) exec sleep 600 ;;\n*) exit 1 ;;\nesac\n",
            socket.display()
        );
        fixture.script("bin/kubectl", &kubectl);
        let record: BTreeMap<String, Value> = (0..deployments).map(|n| (name(n), entry(&registry, n))).collect();
        fixture.write("artifacts/docker/docker-image-digests.json", &json!(record).to_string());
        FakeCluster { fixture, shared }
    }

    /// `smoke`, with further arguments.
    pub(crate) fn smoke(&self, arguments: &str) -> Xtask {
        let bin: PathBuf = self.fixture.path("bin");
        self.fixture.xtask(&format!("smoke --namespace ns --json {arguments}")).path_first(&bin)
    }

    /// After `time` it accepts connections and says nothing.
    pub(crate) fn falls_silent(self, time: Duration) -> Self {
        *self.shared.silent_from.lock().unwrap() = Some(Instant::now() + time);
        self
    }

    /// The first so many probes are answered 503.
    pub(crate) fn answers_busy(self, probes: usize) -> Self {
        *self.shared.busy.lock().unwrap() = probes;
        self
    }

    /// After `time` all pods have crashed again and again, and no watch says so.
    pub(crate) fn crashes_unheard(self, time: Duration) -> Self {
        *self.shared.crashed_from.lock().unwrap() = Some(Instant::now() + time);
        self
    }

    /// Pods take so long to answer.
    pub(crate) fn answers_after(self, time: Duration) -> Self {
        *self.shared.probe_time.lock().unwrap() = time;
        self
    }

    /// When lists and watches came, and for what.
    pub(crate) fn lists_and_watches(&self) -> Vec<(Instant, String)> {
        let all = self.shared.requests.lock().unwrap().clone();
        all.into_iter().filter(|(_, path)| path.contains("/namespaces/ns/") && !path.contains("/proxy/")).collect()
    }

    /// The paths that pods and Services were asked.
    pub(crate) fn probed(&self) -> Vec<String> {
        let all = self.shared.requests.lock().unwrap().clone();
        all.into_iter().map(|(_, path)| path).filter(|path| path.contains("/proxy/")).collect()
    }

    /// The most probes at once.
    pub(crate) fn most_probes(&self) -> usize {
        self.shared.probes.lock().unwrap().1
    }
}

fn name(number: usize) -> String {
    format!("component-{number}")
}

fn digest(number: usize) -> String {
    format!("sha256:{number:064x}")
}

fn entry(registry: &str, number: usize) -> Value {
    let repository = format!("{registry}/{}", name(number));
    json!({
        "repository": repository,
        "digest": digest(number),
        "image": format!("{repository}@{}", digest(number)),
        "gitShaTag": format!("{repository}:sha-0000000"),
        "platforms": { "linux/amd64": { "digest": digest(number), "config": digest(number + 1_000_000), "size": 1 } },
    })
}

impl Shared {
    fn is_ready(&self) -> bool {
        self.ready_from.is_some_and(|from| Instant::now() >= from)
    }

    fn is_silent(&self) -> bool {
        self.silent_from.lock().unwrap().is_some_and(|from| Instant::now() >= from)
    }

    fn is_away(&self) -> bool {
        self.away.is_some_and(|(from, to)| (from..to).contains(&Instant::now()))
    }

    fn objects(&self, resource: &str) -> Vec<Value> {
        let make: fn(&Shared, usize, bool) -> Value = match resource {
            "deployments" => deployment,
            "replicasets" => replica_set,
            "pods" => pod,
            "services" => service,
            _ => return Vec::new(),
        };
        let ready = self.is_ready();
        let mut objects: Vec<_> = (0..self.deployments).map(|number| make(self, number, ready)).collect();
        for object in &mut objects {
            object["metadata"]["resourceVersion"] = json!(if ready { "2" } else { "1" });
        }
        objects
    }
}

fn metadata(kind: &str, number: usize, owner: &str) -> Value {
    json!({
        "name": name(number),
        "uid": format!("{kind}-{number}"),
        "generation": 1,
        "creationTimestamp": STARTED,
        "annotations": { "deployment.kubernetes.io/revision": "1", "padding": "x".repeat(2000) },
        "ownerReferences": [{ "kind": owner, "uid": format!("{owner}-{number}"), "controller": true }],
    })
}

fn spec(shared: &Shared, number: usize) -> Value {
    let probe = |path: &str| json!({ "httpGet": { "path": path, "port": 8080 }, "timeoutSeconds": 25 });
    json!({ "containers": [{
        "name": name(number),
        "image": format!("{}/{}@{}", shared.registry, name(number), digest(number)),
        "readinessProbe": probe("/ready"),
        "livenessProbe": probe("/health"),
    }] })
}

fn deployment(shared: &Shared, number: usize, ready: bool) -> Value {
    json!({
        "metadata": metadata("Deployment", number, "none"),
        "spec": { "template": { "metadata": { "labels": { "app": name(number) } }, "spec": spec(shared, number) } },
        "status": {
            "observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": i32::from(ready),
        },
    })
}

fn replica_set(_shared: &Shared, number: usize, _ready: bool) -> Value {
    json!({ "metadata": metadata("ReplicaSet", number, "Deployment") })
}

fn pod(shared: &Shared, number: usize, ready: bool) -> Value {
    let crashed = shared.crashed_from.lock().unwrap().is_some_and(|from| Instant::now() >= from);
    let ready = ready && !crashed;
    let state = match crashed {
        true => json!({ "waiting": { "reason": "CrashLoopBackOff" } }),
        false => json!({ "running": { "startedAt": STARTED } }),
    };
    let status = if ready { "True" } else { "False" };
    json!({
        "metadata": metadata("pod", number, "ReplicaSet"),
        "spec": spec(shared, number),
        "status": {
            "phase": "Running",
            "conditions": [{ "type": "Ready", "status": status, "lastTransitionTime": STARTED }],
            "containerStatuses": [{
                "name": name(number),
                "ready": ready,
                "imageID": format!("docker-pullable://mirror.io/x@{}", digest(number)),
                "restartCount": if crashed { 5 } else { 0 },
                "state": state,
            }],
        },
    })
}

fn service(_shared: &Shared, number: usize, _ready: bool) -> Value {
    json!({
        "metadata": metadata("service", number, "none"),
        "spec": { "selector": { "app": name(number) }, "ports": [{ "name": "web", "port": 80, "targetPort": 8080 }] },
    })
}

type Handler<S> = fn(&Shared, &str, &mut S);

fn serve_unix(listener: UnixListener, shared: Arc<Shared>) {
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (shared, stream) = (Arc::clone(&shared), stream.expect("a connection"));
            std::thread::spawn(move || answer(&shared, stream, api));
        }
    });
}

fn serve_tcp(listener: TcpListener, shared: Arc<Shared>) {
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (shared, stream) = (Arc::clone(&shared), stream.expect("a connection"));
            std::thread::spawn(move || answer(&shared, stream, registry));
        }
    });
}

fn answer<S: Read + Write>(shared: &Shared, stream: S, handler: Handler<S>) {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    // A connection that only looked whether somebody is there.
    if reader.read_line(&mut first).unwrap_or(0) == 0 {
        return;
    }
    let mut line = String::from("-");
    while !line.trim().is_empty() {
        line.clear();
        reader.read_line(&mut line).expect("a head");
    }
    let path = first.split(' ').nth(1).expect("a path").to_owned();
    shared.requests.lock().unwrap().push((Instant::now(), path.clone()));
    handler(shared, &path, reader.get_mut());
}

/// Every manifest is there.
fn registry<S: Write>(_shared: &Shared, path: &str, stream: &mut S) {
    let digest = path.rsplit('/').next().expect("a digest");
    // Whoever has heard enough may go.
    let _ = write!(
        stream,
        "HTTP/1.1 200 OK\r\nDocker-Content-Digest: {digest}\r\nContent-Length: 2\r\nConnection: close\r\n\
         Content-Type: application/vnd.oci.image.manifest.v1+json\r\n\r\n"
    );
}

fn api<S: Write>(shared: &Shared, path: &str, stream: &mut S) {
    if shared.is_away() {
        // As `kubectl proxy` answers for it.
        let _ = write!(stream, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n");
        return;
    }
    if shared.is_silent() {
        std::thread::sleep(Duration::from_secs(120));
        return;
    }
    if path.contains("/proxy/") {
        let at_once = |change: fn(&mut (usize, usize))| change(&mut shared.probes.lock().unwrap());
        at_once(|(now, most)| {
            *now += 1;
            *most = (*most).max(*now);
        });
        let time = *shared.probe_time.lock().unwrap();
        std::thread::sleep(time);
        // Whoever has the answer may ask again.
        at_once(|(now, _)| *now -= 1);
        let mut busy = shared.busy.lock().unwrap();
        if *busy > 0 {
            *busy -= 1;
            let _ = write!(stream, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy");
            return;
        }
        let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        return;
    }
    let resource = path.split('?').next().and_then(|path| path.rsplit('/').next()).expect("a resource");
    if path.contains("watch=1") {
        return watch(shared, resource, path.contains("resourceVersion=2"), stream);
    }
    let version = if shared.is_ready() { "2" } else { "1" };
    let list = json!({ "metadata": { "resourceVersion": version }, "items": shared.objects(resource) }).to_string();
    let _ = write!(stream, "HTTP/1.1 200 OK\r\nDate: {DATE}\r\nContent-Length: {}\r\n\r\n{list}", list.len());
}

/// Tells of every object once, when all become ready, unless the watcher knows already; ends when the API
/// server goes away.
fn watch<S: Write>(shared: &Shared, resource: &str, mut is_told: bool, stream: &mut S) {
    let head = format!("HTTP/1.1 200 OK\r\nDate: {DATE}\r\nTransfer-Encoding: chunked\r\n\r\n");
    if stream.write_all(head.as_bytes()).is_err() {
        return;
    }
    let begun = Instant::now();
    while !shared.is_away() && begun.elapsed() < Duration::from_secs(30) {
        if shared.is_ready() && !is_told && !shared.is_silent() {
            is_told = true;
            for object in shared.objects(resource) {
                let line = json!({ "type": "MODIFIED", "object": object }).to_string() + "\n";
                if write!(stream, "{:x}\r\n{line}\r\n", line.len()).is_err() {
                    return;
                }
            }
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
