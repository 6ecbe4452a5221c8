//! One run of the real program, and what it left.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

/// One run of the xtask, to be started.
pub(crate) struct Xtask {
    command: Command,
    shown: String,
}

impl Xtask {
    /// The xtask with `arguments` (separated by spaces), to be run in `folder`.
    pub(crate) fn new(arguments: &str, folder: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        super::clean(&mut command, folder);
        command.args(arguments.split_whitespace());
        Xtask { command, shown: arguments.to_owned() }
    }

    /// Sets a variable of its environment.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Adds an argument that may hold spaces.
    pub(crate) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// Runs in another folder.
    pub(crate) fn within(mut self, folder: impl AsRef<Path>) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Puts `folder` first on the PATH.
    pub(crate) fn path_first(mut self, folder: &Path) -> Self {
        let old = std::env::var_os("PATH").unwrap_or_default();
        let all = std::iter::once(folder.to_owned()).chain(std::env::split_paths(&old));
        self.command.env("PATH", std::env::join_paths(all).expect("a PATH"));
        self
    }

    /// The command itself, for tests that start it their own way.
    pub(crate) fn command(self) -> Command {
        self.command
    }

    /// Runs it, whatever the exit code.
    pub(crate) fn run(mut self) -> Output {
        let output = self.command.stdin(Stdio::null()).output().expect("the xtask can be started");
        Output {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("UTF-8 on standard output"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8 on standard error"),
            shown: self.shown,
        }
    }

    /// Runs it and demands exit code 0.
    #[track_caller]
    pub(crate) fn ok(self) -> Output {
        self.run().demand(0)
    }

    /// Runs it and demands exit code 1.
    #[track_caller]
    pub(crate) fn fails(self) -> Output {
        self.run().demand(1)
    }

    /// Runs it and demands exit code 2: wrong usage.
    #[track_caller]
    pub(crate) fn misused(self) -> Output {
        self.run().demand(2)
    }
}

/// What a run left.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    shown: String,
}

impl Output {
    #[track_caller]
    fn demand(self, code: i32) -> Self {
        let Output { stdout, stderr, shown, .. } = &self;
        assert_eq!(self.code, Some(code), "xtask {shown}\n-- stdout\n{stdout}\n-- stderr\n{stderr}");
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error} in {}", self.stdout))
    }

    /// Demands that standard error has `text` in it.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "no `{text}` in:\n{}", self.stderr);
        self
    }

    /// Demands that standard error has no `text` in it.
    #[track_caller]
    pub(crate) fn says_nothing_of(self, text: &str) -> Self {
        assert!(!self.stderr.contains(text), "`{text}` is in:\n{}", self.stderr);
        self
    }
}
