//! The toolchain file, and a builder image that has no rustup.

use crate::parts::{Scene, printer, run};
use crate::support::package;

#[test]
#[ignore = "needs a container engine"]
fn another_toolchain_than_the_file_asks_for_ends_the_build_before_anything_is_compiled() {
    let scene = Scene::new(
        "toolchain",
        &["app"],
        "builder-image = \"rust:1.95-bookworm\"\n",
        &[("app/Cargo.toml", &package("app", "")), ("app/src/main.rs", &printer("hello ID"))],
    );
    let asks_for = |channel: &str| {
        scene.write("rust-toolchain.toml", &format!("[toolchain]\nchannel = \"{channel}\"\n"));
    };
    asks_for("nightly");
    let why = "error: `rust-toolchain.toml` asks for Rust `nightly`, and the builder image has 1.95.0";
    let failed = scene.engine_build("").fails();
    failed.says(why).says("name one that has it: `builder-image = ").says_nothing_of("Compiling");
    // Whoever builds from the file is told the same.
    scene.xtask("dockerfiles").ok();
    let root = scene.root().display().to_string();
    let alone = run(
        "env",
        &["DOCKER_BUILDKIT=1", "docker", "build", "--progress=plain", "-f", &format!("{root}/app/Dockerfile"), &root],
    );
    assert!(!alone.success && alone.stderr.contains(why), "{alone:?}");

    asks_for("1.95");
    scene.engine_build("").ok();
    assert_eq!(scene.prints("app"), format!("hello {}", scene.id));
}
