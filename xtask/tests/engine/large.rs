//! Large workspaces and large images.

use std::fs::{self, File};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::parts::{Scene, compiled, docker, printer};
use crate::support::package;

#[test]
#[ignore = "needs a container engine"]
fn a_workspace_of_150_members_builds() {
    const LIBRARIES: usize = 147;
    let mut files: Vec<(String, String)> = Vec::new();
    // Each library uses up to two later ones: every program needs a third of them, some shared.
    for at in 0..LIBRARIES {
        let used: Vec<usize> = [at + 3, at + 30].into_iter().filter(|used| *used < LIBRARIES).collect();
        let lines: String =
            used.iter().map(|used| format!("lib-{used:03} = {{ path = \"../lib-{used:03}\" }}\n")).collect();
        let calls: String = used.iter().map(|used| format!(" + lib_{used:03}::count()")).collect();
        let name = format!("lib-{at:03}");
        files.push((format!("{name}/Cargo.toml"), package(&name, &format!("[dependencies]\n{lines}"))));
        // Wrapping is fine: it is about who calls whom.
        files.push((format!("{name}/src/lib.rs"), format!("pub fn count() -> u64 {{\n    1{calls}\n}}\n")));
    }
    for (program, first) in [("one", 0), ("two", 1), ("three", 2)] {
        let depends = format!("[dependencies]\nlib-{first:03} = {{ path = \"../lib-{first:03}\" }}\n");
        let main = format!("fn main() {{\n    println!(\"{program} {{}} ID\", lib_{first:03}::count() > 0);\n}}\n");
        files.push((format!("{program}/Cargo.toml"), package(program, &depends)));
        files.push((format!("{program}/src/main.rs"), main));
    }
    let files: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let scene = Scene::new("large", &["lib-*", "one", "two", "three"], "", &files);
    compiled(&scene.engine_build("").ok(), &["one", "three", "two"]);
    for program in ["one", "two", "three"] {
        assert_eq!(scene.prints(program), format!("{program} true {}", scene.id));
    }

    // The standalone one is the same text: nothing is left to compile.
    scene.xtask("dockerfiles").ok();
    let (root, image) = (scene.root().display(), scene.image("two", "standalone"));
    docker(&format!("build --quiet --file {root}/two/Dockerfile --tag {image} {root}"));
    assert_eq!(docker(&format!("run --rm {image}")), format!("two true {}", scene.id));
}

/// The largest memory that a native build of an image with an asset of this size takes, and how
/// long that takes.
fn peak(scene: &Scene, size: u64) -> (u64, Duration) {
    let file = File::create(scene.path("app/data/big")).expect("an asset");
    file.set_len(size).expect("a sparse file");
    let started = Instant::now();
    let mut command = scene.build("").command();
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the xtask");
    // The kernel's own record of the peak, of this process alone, read until there is none.
    let mut peak = 0;
    loop {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        peak = kibibytes.unwrap_or(peak).max(peak);
        if let Some(status) = child.try_wait().expect("the xtask's status") {
            assert!(status.success(), "{status}");
            return (peak * 1024, started.elapsed());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
#[ignore = "takes a minute"]
fn memory_does_not_grow_with_the_image() {
    const MIB: u64 = 1 << 20;
    let scene = Scene::new(
        "memory",
        &["app"],
        "",
        &[
            (
                "app/Cargo.toml",
                &package("app", "[package.metadata.docker]\nassets = [{ from = \"app/data\", to = \"/data\" }]\n"),
            ),
            ("app/src/main.rs", &printer("big")),
            ("app/data/.keep", ""),
        ],
    );
    peak(&scene, MIB);
    let (small, time) = peak(&scene, 32 * MIB);
    // Without `--config profile.dev.package.sha2.opt-level=3` and the like, hashing a gibibyte takes minutes.
    let size = if time < Duration::from_secs(3) { 1024 * MIB } else { 192 * MIB };
    let (large, time) = peak(&scene, size);
    println!("{} MiB with 32 MiB, {} MiB with {} MiB in {time:.1?}", small / MIB, large / MIB, size / MIB);
    assert!(large < 100 * MIB, "{} MiB", large / MIB);
}
