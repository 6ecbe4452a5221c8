//! One `kubectl proxy` on a socket that only this user can reach.

use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};

use super::kubectl::Kubectl;
use crate::system::background::Background;
use crate::system::interrupt;

/// How long kubectl may take to open its socket.
const START: Duration = Duration::from_secs(15);

/// The proxy; it ends when this is closed or dropped.
pub(super) struct Proxy {
    kubectl: Kubectl,
    folder: PrivateFolder,
    child: Mutex<State>,
    deadline: Instant,
}

enum State {
    NotStarted,
    Running(Background),
    Closed,
}

impl Proxy {
    /// Starts it and waits for its socket. The API server is not asked yet.
    pub(super) fn start(kubectl: Kubectl, deadline: Instant) -> Result<Self> {
        let (folder, child) = (PrivateFolder::create()?, Mutex::new(State::NotStarted));
        let proxy = Proxy { kubectl, folder, child, deadline };
        proxy.revive()?;
        Ok(proxy)
    }

    /// Ends it for good and removes its folder, whoever still holds it.
    pub(super) fn close(&self) {
        *self.child.lock().unwrap_or_else(PoisonError::into_inner) = State::Closed;
        self.folder.remove();
    }

    pub(super) fn kubectl(&self) -> &Kubectl {
        &self.kubectl
    }

    /// The folder that only this user can read.
    pub(super) fn folder(&self) -> &PathBuf {
        &self.folder.0
    }

    /// A connection to it; a proxy that ended is started again.
    pub(super) fn connect(&self) -> Result<UnixStream> {
        match UnixStream::connect(self.socket()) {
            Ok(stream) => Ok(stream),
            Err(_) => {
                self.revive()?;
                UnixStream::connect(self.socket()).context("cannot reach `kubectl proxy`")
            }
        }
    }

    /// The last line that it wrote to its standard error: why the API server cannot be reached.
    pub(super) fn last_words(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.folder.0.join("log")).ok()?;
        let line = text.lines().rfind(|line| !line.trim().is_empty())?;
        // Without klog's header, `E1120 11:58:41.123456 12345 proxy_server.go:147] `.
        Some(line.split_once("] ").map_or(line, |(_, rest)| rest).trim().to_owned())
    }

    fn socket(&self) -> PathBuf {
        self.folder.0.join("socket")
    }

    fn revive(&self) -> Result<()> {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *child {
            State::Closed => bail!("`kubectl proxy` is no longer needed"),
            State::Running(running) => {
                if !running.has_ended()? {
                    return Ok(());
                }
            }
            State::NotStarted => {}
        }
        // A socket that is left over would be in the way.
        let _ = std::fs::remove_file(self.socket());
        let log = File::create(self.folder.0.join("log")).context("cannot write in a temporary folder")?;
        let mut option = std::ffi::OsString::from("--unix-socket=");
        option.push(self.socket());
        let shell = self.kubectl.shell()?;
        let mut started = Background::start(self.kubectl.command(&shell, ["proxy".into(), option]), log)?;
        let begun = Instant::now();
        let deadline = self.deadline.min(begun + START);
        while UnixStream::connect(self.socket()).is_err() {
            let why = || self.last_words().unwrap_or_else(|| "it said nothing".to_owned());
            if started.has_ended()? {
                bail!("`kubectl proxy` ended: {}", why());
            }
            if Instant::now() > deadline {
                bail!("`kubectl proxy` opened no socket within {} s: {}", begun.elapsed().as_secs(), why());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        *child = State::Running(started);
        Ok(())
    }
}

/// A new folder with mode 0700, below the system's temporary one: the path of a socket must be short.
struct PrivateFolder(PathBuf);

impl PrivateFolder {
    fn create() -> Result<Self> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let name = format!("xtask-smoke-{}-{:x}", std::process::id(), now.subsec_nanos());
        let path = std::env::temp_dir().join(name);
        interrupt::unfinished(&path);
        // It must not exist: somebody else's folder would not be private.
        DirBuilder::new().mode(0o700).create(&path).with_context(|| format!("cannot create `{}`", path.display()))?;
        Ok(PrivateFolder(path))
    }
}

impl PrivateFolder {
    fn remove(&self) {
        // What cannot be removed lies in the system's temporary folder.
        let _ = std::fs::remove_dir_all(&self.0);
        interrupt::finished(&self.0);
    }
}

impl Drop for PrivateFolder {
    fn drop(&mut self) {
        self.remove();
    }
}
