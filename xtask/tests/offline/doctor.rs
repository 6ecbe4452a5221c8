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
