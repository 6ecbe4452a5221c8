//! The real binary, from its start to its end.

use rusqlite::Connection;
use service::testing::{Process, answer, failure};

const ENGINE: &str = env!("CARGO_BIN_EXE_engine");

#[test]
fn configured_by_the_environment() {
    let process = Process::start(ENGINE, |command| {
        command.env("VERSION", "1.2.3").env("COMMIT_SHA", "abc").env("BUILD_DATE", "2025-01-01T00:00:00Z");
    });
    assert_eq!(process.get("/ready"), (200, "ok".into()));
    let version = r#"{"name":"engine","version":"1.2.3","commit":"abc","build_date":"2025-01-01T00:00:00Z"}"#;
    assert_eq!(process.get("/version"), (200, version.into()));
    let sent = process.signal("INT");
    assert_eq!(process.exit_code(sent), Some(0));
}

#[test]
fn a_slow_request_is_answered_after_sigterm() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("engine.db");
    let process = Process::start(ENGINE, |command| {
        command.env("DATABASE", &path).env("RUST_LOG", "debug");
    });
    // The query waits a second for the lock.
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let slow = process.ask("/ready");
    process.wait_for_request("/ready");
    let sent = process.signal("TERM");
    process.wait_for_log("stopping");
    assert_eq!(answer(slow).0, 503);
    assert_eq!(process.exit_code(sent), Some(0));
}

#[test]
fn wrong_configuration_is_told_in_one_line() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (args, message) in [
        (["--listen", "nowhere"], "listen address `nowhere`"),
        (["--listen", &taken], "Address already in use"),
        (["--database", "/missing/a.db"], "/missing/a.db"),
    ] {
        let (code, stderr) = failure(ENGINE, &args);
        assert_eq!(code, Some(1), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.starts_with("error: "), "{stderr}");
        assert!(stderr.contains(message), "{stderr}");
    }
    assert_eq!(failure(ENGINE, &["--nonsense"]).0, Some(2));
}
