//! What people get wrong: workspaces, names, lock files, assets, arguments.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::support::{Fixture, names, package, root_manifest};

#[test]
fn outside_any_workspace() {
    let fixture = Fixture::unlocked(&[]);
    let error = fixture.xtask("components").fails();
    error.says("error: cargo cannot read the workspace\n").says("could not find `Cargo.toml`");
    fixture.xtask("components --manifest-path nowhere/Cargo.toml").fails().says("nowhere/Cargo.toml");
}

#[test]
fn a_broken_manifest() {
    let fixture = Fixture::simple(&["app"]);
    fixture.append("app/Cargo.toml", "[dependencies\n");
    fixture.xtask("components").fails().says("error: cargo cannot read the workspace\n").says("app/Cargo.toml");
}

#[test]
fn an_unknown_component_is_named_with_the_nearest_and_all_names() {
    let fixture = Fixture::simple(&["engine", "operate-ui", "runtime"]);
    let names = "hint: components of this workspace: engine, operate-ui, runtime\n";
    for command in ["components", "docker-build --builder native"] {
        assert_eq!(
            fixture.xtask(&format!("{command} enginee")).fails().stderr,
            format!("error: Unknown service(s) requested: enginee; did you mean `engine`?\n{names}")
        );
        assert_eq!(
            fixture.xtask(&format!("{command} runtime zzz qqq")).fails().stderr,
            format!("error: Unknown service(s) requested: zzz, qqq\n{names}")
        );
    }
    let error = fixture.xtask("components").env("CI_SERVICES", "engine,operate_ui").fails();
    assert_eq!(
        error.stderr,
        format!("error: Unknown service(s) requested: operate_ui; did you mean `operate-ui`?\n{names}")
    );
}

#[test]
fn names_come_from_arguments_then_the_first_variable_that_is_set() {
    let fixture = Fixture::simple(&["a", "b", "c", "d"]);
    let chosen = |arguments: &str, variables: &[(&str, &str)]| {
        let mut run = fixture.xtask(&format!("components --json {arguments}"));
        for (name, value) in variables {
            run = run.env(name, value);
        }
        names(&run.ok().json()).join(" ")
    };
    let all = [("CI_SERVICES", "b"), ("CI_SERVICE_FILTER", "c"), ("SERVICES", "d")];
    assert_eq!(chosen("a", &all), "a");
    assert_eq!(chosen("", &all), "b");
    assert_eq!(chosen("", &all[1..]), "c");
    assert_eq!(chosen("", &all[2..]), "d");
    assert_eq!(chosen("", &[("CI_SERVICES", ""), ("SERVICES", "d")]), "d");
    assert_eq!(chosen("", &[("CI_SERVICES", " d , b\na,,\n")]), "a b d");
    assert_eq!(chosen("", &[]), "a b c d");
    assert_eq!(chosen("b b a", &[]), "a b");
}

#[test]
fn a_missing_lock_file() {
    let fixture = Fixture::unlocked(&[
        ("Cargo.toml", &root_manifest(&["app"], "")),
        ("app/Cargo.toml", &package("app", "")),
        ("app/src/main.rs", "fn main() {}\n"),
    ]);
    let expected = format!(
        "error: `{}` is missing, so a build would not be repeatable\nhint: run `cargo generate-lockfile` and commit it\n",
        fixture.path("Cargo.lock").display()
    );
    assert_eq!(fixture.xtask("components").fails().stderr, expected);
    assert_eq!(fixture.build("").fails().stderr, expected);
    assert!(!fixture.path("Cargo.lock").exists());
}

#[test]
fn a_stale_lock_file() {
    let fixture = Fixture::simple(&["app"]);
    fixture.write("lib/Cargo.toml", &package("lib", "")).write("lib/src/lib.rs", "");
    fixture.append("app/Cargo.toml", "[dependencies]\nlib = { path = \"../lib\" }\n");
    fixture.replace("Cargo.toml", "\"app\"", "\"app\", \"lib\"");
    let before = fixture.read("Cargo.lock");
    fixture.build("").fails().says("--locked").says("Cargo.lock");
    assert_eq!(fixture.read("Cargo.lock"), before);
}

#[test]
fn a_damaged_lock_file() {
    let fixture = Fixture::simple(&["app"]);
    fixture.append("Cargo.lock", "<<<<<<< HEAD\n");
    fixture.xtask("components").fails().says("cannot read `Cargo.lock`");
}

/// A workspace whose component has the asset `from`.
fn with_asset(from: &str) -> Fixture {
    let fixture = Fixture::simple(&["app"]);
    fixture.append(
        "app/Cargo.toml",
        &format!("[package.metadata.docker]\nassets = [{{ from = {from:?}, to = \"/a\" }}]\n"),
    );
    crate::support::write(&fixture.beside("secret/key"), "secret");
    fixture
}

#[test]
fn a_missing_asset() {
    let fixture = with_asset("static");
    let expected =
        "`static`, named in `[package.metadata.docker]` of `app/Cargo.toml`, does not exist in the workspace\n";
    assert_eq!(fixture.build("").fails().stderr, format!("error: {expected}"));
}

#[test]
fn an_asset_that_leads_out_of_the_workspace() {
    for from in ["../secret", "linked", "linked/key"] {
        let fixture = with_asset(from);
        fixture.link("linked", "../secret");
        let error = fixture
            .build("")
            .fails()
            .says(&format!("error: asset `{from}`, named in "))
            .says("leads out of the workspace");
        assert!(!error.stderr.contains("COMPONENT"), "{error:?}");
    }
    with_asset("app/../../secret").build("").fails().says("asset `../secret`").says("leads out of the workspace");
    let absolute = with_asset("/etc/hostname");
    absolute.build("").fails().says("leads out of the workspace");
}

#[test]
fn a_link_inside_an_asset_that_leads_out_of_it() {
    let fixture = with_asset("web");
    fixture.write("web/index.html", "").link("web/key", "../../secret/key");
    fixture.build("").fails().says("error: link `web/key` in asset `web`").says("leads out of the asset");
    fixture.remove("web/key").link("web/key", "nowhere");
    fixture.build("").fails().says("link `web/key` in asset `web`");
}

#[test]
fn wrong_usage_exits_with_2() {
    let fixture = Fixture::simple(&["app"]);
    for arguments in [
        "",
        "nonsense",
        "components --nonsense",
        "docker-build --builder fast",
        "docker-build --jobs 0",
        "docker-build --jobs many",
        "dockerfiles --check --dry-run",
        "components --affected",
    ] {
        let output = fixture.xtask(arguments).misused();
        assert_eq!(output.stdout, "", "{arguments}");
        assert!(output.stderr.contains("--help") || output.stderr.contains("Usage:"), "{output:?}");
    }
    fixture.xtask("docker-biuld").misused().says("docker-build");
}

#[test]
fn help_and_version_exit_with_0_and_have_examples() {
    let fixture = Fixture::unlocked(&[]);
    for arguments in ["--help", "components --help", "dockerfiles --help", "docker-build --help"] {
        let output = fixture.xtask(arguments).ok();
        assert!(output.stdout.contains("Examples:\n") && output.stderr.is_empty(), "{output:?}");
    }
    assert!(fixture.xtask("--version").ok().stdout.contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let many: Vec<String> = (0..40).map(|number| format!("component-with-a-long-name-{number}")).collect();
    let fixture = Fixture::simple(&many.iter().map(String::as_str).collect::<Vec<_>>());
    for arguments in ["components --json", "components", "dockerfiles --check", "--help"] {
        let mut command = fixture.xtask(arguments).command();
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = String::new();
        BufReader::with_capacity(16, child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!stderr.contains("panicked") && !stderr.contains("Broken pipe"), "{arguments}: {stderr}");
        assert!(output.status.code().is_some(), "{arguments}: {:?}", output.status);
    }
}

#[test]
fn a_standard_error_that_nobody_reads_changes_no_exit_code() {
    let fixture = Fixture::simple(&["app"]);
    for (arguments, code) in
        [("components nonsense", 1), ("dockerfiles", 0), ("dockerfiles --check", 0), ("nonsense", 2)]
    {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = fixture.xtask(arguments).command();
        let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(writer).status().unwrap();
        assert_eq!(status.code(), Some(code), "{arguments}");
    }
}

#[test]
fn the_installed_program_is_the_same() {
    let fixture = Fixture::simple(&["app"]);
    let expected = fixture.xtask("components --json").ok().stdout;
    for arguments in [&["xtask", "components", "--json"][..], &["components", "--json"]] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_cargo-xtask"));
        crate::support::clean(&mut command, fixture.root());
        assert_eq!(crate::support::succeed(command.args(arguments)), expected);
    }
}
