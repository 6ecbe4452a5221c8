//! Builds that fail: what is said, and what is kept.

use crate::support::image::images;
use crate::support::{Fixture, own_architecture};

#[test]
fn one_component_that_does_not_compile_does_not_stop_the_other() {
    let fixture = Fixture::simple(&["bad", "good"]);
    fixture.write("bad/src/main.rs", "fn main() { nonsense }\n").git_init();
    let failed = fixture.build("").fails().says("cannot find value `nonsense`");
    assert!(failed.stdout.contains(&fixture.digest("good")), "{failed:?}");
    let end = "bad: error: `bad` does not compile for linux/ARCH; cargo's messages are above\n\
               error: not built: bad; built and kept: good\n";
    let end = end.replace("ARCH", own_architecture());
    assert!(failed.stderr.ends_with(&end), "{failed:?}");
    assert_eq!(images(&fixture.path("target/docker/oci")), ["good"]);
}

#[test]
fn a_failed_build_leaves_the_previous_image() {
    let fixture = Fixture::simple(&["app"]);
    fixture.git_init();
    fixture.build("").ok();
    let before = fixture.digest("app");
    fixture.write("app/src/main.rs", "fn main() { nonsense }\n");
    let failed = fixture.build("--json").fails().says("error: not built: app\n");
    assert_eq!(failed.stdout, "[]\n");
    assert_eq!(fixture.digest("app"), before);
    assert_eq!(fixture.image("app").digest, before);
}

#[test]
fn an_image_over_its_budget_is_refused_with_the_breakdown() {
    let fixture = Fixture::simple(&["app", "other"]);
    fixture.append("app/Cargo.toml", "[package.metadata.docker]\nmax-size = \"10 KiB\"\n");
    let failed = fixture.build("").fails().says(" compressed, over its `max-size` of 10 KiB\n").says("LAYER");
    for layer in ["root files", "executable"] {
        assert!(failed.stderr.lines().any(|line| line.starts_with(layer) && line.contains("iB")), "{failed:?}");
    }
    let failed = failed.says("error: not built: app; built and kept: other\n");
    assert_eq!(images(&fixture.path("target/docker/oci")), ["other"], "{failed:?}");
    fixture.replace("app/Cargo.toml", "10 KiB", "100 MiB");
    fixture.build("").ok();
}

#[test]
fn a_missing_rust_target_names_the_command_that_installs_it() {
    let fixture = Fixture::simple(&["app"]);
    // Nobody has this one.
    let failed = fixture.build("--platform linux/s390x").fails();
    let line = "hint: run `rustup target add s390x-unknown-linux-gnu`";
    assert!(
        failed.stderr.contains("error: the Rust target `s390x-unknown-linux-gnu` is not installed in `"),
        "{failed:?}"
    );
    assert!(failed.stderr.trim_end().ends_with(line), "{failed:?}");
    assert!(!fixture.path("target/docker/oci").exists());
}

#[test]
fn junk_as_platform_is_wrong_usage_and_unknown_platforms_are_errors() {
    let fixture = Fixture::simple(&["app"]);
    for junk in ["amd64", "linux/", "Linux/amd64", "--push"] {
        fixture.xtask(&format!("docker-build --platform={junk}")).misused().says("is not a platform, write it like");
    }
    let failed = fixture.xtask("docker-build --builder native --platform linux/mips").fails();
    failed.says("error: platform `linux/mips` is not supported\nhint: supported: linux/amd64, linux/arm64,");
    let wrong = fixture.xtask("docker-build").env("CI_IMAGE_PLATFORM", "amd64").fails();
    wrong.says("error: `CI_IMAGE_PLATFORM` is wrong\n").says("`amd64` is not a platform");
}

#[test]
fn an_engine_that_does_not_answer_fails_when_asked_for_and_is_passed_over_when_not() {
    let fixture = Fixture::simple(&["app"]);
    let engine = fixture.script("../engine/docker", "#!/bin/sh\necho 'cannot connect to the daemon' >&2\nexit 1\n");
    let run = |arguments: &str| {
        let build = fixture.xtask(&format!("docker-build {arguments}")).env("CI_DOCKER_CLI", &engine);
        build.env("CI_IMAGE_PLATFORM", crate::support::own_platform())
    };
    run("--builder docker")
        .fails()
        .says("error: `--builder docker` needs a container engine\n")
        .says("does not answer\n")
        .says("cannot connect to the daemon\n");
    run("--builder native --load").fails().says("error: `--load` needs a container engine\n");
    run("--load").fails().says("need a container engine\n").says("cannot connect to the daemon");
    assert!(!fixture.path("target/docker").exists());
    run("").ok().says("builder: native (the engine behind `").says("cannot connect to the daemon)");
    fixture.image("app");
}

#[test]
fn an_engine_that_is_not_there_is_passed_over() {
    let fixture = Fixture::simple(&["app"]);
    let run = |arguments: &str| {
        let build = fixture.xtask(&format!("docker-build {arguments}")).env("DOCKER_CLI", "no-such-engine");
        build.env("CI_IMAGE_PLATFORM", crate::support::own_platform())
    };
    run("").ok().says("builder: native (`no-such-engine` is not installed, or not on the PATH)");
    run("--builder docker").fails().says("caused by: `no-such-engine` is not installed, or not on the PATH\n");
}

#[test]
fn an_engine_that_exports_nothing_is_an_error() {
    let fixture = Fixture::simple(&["one", "two"]);
    let engine = fixture.script("../engine/docker", "#!/bin/sh\necho did nothing\nexit 0\n");
    let failed = fixture.xtask("docker-build --builder docker").env("CI_DOCKER_CLI", &engine).fails();
    let failed = failed.says("reported success and exported no `one`; all its output is in `");
    let failed = failed.says("error: not built: one, two\n");
    assert_eq!(images(&fixture.path("target/docker/oci")), Vec::<String>::new(), "{failed:?}");
    let logs = fixture.path("target/docker/logs");
    let log = logs.read_dir().unwrap().next().unwrap().unwrap().path();
    assert!(std::fs::read_to_string(log).unwrap().contains("did nothing"));
}

#[test]
fn an_engine_that_fails_is_shown_with_the_end_of_its_output() {
    let fixture = Fixture::simple(&["app"]);
    let script = "#!/bin/sh\ncase \"$*\" in *--target*) ;; *) exit 0;; esac\n\
                  for i in $(seq 100); do echo line $i; done\necho the reason >&2\nexit 7\n";
    let engine = fixture.script("../engine/docker", script);
    let failed = fixture.xtask("docker-build --builder docker").env("CI_DOCKER_CLI", &engine).fails();
    failed
        .says("app: error: all its output is in `")
        .says("--target executable")
        .says("(exit status: 7)\n")
        .says("line 100\n")
        .says("the reason\n")
        .says_nothing_of("line 50\n");
}

#[test]
fn a_folder_with_other_things_in_it_is_not_taken_for_a_layout() {
    let fixture = Fixture::simple(&["app"]);
    fixture.write("target/docker/oci/precious.txt", "mine");
    fixture.build("").fails().says("cannot open the image layout").says("the folder holds something else");
    assert_eq!(fixture.read("target/docker/oci/precious.txt"), "mine");
}

#[test]
fn damaged_notes_of_earlier_runs_are_made_again() {
    let fixture = Fixture::simple(&["app"]);
    fixture.git_init();
    fixture.append("Cargo.toml", "\n").commit("a manifest");
    fixture.build("").ok();
    let before = fixture.digest("app");
    let mut damaged = 0;
    for folder in ["target/docker", "target/docker/past", "target/docker/oci"] {
        for entry in fixture.path(folder).read_dir().unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "json") {
                std::fs::write(path, "{\"damaged").unwrap();
                damaged += 1;
            }
        }
    }
    assert!(damaged >= 3, "{damaged}");
    fixture.build("").ok();
    assert_eq!(fixture.image("app").digest, before);
}

#[test]
fn a_damaged_layout_is_mended() {
    let fixture = Fixture::simple(&["one", "two"]);
    fixture.git_init();
    fixture.build("").ok();
    let before = (fixture.digest("one"), fixture.digest("two"));
    let blobs = fixture.path("target/docker/oci/blobs/sha256");
    for blob in blobs.read_dir().unwrap() {
        std::fs::write(blob.unwrap().path(), "damaged").unwrap();
    }
    fixture.build("").ok();
    assert_eq!((fixture.image("one").digest, fixture.image("two").digest), before);
}
