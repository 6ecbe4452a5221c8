//! Children that run beside us until they are no longer needed.

use std::process::{Child, ChildStdout, Stdio};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use xshell::Cmd;

use super::interrupt::Guarded;
use super::process::{Watch, prepared, spawn};

/// A running child; its process group is ended when this is dropped, on an interrupt, and when we are
/// killed.
pub(crate) struct Background {
    child: Child,
    _watch: Watch,
    _guard: Guarded,
}

impl Background {
    /// Starts `cmd`; its standard error goes to `errors`.
    pub(crate) fn start(cmd: Cmd<'_>, errors: std::fs::File) -> Result<Self> {
        let mut command = prepared(cmd);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors);
        let (child, guard) = spawn(&mut command)?;
        let watch = Watch::over(&child);
        Ok(Background { child, _watch: watch, _guard: guard })
    }

    /// Its standard output; only once.
    pub(crate) fn stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait().context("cannot ask for a child process")?.is_some())
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let group = i32::try_from(self.child.id()).map(Pid::from_raw);
        // A child that is gone already is just what we want.
        let _ = group.map(|group| killpg(group, Signal::SIGKILL));
        let _ = self.child.wait();
    }
}
