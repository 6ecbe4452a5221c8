//! The real binary, from its start to its end.

use std::{fs::File, io::Read, net::TcpListener};

use service::testing::{Process, answer, closed_address, failure};

const OPERATE_UI: &str = env!("CARGO_BIN_EXE_operate-ui");
const STATIC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/static");

#[test]
fn configured_by_the_environment() {
    let process = Process::start(OPERATE_UI, |command| {
        command
            .env("STATIC_DIR", STATIC)
            .env("ENGINE_URL", format!("http://{}", closed_address()))
            .env("RUNTIME_URL", format!("http://{}", closed_address()))
            .env("BUILD_DATE", "2025-01-01");
    });
    assert_eq!(process.get("/ready").0, 503);
    assert_eq!(process.get("/static/logo.svg").0, 200);
    let (status, version) = process.get("/version");
    assert_eq!(status, 200);
    assert!(version.contains(r#""build_date":"2025-01-01""#), "{version}");
    let sent = process.signal("INT");
    assert_eq!(process.exit_code(sent), Some(0));
}

#[test]
fn a_slow_request_is_answered_after_sigterm() {
    let engine = TcpListener::bind("127.0.0.1:0").unwrap();
    let engine_url = format!("http://{}", engine.local_addr().unwrap());
    let runtime_url = format!("http://{}", closed_address());
    let process = Process::start(OPERATE_UI, |command| {
        command.args(["--static-dir", STATIC]);
        command.args(["--engine-url", &engine_url, "--runtime-url", &runtime_url]);
    });
    let slow = process.ask("/ready");
    // The engine has the question, but does not answer.
    let (mut question, _) = engine.accept().unwrap();
    let mut start = [0; 11];
    question.read_exact(&mut start).unwrap();
    assert_eq!(&start, b"GET /health");
    let sent = process.signal("TERM");
    process.wait_for_log("stopping");
    let (status, reason) = answer(slow);
    assert_eq!(status, 503);
    assert!(reason.starts_with("engine: no answer"), "{reason}");
    assert_eq!(process.exit_code(sent), Some(0));
}

#[test]
fn a_request_that_hangs_is_abandoned() {
    // Far more than fits into the buffers of a connection.
    let folder = tempfile::tempdir().unwrap();
    let file = File::create(folder.path().join("large")).unwrap();
    file.set_len(1 << 30).unwrap();
    let process = Process::start(OPERATE_UI, |command| {
        command.arg("--static-dir").arg(folder.path());
    });
    let mut stream = process.ask("/static/large");
    let mut start = [0; 15];
    stream.read_exact(&mut start).unwrap();
    assert_eq!(&start, b"HTTP/1.1 200 OK");
    // Nobody reads the rest.
    let sent = process.signal("TERM");
    assert_eq!(process.exit_code(sent), Some(0));
}

#[test]
fn wrong_configuration_is_told_in_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let files = ["--static-dir", STATIC];
    for (args, message) in [
        (["--listen", "nowhere"], "listen address `nowhere`"),
        (["--listen", &taken], "Address already in use"),
        (["--engine-url", "engine"], "URL `engine`"),
        (["--runtime-url", "https://runtime"], "URL `https://runtime`"),
    ] {
        let (code, stderr) = failure(OPERATE_UI, &[files, args].concat());
        assert_eq!(code, Some(1), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.starts_with("error: "), "{stderr}");
        assert!(stderr.contains(message), "{stderr}");
    }
    let (code, stderr) = failure(OPERATE_UI, &["--static-dir", "/missing"]);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("/missing does not exist"), "{stderr}");
    assert_eq!(failure(OPERATE_UI, &["--nonsense"]).0, Some(2));
}
