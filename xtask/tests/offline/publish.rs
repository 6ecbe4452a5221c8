//! Publications that push nothing, and those that are refused before a registry is asked.

use serde_json::{Value, json};

use crate::support::{Fixture, own_platform};

const MANIFEST: &str = "artifacts/docker/service-image-manifest.json";
const RECORD: &str = "artifacts/docker/docker-image-digests.json";

fn fixture() -> Fixture {
    let fixture = Fixture::simple(&["api", "worker"]);
    fixture.append("Cargo.toml", "[workspace.metadata.docker]\nregistry = \"registry.invalid\"\n");
    fixture.write(".gitignore", "/target\n/artifacts\n").git_init();
    fixture
}

fn manifest(fixture: &Fixture) -> Value {
    serde_json::from_str(&fixture.read(MANIFEST)).expect("a service manifest")
}

#[test]
fn a_rehearsal_writes_the_service_manifest_from_the_plan_alone() {
    let fixture = fixture();
    fixture.xtask("publish --rehearse --tag 2025.11.0").ok().says("rehearsal: nothing was built or pushed\n");
    let image = |name: &str| json!({ "name": name, "image": format!("registry.invalid/{name}:2025.11.0") });
    let expected = json!({
        "registry": "registry.invalid",
        "tag": "2025.11.0",
        "push": false,
        "images": [image("api"), image("worker")],
    });
    assert_eq!(manifest(&fixture), expected);
    assert!(!fixture.path(RECORD).exists() && !fixture.path("target/docker").exists());
    // Variables say the same, arguments win, and names are checked.
    let run = fixture.xtask("publish --rehearse").env("CI_SERVICES", "worker").env("CI_IMAGE_TAG", "7");
    run.env("CI_REGISTRY", "registry.stage").ok();
    assert_eq!(manifest(&fixture)["images"], json!([{ "name": "worker", "image": "registry.stage/worker:7" }]));
    fixture.xtask("publish --rehearse apy").fails().says("Unknown service(s) requested: apy");
}

#[test]
fn without_a_tag_the_manifest_names_the_commits() {
    let fixture = fixture();
    let run = fixture.xtask("publish --rehearse").env("GITHUB_REPOSITORY", "Acme/shop");
    run.ok();
    let tag = format!("sha-{}", &fixture.head()[..7]);
    assert_eq!(manifest(&fixture)["tag"], *tag);
    assert_eq!(manifest(&fixture)["images"][0]["image"], *format!("registry.invalid/acme/api:{tag}"));
    fixture.append("api/src/main.rs", "// changed\n");
    fixture.xtask("publish --rehearse").ok();
    assert_eq!(manifest(&fixture)["tag"], *format!("{tag}-dirty"));
}

#[test]
fn nothing_is_pushed_when_ci_says_so_or_for_a_pull_request() {
    let fixture = fixture();
    let run = |name: &str, value: &str| {
        let run = fixture.xtask("publish api --builder native").env("CI_IMAGE_PLATFORM", own_platform());
        run.env(name, value)
    };
    run("CI_PUSH", "false").ok().says("`CI_PUSH` is false: images are built and not pushed\n");
    fixture.image("api");
    assert_eq!(manifest(&fixture)["push"], false);
    assert!(!fixture.path(RECORD).exists());
    let pull = run("GITHUB_REF", "refs/pull/7/merge").env("GITHUB_EVENT_NAME", "pull_request");
    let tags = format!("their tags would be `sha-{}`, `pr-7`\n", &fixture.head()[..7]);
    pull.ok().says("this is a pull request: images are built and not pushed\n").says(&tags);
    run("CI_PUSH", "no").fails().says("error: `CI_PUSH` is `no`; it can be `true` or `false`\n");
    let planned = run("CI_PUSH", "false").arg("--dry-run").ok();
    assert!(planned.stdout.contains("run    ") && planned.stdout.contains("write  artifacts/"), "{planned:?}");
}

#[test]
fn a_failed_build_writes_no_service_manifest() {
    let fixture = fixture();
    fixture.write("api/src/main.rs", "fn main() { nonsense }\n").commit("bad");
    let run = fixture.xtask("publish --builder native").env("CI_PUSH", "false");
    run.env("CI_IMAGE_PLATFORM", own_platform()).fails().says("error: not built: api; built and kept: worker\n");
    assert!(!fixture.path(MANIFEST).exists());
}

#[test]
fn a_stub_in_the_engines_place_is_a_rehearsal() {
    let fixture = fixture();
    let calls = fixture.beside("calls");
    let text = format!("#!/bin/sh\necho \"$*\" >>'{}'\n", calls.display());
    let stub = fixture.script("../stub/docker", &text);
    let run = |arguments: &str| fixture.xtask(arguments).env("CI_PUSH", "false").env("CI_DOCKER_CLI", &stub);
    run("publish").ok().says("so it is taken for a stub; nothing was built\n");
    for (name, value) in [("GITHUB_REF", "refs/pull/8/merge"), ("CI_MERGE_REQUEST_IID", "8")] {
        let loaded = run("docker-build --builder native --load --dry-run").env(name, value).ok().stdout;
        assert_eq!(loaded.matches(":pr-8\n").count(), 2, "{loaded}");
    }
    let logged = std::fs::read_to_string(&calls).unwrap();
    let builds: Vec<&str> = logged.lines().filter(|call| call.contains("--target executable")).collect();
    assert_eq!(builds.len(), 2, "{logged}");
    assert!(!logged.contains("login"), "{logged}");
    assert_eq!(manifest(&fixture)["images"].as_array().unwrap().len(), 2);
    assert!(!fixture.path(RECORD).exists());

    let failing = text + "case \"$*\" in *--target*) echo broken >&2; exit 3;; esac\n";
    fixture.script("../stub/docker", &failing);
    fixture.remove(MANIFEST);
    run("publish").fails().says("broken");
    assert!(!fixture.path(MANIFEST).exists());
}

#[test]
fn what_differs_from_the_commit_is_not_published() {
    let fixture = fixture();
    // What a publication writes itself does not count.
    fixture.write("k8s/app.yaml", "kind: Namespace\n").write("notes.md", "text\n");
    let run = || fixture.xtask("publish --builder native");
    run().fails().says("error: the tree differs from its commit: notes.md\n").says("`--allow-dirty`");
    assert!(!fixture.path("target/docker/oci").exists());
}

#[test]
fn images_need_a_commit_for_their_tags() {
    let fixture = Fixture::simple(&["api"]);
    let none = "error: images are tagged with the commit, and there is none here\nhint: make a first commit, or set `GITHUB_SHA`";
    fixture.xtask("publish --rehearse").fails().says(none);
    let sha = "9c68c4a0123456789012345678901234567890ab";
    fixture.xtask("publish --rehearse").env("GITHUB_SHA", sha).ok();
    assert_eq!(manifest(&fixture)["tag"], "sha-9c68c4a");
}

#[test]
fn wrong_usage_is_told_before_anything_is_done() {
    let fixture = fixture();
    fixture.xtask("publish --by-digest").misused().says("--digests <FILE>");
    fixture.xtask("publish --registry https://x.example").misused().says("write the host without");
    fixture.xtask("publish --rehearse --tag bad/tag").fails().says("tag `bad/tag` is not valid");
    fixture.xtask("publish --rehearse --tag inputs-12").fails().says("tag `inputs-12` is refused");
    fixture.append("Cargo.toml", "sha-tag = \"{short}/x\"\n").commit("bad template");
    fixture.xtask("publish --rehearse").fails().says("`sha-tag = \"{short}/x\"` gives no valid tag");
}

#[test]
fn a_registry_that_cannot_be_reached_fails_before_anything_is_built() {
    let fixture = fixture();
    // Nobody listens on the discard port.
    let failed = fixture.xtask("publish --builder native --registry localhost:9").fails();
    assert!(
        failed.stderr.contains("cannot look up `localhost:9/") && failed.stderr.contains("cannot reach"),
        "{failed:?}"
    );
    assert!(!fixture.path("target/docker/oci").exists() && !fixture.path(RECORD).exists());
}

#[test]
fn build_scripts_do_not_see_the_registrys_password() {
    let fixture = Fixture::simple(&["app"]);
    let script = r#"fn main() {
    let seen: Vec<_> = std::env::vars().filter(|(name, _)| name.starts_with("CI_REGISTRY_")).collect();
    println!("cargo::rustc-env=SEEN={seen:?}");
}
"#;
    fixture.write("app/build.rs", script);
    fixture.write("app/src/main.rs", "fn main() { println!(\"{}\", env!(\"SEEN\")); }\n").git_init();
    fixture
        .build("")
        .env("CI_REGISTRY_USERNAME", "somebody")
        .env("CI_REGISTRY_PASSWORD", "hunter2hunter2")
        .env("CI_REGISTRY_PASSWORD_STAGING", "hunter2hunter2")
        .ok()
        .says_nothing_of("hunter2");
    let program = fixture.image("app").extract_program(&fixture.beside(""));
    assert_eq!(crate::support::succeed(&mut std::process::Command::new(program)), "[]\n");
}
