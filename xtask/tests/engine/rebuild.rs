//! Releases that are built again: the same images, by whom they may be said to be, and what differs when they are not.

use std::process::Command;

use crate::project::Project;
use crate::registry::Registry;
use crate::signing::{PASSWORD, attached, key_pair, project};
use crate::support::Xtask;

fn signed(project: &Project, arguments: &str, key: &str) -> Xtask {
    project.run(arguments).env("COSIGN_PASSWORD", PASSWORD).env("COSIGN_KEY", key)
}

#[test]
#[ignore = "needs docker-registry, oras and cosign"]
fn what_was_built_again_is_said_by_each_builder_and_counted_once() {
    let registry = Registry::start();
    let project = project(&registry, "again", &["one", "two"]);
    key_pair(&project, "other");
    let sign = "sign = { key = \"cosign.key\", public-key = \"cosign.pub\"";
    let rebuilders = format!("{sign}, rebuilders = [\"cosign.pub\", \"other.pub\", \"./other.pub\"]");
    project.replace("Cargo.toml", sign, &rebuilders).commit("rebuilders");
    let publish = || project.publish("--sign").env("COSIGN_PASSWORD", PASSWORD).ok();
    publish();
    // Back to what it was: the first image is taken, which says an earlier commit.
    let first = project.recorded("two");
    project.change("two", "changed");
    publish();
    project.change("two", "two");
    publish();
    assert_eq!(project.recorded("two"), first);

    let output = project.run("verify --rebuild --json").ok();
    let output = output.says("two: made at").says("compiling");
    let found = output.json();
    assert_eq!((&found["passed"], &found["components"]["two"]["rebuilt"]), (&true.into(), &"same".into()), "{found}");
    assert_eq!(found["components"]["one"]["attested"], false);
    let image = format!("{}@{}", project.name("one"), project.recorded("one"));
    assert!(!attached(&image).iter().any(|(_, name)| name.starts_with("rebuilt-")));
    let mut trees = Command::new("git");
    let trees = trees.args(["worktree", "list"]).current_dir(project.root()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&trees.stdout).lines().count(), 1);

    // A key that is listed twice counts once.
    signed(&project, "verify --rebuild one --attest --sign", "other.key").ok().says("built again, signed");
    let lacking = project.run("verify --require rebuilds:2").fails();
    lacking
        .says("one: rebuilds:2 is required, and there are 1 that count")
        .says("two: rebuilds:2 is required, and there are 0 that count");
    project.run("verify --require rebuilds:3").fails().says("3 rebuilds are required, and those of 2 count");
    // One nobody lists does not count; nobody's statement is replaced, or signed by a publication.
    key_pair(&project, "stranger");
    signed(&project, "verify --rebuild one --attest --sign", "stranger.key").ok();
    project.run("verify one --require rebuilds:2").fails();
    signed(&project, "verify --rebuild --attest --sign", "cosign.key").ok();
    publish();
    project.run("verify one --require signature,rebuilds:2").ok();
    project.run("verify --require rebuilds:1").ok();
    let names = attached(&image).into_iter().filter(|(_, name)| name.starts_with("rebuilt-"));
    assert_eq!(names.count(), 3);
}

#[test]
#[ignore = "needs docker-registry"]
fn what_differs_is_named_and_nothing_is_attached() {
    let registry = Registry::start();
    let project = Project::new(&registry.host, "unlike", &["one", "two"], "");
    project.write(
        "one/build.rs",
        "fn main() {\n    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();\n    \
         println!(\"cargo:rustc-env=STAMP={}\", now.as_nanos());\n}\n",
    );
    project.write("one/src/main.rs", "fn main() {\n    println!(\"{}\", env!(\"STAMP\"));\n}\n");
    project.commit("a clock");
    project.publish("").ok();
    let output = project.run("verify --rebuild --attest --json").fails();
    let output = output
        .says("one: linux/")
        .says("layer `")
        .says("`usr/local/bin/one` differs in content (")
        .says_nothing_of("config `");
    let found = output.json();
    assert_eq!(found["components"]["one"]["rebuilt"], "different", "{found}");
    assert_eq!(found["components"]["two"]["attested"], true, "{found}");
    let listed = project.run("verify --require rebuilds:1 --json").fails();
    listed.says("nobody is trusted");
    let looked = project.run("verify --require provenance --json").fails().json();
    assert_eq!(looked["components"]["one"]["checks"]["rebuilt"]["verdict"], "missing", "{looked}");
    assert_eq!(looked["components"]["two"]["checks"]["rebuilt"]["verdict"], "unsigned", "{looked}");

    // Where nothing could be the same, nothing is built.
    let output = project.run("verify --rebuild two").env("RUSTFLAGS", "-Copt-level=1").fails();
    let output =
        output.says("two: linux/").says("another input: variable RUSTFLAGS").says("not all could be built again");
    output.says_nothing_of("compiling");
    project.run("verify --rebuild --dry-run --attest --builder native").ok().says_nothing_of("compiling");
}
