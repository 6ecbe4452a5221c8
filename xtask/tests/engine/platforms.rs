//! Foreign platforms: compiled across, never emulated.

use std::fs;

use serde_json::Value;

use crate::parts::{Scene, docker, make_executable, run, tool, which};
use crate::support::package;

/// Builder images for both platforms. The lab's image of this tag has no rustup and so a second
/// one with the foreign parts; the official one installs them.
fn builder_images() -> &'static str {
    match run("docker", &["image", "inspect", "rust:cross"]).success {
        true => r#"builder-image = { "linux/amd64" = "rust:1.95-bookworm", "linux/arm64" = "rust:cross" }"#,
        false => r#"builder-image = "rust:1.95-bookworm""#,
    }
}

/// A program with C code, and a build script that says what it runs on.
fn scene(name: &str) -> Scene {
    let script = r#"fn main() {
    let machine = std::process::Command::new("uname").arg("-m").output().unwrap().stdout;
    println!("cargo::warning=the build runs on {}", String::from_utf8(machine).unwrap().trim());
    cc::Build::new().file("src/answer.c").compile("answer");
}
"#;
    let main = r#"unsafe extern "C" {
    safe fn answer() -> i32;
}
fn main() {
    println!("{} {} ID", std::env::consts::ARCH, answer());
}
"#;
    Scene::new(
        name,
        &["app"],
        builder_images(),
        &[
            ("app/Cargo.toml", &package("app", "[build-dependencies]\ncc = \"1\"\n")),
            ("app/build.rs", script),
            ("app/src/answer.c", "int answer(void) { return 42; }\n"),
            ("app/src/main.rs", main),
        ],
    )
}

/// The machine that an ELF file is for (`e_machine`).
fn machine(program: &[u8]) -> u16 {
    assert_eq!(&program[..4], b"\x7fELF");
    u16::from_le_bytes([program[18], program[19]])
}

const X86_64: u16 = 62;
const AARCH64: u16 = 183;

#[test]
#[ignore = "needs a container engine, skopeo and qemu-user-static"]
fn two_platforms_make_an_index_and_nothing_is_emulated() {
    let scene = scene("both");
    let built = scene.engine_build("--platform linux/amd64,linux/arm64 --load --json").ok().json();
    let platform = |entry: &Value| entry["platform"].as_str().expect("a platform").to_owned();
    let rows = built.as_array().expect("a row per platform");
    assert_eq!(rows.iter().map(platform).collect::<Vec<_>>(), ["linux/amd64", "linux/arm64"]);

    // The executables.
    let program = |platform: &str| scene.path(&format!("target/docker/executables/{platform}/app"));
    assert_eq!(machine(&fs::read(program("linux-amd64")).unwrap()), X86_64);
    assert_eq!(machine(&fs::read(program("linux-arm64")).unwrap()), AARCH64);
    let run = |emulator: &str, path: std::path::PathBuf| tool(emulator, &[&path.display().to_string()]);
    assert_eq!(run("env", program("linux-amd64")), format!("x86_64 42 {}", scene.id));
    let emulator = ["qemu-aarch64-static", "qemu-aarch64"].into_iter().find(|name| which(name).is_some());
    let emulator = emulator.expect("qemu-aarch64-static: apt-get install qemu-user-static");
    assert_eq!(run(emulator, program("linux-arm64")), format!("aarch64 42 {}", scene.id));

    // Whatever ran while compiling for either ran on this machine's kind of processor.
    for platform in ["linux-amd64", "linux-arm64"] {
        let log = scene.read(&format!("target/docker/logs/app-{platform}.log"));
        assert!(log.contains(&format!("the build runs on {}", std::env::consts::ARCH)), "{log}");
        assert!(log.contains("Compiling app"), "{log}");
    }

    // The layout: an index over both, each with its own digest.
    let layout = format!("oci:{}:app", scene.path("target/docker/oci").display());
    let index: Value = serde_json::from_str(&tool("skopeo", &["inspect", "--raw", &layout])).expect("an index");
    assert_eq!(index["mediaType"], "application/vnd.oci.image.index.v1+json");
    let manifests = index["manifests"].as_array().expect("manifests");
    assert_eq!(manifests.len(), 2);
    for (manifest, row) in manifests.iter().zip(rows) {
        assert_eq!(manifest["digest"], row["digest"]);
        let shown = format!("linux/{}", manifest["platform"]["architecture"].as_str().unwrap());
        assert_eq!(shown, platform(row));
        assert_eq!(row["index"].as_str(), Some(scene.digest("app").as_str()));
    }
    for architecture in ["amd64", "arm64"] {
        let chosen = tool("skopeo", &["inspect", "--override-arch", architecture, &layout]);
        assert_eq!(serde_json::from_str::<Value>(&chosen).unwrap()["Architecture"], architecture);
    }

    // The engine got its own platform's.
    assert_eq!(docker(&format!("run --rm {}", scene.image("app", "local"))), format!("x86_64 42 {}", scene.id));

    // Asked for alone, each platform's image is the same.
    scene.engine_build("--platform linux/arm64").ok();
    assert_eq!(Some(scene.digest("app").as_str()), rows[1]["digest"].as_str());
}

#[test]
#[ignore = "needs a container engine"]
fn the_standalone_dockerfile_crosses_too() {
    let scene = scene("cross");
    scene.xtask("dockerfiles").ok();
    let (root, image) = (scene.root().display(), scene.image("app", "arm64"));
    docker(&format!("build --quiet --platform linux/arm64 --file {root}/app/Dockerfile --tag {image} {root}"));
    assert_eq!(docker(&format!("image inspect --format {{{{.Os}}}}/{{{{.Architecture}}}} {image}")), "linux/arm64");
    let container = docker(&format!("create --platform linux/arm64 {image}"));
    let program = scene.beside("program");
    let copied = run("docker", &["cp", &format!("{container}:/usr/local/bin/app"), &program.display().to_string()]);
    docker(&format!("rm {container}"));
    assert!(copied.success, "{copied:?}");
    make_executable(&program);
    assert_eq!(machine(&fs::read(program).unwrap()), AARCH64);
}
