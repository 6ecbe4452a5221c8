//! The workflows, step by step, against a real registry and a real cluster: a push, a version and its deployment, a
//! manual run, pull requests, nights.

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
        let text = tool(Command::new("skopeo").args(command.split(' ')).args(["--tls-verify=false", &image]));
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
        let namespace = ["delete", "namespace", &self.owner, "--ignore-not-found", "--wait=false"];
        let _ = Command::new("kubectl").args(namespace).output();
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

/// What was said to a stub of GitHub's own program, or by it.
fn github(machine: &Machine, file: &str) -> String {
    fs::read_to_string(machine.path("github").join(file)).unwrap_or_default()
}

/// Runs the workflow, the tests apart, which are no rehearsal's; gives what it said, and demands that these jobs ran
/// and no others.
#[track_caller]
fn run(machine: &Machine, file: &str, event: &Values, jobs: &[&str]) -> Values {
    let values = machine.run(&workflows()[file], event, &["test"], &[]);
    assert_eq!(values.keys().filter_map(|name| name.strip_prefix("logs.")).collect::<Vec<_>>(), jobs);
    values
}

/// Runs `ci.yml` for what publishes, and `more` jobs; gives what it said and its record, which its outputs repeat.
#[track_caller]
fn publish(machine: &Machine, event: &Values, more: &[&str]) -> (Values, Value) {
    let jobs = ["images/merge", "images/plan", "images/publish"];
    let values = run(machine, "ci.yml", event, &[&jobs, more].concat());
    let record = document(machine, "docker-image-digests.json");
    let output = |name: &str| &values[&format!("needs.images.outputs.{name}")];
    assert_eq!(serde_json::from_str::<Value>(output("digest-json")).unwrap(), record);
    assert_eq!(record.as_object().unwrap().keys().collect::<Vec<_>>(), COMPONENTS);
    for component in COMPONENTS {
        assert_eq!(record[component]["image"], *output(component));
    }
    (values, record)
}

/// Demands that the cluster's pods are told to run the record's images.
#[track_caller]
fn runs(namespace: &str, record: &Value) {
    for component in COMPONENTS {
        let path = "--output=jsonpath={.spec.template.spec.containers[0].image}";
        let image = tool(Command::new("kubectl").args(["-n", namespace, "get", "deployment", component, path]));
        assert_eq!(record[component]["image"], image, "{component}");
    }
}

#[test]
#[ignore = "needs a registry, a cluster, skopeo and kubectl"]
fn the_steps_do_what_a_runner_would_do() {
    let registry = std::env::var("LAB_REGISTRY").unwrap_or_else(|_| "localhost:5000".to_owned());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let owner = format!("rehearsal-{}-{:x}", std::process::id(), now & 0xff_ffff_ffff);
    // GitHub's names have upper case letters where registries allow none.
    let repository = format!("{}/Shop", owner.to_uppercase());
    let mut machine = Machine::new(&repository, &registry, &owner);
    let images = Images { registry, owner };

    // A push is published, and what was published is tried.
    let push = machine.event("push", "refs/heads/main", &[]);
    let (values, pushed) = publish(&machine, &push, &["smoke"]);
    let commit = format!("sha-{}", &push["github.sha"][..7]);
    images.are(&pushed, &[&commit, "main", "latest"]);
    let summary = fs::read_to_string(machine.path("summary")).unwrap();
    for component in COMPONENTS {
        assert_eq!(pushed[component]["gitShaTag"], format!("{}:{commit}", images.repository(component)));
        assert!(summary.contains(&format!("| {component} |")) && summary.contains("docker pull"), "{summary}");
        let (smoke, digest) = (&values["logs.smoke"], pushed[component]["digest"].as_str().unwrap());
        assert!(smoke.contains(&format!("deployment.apps/{component} created (dry run)")), "{smoke}");
        assert!(smoke.lines().any(|line| line.contains(&digest[..19]) && line.ends_with(" ready")), "{smoke}");
    }
    for component in COMPONENTS {
        let referrers = pushed[component]["digest"].as_str().unwrap().replace(':', "-");
        let attached = images.skopeo("inspect --raw", component, &format!(":{referrers}"))["manifests"].take();
        let kinds = attached.as_array().unwrap().iter().map(|one| one["artifactType"].as_str().unwrap());
        let expected = ["cyclonedx+json", "in-toto+json", "spdx+json"];
        let mut kinds: Vec<_> = kinds.map(|kind| kind.rsplit(['.', '/']).next().unwrap()).collect();
        kinds.sort_unstable();
        assert_eq!(kinds, expected, "{component}: {attached}");
    }
    let manifest = document(&machine, "service-image-manifest.json");
    assert_eq!((&manifest["push"], &manifest["tag"]), (&Value::Bool(true), &Value::String(commit.clone())));
    let lock = machine.shell("origin", "sha256sum <Cargo.lock | cut -d ' ' -f 1");
    let caches = machine.shell("caches", "ls");
    assert_eq!(caches, format!("cargo-linux-amd64-{lock}"));

    // A version of the same commit: everything is there, nothing is compiled. It is released, and handed on.
    machine.shell("origin", "git tag v1.2.3 main");
    let version = machine.event("push", "refs/tags/v1.2.3", &[]);
    let (values, released) = publish(&machine, &version, &["release", "smoke", "staging"]);
    assert!(!values["logs.images/publish"].contains("compiling"), "{}", values["logs.images/publish"]);
    images.are(&released, &["v1.2.3", "1.2.3", "1.2", "1"]);
    images.are(&pushed, &["v1.2.3"]);
    let attached: Value = serde_json::from_str(&github(&machine, "docker-image-digests.json")).unwrap();
    assert_eq!((&attached, github(&machine, "calls").lines().count()), (&released, 2));
    for (component, format) in COMPONENTS.iter().flat_map(|one| ["cdx", "spdx"].map(|format| (one, format))) {
        let document = machine.shell("github", &format!("cat {component}-linux-*.{format}.json"));
        assert!(serde_json::from_str::<Value>(&document).unwrap().is_object(), "{component} {format}");
    }
    let inputs = [("environment", "staging"), ("release", "v1.2.3")];
    let call = format!(
        "workflow run deploy.yml --ref v1.2.3 --raw-field {}={} --raw-field {}={}\n",
        inputs[0].0, inputs[0].1, inputs[1].0, inputs[1].1
    );
    assert!(github(&machine, "calls").ends_with(&call), "{}", github(&machine, "calls"));

    // The run that this starts deploys it, and says so.
    machine.kubeconfigs.insert("staging".into(), machine.kubeconfig("staging"));
    let started = machine.event("workflow_dispatch", "refs/tags/v1.2.3", &inputs);
    run(&machine, "deploy.yml", &started, &["deploy", "issue"]);
    runs(&images.owner, &released);
    let opened = "issue create --title Deployed v1.2.3 to staging --label deployed-staging --body-file target/deployment-staging.md";
    assert!(github(&machine, "calls").trim_end().ends_with(opened), "{}", github(&machine, "calls"));
    for text in [github(&machine, "body"), github(&machine, "notes")] {
        let hash = &push["github.sha"];
        let link = format!("- commit: [`{hash}`](https://github.com/{repository}/commit/{hash})\n");
        assert!(
            text.contains(&link) && text.contains("\n    All of it\n") && text.contains("## Roll back\n"),
            "{text}"
        );
        for component in COMPONENTS {
            let image = released[component]["image"].as_str().unwrap();
            assert!(text.contains(&format!("\ndocker pull {image}\n")), "{text}");
        }
    }

    // By hand, with a tag. What is compiled is cached once for each lock file.
    let by_hand = machine.event("workflow_dispatch", "refs/heads/main", &[("tag", "2026.11.0")]);
    run(&machine, "docker-build.yml", &by_hand, &["merge", "plan", "publish"]);
    images.are(&pushed, &["2026.11.0"]);
    assert_eq!(machine.shell("caches", "ls"), caches);

    nights(&mut machine, &images, &pushed);
    scans(&machine);
    bases(&machine);

    // A pull request that changes a component builds it and pushes nothing; it knows no secret, for there is
    // none to look up.
    let tags = images.tags();
    let jobs = ["images/build", "images/plan"];
    run(&machine, "ci.yml", &machine.pull_request(7, "engine/src/main.rs"), &jobs);
    let index = fs::read_to_string(machine.path("work/target/docker/oci/index.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&index).unwrap()["manifests"].as_array().unwrap().len(), 1);
    let summary = fs::read_to_string(machine.path("summary")).unwrap();
    let line = summary.lines().find(|line| line.starts_with("| engine | `sha-")).expect(&summary);
    assert!(
        line.contains(" `pr-7` |") && line.contains("iB | changed") && !summary.contains("| runtime |"),
        "{summary}"
    );
    // One that touches nothing that images are made of builds nothing.
    let values = run(&machine, "ci.yml", &machine.pull_request(8, "README.md"), &jobs);
    assert!(values["logs.images/build"].contains("nothing to build"), "{}", values["logs.images/build"]);
    assert!(fs::read_to_string(machine.path("summary")).unwrap().contains("Nothing: no component changed since"));
    assert!(!machine.path("work/target/docker/oci").exists());
    assert_eq!((images.tags(), machine.shell("caches", "ls")), (tags, caches), "only pushes leave something");
}

/// The nightly smoke: one issue while it fails, none when it passes.
fn nights(machine: &mut Machine, images: &Images, released: &Value) {
    let night = machine.event("schedule", "refs/heads/main", &[]);
    let smoke = &workflows()["smoke.yml"];
    let said = |machine: &Machine| {
        let calls = github(machine, "calls");
        let calls = calls.lines().filter(|call| call.contains("nightly-smoke") || call.starts_with("issue c"));
        calls.map(|call| call.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
    };
    let before = said(machine).len();
    // Nobody has said where the cluster is.
    for _ in 0..2 {
        let values = machine.run(smoke, &night, &[], &["smoke"]);
        assert_eq!((&*values["needs.smoke.result"], &*values["needs.issue.result"]), ("failure", "success"));
    }
    machine.kubeconfigs.insert("nightly".into(), machine.kubeconfig("nightly"));
    for _ in 0..2 {
        let values = machine.run(smoke, &night, &[], &[]);
        assert!(values["logs.smoke"].contains("smoke: passed"), "{}", values["logs.smoke"]);
    }
    runs(&images.owner, released);
    let opened = ["issue list", "label create", "issue create"];
    let expected = [&opened[..], &["issue list", "issue comment"], &["issue list", "issue close"], &["issue list"]];
    assert_eq!(said(machine)[before..], expected.concat());
}

/// Of the calls from one on, the words that say what is done.
fn calls_since(machine: &Machine, first: usize) -> Vec<String> {
    let calls = github(machine, "calls");
    calls.lines().skip(first).map(|call| call.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect()
}

/// The daily scan: one issue while a dependency has a weakness, none when none has.
fn scans(machine: &Machine) {
    let day = machine.event("schedule", "refs/heads/main", &[]);
    let weakness =
        r#"{"advisory": {"id": "RUSTSEC-1", "title": "It crashes"}, "package": {"name": "axum", "version": "0"}}"#;
    machine.shell("github", &format!("echo '{weakness}' >weakness"));
    let first = github(machine, "calls").lines().count();
    let scan = &workflows()["scan.yml"];
    let values = machine.run(scan, &day, &[], &["scan"]);
    assert!(values["logs.scan"].contains("RUSTSEC-1"), "{}", values["logs.scan"]);
    assert!(machine.shell("artifacts/scan", "cat scan.sarif").contains("RUSTSEC-1"));
    machine.shell("github", "rm weakness");
    machine.run(scan, &day, &[], &[]);
    assert_eq!(
        calls_since(machine, first),
        ["issue list", "label create", "issue create", "issue list", "issue close"]
    );
}

/// The weekly look at base images: a pull request for what moved, kept up to date; nothing without a lock.
fn bases(machine: &Machine) {
    let week = machine.event("schedule", "refs/heads/main", &[]);
    let first = github(machine, "calls").lines().count();
    let workflow = &workflows()["bases.yml"];
    let values = machine.run(workflow, &week, &[], &[]);
    assert!(!values["logs.update"].contains("bases --update"), "{}", values["logs.update"]);
    assert!(values["logs.ask"].contains("no tag moved") && calls_since(machine, first).is_empty(), "{values:?}");

    // Its only entry is one that no setting uses: that of the builder image takes its place.
    let lock = "version = 1\n\n[images]\n\"docker.io/library/old:1\" = \"local\"\n";
    let commit = format!("git checkout -q -b locked; echo '{lock}' >images.lock; git add --all; git commit -q -m Lock");
    machine.shell("origin", &commit);
    let locked = machine.event("workflow_dispatch", "refs/heads/locked", &[]);
    for _ in 0..2 {
        machine.run(workflow, &locked, &[], &[]);
    }
    let change = machine.shell("origin", "git checkout -q main; git diff locked bases");
    assert!(change.contains("-\"docker.io/library/old:1\""), "{change}");
    assert_eq!(calls_since(machine, first), ["auth setup-git", "pr list", "pr create", "auth setup-git", "pr list"]);
    assert!(github(machine, "calls").contains("pr create --base locked --head bases "), "{}", github(machine, "calls"));
}
