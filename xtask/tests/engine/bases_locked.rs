//! `images.lock`: made, followed by builds, checked against registries that go on, mirrored.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::parts::{Cleanup, docker, run};
use crate::project::Project;
use crate::registry::Registry;

/// A workspace on `HOST/base:1`, compiled in `HOST/builder:1`; both are images of its own program.
struct Bases {
    project: Project,
    registry: Registry,
}

impl Bases {
    fn new() -> (Self, String) {
        let registry = Registry::start();
        let project = Project::new(&registry.host, "locked", &["app"], "");
        let bases = Bases { project, registry };
        let first = bases.image("first", 40);
        bases.name(&first, "base:1");
        bases.name(&first, "builder:1");
        let host = &bases.registry.host;
        let settings = format!("runtime-image = \"{host}/base:1\"\nbuilder-image = \"{host}/builder:1\"\n");
        bases.project.append("Cargo.toml", &settings).commit("a base");
        (bases, first)
    }

    /// Publishes a program, as of some days ago, and gives the image's digest.
    fn image(&self, text: &str, days: u64) -> String {
        self.project.change("app", text);
        let time = SystemTime::now() - Duration::from_secs(days * 86_400 + 60);
        let seconds = time.duration_since(UNIX_EPOCH).expect("a time after 1970").as_secs();
        self.project.publish("").env("SOURCE_DATE_EPOCH", seconds.to_string()).ok();
        self.project.recorded("app")
    }

    /// Gives a published image another name in the registry.
    fn name(&self, digest: &str, name: &str) {
        let from = format!("docker://{}@{digest}", self.project.name("app"));
        let copied = self.registry.skopeo("copy", &[&from, &format!("docker://{}/{name}", self.registry.host)]);
        assert!(copied.success, "{}", copied.stderr);
    }

    /// Builds with nothing of the base kept, and gives digest, and base's name and digest as the image says them.
    fn build(&self) -> (String, String, String) {
        self.forget();
        self.project.run("docker-build --builder native").ok();
        let image = self.project.image("app");
        let label = |name: &str| image.label(&format!("org.opencontainers.image.base.{name}")).unwrap_or("").to_owned();
        (image.digest.clone(), label("name"), label("digest"))
    }

    fn forget(&self) {
        for folder in ["target/docker/bases", "target/docker/oci"] {
            if self.project.path(folder).exists() {
                self.project.remove(folder);
            }
        }
    }

    fn states(&self) -> Vec<String> {
        let listed = self.project.run("bases --check --json").run().json();
        listed.as_array().unwrap().iter().map(|image| image["state"].as_str().unwrap().to_owned()).collect()
    }
}

#[test]
#[ignore = "needs docker-registry and skopeo"]
fn builds_use_what_is_locked_until_it_is_updated() {
    let (bases, first) = Bases::new();
    let (project, host) = (&bases.project, &bases.registry.host);
    project.run("bases --check").fails().says(&format!("`{host}/base:1` is not in `images.lock`"));
    project.run("bases --update --dry-run").ok().says("would write ");
    assert!(!project.path("images.lock").exists());
    project.run("bases --update").ok();
    let lock = project.read("images.lock");
    let entries = format!("\n[images]\n\"{host}/base:1\" = \"{first}\"\n\"{host}/builder:1\" = \"{first}\"\n");
    assert!(lock.ends_with(&entries), "{lock}");
    project.run("bases --update").ok().says("nothing to write");
    project.commit("locked");
    let built = bases.build();
    assert_eq!((&built.1, &built.2), (&format!("{host}/base:1"), &first));
    let layers = |digest: &str| bases.registry.raw("base", &format!("@{digest}"));
    let bottom = &project.image("app").manifest["layers"][0]["digest"];
    assert!(layers(&first).contains(bottom.as_str().unwrap()), "{bottom}");
    project.run("dockerfiles").ok();
    assert!(project.read("app/Dockerfile").contains(&format!(" {host}/builder:1@{first} AS builder-amd64\n")));
    assert_eq!(bases.states(), ["current", "current"]);

    // Both tags move on: builds do not.
    let changed = project.read("app/src/main.rs");
    let second = bases.image("second", 3);
    project.write("app/src/main.rs", &changed);
    bases.name(&second, "base:1");
    bases.name(&second, "builder:1");
    project.commit("back");
    assert_eq!(bases.build().2, first);
    project.run("dockerfiles --check").ok();
    let moved = project.run("bases --check").fails();
    let text =
        format!("`{host}/base:1` moved on: builds use `{first}`, 40 d old, its registry has `{second}`, 3 d old");
    moved.says(&text).says("hint: `cargo xtask bases --update` takes what the tag names now");
    assert_eq!(bases.states(), ["moved", "moved"]);
    let inputs = |project: &Project| project.run("components --inputs --builder docker --json").run().stdout;
    if run("docker", &["version"]).success {
        assert!(!inputs(project).contains(&second), "the builder of the lock");
    }

    // Until they are told to, and then it shows.
    let before = project.head();
    project.run("bases --update").ok();
    project.run("dockerfiles --check").fails().says("drifted");
    let affected = project.run(&format!("components --affected {before} --json")).ok().json();
    assert!(affected[0]["affected"].as_str().unwrap().contains("lock entry `127.0.0.1:"), "{affected}");
    let locked = project.commit("newer bases");
    let after = bases.build();
    assert_eq!(after.2, second);
    assert_eq!(project.image("app").revision(), locked);

    // An entry that no setting uses.
    project.replace("Cargo.toml", &format!("{host}/builder:1"), &format!("{host}/builder@{second}"));
    let stale = project.run("bases --check").ok();
    assert!(stale.stdout.contains("stale"), "{}", stale.stdout);
    stale.says(&format!("warning: no setting uses `{host}/builder:1` of `images.lock`"));
    project.run("bases --update").ok();
    assert!(!project.read("images.lock").contains("/builder:1"));
}

#[test]
#[ignore = "needs docker-registry and skopeo"]
fn a_mirror_has_what_its_registry_lost() {
    let (bases, first) = Bases::new();
    let (project, host) = (&bases.project, &bases.registry.host);
    let mirror = Registry::start();
    project.run(&format!("bases --mirror {}/kept", mirror.host)).fails().says("so nothing says what to copy");
    project.run("bases --update").ok();
    let before = bases.build();
    let dry = project.run(&format!("bases --mirror {}/kept --dry-run", mirror.host)).ok();
    assert!(dry.stdout.contains(&format!("{}/kept/base:1@{first}", mirror.host)), "{}", dry.stdout);
    assert!(mirror.tags("kept/base").is_empty());
    let copied = project.run(&format!("bases --mirror {}/kept", mirror.host)).ok();
    copied.says(&format!("builds pull from there with `mirror = \"{}/kept\"`", mirror.host));
    let tag = format!("locked-{}", &first["sha256:".len()..][..16]);
    for repository in ["kept/base", "kept/builder"] {
        assert_eq!(mirror.pull_all(repository), [tag.as_str()]);
        assert_eq!(mirror.digest(repository, &tag), first);
    }

    bases.registry.delete("base", "1");
    bases.forget();
    let gone = format!("`{host}/base:1@{first}` is gone from its registry");
    project.run("bases --check").fails().says(&gone);
    let failed =
        project.run("docker-build --builder native").fails().says("`images.lock` holds the base image to this");
    failed.says(&first).says("`cargo xtask bases --update` takes another");
    project.run("bases --update").fails().says("`images.lock` is as it was").says("does not exist in the registry");

    project.append("Cargo.toml", &format!("mirror = \"{}/kept\"\n", mirror.host));
    assert_eq!(bases.build(), before, "the same image, which names the base's own registry");
    project.run("bases --check").fails().says(&format!("the tag of `{host}/base:1` is gone from its registry"));
    let again = project.run("bases --mirror").ok();
    assert_eq!(again.stdout.matches("there").count(), 2, "{}", again.stdout);
}

#[test]
#[ignore = "needs a container engine and docker-registry"]
fn a_builder_image_that_was_made_here_is_left_to_the_engine() {
    let registry = Registry::start();
    let image = format!("{}/made/here:1", registry.host);
    let project = Project::new(&registry.host, "local", &["app"], &format!("builder-image = \"{image}\"\n"));
    project.run("bases --update").fails().says("`images.lock` is as it was");
    let mut cleanup = Cleanup::default();
    docker(&format!("tag rust:1.95-bookworm {image}"));
    cleanup.add(&format!("docker rmi {image}"));
    project.run("bases --update").ok().says("was made here, and is left to each machine's engine");
    assert!(project.read("images.lock").ends_with(&format!("\"{image}\" = \"local\"\n")));
    project.run("bases --check").ok();
    let inputs = || project.run("components --inputs --builder docker");
    inputs().ok().says_nothing_of("cannot be looked up");
    docker(&format!("rmi {image}"));
    let digest = format!("sha256:{}", "7".repeat(64));
    let lost = project.read("images.lock").replace("local", &digest);
    inputs().fails().says(&format!("`images.lock` leaves `{image}` to the engine"));
    // One that its registry lost.
    project.write("images.lock", &lost);
    let lost =
        format!("hint: `images.lock` holds `{image}` to a digest that is gone: `cargo xtask bases --update` takes");
    // With the user's own configuration, which has the engine's plugins.
    project.xtask("docker-build --builder docker").fails().says(&format!("{image}@{digest}")).says(&lost);
}
