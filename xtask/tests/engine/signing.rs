//! Signatures: made with the real cosign, found by it in the registry, and refused when they are not for this image or
//! by this key.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::parts::{run, tool};
use crate::project::Project;
use crate::registry::Registry;

pub(crate) const PASSWORD: &str = "a long Secret-7";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const SETTINGS: &str = "sign = { key = \"cosign.key\", public-key = \"cosign.pub\" }";

/// Makes `NAME.key` and `NAME.pub`, ignored by git.
pub(crate) fn key_pair(project: &Project, name: &str) {
    let mut command = Command::new("cosign");
    command.args(["generate-key-pair", "--output-key-prefix", name]).current_dir(project.root());
    let made = command.env("COSIGN_PASSWORD", PASSWORD).output().expect("cosign");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

pub(crate) fn project(registry: &Registry, name: &str, members: &[&str]) -> Project {
    let project = Project::new(&registry.host, name, members, SETTINGS);
    key_pair(&project, "cosign");
    project.write(".gitignore", "*.key\n*.pub\ntarget\nartifacts\n");
    project.commit("keys are ignored");
    project
}

/// Cosign itself, at the registry.
fn cosign(project: &Project, command: &str, image: &str) -> crate::parts::Ended {
    let key = project.path("cosign.pub").display().to_string();
    let mut all: Vec<&str> = command.split(' ').collect();
    all.extend(["--key", &key, "--insecure-ignore-tlog", image]);
    run("cosign", &all)
}

/// What is attached to an image, by another tool: type and name of each.
pub(crate) fn attached(image: &str) -> Vec<(String, String)> {
    let found = tool("oras", &["discover", "--plain-http", "--format", "json", image]);
    let found: Value = serde_json::from_str(&found).expect("JSON");
    let list = found["referrers"].as_array().or_else(|| found["manifests"].as_array()).expect("a list").clone();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    list.iter().map(|it| (text(&it["artifactType"]), text(&it["annotations"]["xtask.attachment"]))).collect()
}

#[test]
#[ignore = "needs docker-registry, skopeo, oras and cosign"]
fn what_is_signed_once_is_found_by_cosign_and_stays() {
    let registry = Registry::start();
    let project = project(&registry, "signed", &["one", "two"]);
    // A key that cannot be used is told before anything is built, and its password nowhere.
    let wrong = project.publish("--sign").env("COSIGN_PASSWORD", "wrong-Secret-8");
    let wrong = wrong.fails().says("cannot sign with the key `cosign.key`").says("hint: set `COSIGN_PASSWORD`");
    wrong.says_nothing_of("Secret-8").says_nothing_of("compiling");
    project.publish("--sign").fails().says("hint: set `COSIGN_PASSWORD`");
    project.run("verify --key none.pub").fails().says("there is no public key `none.pub`");

    let output = project.publish("--sign").env("COSIGN_PASSWORD", PASSWORD).ok();
    output.says("signed one: signature of").says("signed release: signature of").says_nothing_of(PASSWORD);
    let image = format!("{}@{}", project.name("one"), project.recorded("one"));
    assert_eq!(attached(&image), [(BUNDLE.to_owned(), "signature".to_owned())]);
    let found = cosign(&project, "verify", &image);
    assert!(found.success, "{}", found.stderr);
    assert!(found.stdout.contains("https://sigstore.dev/cosign/sign/v1"), "{}", found.stdout);
    // By the tag as well, whose digest it is.
    let found = cosign(&project, "verify", &format!("{}:main", project.name("one")));
    assert!(found.success, "{}", found.stderr);
    let verified = project.run("verify --json").ok().json();
    assert_eq!(verified["passed"], true, "{verified}");
    assert_eq!(verified["components"]["two"]["checks"]["signature"]["verdict"], "signed");
    assert_eq!(verified["signature"], "signed");
    project.run("verify --require signature,sbom").fails().says("one: sbom is required, and is missing");

    // Nothing new is signed again; what another tool signed stays.
    let again = project.publish("--sign").env("COSIGN_PASSWORD", PASSWORD).ok();
    again.says_nothing_of("signed one").says_nothing_of("signed release");
    let key = project.path("cosign.key").display().to_string();
    let mut sign = Command::new("cosign");
    sign.args(["sign", "--yes", "--use-signing-config=false", "--tlog-upload=false", "--key", &key, &image]);
    assert!(sign.env("COSIGN_PASSWORD", PASSWORD).status().expect("cosign").success());
    // By another key, ours is replaced.
    key_pair(&project, "next");
    let next = project.publish("--sign").env("COSIGN_PASSWORD", PASSWORD).env("COSIGN_KEY", "next.key").ok();
    next.says("signed one");
    let mut found = attached(&image);
    found.sort();
    assert_eq!(found, [(BUNDLE.to_owned(), String::new()), (BUNDLE.to_owned(), "signature".to_owned())]);
    project.run("verify --key next.pub").ok();
    // One is signed by somebody else too, the other is not.
    let refused = project.run("verify --json").fails().json();
    assert_eq!(refused["components"]["one"]["checks"]["signature"]["verdict"], "signed");
    assert_eq!(refused["components"]["two"]["checks"]["signature"]["verdict"], "invalid", "{refused}");
}

#[test]
#[ignore = "needs docker-registry, skopeo, oras and cosign"]
fn a_signature_of_another_image_is_refused() {
    let registry = Registry::start();
    let project = project(&registry, "forged", &["one"]);
    let publish = || project.publish("--sign").env("COSIGN_PASSWORD", PASSWORD).ok();
    publish();
    let (first, repository) = (project.recorded("one"), project.repository("one"));
    project.change("one", "another");
    project.publish("").ok();
    let second = project.recorded("one");
    // Nobody signed this one.
    project.run("verify").fails().says("one: signature is required, and is missing");
    // The first one's signature, attached to it.
    let name = project.name("one");
    let found = tool("oras", &["discover", "--plain-http", "--format", "json", &format!("{name}@{first}")]);
    let found: Value = serde_json::from_str(&found).unwrap();
    let manifest = found["referrers"][0]["digest"].as_str().or(found["manifests"][0]["digest"].as_str()).unwrap();
    let manifest: Value = serde_json::from_str(&registry.raw(&repository, &format!("@{manifest}"))).unwrap();
    let blob = format!("{name}@{}", manifest["layers"][0]["digest"].as_str().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bundle.json");
    tool("oras", &["blob", "fetch", "--plain-http", "--output", &file.display().to_string(), &blob]);
    attach(folder.path(), &format!("{name}@{second}"));
    let refused = project.run("verify").fails().says("one: signature is required, and is invalid");
    refused.says("it is a statement about another image");
    assert!(!cosign(&project, "verify", &format!("{name}@{second}")).success);
    // Damaged, it is none either.
    std::fs::write(&file, json!({"dsseEnvelope": 7}).to_string()).unwrap();
    attach(folder.path(), &format!("{name}@{second}"));
    project.run("verify").fails().says("one: signature is required, and is invalid");
    // Signed at last, what was attached beside it does no harm, and what others say in our name is not signed. Nor is
    // the image believed for the label that anybody can give it: it is built.
    let statement = json!({"_type": "https://in-toto.io/Statement/v1", "predicateType": "https://slsa.dev/provenance/v1",
        "subject": [{"digest": {"sha256": second.trim_start_matches("sha256:")}}], "predicate": {}});
    std::fs::write(&file, statement.to_string()).unwrap();
    let statement = "application/vnd.in-toto+json";
    let mut plant = Command::new("oras");
    plant.args(["attach", "--plain-http", "--artifact-type", statement, "--annotation", "xtask.attachment=provenance"]);
    plant.args([&format!("{name}@{second}"), &format!("bundle.json:{statement}")]).current_dir(folder.path());
    assert!(plant.status().expect("oras").success());
    let again = project.publish("--sign").env("COSIGN_PASSWORD", PASSWORD).ok();
    again.says("which we did not sign").says("signed one: signature of");
    assert_eq!(project.recorded("one"), second);
    let bundles =
        attached(&format!("{name}@{second}")).into_iter().filter(|(kind, of)| kind == BUNDLE && !of.is_empty());
    assert_eq!(bundles.map(|(_, of)| of).collect::<Vec<_>>(), ["signature"]);
    project.run("verify").ok();
    let verified = cosign(&project, "verify", &format!("{name}@{second}"));
    assert!(verified.success, "{}", verified.stderr);
}

#[test]
#[ignore = "needs docker-registry and cosign"]
fn nothing_is_promoted_that_lacks_what_its_environment_requires() {
    let (registry, staging) = (Registry::start(), Registry::start());
    let project = project(&registry, "demanded", &["one"]);
    let environment = format!(
        "{SETTINGS}\n\n[workspace.metadata.docker.environments.staging]\nregistry = \"{}\"\nrequire = [\"signature\"]\n",
        staging.host
    );
    project.replace("Cargo.toml", SETTINGS, &environment).commit("an environment");
    let promote = |arguments: &str| project.run(&format!("promote --from local --to staging {arguments}"));
    project.publish("").ok();
    promote("").fails().says("one: signature is required, and is missing").says("nothing was changed");
    assert!(staging.tags(&project.repository("one")).is_empty());
    project.publish("--sign").env("COSIGN_PASSWORD", PASSWORD).ok();
    promote("--require-proof staging").fails().says("no signed test result says that `staging` ran exactly these");
    assert!(staging.tags(&project.repository("one")).is_empty());
    promote("").ok();
    assert_eq!(staging.digest(&project.repository("one"), &project.sha_tag()), project.recorded("one"));
}

/// Attaches `bundle.json` as other tools do.
fn attach(folder: &Path, image: &str) {
    let mut command = Command::new("oras");
    command.args(["attach", "--plain-http", "--artifact-type", BUNDLE, image, &format!("bundle.json:{BUNDLE}")]);
    let done = command.current_dir(folder).output().expect("oras");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}
