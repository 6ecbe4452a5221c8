//! Ctrl-C at every stage of a publication: nothing half done is left, and the next run completes it.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::parts::{files_below, wait_for};
use crate::project::{Project, RECORD, SERVICES};
use crate::proxy::{Action, Passed, Proxy, is_manifest, is_upload, length};
use crate::registry::Registry;
use crate::support::Xtask;
use crate::support::http::{Answer, Request};

/// A project with a publication behind it and a change ahead.
fn scene(name: &str) -> (Registry, Project, [String; 2]) {
    let registry = Registry::start();
    let project = Project::new(&registry.host, name, &["one", "two"], "");
    project.publish("").ok();
    project.change("two", "changed");
    let files = [project.read(RECORD), project.read(SERVICES)];
    (registry, project, files)
}

fn start(run: Xtask) -> Child {
    let mut command = run.command();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the xtask")
}

/// Interrupts it, and demands that it ends soon and says so; gives what it says.
#[track_caller]
fn interrupt(child: Child) -> String {
    let started = Instant::now();
    kill(Pid::from_raw(child.id().try_into().expect("a process id")), Signal::SIGINT).expect("a running xtask");
    let output = child.wait_with_output().expect("the xtask's end");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}: {stderr}", started.elapsed());
    assert!(stderr.contains("interrupted; nothing unfinished was kept\n") && !stderr.contains("panicked"), "{stderr}");
    stderr
}

/// Demands that files and tags are as before, and that the next run completes what this one began.
#[track_caller]
fn recovers(registry: &Registry, project: &Project, files: &[String; 2]) {
    assert_eq!(&[project.read(RECORD), project.read(SERVICES)], files);
    let entries = project.path("artifacts/docker").read_dir().expect("a folder");
    assert_eq!(entries.count(), 2, "the record and the service manifest");
    project.is_whole_in(registry);
    project.publish("").ok();
    assert_ne!(&project.read(RECORD), &files[0]);
    project.is_published_in(registry);
}

#[test]
#[ignore = "needs docker-registry and skopeo"]
fn during_compilation() {
    let (registry, project, files) = scene("int-compile");
    // Whether a file exists can be asked of any.
    let script = "fn main() {\n    std::fs::write(std::env::var(\"OUT_DIR\").unwrap() + \"/running\", \"\").unwrap();\n    \
                  if std::path::Path::new(\"SLEEP\").exists() {\n        \
                  std::thread::sleep(std::time::Duration::from_secs(600));\n    }\n}\n";
    project.write("two/build.rs", &script.replace("SLEEP", project.beside("sleep").to_str().expect("UTF-8")));
    project.commit("a slow build");
    std::fs::write(project.beside("sleep"), "").expect("a file");
    let child = start(project.publish(""));
    let builds = project.path("target/docker/build");
    wait_for("build script", Duration::from_secs(120), || {
        files_below(&builds).iter().any(|path| path.ends_with("running"))
    });
    interrupt(child);
    std::fs::remove_file(project.beside("sleep")).expect("a file");
    recovers(&registry, &project, &files);
}

/// Interrupts while the first request that `matches` gets `fault`.
#[track_caller]
fn at(name: &str, matches: fn(&Request) -> bool, fault: fn() -> Action) -> String {
    let (registry, project, files) = scene(name);
    let proxy = Proxy::once(&registry.host, matches, fault);
    let child = start(project.publish(&format!("--registry {}", proxy.host)));
    let has_come = |passed: &Passed| matches(&passed.request);
    wait_for("request", Duration::from_secs(120), || proxy.passed().iter().any(has_come));
    // Into the middle of it.
    std::thread::sleep(Duration::from_millis(200));
    let said = interrupt(child);
    recovers(&registry, &project, &files);
    said
}

fn held() -> Action {
    Action::Late(Duration::from_secs(20))
}

fn is_tagging(request: &Request) -> bool {
    is_manifest(request) && !request.path.contains("/manifests/sha256:")
}

#[test]
#[ignore = "needs docker-registry and skopeo"]
fn during_the_lookup() {
    at("int-lookup", |request| request.path.contains("/manifests/inputs-"), held);
}

#[test]
#[ignore = "needs docker-registry and skopeo"]
fn during_an_upload() {
    // A layer's, which takes long; a config would be through.
    at("int-upload", |request| is_upload(request) && length(request) > 100_000, || Action::Slow(50_000));
}

#[test]
#[ignore = "needs docker-registry and skopeo"]
fn during_the_wait_before_another_try() {
    at("int-wait", is_upload, || Action::Answer(Answer::new(503, "").header("Retry-After", "60")));
}

#[test]
#[ignore = "needs docker-registry and skopeo"]
fn between_blobs_and_manifest() {
    at("int-manifest", is_manifest, held);
}

#[test]
#[ignore = "needs docker-registry and skopeo"]
fn between_tags() {
    let said = at("int-tags", |request| is_tagging(request) && !request.path.contains("/inputs-"), held);
    // What is there already, and what is not.
    let (_, said) = said.split_once("interrupted; nothing unfinished was kept\n").expect("asserted before");
    let lines: Vec<&str> = said.lines().collect();
    let [record, pushed] = lines[..] else { panic!("{said}") };
    assert!(
        record.ends_with(&format!("{RECORD}` is as it was; what was pushed is found again by the next run")),
        "{said}"
    );
    assert!(pushed.starts_with("pushed 127.0.0.1:") && pushed.contains("-two@sha256:"), "{said}");
}
