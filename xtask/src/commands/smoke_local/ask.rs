//! Questions to programs on this machine, as the kubelet asks them.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use ureq::Agent;
use ureq::http::Request;
use ureq::tls::TlsConfig;

use crate::kubernetes::local::probes::{Ask, Question};

/// Asks once.
///
/// # Errors
/// What is wrong with the answer, as a sentence.
pub(super) fn ask(question: &Question) -> Result<(), String> {
    match &question.ask {
        Ask::Tcp(port) => {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, *port));
            TcpStream::connect_timeout(&address, question.timeout).map(drop).map_err(|error| error.to_string())
        }
        Ask::Http { url, headers } => {
            if url.starts_with("https:") {
                // `ureq` takes the process' crypto provider; that another has been installed is as good.
                let _ = rustls::crypto::ring::default_provider().install_default();
            }
            // The kubelet checks no certificates either: it asks whether the program answers.
            let tls = TlsConfig::builder().disable_verification(true).build();
            let agent: Agent = Agent::config_builder()
                .http_status_as_error(false)
                .max_redirects(0)
                .max_redirects_will_error(false)
                .proxy(None)
                .timeout_global(Some(question.timeout))
                .tls_config(tls)
                .build()
                .into();
            let mut request = Request::get(url);
            for (name, value) in headers {
                request = request.header(name, value);
            }
            let request = request.body(()).map_err(|error| error.to_string())?;
            let mut response = agent.run(request).map_err(|error| error.to_string())?;
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
    use std::time::Duration;

    use super::*;

    /// Answers one request with `answer` and gives what it was.
    fn exchange(answer: &'static str, headers: &[(&str, &str)]) -> (Result<(), String>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/ready?x=1", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8_lossy(&request[..length]).into_owned()
        });
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let result = ask(&Question { ask: Ask::Http { url, headers }, timeout: Duration::from_secs(5) });
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
        let question = |ask| Question { ask, timeout: Duration::from_millis(200) };
        let url = format!("http://127.0.0.1:{port}/");
        ask(&question(Ask::Tcp(port))).unwrap();
        assert!(ask(&question(Ask::Http { url: url.clone(), headers: Vec::new() })).unwrap_err().contains("timeout"));
        drop(listener);
        ask(&question(Ask::Tcp(port))).unwrap_err();
        ask(&question(Ask::Http { url, headers: Vec::new() })).unwrap_err();
    }
}
