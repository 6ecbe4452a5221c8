//! What goes wrong while an engine builds, and that the next run works.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::parts::{Scene, compiled, platform, printer, processes, tool, unique, wait_for};
use crate::support::{image, package};

#[test]
#[ignore = "needs a container engine"]
fn a_component_that_does_not_compile_stops_no_other() {
    let members = ["alpha", "broken", "omega"];
    let mut files = Vec::new();
    for member in members {
        files.push((format!("{member}/Cargo.toml"), package(member, "")));
        files.push((format!("{member}/src/main.rs"), printer(&format!("{member} ID"))));
    }
    let files: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let scene = Scene::new("broken", &members, "", &files);
    scene.append("broken/src/main.rs", "const OOPS: u32 = \"no number\";\n");
    let failed = scene.engine_build("--load").fails();
    compiled(&failed, &members);
    let failed = failed
        .says("error[E0308]: mismatched types")
        .says("broken/src/main.rs:4:19")
        .says("broken: error: ")
        .says("error: not built: broken; built and kept: alpha, omega")
        .says(&format!("loaded {}", scene.image("omega", "local")));
    // The command, its end, and where the whole of its output is.
    assert!(
        failed.stderr.contains("buildx build") && failed.stderr.contains("failed (exit status: 1)"),
        "{}",
        failed.stderr
    );
    assert!(failed.says("logs/broken-linux-").stdout.contains("alpha"));
    assert_eq!(image::images(&scene.path("target/docker/oci")), ["alpha", "omega"]);

    scene.write("broken/src/main.rs", &printer("mended"));
    compiled(&scene.engine_build("").ok(), &["broken"]);
    assert_eq!(scene.prints("broken"), "mended");
}

#[test]
#[ignore = "needs a container engine"]
fn an_engine_that_dies_is_reported_and_the_next_run_works() {
    let scene = Scene::new(
        "dies",
        &["app"],
        "",
        &[("app/Cargo.toml", &package("app", "")), ("app/src/main.rs", &printer("alive ID"))],
    );
    let fake = |name: &str, end: &str| {
        let text = format!(
            "#!/bin/sh\ncase \"$*\" in *--output*) ;; *) exit 0 ;; esac\n\
             echo '#1 [build 1/2] COPY . .' >&2\necho '#2 compiling' >&2\nsleep 1\n{end}\n"
        );
        scene.script(&format!("target/{name}"), &text)
    };
    let cases = [
        ("killed", "echo 'error: lost the engine' >&2; kill -KILL $$", vec!["signal: 9 (SIGKILL)", "lost the engine"]),
        (
            "refused",
            "echo 'no space left on device' >&2; exit 137",
            vec!["exit status: 137", "no space left on device"],
        ),
        ("empty", "exit 0", vec!["reported success and exported no `app`"]),
    ];
    for (name, end, said) in cases {
        let mut failed = scene.engine_build("").env("CI_DOCKER_CLI", fake(name, end)).fails();
        for text in said {
            failed = failed.says(text);
        }
        failed.says("logs/app-linux-").says("error: not built: app");
        assert!(!scene.path("target/docker/executables").exists(), "an executable was kept");
        assert_eq!(image::images(&scene.path("target/docker/oci")), Vec::<String>::new());
    }
    scene.engine_build("").ok();
    assert_eq!(scene.prints("app"), format!("alive {}", scene.id));
}

#[test]
#[ignore = "needs a container engine"]
fn ctrl_c_cancels_the_build() {
    let seconds = unique("").bytes().filter(u8::is_ascii_digit).map(char::from).collect::<String>();
    let sleep = format!("600.{seconds}");
    let script =
        format!("fn main() {{\n    std::process::Command::new(\"sleep\").arg(\"{sleep}\").status().unwrap();\n}}\n");
    let scene = Scene::new(
        "ctrl-c",
        &["app"],
        "",
        &[
            ("app/Cargo.toml", &package("app", "")),
            ("app/build.rs", &script),
            ("app/src/main.rs", &printer("finished ID")),
        ],
    );
    // Ctrl-C lets the xtask clean up; after a kill only the kernel can.
    for (signal, code) in [("INT", Some(130)), ("KILL", None)] {
        let _ = fs::remove_dir_all(scene.path("target/docker/logs"));
        let mut command = scene.engine_build("").command();
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the xtask");
        let log = scene.path(&format!("target/docker/logs/app-{}.log", platform().replace('/', "-")));
        wait_for("compiler", Duration::from_secs(120), || {
            assert!(child.try_wait().expect("a status").is_none(), "{}", fs::read_to_string(&log).unwrap_or_default());
            // The stub's build, unless the engine has it, then the real one.
            let text = fs::read_to_string(&log).unwrap_or_default();
            text.rsplit_once("[build 2/2]").is_some_and(|(_, build)| build.contains("Compiling app"))
        });
        // An engine on this machine shows its processes.
        let until = Instant::now() + Duration::from_secs(5);
        while processes(&sleep).is_empty() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(50));
        }
        println!("{signal}: the build is visible here: {}", !processes(&sleep).is_empty());

        let started = Instant::now();
        tool("kill", &[&format!("-{signal}"), &child.id().to_string()]);
        let status = child.wait().expect("the xtask's status");
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        assert_eq!(status.code(), code);
        // No client is left, and the engine gives the build up.
        let root = scene.root().display().to_string();
        wait_for("end of the client", Duration::from_secs(3), || processes(&root).is_empty());
        wait_for("end of the build in the engine", Duration::from_secs(20), || processes(&sleep).is_empty());
        println!("{signal}: all ended after {:.1?}", started.elapsed());
        let said = std::io::read_to_string(child.stderr.take().expect("a pipe")).expect("UTF-8");
        assert_eq!(said.contains("interrupted"), code.is_some(), "{said}");
    }

    scene.write("app/build.rs", "fn main() {}\n");
    scene.engine_build("").ok();
    assert_eq!(scene.prints("app"), format!("finished {}", scene.id));
    let left: Vec<_> =
        fs::read_dir(scene.path("target/docker/tmp")).expect("a folder").map(|left| left.unwrap().path()).collect();
    assert_eq!(left, Vec::<std::path::PathBuf>::new(), "unfinished exports");
}

#[test]
#[ignore = "as slow as the tests of engines"]
fn without_an_engine_auto_builds_natively_and_says_why() {
    let scene = Scene::new(
        "absent",
        &["app"],
        "",
        &[("app/Cargo.toml", &package("app", "")), ("app/src/main.rs", &printer("native ID"))],
    );
    let nowhere = format!("unix://{}", scene.beside("nothing.sock").display());
    let xtask = |arguments: &str| scene.xtask(&format!("docker-build {arguments}")).env("DOCKER_HOST", &nowhere);
    xtask("--builder docker").fails().says("`--builder docker` needs a container engine").says("nothing.sock");
    xtask("--load").fails().says("`--load` and `--buildx-builder` need a container engine");
    xtask("").ok().says("builder: native (the engine behind `docker` does not answer").says("cargo: compiling app");
}
