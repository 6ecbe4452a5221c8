//! Runs other programs: with a clean environment, timed, and with errors that show what happened.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::interrupt;
use crate::taken::{Taken, children_cpu};

/// How much of a failed child's output is shown.
const SHOWN_LINES: usize = 30;

/// Variables that would change what is measured, or that `cargo run` set for this program.
const REMOVED: &[&str] =
    &["CARGO", "DOCKER_CLI", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "RUSTFLAGS", "SERVICES", "SOURCE_DATE_EPOCH"];
const REMOVED_PREFIXES: &[&str] = &["CARGO_", "CI_", "GITHUB_", "GIT_"];
/// Of those, the ones that say where crates come from.
const KEPT_PREFIXES: &[&str] = &["CARGO_HOME", "CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTR", "GIT_SSL_"];

/// What a child that succeeded left.
#[derive(Debug)]
pub(crate) struct Finished {
    /// What it took.
    pub(crate) taken: Taken,
    /// Its standard output.
    pub(crate) stdout: String,
}

/// A command that runs in `folder`, without the variables that would disturb a measurement.
pub(crate) fn command(program: &str, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(is_removed) {
            command.env_remove(name);
        }
    }
    command
}

fn is_removed(name: &str) -> bool {
    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    REMOVED.contains(&name) || starts(REMOVED_PREFIXES) && !starts(KEPT_PREFIXES)
}

/// Runs it to its end.
///
/// # Errors
/// It cannot start, or fails: the command, its status and the end of its output.
pub(crate) fn run(command: &mut Command) -> Result<Finished> {
    if interrupt::happened() {
        bail!("interrupted");
    }
    let cpu_before = children_cpu();
    let start = Instant::now();
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run `{}`", shown(command)))?;
    interrupt::watch(child.id());
    let output = child.wait_with_output();
    let wall = start.elapsed();
    interrupt::watch(0);
    let output = output.with_context(|| format!("cannot read the output of `{}`", shown(command)))?;
    if interrupt::happened() {
        bail!("interrupted");
    }
    if !output.status.success() {
        bail!("`{}` failed ({})\n{}", shown(command), output.status, end_of(&output));
    }
    let cpu = cpu_before.zip(children_cpu()).map(|(before, after)| after.saturating_sub(before));
    Ok(Finished { taken: Taken { wall, cpu }, stdout: String::from_utf8_lossy(&output.stdout).into_owned() })
}

/// The command as a person would type it.
fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let quoted = |word: &OsStr| {
        let word = word.to_string_lossy().into_owned();
        if word.is_empty() || word.contains(|c: char| c.is_whitespace() || "\"'$[]*".contains(c)) {
            format!("'{word}'")
        } else {
            word
        }
    };
    words.map(quoted).collect::<Vec<_>>().join(" ")
}

fn end_of(output: &Output) -> String {
    let text = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_shows_command_status_and_output() {
        let mut command = command("sh", Path::new("/"));
        command.args(["-c", "echo out; echo err >&2; exit 3"]);
        let error = run(&mut command).unwrap_err().to_string();
        assert!(error.starts_with("`sh -c 'echo out; echo err >&2; exit 3'` failed (exit status: 3)\n"), "{error}");
        assert!(error.ends_with("out\nerr"), "{error}");
    }

    #[test]
    fn variables_of_cargo_run_go_and_the_registry_stays() {
        assert!(is_removed("CARGO_MANIFEST_DIR") && is_removed("CI_PUSH") && is_removed("RUSTFLAGS"));
        assert!(!is_removed("CARGO_HOME") && !is_removed("CARGO_REGISTRIES_X_INDEX") && !is_removed("PATH"));
    }
}
