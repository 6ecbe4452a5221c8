//! The same commit gives the same digest in any folder; what breaks that is reported.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Fixture, package, root_manifest};

/// A program with all that usually holds a path: generated code that is included, panics in the
/// program, a member, generated code, and the standard library.
fn with_paths() -> Fixture {
    let fixture = Fixture::new(&[
        // Debug information is full of paths.
        ("Cargo.toml", &root_manifest(&["app", "lib"], "[profile.release]\ndebug = true\n")),
        ("app/Cargo.toml", &package("app", "[dependencies]\nlib = { path = \"../lib\" }\n")),
        (
            "app/build.rs",
            "fn main() {\n    let out = std::env::var(\"OUT_DIR\").unwrap();\n    \
             let code = \"pub fn generated(i: usize) -> u8 { assert!(i > 9, \\\"in {}\\\", file!()); 1 }\";\n    \
             std::fs::write(format!(\"{out}/code.rs\"), code).unwrap();\n}\n",
        ),
        (
            "app/src/main.rs",
            "include!(concat!(env!(\"OUT_DIR\"), \"/code.rs\"));\nfn main() {\n    \
             match std::env::args().nth(1).as_deref() {\n        \
             Some(\"generated\") => drop(generated(0)),\n        \
             Some(\"lib\") => lib::fail(),\n        \
             _ => panic!(\"in {}\", file!()),\n    }\n}\n",
        ),
        ("lib/Cargo.toml", &package("lib", "")),
        ("lib/src/lib.rs", "pub fn fail() { panic!(\"in {}\", file!()); }\n"),
    ]);
    fixture.git_init();
    fixture
}

/// A clone in a folder whose path has another length.
fn clone_of(fixture: &Fixture) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap().join("a/rather/longer/path/to the/clone");
    fixture.git(&["clone", "--quiet", fixture.root().to_str().unwrap(), root.to_str().unwrap()]);
    (folder, root)
}

fn build_in(fixture: &Fixture, root: &Path) -> crate::support::Xtask {
    fixture.build("--json").within(root)
}

#[test]
fn two_clones_in_two_folders_with_two_cargo_homes_give_one_digest() {
    let fixture = with_paths();
    // Of the registry: its path is below CARGO_HOME.
    fixture.append("app/Cargo.toml", "byteorder = { version = \"1\", default-features = false }\n");
    fixture.replace(
        "app/src/main.rs",
        "Some(\"lib\")",
        "Some(\"registry\") => drop(<byteorder::LE as byteorder::ByteOrder>::read_u16(&[])),\n        Some(\"lib\")",
    );
    let mut cargo = Command::new("cargo");
    crate::support::clean(&mut cargo, fixture.root());
    crate::support::succeed(cargo.args(["generate-lockfile", "--quiet"]));
    fixture.commit("use the registry");
    let (folder, root) = clone_of(&fixture);
    let first = fixture.build("--json").ok().says_nothing_of("warning: app has paths").json();
    let other_home = build_in(&fixture, &root).env("CARGO_HOME", folder.path().join("another cargo home"));
    let second = other_home.ok().says_nothing_of("warning: app has paths").json();
    assert_eq!(first, second);

    let program = fixture.image("app").extract_program(&fixture.beside(""));
    for (which, path) in [
        ("", "app/src/main.rs"),
        ("lib", "lib/src/lib.rs"),
        ("generated", "/workspace/target/"),
        ("registry", "/cargo/registry/src/"),
    ] {
        let output = Command::new(&program).arg(which).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(stderr.contains(&format!("panicked at {path}")), "{which}: {stderr}");
    }
}

#[test]
fn a_git_dependency_is_an_input_by_its_commit_and_its_path_does_not_show() {
    let upstream =
        Fixture::new(&[("Cargo.toml", &package("gitty", "")), ("src/lib.rs", "pub fn fail() { panic!() }\n")]);
    upstream.git_init();
    let fixture = Fixture::simple(&["app"]);
    fixture.write("app/src/main.rs", "fn main() { gitty::fail() }\n");
    fixture
        .append("app/Cargo.toml", &format!("[dependencies]\ngitty.git = \"file://{}\"\n", upstream.root().display()));
    let fetch = || {
        let mut cargo = Command::new("cargo");
        crate::support::clean(&mut cargo, fixture.root());
        crate::support::succeed(cargo.args(["update", "--quiet"]).env("CARGO_HOME", fixture.beside("cargo home")));
    };
    fetch();
    fixture.git_init();
    let first = fixture.build("--json").env("CARGO_HOME", fixture.beside("cargo home")).ok().json();
    let second = fixture.copy().build("--json").env("CARGO_HOME", fixture.beside("elsewhere/b")).ok().json();
    assert_eq!(first, second);
    let program = fixture.image("app").extract_program(&fixture.beside(""));
    let stderr = Command::new(program).output().unwrap().stderr;
    let stderr = String::from_utf8_lossy(&stderr).into_owned();
    assert!(stderr.contains("panicked at /cargo/git/checkouts/"), "{stderr}");

    upstream.append("src/lib.rs", "// changed\n").commit("changed");
    fetch();
    let run = fixture.xtask("components --json --affected HEAD").env("CARGO_HOME", fixture.beside("cargo home"));
    let list = run.ok().json();
    assert!(list[0]["affected"].as_str().is_some_and(|reason| reason.contains("`gitty`")), "{list:#}");
}

#[test]
fn neither_file_times_nor_the_umask_nor_the_environment_show() {
    let fixture = with_paths();
    let first = fixture.build("--json").ok().json();
    let copy = fixture.copy();
    let elsewhere = fixture.beside("another target");
    let with_target = copy.build("--json").env("CARGO_TARGET_DIR", &elsewhere).ok().json();
    assert_eq!(first, with_target);
    assert!(elsewhere.join("docker/oci/index.json").exists());
    let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    let file = std::fs::File::options().append(true).open(copy.path("app/src/main.rs")).unwrap();
    file.set_modified(old).unwrap();
    let mut command = Command::new("sh");
    let build =
        copy.build("--json").env("USER", "somebody").env("TZ", "Asia/Tokyo").env("LANG", "de_DE.UTF-8").command();
    command.args(["-c", "umask 077; exec \"$0\" \"$@\""]).arg(build.get_program()).args(build.get_args());
    command.current_dir(copy.root());
    for (name, value) in build.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let second: serde_json::Value = serde_json::from_str(&crate::support::succeed(&mut command)).unwrap();
    assert_eq!(first, second);
}

#[test]
fn a_source_that_changes_and_keeps_an_old_time_is_compiled_anew() {
    let fixture = with_paths();
    let source = fixture.path("lib/src/lib.rs");
    let old = source.metadata().unwrap().modified().unwrap() - std::time::Duration::from_secs(3600);
    let build = |text: &str| {
        fixture.write("lib/src/lib.rs", text);
        std::fs::File::options().append(true).open(&source).unwrap().set_modified(old).unwrap();
        fixture.build("").ok();
        let program = fixture.image("app").extract_program(&fixture.beside(""));
        let output = Command::new(program).arg("lib").output().unwrap();
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(build("pub fn fail() { panic!(\"first\"); }\n").contains("first"));
    assert!(build("pub fn fail() { panic!(\"other\"); }\n").contains("other"));
}

#[test]
fn a_path_of_this_machine_in_the_program_is_reported() {
    let fixture = Fixture::simple(&["app", "clean"]);
    fixture.write("app/src/main.rs", "fn main() { println!(\"{}\", env!(\"CARGO_MANIFEST_DIR\")); }\n").git_init();
    let expected = format!("warning: app has paths of this machine in it ({})", fixture.root().display());
    fixture.build("").ok().says(&expected).says_nothing_of("warning: clean has");
}

#[test]
fn rustflags_of_the_user_count_and_ours_stay() {
    let fixture = Fixture::simple(&["app"]);
    fixture.write(
        "app/src/main.rs",
        "fn main() { println!(\"{} {}\", cfg!(special), cfg!(target_feature = \"crt-static\")); }\n",
    );
    fixture.append("app/Cargo.toml", "[lints.rust]\nunexpected_cfgs = \"allow\"\n").git_init();
    let prints = || {
        let program = fixture.image("app").extract_program(&fixture.beside(""));
        crate::support::succeed(&mut Command::new(program))
    };
    let plain = fixture.build("--json").ok().json();
    assert_eq!(prints(), "false true\n");
    let by_variable = fixture.build("--json").env("RUSTFLAGS", "--cfg special").ok().json();
    assert_eq!(prints(), "true true\n");
    assert_ne!(plain[0]["input-hash"], by_variable[0]["input-hash"]);
    for (table, expected) in [
        ("build", "true true\n"),
        ("target.'cfg(target_os = \"linux\")'", "true true\n"),
        ("target.'cfg(target_os = \"windows\")'", "false true\n"),
    ] {
        fixture.write(".cargo/config.toml", &format!("[{table}]\nrustflags = [\"--cfg\", \"special\"]\n"));
        fixture.build("").ok();
        assert_eq!(prints(), expected, "{table}");
    }
}

#[test]
fn what_cargo_and_rustup_add_to_the_library_path_is_no_input() {
    let fixture = Fixture::simple(&["app"]);
    fixture.git_init();
    let hash = |path: &str| {
        let run = fixture.xtask("components --inputs app --builder native --json").env("LD_LIBRARY_PATH", path);
        run.ok().json()[0]["input-hash"].as_str().unwrap().to_owned()
    };
    let target = std::path::Path::new(env!("CARGO_BIN_EXE_xtask")).parent().unwrap().display().to_string();
    let sysroot = crate::support::succeed(Command::new("rustc").args(["--print", "sysroot"]));
    let added = format!("{target}/build/x-1/out:{target}/deps:{target}:{}/lib", sysroot.trim());
    let plain = hash("");
    assert_eq!(hash(&added), plain);
    assert_eq!(hash(&format!("{added}:/opt/lib")), hash("/opt/lib"));
    assert_ne!(hash("/opt/lib"), plain);
}
