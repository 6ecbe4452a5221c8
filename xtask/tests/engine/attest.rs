//! What publications attach to images, found by another tool.

use serde_json::{Value, json};

use crate::parts::tool;
use crate::project::Project;
use crate::registry::Registry;

/// The documents attached to the image of `one`, by type.
#[track_caller]
fn attached(project: &Project) -> Vec<(String, Value)> {
    let digest = project.recorded("one");
    let image = format!("{}@{digest}", project.name("one"));
    let listed = tool("oras", &["discover", "--plain-http", "--format", "json", &image]);
    let listed: Value = serde_json::from_str(&listed).expect("a list");
    let entries = listed["referrers"].as_array().or(listed["manifests"].as_array()).cloned().unwrap_or_default();
    let read = |entry: &Value| {
        let named = |digest: &Value| format!("{}@{}", project.name("one"), digest.as_str().expect("a digest"));
        let manifest = tool("oras", &["manifest", "fetch", "--plain-http", &named(&entry["digest"])]);
        let manifest: Value = serde_json::from_str(&manifest).expect("a manifest");
        let blob = named(&manifest["layers"][0]["digest"]);
        let document = tool("oras", &["blob", "fetch", "--plain-http", "--output", "-", &blob]);
        (entry["artifactType"].as_str().expect("a type").to_owned(), serde_json::from_str(&document).expect("JSON"))
    };
    let mut all: Vec<(String, Value)> = entries.iter().map(read).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

fn types(attached: &[(String, Value)]) -> Vec<&str> {
    attached.iter().map(|(kind, _)| kind.as_str()).collect()
}

const LISTS: [&str; 2] = ["application/spdx+json", "application/vnd.cyclonedx+json"];
const STATEMENT: &str = "application/vnd.in-toto+json";

#[test]
#[ignore = "needs docker-registry, skopeo and oras"]
fn who_builds_says_how_and_of_what() {
    let registry = Registry::start();
    let project = Project::new(&registry.host, "attest", &["one"], "");
    project.publish("").ok();
    assert!(attached(&project).is_empty());
    // Adopted, nobody could say how it was made; built again, it is the same image.
    let unattested = project.recorded("one");
    project.publish("--attest").ok().says("nobody says how it was made").says("attached");
    assert_eq!(types(&attached(&project)), [LISTS[0], LISTS[1], STATEMENT]);
    assert_eq!(project.recorded("one"), unattested);
    project.publish("--attest").ok().says_nothing_of("attached").says_nothing_of("compiling");

    project.change("one", "again");
    project.publish("--attest").ok();
    let first = attached(&project);
    assert_eq!(types(&first), [LISTS[0], LISTS[1], STATEMENT]);
    let statement = &first[2].1;
    let digest = project.recorded("one");
    assert_eq!(statement["subject"][0]["digest"]["sha256"], digest.trim_start_matches("sha256:"));
    let build = &statement["predicate"]["buildDefinition"];
    assert_eq!(build["resolvedDependencies"][0]["digest"], json!({ "gitCommit": project.head() }));
    // No variable, no configuration: who has the lines can make the hash that the image and its tag carry.
    let lines = build["internalParameters"]["inputs"].as_array().expect("lines");
    let text: String = lines.iter().map(|line| format!("{}\n", line.as_str().expect("a line"))).collect();
    let hash = crate::support::image::digest(text.as_bytes());
    assert_eq!(build["internalParameters"]["inputHash"], hash.trim_start_matches("sha256:"));
    let tag = format!("inputs-{}", &hash["sha256:".len()..][..16]);
    assert_eq!(registry.digest(&project.repository("one"), &tag), digest);

    // Built again, it is the same image, and nothing is there twice.
    project.publish("--attest --rebuild").ok();
    assert_eq!(attached(&project), first);
}
