//! A namespace of its own on a real cluster, with a digest record and Deployments to smoke.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};

use crate::parts::{Cleanup, copy, platform, registry, run, tool, unique, wait_for};
use crate::support::{Fixture, Output, Xtask, clean, package, root_manifest};

/// Answers HTTP on port 8080 (or `PORT`), and misbehaves as its environment says.
pub(crate) const PROGRAM: &str = r#"use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

fn main() {
    let set = |name: &str| std::env::var(name).ok();
    println!("this is COMPONENT");
    if let Some(seconds) = set("SLEEP") {
        std::thread::sleep(Duration::from_secs_f64(seconds.parse().unwrap()));
    }
    if let Some(code) = set("EXIT") {
        println!("about to exit with {code}");
        std::process::exit(code.parse().unwrap());
    }
    if let Some(seconds) = set("DIE_AFTER") {
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_secs_f64(seconds.parse().unwrap()));
            std::process::exit(9);
        });
    }
    // The first life ends at once.
    if let Some(marker) = set("FIRST_LIFE_ENDS")
        && !std::path::Path::new(&marker).exists()
    {
        std::fs::write(&marker, "").unwrap();
        std::process::exit(5);
    }
    let mut eaten: Vec<Vec<u8>> = Vec::new();
    while set("EAT").is_some() {
        eaten.push(vec![1; 1 << 20]);
    }
    let started = Instant::now();
    let listener = TcpListener::bind("0.0.0.0:8080").unwrap();
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let mut bytes = [0; 4096];
        let mut head = String::new();
        while !head.contains("\r\n\r\n") {
            match stream.read(&mut bytes) {
                Ok(count) if count > 0 => head.push_str(&String::from_utf8_lossy(&bytes[..count])),
                _ => break,
            }
        }
        let path = head.split(' ').nth(1).unwrap_or_default();
        let has = |text: &str| head.to_lowercase().contains(&text.to_lowercase());
        let (status, more) = match path {
            "/ready" if set("NEVER_READY").is_some() => ("503 Service Unavailable", ""),
            "/slow" if started.elapsed() < Duration::from_secs(4) => ("503 Service Unavailable", ""),
            "/health" | "/ready" | "/slow" => ("200 OK", ""),
            "/moved" => ("302 Found", "Location: /broken\r\n"),
            "/broken" => ("500 Internal Server Error", ""),
            "/host" if has("\r\nhost: probe.example\r\n") => ("200 OK", ""),
            "/secret" if has("\r\nauthorization: bearer open\r\n") => ("200 OK", ""),
            "/header" if has("\r\nx-probe: yes\r\n") => ("200 OK", ""),
            _ => ("404 Not Found", ""),
        };
        let body = format!("{status} from COMPONENT");
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{more}Connection: close\r\n\r\n{body}", body.len());
        let _ = stream.write_all(answer.as_bytes());
        if set("DIE_WHEN_ASKED").is_some() && has("user-agent: cargo-xtask") {
            drop(stream);
            std::process::exit(set("DIE_WHEN_ASKED").unwrap().parse().unwrap());
        }
    }
}
"#;

/// An image in the registry.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    /// `registry/repository`.
    pub(crate) repository: String,
    /// The manifest's.
    pub(crate) digest: String,
    /// The image config's.
    pub(crate) config: String,
}

impl Image {
    /// `registry/repository@digest`.
    pub(crate) fn pinned(&self) -> String {
        format!("{}@{}", self.repository, self.digest)
    }
}

/// The programs' images, built and pushed once. Their content never changes, so they leave nothing new behind.
pub(crate) fn images() -> &'static [Image; 2] {
    static IMAGES: OnceLock<[Image; 2]> = OnceLock::new();
    IMAGES.get_or_init(|| {
        let members = ["alpha", "beta"];
        let fixture = Fixture::unlocked(&[("Cargo.toml", &root_manifest(&members, ""))]);
        for name in members {
            fixture.write(&format!("{name}/Cargo.toml"), &package(name, ""));
            fixture.write(&format!("{name}/src/main.rs"), &PROGRAM.replace("COMPONENT", name));
        }
        fixture.lock();
        // The time of the content, so that it stays the same.
        fixture.build("").env("SOURCE_DATE_EPOCH", "1700000000").ok();
        let layout = fixture.path("target/docker/oci");
        members.map(|name| {
            let repository = format!("{}/xtask-test/smoke-{name}", registry());
            copy(&format!("oci:{}:{name}", layout.display()), &format!("docker://{repository}:test"));
            let digest = fixture.digest(name);
            let blob = layout.join("blobs/sha256").join(digest.trim_start_matches("sha256:"));
            let manifest: Value = serde_json::from_slice(&std::fs::read(blob).expect("a manifest")).expect("JSON");
            let config = manifest["config"]["digest"].as_str().expect("a config").to_owned();
            Image { repository, digest, config }
        })
    })
}

/// The first image.
pub(crate) fn alpha() -> &'static Image {
    &images()[0]
}

/// The second image.
pub(crate) fn beta() -> &'static Image {
    &images()[1]
}

/// A workspace with a record, and a namespace; both go in the end.
pub(crate) struct Stage {
    pub(crate) fixture: Fixture,
    pub(crate) namespace: String,
    pub(crate) cleanup: Cleanup,
}

impl Stage {
    /// A new namespace, and a record that holds `alpha`.
    pub(crate) fn new(name: &str) -> Self {
        let stage = Stage::without_namespace(name);
        kubectl(&["create", "namespace", &stage.namespace]);
        // Pods need the account that the cluster gives each namespace.
        wait_for("service account", Duration::from_secs(60), || {
            run("kubectl", &["--namespace", &stage.namespace, "get", "serviceaccount", "default"]).success
        });
        stage
    }

    /// As [`Stage::new`], with the namespace still to be made.
    pub(crate) fn without_namespace(name: &str) -> Self {
        let namespace = unique(&format!("smoke-{name}"));
        let mut cleanup = Cleanup::default();
        cleanup.add(&format!("kubectl delete namespace {namespace} --ignore-not-found --wait=false"));
        let fixture = Fixture::unlocked(&[("Cargo.toml", &settings("settle = \"1s\""))]);
        let stage = Stage { fixture, namespace, cleanup };
        stage.record(&[("alpha", alpha())]);
        stage
    }

    /// Writes the digest record.
    pub(crate) fn record(&self, entries: &[(&str, &Image)]) {
        let mut record = json!({});
        for (name, image) in entries {
            let Image { repository, digest, config } = image;
            let platforms = json!({ platform(): { "digest": digest, "config": config, "size": 1 } });
            record[*name] = entry(repository, digest, platforms);
        }
        self.write_record(&record);
    }

    /// Writes a record made by hand.
    pub(crate) fn write_record(&self, record: &Value) {
        self.fixture.write("artifacts/docker/docker-image-digests.json", &record.to_string());
    }

    /// `smoke` of the namespace, with further arguments.
    pub(crate) fn smoke(&self, arguments: &str) -> Xtask {
        self.fixture.xtask(&format!("smoke --namespace {} {arguments}", self.namespace))
    }

    /// Demands that smoke fails, with `verdict` (one of several, `a|b`) of the check `name`; gives the run and
    /// the check.
    #[track_caller]
    pub(crate) fn fails_with(&self, arguments: &str, name: &str, verdict: &str) -> (Output, Value) {
        let output = self.smoke(&format!("--json {arguments}")).fails();
        let report = output.json();
        assert_eq!(report["passed"], false);
        let check = verdict.split('|').find_map(|verdict| find(&report, name, verdict));
        let check = check.unwrap_or_else(|| panic!("no {name} {verdict} in {report:#}\n{}", output.stderr));
        (output, check)
    }

    /// Demands that smoke passes, and gives its report.
    #[track_caller]
    pub(crate) fn passes(&self, arguments: &str) -> Value {
        let report = self.smoke(&format!("--json {arguments}")).ok().json();
        assert_eq!(report["passed"], true);
        report
    }

    /// kubectl in the namespace.
    #[track_caller]
    pub(crate) fn kubectl(&self, arguments: &str) -> String {
        let namespace = ["--namespace", &self.namespace];
        kubectl(&[&namespace[..], &arguments.split_whitespace().collect::<Vec<_>>()].concat())
    }

    /// Applies a manifest.
    #[track_caller]
    pub(crate) fn apply(&self, manifest: &Value) {
        apply(&self.namespace, manifest);
    }

    /// Applies a Deployment.
    #[track_caller]
    pub(crate) fn deploy(&self, workload: Workload) {
        self.apply(&workload.manifest());
    }
}

/// A workspace without members, with settings of `smoke`.
pub(crate) fn settings(smoke: &str) -> String {
    format!("[workspace]\nresolver = \"3\"\nmembers = []\n\n[workspace.metadata.docker.smoke]\n{smoke}\n")
}

/// kubectl's current context.
pub(crate) fn context() -> String {
    kubectl(&["config", "current-context"]).trim().to_owned()
}

/// A record's entry.
pub(crate) fn entry(repository: &str, digest: &str, platforms: Value) -> Value {
    json!({
        "repository": repository,
        "digest": digest,
        "image": format!("{repository}@{digest}"),
        "gitShaTag": format!("{repository}:sha-0000000"),
        "platforms": platforms,
    })
}

/// The check of a report that says `verdict`.
pub(crate) fn find(report: &Value, name: &str, verdict: &str) -> Option<Value> {
    let workloads = report["workloads"].as_array().expect("a list");
    let lists = workloads.iter().map(|workload| &workload["checks"]).chain([&report["checks"]]);
    let mut checks = lists.flat_map(|checks| checks.as_array().expect("a list"));
    checks.find(|check| check["name"] == name && check["verdict"] == verdict).cloned()
}

/// Runs kubectl.
#[track_caller]
pub(crate) fn kubectl(arguments: &[&str]) -> String {
    tool("kubectl", arguments)
}

/// Applies a manifest through kubectl's standard input.
#[track_caller]
pub(crate) fn apply(namespace: &str, manifest: &Value) {
    use std::io::Write;
    let mut command = Command::new("kubectl");
    clean(&mut command, Path::new("/"));
    command.args(["--namespace", namespace, "apply", "--filename=-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("kubectl");
    child.stdin.take().expect("a pipe").write_all(manifest.to_string().as_bytes()).expect("kubectl reads");
    assert!(child.wait().expect("an end").success(), "kubectl apply failed:\n{manifest:#}");
}

/// A Deployment of one container, probed on `/ready` and `/health`.
pub(crate) struct Workload {
    name: String,
    replicas: u32,
    spec: Value,
    container: Value,
}

impl Workload {
    /// One pod of `image`, in a container of the Deployment's name.
    pub(crate) fn new(name: &str, image: &str) -> Self {
        let probe = |path: &str| json!({ "httpGet": { "path": path, "port": "http" }, "periodSeconds": 5 });
        let container = json!({
            "name": name,
            "image": image,
            "ports": [{ "name": "http", "containerPort": 8080 }],
            "readinessProbe": probe("/ready"),
            "livenessProbe": probe("/health"),
        });
        Workload { name: name.to_owned(), replicas: 1, spec: json!({}), container }
    }

    /// With so many pods.
    pub(crate) fn replicas(mut self, replicas: u32) -> Self {
        self.replicas = replicas;
        self
    }

    /// With a variable of the container.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        match self.container["env"].as_array_mut() {
            Some(list) => list.push(json!({ "name": name, "value": value })),
            None => self.container["env"] = json!([{ "name": name, "value": value }]),
        }
        self
    }

    /// With a field of the container.
    pub(crate) fn with(mut self, field: &str, value: Value) -> Self {
        self.container[field] = value;
        self
    }

    /// Without probes.
    pub(crate) fn unprobed(self) -> Self {
        self.with("readinessProbe", Value::Null).with("livenessProbe", Value::Null)
    }

    /// With a field of the pod.
    pub(crate) fn pod(mut self, field: &str, value: Value) -> Self {
        self.spec[field] = value;
        self
    }

    /// The manifest of another kind, whose spec has these fields beside the pods' template.
    pub(crate) fn of_kind(&self, api_version: &str, kind: &str, more: Value) -> Value {
        let mut manifest = self.manifest();
        (manifest["apiVersion"], manifest["kind"]) = (json!(api_version), json!(kind));
        let spec = manifest["spec"].as_object_mut().expect("a spec");
        if kind != "StatefulSet" && kind != "ReplicaSet" {
            spec.remove("replicas");
        }
        if kind.ends_with("Job") {
            spec.remove("selector");
        }
        if kind == "CronJob" {
            let template = spec.remove("template");
            spec.insert("jobTemplate".into(), json!({ "spec": { "template": template, "backoffLimit": 0 } }));
        }
        for (name, value) in more.as_object().into_iter().flatten() {
            spec.insert(name.clone(), value.clone());
        }
        manifest
    }

    /// The manifest.
    pub(crate) fn manifest(&self) -> Value {
        let mut pod = self.spec.clone();
        pod["containers"] = json!([self.container]);
        // Pods on their way out fail their probes, and the kubelet reports only five events a second.
        pod["terminationGracePeriodSeconds"] = json!(0);
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": { "name": self.name },
            "spec": {
                "replicas": self.replicas,
                "selector": { "matchLabels": { "app": self.name } },
                "template": { "metadata": { "labels": { "app": self.name } }, "spec": pod },
            },
        })
    }
}

/// A Service in front of a [`Workload`].
pub(crate) fn service(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": name },
        "spec": { "selector": { "app": name }, "ports": [{ "name": "web", "port": 80, "targetPort": "http" }] },
    })
}

/// A copy of the kubeconfig with its server replaced, and a user's token instead of the admin's, if given.
pub(crate) fn kubeconfig(folder: &Path, server: Option<&str>, token: Option<&str>) -> PathBuf {
    let text = kubectl(&["config", "view", "--raw", "--minify", "--flatten", "--output=json"]);
    let mut config: Value = serde_json::from_str(&text).expect("JSON");
    let cluster = &mut config["clusters"][0]["cluster"];
    if let Some(server) = server {
        cluster["server"] = json!(server);
    }
    if let Some(token) = token {
        config["users"][0]["user"] = json!({ "token": token });
    }
    let name = unique("kubeconfig");
    let path = folder.join(format!("{name}.json"));
    crate::support::write(&path, &config.to_string());
    path
}

/// The lines of a failure's details.
pub(crate) fn detail_lines(check: &Value) -> String {
    let mut text = String::new();
    for line in check["details"].as_array().into_iter().flatten() {
        let _ = writeln!(text, "{}", line.as_str().expect("a line"));
    }
    text
}
