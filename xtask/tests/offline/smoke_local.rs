//! `smoke --local`: real programs out of real images, run as manifests say, and gone afterwards.
#![cfg(target_os = "linux")]

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::support::{Fixture, Xtask, package, succeed};

/// Serves HTTP on `LISTEN` (or 127.0.0.1:8099 when nothing tells it); variables decide how it does.
const PROGRAM: &str = r#"
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if let [word, path] = &arguments[..] {
        if word == "write" {
            std::fs::write(path, "written before").unwrap();
            return;
        }
    }
    if arguments == ["check"] {
        std::process::exit(variable("CHECK").parse().unwrap());
    }
    if !variable("PANIC").is_empty() {
        let milliseconds = variable("PANIC").parse().unwrap();
        std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(milliseconds));
            eprintln!("panicked at last");
            std::process::exit(101);
        });
    }
    println!("starting with {arguments:?}");
    if !variable("EXIT").is_empty() {
        eprintln!("cannot go on: no luck");
        std::process::exit(variable("EXIT").parse().unwrap());
    }
    if !variable("FILE").is_empty() {
        println!("file: {}", std::fs::read_to_string(variable("FILE")).unwrap());
    }
    let listen = if variable("LISTEN").is_empty() { "127.0.0.1:8099".to_owned() } else { variable("LISTEN") };
    let listener = TcpListener::bind(&listen).unwrap();
    println!("listening on {listen}");
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let mut request = [0; 4096];
        let length = stream.read(&mut request).unwrap_or(0);
        let request = String::from_utf8_lossy(&request[..length]).into_owned();
        let good = if request.starts_with("GET /health ") {
            true
        } else {
            let upstream = variable("UPSTREAM");
            variable("NEVER").is_empty() && (upstream.is_empty() || TcpStream::connect(&upstream).is_ok())
        };
        let answer = if good { "200 OK\r\nContent-Length: 0\r\n\r\n" } else { "503 Busy\r\nContent-Length: 8\r\n\r\nnot yet\n" };
        let _ = stream.write_all(format!("HTTP/1.1 {answer}").as_bytes());
    }
}
"#;

/// A Deployment `name` of `component` and a Service in front of it; `more` are lines of the container.
fn manifest(name: &str, component: &str, more: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {name}\n  namespace: shop\nspec:\n  template:\n    \
         metadata:\n      labels: {{app: {name}}}\n    spec:\n      containers:\n        - name: {name}\n          \
         image: localhost:5000/{component}:main\n          ports: [{{name: http, containerPort: 8080}}]\n          \
         livenessProbe: {{httpGet: {{path: /health, port: http}}}}\n          \
         readinessProbe: {{httpGet: {{path: /ready, port: http}}}}\n{}\n---\nkind: Service\nmetadata: {{name: {name}, \
         namespace: shop}}\nspec:\n  selector: {{app: {name}}}\n  ports: [{{port: 80, targetPort: http}}]\n",
        more.lines().map(|line| format!("          {line}")).collect::<Vec<_>>().join("\n")
    )
}

const LISTEN: &str = "env: [{name: LISTEN, value: '0.0.0.0:8080'}]";

fn with(variables: &str) -> String {
    LISTEN.replace("}]", &format!("}}, {variables}]"))
}

/// A workspace with the programs `api` and `web`.
fn sources() -> Fixture {
    let fixture = Fixture::simple(&["api", "web"]);
    for member in ["api", "web"] {
        fixture.write(&format!("{member}/src/main.rs"), PROGRAM);
    }
    let metadata = "[package.metadata.docker]\nassets = [{ from = \"web/page.html\", to = \"/app/page.html\" }]\n";
    fixture.write("web/Cargo.toml", &package("web", metadata)).write("web/page.html", "the page");
    fixture
}

/// The same with its images, which are built once for all tests.
fn workspace() -> Fixture {
    static LAYOUT: OnceLock<PathBuf> = OnceLock::new();
    let layout = LAYOUT.get_or_init(|| {
        let fixture = sources();
        fixture.build("").ok();
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("smoke-local-oci");
        // Of an earlier run.
        let _ = fs::remove_dir_all(&kept);
        succeed(Command::new("cp").arg("-R").arg(fixture.path("target/docker/oci")).arg(&kept));
        kept
    });
    let fixture = sources();
    fs::create_dir_all(fixture.path("target/docker")).unwrap();
    succeed(Command::new("cp").arg("-R").arg(layout).arg(fixture.path("target/docker/oci")));
    fixture
}

/// The verdicts by program.
fn verdicts(run: &crate::support::Output) -> Vec<(String, String, String)> {
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let list = run.json();
    let verdicts = list.as_array().expect("a list").iter();
    verdicts.map(|one| (text(one, "name"), text(one, "state"), text(one, "message"))).collect()
}

fn smoke(fixture: &Fixture, more: &str) -> Xtask {
    let timeout = if more.contains("--timeout") { "" } else { "--timeout 20s" };
    fixture.xtask(&format!("smoke --local --json {timeout} {more}"))
}

fn left(fixture: &Fixture) -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    let works_here = |path: &std::path::PathBuf| {
        let is_alive = !fs::read_to_string(path.join("stat")).unwrap_or_default().contains(") Z ");
        is_alive && fs::read_link(path.join("cwd")).is_ok_and(|cwd| cwd.starts_with(fixture.root()))
    };
    entries.filter(works_here).map(|path| path.display().to_string()).collect()
}

#[track_caller]
fn nothing_is_left(fixture: &Fixture) {
    assert_eq!(left(fixture), Vec::<String>::new());
    let unfinished = fixture.path("target/docker/tmp").read_dir().map_or(0, Iterator::count);
    assert_eq!(unfinished, 0, "temporary folders");
}

#[test]
fn programs_find_each_other_and_get_ready_on_free_ports() {
    let fixture = workspace();
    fixture.write("k8s/api.yaml", &manifest("api", "api", LISTEN));
    let upstream =
        with("{name: UPSTREAM, value: 'api.shop.svc.cluster.local:80'}, {name: FILE, value: /app/page.html}");
    fixture.write("k8s/web.yaml", &manifest("web", "web", &upstream));
    let run = smoke(&fixture, "--ready-within 15s").ok();
    let list = run.json();
    for (program, name) in list.as_array().unwrap().iter().zip(["api", "web"]) {
        assert_eq!((&program["name"], &program["state"]), (&name.into(), &"ready".into()), "{list:#}");
        assert_eq!(program["digest"], fixture_digest(&fixture, name));
        assert!(!program["address"].as_str().unwrap().ends_with(":8080"), "{list:#}");
        assert!(program["readySeconds"].as_f64().unwrap() >= program["healthSeconds"].as_f64().unwrap());
    }
    let log = fixture.read("target/docker/smoke-local/web.log");
    assert!(log.contains("file: the page\n"), "{log}");
    nothing_is_left(&fixture);
    let table = fixture.xtask("smoke --local").ok().stdout;
    assert!(
        table.starts_with("PROGRAM  IMAGE") && table.lines().count() == 3 && table.contains("  ready\n"),
        "{table}"
    );
}

fn fixture_digest(fixture: &Fixture, name: &str) -> Value {
    crate::support::image::descriptor(&fixture.path("target/docker/oci"), name)["digest"].clone()
}

#[test]
fn a_program_that_ends_is_told_with_its_code_and_the_end_of_its_log() {
    let fixture = workspace();
    fixture.write("k8s/api.yaml", &manifest("api", "api", &with("{name: EXIT, value: '3'}")));
    fixture.write("k8s/web.yaml", &manifest("web", "web", LISTEN));
    let run = smoke(&fixture, "").fails().says("error: 1 of 2 failed").says("  | cannot go on: no luck\n");
    let found = verdicts(&run);
    assert_eq!(found[0], ("api".into(), "exited".into(), "exit status: 3".into()));
    assert_eq!(found[1].1, "ready", "the other one is looked at all the same");
    nothing_is_left(&fixture);
}

#[test]
fn a_program_that_never_gets_ready_is_told_with_its_answer() {
    let fixture = workspace();
    fixture.write("k8s/api.yaml", &manifest("api", "api", &with("{name: NEVER, value: 'yes'}")));
    let run = smoke(&fixture, "--timeout 1s").fails();
    let (_, state, message) = verdicts(&run).remove(0);
    assert_eq!(state, "not-ready");
    assert!(
        message.starts_with("GET http://127.0.0.1:") && message.ends_with("/ready: 503 Service Unavailable: not yet"),
        "{message}"
    );
    nothing_is_left(&fixture);
}

#[test]
fn slow_is_a_failure_where_a_limit_is_given() {
    let fixture = workspace();
    fixture.write("k8s/api.yaml", &manifest("api", "api", LISTEN));
    let run = smoke(&fixture, "--ready-within 1ms").fails();
    assert_eq!(verdicts(&run)[0].1, "slow");
}

#[test]
fn an_image_that_was_not_built_is_named_with_what_builds_it() {
    let fixture = workspace();
    fixture.write("k8s/api.yaml", &manifest("api", "api", LISTEN)).remove("target/docker/oci");
    let run = smoke(&fixture, "").fails();
    let (_, state, message) = verdicts(&run).remove(0);
    assert_eq!(state, "no-image");
    assert!(
        message.contains("no image `api` in `") && message.contains("`cargo xtask docker-build api` makes it"),
        "{message}"
    );
}

#[test]
fn a_program_that_nobody_tells_its_port_needs_that_port() {
    let fixture = workspace();
    let untold = manifest("api", "api", "").replace("8080", "8099");
    fixture.write("k8s/api.yaml", &untold);
    let taken = TcpListener::bind("127.0.0.1:8099").expect("port 8099 is free for this test");
    let run = smoke(&fixture, "").fails();
    let (_, state, message) = verdicts(&run).remove(0);
    assert_eq!(state, "cannot-start");
    assert!(message.starts_with("port 8099 is taken, and nothing tells `api` to listen elsewhere"), "{message}");
    drop(taken);
    let run = smoke(&fixture, "").ok();
    assert_eq!(run.json()[0]["address"], "127.0.0.1:8099");
}

#[test]
fn an_answer_of_another_program_is_none() {
    let fixture = workspace();
    for name in ["api", "web"] {
        fixture.write(&format!("k8s/{name}.yaml"), &manifest(name, name, "").replace("8080", "8099"));
    }
    let run = smoke(&fixture, "").fails();
    let states: Vec<_> = verdicts(&run).into_iter().map(|(_, state, _)| state).collect();
    assert!(!states.iter().all(|state| state == "ready"), "{states:?}");
    // One that goes on although somebody else has its port.
    let fixture = workspace();
    fixture.write("k8s/api.yaml", &manifest("api", "api", LISTEN));
    let other = "env: [{name: LISTEN, value: '127.0.0.1:0'}]\nlivenessProbe: {tcpSocket: {port: 8099}}";
    let web = manifest("web", "web", other)
        .replace("8080", "8098")
        .replace("          livenessProbe: {httpGet: {path: /health, port: http}}\n", "");
    fixture.write("k8s/web.yaml", &web);
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = elsewhere.local_addr().unwrap().port().to_string();
    fixture.write("k8s/web.yaml", &web.replace("8099", &port).replace("8098", &port));
    let run = smoke(&fixture, "--timeout 3s").fails();
    let (_, state, message) = verdicts(&run).into_iter().find(|(name, ..)| name == "web").unwrap();
    assert!(
        state != "ready" && (message.contains("another one listens on port") || message.contains("is taken")),
        "{state}: {message}"
    );
    nothing_is_left(&fixture);
}

#[test]
fn a_program_that_ends_soon_after_it_got_ready_is_no_success() {
    let fixture = workspace();
    fixture.write("k8s/api.yaml", &manifest("api", "api", &with("{name: PANIC, value: '700'}")));
    let run = smoke(&fixture, "").fails().says("panicked at last");
    assert_eq!(verdicts(&run)[0].1, "exited");
}

#[test]
fn exec_probes_run_in_the_image() {
    let probe = |check: &str| {
        let more =
            with(&format!("{{name: CHECK, value: '{check}'}}")) + "\nstartupProbe: {exec: {command: [api, check]}}";
        manifest("api", "api", &more)
    };
    let fixture = workspace();
    fixture.write("k8s/api.yaml", &probe("0"));
    smoke(&fixture, "").ok();
    fixture.write("k8s/api.yaml", &probe("3"));
    let run = smoke(&fixture, "--timeout 2s").fails();
    let (_, state, message) = verdicts(&run).remove(0);
    assert_eq!(state, "unhealthy");
    assert!(message.contains("exit status: 3"), "{message}");
    fixture.write("k8s/api.yaml", &probe("0").replace("[api, check]", "[cat, /tmp/x]"));
    let run = smoke(&fixture, "").fails();
    assert_eq!(verdicts(&run)[0].2, "a probe runs `cat`, which is not in the image");
}

#[test]
fn an_image_older_than_its_sources_is_said_so() {
    let fixture = workspace();
    fixture.write("k8s/api.yaml", &manifest("api", "api", LISTEN));
    assert_eq!(verdicts(&smoke(&fixture, "").ok())[0].2, "");
    fixture.append("api/src/main.rs", "// Changed.\n");
    let message = verdicts(&smoke(&fixture, "").ok()).remove(0).2;
    assert_eq!(message, "its image is older than its sources: `cargo xtask docker-build api`");
    fixture.build("api").ok();
    assert_eq!(verdicts(&smoke(&fixture, "").ok())[0].2, "");
}

#[test]
fn programs_may_run_on_until_an_interrupt() {
    let fixture = workspace();
    fixture.write("k8s/api.yaml", &manifest("api", "api", LISTEN));
    let mut command = fixture.xtask("smoke --local --keep-running --json").command();
    let output = fixture.beside("output");
    let out = fs::File::create(&output).unwrap();
    let child = command.stdin(Stdio::null()).stdout(out).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let verdicts: Value = loop {
        assert!(Instant::now() < deadline, "no verdicts");
        if let Ok(verdicts) = serde_json::from_str(&fs::read_to_string(&output).unwrap()) {
            break verdicts;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    std::thread::sleep(Duration::from_secs(2));
    std::net::TcpStream::connect(verdicts[0]["address"].as_str().unwrap()).expect("it still runs");
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert!(String::from_utf8_lossy(&ended.stderr).contains("all of them run until Ctrl-C"));
    assert_eq!(ended.status.code(), Some(130));
    nothing_is_left(&fixture);
}

#[test]
fn init_containers_volumes_config_maps_and_arguments() {
    let fixture = workspace();
    let mount = "volumeMounts: [{name: data, mountPath: /data}, {name: settings, mountPath: /etc/app}]\n";
    let main = format!(
        "{mount}args: [--pod, $(POD), --settings=/etc/app/a.toml]\nenv: [{{name: LISTEN, value: ':8080'}}, {{name: FILE, value: /data/x}}, {{name: POD, valueFrom: {{fieldRef: {{fieldPath: metadata.name}}}}}}]"
    );
    let main = main.replace("':8080'", "'127.0.0.1:8080'");
    let init = "      initContainers:\n        - {name: first, image: 'localhost:5000/web', args: [write, /data/x], volumeMounts: [{name: data, mountPath: /data}]}\n      volumes: [{name: data, emptyDir: {}}, {name: settings, configMap: {name: settings}}]\n";
    let text = manifest("api", "api", &main).replace("      containers:\n", &format!("{init}      containers:\n"));
    fixture.write(
        "k8s/api.yaml",
        &format!("{text}---\nkind: ConfigMap\nmetadata: {{name: settings}}\ndata: {{a.toml: 'x = 1'}}\n"),
    );
    let run = smoke(&fixture, "").ok();
    let states: Vec<_> = verdicts(&run).into_iter().map(|(name, state, _)| format!("{name} {state}")).collect();
    assert_eq!(states, ["api/first completed", "api ready"]);
    let log = fixture.read("target/docker/smoke-local/api.log");
    assert!(log.contains("file: written before\n") && log.contains("\"--pod\", \"api-0\", \"--settings=/"), "{log}");
    // When the first one fails, nothing comes after it.
    fixture.replace("k8s/api.yaml", "[write, /data/x]", "[write, /proc/nothing/x]");
    let run = smoke(&fixture, "").fails();
    let states: Vec<_> = verdicts(&run).into_iter().map(|(name, state, _)| format!("{name} {state}")).collect();
    assert_eq!(states, ["api/first exited", "api not-started"]);
    nothing_is_left(&fixture);
}

#[test]
fn what_needs_a_cluster_fails_and_says_so() {
    let fixture = workspace();
    let secret = with("{name: TOKEN, valueFrom: {secretKeyRef: {name: keys, key: token}}}");
    fixture
        .write("k8s/api.yaml", &manifest("api", "api", &secret))
        .write("k8s/web.yaml", &manifest("web", "web", LISTEN));
    let run = smoke(&fixture, "").fails().says("api: needs the cluster: secret `keys` is not among the manifests\n");
    assert_eq!(verdicts(&run)[0].1, "needs-cluster");
    // Placeholders stand for the same images, foreign ones are not run.
    fixture.write("k8s/api.yaml", &manifest("api", "api", LISTEN).replace("localhost:5000/api:main", "postgres:16"));
    fixture.xtask("manifests --placeholder").ok();
    let run = smoke(&fixture, "").ok().says("note: no manifest runs `api`");
    let found = verdicts(&run);
    assert_eq!((found[0].1.as_str(), found[0].2.as_str()), ("skipped", "`postgres:16` is a foreign image"));
    assert_eq!(found[1].1, "ready");
}

#[test]
fn wrong_manifests_are_told() {
    let fixture = workspace();
    fixture.xtask("smoke --local").fails().says("error: no workload among the manifests runs an image of ours\n");
    fixture.xtask("smoke --local --apply").misused();
}

#[test]
#[ignore = "needs kubectl"]
fn a_kustomization_runs_as_kubectl_renders_it() {
    let fixture = workspace();
    // Without the patch the program listens elsewhere; without the container's name nobody knows whose it is.
    let base = manifest("api", "api", "env: []").replace("localhost:5000/api:main", "nginx:alpine");
    fixture.write("base/api.yaml", &base).write("base/kustomization.yaml", "resources: [api.yaml]\n");
    let patch = "  - op: replace\n    path: /spec/template/spec/containers/0/env\n    value: [{name: LISTEN, value: '0.0.0.0:8080'}]\n";
    let indented = patch.replace("\n ", "\n   ").replacen("  -", "    -", 1);
    fixture.write(
        "k8s/test/kustomization.yaml",
        &format!("resources: [../../base]\nnamePrefix: test-\npatches:\n- target: {{kind: Deployment}}\n  patch: |\n{indented}"),
    );
    let output = fixture.xtask("smoke --local --timeout 60s").ok();
    assert!(output.stdout.contains("test-api"), "{}", output.stdout);
    fixture.append("k8s/test/kustomization.yaml", "broken: 1\n");
    fixture.xtask("smoke --local").fails().says("cannot render the kustomization `k8s/test`").says("broken");
}

/// Starts a smoke that waits for a program, and waits until that runs.
fn start(fixture: &Fixture) -> Child {
    fixture.write("k8s/api.yaml", &manifest("api", "api", &with("{name: NEVER, value: 'yes'}")));
    let mut command = fixture.xtask("smoke --local --timeout 100s").command();
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let log = fixture.path("target/docker/smoke-local/api.log");
    while !fs::read_to_string(&log).is_ok_and(|text| text.contains("listening on")) {
        assert!(Instant::now() < deadline, "the program does not start");
        std::thread::sleep(Duration::from_millis(20));
    }
    child
}

#[test]
fn an_interrupt_ends_the_programs() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let fixture = workspace();
        let child = start(&fixture);
        assert!(left(&fixture).len() >= 2, "the xtask and the program: {:?}", left(&fixture));
        kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130));
        nothing_is_left(&fixture);
    }
}

#[test]
fn killed_it_leaves_no_program() {
    let fixture = workspace();
    let mut child = start(&fixture);
    child.kill().unwrap();
    child.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(5);
    while !left(&fixture).is_empty() {
        assert!(Instant::now() < deadline, "still there: {:?}", left(&fixture));
        std::thread::sleep(Duration::from_millis(20));
    }
}
