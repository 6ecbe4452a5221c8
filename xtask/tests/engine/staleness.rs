//! A program always says what its sources say, and what did not change is not built again.

use crate::parts::{Recorder, Scene, compiled, docker, make_old, printer, prints};
use crate::support::package;

/// One binary; what it prints comes from each kind of source: its own, a member's, a build script,
/// a file that the script reads, a file outside the package.
fn scene(name: &str) -> Scene {
    let main = r#"fn main() {
    println!("main0 {} {} {} ID", part::text(), env!("BUILT"), include_str!("../../texts/outside.txt").trim());
}
"#;
    let script = r#"fn main() {
    println!("cargo::rerun-if-changed=list.txt");
    let list = std::fs::read_to_string("list.txt").unwrap();
    println!("cargo::rustc-env=BUILT=script0 {}", list.trim());
}
"#;
    Scene::new(
        name,
        &["app", "part"],
        "",
        &[
            ("app/Cargo.toml", &package("app", "[dependencies]\npart = { path = \"../part\" }\n")),
            ("app/src/main.rs", main),
            ("app/build.rs", script),
            ("app/list.txt", "list0\n"),
            ("part/Cargo.toml", &package("part", "")),
            ("part/src/lib.rs", "pub fn text() -> &'static str {\n    \"part0\"\n}\n"),
            ("texts/outside.txt", "outside0\n"),
        ],
    )
}

/// Each edit keeps the file's size, and its time is long before all builds and always the same:
/// cargo, and an engine that compares sizes and times, would take the file for unchanged.
const EDITS: &[(&str, &str)] = &[
    ("app/src/main.rs", "main"),
    ("part/src/lib.rs", "part"),
    ("app/build.rs", "script"),
    ("app/list.txt", "list"),
    ("texts/outside.txt", "outside"),
];

#[test]
#[ignore = "needs a container engine"]
fn edits_with_old_times_are_compiled() {
    let scene = scene("old");
    for (file, _) in EDITS {
        make_old(&scene.path(file));
    }
    scene.engine_build("").ok();
    let mut wanted = format!("main0 part0 script0 list0 outside0 {}", scene.id);
    assert_eq!(scene.prints("app"), wanted);
    for (file, word) in EDITS {
        let (old, new) = (format!("{word}0"), format!("{word}1"));
        scene.replace(file, &old, &new);
        make_old(&scene.path(file));
        wanted = wanted.replace(&old, &new);
        scene.engine_build("").ok();
        assert_eq!(scene.prints("app"), wanted, "after an edit of {file}");
    }
}

#[test]
#[ignore = "compiles natively, as the tests beside it do in an engine"]
fn edits_with_old_times_are_compiled_natively() {
    let scene = scene("native");
    let build = || {
        scene.build("").ok();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let program = scene.fixture.image("app").extract_program(folder.path());
        crate::parts::tool(&program.to_string_lossy(), &[])
    };
    for (file, _) in EDITS {
        make_old(&scene.path(file));
    }
    let mut wanted = build();
    for (file, word) in EDITS {
        let (old, new) = (format!("{word}0"), format!("{word}1"));
        scene.replace(file, &old, &new);
        make_old(&scene.path(file));
        wanted = wanted.replace(&old, &new);
        assert_eq!(build(), wanted, "after an edit of {file}");
    }
}

#[test]
#[ignore = "needs a container engine"]
fn added_and_deleted_files_are_seen() {
    let scene = scene("files");
    scene.engine_build("").ok();

    scene.write("part/src/more.rs", "pub const MORE: &str = \"more\";\n");
    scene.replace("part/src/lib.rs", "\"part0\"", "more::MORE").append("part/src/lib.rs", "mod more;\n");
    make_old(&scene.path("part/src/more.rs"));
    make_old(&scene.path("part/src/lib.rs"));
    scene.engine_build("").ok();
    assert!(scene.prints("app").starts_with("main0 more "));

    // Nothing of an earlier context may stand in for a deleted file.
    scene.remove("part/src/more.rs");
    let failed = scene.engine_build("").fails().says("error[E0583]").says("more.rs").says("error: not built: app");
    compiled(&failed, &["app"]);

    scene.replace("part/src/lib.rs", "more::MORE", "\"part2\"").replace("part/src/lib.rs", "mod more;\n", "");
    scene.engine_build("").ok();
    assert!(scene.prints("app").starts_with("main0 part2 "));

    // Without its build script, the variable that it set is gone.
    scene.remove("app/build.rs");
    scene.engine_build("").fails().says("environment variable `BUILT` not defined");
    scene.replace("app/src/main.rs", "env!(\"BUILT\")", "option_env!(\"BUILT\").unwrap_or(\"unbuilt\")");
    scene.engine_build("").ok();
    assert_eq!(scene.prints("app"), format!("main0 part2 unbuilt outside0 {}", scene.id));
}

#[test]
#[ignore = "needs a container engine"]
fn a_changed_asset_is_in_the_standalone_image() {
    let scene = scene("asset");
    scene.append("app/Cargo.toml", "[package.metadata.docker]\nassets = [{ from = \"texts\", to = \"/texts\" }]\n");
    scene.replace(
        "app/src/main.rs",
        "}\n",
        "    println!(\"{}\", std::fs::read_to_string(\"/texts/a.txt\").unwrap());\n}\n",
    );
    scene.xtask("dockerfiles").ok();
    let image = scene.image("app", "standalone");
    for text in ["asset0", "asset1, which is longer"] {
        scene.write("texts/a.txt", text);
        make_old(&scene.path("texts/a.txt"));
        scene.untag("app", "standalone");
        docker(&format!("build --quiet --file {0}/app/Dockerfile --tag {image} {0}", scene.root().display()));
        assert_eq!(docker(&format!("run --rm {image}")).lines().last(), Some(text));
    }
}

#[test]
#[ignore = "needs a container engine"]
fn two_checkouts_built_at_once_keep_their_own_programs() {
    let scene = scene("twins");
    let copy = scene.copy();
    for round in 0..2 {
        for (fixture, who) in [(&scene.fixture, "here"), (&copy, "there")] {
            // The same sizes and times in both.
            fixture
                .write("part/src/lib.rs", &format!("pub fn text() -> &'static str {{\n    \"{who:5}{round}\"\n}}\n"));
            make_old(&fixture.path("part/src/lib.rs"));
        }
        let theirs = copy.xtask("docker-build --builder docker");
        let other = std::thread::spawn(move || theirs.ok());
        scene.engine_build("").ok();
        other.join().expect("the other build");
        assert!(scene.prints("app").contains(&format!("here {round}")));
        assert!(prints(&copy, "app").contains(&format!("there{round}")));
    }
}

/// Two services on one library of the registry.
fn pair(name: &str) -> Scene {
    let depends = "[dependencies]\nstrsim = \"0.11\"\n";
    let main = "fn main() {\n    println!(\"WHO0 {} ID\", strsim::levenshtein(\"a\", \"b\"));\n}\n";
    // A version of their own, so that no earlier run has built these dependencies.
    let version = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap().as_millis();
    let manifest = |name| package(name, depends).replace("0.1.0", &format!("0.1.{version}"));
    Scene::new(
        name,
        &["one", "two"],
        "",
        &[
            ("one/Cargo.toml", &manifest("one")),
            ("one/src/main.rs", &main.replace("WHO", "one")),
            ("two/Cargo.toml", &manifest("two")),
            ("two/src/main.rs", &main.replace("WHO", "two")),
        ],
    )
}

#[test]
#[ignore = "needs a container engine"]
fn dependencies_are_compiled_once_and_only_what_changed_is_built() {
    let scene = pair("pair");
    let recorder = Recorder::new(&scene);
    let build = || scene.engine_build("--jobs 1").env("CI_DOCKER_CLI", &recorder.program).ok();

    compiled(&build(), &["one", "two"]);
    assert_eq!(recorder.builds().len(), 2);
    assert!(scene.log("one").contains("Compiling strsim"));
    assert!(scene.log("two").contains("Compiling two"));
    assert!(!scene.log("two").contains("Compiling strsim"), "{}", scene.log("two"));
    let digests = (scene.digest("one"), scene.digest("two"));

    // Nothing changed: no build is started at all.
    compiled(&build(), &[]);
    assert_eq!(recorder.builds(), Vec::<String>::new());
    assert_eq!((scene.digest("one"), scene.digest("two")), digests);

    // One of them changed.
    scene.replace("one/src/main.rs", "one0", "one1");
    compiled(&build(), &["one"]);
    let builds = recorder.builds();
    assert!(builds.len() == 1 && builds[0].contains("dockerfiles/one/Dockerfile"), "{builds:?}");
    assert!(!scene.log("one").contains("Compiling strsim"), "{}", scene.log("one"));
    assert_eq!(scene.prints("one"), format!("one1 1 {}", scene.id));
    assert_eq!(scene.prints("two"), format!("two0 1 {}", scene.id));
    assert_ne!(scene.digest("one"), digests.0);
    assert_eq!(scene.digest("two"), digests.1);

    // An executable that was damaged meanwhile is no longer taken.
    scene.write("target/docker/executables/linux-amd64/two", "damaged");
    compiled(&build(), &["two"]);
    assert_eq!(scene.prints("two"), format!("two0 1 {}", scene.id));
    assert_eq!(scene.digest("two"), digests.1);
}

#[test]
#[ignore = "needs a container engine"]
fn names_on_the_command_line_do_not_change_an_image() {
    let scene = pair("names");
    scene.engine_build("two").ok();
    let alone = scene.digest("two");
    scene.write("one/src/main.rs", &printer("other"));
    compiled(&scene.engine_build("").ok(), &["one"]);
    assert_eq!(scene.digest("two"), alone);
    scene.remove("target/docker");
    scene.engine_build("").ok();
    assert_eq!(scene.digest("two"), alone);
}
