//! The real binary, from its start to its end.

use std::{io::Read, net::TcpListener};

use service::testing::{Process, answer, failure};

const RUNTIME: &str = env!("CARGO_BIN_EXE_runtime");

#[test]
fn configured_by_the_environment() {
    let process = Process::start(RUNTIME, |command| {
        command.env("VERSION", "1.2.3").env("COMMIT_SHA", "abc");
    });
    assert_eq!(process.get("/ready"), (200, "ok".into()));
    let version = r#"{"name":"runtime","version":"1.2.3","commit":"abc","build_date":"unknown"}"#;
    assert_eq!(process.get("/version"), (200, version.into()));
    let sent = process.signal("INT");
    assert_eq!(process.exit_code(sent), Some(0));
}

#[test]
fn a_slow_request_is_answered_after_sigterm() {
    let api = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", api.local_addr().unwrap());
    let process = Process::start(RUNTIME, |command| {
        command.args(["--api-server", &url]);
    });
    let slow = process.ask("/ready");
    // The API server has the question, but does not answer.
    let (mut question, _) = api.accept().unwrap();
    let mut start = [0; 11];
    question.read_exact(&mut start).unwrap();
    assert_eq!(&start, b"GET /readyz");
    let sent = process.signal("TERM");
    process.wait_for_log("stopping");
    let (status, reason) = answer(slow);
    assert_eq!(status, 503);
    assert!(reason.starts_with("no answer"), "{reason}");
    assert_eq!(process.exit_code(sent), Some(0));
}

#[test]
fn wrong_configuration_is_told_in_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let missing_ca = ["--api-server=https://a", "--api-ca-file=/missing/ca.crt"];
    for (args, message) in [
        (["--listen", "nowhere"], "listen address `nowhere`"),
        (["--listen", &taken], "Address already in use"),
        (["--api-server", "cluster"], "URL `cluster`"),
        (missing_ca, "/missing/ca.crt"),
    ] {
        let (code, stderr) = failure(RUNTIME, &args);
        assert_eq!(code, Some(1), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.starts_with("error: "), "{stderr}");
        assert!(stderr.contains(message), "{stderr}");
    }
    assert_eq!(failure(RUNTIME, &["--nonsense"]).0, Some(2));
}
