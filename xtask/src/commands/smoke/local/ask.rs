//! Probes of programs on this machine, made as the kubelet makes them.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use camino::Utf8Path;

use crate::cluster::kubelet;
use crate::kubernetes::local::plan::Program;
use crate::kubernetes::local::probe::LocalProbe;
use crate::kubernetes::objects::ProbeAction;
use crate::system::program::Started;
use crate::system::sockets::listens;

/// Asks `program`, which runs, once.
///
/// # Errors
/// What is wrong with the answer, as a sentence; that another program gave it.
pub(super) fn ask(probe: &LocalProbe, program: &Program, running: &Started, log: &Utf8Path) -> Result<(), String> {
    send(probe, program, log)?;
    match probe.action.port() {
        Some(port) if !listens(running.id(), port) => {
            Err(format!("it was answered, but not by this program: another one listens on port {port}"))
        }
        _ => Ok(()),
    }
}

fn send(probe: &LocalProbe, program: &Program, log: &Utf8Path) -> Result<(), String> {
    match &probe.action {
        ProbeAction::Exec(command) => {
            let (executable, arguments) = command.split_first().ok_or("there is no command")?;
            let started =
                Started::start(executable.as_str().into(), arguments, &program.variables, &program.folder, log);
            let mut started = started.map_err(|error| format!("{error:#}"))?;
            let deadline = Instant::now() + probe.timeout;
            loop {
                match started.ended().map_err(|error| format!("{error:#}"))? {
                    Some(status) if status.success() => return Ok(()),
                    Some(status) => return Err(format!("{status}: {}", started.log_end(1).concat())),
                    None if Instant::now() >= deadline => {
                        return Err(format!("no end within {:.1} s", probe.timeout.as_secs_f64()));
                    }
                    None => std::thread::sleep(Duration::from_millis(10)),
                }
            }
        }
        ProbeAction::Tcp(port) => {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, *port));
            TcpStream::connect_timeout(&address, probe.timeout).map(drop).map_err(|error| error.to_string())
        }
        ProbeAction::Http(get) => {
            let mut response = kubelet::get(get, probe.timeout).map_err(|error| error.to_string())?;
            let status = response.status();
            if (200..400).contains(&status.as_u16()) {
                return Ok(());
            }
            let body = response.body_mut().read_to_string().unwrap_or_default();
            let reason = body.lines().next().unwrap_or_default().trim();
            Err(format!("{status}{}{reason}", if reason.is_empty() { "" } else { ": " }))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;
    use crate::kubernetes::objects::HttpRequest;

    /// Answers one request with `answer` and gives what it was.
    fn exchange(answer: &'static str, headers: &[(&str, &str)]) -> (Result<(), String>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8_lossy(&request[..length]).into_owned()
        });
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let get = HttpRequest { port, path: "/ready?x=1".into(), headers, ..HttpRequest::default() };
        let result = send(
            &LocalProbe { action: ProbeAction::Http(get), timeout: Duration::from_secs(5) },
            &Program::default(),
            "".into(),
        );
        (result, server.join().unwrap())
    }

    #[test]
    fn a_status_from_200_to_399_is_good() {
        let (result, request) =
            exchange("HTTP/1.1 204 No Content\r\n\r\n", &[("X-Probe", "yes"), ("Host", "example.com")]);
        result.unwrap();
        assert!(request.starts_with("GET /ready?x=1 HTTP/1.1\r\n"), "{request}");
        let request = request.to_ascii_lowercase();
        assert!(request.contains("x-probe: yes\r\n") && request.contains("host: example.com\r\n"), "{request}");
        assert_eq!(request.matches("host:").count(), 1, "{request}");
        let redirect = "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
        exchange(redirect, &[]).0.unwrap();
        let answer = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 12\r\n\r\nno database\n";
        assert_eq!(exchange(answer, &[]).0.unwrap_err(), "503 Service Unavailable: no database");
        exchange("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", &[]).0.unwrap_err();
    }

    #[test]
    fn what_does_not_answer_is_told() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let ask = |action| {
            let probe = LocalProbe { action, timeout: Duration::from_millis(200) };
            send(&probe, &Program::default(), "".into())
        };
        let get = HttpRequest { port, path: "/".into(), ..HttpRequest::default() };
        ask(ProbeAction::Tcp(port)).unwrap();
        assert!(ask(ProbeAction::Http(get.clone())).unwrap_err().contains("timeout"));
        drop(listener);
        ask(ProbeAction::Tcp(port)).unwrap_err();
        ask(ProbeAction::Http(get)).unwrap_err();
    }
}
