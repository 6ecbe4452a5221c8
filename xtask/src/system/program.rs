//! Programs that we start to see how they do: their output goes to a file, and none outlives us.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use camino::{Utf8Path, Utf8PathBuf};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::interrupt::Guarded;
use super::process::{Watch, spawn};

/// Of a log, so much is read for its last lines.
const LOG_END: u64 = 64 * 1024;

/// A running program. Its process group ends when this is dropped, on an interrupt, and when we are killed.
///
/// It belongs to the thread that started it: the kernel ends it together with that thread.
pub(crate) struct Started {
    child: Child,
    log: Utf8PathBuf,
    _watch: Watch,
    _guard: Guarded,
}

impl Started {
    /// Starts `executable` in `folder` with these variables and no others; both its outputs go to `log`.
    ///
    /// # Errors
    /// The log cannot be made, the program not started.
    pub(crate) fn start(
        executable: &Utf8Path,
        arguments: &[String],
        variables: &BTreeMap<String, String>,
        folder: &Utf8Path,
        log: &Utf8Path,
    ) -> Result<Self> {
        let output = File::create(log).with_context(|| format!("cannot create `{log}`"))?;
        let errors = output.try_clone().with_context(|| format!("cannot write `{log}`"))?;
        let mut command = Command::new(executable);
        command.args(arguments).env_clear().envs(variables).current_dir(folder);
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        let (child, guard) = spawn(&mut command)?;
        let watch = Watch::over(&child);
        Ok(Started { child, log: log.to_owned(), _watch: watch, _guard: guard })
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, when it has.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().context("cannot ask for a child process")
    }

    /// Ends it: SIGTERM, after `grace` SIGKILL. Gives whether SIGTERM was enough.
    pub(crate) fn stop(mut self, grace: Duration) -> bool {
        self.signal(Signal::SIGTERM);
        let deadline = Instant::now() + grace;
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }

    /// The last `count` lines of its output.
    pub(crate) fn log_end(&self, count: usize) -> Vec<String> {
        let read = || -> std::io::Result<Vec<u8>> {
            let mut file = File::open(&self.log)?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(LOG_END)))?;
            let mut bytes = Vec::new();
            file.take(LOG_END).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        // Without a log there is nothing to show, and what failed is told all the same.
        let text = String::from_utf8_lossy(&read().unwrap_or_default()).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(count)..].iter().map(ToString::to_string).collect()
    }

    fn signal(&self, signal: Signal) {
        // A group that is gone already is just what we want.
        let _ = i32::try_from(self.child.id()).map(|group| killpg(Pid::from_raw(group), signal));
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // What it started may live on without it.
        self.signal(Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(script: &str, folder: &Utf8Path) -> Started {
        let variables = BTreeMap::from([("A".to_owned(), "b".to_owned())]);
        let arguments = ["-c".to_owned(), script.to_owned()];
        Started::start("/bin/sh".into(), &arguments, &variables, folder, &folder.join("log")).unwrap()
    }

    #[test]
    fn it_runs_with_its_own_variables_and_its_output_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        let mut started = start("echo one; echo $A$HOME two >&2; exit 3", folder);
        let deadline = Instant::now() + Duration::from_secs(20);
        let status = loop {
            if let Some(status) = started.ended().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline);
            std::thread::sleep(Duration::from_millis(5));
        };
        assert_eq!(status.code(), Some(3));
        assert_eq!(started.log_end(1), ["b two"]);
        assert_eq!(started.log_end(9), ["one", "b two"]);
    }

    #[test]
    fn it_is_asked_to_end_and_then_made_to() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        let wait = |started: &Started| while started.log_end(1).is_empty() {};
        let polite = start("trap 'exit 0' TERM; echo ready; while :; do sleep 0.05; done", folder);
        wait(&polite);
        assert!(polite.stop(Duration::from_secs(20)));
        let stubborn = start("trap '' TERM; echo ready; while :; do sleep 0.05; done", folder);
        wait(&stubborn);
        let pid = Pid::from_raw(stubborn.child.id().try_into().unwrap());
        assert!(!stubborn.stop(Duration::from_millis(100)));
        assert!(nix::sys::signal::kill(pid, None).is_err(), "it is gone");
    }
}
