//! Ctrl-C and kill: children end too, and the next run starts clean.
#![cfg(target_os = "linux")]

use std::fs;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::Fixture;

/// `app`, whose build script says that it runs and then sleeps, while `sleep` exists; its image of
/// before that is in the layout.
fn sleeping() -> Fixture {
    let fixture = Fixture::simple(&["app"]);
    fixture.write(
        "app/build.rs",
        "fn main() {\n    println!(\"cargo::rerun-if-changed=sleep\");\n    \
         if std::path::Path::new(\"sleep\").exists() {\n        \
         std::fs::write(format!(\"{}/running\", std::env::var(\"OUT_DIR\").unwrap()), \"\").unwrap();\n        \
         std::thread::sleep(std::time::Duration::from_secs(600));\n    }\n}\n",
    );
    fixture.write(".gitignore", "/target\n").git_init();
    fixture.build("").ok();
    fixture.write("app/sleep", "");
    fixture
}

/// Starts a build and waits until its build script runs.
fn start(fixture: &Fixture) -> Child {
    let mut command = fixture.build("").command();
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(120);
    while !is_running(&fixture.path("target/docker/build")) {
        assert!(Instant::now() < deadline, "the build script does not start");
        std::thread::sleep(Duration::from_millis(20));
    }
    child
}

/// Whether the build script has left its mark below `folder`.
fn is_running(folder: &std::path::Path) -> bool {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .into_iter()
        .any(|entry| entry.file_name() == "running" || (entry.path().is_dir() && is_running(&entry.path())))
}

/// Processes (but ourselves) that work in the fixture's folder: cargo, rustc, the build script.
fn left(fixture: &Fixture) -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    let works_here = |path: &std::path::PathBuf| {
        let is_alive = !fs::read_to_string(path.join("stat")).unwrap_or_default().contains(") Z ");
        is_alive && fs::read_link(path.join("cwd")).is_ok_and(|cwd| cwd.starts_with(fixture.root()))
    };
    let shown = |path: std::path::PathBuf| {
        let line = fs::read_to_string(path.join("cmdline")).unwrap_or_default();
        format!("{} {}", path.display(), line.replace('\0', " "))
    };
    entries.filter(works_here).map(shown).collect()
}

fn wait_until_none_is_left(fixture: &Fixture) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !left(fixture).is_empty() {
        assert!(Instant::now() < deadline, "still there: {:#?}", left(fixture));
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn send(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
}

/// Demands that the image of before is there still, and that the next build is fine.
fn recovers(fixture: &Fixture, before: &str) {
    assert_eq!(fixture.image("app").digest, before);
    fixture.remove("app/sleep");
    fixture.build("").ok();
    assert_eq!(fixture.image("app").digest, before);
}

#[test]
fn an_interrupt_ends_the_children_within_seconds_and_exits_with_130() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let fixture = sleeping();
        let before = fixture.digest("app");
        let child = start(&fixture);
        assert!(left(&fixture).len() >= 3, "xtask, cargo and the build script: {:#?}", left(&fixture));
        let started = Instant::now();
        send(&child, signal);
        let output = child.wait_with_output().unwrap();
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        assert_eq!(output.status.code(), Some(130));
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(stderr.contains("interrupted; nothing unfinished was kept\n"), "{stderr}");
        assert!(!stderr.contains("panicked"), "{stderr}");
        wait_until_none_is_left(&fixture);
        recovers(&fixture, &before);
    }
}

#[test]
fn an_interrupt_ends_it_although_nobody_reads_what_it_says() {
    let fixture = sleeping();
    let mut child = start(&fixture);
    // As when a terminal is closed.
    drop(child.stderr.take());
    send(&child, Signal::SIGHUP);
    let deadline = Instant::now() + Duration::from_secs(5);
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None => assert!(Instant::now() < deadline, "it does not end"),
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(status.code(), Some(130));
    wait_until_none_is_left(&fixture);
}

#[test]
fn when_it_is_killed_its_children_end_too() {
    let fixture = sleeping();
    let before = fixture.digest("app");
    let mut child = start(&fixture);
    send(&child, Signal::SIGKILL);
    child.wait().unwrap();
    wait_until_none_is_left(&fixture);
    recovers(&fixture, &before);
}

#[test]
fn what_a_killed_run_left_is_swept_by_a_later_one() {
    let fixture = Fixture::simple(&["app"]);
    fixture.git_init();
    let mut gone = std::process::Command::new("true").spawn().unwrap();
    let (dead, alive) = (gone.id(), std::process::id());
    gone.wait().unwrap();
    fixture.write(&format!("target/docker/tmp/past-{dead}/tree/x"), "");
    fixture.write(&format!("target/docker/tmp/past-{alive}/tree/x"), "");
    fixture.xtask("components --affected HEAD").ok();
    let left = fixture.path("target/docker/tmp").read_dir().unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(left.collect::<Vec<_>>(), [format!("past-{alive}").as_str()], "a run that lives needs its own");
}

#[test]
fn two_builds_at_once_wait_for_each_other() {
    let fixture = Fixture::simple(&["one", "two"]);
    fixture.git_init();
    let spawn = |name: &str| {
        let mut command = fixture.build(name).command();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    };
    for child in ["one", "two", "", ""].map(spawn) {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    fixture.image("one");
    fixture.image("two");
}
