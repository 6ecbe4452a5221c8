//! `images.lock` where no registry is asked.

use crate::support::Fixture;

const DIGEST: &str = "sha256:e9d4bece177a156b478756e6f3522d0ace6c8b96727c3e6c67d9ad280ef0896a";

fn fixture(entries: &str) -> Fixture {
    let fixture = Fixture::simple(&["one"]);
    let settings = "[workspace.metadata.docker]\nruntime-image = \"gcr.io/distroless/static\"\n\
                    builder-image = \"rust:1.95-bookworm\"\n";
    fixture.append("Cargo.toml", settings);
    fixture.write("images.lock", &format!("version = 1\n\n[images]\n{entries}"));
    fixture
}

fn locked() -> Fixture {
    fixture(&format!(
        "\"docker.io/library/rust:1.95-bookworm\" = \"local\"\n\"gcr.io/distroless/static:latest\" = \"{DIGEST}\"\n\
         \"gcr.io/distroless/unused:latest\" = \"{DIGEST}\"\n"
    ))
}

#[test]
fn dockerfiles_begin_with_what_is_locked_and_say_so() {
    let fixture = locked();
    fixture.xtask("dockerfiles").ok();
    let text = fixture.read("one/Dockerfile");
    assert!(text.contains("\nFROM --platform=$BUILDPLATFORM rust:1.95-bookworm AS builder-amd64\n"), "{text}");
    assert!(text.contains(&format!("\nFROM gcr.io/distroless/static@{DIGEST} AS image\n")), "{text}");
    assert!(text.contains(&format!("org.opencontainers.image.base.digest={:?}", DIGEST)), "{text}");
    assert!(text.contains("org.opencontainers.image.base.name=\"gcr.io/distroless/static:latest\""), "{text}");
    fixture.replace("images.lock", "e9d4", "0000");
    let drift = fixture.xtask("dockerfiles --check").fails();
    assert!(drift.stdout.contains("+FROM gcr.io/distroless/static@sha256:0000bece"), "{}", drift.stdout);
    fixture.append("Cargo.toml", "mirror = \"mirror.dev/us\"\n").xtask("dockerfiles").ok();
    let text = fixture.read("one/Dockerfile");
    assert!(text.contains("\nFROM mirror.dev/us/distroless/static@sha256:0000bece"), "{text}");
    assert!(text.contains("base.name=\"gcr.io/distroless/static:latest\""), "{text}");
    // Without a lock all is as it was; and what is not known of a base hides what that says of its own.
    fixture.remove("images.lock").xtask("dockerfiles").ok();
    let text = fixture.read("one/Dockerfile");
    assert!(text.contains("\nFROM gcr.io/distroless/static AS image\n"), "{text}");
    assert!(text.contains("org.opencontainers.image.base.digest=\"\""), "{text}");
}

#[test]
fn what_is_not_locked_is_refused_and_what_builds_do_not_use_is_not_asked_for() {
    let fixture = locked();
    let listed = fixture.xtask("bases").ok();
    let lines: Vec<Vec<&str>> = listed.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[1], ["gcr.io/distroless/static", "runtime-image", "locked", DIGEST]);
    assert_eq!(lines[2], ["rust:1.95-bookworm", "builder-image", "local", "-"]);
    assert_eq!(lines[3], ["gcr.io/distroless/unused:latest", "-", "stale", DIGEST]);
    fixture.replace("images.lock", "rust:1.95", "rust:1.94");
    fixture.xtask("dockerfiles").fails().says("`rust:1.95-bookworm` is not in `images.lock`");
    fixture.replace("images.lock", "static:latest", "static:other");
    let refused = "error: `gcr.io/distroless/static` is not in `images.lock`, which decides what builds use\n\
                   hint: run `cargo xtask bases --update`, and commit the file\n";
    fixture.build("").fails().says(refused);
    fixture.xtask("components").ok();
    fixture.replace("Cargo.toml", "gcr.io/distroless/static", "scratch");
    fixture.build("--dry-run").ok();
}

#[test]
fn a_changed_entry_is_an_input_of_all_and_a_stale_one_of_none() {
    let fixture = locked();
    fixture.git_init();
    let affected = || {
        let list = fixture.xtask("components --affected HEAD --json").ok().json();
        list.as_array().unwrap().iter().map(|one| one["affected"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    fixture.replace("images.lock", "unused:latest", "unused:1");
    assert!(affected().is_empty(), "{:?}", affected());
    fixture.replace("images.lock", "e9d4", "0000");
    assert_eq!(affected(), ["lock entry `gcr.io/distroless/static:latest`"]);
}

#[test]
fn a_malformed_lock_names_the_file_the_place_and_the_mend() {
    let fixture = fixture("<<<<<<< HEAD\n");
    let failed = fixture.xtask("components").fails().says("images.lock`").says("line 4");
    failed.says("hint: restore it from git, or delete it and run `cargo xtask bases --update`");
    fixture.write("images.lock", "version = 1\n[images]\n\"rust:1\" = \"local\"\n");
    fixture.xtask("bases --update").fails().says("`rust:1` has to be written `docker.io/library/rust:1`");
    fixture.xtask("bases --update --check").misused();
    fixture.xtask("bases --dry-run").misused();
}
