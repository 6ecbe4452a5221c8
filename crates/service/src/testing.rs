//! Helpers for the tests of the services; behind the feature `testing`, never part of a binary.
//!
//! They panic when something does not go as a test expects.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use axum::{Router, body::Body, http::Request};
use serde_json::Value;
use tower::ServiceExt;

/// How long a test waits for something that should happen at once.
const PATIENCE: Duration = Duration::from_secs(30);

/// Asks a router for `path`, without a network; gives status and body.
pub async fn get(app: &Router, path: &str) -> (u16, String) {
    let request = Request::get(path).body(Body::empty()).expect("a path");
    let response = app.clone().oneshot(request).await.expect("an answer");
    let status = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await;
    let body = body.expect("a whole body").to_vec();
    (status, String::from_utf8(body).expect("text"))
}

/// Serves a router on a free port of this machine until the test ends.
pub async fn spawn(app: Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

/// An address of this machine where nothing listens.
///
/// A connection within the test holds the port, so that no other process gets it.
pub fn closed_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let stream = TcpStream::connect(listener.local_addr().expect("an address"));
    let stream = stream.expect("a connection");
    let address = stream.local_addr().expect("an address");
    // Both ends stay open until the test process ends.
    std::mem::forget((listener, stream));
    address
}

/// A running service, killed when it is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    address: SocketAddr,
    log: Receiver<Value>,
}

impl Process {
    /// Starts `program` on a free port, with nothing in its environment but what `configure` adds,
    /// and waits until `/health` answers.
    pub fn start(program: &str, configure: impl FnOnce(&mut Command)) -> Self {
        let mut command = Command::new(program);
        command.env_clear().env("LISTEN", "127.0.0.1:0");
        configure(&mut command);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("a process");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let (sender, log) = mpsc::channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let entry =
                    serde_json::from_str(&line).unwrap_or_else(|error| panic!("not a JSON log line ({error}): {line}"));
                if sender.send(entry).is_err() {
                    break;
                }
            }
        });
        let mut process = Self { child, address: SocketAddr::from(([0, 0, 0, 0], 0)), log };
        let address = process.wait_for_log("listening")["address"].clone();
        process.address = address.as_str().and_then(|a| a.parse().ok()).expect("one");
        assert_eq!(process.get("/health"), (200, "ok".to_owned()));
        process
    }

    /// Waits for a log line with this message, and gives it.
    pub fn wait_for_log(&self, message: &str) -> Value {
        self.wait_for(|entry| entry["message"] == message)
    }

    /// Waits until a request for `route` is being handled; needs `RUST_LOG=debug`.
    pub fn wait_for_request(&self, route: &str) {
        self.wait_for(|entry| entry["message"] == "request started" && entry["route"] == route);
    }

    fn wait_for(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.log.recv_timeout(left) {
                Ok(entry) if wanted(&entry) => return entry,
                Ok(_) => {}
                Err(error) => panic!("the log line did not come: {error}"),
            }
        }
    }

    /// Connects to the service.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream
    }

    /// Sends a request for `path` and gives the connection, to read the answer from later.
    pub fn ask(&self, path: &str) -> TcpStream {
        let mut stream = self.connect();
        let head = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).expect("a request");
        stream
    }

    /// Asks for `path`; gives status and body.
    pub fn get(&self, path: &str) -> (u16, String) {
        answer(self.ask(path))
    }

    /// Sends the signal `name`, such as `TERM`, and tells when.
    pub fn signal(&self, name: &str) -> Instant {
        let sent = Instant::now();
        let kill = format!("kill -{name} {}", self.child.id());
        let status = Command::new("sh").args(["-c", &kill]).status();
        assert!(status.expect("a shell").success(), "{kill} failed");
        sent
    }

    /// Waits until the process ends, at the latest five seconds after the signal was `sent`, and
    /// gives its exit code.
    pub fn exit_code(mut self, sent: Instant) -> Option<i32> {
        loop {
            if let Some(status) = self.child.try_wait().expect("a status") {
                return status.code();
            }
            let elapsed = sent.elapsed();
            assert!(elapsed < Duration::from_secs(5), "alive after {elapsed:?}");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads an answer until the server closes the connection; gives status and body.
pub fn answer(mut stream: TcpStream) -> (u16, String) {
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    (status.expect("a status"), body.to_owned())
}

/// Runs `program`, which must end by itself, with nothing in its environment; gives its exit code
/// and standard error.
pub fn failure(program: &str, args: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(program);
    let output = command.env_clear().args(args).output().expect("a process");
    let stderr = String::from_utf8(output.stderr).expect("text");
    (output.status.code(), stderr)
}
