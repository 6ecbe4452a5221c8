//! Registries that tests push to, seen through another tool.

use std::fs;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::parts::{Ended, run, wait_for};

/// User and password of the registries that ask for one.
pub(crate) const USER: &str = "robot";
pub(crate) const PASSWORD: &str = "correct-horse-Battery-7";
/// Its line of an htpasswd file (bcrypt, cost 5).
const HTPASSWD: &str = "robot:$2y$05$abcdefghijklmnopqrstuug0huXra4jS.fhYeh9kEc6bLi8UWXLRa\n";

/// A registry, and how to speak with it.
pub(crate) struct Registry {
    /// `127.0.0.1:PORT`.
    pub(crate) host: String,
    /// `USER:PASSWORD`.
    credentials: Option<String>,
    /// Nothing for one that was there before.
    own: Option<Own>,
}

struct Own {
    process: Option<Child>,
    folder: TempDir,
}

impl Own {
    /// What it says, and a line for each request.
    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

impl Registry {
    /// The one at `LAB_REGISTRY`.
    pub(crate) fn shared() -> Self {
        Registry { host: crate::parts::registry(), credentials: None, own: None }
    }

    /// One of its own that anybody may use.
    pub(crate) fn start() -> Self {
        Registry::with("", None, |_| String::new())
    }

    /// One that asks for [`USER`] and [`PASSWORD`].
    pub(crate) fn behind_basic() -> Self {
        Registry::with("htpasswd", Some(format!("{USER}:{PASSWORD}")), |folder| {
            let path = folder.join("htpasswd");
            fs::write(&path, HTPASSWD).expect("a file");
            format!("realm: test, path: {}", path.display())
        })
    }

    /// One that speaks TLS, with a certificate of its own: gives its path, too.
    pub(crate) fn with_tls() -> (Self, PathBuf) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let (key, certificate) = (path("key.pem"), path("certificate.pem"));
        let options = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=here"];
        let names = ["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"];
        let files = ["-keyout", &key, "-out", &certificate];
        crate::parts::tool("openssl", &[&options[..], &names, &files].concat());
        let tls = format!(", tls: {{certificate: {certificate}, key: {key}}}");
        (Registry::configured(folder, &tls, "", None), certificate.into())
    }

    /// One with the authorization `kind`, whose settings `auth` writes.
    pub(crate) fn with(kind: &str, credentials: Option<String>, auth: impl FnOnce(&PathBuf) -> String) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let auth = match kind {
            "" => String::new(),
            kind => format!("auth: {{{kind}: {{{}}}}}\n", auth(&folder.path().to_owned())),
        };
        Registry::configured(folder, "", &auth, credentials)
    }

    fn configured(folder: TempDir, tls: &str, auth: &str, credentials: Option<String>) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("a port").port();
        let root = folder.path().to_owned();
        let mut config = format!(
            "version: 0.1\nlog: {{level: warn}}\nhttp: {{addr: 127.0.0.1:{port}{tls}}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: true}}, maintenance: {{uploadpurging: \
             {{enabled: false}}}}}}\n",
            root.join("data").display()
        );
        config.push_str(auth);
        fs::write(root.join("config.yml"), config).expect("a configuration");
        let own = Own { process: None, folder };
        let mut registry = Registry { host: format!("127.0.0.1:{port}"), credentials, own: Some(own) };
        registry.run();
        registry
    }

    /// Whether it deletes from now on; without configuration, it does not.
    #[track_caller]
    pub(crate) fn allow_deletes(&mut self, allowed: bool) {
        self.stop();
        let path = self.own.as_ref().expect("a registry of its own").folder.path().join("config.yml");
        let config = fs::read_to_string(&path).expect("a configuration");
        let [old, new] = [!allowed, allowed].map(|allowed| format!("delete: {{enabled: {allowed}}}"));
        assert!(config.contains(&old), "{config}");
        fs::write(&path, config.replace(&old, &new)).expect("a configuration");
        self.run();
    }

    /// Starts it (again) and waits until it listens.
    #[track_caller]
    pub(crate) fn run(&mut self) {
        let own = self.own.as_mut().expect("a registry of its own");
        let log = fs::File::options().create(true).append(true).open(own.log()).expect("a log");
        // It must not outlive the test, even one that is killed. (The signal is sent when the thread ends
        // that started it.)
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "docker-registry", "serve"]).arg(own.folder.path().join("config.yml"));
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log")).stderr(log);
        own.process = Some(command.spawn().expect("docker-registry: apt-get install docker-registry"));
        let host = self.host.clone();
        wait_for("registry", Duration::from_secs(20), || std::net::TcpStream::connect(&host).is_ok());
    }

    /// Kills it; what it stored stays.
    pub(crate) fn stop(&mut self) {
        if let Some(mut process) = self.own.as_mut().and_then(|own| own.process.take()) {
            process.kill().and_then(|()| process.wait()).expect("a registry that ends");
        }
    }

    /// How many requests of `method` whose path has `part` in it were answered with `status`; only for a
    /// registry of its own.
    #[track_caller]
    pub(crate) fn answered(&self, method: &str, part: &str, status: u16) -> usize {
        let own = self.own.as_ref().expect("a registry of its own");
        let (method, status) = (format!("\"{method} "), format!("\" {status} "));
        let is_it = |line: &&str| line.contains(&method) && line.contains(part) && line.contains(&status);
        fs::read_to_string(own.log()).expect("a log").lines().filter(is_it).count()
    }

    /// Runs skopeo, its options for this registry after the command.
    pub(crate) fn skopeo(&self, command: &str, arguments: &[&str]) -> Ended {
        let mut all = vec![command];
        match command {
            "copy" => all.extend(["--quiet", "--insecure-policy", "--src-tls-verify=false", "--dest-tls-verify=false"]),
            _ => all.push("--tls-verify=false"),
        }
        if let Some(credentials) = &self.credentials {
            match command {
                "copy" => all.extend(["--src-creds", credentials, "--dest-creds", credentials]),
                _ => all.extend(["--creds", credentials]),
            }
        }
        all.extend(arguments);
        run("skopeo", &all)
    }

    fn url(&self, repository: &str, selector: &str) -> String {
        format!("docker://{}/{repository}{selector}", self.host)
    }

    /// The tags of a repository, sorted.
    #[track_caller]
    pub(crate) fn tags(&self, repository: &str) -> Vec<String> {
        let listed = self.skopeo("list-tags", &[&format!("docker://{}/{repository}", self.host)]);
        if listed.stderr.contains("404 (Not Found)") {
            return Vec::new();
        }
        assert!(listed.success, "{}", listed.stderr);
        let list: Value = serde_json::from_str(&listed.stdout).expect("JSON");
        let tags = list["Tags"].as_array().cloned().unwrap_or_default();
        let mut tags: Vec<String> = tags.iter().map(|tag| tag.as_str().expect("a tag").to_owned()).collect();
        tags.sort();
        tags
    }

    /// The digest of what a tag names.
    #[track_caller]
    pub(crate) fn digest(&self, repository: &str, tag: &str) -> String {
        crate::support::image::digest(self.raw(repository, &format!(":{tag}")).as_bytes())
    }

    /// A manifest or index as it is stored; `selector` is `:TAG` or `@DIGEST`.
    #[track_caller]
    pub(crate) fn raw(&self, repository: &str, selector: &str) -> String {
        let mut all = vec!["inspect", "--raw", "--tls-verify=false"];
        if let Some(credentials) = &self.credentials {
            all.extend(["--creds", credentials]);
        }
        let url = self.url(repository, selector);
        all.push(&url);
        // Not trimmed: its bytes give the digest.
        let output = Command::new("skopeo").args(&all).output().expect("skopeo");
        assert!(output.status.success(), "{url}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// Copies all images that the tags of a repository name, down to the last blob, which skopeo
    /// checks against their digests; gives the tags.
    #[track_caller]
    pub(crate) fn pull_all(&self, repository: &str) -> Vec<String> {
        let tags = self.tags(repository);
        for tag in &tags {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let to = format!("dir:{}", folder.path().display());
            let copied = self.skopeo("copy", &["--all", &self.url(repository, &format!(":{tag}")), &to]);
            assert!(copied.success, "{repository}:{tag} is not complete: {}", copied.stderr);
        }
        tags
    }

    /// Copies an image to another tag of its repository.
    #[track_caller]
    pub(crate) fn retag(&self, repository: &str, from: &str, to: &str) {
        let (from, to) = (self.url(repository, &format!(":{from}")), self.url(repository, &format!(":{to}")));
        let copied = self.skopeo("copy", &["--all", "--preserve-digests", &from, &to]);
        assert!(copied.success, "{}", copied.stderr);
    }

    /// Deletes what a tag names, and so all tags of it.
    #[track_caller]
    pub(crate) fn delete(&self, repository: &str, tag: &str) {
        let deleted = self.skopeo("delete", &[&self.url(repository, &format!(":{tag}"))]);
        assert!(deleted.success, "{}", deleted.stderr);
    }

    /// Deletes one part of an image: `blobs/DIGEST` or `manifests/DIGEST`.
    #[track_caller]
    pub(crate) fn delete_part(&self, repository: &str, part: &str) {
        let permission = match &self.credentials {
            Some(credentials) => format!("Authorization: Basic {}\r\n", base64(credentials)),
            None => String::new(),
        };
        let mut stream = std::net::TcpStream::connect(&self.host).expect("a registry");
        let request = format!(
            "DELETE /v2/{repository}/{part} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{permission}\r\n",
            self.host
        );
        stream.write_all(request.as_bytes()).expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 202 "), "{repository}/{part}: {answer}");
    }

    /// Deletes all that has a tag; failing is no failure of a test.
    pub(crate) fn forget(&self, repository: &str) {
        let listed = self.skopeo("list-tags", &[&format!("docker://{}/{repository}", self.host)]).stdout;
        let list: Value = serde_json::from_str(&listed).unwrap_or_default();
        for tag in list["Tags"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            self.skopeo("delete", &[&self.url(repository, &format!(":{tag}"))]);
        }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Base64, as `Authorization: Basic` wants it.
pub(crate) fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}
