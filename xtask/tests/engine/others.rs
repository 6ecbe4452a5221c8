//! Engines other than docker with buildx.

use std::path::Path;

use super::context::{self, scene};
use crate::parts::{Cleanup, Recorder, docker, make_old, platform, programs, run, tool, unique};

/// Where docker's engine listens.
fn host() -> String {
    let named = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
    named.unwrap_or_else(|| docker("context inspect --format {{.Endpoints.docker.Host}}"))
}

/// Hands docker's builder image to podman, once.
fn give_podman_the_builder_image() {
    let image = "docker.io/library/rust:1.95-bookworm";
    if run("podman", &["image", "exists", image]).success || run("podman", &["pull", "--quiet", image]).success {
        return;
    }
    tool("sh", &["-c", "docker save rust:1.95-bookworm | podman load"]);
    tool("podman", &["tag", "localhost/rust:1.95-bookworm", image]);
}

#[test]
#[ignore = "needs podman"]
fn podman_builds_and_loads() {
    give_podman_the_builder_image();
    let scene = scene("podman");
    let image = scene.image("app", "local");
    let mut cleanup = Cleanup::default();
    cleanup.add(&format!("podman rmi --force {image}"));
    // A build without a container runtime: sandboxes often cannot start one, and it is all the same to us.
    let build = || scene.engine_build("app --load").env("CI_DOCKER_CLI", "podman").env("BUILDAH_ISOLATION", "chroot");

    build().ok().says("compiling for linux/amd64 in podman");
    context::check(&scene);
    assert_eq!(scene.prints("app"), format!("part0 {}", scene.id));
    build().ok().says_nothing_of("compiling");

    make_old(&scene.path("part/src/lib.rs"));
    scene.replace("part/src/lib.rs", "part0", "part1");
    make_old(&scene.path("part/src/lib.rs"));
    build().ok();
    assert_eq!(scene.prints("app"), format!("part1 {}", scene.id));

    // The image that it was handed runs.
    assert_eq!(tool("podman", &["image", "inspect", "--format", "{{.User}}", &image]), "65532:65532");
    let mut ran = run("podman", &["run", "--rm", "--network=none", &image]);
    if !ran.success {
        // In a virtual machine without CAP_SYS_RESOURCE, or with both kinds of control groups.
        let limits = ["--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024", "--runtime=runc"];
        ran = run("podman", &[&["run", "--rm", "--network=none"], &limits[..], &[&image]].concat());
    }
    assert_eq!(ran.stdout, format!("part1 {}", scene.id), "{ran:?}");

    // The standalone Dockerfile is one for podman too; this tells it the platform.
    scene.xtask("dockerfiles").ok();
    let root = scene.root().display().to_string();
    let (file, ignored) = (format!("{root}/app/Dockerfile"), format!("{root}/app/Dockerfile.dockerignore"));
    let standalone = scene.image("app", "standalone");
    cleanup.add(&format!("podman rmi --force {standalone}"));
    let isolation = ["--isolation=chroot", "--quiet", "--platform", platform()];
    let files = ["--file", &file, "--ignorefile", &ignored, "--tag", &standalone, &root];
    tool("podman", &[&["build"], &isolation[..], &files[..]].concat());
    assert_eq!(tool("podman", &["image", "inspect", "--format", "{{.User}}", &standalone]), "65532:65532");
}

/// The major version of a docker command line.
fn major(program: &Path) -> u32 {
    let version = tool(&program.to_string_lossy(), &["--version"]);
    let number = version.split_whitespace().find_map(|word| word.split_once('.')?.0.parse().ok());
    number.unwrap_or_else(|| panic!("no version in `{version}`"))
}

#[test]
#[ignore = "needs a container engine"]
fn docker_without_the_buildx_plugin() {
    let scene = scene("plain");
    let empty = tempfile::tempdir().expect("a temporary folder");
    let mut tried = 0;
    for program in programs("docker") {
        let shown = program.display().to_string();
        let has_plugin = tool(
            "env",
            &[
                &format!("DOCKER_CONFIG={}", empty.path().display()),
                &shown,
                "info",
                "--format",
                "{{.ClientInfo.Plugins}}",
            ],
        );
        if has_plugin.contains("buildx") {
            continue;
        }
        tried += 1;
        scene.append("part/src/lib.rs", &format!("// {tried}\n"));
        let build = scene.engine_build("").env("CI_DOCKER_CLI", &shown).env("DOCKER_CONFIG", empty.path());
        if major(&program) < 23 {
            build.ok();
            assert_eq!(scene.prints("app"), format!("part0 {}", scene.id));
            assert!(scene.log("app").contains("Compiling app"), "{}", scene.log("app"));
        } else {
            // These cannot build with BuildKit, and say what is missing.
            build.fails().says("buildx").says("error: not built: app");
        }
    }
    println!("{tried} docker programs without buildx");
}

#[test]
#[ignore = "needs docker with buildx"]
fn a_buildx_builder_by_name() {
    let scene = scene("builder");
    let plugin = "{{range .ClientInfo.Plugins}}{{if eq .Name \"buildx\"}}{{.Path}}{{end}}{{end}}";
    let plugin = tool("docker", &["info", "--format", plugin]);
    assert!(!plugin.is_empty(), "docker has no buildx plugin");
    // A configuration of its own: a second context is a second builder, with the same engine behind it.
    let config = tempfile::tempdir().expect("a temporary folder");
    std::fs::create_dir(config.path().join("cli-plugins")).expect("a folder");
    std::os::unix::fs::symlink(plugin, config.path().join("cli-plugins/docker-buildx")).expect("a link");
    let (host, name) = (host(), unique("builder"));
    let variable = format!("DOCKER_CONFIG={}", config.path().display());
    tool("env", &[&variable, "docker", "context", "create", &name, "--docker", &format!("host={host}")]);

    let recorder = Recorder::new(&scene);
    let build = |builder: &str| {
        let build = scene.engine_build(&format!("app --buildx-builder {builder}"));
        // An empty DOCKER_HOST is none; a set one would win over the context.
        let build = build.env("DOCKER_CONFIG", config.path()).env("DOCKER_CONTEXT", &name).env("DOCKER_HOST", "");
        build.env("CI_DOCKER_CLI", &recorder.program)
    };
    build(&name).ok();
    assert_eq!(scene.prints("app"), format!("part0 {}", scene.id));
    assert!(scene.log("app").contains(&format!("building with \"{name}\"")), "{}", scene.log("app"));
    let builds = recorder.builds();
    assert!(builds.len() == 1 && builds[0].contains(&format!("--builder {name} ")), "{builds:?}");

    scene.replace("part/src/lib.rs", "part0", "part1");
    build("no-such-builder").fails().says("no-such-builder").says("error: not built: app");
    // Without the plugin that is said before anything is built.
    let without = scene.script("target/docker-without", "#!/bin/sh\ncase \"$*\" in version) ;; *) exit 1 ;; esac\n");
    build(&name).env("CI_DOCKER_CLI", without).fails().says("`--buildx-builder` needs docker with the buildx plugin");
}
