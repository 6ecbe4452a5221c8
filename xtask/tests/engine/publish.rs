//! `publish` end to end: what is built, pushed, tagged and written, as other tools see it.

use std::fs;

use serde_json::{Value, json};

use crate::parts::{Cleanup, docker, run, tool};
use crate::project::{Project, RECORD, SERVICES, Shared};
use crate::proxy::{Action, Passed, Proxy};
use crate::registry::Registry;
use crate::support::{Output, own_platform};

/// Demands that a run said exactly these decisions.
#[track_caller]
fn decided(output: &Output, decisions: &[&str]) {
    let is_decision = |line: &&str| line.starts_with("build  ") || line.starts_with("adopt  ");
    let said: Vec<_> = output.stderr.lines().filter(is_decision).filter_map(|line| line.split_once(':')).collect();
    assert_eq!(said.iter().map(|(start, _)| *start).collect::<Vec<_>>(), decisions, "{}", output.stderr);
}

/// The column CHANGE of the table, by component.
fn changes(output: &Output) -> Vec<(String, String)> {
    let row = |line: &str| {
        let cells: Vec<&str> = line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
        (cells[0].to_owned(), cells[3].to_owned())
    };
    output.stdout.lines().skip(1).map(row).collect()
}

fn pairs(rows: &[(&str, &str)]) -> Vec<(String, String)> {
    rows.iter().map(|(one, two)| ((*one).to_owned(), (*two).to_owned())).collect()
}

#[test]
#[ignore = "needs a container engine, a registry, skopeo and oras"]
fn a_first_publication_is_what_other_tools_find() {
    let shared = Shared::new("first", &["one", "two"], "");
    let (outputs, summary) = (shared.beside("output"), shared.beside("summary"));
    let publish = shared.publish("").env("GITHUB_OUTPUT", &outputs).env("GITHUB_STEP_SUMMARY", &summary);
    let output = publish.ok().says("cargo: compiling one, two for linux/");
    decided(&output, &["build  one", "build  two"]);
    assert_eq!(changes(&output), pairs(&[("one", "new"), ("two", "new")]));

    let (head, sha_tag, record) = (shared.head(), shared.sha_tag(), shared.record());
    for component in ["one", "two"] {
        let (repository, name) = (shared.repository(component), shared.name(component));
        let tags = shared.registry.pull_all(&repository);
        assert!(tags[0].starts_with("inputs-") && tags[0].len() == 23, "{tags:?}");
        assert_eq!(tags[1..], ["latest", "main", sha_tag.as_str()]);
        let digest = shared.registry.digest(&repository, &sha_tag);
        assert!(tags.iter().all(|tag| shared.registry.digest(&repository, tag) == digest));

        // The record says the same, in this order of keys.
        let manifest: Value = serde_json::from_str(&shared.registry.raw(&repository, ":main")).unwrap();
        let layers = manifest["layers"].as_array().unwrap().iter().chain([&manifest["config"]]);
        let blobs: u64 = layers.map(|blob| blob["size"].as_u64().unwrap()).sum();
        let entry = &record[component];
        let size = entry["platforms"][own_platform()]["size"].as_u64().unwrap();
        assert!(size >= blobs && size < blobs + 4096, "{size} for {blobs} bytes of blobs");
        let expected = json!({
            "repository": name,
            "digest": digest,
            "image": format!("{name}@{digest}"),
            "gitShaTag": format!("{name}:{sha_tag}"),
            "tags": [sha_tag, "main", "latest"],
            "platforms": { own_platform(): { "digest": digest, "config": manifest["config"]["digest"], "size": size } },
        });
        assert_eq!(entry, &expected);

        let inspected = tool("skopeo", &["inspect", "--tls-verify=false", &format!("docker://{name}:{sha_tag}")]);
        let inspected: Value = serde_json::from_str(&inspected).unwrap();
        assert_eq!(inspected["Digest"], *digest);
        assert_eq!(inspected["Labels"]["org.opencontainers.image.revision"], *head);
        let fetched = tool("oras", &["manifest", "fetch", "--plain-http", &format!("{name}@{digest}")]);
        assert_eq!(serde_json::from_str::<Value>(&fetched).unwrap(), manifest);
    }

    // The engine takes it and runs it.
    let image = format!("{}@{}", shared.name("one"), shared.recorded("one"));
    let mut cleanup = Cleanup::default();
    cleanup.add(&format!("docker rmi {image}"));
    docker(&format!("pull --quiet {image}"));
    assert_eq!(docker(&format!("run --rm {image}")), format!("one {}", shared.id));

    let image = |component: &str| json!({"name": component, "image": format!("{}:{sha_tag}", shared.name(component))});
    let services: Value = serde_json::from_str(&shared.read(SERVICES)).unwrap();
    let expected =
        json!({"registry": shared.host, "tag": sha_tag, "push": true, "images": [image("one"), image("two")]});
    assert_eq!(services, expected);

    let outputs = fs::read_to_string(outputs).unwrap();
    let lines: Vec<(&str, &str)> = outputs.lines().filter_map(|line| line.split_once('=')).collect();
    assert_eq!(serde_json::from_str::<Value>(lines[0].1).unwrap(), record);
    let image = |at: usize, component: &'static str| {
        (lines[at].0, lines[at].1) == (component, record[component]["image"].as_str().unwrap())
    };
    assert!(lines[0].0 == "digest-json" && lines.len() == 3 && image(1, "one") && image(2, "two"), "{outputs}");
    let summary = fs::read_to_string(summary).unwrap();
    let row = format!("| one | `{sha_tag}` `main` `latest` | `{}` |", shared.recorded("one"));
    assert!(summary.contains(&row) && summary.contains("| new | `docker pull "), "{summary}");
    shared.run("digests verify").ok();
}

#[test]
#[ignore = "needs docker-registry and skopeo"]
fn what_is_published_again_unchanged_costs_a_few_requests() {
    let registry = Registry::start();
    let proxy = Proxy::start(&registry.host, |_| Action::Pass);
    let members = ["one", "three", "two"];
    let project = Project::new(&proxy.host, "again", &members, "");
    project.publish("").ok();
    let (record, before) = (project.read(RECORD), proxy.passed().len());

    let output = project.publish("").ok().says_nothing_of("compiling").says_nothing_of("pushed");
    let ended = std::time::Instant::now();
    decided(&output, &["adopt  one", "adopt  three", "adopt  two"]);
    assert_eq!(changes(&output), pairs(&members.map(|member| (member, "unchanged"))));
    assert_eq!(project.read(RECORD), record);
    let passed = proxy.passed().split_off(before);
    let changing = passed.iter().filter(|passed| !matches!(passed.request.method.as_str(), "GET" | "HEAD"));
    assert_eq!(changing.count(), 0, "{passed:#?}");
    let took = ended - passed[0].at;
    println!("unchanged: {} requests for 3 images with 3 tags each, {took:?} from the first one on", passed.len());
    // The manifest, its config and two layers, each once; the tags; the branch's release twice, its two other tags.
    assert!(passed.len() <= 3 * (1 + 3) + 3 * 3 + 4, "{passed:#?}");

    assert_eq!(project.publish("--json").ok().stdout, record);

    // A commit that changes no input: the same images get its tag.
    let before = proxy.passed().len();
    project.write("docs/guide.md", "text\n").commit("docs");
    let output = project.publish("").ok().says_nothing_of("compiling").says_nothing_of("pushed");
    decided(&output, &["adopt  one", "adopt  three", "adopt  two"]);
    assert_eq!(changes(&output), pairs(&members.map(|member| (member, "unchanged"))));
    let passed = proxy.passed().split_off(before);
    println!("a docs commit: {} requests", passed.len());
    // But for the release.
    let is_image = |passed: &&Passed| passed.is_upload() && !passed.request.path.contains("-releases/");
    assert_eq!(passed.iter().filter(is_image).count(), 0);
    for member in members {
        assert!(registry.tags(&project.repository(member)).contains(&project.sha_tag()));
        assert_eq!(project.record()[member]["gitShaTag"], format!("{}:{}", project.name(member), project.sha_tag()));
    }
    project.is_published_in(&registry);
}

#[test]
#[ignore = "needs a registry and skopeo"]
fn only_what_a_commit_changes_is_built_and_pushed() {
    let shared = Shared::new("one-of-two", &["one", "two"], "");
    shared.publish("").ok();
    let (old_tag, one, two) = (shared.sha_tag(), shared.recorded("one"), shared.recorded("two"));
    shared.change("two", "another");
    let output = shared.publish("").ok().says("cargo: compiling two for ");
    decided(&output, &["adopt  one", "build  two"]);
    let changes = changes(&output);
    assert_eq!(changes[0].1, "unchanged");
    assert!(changes[1].1.starts_with("changed"), "{changes:?}");
    assert_eq!(shared.recorded("one"), one);
    assert_ne!(shared.recorded("two"), two);
    shared.is_published_in(&shared.registry);
    // What was published before is what it was.
    assert_eq!(shared.registry.digest(&shared.repository("two"), &old_tag), two);
    assert_eq!(shared.registry.digest(&shared.repository("one"), &old_tag), one);
}

#[test]
#[ignore = "needs a registry and skopeo"]
fn a_subset_carries_the_others_on_while_the_registry_has_them() {
    let shared = Shared::new("subset", &["one", "two"], "");
    shared.publish("").ok();
    let before = shared.record();
    shared.change("one", "changed");
    shared.change("two", "changed as well");
    decided(&shared.publish("two").ok(), &["build  two"]);
    let after = shared.record();
    assert_eq!(after["one"], before["one"]);
    assert_ne!(after["two"]["digest"], before["two"]["digest"]);
    let services: Value = serde_json::from_str(&shared.read(SERVICES)).unwrap();
    assert_eq!(services["images"].as_array().unwrap().len(), 2);
    shared.run("digests verify").ok();

    // Narrowed by git.
    shared.change("two", "once more");
    decided(&shared.publish("--affected HEAD~1").ok(), &["build  two"]);
    assert_eq!(shared.record()["one"], before["one"]);

    shared.registry.delete(&shared.repository("one"), "main");
    let record = shared.read(RECORD);
    let output = shared.publish("two").fails().says("which the registry does not have any more");
    let gone = format!("`{}@{}`", shared.name("one"), before["one"]["digest"].as_str().unwrap());
    assert!(output.stderr.contains(&gone) && output.stderr.contains("publish all components"), "{}", output.stderr);
    assert_eq!(shared.read(RECORD), record);
    decided(&shared.publish("").ok(), &["build  one", "adopt  two"]);
}

#[test]
#[ignore = "needs a registry and skopeo"]
fn one_that_fails_leaves_the_record_and_says_what_was_pushed() {
    let shared = Shared::new("fails", &["one", "three", "two"], "");
    shared.publish("").ok();
    let (record, services, old_tag) = (shared.read(RECORD), shared.read(SERVICES), shared.sha_tag());
    shared.write("one/src/main.rs", "fn main() { nonsense }\n");
    shared.change("two", "changed");
    let output = shared.publish("").fails().says("error: not published: one; the digest record is as it was");
    decided(&output, &["build  one", "adopt  three", "build  two"]);
    assert_eq!((shared.read(RECORD), shared.read(SERVICES)), (record, services));
    // What is there without tags of its own is named, and no tag has moved.
    let pushed = output.stderr.lines().find_map(|line| line.strip_prefix(&format!("pushed {}@", shared.name("two"))));
    let digest = pushed.and_then(|rest| rest.strip_suffix(", without tags")).expect(&output.stderr).to_owned();
    for component in ["one", "three", "two"] {
        assert!(!shared.registry.tags(&shared.repository(component)).contains(&shared.sha_tag()));
    }
    assert_eq!(shared.registry.digest(&shared.repository("two"), "main"), shared.recorded("two"));
    assert_ne!(shared.recorded("two"), digest);
    shared.is_published_in(&shared.registry);

    shared.change("one", "mended");
    let output = shared.publish("").ok().says("cargo: compiling one for ");
    decided(&output, &["build  one", "adopt  three", "adopt  two"]);
    assert_eq!(shared.recorded("two"), digest);
    shared.is_published_in(&shared.registry);
    assert_eq!(shared.registry.tags(&shared.repository("three")).iter().filter(|tag| **tag == old_tag).count(), 1);
}

#[test]
#[ignore = "needs a registry and skopeo"]
fn a_dry_run_tells_all_and_changes_nothing() {
    let shared = Shared::new("dry", &["one", "two"], "");
    let plan = shared.publish("--dry-run --tag 1.0").ok().stdout;
    let (one, sha_tag) = (shared.name("one"), shared.sha_tag());
    for line in [
        "build  one: the registry has no image of these inputs\n",
        &format!("tag    {one}:{sha_tag}\n"),
        &format!("tag    {one}:main (may move)\n"),
        &format!("tag    {one}:1.0\n"),
        &format!("write  {}\n", shared.path(RECORD).display()),
    ] {
        assert!(plan.contains(line), "no `{line}` in:\n{plan}");
    }
    assert!(plan.contains("cargo build --release"), "{plan}");
    assert!(!shared.path("artifacts").exists() && !shared.path("target/docker/oci").exists());
    assert_eq!(shared.registry.tags(&shared.repository("one")), [""; 0]);

    // What is there, is adopted; what differs from the commit is warned of.
    shared.publish("two").ok();
    shared.write("notes.md", "text\n");
    let record = shared.read(RECORD);
    let output = shared.publish("--dry-run").ok().says("warning: the tree differs from its commit: notes.md");
    assert!(output.stdout.contains("adopt  two: same inputs as before (sha256:"), "{}", output.stdout);
    assert!(output.stdout.contains(":sha-") && output.stdout.contains("-dirty (may move)"), "{}", output.stdout);
    assert_eq!(shared.read(RECORD), record);
    assert_eq!(shared.registry.tags(&shared.repository("one")), [""; 0]);

    shared.publish("").fails().says("error: the tree differs from its commit: notes.md\n");
    shared.publish("--allow-dirty").ok();
    assert!(shared.registry.tags(&shared.repository("one")).contains(&format!("{sha_tag}-dirty")));
}

#[test]
#[ignore = "needs a container engine, a registry and skopeo"]
fn the_engine_compiles_for_a_publication_too() {
    let shared = Shared::new("engine", &["one"], "builder-image = \"rust:1.95-bookworm\"\n");
    // Without a docker configuration of its own: the engine's plug-ins are beside it.
    let publish = || shared.xtask("publish --builder docker").env("CI_IMAGE_PLATFORM", own_platform());
    decided(&publish().ok().says("one: compiling for "), &["build  one"]);
    shared.is_published_in(&shared.registry);
    let image = format!("{}@{}", shared.name("one"), shared.recorded("one"));
    docker(&format!("pull --quiet {image}"));
    assert_eq!(docker(&format!("run --rm {image}")), format!("one {}", shared.id));
    run("docker", &["rmi", &image]);
    decided(&publish().ok().says_nothing_of("compiling"), &["adopt  one"]);
}

#[test]
#[ignore = "needs a registry and skopeo"]
fn manifests_are_pinned_unless_they_are_to_stay() {
    let shared = Shared::new("pins", &["one"], "");
    let pod = format!("kind: Pod\nspec:\n  containers:\n    - image: {}:main # kept\n", shared.name("one"));
    shared.write("k8s/pod.yaml", &pod).commit("manifests");
    shared.publish("--no-manifests").ok().says_nothing_of("pinned");
    assert_eq!(shared.read("k8s/pod.yaml"), pod);
    shared.publish("").ok().says("pinned k8s/pod.yaml\n");
    let pinned = pod.replace(":main", &format!("@{}", shared.recorded("one")));
    assert_eq!(shared.read("k8s/pod.yaml"), pinned);
    // What it wrote itself does not make the tree dirty.
    shared.publish("").ok().says_nothing_of("pinned");
    shared.change("one", "changed");
    shared.publish("").ok().says("pinned k8s/pod.yaml\n");
    assert_eq!(shared.read("k8s/pod.yaml"), pod.replace(":main", &format!("@{}", shared.recorded("one"))));
}
