//! What an engine gets to read, seen from inside a build.

use std::collections::BTreeSet;

use crate::parts::Scene;
use crate::support::package;

/// `app`, which uses `part`; its build script lists the files of the scene that it can read. All
/// files of the scene have its id in them, and stubs have not.
pub(crate) fn scene(name: &str) -> Scene {
    let script = r#"use std::path::Path;
fn list(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            list(&path);
        } else if std::fs::read(&path).unwrap().windows(SCENE.len()).any(|text| text == SCENE.as_bytes()) {
            println!("cargo::warning=sees {}", path.strip_prefix("..").unwrap().display());
        }
    }
}
const SCENE: &str = "ID";
fn main() {
    list(Path::new(".."));
    println!("cargo::rerun-if-changed=build.rs");
}
"#;
    let other = package("other", "# ID\n");
    Scene::new(
        name,
        &["app", "part", "other", "app/inner"],
        "",
        &[
            ("app/Cargo.toml", &package("app", "# ID\n[dependencies]\npart = { path = \"../part\" }\n")),
            ("app/build.rs", script),
            (
                "app/src/main.rs",
                "fn main() {\n    println!(\"{} {}\", part::TEXT, include_str!(\"../../texts/used\")); // ID\n}\n",
            ),
            ("app/data/[odd] na*me.txt", "ID"),
            ("app/src/target/mod.rs", "// ID\n"),
            ("app/inner/Cargo.toml", &other.replace("other", "inner")),
            ("app/inner/src/lib.rs", "// ID\n"),
            ("app/target/left-over", "ID"),
            ("app/.env", "ID"),
            ("app/.env.local", "ID"),
            ("part/Cargo.toml", &package("part", "# ID\n")),
            ("part/src/lib.rs", "pub const TEXT: &str = \"part0\"; // ID\n"),
            ("part/tests/.env", "ID"),
            ("other/Cargo.toml", &other),
            ("other/src/main.rs", "// ID\nfn main() {}\n"),
            ("other/src/secret.rs", "// ID\n"),
            ("secrets/key", "ID"),
            ("texts/used", "ID"),
            ("texts/unused", "ID"),
            (".cargo/config.toml", "# ID\n"),
            (".cargo/credentials.toml", "# ID\n"),
            (".gitignore", "/target # ID\n"),
            ("README.md", "ID"),
        ],
    )
}

/// Demands that the build of `app` could read its inputs, and nothing else of the scene.
#[track_caller]
pub(crate) fn check(scene: &Scene) {
    let log = scene.log("app");
    let seen: BTreeSet<&str> =
        log.lines().filter_map(|line| line.split_once("sees ")).map(|(_, path)| path.trim()).collect();
    let wanted = [
        ".cargo/config.toml",
        "Cargo.toml",
        "app/Cargo.toml",
        "app/build.rs",
        "app/data/[odd] na*me.txt",
        "app/inner/Cargo.toml",
        "app/src/main.rs",
        "app/src/target/mod.rs",
        "other/Cargo.toml",
        "part/Cargo.toml",
        "part/src/lib.rs",
        "texts/used",
    ];
    // Cargo's own target folder has copies of what it read.
    let seen: Vec<_> = seen.into_iter().filter(|path| !path.starts_with("target/")).collect();
    assert_eq!(seen, wanted, "{log}");
}

#[test]
#[ignore = "needs a container engine"]
fn an_engine_reads_the_inputs_and_nothing_else() {
    let scene = scene("context");
    scene.git_init();
    scene.engine_build("").ok();
    check(&scene);
    assert_eq!(scene.prints("app"), format!("part0 {}", scene.id));

    // An edit of what no build reads changes nothing, and starts nothing.
    scene.append("other/src/secret.rs", "// more\n").append("texts/unused", "more").append("README.md", "more");
    scene.engine_build("app").ok().says_nothing_of("compiling");
}

#[test]
#[ignore = "needs a container engine that reaches Debian's packages"]
fn build_packages_are_there() {
    let script = "fn main() {\n    let out = std::process::Command::new(\"jq\").arg(\"--version\").output().unwrap();\n    \
                  println!(\"cargo::rustc-env=JQ={}\", String::from_utf8(out.stdout).unwrap().trim());\n}\n";
    let settings = "[package.metadata.docker]\nbuild-packages = [\"jq\"]\n";
    let scene = Scene::new(
        "packages",
        &["app"],
        "",
        &[
            ("app/Cargo.toml", &package("app", settings)),
            ("app/build.rs", script),
            ("app/src/main.rs", "fn main() {\n    println!(\"{} ID\", env!(\"JQ\"));\n}\n"),
        ],
    );
    scene.engine_build("").ok();
    assert!(scene.prints("app").starts_with("jq-"), "{}", scene.prints("app"));
}
