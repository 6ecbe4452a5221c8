//! A token service (distribution's token specification) for registries of the tests' own.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::parts::tool;
use crate::registry::{PASSWORD, Registry, USER, base64};
use crate::support::http::{Answer, Request, Server};

/// Registries of distribution 2.8 take a token for so many seconds after its end.
const LEEWAY: i64 = 60;

/// What is given for a request.
pub(crate) struct Grant {
    /// Which of the actions that were asked for.
    pub(crate) actions: &'static [&'static str],
    /// For how many seconds the registry takes it.
    pub(crate) good_for: i64,
    /// What is said of that.
    pub(crate) expires_in: u64,
    /// Repositories whose name has this in it may only be pulled from.
    pub(crate) read_only: Option<&'static str>,
    /// Instead of a token.
    pub(crate) refusal: Option<Answer>,
}

impl Default for Grant {
    fn default() -> Self {
        Grant { actions: &["pull", "push"], good_for: 300, expires_in: 300, read_only: None, refusal: None }
    }
}

/// A registry, and the service that gives tokens for it to [`USER`].
pub(crate) struct Guarded {
    pub(crate) registry: Registry,
    /// The service's `127.0.0.1:PORT`.
    pub(crate) service: String,
    issued: Arc<Mutex<Vec<String>>>,
    server: Server,
}

impl Guarded {
    /// `rule` decides about each request with the right password, by how many came before.
    pub(crate) fn start(rule: impl Fn(usize) -> Grant + Send + 'static) -> Self {
        let issued: Arc<Mutex<Vec<String>>> = Arc::default();
        let (log, mut started) = (Arc::clone(&issued), None);
        let registry = Registry::with("token", Some(format!("{USER}:{PASSWORD}")), |folder| {
            let (key, certificate) = (folder.join("key.pem"), folder.join("certificate.pem"));
            let (key_path, certificate_path) = (key.display().to_string(), certificate.display().to_string());
            let options = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=tokens"];
            tool("openssl", &[&options[..], &["-keyout", &key_path, "-out", &certificate_path]].concat());
            let pem = std::fs::read_to_string(&certificate).expect("a certificate");
            let chain: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
            let mut count = 0;
            let server = Server::start(move |request| {
                if request.headers.get("authorization")
                    != Some(&format!("Basic {}", base64(&format!("{USER}:{PASSWORD}"))))
                {
                    // As Docker Hub's service says it, not as registries do.
                    return Answer::new(401, r#"{"details":"incorrect username or password"}"#);
                }
                let grant = rule(count);
                count += 1;
                if let Some(refusal) = grant.refusal {
                    return refusal;
                }
                let token = sign(&key, &chain, &claims(request, &grant));
                log.lock().expect("no panic").push(token.clone());
                Answer::new(200, json!({"token": token, "expires_in": grant.expires_in}).to_string())
            });
            let realm = format!("http://127.0.0.1:{}/token", server.port);
            started = Some(server);
            format!("realm: \"{realm}\", service: test, issuer: test, rootcertbundle: {certificate_path}")
        });
        let server = started.expect("started with the registry");
        Guarded { registry, service: format!("127.0.0.1:{}", server.port), issued, server }
    }

    /// The tokens given so far.
    pub(crate) fn issued(&self) -> Vec<String> {
        self.issued.lock().expect("no panic").clone()
    }

    /// The scopes that each request so far asked for, separated by spaces; those refused too.
    pub(crate) fn scopes(&self) -> Vec<String> {
        self.server.seen().iter().map(|request| scopes(request).join(" ")).collect()
    }
}

fn scopes(request: &Request) -> Vec<String> {
    let query = request.path.split_once('?').map_or("", |(_, query)| query);
    query.split('&').filter_map(|field| field.strip_prefix("scope=")).map(decoded).collect()
}

fn claims(request: &Request, grant: &Grant) -> Value {
    let access: Vec<Value> = scopes(request)
        .iter()
        .map(|scope| {
            let words: Vec<&str> = scope.split(':').collect();
            let [kind, name, actions] = words[..] else { panic!("scope `{scope}`") };
            let is_read_only = grant.read_only.is_some_and(|part| name.contains(part));
            let given = |action: &&str| grant.actions.contains(action) && (*action == "pull" || !is_read_only);
            let actions: Vec<&str> = actions.split(',').filter(given).collect();
            json!({"type": kind, "name": name, "actions": actions})
        })
        .collect();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970").as_secs();
    let now = i64::try_from(now).expect("a time");
    let ends = now + grant.good_for - LEEWAY;
    json!({
        "iss": "test", "sub": USER, "aud": "test", "jti": format!("{now}"), "access": access,
        "iat": now - 120, "nbf": now - 120, "exp": ends,
    })
}

fn decoded(text: &str) -> String {
    text.replace("%3A", ":").replace("%2F", "/").replace("%2C", ",")
}

/// A JSON web token: RS256, with the certificate in its header.
fn sign(key: &Path, certificate: &str, claims: &Value) -> String {
    let header = json!({"typ": "JWT", "alg": "RS256", "x5c": [certificate]});
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", part(&header), part(claims));
    let mut openssl = Command::new("openssl");
    openssl.args(["dgst", "-sha256", "-sign"]).arg(key).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = openssl.spawn().expect("openssl");
    child.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("openssl reads");
    let output = child.wait_with_output().expect("openssl");
    assert!(output.status.success());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(output.stdout))
}

/// What must not be seen anywhere: the password, plain or as `Authorization:
/// Basic` has it, and tokens.
pub(crate) fn secrets(tokens: &[String]) -> Vec<String> {
    let mut secrets = vec![PASSWORD.to_owned(), STANDARD.encode(PASSWORD), base64(&format!("{USER}:{PASSWORD}"))];
    // A token's signature is its secret part; its beginning is the same for all.
    secrets.extend(tokens.iter().filter_map(|token| token.rsplit('.').next()).map(str::to_owned));
    secrets
}
