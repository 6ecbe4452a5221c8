//! A real HTTP proxy before a registry, which does to requests and answers what networks and
//! registries do.

use std::io::{BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::http::{Answer, Request, headers, read, write};

/// A request that came, and what became of it.
#[derive(Clone, Debug)]
pub(crate) struct Passed {
    pub(crate) request: Request,
    /// Of the answer that was given; none yet, or none ever.
    pub(crate) status: Option<u16>,
    /// Bytes of its body that were passed on.
    pub(crate) sent: u64,
    pub(crate) at: Instant,
}

impl Passed {
    /// Whether a blob is sent by it.
    pub(crate) fn is_upload(&self) -> bool {
        is_upload(&self.request)
    }
}

/// Whether a request carries a blob.
pub(crate) fn is_upload(request: &Request) -> bool {
    matches!(request.method.as_str(), "PUT" | "PATCH") && request.path.contains("/blobs/uploads/")
}

/// Bytes of a request's body.
pub(crate) fn length(request: &Request) -> u64 {
    request.headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Whether a request writes a manifest, by digest or under a tag.
pub(crate) fn is_manifest(request: &Request) -> bool {
    request.method == "PUT" && request.path.contains("/manifests/")
}

/// How long a connection stays open on which nothing moves.
const STALL: Duration = Duration::from_secs(20);

/// What is done to a request.
pub(crate) enum Action {
    /// It is passed on.
    Pass,
    /// The connections are closed after so many bytes of its body.
    Cut(u64),
    /// Nothing is passed on after so many bytes of its body; the connections are closed [`STALL`] later.
    Stall(u64),
    /// It is passed on, and the connection closed instead of an answer.
    LoseAnswer,
    /// It never reaches the registry.
    Answer(Answer),
    /// Its body passes at so many bytes a second.
    Slow(u64),
    /// It is passed on after a while.
    Late(Duration),
    /// The other is done as soon as this holds, or after 20 seconds.
    When(Box<dyn Fn() -> bool + Send>, Box<Action>),
    /// It is passed on with another path.
    Instead(String),
    /// It is passed on with this `Authorization`, as an address with a signature would be.
    As(String),
    /// The registry's answer is changed.
    Change(Box<dyn Fn(&mut Answer) + Send>),
}

/// Runs until the test program ends.
pub(crate) struct Proxy {
    /// `127.0.0.1:PORT`.
    pub(crate) host: String,
    log: Log,
}

type Log = Arc<Mutex<Vec<Passed>>>;
type Rule = Arc<Mutex<dyn FnMut(&Request) -> Action + Send>>;

impl Proxy {
    /// Stands before `upstream` and asks `rule` about each request.
    pub(crate) fn start(upstream: &str, rule: impl FnMut(&Request) -> Action + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port of this machine");
        let host = listener.local_addr().expect("an address").to_string();
        let proxy = Proxy { host, log: Log::default() };
        let (log, rule, upstream) = (Arc::clone(&proxy.log), Arc::new(Mutex::new(rule)) as Rule, upstream.to_owned());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (log, rule, upstream) = (Arc::clone(&log), Arc::clone(&rule), upstream.clone());
                // A connection that breaks is what this is for.
                thread::spawn(move || stream.ok().and_then(|stream| serve(stream, &upstream, &log, &rule)));
            }
        });
        proxy
    }

    /// As [`Proxy::start`], with `fault` for the first request that `matches`.
    pub(crate) fn once(
        upstream: &str,
        matches: impl Fn(&Request) -> bool + Send + 'static,
        fault: impl FnMut() -> Action + Send + 'static,
    ) -> Self {
        let mut fault = Some(fault);
        Proxy::start(upstream, move |request| match fault.take_if(|_| matches(request)) {
            Some(mut fault) => fault(),
            None => Action::Pass,
        })
    }

    /// What has come so far.
    pub(crate) fn passed(&self) -> Vec<Passed> {
        lock(&self.log).clone()
    }
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Serves the one request of a connection.
fn serve(stream: TcpStream, upstream: &str, log: &Log, rule: &Rule) -> Option<()> {
    let mut client = stream.try_clone().ok()?;
    let mut reader = BufReader::new(stream);
    let request = read(&mut reader)?;
    let at = {
        let mut log = lock(log);
        log.push(Passed { request: request.clone(), status: None, sent: 0, at: Instant::now() });
        log.len() - 1
    };
    let mut action = (lock(rule))(&request);
    if let Action::When(is_so, then) = action {
        let end = Instant::now() + Duration::from_secs(20);
        while !is_so() && Instant::now() < end {
            thread::sleep(Duration::from_millis(10));
        }
        action = *then;
    }
    if let Action::Late(wait) = action {
        thread::sleep(wait);
    }
    let answer = match action {
        Action::Answer(answer) => {
            std::io::copy(&mut reader.take(length(&request)), &mut std::io::sink()).ok()?;
            answer
        }
        action => pass(&request, reader, upstream, &action, |count| lock(log)[at].sent += count)?,
    };
    lock(log)[at].status = Some(answer.status);
    write(&mut client, &answer).ok()
}

/// Passes a request on and gives the answer; none when the connection is to be closed.
fn pass(
    request: &Request,
    body: impl Read,
    upstream: &str,
    action: &Action,
    mut is_sent: impl FnMut(u64),
) -> Option<Answer> {
    let mut registry = TcpStream::connect(upstream).ok()?;
    let path = if let Action::Instead(path) = action { path } else { &request.path };
    let mut head = format!("{} {path} HTTP/1.1\r\nConnection: close\r\n", request.method);
    for (name, value) in request.headers.iter().filter(|(name, _)| *name != "connection") {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if let Action::As(authorization) = action {
        head.push_str(&format!("Authorization: {authorization}\r\n"));
    }
    registry.write_all((head + "\r\n").as_bytes()).ok()?;
    let mut body =
        body.take(if let Action::Cut(most) | Action::Stall(most) = action { *most } else { length(request) });
    let mut buffer = [0; 8192];
    let mut is_listening = true;
    loop {
        let count = body.read(&mut buffer).ok()?;
        if count == 0 {
            break;
        }
        if let Action::Slow(per_second) = action {
            thread::sleep(Duration::from_secs_f64(count as f64 / *per_second as f64));
        }
        // Who has answered already need not listen, but the client is heard out.
        is_listening = is_listening && registry.write_all(&buffer[..count]).is_ok();
        is_sent(count as u64);
    }
    match action {
        Action::Cut(_) => return None,
        Action::Stall(_) => {
            thread::sleep(STALL);
            return None;
        }
        _ => {}
    }
    let mut answer = answer_of(registry)?;
    match action {
        Action::LoseAnswer => return None,
        Action::Change(change) => change(&mut answer),
        _ => {}
    }
    Some(answer)
}

fn answer_of(registry: TcpStream) -> Option<Answer> {
    let mut reader = BufReader::new(registry);
    let mut lines = std::io::BufRead::lines(&mut reader);
    let status = lines.next()?.ok()?.split(' ').nth(1)?.parse().ok()?;
    let headers = headers(lines)?;
    let mut answer = Answer::new(status, "");
    let is_chunked = headers.contains_key("transfer-encoding");
    // Go's server sends long answers in chunks; they are kept as they are.
    answer.headers = headers.into_iter().filter(|(name, _)| name != "connection").collect();
    if is_chunked {
        answer.headers.retain(|(name, _)| name != "content-length");
    }
    reader.read_to_end(&mut answer.body).ok()?;
    Some(answer)
}
