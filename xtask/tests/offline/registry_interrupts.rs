//! Ctrl-C while a registry makes us wait, or a credential helper does.
#![cfg(target_os = "linux")]

use std::fs;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::http::{Answer, Server};
use crate::support::{Fixture, Xtask};

fn start(run: Xtask) -> Child {
    run.command().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the xtask")
}

fn wait_for(what: &str, mut is_there: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_there() {
        assert!(Instant::now() < deadline, "no {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Demands that it ends by an interrupt, soon.
fn interrupt(child: Child) {
    let begin = Instant::now();
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    assert!(stderr.contains("interrupted") && !stderr.contains("panicked"), "{stderr}");
}

#[test]
fn a_wait_for_a_busy_registry_ends() {
    let fixture = Fixture::simple(&["app"]);
    let server = Server::start(|_| Answer::new(429, "").header("Retry-After", "80"));
    let child = start(fixture.xtask(&format!("registry list --registry 127.0.0.1:{}", server.port)));
    wait_for("request", || !server.seen().is_empty());
    interrupt(child);
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn a_credential_helper_ends_too() {
    let fixture = Fixture::simple(&["app"]);
    let server = Server::start(|_| Answer::new(401, "").header("WWW-Authenticate", "Basic"));
    let registry = format!("127.0.0.1:{}", server.port);
    let pid = fixture.beside("pid");
    fixture.script("bin/docker-credential-slow", &format!("#!/bin/sh\necho $$ >'{}'\nexec sleep 600\n", pid.display()));
    fixture.write("docker/config.json", &format!(r#"{{"credHelpers":{{"{registry}":"slow"}}}}"#));
    let run = fixture.xtask(&format!("registry list --registry {registry}"));
    let run = run.env("DOCKER_CONFIG", fixture.path("docker")).path_first(&fixture.path("bin"));
    let child = start(run);
    let read = || fs::read_to_string(&pid).ok().and_then(|text| text.trim().parse::<i32>().ok());
    wait_for("helper", || read().is_some());
    interrupt(child);
    let helper = Pid::from_raw(read().unwrap());
    wait_for("end of the helper", || kill(helper, None).is_err());
}
