//! A registry of a test's own, behind a password, and a wire to it that can stall.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use crate::parts::wait_for;

pub(crate) const USER: &str = "deployer";
pub(crate) const PASSWORD: &str = "s3cret-deploy";
/// bcrypt of the password.
const HASH: &str = "$2y$05$abcdefghijklmnopqrstuuq7ay8NKiYalKbiyhd7tleaalez6Ueue";

/// `docker-registry`, ended when dropped.
pub(crate) struct PrivateRegistry {
    child: Child,
    pub(crate) port: u16,
    folder: TempDir,
}

impl PrivateRegistry {
    /// An empty one that wants the password with each request.
    pub(crate) fn start() -> Self {
        Self::with_auth(|folder| {
            fs::write(folder.join("htpasswd"), format!("{USER}:{HASH}\n")).expect("a file");
            format!("htpasswd: {{realm: test, path: {}/htpasswd}}", folder.display())
        })
    }

    /// An empty one that wants tokens of a service whose address is `realm` and whose certificate is
    /// the file `certificate`.
    pub(crate) fn with_tokens(realm: &str, certificate: &Path) -> Self {
        let certificate = certificate.display();
        Self::with_auth(|_| {
            format!("token: {{realm: \"{realm}\", service: test, issuer: test, rootcertbundle: {certificate}}}")
        })
    }

    fn with_auth(auth: impl FnOnce(&Path) -> String) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
        let path = folder.path().display();
        let config = format!(
            "version: 0.1\nlog: {{level: warn}}\n\
             storage: {{filesystem: {{rootdirectory: {path}/data}}, delete: {{enabled: true}}}}\n\
             http: {{addr: \"127.0.0.1:{port}\"}}\nauth: {{{}}}\n",
            auth(folder.path())
        );
        fs::write(folder.path().join("config.yml"), config).expect("a file");
        let log = fs::File::create(folder.path().join("log")).expect("a file");
        let child = Command::new("docker-registry")
            .args(["serve", &format!("{path}/config.yml")])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file"))
            .stderr(log)
            .spawn()
            .expect("`docker-registry`, e.g. from the Debian package of that name");
        wait_for("private registry", Duration::from_secs(20), || TcpStream::connect(("127.0.0.1", port)).is_ok());
        PrivateRegistry { child, port, folder }
    }

    /// `localhost:PORT`.
    pub(crate) fn host(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// Requests of `method` on paths with `part` that it answered with `status`.
    pub(crate) fn answered(&self, method: &str, part: &str, status: u16) -> usize {
        let log = fs::read_to_string(self.folder.path().join("log")).expect("a log");
        let is_it = |line: &&str| {
            line.contains(&format!("\"{method} ")) && line.contains(part) && line.contains(&format!("\" {status} "))
        };
        log.lines().filter(is_it).count()
    }
}

impl Drop for PrivateRegistry {
    fn drop(&mut self) {
        // One that ended by itself is just what we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Passes on what comes to its port, and stalls once so many bytes have gone up; what stalled is cut
/// when it may go on.
pub(crate) struct Wire {
    pub(crate) port: u16,
    sent: Arc<AtomicU64>,
    limit: Arc<AtomicU64>,
}

impl Wire {
    pub(crate) fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let wire = Wire {
            port: listener.local_addr().expect("an address").port(),
            sent: Arc::default(),
            limit: Arc::new(AtomicU64::new(u64::MAX)),
        };
        let (sent, limit) = (Arc::clone(&wire.sent), Arc::clone(&wire.limit));
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.expect("a connection");
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                let (back, forth) = (server.try_clone().expect("a socket"), client.try_clone().expect("a socket"));
                let (sent, limit) = (Arc::clone(&sent), Arc::clone(&limit));
                std::thread::spawn(move || {
                    pass(forth, server, |count| {
                        let now = sent.fetch_add(count, Ordering::SeqCst) + count;
                        let stalls = || now > limit.load(Ordering::SeqCst);
                        let is_cut = stalls();
                        while stalls() {
                            std::thread::sleep(Duration::from_millis(20));
                        }
                        !is_cut
                    })
                });
                std::thread::spawn(move || pass(back, client, |_| true));
            }
        });
        wire
    }

    /// Bytes that went up so far.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::SeqCst)
    }

    /// Stalls when `bytes` more have gone up; never, without a number.
    pub(crate) fn stall_after(&self, bytes: Option<u64>) {
        let limit = bytes.map_or(u64::MAX, |bytes| self.sent() + bytes);
        self.limit.store(limit, Ordering::SeqCst);
    }
}

/// Passes bytes on as long as `goes_on` says so about their number.
fn pass(mut from: TcpStream, mut to: TcpStream, goes_on: impl Fn(u64) -> bool) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read) = from.read(&mut buffer) {
        if read == 0 || !goes_on(read as u64) || to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    // The other direction may have ended before.
    let _ = to.shutdown(std::net::Shutdown::Both);
}
