//! A real HTTP server on a loopback port, whose answers a test writes.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// With the query.
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) content: Vec<u8>,
}

impl Seen {
    pub(crate) fn authorization(&self) -> Option<&str> {
        self.headers.get("authorization").map(String::as_str)
    }

    pub(crate) fn body(&self) -> String {
        String::from_utf8_lossy(&self.content).into_owned()
    }

    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// An answer.
#[derive(Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    cut_after: Option<usize>,
    drip: Option<(usize, Duration)>,
}

impl Answer {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Answer { status, body: body.into(), ..Answer::default() }
    }

    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Closes the connection after so many bytes of the body, having promised all.
    pub(crate) fn cut_after(mut self, bytes: usize) -> Self {
        self.cut_after = Some(bytes);
        self
    }

    /// Sends so many bytes of the body at once, and then waits.
    pub(crate) fn drip(mut self, bytes: usize, wait: Duration) -> Self {
        self.drip = Some((bytes, wait));
        self
    }
}

/// Tells by a request's head after how many bytes of its body to hang up.
type Gate = Box<dyn FnMut(&Seen) -> Option<u64> + Send>;

/// Runs until it is stopped, or the test process ends.
pub(crate) struct Server {
    /// `127.0.0.1:PORT`.
    pub(crate) host: String,
    log: Arc<Mutex<Vec<Seen>>>,
    stopped: Arc<AtomicBool>,
}

impl Server {
    pub(crate) fn start(handler: impl FnMut(&Seen) -> Answer + Send + 'static) -> Self {
        Server::with_gate(|_| None, handler)
    }

    /// As [`Server::start`]; hangs up within the bodies that `gate` says.
    pub(crate) fn with_gate(
        gate: impl FnMut(&Seen) -> Option<u64> + Send + 'static,
        handler: impl FnMut(&Seen) -> Answer + Send + 'static,
    ) -> Self {
        Server::on("127.0.0.1:0", Box::new(gate), handler)
    }

    /// As [`Server::start`], on the port of a server that was stopped.
    pub(crate) fn restart(host: &str, handler: impl FnMut(&Seen) -> Answer + Send + 'static) -> Self {
        Server::on(host, Box::new(|_| None), handler)
    }

    fn on(host: &str, gate: Gate, handler: impl FnMut(&Seen) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind(host).unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let server = Server { host, log: Arc::default(), stopped: Arc::default() };
        let (log, stopped) = (Arc::clone(&server.log), Arc::clone(&server.stopped));
        let handler = Arc::new(Mutex::new(handler));
        let gate = Arc::new(Mutex::new(gate));
        thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (log, handler, gate) = (Arc::clone(&log), Arc::clone(&handler), Arc::clone(&gate));
                thread::spawn(move || {
                    let mut stream = stream.unwrap();
                    let Some(seen) = read_request(&stream, &log, &gate) else { return };
                    let answer = handler.lock().unwrap()(&seen);
                    // A client that has enough may have hung up.
                    let _ = write_answer(&mut stream, &seen, &answer);
                });
            }
        });
        server
    }

    /// Nobody listens any more; what is being answered is.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes it up.
        drop(TcpStream::connect(&self.host));
        while TcpStream::connect(&self.host).is_ok() {
            thread::yield_now();
        }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.log.lock().unwrap().clone()
    }

    /// `METHOD path` of all requests.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.seen().iter().map(Seen::line).collect()
    }
}

/// `None` for a connection without a request, and for one that the gate closes.
fn read_request(stream: &TcpStream, log: &Mutex<Vec<Seen>>, gate: &Mutex<Gate>) -> Option<Seen> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let mut seen = Seen { method, path, headers, content: Vec::new() };
    let length = seen.headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let most = gate.lock().unwrap()(&seen);
    // A client that gave up leaves less.
    let read = reader.take(most.unwrap_or(length)).read_to_end(&mut seen.content);
    log.lock().unwrap().push(seen.clone());
    (most.is_none() && read.is_ok_and(|count| count as u64 == length)).then_some(seen)
}

fn write_answer(stream: &mut TcpStream, seen: &Seen, answer: &Answer) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {} X\r\nConnection: close\r\n", answer.status);
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !answer.headers.iter().any(|(name, _)| name == "Content-Length") {
        head.push_str(&format!("Content-Length: {}\r\n", answer.body.len()));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    if seen.method != "HEAD" {
        let end = answer.cut_after.unwrap_or(answer.body.len());
        let (at_once, wait) = answer.drip.unwrap_or((usize::MAX, Duration::ZERO));
        for part in answer.body[..end].chunks(at_once) {
            stream.write_all(part)?;
            thread::sleep(wait);
        }
    }
    Ok(())
}
