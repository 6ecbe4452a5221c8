//! GET over HTTP/1.1 on any stream: to kubectl's proxy on its socket, to a port-forward.
//!
//! Own code, because the HTTP crate that we have speaks over sockets of files only by a part of it that
//! may change with any release. One request per connection needs little.

use std::io::{BufRead, BufReader, Read, Write};

use anyhow::{Context, Result, bail, ensure};

/// The longest line of a head that is read, in bytes.
const MAX_LINE: u64 = 64 * 1024;

/// An answer whose body is still to be read.
pub(super) struct Answer<S: Read> {
    pub(super) status: u16,
    pub(super) date: Option<String>,
    body: Body<S>,
}

/// How a body ends (RFC 9112, section 6.3).
enum Framing {
    /// After so many more bytes.
    Length(u64),
    /// With an empty chunk; so many bytes of the current chunk are left.
    Chunked(u64),
    /// With the connection.
    Close,
    /// It has.
    Ended,
}

struct Body<S: Read> {
    stream: BufReader<S>,
    framing: Framing,
}

/// Sends a GET for `target` and reads the answer's head. `headers` must not hold line breaks.
pub(super) fn get<S: Read + Write>(
    mut stream: S,
    host: &str,
    target: &str,
    headers: &[(String, String)],
) -> Result<Answer<S>> {
    let mut head = format!("GET {target} HTTP/1.1\r\nConnection: close\r\n");
    let has = |name: &str| headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name));
    let defaults =
        [("Host", host), ("Accept", "*/*"), ("User-Agent", concat!("cargo-xtask/", env!("CARGO_PKG_VERSION")))];
    let own = defaults.into_iter().filter(|(name, _)| !has(name));
    let given = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in own.chain(given) {
        ensure!(!name.contains(['\r', '\n', ':']) && !value.contains(['\r', '\n']), "header `{name}` is not valid");
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    ensure!(!target.contains([' ', '\r', '\n']), "`{}` is no valid path", target.escape_debug());
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).context("cannot send a request")?;
    let mut stream = BufReader::new(stream);
    loop {
        let answer = read_head(&mut stream)?;
        // 1xx announces that the answer is to come.
        if answer.0 >= 200 {
            let (status, date, framing) = answer;
            return Ok(Answer { status, date, body: Body { stream, framing } });
        }
    }
}

fn read_head(stream: &mut impl BufRead) -> Result<(u16, Option<String>, Framing)> {
    let first = read_line(stream)?;
    let mut words = first.split(' ');
    ensure!(words.next().is_some_and(|version| version.starts_with("HTTP/1.")), "the answer is no HTTP/1");
    let status = words.next().and_then(|word| word.parse().ok()).context("the answer has no status")?;
    let (mut date, mut framing) = (None, Framing::Close);
    loop {
        let line = read_line(stream)?;
        if line.is_empty() {
            break;
        }
        let Some((name, value)) = line.split_once(':') else { bail!("the answer has a broken header") };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "date" => date = Some(value.to_owned()),
            "transfer-encoding" if value.eq_ignore_ascii_case("chunked") => framing = Framing::Chunked(0),
            "content-length" if !matches!(framing, Framing::Chunked(_)) => {
                framing = Framing::Length(value.parse().context("the answer has a broken length")?);
            }
            _ => {}
        }
    }
    if matches!(status, 204 | 304) {
        framing = Framing::Ended;
    }
    Ok((status, date, framing))
}

fn read_line(stream: &mut impl BufRead) -> Result<String> {
    let mut line = Vec::new();
    stream.take(MAX_LINE).read_until(b'\n', &mut line).context("the connection broke")?;
    ensure!(line.last() == Some(&b'\n'), "the connection was closed within an answer");
    let text = String::from_utf8_lossy(&line);
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

impl<S: Read> Answer<S> {
    /// The body, as it arrives.
    pub(super) fn into_reader(self) -> impl BufRead {
        BufReader::new(self.body)
    }

    /// The whole body, which must not be longer than `limit` bytes.
    pub(super) fn read(mut self, limit: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        (&mut self.body).take(limit + 1).read_to_end(&mut bytes).context("the connection broke within an answer")?;
        ensure!(bytes.len() as u64 <= limit, "the answer is longer than {limit} bytes");
        Ok(bytes)
    }

    /// As much of the body as `limit` bytes, be it cut or not.
    pub(super) fn read_start(self, limit: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        // What arrived tells enough.
        let _ = self.body.take(limit).read_to_end(&mut bytes);
        bytes
    }
}

impl<S: Read> Read for Body<S> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let cut = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
        loop {
            match self.framing {
                Framing::Ended | Framing::Length(0) => return Ok(0),
                Framing::Close => return self.stream.read(buffer),
                Framing::Length(left) | Framing::Chunked(left) if left > 0 => {
                    let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
                    let count = self.stream.read(&mut buffer[..most])?;
                    if count == 0 && most > 0 {
                        return Err(cut());
                    }
                    let left = left - count as u64;
                    match self.framing {
                        Framing::Chunked(_) if left == 0 => {
                            self.skip_line()?;
                            self.framing = Framing::Chunked(0);
                        }
                        Framing::Chunked(_) => self.framing = Framing::Chunked(left),
                        _ => self.framing = Framing::Length(left),
                    }
                    return Ok(count);
                }
                Framing::Length(_) | Framing::Chunked(_) => {
                    let line = self.skip_line()?;
                    let size = line.split(';').next().unwrap_or_default().trim();
                    match u64::from_str_radix(size, 16).map_err(|_| cut())? {
                        0 => self.framing = Framing::Ended,
                        size => self.framing = Framing::Chunked(size),
                    }
                }
            }
        }
    }
}

impl<S: Read> Body<S> {
    fn skip_line(&mut self) -> std::io::Result<String> {
        read_line(&mut self.stream).map_err(|error| std::io::Error::other(format!("{error:#}")))
    }
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
