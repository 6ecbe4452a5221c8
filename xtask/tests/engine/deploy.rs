//! `deploy` and `rollback` on a cluster, from releases in registries.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::parts::{Cleanup, registry, unique, wait_for};
use crate::project::{Project, RECORD};
use crate::proxy::{Action, Proxy};
use crate::registry::Registry;
use crate::stage::{PROGRAM, Workload, context, kubectl};
use crate::support::{Output, Xtask};

/// A workspace with a service `one`, an environment `test` in the registry that the cluster pulls from, and an empty
/// namespace.
pub(crate) struct Scene {
    pub(crate) project: Project,
    pub(crate) namespace: String,
    _cleanup: Cleanup,
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.project.forget(&Registry::shared());
    }
}

impl Scene {
    /// The workspace publishes to `host`; `more` are further settings.
    pub(crate) fn new(name: &str, host: &str, more: &str) -> Self {
        let namespace = unique(&format!("deploy-{name}"));
        let mut cleanup = Cleanup::default();
        cleanup.add(&format!("kubectl delete namespace {namespace} --ignore-not-found --wait=false"));
        kubectl(&["create", "namespace", &namespace]);
        let (shared, context) = (registry(), context());
        let settings = format!(
            "[workspace.metadata.docker.smoke]\nsettle = \"1s\"\n\n[workspace.metadata.docker.environments.test]\n\
             registry = \"{shared}\"\ncontext = \"{context}\"\nnamespace = \"{namespace}\"\n{more}"
        );
        let project = Project::new(host, name, &["one"], &settings);
        project.write("one/src/main.rs", PROGRAM);
        let image = format!("{}:main", project.name("one"));
        project.write("k8s/one.json", &Workload::new("one", &image).manifest().to_string());
        project.commit("service");
        Scene { project, namespace, _cleanup: cleanup }
    }

    /// Another program under a commit of this name, published; gives the image's digest.
    pub(crate) fn publish(&self, name: &str, old: &str, new: &str) -> String {
        let program = PROGRAM.replace("COMPONENT", name).replace(old, new);
        self.project.write("one/src/main.rs", &program).commit(name);
        self.project.publish("").ok();
        self.project.recorded("one")
    }

    pub(crate) fn run(&self, arguments: &str) -> Xtask {
        self.project.run(arguments)
    }

    /// What the cluster is told to run.
    fn runs(&self) -> String {
        let path = "--output=jsonpath={.spec.template.spec.containers[0].image}";
        kubectl(&["--namespace", &self.namespace, "get", "deployment", "one", path])
    }

    /// The tags of what the environment was proven to run, newest first, each with the first tag of the release.
    fn history(&self) -> Vec<(String, String)> {
        let list = self.run("releases list --env test --json").ok().json();
        let entries = list.as_array().expect("a list").iter();
        entries.map(|entry| (text(&entry["tags"][0]), text(&entry["subject"]))).collect()
    }

    /// The subject of the commit that the environment is marked with.
    fn marked(&self) -> String {
        let commit = text(&self.run("releases show test --json").ok().json()["release"]["commit"]);
        self.project.git(&["log", "-1", "--format=%s", &commit])
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value}")).to_owned()
}

#[test]
#[ignore = "needs a cluster, a registry and skopeo"]
fn what_was_proven_is_marked_and_gone_back_to_step_by_step() {
    let scene = Scene::new("steps", &registry(), "");
    scene.run("rollback test").fails().says("nothing was deployed in `test`");
    scene.run("deploy test").fails().says("has no release of what is checked out");
    scene.run("deploy tset").fails().says("unknown environment `tset`; did you mean `test`?");
    let first = scene.publish("first", "", "");
    let planned = scene.run("deploy test --dry-run").ok().stdout;
    assert!(planned.contains("run    cargo xtask smoke --apply --env test --timeout 120s\n"), "{planned}");
    assert!(
        planned.contains("-releases:deploying-test\n") && planned.contains("-releases:deployed-test-1\n"),
        "{planned}"
    );
    assert!(planned.ends_with(":deployed-test\n"), "{planned}");
    scene.run("releases show test").fails().says("nothing is known to run in `test`");
    scene.run("deploy test").ok().says("marked deployed-test-1, deployed-test");
    assert_eq!(scene.runs(), format!("{}@{first}", scene.project.name("one")));
    // Again is no other deployment.
    scene.run("deploy test").ok().says("marked deployed-test\n");
    let second = scene.publish("second", "", "");
    scene.run("deploy test").ok();
    scene.publish("third", "", "");
    scene.run("deploy test").ok();
    let named = |names: [(&str, &str); 3]| names.map(|(tag, subject)| (tag.to_owned(), subject.to_owned())).to_vec();
    let all = named([("deployed-test-3", "third"), ("deployed-test-2", "second"), ("deployed-test-1", "first")]);
    assert_eq!((scene.history(), scene.marked()), (all, "third".to_owned()));

    let dry = scene.run("rollback test --dry-run").ok();
    assert!(dry.stdout.contains("pin    k8s/one.json\n"), "{}", dry.stdout);
    scene.run("rollback test").ok();
    assert_eq!((scene.runs(), scene.marked()), (format!("{}@{second}", scene.project.name("one")), "second".into()));
    scene.run("rollback test").ok();
    assert_eq!((scene.runs(), scene.marked()), (format!("{}@{first}", scene.project.name("one")), "first".into()));
    scene.run("rollback test").fails().says("is not known to have run anything before");
    // Where it was before, by name; and nowhere else.
    scene.run("rollback test --to deployed-test-3").ok();
    assert_eq!(scene.marked(), "third");
    let json = scene.run("smoke --env test --json").ok().json();
    assert_eq!(json["passed"], true, "{json:#}");
    scene.publish("fourth", "", "");
    scene.run("rollback test --to main").fails().says("was never proven to run");
}

#[test]
#[ignore = "needs a cluster, a registry and skopeo"]
fn a_broken_deployment_is_not_marked_and_goes_back_by_itself() {
    let scene = Scene::new("broken", &registry(), "");
    let good = scene.publish("good", "", "");
    scene.run("deploy test").ok();
    let bad = scene.publish("bad", "fn main() {", "fn main() {\n    std::process::exit(3);");
    let failed = scene.run("deploy test --timeout 40s").fails();
    let digest = text(&scene.run("releases show test --json").ok().json()["digest"]);
    failed.says("stays marked with").says(&format!("hint: go back with `cargo xtask rollback test --to {digest}`"));
    assert_eq!((scene.runs(), scene.marked()), (format!("{}@{bad}", scene.project.name("one")), "good".into()));
    // What was not proven counts as not there: one step back is what was.
    scene.run("rollback test").ok();
    assert_eq!(scene.runs(), format!("{}@{good}", scene.project.name("one")));
    scene.run("rollback test").fails().says("is not known to have run anything before");
    scene.run("deploy test").env("XTASK_IMAGES", "placeholder").fails().says("no deployment");
    let back = scene.run("deploy test --timeout 40s --rollback-on-failure").fails();
    back.says("going back to").says("which runs again what it ran before");
    assert_eq!((scene.runs(), scene.marked()), (format!("{}@{good}", scene.project.name("one")), "good".into()));
    assert_eq!(scene.history().len(), 1);
}

#[test]
#[ignore = "needs a cluster, docker-registry and skopeo"]
fn another_registry_gets_all_that_it_takes() {
    let mut first = Registry::start();
    let scene = Scene::new("other", &first.host, "");
    scene.publish("one", "", "");
    let planned = scene.run("deploy test --dry-run").ok().stdout;
    assert!(planned.contains("copy   one: ") && planned.contains("\npin    k8s/one.json\n"), "{planned}");
    scene.run("deploy test").ok();
    scene.publish("two", "", "");
    scene.run("deploy test").ok();
    assert!(scene.runs().starts_with(&registry()), "{}", scene.runs());
    // What is there needs nothing of where it came from.
    first.stop();
    scene.run("rollback test").ok();
    assert_eq!(scene.marked(), "one");
    scene.run("deploy test --release deployed-test-2").fails().says("cannot look up");
    scene.run("rollback test --to deployed-test-2").ok();
    assert_eq!(scene.marked(), "two");
    let record: Value =
        serde_json::from_str(&scene.project.read("artifacts/docker/test/docker-image-digests.json")).unwrap();
    assert!(text(&record["one"]["image"]).starts_with(&registry()), "{record}");
    assert!(scene.project.read(RECORD).contains(&first.host));
}

/// Starts `deploy test`.
fn start(scene: &Scene, arguments: &str) -> std::process::Child {
    let mut command = scene.run(&format!("deploy test {arguments}")).command();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the xtask")
}

#[test]
#[ignore = "needs a cluster, a registry and skopeo"]
fn of_two_deployments_at_once_one_is_refused() {
    let scene = Scene::new("two", &registry(), "");
    scene.publish("good", "", "");
    scene.run("deploy test").ok();
    scene.publish("slow", "fn main() {", "fn main() {\n    std::thread::sleep(Duration::from_secs(600));");
    let lease = || kubectl(&["--namespace", &scene.namespace, "get", "leases", "--output=name"]);
    assert_eq!(lease(), "", "a deployment that has ended holds none");
    let mut running = start(&scene, "--timeout 300s");
    wait_for("lease", Duration::from_secs(60), || lease().contains("cargo-xtask-deploy-test"));
    scene.run("deploy test").fails().says("another deployment from this work tree runs");
    let elsewhere = scene.project.copy();
    elsewhere.run("deploy test").fails().says("deploys there now");
    elsewhere.run("rollback test --to deployed-test-1").fails().says("deploys there now");
    // One that was killed is forgotten.
    running.kill().and_then(|()| running.wait()).expect("a killed child");
    let began = Instant::now();
    scene.run("rollback test --to deployed-test-1").ok().says("looking whether that still goes on");
    assert!(began.elapsed() > Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!((scene.marked().as_str(), lease().as_str()), ("good", ""));
}

#[test]
#[ignore = "needs a cluster, a registry and skopeo"]
fn who_lost_the_lease_applies_nothing() {
    let is_slow = Arc::new(AtomicBool::new(false));
    let slow = Arc::clone(&is_slow);
    // Copying from there takes its time.
    let proxy = Proxy::start(&registry(), move |_| match slow.load(Ordering::Relaxed) {
        true => Action::Late(Duration::from_secs(2)),
        false => Action::Pass,
    });
    let scene = Scene::new("lost", &proxy.host, "");
    scene.publish("one", "", "");
    is_slow.store(true, Ordering::Relaxed);
    let (namespace, lease) = (format!("--namespace={}", scene.namespace), "cargo-xtask-deploy-test");
    let run = scene.run("deploy test");
    let running = std::thread::spawn(move || run.fails());
    wait_for("lease", Duration::from_secs(60), || kubectl(&[&namespace, "get", "lease"]).contains(lease));
    let theirs = r#"--patch={"spec":{"holderIdentity":"other"}}"#;
    kubectl(&[&namespace, "patch", "lease", lease, "--type=merge", theirs]);
    let failed = running.join().expect("an output");
    failed.says("caused by: nothing is applied\ncaused by: somebody else deploys there by now\n");
    assert_eq!(kubectl(&[&namespace, "get", "deployments", "--output=name"]), "");
    // It is theirs still.
    assert!(kubectl(&[&namespace, "get", "lease", lease, "--output=json"]).contains("\"other\""));
}

#[test]
#[ignore = "needs a cluster, a registry and skopeo"]
fn a_release_that_is_gone_is_not_put_back_over_newer_ones() {
    let scene = Scene::new("gone", &registry(), "");
    scene.publish("first", "", "");
    let first = text(&scene.run("releases show main --json").ok().json()["digest"]);
    let tag = scene.project.sha_tag();
    scene.publish("second", "", "");
    let second = text(&scene.run("releases show main --json").ok().json()["digest"]);
    Registry::shared().delete(&scene.project.repository("releases"), &tag);
    let failed = scene.run(&format!("deploy test --release {first}")).fails();
    failed.says(&format!("the release {first} is gone from"));
    assert_eq!(text(&scene.run("releases show main --json").ok().json()["digest"]), second);
    std::fs::remove_dir_all(scene.project.path("target/docker/releases")).expect("a cache");
    scene.run("releases list").ok().says(&format!("the release before, {first}, is gone from"));
    scene.run("deploy test --dry-run --context other").ok().says("runs in context `other` now; its settings say");
}

/// Kills deployments at one moment after the other: `XTASK_KILL_POINTS` of them.
#[test]
#[ignore = "needs a cluster, a registry and skopeo"]
fn a_kill_at_any_moment_marks_nothing_that_was_not_proven() {
    let points: usize = std::env::var("XTASK_KILL_POINTS").map_or(6, |text| text.parse().expect("a number"));
    let scene = Scene::new("kills", &registry(), "");
    let releases = ["a", "b"].map(|name| (name, scene.publish(name, "", "")));
    let began = Instant::now();
    scene.run("deploy test").ok();
    let whole = began.elapsed();
    let mut marked = String::from("b");
    for point in 0..points {
        let wanted = releases[point % 2].0;
        let tag = format!("sha-{}", &scene.project.git(&["log", "--format=%H", &format!("--grep=^{wanted}$")])[..7]);
        let mut child = start(&scene, &format!("--release {tag} --timeout 60s"));
        std::thread::sleep(whole.mul_f64((point + 1) as f64 / (points + 1) as f64));
        let ended = child.try_wait().expect("a child");
        child.kill().and_then(|()| child.wait()).expect("a killed child");
        let now = scene.marked();
        assert!(now == marked || now == wanted, "{now}");
        let is_marked = scene.history().iter().any(|(_, subject)| *subject == now);
        assert!(is_marked, "what is marked has a number");
        if ended.is_some_and(|status| status.success()) {
            assert_eq!(now, wanted);
        }
        marked = now;
        // Else the next ones would be killed while they wait for this one's lease. The last one's stays.
        if point + 1 < points {
            kubectl(&["--namespace", &scene.namespace, "delete", "lease", "--all", "--ignore-not-found"]);
        }
    }
    // Whatever was left behind, the next one goes through.
    let output: Output = scene.run("deploy test --release main").ok();
    assert_eq!(scene.marked(), "b", "{}", output.stderr);
    println!("killed {points} deployments; a whole one takes {whole:?}");
    let report = scene.run("smoke --env test --json").ok().json();
    assert_eq!(report["passed"], json!(true));
}

#[test]
#[ignore = "needs a cluster, a registry, skopeo and cosign"]
fn only_what_is_signed_and_proven_is_deployed_where_that_is_demanded() {
    let sign = "[workspace.metadata.docker.sign]\nkey = \"cosign.key\"\npublic-key = \"cosign.pub\"\n";
    let scene = Scene::new("demand", &registry(), sign);
    let mut command = std::process::Command::new("cosign");
    command.arg("generate-key-pair").current_dir(scene.project.root()).env("COSIGN_PASSWORD", "");
    assert!(command.status().expect("cosign").success());
    scene.project.write(".gitignore", "cosign.*\ntarget\nartifacts\n").commit("keys are ignored");
    scene.publish("first", "", "");
    let refused = scene.run("deploy test --require-signature").fails().says("lacks what is required");
    refused.says("one: signature is required, and is missing").says_nothing_of("pinned");
    scene.project.publish("--sign").ok().says("signed one: signature");
    scene.run("deploy test --require-signature --require-proof test").fails().says("no signed test result says");
    scene.run("deploy test --require-signature --attest").ok().says("test: result attached to");
    // Nobody signed it.
    scene.run("verify --require proof:test").fails().says("no signed test result says that `test` ran exactly these");
    scene.run("deploy test --attest --sign").ok().says("signed release: proof-test of");
    let found = scene.run("verify --require signature,proof:test --json").ok().json();
    let proof = found["proofs"].as_array().expect("proofs").iter().find(|proof| proof["verdict"] == "signed");
    let predicate = &proof.unwrap_or_else(|| panic!("{found}"))["predicate"];
    assert_eq!((&predicate["result"], &predicate["environment"]), (&json!("PASSED"), &json!("test")));
    assert_eq!(predicate["components"]["one"]["digest"], *scene.project.recorded("one"));
    assert_eq!(predicate["namespaces"], json!([scene.namespace]));
    // Another image was proven nowhere.
    scene.publish("second", "", "");
    scene.project.publish("--sign").ok();
    scene.run("deploy test --require-signature --require-proof test").fails().says("no signed test result says");
}
