//! The publishing workflow, step by step, against a real registry: a push, a tag, a manual run, pull requests.

use std::fs;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use workflow_rehearsal::machine::{Machine, Values};
use workflow_rehearsal::tool;
use workflow_rehearsal::workflow::workflows;

const COMPONENTS: [&str; 3] = ["engine", "operate-ui", "runtime"];

/// The images of one owner in the registry, deleted in the end. Asked for with skopeo, so that it is
/// another tool that says what is there.
struct Images {
    registry: String,
    owner: String,
}

impl Images {
    fn repository(&self, component: &str) -> String {
        format!("{}/{}/demon-{component}", self.registry, self.owner)
    }

    fn skopeo(&self, command: &str, component: &str, selector: &str) -> Value {
        let image = format!("docker://{}{selector}", self.repository(component));
        let text = tool(Command::new("skopeo").args([command, "--tls-verify=false", &image]));
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// Demands that these tags of all components are the images of a record.
    #[track_caller]
    fn are(&self, record: &Value, tags: &[&str]) {
        for (component, tag) in COMPONENTS.iter().flat_map(|component| tags.iter().map(move |tag| (component, tag))) {
            let image = self.skopeo("inspect", component, &format!(":{tag}"));
            assert_eq!(image["Digest"], record[component]["digest"], "{component}:{tag}");
        }
    }

    /// All tags of all components.
    fn tags(&self) -> [Value; 3] {
        COMPONENTS.map(|component| self.skopeo("list-tags", component, "")["Tags"].clone())
    }
}

impl Drop for Images {
    fn drop(&mut self) {
        // A failed test may have pushed nothing.
        for image in COMPONENTS.map(|component| format!("docker://{}:main", self.repository(component))) {
            let _ = Command::new("skopeo").args(["delete", "--tls-verify=false", &image]).output();
        }
    }
}

/// A document that a run uploaded.
fn document(machine: &Machine, name: &str) -> Value {
    let file = machine.path("artifacts/docker-image-digests").join(name);
    serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

/// Runs the workflow; gives what it said, and demands that these jobs ran and no others.
#[track_caller]
fn run(machine: &Machine, event: &Values, jobs: &[&str]) -> Values {
    let values = machine.run(&workflows()["docker-build.yml"], event);
    assert_eq!(values.keys().filter_map(|name| name.strip_prefix("logs.")).collect::<Vec<_>>(), jobs);
    values
}

/// Runs it for what publishes; gives what it said and its record, which its output repeats.
#[track_caller]
fn publish(machine: &Machine, event: &Values) -> (Values, Value) {
    let values = run(machine, event, &["merge", "plan", "publish"]);
    let record = document(machine, "docker-image-digests.json");
    assert_eq!(serde_json::from_str::<Value>(&values["needs.merge.outputs.digest-json"]).unwrap(), record);
    assert_eq!(record.as_object().unwrap().keys().collect::<Vec<_>>(), COMPONENTS);
    (values, record)
}

#[test]
#[ignore = "needs a registry and skopeo"]
fn the_steps_do_what_a_runner_would_do() {
    let registry = std::env::var("LAB_REGISTRY").unwrap_or_else(|_| "localhost:5000".to_owned());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let owner = format!("rehearsal-{}-{:x}", std::process::id(), now & 0xff_ffff_ffff);
    // GitHub's names have upper case letters where registries allow none.
    let machine = Machine::new(&format!("{}/Shop", owner.to_uppercase()), &registry);
    let images = Images { registry, owner };

    let push = machine.event("push", "refs/heads/main", "");
    let (_, pushed) = publish(&machine, &push);
    let commit = format!("sha-{}", &push["github.sha"][..7]);
    images.are(&pushed, &[&commit, "main", "latest"]);
    let summary = fs::read_to_string(machine.path("summary")).unwrap();
    for component in COMPONENTS {
        assert_eq!(pushed[component]["gitShaTag"], format!("{}:{commit}", images.repository(component)));
        assert!(summary.contains(&format!("| {component} |")) && summary.contains("docker pull"), "{summary}");
    }
    let manifest = document(&machine, "service-image-manifest.json");
    assert_eq!((&manifest["push"], &manifest["tag"]), (&Value::Bool(true), &Value::String(commit)));
    let caches = machine.shell("caches", "ls");
    assert_eq!(caches, format!("cargo-linux-amd64-{}", push["github.sha"]));

    // A release of the same commit: everything is there, nothing is compiled.
    machine.shell("origin", "git tag v1.2.3 main");
    let (values, released) = publish(&machine, &machine.event("push", "refs/tags/v1.2.3", ""));
    assert!(!values["logs.publish"].contains("compiling"), "{}", values["logs.publish"]);
    images.are(&released, &["v1.2.3", "1.2.3", "1.2", "1"]);
    images.are(&pushed, &["v1.2.3"]);

    // By hand, with a tag.
    publish(&machine, &machine.event("workflow_dispatch", "refs/heads/main", "2026.11.0"));
    images.are(&pushed, &["2026.11.0"]);

    // A pull request that changes a component builds it and pushes nothing; it knows no secret, for there is
    // none to look up.
    let tags = images.tags();
    run(&machine, &machine.pull_request(7, "engine/src/main.rs"), &["build", "plan"]);
    let index = fs::read_to_string(machine.path("work/target/docker/oci/index.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&index).unwrap()["manifests"].as_array().unwrap().len(), 1);
    // One that touches nothing that images are made of builds nothing.
    let values = run(&machine, &machine.pull_request(8, "README.md"), &["build", "plan"]);
    assert!(values["logs.build"].contains("nothing to build"), "{}", values["logs.build"]);
    assert!(!machine.path("work/target/docker/oci").exists());
    assert_eq!((images.tags(), machine.shell("caches", "ls")), (tags, caches), "only pushes leave something");
}
