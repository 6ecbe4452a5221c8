//! One HTTP exchange: TLS, timeouts, and redirects that do not carry credentials away.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use ureq::http::{Method, Request, Response, Uri};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, AsSendBody, Body, SendBody};

use super::address::{host_port, is_loopback, is_same_origin, redacted, resolve};
use super::proxies::{NamedProxy, Proxies};
use super::retry::{Failure, is_transient};
use super::secret::Secret;
use crate::errors::hinted;
use crate::image::reference::Registry;
use crate::system::environment::variable;

/// Blobs are redirected once; more than a few is a loop.
const MAX_REDIRECTS: usize = 5;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// Until the answer begins; registries think long about large manifests.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(60);
/// What a blob moves at on average, at least, in bytes a second.
const MIN_RATE: u64 = 16 * 1024;
/// Without a byte.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// From a blob's last byte to the answer: some registries hash or copy all of it first.
const STORE_TIMEOUT: Duration = Duration::from_secs(300);
/// Blobs of several images travel at once, and each thread should find its connection again.
const IDLE_CONNECTIONS: usize = 16;

/// A request's parts, without authorization.
#[derive(Clone, Debug)]
pub(crate) struct Exchange<'a> {
    pub(crate) method: Method,
    /// An absolute address.
    pub(crate) url: Uri,
    pub(crate) headers: &'a [(&'static str, String)],
    /// What a POST or PUT sends.
    pub(crate) body: &'a [u8],
    /// The size of the blob that is asked for; 0 for what is small.
    pub(crate) blob_size: u64,
}

/// Connections, kept open between requests.
pub(crate) struct Http {
    /// Straight to this machine, in plain text, past any proxy.
    loopback: Agent,
    /// Everywhere else, and TLS; made when first needed, since reading the root certificates takes time.
    remote: OnceLock<Agent>,
    proxies: Proxies,
    /// Registries beyond this machine that plain text may be spoken with.
    plain: Vec<Registry>,
    /// Places of this machine that plain text was lost on, and whether they speak TLS.
    is_tls: Mutex<BTreeMap<String, bool>>,
    /// For all of a small answer, and of a blob beside the time that its size gives it.
    whole_answer: Duration,
}

impl Http {
    /// No connection is made yet.
    pub(crate) fn new(whole_answer: Duration) -> Self {
        Http {
            loopback: configure().build().into(),
            remote: OnceLock::new(),
            proxies: Proxies::from_environment(),
            plain: Vec::new(),
            is_tls: Mutex::default(),
            whole_answer,
        }
    }

    /// Plain text is spoken with these registries.
    pub(crate) fn allow_plain(&mut self, registries: Vec<Registry>) {
        self.plain.extend(registries);
    }

    /// Whether a registry is spoken with in plain text: this machine, or an allowed one.
    pub(crate) fn is_plain(&self, registry: &Registry) -> bool {
        let is_tls = self.is_tls().get(&registry.as_str().to_ascii_lowercase()).copied().unwrap_or_default();
        !is_tls && (registry.is_loopback() || self.plain.contains(registry))
    }

    /// Whether plain text may go to an address.
    pub(crate) fn may_be_plain(&self, url: &Uri) -> bool {
        is_loopback(url) || self.plain.iter().any(|registry| registry.as_str().eq_ignore_ascii_case(&host_port(url)))
    }

    /// Sends a request and follows redirects of GET and HEAD. `authorization` goes to the first
    /// address' host alone. Any status is an answer.
    ///
    /// # Errors
    /// No answer; a redirect to where plain text would be spoken; too many redirects.
    pub(crate) fn exchange(
        &self,
        exchange: &Exchange<'_>,
        authorization: Option<&Secret>,
    ) -> Result<Response<Body>, Failure> {
        let follow = matches!(exchange.method, Method::GET | Method::HEAD);
        let mut url = self.secured(exchange.url.clone());
        let mut authorization = authorization;
        for _ in 0..=MAX_REDIRECTS {
            let mut outcome = self.send(exchange, &url, authorization);
            if self.is_tls_instead(&url, &outcome) {
                url = self.secured(url);
                outcome = self.send(exchange, &url, authorization);
            }
            let response = outcome?;
            let status = response.status().as_u16();
            if !(follow && matches!(status, 301 | 302 | 303 | 307 | 308)) {
                return Ok(response);
            }
            let next = self.location(&url, &response)?;
            if !is_same_origin(&next, &url) {
                // For good: a redirect back to us is not our request any more.
                authorization = None;
            }
            url = next;
        }
        Err(anyhow!("`{}` redirects without end", redacted(&exchange.url)).into())
    }

    fn send(
        &self,
        exchange: &Exchange<'_>,
        url: &Uri,
        authorization: Option<&Secret>,
    ) -> Result<Response<Body>, Failure> {
        let request = request_head(&exchange.method, url, exchange.headers, authorization);
        let (time, timeouts) = (self.time_for(exchange.blob_size), (RESPONSE_TIMEOUT, IDLE_TIMEOUT));
        match exchange.method {
            Method::POST | Method::PUT => self.run(url, request.body(exchange.body).map_err(invalid)?, time, timeouts),
            _ => self.run(url, request.body(()).map_err(invalid)?, time, timeouts),
        }
    }

    /// Sends a request. Its body and that of the answer may take `time` each; then there are those until the
    /// answer begins, and without a byte.
    fn run(
        &self,
        url: &Uri,
        request: Request<impl AsSendBody>,
        time: Duration,
        (answer, silence): (Duration, Duration),
    ) -> Result<Response<Body>, Failure> {
        let agent = self.agent(url)?;
        let proxy = self.proxies.of(url)?;
        let request = agent
            .configure_request(request)
            .proxy(proxy.as_ref().map(|named| named.proxy.clone()))
            .timeout_send_body(Some(time))
            .timeout_recv_response(Some(answer))
            .timeout_recv_body(Some(time))
            .timeout_per_read(Some(silence))
            .build();
        agent.run(request).map_err(|error| classify(error, url, proxy.as_ref()))
    }

    fn time_for(&self, size: u64) -> Duration {
        self.whole_answer + Duration::from_secs(size / MIN_RATE)
    }

    /// An address of this machine as it is spoken to: by TLS where plain text was lost on it.
    pub(crate) fn secured(&self, url: Uri) -> Uri {
        let is_tls = url.scheme_str() == Some("http") && self.is_tls().get(&host_port(&url)) == Some(&true);
        let path = url.path_and_query().map_or("/", |path| path.as_str());
        match is_tls.then(|| format!("https://{}{path}", host_port(&url)).parse()) {
            Some(Ok(secured)) => secured,
            _ => url,
        }
    }

    /// Whether plain text went to a place of this machine that speaks TLS: asks it once, when it answers 400
    /// (as Go's and nginx' servers do) or nothing that is HTTP.
    fn is_tls_instead(&self, url: &Uri, outcome: &Result<Response<Body>, Failure>) -> bool {
        let is_odd = match outcome {
            Ok(response) => response.status().as_u16() == 400,
            Err(Failure::Transient(error, _)) => match error.downcast_ref::<ureq::Error>() {
                Some(ureq::Error::Io(error)) => error.kind() != io::ErrorKind::ConnectionRefused,
                Some(ureq::Error::Protocol(_)) => true,
                _ => false,
            },
            Err(_) => false,
        };
        let host = host_port(url);
        let is_plain = url.scheme_str() == Some("http") && is_loopback(url);
        if !is_odd || !is_plain {
            return false;
        }
        // Another thread may have asked meanwhile.
        if let Some(known) = self.is_tls().get(&host).copied() {
            return known;
        }
        let is_tls = format!("https://{host}/v2/").parse().is_ok_and(|url| {
            let exchange = Exchange { method: Method::HEAD, url, headers: &[], body: &[], blob_size: 0 };
            match self.send(&exchange, &exchange.url, None) {
                Ok(_) => true,
                // A certificate is shown by who speaks TLS.
                Err(Failure::Permanent(error)) => error.downcast_ref().is_some_and(is_untrusted),
                Err(_) => false,
            }
        });
        self.is_tls().insert(host, is_tls);
        is_tls
    }

    fn is_tls(&self) -> MutexGuard<'_, BTreeMap<String, bool>> {
        // Every change is one insertion: a panic elsewhere leaves it true.
        self.is_tls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends `length` bytes of `content` by PUT, as they are read. Any status is an answer.
    ///
    /// # Errors
    /// No answer; plain text to where it is not spoken. A failing `content` looks like a
    /// connection that failed: its owner knows better.
    pub(crate) fn upload(
        &self,
        url: &Uri,
        length: u64,
        content: &mut dyn Read,
        authorization: Option<&Secret>,
    ) -> Result<Response<Body>, Failure> {
        let headers = [("Content-Type", "application/octet-stream".to_owned()), ("Content-Length", length.to_string())];
        let request = request_head(&Method::PUT, url, &headers, authorization);
        let request = request.body(SendBody::from_reader(content)).map_err(invalid)?;
        self.run(url, request, self.time_for(length), (STORE_TIMEOUT, STORE_TIMEOUT))
    }

    /// Where an answer's `Location` leads: https, or plain text from where that is spoken to where
    /// it may be.
    ///
    /// # Errors
    /// None, or no valid address; plain text. No error shows its query, which may hold a signature.
    pub(crate) fn location(&self, from: &Uri, response: &Response<Body>) -> Result<Uri> {
        let location = response
            .headers()
            .get("Location")
            .and_then(|value| value.to_str().ok())
            .with_context(|| format!("`{}` redirects to nowhere", redacted(from)))?;
        self.resolve(from, location).with_context(|| format!("`{}` redirects to a bad address", redacted(from)))
    }

    /// What `location` means in an answer of `from`: see [`Http::location`].
    pub(crate) fn resolve(&self, from: &Uri, location: &str) -> Result<Uri> {
        let next = resolve(from, location)?;
        let is_plain = next.scheme_str() == Some("http");
        if is_plain && from.scheme_str() == Some("https") && next.authority() == from.authority() {
            // A registry behind a proxy that ends TLS does not know that it is spoken to with it.
            let path = next.path_and_query().map_or("/", |path| path.as_str());
            return resolve(from, path);
        }
        let plain_here = is_plain && from.scheme_str() == Some("http") && self.may_be_plain(&next);
        ensure!(
            next.scheme_str() == Some("https") || plain_here,
            "`{}` would be spoken to without https",
            redacted(&next)
        );
        Ok(next)
    }

    fn agent(&self, url: &Uri) -> Result<&Agent> {
        if url.scheme_str() == Some("http") {
            ensure!(self.may_be_plain(url), "plain http to `{}` is refused", redacted(url));
            if is_loopback(url) {
                return Ok(&self.loopback);
            }
        }
        if let Some(agent) = self.remote.get() {
            return Ok(agent);
        }
        // `ureq` takes the process' crypto provider; that another has been installed is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let roots = RootCerts::new_with_certs(&root_certificates()?);
        let tls = TlsConfig::builder().root_certs(roots).build();
        let agent = configure().tls_config(tls).build().into();
        Ok(self.remote.get_or_init(|| agent))
    }
}

fn configure() -> ureq::config::ConfigBuilder<ureq::typestate::AgentScope> {
    Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent(concat!("cargo-xtask/", env!("CARGO_PKG_VERSION")))
        .proxy(None)
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_per_write(Some(IDLE_TIMEOUT))
        .max_idle_connections(2 * IDLE_CONNECTIONS)
        .max_idle_connections_per_host(IDLE_CONNECTIONS)
}

fn request_head(
    method: &Method,
    url: &Uri,
    headers: &[(&'static str, String)],
    authorization: Option<&Secret>,
) -> ureq::http::request::Builder {
    let mut request = Request::builder().method(method.clone()).uri(url.clone());
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    match authorization {
        Some(authorization) => request.header("Authorization", authorization.reveal()),
        None => request,
    }
}

/// The `http` crate's message does not show values, which may be secret.
fn invalid(error: ureq::http::Error) -> Failure {
    anyhow::Error::new(error).context("bad request").into()
}

/// The system's root certificates, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name; where
/// the system has none, as in small containers, Mozilla's.
fn root_certificates() -> Result<Vec<Certificate<'static>>> {
    let found = rustls_native_certs::load_native_certs();
    let chosen = ["SSL_CERT_FILE", "SSL_CERT_DIR"].into_iter().find(|name| variable(name).is_some());
    if found.certs.is_empty()
        && let Some(name) = chosen
    {
        bail!("no certificate could be read from where `{name}` points");
    }
    if found.certs.is_empty() {
        let mozilla = webpki_root_certs::TLS_SERVER_ROOT_CERTS;
        return Ok(mozilla.iter().map(|der| Certificate::from_der(der)).collect());
    }
    Ok(found.certs.iter().map(|der| Certificate::from_der(der).to_owned()).collect())
}

/// Whether the other side's certificate is one that we do not trust.
fn is_untrusted(error: &ureq::Error) -> bool {
    use rustls::Error::InvalidCertificate;
    match error {
        ureq::Error::Rustls(InvalidCertificate(_)) => true,
        // As the handshake gives it, through the stream.
        ureq::Error::Io(error) => {
            matches!(error.get_ref().and_then(|inner| inner.downcast_ref()), Some(InvalidCertificate(_)))
        }
        _ => false,
    }
}

fn classify(error: ureq::Error, url: &Uri, proxy: Option<&NamedProxy>) -> Failure {
    use ureq::Error as E;
    let through = proxy.map(NamedProxy::shown).unwrap_or_default();
    let refused = match &error {
        // A text alone: `proxy server responded 407/407`; `tests/offline/proxies.rs` notices when it changes.
        E::ConnectProxyFailed(reason) => reason.rsplit('/').next().and_then(|status| status.parse().ok()),
        _ => None,
    };
    if let (Some(status), Some(proxy)) = (refused, proxy)
        && !is_transient(status)
    {
        let hint = match (status, proxy.proxy.username()) {
            (407, None) => format!("it wants a user: `{}=http://USER:PASSWORD@HOST:PORT`", proxy.variable),
            (407, Some(_)) => format!("it refuses the user or the password of `{}`", proxy.variable),
            _ => "what needs no proxy is listed in `NO_PROXY`".to_owned(),
        };
        let error = hinted(format!("{through} answered {status}"), hint);
        return error.context(format!("cannot reach `{}`", host_port(url))).into();
    }
    let again = match &error {
        // A wrong certificate, reported through the stream.
        E::Io(error) => error.kind() != io::ErrorKind::InvalidData,
        E::Timeout(_) | E::HostNotFound | E::ConnectionFailed | E::BodyStalled => true,
        E::Protocol(_) | E::ConnectProxyFailed(_) => true,
        _ => false,
    };
    let error = match is_untrusted(&error) {
        true => {
            let hint = "for a private certificate authority, set `SSL_CERT_FILE` to its certificate";
            hinted(error, hint)
        }
        false => anyhow::Error::new(error),
    };
    let through = if through.is_empty() { through } else { format!(" through {through}") };
    let error = error.context(format!("cannot reach `{}`{through}", host_port(url)));
    if again { Failure::Transient(error, None) } else { error.into() }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::Arc;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use rustls::{ServerConfig, ServerConnection};

    use super::*;

    /// For 127.0.0.1, signed by its own key, and that key: `openssl req -x509 -newkey ec -days 36500`.
    const CERTIFICATE: &str = "\
        MIIBfzCCASagAwIBAgIUDK7tOQSTlNIa+yE8xdPoEk15CZowCgYIKoZIzj0EAwIwDDEKMAgGA1UEAwwBYTAgFw0yNjExMjExOTE0\
        NDVaGA8yMTI2MTAyODE5MTQ0NVowDDEKMAgGA1UEAwwBYTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABP7dsL8L4pxuaX5dNdam\
        +tOtaM21wV8t4FQuplkAAtT4YwKUVs20X/VUtRoixkhANNTk/2sjzHQdverynvygU+ajZDBiMB0GA1UdDgQWBBSqHSWD2L12XKSx\
        dfYpAPfB8/YurTAfBgNVHSMEGDAWgBSqHSWD2L12XKSxdfYpAPfB8/YurTAPBgNVHRMBAf8EBTADAQH/MA8GA1UdEQQIMAaHBH8A\
        AAEwCgYIKoZIzj0EAwIDRwAwRAIgDJOrBOI88ADvbOFhonLMUMzrhM9VaSuKQV9Cre4jlR8CICpZxX4iHSdWn3F8gpi/hvasOpoy\
        3reXG5nSCAlsDwtJ";
    const KEY: &str = "\
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgepLvUGr0gLOdfn/bZ1kn+nbt6RY9+xN6VCiFSUbWPyWhRANCAAT+\
        3bC/C+Kcbml+XTXWpvrTrWjNtcFfLeBULqZZAALU+GMClFbNtF/1VLUaIsZIQDTU5P9rI8x0Hb3q8p78oFPm";

    /// Answers the TLS handshakes of `127.0.0.1:PORT`.
    fn tls_server() -> u16 {
        let der = |text: &str| STANDARD.decode(text).unwrap();
        let key = PrivateKeyDer::try_from(der(KEY)).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![CertificateDer::from(der(CERTIFICATE))], key)
            .unwrap();
        let (listener, config) = (TcpListener::bind("127.0.0.1:0").unwrap(), Arc::new(config));
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut connection = ServerConnection::new(config.clone()).unwrap();
                while connection.is_handshaking() && connection.complete_io(&mut stream).is_ok() {}
            }
        });
        port
    }

    /// `rustls` says so by type, which `ureq` has to hand on.
    #[test]
    fn a_certificate_that_is_not_trusted_is_known_as_such() {
        let port = tls_server();
        let ask = |http: &Http, scheme: &str| {
            let url = format!("{scheme}://127.0.0.1:{port}/v2/").parse().unwrap();
            let exchange = Exchange { method: Method::HEAD, url, headers: &[], body: &[], blob_size: 0 };
            match http.exchange(&exchange, None) {
                Err(Failure::Permanent(error)) => format!("{error:#}"),
                other => panic!("{other:?}"),
            }
        };
        // Spoken to in plain text at first, it is found to speak TLS.
        for scheme in ["https", "http"] {
            let error = ask(&Http::new(Duration::from_secs(5)), scheme);
            assert!(error.ends_with("set `SSL_CERT_FILE` to its certificate"), "{scheme}: {error}");
        }
    }
}
