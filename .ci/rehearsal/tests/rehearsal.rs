//! The workflows, step by step, against a real registry: a push, a tag, a manual run, pull requests.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use workflow_rehearsal::event::Origin;
use workflow_rehearsal::runner::{Report, Runner};
use workflow_rehearsal::workflow::Workflow;
use workflow_rehearsal::{root, tool};

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

    fn digest(&self, component: &str, tag: &str) -> Option<String> {
        let image = format!("docker://{}:{tag}", self.repository(component));
        tool(Command::new("skopeo").args(["inspect", "--tls-verify=false", "--format={{.Digest}}", &image])).ok()
    }

    /// All tags of all components, but those for machines.
    fn tags(&self) -> BTreeMap<&'static str, Vec<String>> {
        let list = |component| {
            let repository = format!("docker://{}", self.repository(component));
            let text = tool(Command::new("skopeo").args(["list-tags", "--tls-verify=false", &repository]));
            let list: Value = text.map_or(Value::Null, |text| serde_json::from_str(&text).unwrap());
            let tags = list["Tags"].as_array().cloned().unwrap_or_default();
            let tags = tags.iter().map(|tag| tag.as_str().unwrap().to_owned());
            let mut tags: Vec<_> = tags.filter(|tag| !tag.starts_with("inputs-")).collect();
            tags.sort();
            (component, tags)
        };
        COMPONENTS.into_iter().map(list).collect()
    }
}

impl Drop for Images {
    fn drop(&mut self) {
        for component in COMPONENTS {
            let Some(digest) = self.digest(component, "main") else { continue };
            let image = format!("docker://{}@{digest}", self.repository(component));
            let _ = tool(Command::new("skopeo").args(["delete", "--tls-verify=false", &image]));
        }
    }
}

#[track_caller]
fn ran(report: &Report, jobs: &[&str], skipped: &[&str]) {
    assert_eq!(report.jobs.keys().collect::<Vec<_>>(), jobs);
    assert_eq!(report.skipped.iter().collect::<Vec<_>>(), skipped);
}

/// The record that a run uploaded, which its output repeats.
fn record(runner: &Runner<'_>, report: &Report) -> Value {
    let file = runner.storage.artifacts.join("docker-image-digests/docker-image-digests.json");
    let record: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&report.jobs["merge"].outputs["digest-json"]).unwrap(), record);
    assert_eq!(record.as_object().unwrap().keys().collect::<Vec<_>>(), COMPONENTS);
    record
}

#[test]
#[ignore = "needs a registry and skopeo"]
fn the_steps_do_what_a_runner_would_do() {
    let registry = std::env::var("LAB_REGISTRY").unwrap_or_else(|_| "localhost:5000".to_owned());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let owner = format!("rehearsal-{}-{:x}", std::process::id(), now & 0xff_ffff_ffff);
    let images = Images { registry: registry.clone(), owner: owner.clone() };
    let origin = Origin::snapshot(&root()).unwrap();
    // GitHub's names have upper case letters where registries allow none.
    let mut runner = Runner::new(&origin, &format!("{}/Shop", owner.to_uppercase()), &registry).unwrap();
    let build = Workflow::read(&root(), "docker-build.yml").unwrap();
    let ci = Workflow::read(&root(), "ci.yml").unwrap();

    let push = origin.push().unwrap();
    let commit = format!("sha-{}", &push.sha[..7]);
    let report = runner.run(&build, &push, &[]).unwrap();
    ran(&report, &["merge", "plan", "publish"], &["build"]);
    assert!(report.jobs["publish"].used_secrets && report.jobs["merge"].used_secrets);
    assert!(!report.jobs["plan"].used_secrets);
    let pushed = record(&runner, &report);
    for component in COMPONENTS {
        let entry = &pushed[component];
        assert_eq!(entry["gitShaTag"], format!("{}:{commit}", images.repository(component)));
        for tag in [&commit, "main", "latest"] {
            assert_eq!(images.digest(component, tag).as_deref(), entry["digest"].as_str(), "{component}:{tag}");
        }
        let summary = &report.jobs["merge"].summary;
        assert!(summary.contains(&format!("| {component} |")) && summary.contains("docker pull"), "{summary}");
    }
    let manifest = runner.storage.artifacts.join("docker-image-digests/service-image-manifest.json");
    let manifest: Value = serde_json::from_str(&fs::read_to_string(manifest).unwrap()).unwrap();
    assert_eq!((&manifest["push"], &manifest["tag"]), (&Value::Bool(true), &Value::String(commit.clone())));
    assert_eq!(runner.storage.caches.len(), 1, "{:?}", runner.storage.caches);

    // A release of the same commit: everything is there, nothing is compiled, the cache stays as it is.
    let report = runner.run(&build, &origin.tag("v1.2.3").unwrap(), &[]).unwrap();
    ran(&report, &["merge", "plan", "publish"], &["build"]);
    let released = record(&runner, &report);
    assert!(!report.jobs["publish"].log.contains("compiling"), "{}", report.jobs["publish"].log);
    for component in COMPONENTS {
        assert_eq!(released[component]["digest"], pushed[component]["digest"]);
        for tag in ["v1.2.3", "1.2.3", "1.2", "1"] {
            assert_eq!(images.digest(component, tag).as_deref(), pushed[component]["digest"].as_str());
        }
    }
    assert_eq!(runner.storage.caches.len(), 1);

    // By hand, with a tag.
    let report = runner.run(&build, &origin.manual(&[("tag", "2026.11.0")]).unwrap(), &[]).unwrap();
    record(&runner, &report);
    for component in COMPONENTS {
        assert_eq!(images.digest(component, "2026.11.0").as_deref(), pushed[component]["digest"].as_str());
    }

    // A pull request that changes a component builds, pushes nothing and knows no secret.
    let tags = images.tags();
    let change = origin.pull_request(7, "engine/src/main.rs", "// changed\n").unwrap();
    let report = runner.run(&ci, &change, &["changes"]).unwrap();
    assert_eq!(report.jobs["changes"].outputs["images"], "true");
    let report = runner.run(&build, &change, &[]).unwrap();
    ran(&report, &["build", "plan"], &["merge", "publish"]);
    assert!(report.jobs.values().all(|job| !job.used_secrets));
    assert_eq!(images.tags(), tags);
    let index = fs::read_to_string(runner.workspace().join("target/docker/oci/index.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&index).unwrap()["manifests"].as_array().unwrap().len(), 3);
    assert_eq!(runner.storage.caches.len(), 1, "a pull request leaves no cache either");

    // One that touches nothing that images are made of does not come so far; one of the tool does.
    for (number, file, images) in [(8, "README.md", "false"), (9, "xtask/src/lib.rs", "true")] {
        let change = origin.pull_request(number, file, "// changed\n").unwrap();
        let report = runner.run(&ci, &change, &["changes"]).unwrap();
        assert_eq!(report.jobs["changes"].outputs["images"], images, "{file}");
    }
    // And on a push of `main` nobody asks.
    ran(&runner.run(&ci, &push, &["changes", "images"]).unwrap(), &[], &["changes", "images"]);
}

#[test]
fn what_a_called_workflow_asks_for_its_caller_has() {
    // GitHub refuses the whole run otherwise, whichever jobs would be skipped.
    let jobs = |file: &str| Workflow::read(&root(), file).unwrap().jobs().unwrap();
    let (_, caller) = jobs("ci.yml").into_iter().find(|(id, _)| id == "images").unwrap();
    for (id, job) in jobs("docker-build.yml") {
        for (name, right) in &job.permissions {
            let given = caller.permissions.get(name).map(String::as_str);
            assert!(given == Some(right) || given == Some("write"), "`{id}` asks for `{name}: {right}`");
        }
    }
}
