//! Releases in the registry: what each publication leaves, what is read from it, and what a kill leaves.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::parts::{tool, wait_for};
use crate::project::{Project, RECORD};
use crate::proxy::{Action, Proxy};
use crate::registry::Registry;

const TYPE: &str = "application/vnd.cargo-xtask.release.v1+json";

/// `releases …`, as JSON.
#[track_caller]
fn releases(project: &Project, arguments: &str) -> Value {
    project.run(&format!("releases {arguments} --json")).ok().json()
}

/// The document that a tag of the releases' repository leads to, read by another tool.
#[track_caller]
fn document(registry: &Registry, project: &Project, tag: &str) -> String {
    let repository = project.repository("releases");
    let manifest: Value = serde_json::from_str(&registry.raw(&repository, &format!(":{tag}"))).expect("a manifest");
    assert_eq!((&manifest["artifactType"], &manifest["layers"][0]["mediaType"]), (&json!(TYPE), &json!(TYPE)));
    let digest = manifest["layers"][0]["digest"].as_str().expect("a digest");
    let blob = format!("{}/{repository}@{digest}", registry.host);
    tool("oras", &["blob", "fetch", "--plain-http", "--output", "-", &blob])
}

#[track_caller]
fn stored(registry: &Registry, project: &Project, tag: &str) -> Value {
    serde_json::from_str(&document(registry, project, tag)).expect("a release")
}

#[test]
#[ignore = "needs docker-registry, skopeo and oras"]
fn every_publication_leaves_one_that_leads_to_the_one_before() {
    let registry = Registry::start();
    let project = Project::new(&registry.host, "releases", &["one", "two"], "");
    project.publish("").ok();
    let first = project.head();
    let second = project.change("two", "again");
    let output = project.publish("").ok();
    let record = project.read(RECORD);
    assert!(output.stdout.contains("  unchanged") && output.stdout.contains("  changed"), "{}", output.stdout);

    let listed = releases(&project, "list");
    let entries = listed.as_array().expect("a list");
    let commits: Vec<&Value> = entries.iter().map(|entry| &entry["commit"]).collect();
    assert_eq!(commits, [&json!(second), &json!(first)]);
    assert_eq!((&entries[0]["changed"], &entries[1]["changed"]), (&json!(["two"]), &json!(["one", "two"])));
    assert_eq!((&entries[0]["previous"], &entries[0]["subject"]), (&entries[1]["digest"], &json!("again")));
    // What another tool reads is what is shown.
    let shown = releases(&project, "show");
    assert_eq!(shown["release"], stored(&registry, &project, "main"));
    assert_eq!(shown["release"]["ref"], "refs/heads/main");
    assert_eq!(shown["release"]["components"]["one"]["version"], "0.1.0");
    for name in ["main", "latest", "HEAD", &project.sha_tag(), &second, &second[..9], shown["digest"].as_str().unwrap()]
    {
        assert_eq!(releases(&project, &format!("show {name}")), shown, "{name}");
    }
    assert_eq!(releases(&project, "show HEAD~1")["release"]["commit"], json!(first));
    // The record as it was written, wherever.
    std::fs::remove_file(project.path(RECORD)).expect("a record");
    project.run("releases fetch --dry-run").ok();
    assert!(!project.path(RECORD).exists());
    project.run("releases fetch").ok();
    assert_eq!(project.read(RECORD), record);
    let difference = releases(&project, "diff HEAD~1 HEAD");
    assert_eq!((&difference["same"], difference["differences"][0]["name"].as_str()), (&json!(["one"]), Some("two")));
    assert_eq!(difference["differences"][0]["commits"], json!([{ "commit": second, "subject": "again" }]));
    // Again, and as a version: the first writes none, the second leads to that of the branch.
    project.publish("").ok().says(", as before");
    project.git(&["tag", "v1.2.3"]);
    project.git(&["checkout", "--quiet", "v1.2.3"]);
    project.publish("").ok();
    let version = releases(&project, "show v1.2.3");
    assert_eq!((&version["release"]["previous"], &version["release"]["commit"]), (&shown["digest"], &json!(second)));
    assert_eq!(stored(&registry, &project, "main"), shown["release"]);

    for (arguments, says) in [
        ("show nothing", "names no release: it is no environment, no commit here, no digest, and no tag of"),
        ("list --branch gone", "there is no release"),
        ("list --env nowhere", "unknown environment `nowhere`"),
        ("show local", "nothing is known to run in `local`"),
    ] {
        project.run(&format!("releases {arguments}")).fails().says(says);
    }
    project.write("later.txt", "").commit("not published");
    project.run("releases show HEAD").fails().says(&format!("commit {} has no release", &project.head()[..7]));
}

#[test]
#[ignore = "needs docker-registry and skopeo"]
fn a_fresh_checkout_knows_what_was_published() {
    let registry = Registry::start();
    let project = Project::new(&registry.host, "fresh", &["one", "two"], "");
    project.publish("").ok();
    let (one, two) = (project.recorded("one"), project.recorded("two"));
    project.change("one", "other");
    let fresh = project.copy();
    std::fs::remove_file(fresh.path(RECORD)).expect("a record");
    // A part of the components: the other is carried on, and sizes are compared.
    let commit = &project.head()[..7];
    let dry = fresh.publish("one --dry-run").ok();
    assert!(
        dry.stdout.contains(&format!("carry  two: {two}")) && dry.stdout.contains("write  release "),
        "{}",
        dry.stdout
    );
    assert_eq!(registry.tags(&project.repository("releases")).iter().filter(|tag| tag.contains(commit)).count(), 0);
    let output = fresh.publish("one").ok();
    assert!(output.stdout.contains("  changed"), "{}", output.stdout);
    assert_ne!(fresh.recorded("one"), one);
    assert_eq!(fresh.recorded("two"), two);
    assert_eq!(releases(&fresh, "show")["release"]["components"]["two"]["digest"], json!(two));
    // A record that is older than the branch's release brings nothing old back.
    assert_eq!(project.recorded("one"), one);
    project.change("two", "newer");
    project.publish("two").ok();
    assert_eq!(project.recorded("one"), fresh.recorded("one"));
    // What a commit alone knows is said.
    let detached = fresh.copy();
    std::fs::remove_file(detached.path(RECORD)).expect("a record");
    detached.git(&["checkout", "--quiet", "-b", "feature"]);
    detached.publish("one").ok().says("as in the release of commit");
    // Names that say what environments run are for nobody else.
    let branch = project.publish("").env("GITHUB_REF", "refs/heads/deployed/test");
    branch.fails().says("tag `deployed-test` is refused").says_nothing_of("compiling");
}

#[test]
#[ignore = "needs docker-registry, skopeo and oras"]
fn the_same_commit_and_images_give_the_same_bytes() {
    let registries = [Registry::start(), Registry::start()];
    let project = Project::new("registry.example:5000", "bytes", &["one"], "");
    let documents = registries.each_ref().map(|registry| {
        project.copy().publish(&format!("--registry {}", registry.host)).ok();
        // Each names its registry; all else is alike, byte for byte.
        document(registry, &project, "main").replace(&registry.host, "HOST")
    });
    assert!(documents[0].contains("HOST/xtask-test/"), "{}", documents[0]);
    assert_eq!(documents[0], documents[1]);
    let again = project.copy();
    again.publish(&format!("--registry {}", registries[0].host)).ok().says(", as before");
}

/// All that tags of releases lead to is there: documents, and the images that they name.
#[track_caller]
fn is_consistent(registry: &Registry, project: &Project) {
    let repository = project.repository("releases");
    for tag in registry.tags(&repository) {
        let release = stored(registry, project, &tag);
        for component in release["components"].as_object().expect("components").values() {
            let (name, digest) = (component["repository"].as_str().unwrap(), component["digest"].as_str().unwrap());
            let (_, name) = name.split_once('/').expect("a registry's, or that of the proxy before it");
            registry.raw(name, &format!("@{digest}"));
        }
        if let Some(previous) = release["previous"].as_str() {
            registry.raw(&repository, &format!("@{previous}"));
        }
    }
}

/// Kills publications at one request after the other: `XTASK_KILL_POINTS` of them.
#[test]
#[ignore = "needs docker-registry, skopeo and oras"]
fn a_kill_at_any_request_leaves_no_release_of_what_is_missing() {
    let points: usize = std::env::var("XTASK_KILL_POINTS").map_or(70, |text| text.parse().expect("a number"));
    let registry = Registry::start();
    let project = Project::new(&registry.host, "kills", &["one", "two"], "");
    project.publish("").ok();
    let mut killed = 0;
    let mut at = 0;
    while killed < points {
        // Every third time no image is new, and tags and release are.
        match killed % 3 {
            0 => project.write("notes.txt", &killed.to_string()).commit("notes"),
            _ => project.change("two", &format!("version {killed}")),
        };
        let came = Arc::new(AtomicUsize::new(0));
        let (counted, stop_at) = (Arc::clone(&came), at);
        let proxy = Proxy::start(&registry.host, move |_| {
            match counted.fetch_add(1, Ordering::Relaxed) {
                count if count < stop_at => Action::Pass,
                // The first one too many may reach the registry or not.
                count if count == stop_at && stop_at % 3 == 0 => Action::LoseAnswer,
                _ => Action::Late(Duration::from_secs(20)),
            }
        });
        let run = project.publish(&format!("--registry {} --jobs 1", proxy.host));
        let mut child = run.command().stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the xtask");
        let began = Instant::now();
        wait_for("request", Duration::from_secs(60), || {
            came.load(Ordering::Relaxed) > stop_at || child.try_wait().expect("a child").is_some()
        });
        let ended = child.try_wait().expect("a child");
        if ended.is_none() {
            child.kill().and_then(|()| child.wait()).expect("a killed child");
            killed += 1;
            at += 1;
        } else {
            // All requests were passed: from the first one again.
            at = 0;
        }
        println!("point {at}: {:?}", began.elapsed());
        if killed % 10 == 0 || ended.is_some() {
            is_consistent(&registry, &project);
        }
    }
    is_consistent(&registry, &project);
    project.publish("").ok();
    project.is_published_in(&registry);
    is_consistent(&registry, &project);
    println!("killed {killed} publications, each one request later than the one before");
}
