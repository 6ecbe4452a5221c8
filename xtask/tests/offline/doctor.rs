//! `doctor`: what is there and what is missing, all at once.

use serde_json::Value;

use crate::support::{Fixture, Xtask};

/// Without an engine, and with a registry where nobody listens.
fn doctor(fixture: &Fixture, arguments: &str) -> Xtask {
    let run = fixture.xtask(&format!("doctor {arguments}"));
    run.env("CI_DOCKER_CLI", "no-such-engine").env("CI_REGISTRY", "localhost:1")
}

fn finding(list: &Value, tool: &str) -> Value {
    let findings = list.as_array().unwrap().iter();
    let mut found = findings.filter(|finding| finding["tool"].as_str().unwrap().starts_with(tool));
    found.next().unwrap_or_else(|| panic!("no `{tool}` in {list:#}")).clone()
}

#[test]
fn it_lists_what_is_there_and_how_to_mend_what_is_not() {
    let fixture = Fixture::simple(&["one", "two"]);
    let list = doctor(&fixture, "--json").ok().json();
    assert!(finding(&list, "rustc")["found"].as_str().unwrap().starts_with("rustc 1."));
    let workspace = format!("2 components in {}", fixture.root().display());
    assert_eq!(finding(&list, "workspace")["found"], workspace);
    assert!(finding(&list, "git")["found"].as_str().unwrap().starts_with("git version"));
    for (tool, mend) in [("container engine", "install docker or podman"), ("registry localhost:1", "docker login")] {
        let finding = finding(&list, tool);
        assert_eq!(finding["found"], Value::Null, "{finding}");
        assert!(finding["mend"].as_str().unwrap().contains(mend), "{finding}");
    }
    fixture.append("Cargo.toml", "[workspace.metadata.docker]\nplatforms = [\"linux/s390x\"]\n");
    let target = finding(&doctor(&fixture, "--json").ok().json(), "target s390x");
    assert_eq!(target["mend"], "rustup target add s390x-unknown-linux-gnu");
}

#[test]
fn what_is_required_and_missing_is_a_failure_and_all_else_is_listed_still() {
    let fixture = Fixture::unlocked(&[]);
    let table = doctor(&fixture, "").fails().stdout;
    let line = |tool: &str| table.lines().find(|line| line.contains(tool)).unwrap_or_else(|| panic!("{table}"));
    assert!(line("workspace").starts_with("MISSING"), "{table}");
    assert!(line("rustc").starts_with("ok"), "{table}");
    assert!(line("container engine").starts_with("absent"), "{table}");
    assert!(line("git ").starts_with("ok"), "{table}");
}

#[test]
fn it_names_what_crates_need_of_the_machine_and_how_to_do_without() {
    let fixture = Fixture::simple(&["app", "xtask"]);
    for name in ["openssl-sys", "pq-sys", "nasm-rs", "prost-build", "alsa-sys", "libudev-sys"] {
        fixture.vendor(name, "1.0.0");
    }
    fixture.append(
        "app/Cargo.toml",
        "[dependencies]\nopenssl-sys = \"1\"\npq-sys = \"1\"\n[build-dependencies]\nnasm-rs = \"1\"\nprost-build = \"1\"\n\
         [dev-dependencies]\nalsa-sys = \"1\"\n",
    );
    // What only the xtask uses is no component's.
    fixture.append("xtask/Cargo.toml", "[dependencies]\nlibudev-sys = \"1\"\n");
    fixture.lock();
    let tools = fixture.beside("tools");
    for (name, script) in [
        ("pkg-config", "case \"$2\" in openssl) echo 3.0.14;; libpq) echo 15.6;; '') echo 1.8;; *) exit 1;; esac"),
        ("cc", "case \"$1\" in -print-file-name=libssl.a) echo /usr/lib/libssl.a;; *) echo \"${1#*=}\";; esac"),
        ("nasm", "exit 0"),
    ] {
        let path = fixture.script(&format!("../tools/{name}"), &format!("#!/bin/sh\n{script}\n"));
        assert!(path.exists());
    }
    let list = |fixture: &Fixture| doctor(fixture, "--json").path_first(&tools).ok().json();
    let found = list(&fixture);
    assert_eq!(finding(&found, "pkg-config")["found"], "1.8");
    assert_eq!(finding(&found, "libssl (crate openssl-sys)")["found"], "3.0.14");
    let nasm = finding(&found, "nasm (crate nasm-rs)");
    assert!(nasm["found"].as_str().unwrap().ends_with("/tools/nasm"), "{nasm}");
    let pq = finding(&found, "libpq (crate pq-sys)");
    assert_eq!(pq["found"], Value::Null, "it is there, and does not link statically: {pq}");
    assert_eq!(
        pq["mend"],
        "turn on the feature `bundled` of `pq-sys`, or set `linkage = \"gnu\"` with a `runtime-image` that has the library"
    );
    assert_eq!(pq["required"], false);
    assert!(finding(&found, "protoc (crate prost-build)").is_object());
    for unused in ["alsa", "udev"] {
        assert!(!found.to_string().contains(unused), "{found:#}");
    }

    let dynamic = "[workspace.metadata.docker]\nlinkage = \"gnu\"\nruntime-image = \"debian:12\"\n";
    fixture.append("Cargo.toml", dynamic);
    assert_eq!(finding(&list(&fixture), "libpq (crate pq-sys)")["found"], "15.6");
    fixture.script("../tools/pkg-config", "#!/bin/sh\nexit 1\n");
    let missing = list(&fixture);
    assert_eq!(
        finding(&missing, "libssl (crate openssl-sys)")["mend"],
        "turn on the feature `vendored` of `openssl`, or install `libssl-dev`"
    );
    assert_eq!(finding(&missing, "pkg-config")["mend"], "install `pkg-config`");
}
