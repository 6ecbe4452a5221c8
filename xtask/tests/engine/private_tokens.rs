//! A service that signs the tokens a real registry takes (distribution's token specification).

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;
use tempfile::TempDir;

use crate::parts::tool;
use crate::private::{PASSWORD, PrivateRegistry, USER};
use crate::support::http::{Answer, Request, Server};

/// A registry and its token service.
pub(crate) struct TokenRegistry {
    pub(crate) registry: PrivateRegistry,
    service: Server,
    _keys: TempDir,
}

impl TokenRegistry {
    /// The service gives who has the password all that is asked for; for repositories whose name
    /// has `forbidden` in it, only to pull.
    pub(crate) fn start() -> Self {
        let keys = tempfile::tempdir().expect("a temporary folder");
        let (key, certificate) = (keys.path().join("key.pem"), keys.path().join("cert.pem"));
        let files = [key.display().to_string(), certificate.display().to_string()];
        let options = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test", "-days", "2"];
        tool("openssl", &[&options[..], &["-keyout", &files[0], "-out", &files[1]]].concat());
        let chain: String = fs::read_to_string(&certificate)
            .expect("a certificate")
            .lines()
            .filter(|line| !line.starts_with("-----"))
            .collect();
        let service = Server::start(move |request| answer(request, &key, &chain));
        let realm = format!("http://127.0.0.1:{}/token", service.port);
        TokenRegistry { registry: PrivateRegistry::with_tokens(&realm, &certificate), service, _keys: keys }
    }

    /// The scopes of all tokens asked for so far, those of a request separated by spaces.
    pub(crate) fn scopes(&self) -> Vec<String> {
        self.service.seen().iter().map(|request| scopes(request).join(" ")).collect()
    }
}

fn scopes(request: &Request) -> Vec<String> {
    let query = request.path.split_once('?').map_or("", |(_, query)| query);
    let values = query.split('&').filter_map(|field| field.strip_prefix("scope="));
    values.map(|scope| scope.replace("%3A", ":").replace("%2F", "/").replace("%2C", ",")).collect()
}

fn answer(request: &Request, key: &Path, chain: &str) -> Answer {
    let wanted = format!("Basic {}", STANDARD.encode(format!("{USER}:{PASSWORD}")));
    if request.headers.get("authorization") != Some(&wanted) {
        return Answer::new(401, r#"{"details":"incorrect username or password"}"#);
    }
    let mut granted: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for scope in scopes(request) {
        let parts: Vec<&str> = scope.split(':').collect();
        if let ["repository", name, actions] = parts.as_slice() {
            let may = |action: &&str| *action == "pull" || !name.contains("forbidden");
            granted.insert((*name).to_owned(), actions.split(',').filter(may).map(str::to_owned).collect());
        }
    }
    let access: Vec<_> =
        granted.iter().map(|(name, actions)| json!({"type": "repository", "name": name, "actions": actions})).collect();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970").as_secs();
    let header = json!({"typ": "JWT", "alg": "RS256", "x5c": [chain]});
    let claims = json!({"iss": "test", "sub": USER, "aud": "test", "exp": now + 300, "nbf": now - 10, "iat": now,
        "jti": now.to_string(), "access": access});
    let encode = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", encode(&header), encode(&claims));
    let signature = URL_SAFE_NO_PAD.encode(sign(&text, key));
    Answer::new(200, json!({"token": format!("{text}.{signature}"), "expires_in": 300}).to_string())
}

fn sign(text: &str, key: &Path) -> Vec<u8> {
    let mut child = Command::new("openssl")
        .args(["dgst", "-sha256", "-sign"])
        .arg(key)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("openssl");
    child.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("a reader");
    child.wait_with_output().expect("a signature").stdout
}
