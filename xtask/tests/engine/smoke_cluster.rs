//! `smoke` and the cluster around the Deployments: API server, rights, namespaces, probes of all kinds.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::parts::{processes, run, wait_for};
use crate::stage::{Stage, Workload, alpha, beta, context, find, kubeconfig, kubectl, service, settings};

/// A way to the API server that can be cut.
struct Gate {
    address: String,
    is_shut: Arc<AtomicBool>,
    /// Connections let through, and connections cut.
    opened: Arc<AtomicUsize>,
    cut: Arc<AtomicUsize>,
}

impl Gate {
    fn open() -> Self {
        let server = kubectl(&["config", "view", "--minify", "--output=jsonpath={.clusters[0].cluster.server}"]);
        let server = server.trim_start_matches("https://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("https://{}", listener.local_addr().unwrap());
        let is_shut = Arc::new(AtomicBool::new(false));
        let [opened, cut] = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
        let gate = Gate { address, is_shut: Arc::clone(&is_shut), opened: Arc::clone(&opened), cut: Arc::clone(&cut) };
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.unwrap();
                if is_shut.load(Ordering::SeqCst) {
                    continue;
                }
                let Ok(server) = TcpStream::connect(&server) else { continue };
                opened.fetch_add(1, Ordering::SeqCst);
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let (is_shut, cut) = (Arc::clone(&is_shut), Arc::clone(&cut));
                    std::thread::spawn(move || {
                        from.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
                        let mut bytes = [0; 16 * 1024];
                        loop {
                            if is_shut.load(Ordering::SeqCst) {
                                cut.fetch_add(1, Ordering::SeqCst);
                                break;
                            }
                            match from.read(&mut bytes) {
                                Ok(0) => break,
                                Ok(count) if to.write_all(&bytes[..count]).is_err() => break,
                                Ok(_) => {}
                                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                                Err(_) => break,
                            }
                        }
                        let _ = from.shutdown(Shutdown::Both);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        gate
    }

    /// Shuts it for five seconds, a moment after the next connection.
    fn interrupt(&self) {
        let before = self.opened.load(Ordering::SeqCst);
        wait_for("connection", Duration::from_secs(60), || self.opened.load(Ordering::SeqCst) > before);
        std::thread::sleep(Duration::from_millis(1200));
        self.is_shut.store(true, Ordering::SeqCst);
        std::thread::sleep(Duration::from_secs(5));
        self.is_shut.store(false, Ordering::SeqCst);
    }
}

#[test]
#[ignore = "needs a cluster, a registry and skopeo"]
fn an_api_server_that_is_away_for_a_while_changes_nothing() {
    let stage = Stage::new("away");
    let gate = Gate::open();
    let config = kubeconfig(stage.fixture.root(), Some(&gate.address), None);
    // Ready, and failing, only after the API server was away.
    let late = Workload::new("alpha", &alpha().pinned()).env("SLEEP", "10");
    stage.deploy(late);
    let report = std::thread::scope(|scope| {
        scope.spawn(|| gate.interrupt());
        stage.smoke("--json --timeout 60s").env("KUBECONFIG", &config).ok().json()
    });
    assert!(gate.cut.load(Ordering::SeqCst) > 0, "nothing was cut");
    assert!(report["seconds"].as_f64().unwrap() > 5.0, "{report:#}");
    stage.deploy(Workload::new("alpha", &alpha().pinned()).env("SLEEP", "10").env("EXIT", "1"));
    let output = std::thread::scope(|scope| {
        scope.spawn(|| gate.interrupt());
        stage.smoke("--json --timeout 60s").env("KUBECONFIG", &config).fails()
    });
    let found = find(&output.json(), "rollout", "failing-exit").or(find(&output.json(), "rollout", "crash-loop"));
    assert!(found.is_some(), "{}", output.stdout);
    // Away for good.
    gate.is_shut.store(true, Ordering::SeqCst);
    let output = stage.smoke("--timeout 6s").env("KUBECONFIG", &config).fails();
    output.says("gives no answer to use").says("kubectl cluster-info");
}

/// A user of the namespace with these rights: a copy of the kubeconfig with its token.
fn user(stage: &Stage, name: &str, rules: Value) -> std::path::PathBuf {
    stage.kubectl(&format!("create serviceaccount {name}"));
    stage.apply(&json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": { "name": name }, "rules": rules,
    }));
    stage.kubectl(&format!("create rolebinding {name} --role={name} --serviceaccount={}:{name}", stage.namespace));
    let mut token = String::new();
    wait_for("token", Duration::from_secs(30), || {
        let secrets = stage.kubectl("get secrets --output=json");
        let secrets: Value = serde_json::from_str(&secrets).unwrap();
        let own = secrets["items"].as_array().unwrap().iter().find(|secret| {
            secret["metadata"]["annotations"]["kubernetes.io/service-account.name"] == name
                && secret["data"]["token"].is_string()
        });
        let Some(own) = own else { return false };
        let name = own["metadata"]["name"].as_str().unwrap().to_owned();
        token = stage.kubectl(&format!("get secret {name} --output=go-template={{{{.data.token|base64decode}}}}"));
        true
    });
    kubeconfig(stage.fixture.root(), None, Some(&token))
}

/// Exactly the rights that the documentation names.
fn documented_rights() -> Value {
    json!([
        { "apiGroups": [""], "resources": ["pods", "services", "events"], "verbs": ["list", "watch"] },
        {
            "apiGroups": ["apps"],
            "resources": ["deployments", "replicasets", "statefulsets", "daemonsets"],
            "verbs": ["list", "watch"],
        },
        { "apiGroups": ["batch"], "resources": ["jobs", "cronjobs"], "verbs": ["list", "watch"] },
        { "apiGroups": [""], "resources": ["pods/log", "pods/proxy", "services/proxy"], "verbs": ["get"] },
    ])
}

#[test]
#[ignore = "needs a cluster, a registry and skopeo"]
fn the_documented_rights_suffice_and_missing_ones_are_named() {
    let stage = Stage::new("rights");
    stage.deploy(Workload::new("alpha", &alpha().pinned()));
    stage.apply(&service("alpha"));
    let full = user(&stage, "full", documented_rights());
    let report = stage.smoke("--json").env("KUBECONFIG", &full).ok().json();
    assert!(find(&report, "health", "ok").is_some(), "{report:#}");

    // Each of them is needed, and named when it is missing.
    let rules = documented_rights();
    let all = rules.as_array().unwrap().iter().enumerate();
    let rights = all.flat_map(|(at, rule)| rule["resources"].as_array().unwrap().iter().map(move |right| (at, right)));
    let rights: Vec<_> = rights.filter(|(_, right)| *right != "pods/log").collect();
    for (number, (at, right)) in rights.iter().enumerate() {
        let mut rules = rules.clone();
        rules[at]["resources"].as_array_mut().unwrap().retain(|other| other != *right);
        let user = user(&stage, &format!("less-{number}"), rules);
        let right = right.as_str().unwrap();
        let output = stage.smoke("").env("KUBECONFIG", &user).fails();
        match right.contains('/') {
            true => output.says(&format!("smoke lacks the right to get on {right}")),
            false => output.says(&format!("cannot list resource \"{right}\"")).says("smoke needs list and watch"),
        };
    }
    let mut rules = documented_rights();
    rules[3]["resources"].as_array_mut().unwrap().retain(|right| right != "pods/log");
    let deaf = user(&stage, "deaf", rules);
    for verb in ["list", "watch"] {
        let mut rules = documented_rights();
        rules[0]["verbs"] = json!([verb]);
        let user = user(&stage, &format!("only-{verb}"), rules);
        stage.smoke("").env("KUBECONFIG", &user).fails().says("smoke needs list and watch");
    }
    stage.deploy(Workload::new("alpha", &alpha().pinned()).env("EXIT", "1"));
    let output = stage.smoke("").env("KUBECONFIG", &deaf).fails();
    output.says("cannot be read: a right is missing").says("pods/log");
    // A failure is explained as well with the rights that the documentation names.
    let output = stage.smoke("").env("KUBECONFIG", &full).fails();
    output.says("about to exit with 1");
}

#[test]
#[ignore = "needs a cluster, a registry and skopeo"]
fn what_is_missing_is_named_with_its_mend() {
    let stage = Stage::without_namespace("none");
    stage.smoke("").fails().says(&format!("namespace `{}` does not exist in context", stage.namespace)).says("--apply");
    stage.smoke("--context nowhere").fails().says("no context `nowhere`").says("known contexts: lab");
    stage.smoke("").env("KUBECONFIG", "/dev/null").fails().says("kubectl knows no cluster").says("use-context");
    stage.smoke("").env("PATH", "/nonexistent").env("CARGO", env!("CARGO")).fails().says("`kubectl` is not installed");
    std::fs::remove_dir_all(stage.fixture.path("artifacts")).unwrap();
    stage.smoke("").fails().says("there is no digest record").says("no manifest names an image of ours");
    stage.smoke("--apply").fails().says("there is nothing to apply: no manifest in `k8s`");
}

#[test]
#[ignore = "needs a cluster, a registry and skopeo"]
fn two_runs_at_once_do_not_disturb_each_other() {
    let stage = Stage::new("two");
    stage.deploy(Workload::new("alpha", &alpha().pinned()).env("SLEEP", "2"));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let smoke = stage.smoke("--json");
            scope.spawn(|| assert_eq!(smoke.ok().json()["passed"], true));
        }
    });
}

#[test]
#[ignore = "needs a cluster, a registry and skopeo"]
fn manifests_are_validated_and_applied() {
    let stage = Stage::without_namespace("apply");
    let namespace = &stage.namespace;
    let object = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } });
    stage.fixture.write("k8s/namespace.yaml", &object.to_string());
    let mut manifest = Workload::new("alpha", &alpha().pinned()).manifest();
    stage.fixture.write("k8s/alpha.yaml", &manifest.to_string());
    let kustomization = format!("namespace: {namespace}\nresources:\n  - namespace.yaml\n  - alpha.yaml\n");
    stage.fixture.write("k8s/kustomization.yaml", &kustomization);
    // The namespace is known from the manifests.
    let smoke = |arguments: &str| stage.fixture.xtask(&format!("smoke {arguments}"));
    let output = smoke("--apply --dry-run").ok();
    assert!(output.stdout.contains("deployment.apps/alpha created (dry run)"), "{}", output.stdout);
    output.says("does not exist yet, so only kubectl validates");
    let summary = stage.fixture.path("summary.md");
    // Nobody said that this is the cluster.
    smoke("--apply").fails().says("is confirmed by nobody").says("--context");
    stage.fixture.write("Cargo.toml", &settings(&format!("settle = \"1s\"\ncontexts = [\"{}\"]", context())));
    let output = smoke("--apply").env("GITHUB_STEP_SUMMARY", &summary).ok();
    assert!(output.stdout.contains("deployment/alpha  alpha       1     ok       ok        ok"), "{}", output.stdout);
    output.says("apply: deployment.apps/alpha created");
    let summary = stage.fixture.read("summary.md");
    assert!(summary.starts_with(&format!("### Smoke passed: namespace `{namespace}`")), "{summary}");
    let output = smoke("--apply --dry-run").ok();
    assert!(output.stdout.contains("(server dry run)"), "{}", output.stdout);
    manifest["spec"]["template"]["spec"]["containers"][0]["name"] = json!("Not a name");
    stage.fixture.write("k8s/alpha.yaml", &manifest.to_string());
    smoke("--apply --dry-run").fails().says("the manifests are not valid").says("spec.template.spec.containers");
    smoke("--apply").fails().says("not wholly, applied");
    // Nobody asked for `default`.
    stage.fixture.write("k8s/kustomization.yaml", "resources:\n  - alpha.yaml\n");
    smoke("--apply").fails().says("`default` is taken only when it is asked for");
}

#[test]
#[ignore = "needs a cluster, a registry and skopeo"]
fn probes_are_repeated_as_the_manifest_has_them() {
    let stage = Stage::new("probes");
    let probe = |path: &str, headers: Value| json!({ "httpGet": { "path": path, "port": 8080, "httpHeaders": headers }, "periodSeconds": 5 });
    let header = |name: &str, value: &str| json!([{ "name": name, "value": value }]);
    let liveness = |path: &str, headers: Value| {
        let delayed = json!({ "initialDelaySeconds": 600 });
        let mut probe = probe(path, headers);
        probe["initialDelaySeconds"] = delayed["initialDelaySeconds"].clone();
        Workload::new("alpha", &alpha().pinned()).with("livenessProbe", probe)
    };
    for (path, headers) in [
        ("/header", header("X-Probe", "yes")),
        ("/host", header("Host", "probe.example")),
        ("/secret", header("Authorization", "Bearer open")),
        // Not followed.
        ("/moved", json!([])),
    ] {
        stage.deploy(liveness(path, headers));
        let report = stage.passes("");
        assert!(report.to_string().contains(&format!(":8080{path}")), "{report:#}");
    }
    // Kubernetes would find out after ten minutes.
    stage.deploy(liveness("/broken", json!([])));
    let (_, check) = stage.fails_with("", "health", "unhealthy");
    let message = check["message"].as_str().unwrap();
    assert!(message.contains("the application answered 500") && message.contains("from alpha"), "{message}");
    // Without a readiness probe a liveness path may need its time.
    stage.deploy(liveness("/slow", json!([])).with("readinessProbe", Value::Null));
    stage.passes("");
    // A Service that leads elsewhere.
    stage.apply(&service("alpha"));
    stage.kubectl(
        "patch service alpha --patch={\"spec\":{\"ports\":[{\"name\":\"web\",\"port\":80,\"targetPort\":\"http\"}]}}",
    );
    stage.passes("");
}

#[test]
#[ignore = "needs a cluster, a registry and skopeo"]
fn placeholders_pass_only_when_they_are_meant() {
    let stage = Stage::new("placeholder");
    stage.record(&[("alpha", alpha()), ("beta", beta())]);
    stage.deploy(Workload::new("alpha", "nginx:alpine"));
    stage.deploy(Workload::new("beta", &beta().pinned()));
    let (_, check) = stage.fails_with("", "rollout", "placeholder");
    assert!(check["message"].as_str().unwrap().contains("cargo xtask manifests"), "{check}");
    let report = stage.smoke("--json").env("XTASK_IMAGES", "placeholder").ok().json();
    assert!(find(&report, "rollout", "placeholder").is_some(), "{report:#}");
    // What is no placeholder is checked all the same.
    assert!(find(&report, "health", "ok").is_some(), "{report:#}");
    stage.smoke("").env("XTASK_IMAGES", "placholder").fails().says("only `placeholder` means something");
}

#[test]
#[ignore = "needs a cluster, a registry and skopeo"]
fn slow_pods_fail_when_time_is_set() {
    let stage = Stage::new("slow");
    stage.deploy(Workload::new("alpha", &alpha().pinned()).env("SLEEP", "4"));
    let (_, check) = stage.fails_with("--ready-within 2s", "time", "slow");
    assert!(check["message"].as_str().unwrap().contains("allowed are 2 s"), "{check}");
    stage.passes("--ready-within 120s");
}

#[test]
#[ignore = "needs a cluster, a registry and skopeo"]
fn an_interrupt_leaves_nothing_behind() {
    let stage = Stage::new("interrupt");
    stage.deploy(Workload::new("alpha", &alpha().pinned()).env("NEVER_READY", "1"));
    let folder = tempfile::tempdir().unwrap();
    let mut child =
        stage.smoke("").env("TMPDIR", folder.path()).command().stderr(std::process::Stdio::null()).spawn().unwrap();
    let proxies = || processes(&folder.path().to_string_lossy());
    wait_for("kubectl proxy", Duration::from_secs(20), || !proxies().is_empty());
    std::thread::sleep(Duration::from_secs(1));
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    let started = Instant::now();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(started.elapsed() < Duration::from_secs(5));
    wait_for("end of kubectl", Duration::from_secs(5), || proxies().is_empty());
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
    assert!(run("kubectl", &["--namespace", &stage.namespace, "get", "deployment", "alpha"]).success);
}
