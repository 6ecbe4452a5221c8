use std::io::Cursor;

use super::*;

/// A stream that answers with fixed bytes and keeps what it is sent.
struct Canned {
    answer: Cursor<Vec<u8>>,
    sent: std::sync::Arc<std::sync::Mutex<Vec<u8>>>,
}

impl Read for Canned {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        // A few bytes at a time, as networks do.
        let most = buffer.len().min(3);
        self.answer.read(&mut buffer[..most])
    }
}

impl Write for Canned {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.sent.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn asked(answer: &str, headers: &[(&str, &str)]) -> (Result<Answer<Canned>>, String) {
    let sent = std::sync::Arc::default();
    let stream = Canned { answer: Cursor::new(answer.as_bytes().to_vec()), sent: std::sync::Arc::clone(&sent) };
    let headers: Vec<_> = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let answer = get(stream, "localhost", "/a?b=1", &headers);
    let sent = String::from_utf8(sent.lock().unwrap().clone()).unwrap();
    (answer, sent)
}

fn body(answer: &str) -> Result<String> {
    Ok(String::from_utf8(asked(answer, &[]).0?.read(1000)?).unwrap())
}

#[test]
fn bodies_end_by_length_by_chunks_and_with_the_connection() {
    assert_eq!(body("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhellomore").unwrap(), "hello");
    let chunked =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\nA\r\n, big worl\r\n1\r\nd\r\n0\r\n\r\n";
    assert_eq!(body(chunked).unwrap(), "hello, big world");
    assert_eq!(body("HTTP/1.0 200 OK\r\n\r\nall of it").unwrap(), "all of it");
    assert_eq!(body("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n").unwrap(), "");
}

#[test]
fn what_is_cut_is_an_error() {
    assert!(body("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel").is_err());
    assert!(body("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel").is_err());
    assert!(body("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").is_err());
    assert!(body("HTTP/1.1 200 OK\r\nContent-Le").is_err());
    assert!(body("").is_err() && body("SSH-2.0\r\n\r\n").is_err());
    let long = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(1001));
    assert!(body(&long).unwrap_err().to_string().contains("longer than 1000"));
}

#[test]
fn requests_say_what_they_must_and_nothing_twice() {
    let (answer, sent) = asked("HTTP/1.1 503 Away\r\nDate: now\r\n\r\n", &[("user-agent", "kube-probe/1.20")]);
    let answer = answer.unwrap();
    assert_eq!((answer.status, answer.date.as_deref()), (503, Some("now")));
    assert!(sent.starts_with("GET /a?b=1 HTTP/1.1\r\nConnection: close\r\nHost: localhost\r\n"), "{sent}");
    assert!(sent.ends_with("user-agent: kube-probe/1.20\r\n\r\n") && !sent.contains("cargo-xtask"), "{sent}");
    let (refused, sent) = asked("", &[("X-A", "b\r\nX-Evil: 1")]);
    assert!(refused.is_err() && sent.is_empty());
}
