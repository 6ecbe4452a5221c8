//! `dockerfiles`: what is written, and when nothing is.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use crate::support::{Fixture, package, root_manifest};

const FILES: &[&str] =
    &["one/Dockerfile", "one/Dockerfile.dockerignore", "two/Dockerfile", "two/Dockerfile.dockerignore"];

fn texts(fixture: &Fixture) -> BTreeMap<&'static str, String> {
    FILES.iter().map(|file| (*file, fixture.read(file))).collect()
}

#[test]
fn each_crate_with_components_gets_both_files_and_a_second_run_leaves_them_alone() {
    let fixture = Fixture::simple(&["one", "two"]);
    fixture.write("lib/Cargo.toml", &package("lib", "")).write("lib/src/lib.rs", "");
    fixture.replace("Cargo.toml", "\"two\"", "\"two\", \"lib\"").lock();
    let expected: String = FILES.iter().map(|file| format!("wrote {file}\n")).collect();
    assert_eq!(fixture.xtask("dockerfiles").ok().stdout, expected);
    assert!(!fixture.path("lib/Dockerfile").exists());
    let times = || -> Vec<SystemTime> {
        FILES.iter().map(|file| fixture.path(file).metadata().unwrap().modified().unwrap()).collect()
    };
    let before = times();
    let again = fixture.xtask("dockerfiles").ok().says("4 files are up to date");
    assert_eq!(again.stdout, "");
    assert_eq!(times(), before);
    // Only what changed is written.
    fixture.append("one/Cargo.toml", "[package.metadata.docker]\nport = 80\n");
    assert_eq!(fixture.xtask("dockerfiles").ok().stdout, "wrote one/Dockerfile\n");
}

#[test]
fn check_is_silent_when_all_is_well_and_shows_a_diff_when_not() {
    let fixture = Fixture::simple(&["one", "two"]);
    fixture.xtask("dockerfiles").ok();
    assert_eq!(fixture.xtask("dockerfiles --check").ok().stdout, "");
    fixture.append("two/Cargo.toml", "[package.metadata.docker]\nport = 8080\n");
    let before = texts(&fixture);
    let drift = fixture.xtask("dockerfiles --check").fails();
    assert!(drift.stdout.starts_with("--- two/Dockerfile (committed)\n+++ two/Dockerfile (generated)\n"), "{drift:?}");
    assert!(drift.stdout.contains("\n+EXPOSE 8080\n"), "{drift:?}");
    assert!(!drift.stdout.contains("one/Dockerfile"), "{drift:?}");
    let drift = drift.says("error: 1 of 4 files drifted\nhint: run `cargo xtask dockerfiles`\n");
    assert_eq!(texts(&fixture), before, "{drift:?}");
    fixture.xtask("dockerfiles").ok();
    fixture.xtask("dockerfiles --check").ok();
}

#[test]
fn check_fails_when_files_are_missing_or_edited_by_hand() {
    let fixture = Fixture::simple(&["one", "two"]);
    fixture.xtask("dockerfiles --check").fails().says("4 of 4 files drifted");
    assert!(!fixture.path("one/Dockerfile").exists());
    fixture.xtask("dockerfiles").ok();
    fixture.append("one/Dockerfile", "RUN echo mine\n");
    let drift = fixture.xtask("dockerfiles --check").fails();
    assert!(drift.stdout.contains("\n-RUN echo mine\n"), "{drift:?}");
}

#[test]
fn foreign_files_are_left_alone_with_what_lies_beside_them() {
    for foreign in ["two/Dockerfile", "two/Dockerfile.dockerignore"] {
        let fixture = Fixture::simple(&["one", "two"]);
        fixture.write(foreign, "FROM mine\n");
        let warning = format!("warning: `{foreign}` is left alone: its first line does not say that it is generated\n");
        fixture.xtask("dockerfiles --check").fails().says(&warning).says("2 of 2 files drifted");
        let written = fixture.xtask("dockerfiles").ok().says(&warning).stdout;
        assert_eq!(written, "wrote one/Dockerfile\nwrote one/Dockerfile.dockerignore\n");
        assert_eq!(fixture.read(foreign), "FROM mine\n");
        let count = fixture.path("two").read_dir().unwrap().count();
        assert_eq!(count, 3, "its manifest, its sources, the foreign file");
        fixture.xtask("dockerfiles --check").ok().says(&warning);
    }
}

#[test]
fn a_dry_run_names_the_files_and_writes_none() {
    let fixture = Fixture::simple(&["one", "two"]);
    let expected: String = FILES.iter().map(|file| format!("would write {file}\n")).collect();
    assert_eq!(fixture.xtask("dockerfiles --dry-run").ok().stdout, expected);
    for file in FILES {
        assert!(!fixture.path(file).exists());
    }
    assert!(!fixture.path("target").exists());
}

#[test]
fn the_text_does_not_depend_on_the_folder() {
    let fixture = Fixture::simple(&["one", "two"]);
    let copy = fixture.copy();
    fixture.xtask("dockerfiles").ok();
    copy.xtask("dockerfiles").within(copy.path("two")).env("CARGO_HOME", copy.beside("cargo home")).ok();
    assert_eq!(texts(&fixture), texts(&copy));
    for text in texts(&fixture).values() {
        assert!(!text.contains(fixture.root().to_str().unwrap()), "{text}");
    }
}

#[test]
fn all_dockerfiles_share_the_stages_that_build_dependencies() {
    let fixture = Fixture::simple(&["one", "two"]);
    fixture.append("two/Cargo.toml", "[package.metadata.docker]\nport = 1\nbuild-packages = [\"protobuf-compiler\"]\n");
    fixture.xtask("dockerfiles").ok();
    let shared = |file: &str| {
        let text = fixture.read(file);
        let start = text.find("\nFROM ").unwrap();
        let end = text.find("FROM deps AS build\n").unwrap();
        text[start..end].to_owned()
    };
    assert_eq!(shared("one/Dockerfile"), shared("two/Dockerfile"));
    assert!(shared("one/Dockerfile").contains("protobuf-compiler"));
}

/// The step that settles the toolchain, run by a shell: with a rustup that logs what it is told, or without one.
fn settle(fixture: &Fixture, file: &str, release: &str, has_rustup: bool) -> (bool, String) {
    fixture.write("rust-toolchain.toml", file);
    fixture.xtask("dockerfiles").ok();
    let text = fixture.read("one/Dockerfile");
    let start = text.find("RUN set -eu; without=").expect("a step") + "RUN ".len();
    let end = start + text[start..].find("exit 1\n").expect("its end") + "exit 1\n".len();
    let tools = format!("../tools-{has_rustup}");
    let log = fixture.beside("rustup.log");
    let write = |name: &str, text: String| fixture.script(&format!("{tools}/{name}"), &text);
    write("rustc", format!("#!/bin/sh\necho 'rustc {release} (0123 2026-11-01)'\n"));
    if has_rustup {
        let said = "1.95.0-x86_64-unknown-linux-gnu (default)";
        let text = format!(
            "#!/bin/sh\ncase \"$1\" in show) echo '{said}' ;; toolchain) test \"$2\" = list && echo '{said}' ;; esac\n\
             test \"$2\" = list || echo \"$@\" >>{}\n",
            log.display()
        );
        write("rustup", text);
    }
    let _ = std::fs::remove_file(&log);
    let path = format!("{}:/usr/bin:/bin", fixture.path(&tools).display());
    let output = Command::new("/bin/sh").arg("-c").arg(&text[start..end]).env("PATH", path).output().unwrap();
    let said = std::fs::read_to_string(&log).unwrap_or_default() + &String::from_utf8(output.stderr).unwrap();
    (output.status.success(), said)
}

#[test]
fn the_builder_has_the_toolchain_that_is_asked_for_and_rustup_adds_no_other() {
    let fixture = Fixture::simple(&["one"]);
    let asks = |channel: &str| format!("[toolchain]\nchannel = \"{channel}\"\n");
    let own = "show active-toolchain\noverride set 1.95.0-x86_64-unknown-linux-gnu\n";
    for (channel, release, log) in [
        ("1.95", "1.95.3", own),
        ("stable", "1.95.0", own),
        ("1.95.0", "1.95.0", "override set 1.95.0\n"),
        ("1.94.1", "1.94.1", "toolchain install --profile minimal 1.94.1\noverride set 1.94.1\n"),
        (
            "nightly-2026-11-01",
            "1.97.0-nightly",
            "toolchain install --profile minimal nightly-2026-11-01\noverride set nightly-2026-11-01\n",
        ),
    ] {
        assert_eq!(settle(&fixture, &asks(channel), release, true), (true, log.to_owned()), "{channel}");
    }
    let components = "[toolchain]\ncomponents = [\"rust-src\", \"clippy\"]\n";
    let log = format!("{own}component add rust-src\n");
    assert_eq!(settle(&fixture, components, "1.97.0-nightly", true), (true, log));
    for (channel, release, is_right, shown) in [
        ("1.95", "1.95.3", true, ""),
        ("1.9", "1.95.3", false, "1.95.3"),
        ("1.95", "1.95.0-nightly", false, "1.95.0-nightly"),
        ("stable", "1.96.0-beta.1", false, "1.96.0-beta.1"),
        ("nightly", "1.97.0-nightly", true, ""),
        ("nightly-2026-11-01", "1.97.0-nightly", false, "1.97.0-nightly without rustup"),
    ] {
        let shown = match shown {
            "" => String::new(),
            shown => format!(
                "error: `rust-toolchain.toml` asks for Rust `{channel}`, and the builder image has {shown}; name one that \
                 has it: `builder-image = \"…\"` in `[workspace.metadata.docker]` of `Cargo.toml`\n"
            ),
        };
        assert_eq!(settle(&fixture, &asks(channel), release, false), (is_right, shown), "{channel}");
    }
    // None is known that has it.
    fixture.write("rust-toolchain.toml", &asks("beta"));
    fixture.xtask("dockerfiles").fails().says("asks for Rust `beta`, and no builder image is known that has it");
}

#[test]
fn the_default_binary_comes_last() {
    let fixture = Fixture::simple(&["one"]);
    fixture.write("one/src/bin/worker.rs", "fn main() {}\n");
    let last_entrypoint = || {
        fixture.xtask("dockerfiles").ok();
        fixture.read("one/Dockerfile").lines().last().unwrap().to_owned()
    };
    assert_eq!(last_entrypoint(), "ENTRYPOINT [\"/usr/local/bin/one\"]");
    fixture.replace("one/Cargo.toml", "edition", "default-run = \"worker\"\nedition");
    assert_eq!(last_entrypoint(), "ENTRYPOINT [\"/usr/local/bin/worker\"]");
    let text = fixture.read("one/Dockerfile");
    for stage in ["build-one", "executable-one", "image-one", "build-worker", "executable-worker", "image-worker"] {
        assert!(text.contains(&format!(" AS {stage}\n")), "no stage {stage} in\n{text}");
    }
}

#[test]
fn they_suit_docker_20_10() {
    let fixture = Fixture::simple(&["one"]);
    fixture.xtask("dockerfiles").ok();
    let text = fixture.read("one/Dockerfile");
    assert!(text.starts_with("# Generated by `cargo xtask dockerfiles`"), "{text}");
    assert!(!text.contains("# syntax="), "{text}");
    assert!(!text.contains("<<"), "{text}");
    assert!(!text.contains("target=/workspace/target"), "no cache mount for `target`:\n{text}");
}

#[test]
fn a_base_that_is_an_oci_layout_is_refused() {
    let fixture = Fixture::simple(&["one"]);
    fixture.append("Cargo.toml", "[workspace.metadata.docker]\nruntime-image = \"oci:base\"\n");
    fixture.xtask("dockerfiles").fails().says("`runtime-image` is an OCI layout, which no Dockerfile can start from");
}

/// The whole text, for reading: `UPDATE_GOLDEN=1 cargo test` writes it anew.
#[test]
fn the_text_is_the_golden_one() {
    let fixture = Fixture::new(&[
        (
            "Cargo.toml",
            &root_manifest(
                &["app", "lib", "other"],
                "[workspace.metadata.docker]\nbuilder-image = \"rust:1.95-bookworm\"\n",
            ),
        ),
        (
            "app/Cargo.toml",
            &package(
                "app",
                "description = \"Says \\\"hello\\\"\"\nlicense = \"MIT\"\nauthors = [\"Me <me@example.com>\"]\n\
                 [dependencies]\nlib = { path = \"../lib\" }\n\
                 [package.metadata.docker]\nport = 3000\nassets = [{ from = \"app/static\", to = \"/app/static\" }]\n\
                 env = { RUST_LOG = \"info\" }\n",
            ),
        ),
        ("app/src/main.rs", "fn main() {}\n"),
        ("app/static/index.html", "<p>hello\n"),
        ("lib/Cargo.toml", &package("lib", "")),
        ("lib/src/lib.rs", ""),
        ("other/Cargo.toml", &package("other", "")),
        ("other/src/main.rs", "fn main() {}\n"),
    ]);
    fixture.xtask("dockerfiles").ok();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/offline/golden");
    for name in ["Dockerfile", "Dockerfile.dockerignore"] {
        let path = golden.join(name);
        let text = fixture.read(&format!("app/{name}"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            crate::support::write(&path, &text);
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(text == expected, "{name} differs from {}; is now\n{text}", path.display());
    }
}
