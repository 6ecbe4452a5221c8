//! Running tools: every child is in a process group of its own that ends with us, and a failed
//! child is reported with its command, its exit status and the end of its output.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use camino::Utf8Path;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use xshell::{Cmd, Shell};

use super::environment::{self, variable};
use super::interrupt::Guarded;

/// Lines of a failed child's output that its error shows.
const SHOWN_LINES: usize = 40;

/// Of what a child says, so many bytes are kept to be explained.
const KEPT_OUTPUT: usize = 256 * 1024;

static ON_ANOTHER_WORKSPACE: AtomicBool = AtomicBool::new(false);

/// From now on children choose their toolchain anew: the one that runs us was chosen for the
/// current folder, not for the workspace that `--manifest-path` names.
pub(crate) fn forget_own_toolchain() {
    ON_ANOTHER_WORKSPACE.store(true, Ordering::Relaxed);
}

/// The cargo to call: the very one that runs us, without the detour through rustup.
pub(crate) fn cargo() -> String {
    let own = variable("CARGO").filter(|_| !ON_ANOTHER_WORKSPACE.load(Ordering::Relaxed));
    own.unwrap_or_else(|| "cargo".into())
}

/// A shell whose commands run in `folder`.
pub(crate) fn shell_in(folder: &Utf8Path) -> Result<Shell> {
    let shell = Shell::new().context("cannot read the current folder")?;
    shell.change_dir(folder);
    Ok(shell)
}

/// Runs `cmd` and gives its standard output, without the final newline.
pub(crate) fn read(cmd: Cmd<'_>) -> Result<String> {
    let shown = cmd.to_string();
    let output = output(cmd)?;
    if !output.status.success() {
        return Err(failure(&shown, output.status, &output.stderr));
    }
    let mut text = String::from_utf8(output.stdout).with_context(|| format!("`{shown}` printed no UTF-8"))?;
    text.truncate(text.trim_end_matches(['\n', '\r']).len());
    Ok(text)
}

/// As [`read`], with the child ended when it has not ended by `deadline`.
///
/// # Errors
/// As [`read`]; it took too long.
pub(crate) fn read_until(cmd: Cmd<'_>, deadline: Instant) -> Result<String> {
    let shown = cmd.to_string();
    let Some(output) = output_until(cmd, None, deadline)? else { bail!("`{shown}` had not ended when time was up") };
    if !output.status.success() {
        return Err(failure(&shown, output.status, &output.stderr));
    }
    let mut text = String::from_utf8(output.stdout).with_context(|| format!("`{shown}` printed no UTF-8"))?;
    text.truncate(text.trim_end_matches(['\n', '\r']).len());
    Ok(text)
}

/// What a child left: its exit status and both outputs.
pub(crate) struct Output {
    pub(crate) status: ExitStatus,
    /// Standard output.
    pub(crate) stdout: Vec<u8>,
    /// Standard error, as text.
    pub(crate) stderr: String,
}

/// Runs `cmd` to its end, whatever its exit status.
pub(crate) fn output(cmd: Cmd<'_>) -> Result<Output> {
    let mut command = prepared(cmd);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let (child, _guard) = spawn(&mut command)?;
    let output = child.wait_with_output().context("cannot wait for a child process")?;
    Ok(Output {
        status: output.status,
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// What people see of a child's standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown<'a> {
    /// What comes, as it comes: cargo draws its progress there.
    All,
    /// Cargo's lines that say what it compiles, but for these packages.
    CompilingBut(&'a BTreeSet<&'a str>),
}

/// Runs `cmd`, hands each line of its standard output to `on_line`, and shows its standard error. `enter` runs in
/// the child before its program: system calls alone. Gives the exit status and the end of the standard error.
///
/// # Errors
/// The program cannot be started; `enter` failed.
pub(crate) fn stream(
    cmd: Cmd<'_>,
    enter: Option<impl Fn() -> std::io::Result<()> + Send + Sync + 'static>,
    shown: Shown<'_>,
    mut on_line: impl FnMut(&str),
) -> Result<(ExitStatus, String)> {
    let mut command = prepared(cmd);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    if let Some(enter) = enter {
        // SAFETY: between fork and exec only system calls run: that is what `enter` promises.
        #[allow(unsafe_code, reason = "the standard library has no other way to run something in the child")]
        unsafe {
            command.pre_exec(enter)
        };
    }
    adopt_orphans();
    let (mut child, _guard) = spawn(&mut command)?;
    let watch = Watch::over(&child);
    let stdout = child.stdout.take().context("a piped output is there")?;
    let stderr = child.stderr.take().context("a piped output is there")?;
    let own = [Some(child.id()), watch.0.as_ref().map(Child::id)];
    let said = std::thread::scope(|scope| {
        // What it left behind may hold its outputs open for ever, and change what it made.
        scope.spawn(move || end_orphans(own));
        let said = scope.spawn(move || pass_on(stderr, shown));
        for line in BufReader::new(stdout).lines() {
            on_line(&line.context("cannot read a child's output")?);
        }
        anyhow::Ok(said.join().unwrap_or_default())
    })?;
    let status = child.wait().context("cannot wait for a child process")?;
    drop(watch);
    Ok((status, said))
}

/// From now on, what outlives its parent below us is ours to end.
#[cfg(target_os = "linux")]
fn adopt_orphans() {
    // Where it cannot be had, groups alone are ended.
    let _ = nix::sys::prctl::set_child_subreaper(true);
}

/// Waits until the first of `own` has ended, and ends what else is below us by then.
#[cfg(target_os = "linux")]
fn end_orphans(own: [Option<u32>; 2]) {
    use nix::sys::wait::{Id, WaitPidFlag, waitid, waitpid};
    let pid = |id: u32| i32::try_from(id).map(Pid::from_raw).ok();
    let Some(first) = own[0].and_then(pid) else { return };
    // Its end is still there to be asked for afterwards.
    let _ = waitid(Id::Pid(first), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT);
    let us = std::process::id();
    let children = || -> Vec<Pid> {
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let is_ours =
            |id: &u32| parent_and_group(*id).is_some_and(|(parent, _)| parent == us) && !own.contains(&Some(*id));
        ids.filter(is_ours).filter_map(pid).collect()
    };
    // Each that ends may leave others.
    for _ in 0..100 {
        let left = children();
        if left.is_empty() {
            return;
        }
        for process in left {
            // One that is gone already is just what we want.
            let _ = nix::sys::signal::kill(process, Signal::SIGKILL);
            let _ = waitpid(process, None);
        }
    }
}

/// The parent of a process, and the leader of its group, by what Linux shows in `/proc` (proc(5)).
pub(super) fn parent_and_group(process: u32) -> Option<(u32, u32)> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name, in brackets, may hold anything; then come state, parent and group.
    let mut after = stat.rsplit(')').next()?.split_whitespace().skip(1);
    Some((after.next()?.parse().ok()?, after.next()?.parse().ok()?))
}

#[cfg(not(target_os = "linux"))]
fn adopt_orphans() {}

#[cfg(not(target_os = "linux"))]
fn end_orphans(_own: [Option<u32>; 2]) {}

/// Shows what comes, as it comes, and keeps its end.
fn pass_on(mut from: impl Read, shown: Shown<'_>) -> String {
    let mut kept: Vec<u8> = Vec::new();
    let mut line: Vec<u8> = Vec::new();
    let mut buffer = [0; 8 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let new = &buffer[..count];
        // A reader that went away is no reason to stop the child.
        if matches!(shown, Shown::All) {
            let _ = std::io::stderr().write_all(new);
        }
        if let Shown::CompilingBut(hidden) = shown {
            for part in new.split_inclusive(|byte| *byte == b'\n') {
                line.extend_from_slice(part);
                if line.ends_with(b"\n") && is_compiling(&line, hidden) {
                    let _ = std::io::stderr().write_all(&line);
                }
                if line.ends_with(b"\n") {
                    line.clear();
                }
            }
        }
        kept.extend_from_slice(new);
        if kept.len() > 2 * KEPT_OUTPUT {
            kept.drain(..kept.len() - KEPT_OUTPUT);
        }
    }
    String::from_utf8_lossy(&kept).into_owned()
}

/// Whether cargo says in this line that it compiles a package which is not `hidden`.
fn is_compiling(line: &[u8], hidden: &BTreeSet<&str>) -> bool {
    let line = String::from_utf8_lossy(line);
    let package = line.trim_start().strip_prefix("Compiling ").and_then(|rest| rest.split(' ').next());
    package.is_some_and(|package| !hidden.contains(package))
}

/// Runs `cmd` with both outputs going line by line to `log` and `on_line`.
///
/// # Errors
/// A failed child's error shows the end of its output and where all of it is.
pub(crate) fn run_logged(cmd: Cmd<'_>, log: &Utf8Path, mut on_line: impl FnMut(&str)) -> Result<()> {
    let shown = cmd.to_string();
    // One pipe for both outputs: two would lose their order, and the reason would not come last.
    let (reader, writer) = std::io::pipe().context("cannot make a pipe")?;
    let mut command = prepared(cmd);
    command.stdin(Stdio::null()).stdout(writer.try_clone().context("cannot make a pipe")?).stderr(writer);
    if let Some(folder) = log.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create `{folder}`"))?;
    }
    let mut file = std::fs::File::create(log).with_context(|| format!("cannot create `{log}`"))?;
    let (mut child, _guard) = spawn(&mut command)?;
    let _watch = Watch::over(&child);
    // It holds the pipe open for writing.
    drop(command);
    let mut tail = std::collections::VecDeque::new();
    for line in BufReader::new(reader).split(b'\n') {
        let line = line.context("cannot read a child's output")?;
        let line = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
        writeln!(file, "{line}").with_context(|| format!("cannot write `{log}`"))?;
        on_line(&line);
        if tail.len() == SHOWN_LINES {
            tail.pop_front();
        }
        tail.push_back(line);
    }
    let status = child.wait().context("cannot wait for a child process")?;
    if status.success() {
        return Ok(());
    }
    let tail = tail.into_iter().collect::<Vec<_>>().join("\n");
    Err(failure(&shown, status, &tail).context(format!("all its output is in `{log}`")))
}

/// Runs `cmd` with what `write` produces on its standard input.
pub(crate) fn run_with_input(cmd: Cmd<'_>, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<String> {
    let shown = cmd.to_string();
    let mut command = prepared(cmd);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let (mut child, _guard) = spawn(&mut command)?;
    let mut stdin = child.stdin.take().context("a piped input is there")?;
    let written = write(&mut stdin);
    drop(stdin);
    let output = child.wait_with_output().context("cannot wait for a child process")?;
    if !output.status.success() {
        // The child's own reason explains a broken pipe better than the pipe does.
        return Err(failure(&shown, output.status, &String::from_utf8_lossy(&output.stderr)));
    }
    written.with_context(|| format!("cannot feed `{shown}`"))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs `cmd` with `input` on its standard input, and ends it when it has not answered within
/// `limit`. Its standard error is thrown away.
///
/// # Errors
/// It cannot be run, or takes too long. No error shows what it printed.
pub(crate) fn answer_within(cmd: Cmd<'_>, input: &[u8], limit: Duration) -> Result<Output> {
    Ok(Output { stderr: String::new(), ..exchange(cmd, input, limit)? })
}

/// As [`answer_within`], with what it printed as errors.
///
/// # Errors
/// As [`answer_within`].
pub(crate) fn exchange(cmd: Cmd<'_>, input: &[u8], limit: Duration) -> Result<Output> {
    let output = output_until(cmd, Some(input), Instant::now() + limit)?;
    output.with_context(|| format!("no answer within {limit:.0?}"))
}

/// Runs `cmd` to its end, fed with `input`, or ends it with its group; then there is nothing.
fn output_until(cmd: Cmd<'_>, input: Option<&[u8]>, deadline: Instant) -> Result<Option<Output>> {
    let mut command = prepared(cmd);
    command.stdin(input.map_or_else(Stdio::null, |_| Stdio::piped())).stdout(Stdio::piped()).stderr(Stdio::piped());
    let (mut child, _guard) = spawn(&mut command)?;
    let group = Pid::from_raw(i32::try_from(child.id()).context("a process id too large")?);
    let (stdin, input) = (child.stdin.take(), input.map(<[u8]>::to_vec));
    let stdout = child.stdout.take().context("a piped output is there")?;
    let stderr = child.stderr.take().context("a piped output is there")?;
    let (sender, receiver) = std::sync::mpsc::channel();
    // Left alone when it takes too long: what the child started may hold the pipes for ever.
    let read = |number: usize, mut pipe: Box<dyn Read + Send>| {
        let sender = sender.clone();
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let read = pipe.read_to_end(&mut bytes);
            // Nobody waits any more once the child took too long.
            let _ = sender.send(read.map(|_| (number, bytes)));
        })
    };
    read(0, Box::new(stdout));
    read(1, Box::new(stderr));
    std::thread::spawn(move || {
        // A child that does not read fails by its answer.
        let _ = stdin.zip(input).map(|(mut stdin, input)| stdin.write_all(&input));
    });
    let mut outputs = [Vec::new(), Vec::new()];
    let mut is_late = false;
    for _ in 0..outputs.len() {
        match receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(read) => {
                let (number, bytes) = read.context("cannot read a child's output")?;
                outputs[number] = bytes;
            }
            Err(_) => is_late = true,
        }
    }
    // It may go on without its outputs.
    while !is_late && child.try_wait().context("cannot ask for a child process")?.is_none() {
        is_late = Instant::now() >= deadline;
        std::thread::sleep(Duration::from_millis(2));
    }
    if is_late {
        // A group that ended by itself is just what we want.
        let _ = killpg(group, Signal::SIGKILL);
    }
    let status = child.wait().context("cannot wait for a child process")?;
    let [stdout, stderr] = outputs;
    let stderr = String::from_utf8_lossy(&stderr).into_owned();
    Ok((!is_late).then_some(Output { status, stdout, stderr }))
}

/// `cmd` as a command without the variables that an outer `cargo run` sets for us: they would
/// tell an inner cargo about *our* package. Nor does any child need a registry's password: build
/// scripts, of all dependencies, run below us. Keys that sign are for the program that signs.
pub(super) fn prepared(cmd: Cmd<'_>) -> Command {
    let mut command = Command::from(cmd);
    let is_signing = command.get_program() == "cosign";
    for name in environment::names() {
        let ours = name.starts_with("CARGO_PKG_")
            || ["CARGO", "CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH", "CARGO_BIN_NAME", "CARGO_CRATE_NAME"]
                .contains(&name.as_str());
        let is_key = ["COSIGN_PASSWORD", "COSIGN_PRIVATE_KEY"].contains(&name.as_str()) && !is_signing;
        if ours || is_key || name.starts_with("CI_REGISTRY_PASSWORD") {
            command.env_remove(&name);
        }
    }
    if ON_ANOTHER_WORKSPACE.load(Ordering::Relaxed) {
        command.env_remove("RUSTUP_TOOLCHAIN");
    }
    command
}

pub(super) fn spawn(command: &mut Command) -> Result<(Child, Guarded)> {
    command.process_group(0);
    end_with_parent(command);
    let child = command.spawn().map_err(|error| {
        let program = command.get_program().to_string_lossy().into_owned();
        match error.kind() {
            std::io::ErrorKind::NotFound => anyhow!("`{program}` is not installed, or not on the PATH"),
            _ => anyhow!(error).context(format!("cannot run `{program}`")),
        }
    })?;
    let guard = Guarded::new(child.id())?;
    Ok((child, guard))
}

/// Ends what a child started, too, when we are killed: a shell that waits for our word and, when the
/// pipe breaks before that, ends the child's group.
pub(super) struct Watch(Option<Child>);

impl Watch {
    pub(super) fn over(child: &Child) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", "read -r _ && exit; kill -s TERM -- \"-$0\"", &child.id().to_string()]);
        shell.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // Without a shell there is only the signal of `end_with_parent`.
        Watch(shell.spawn().ok())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(mut shell) = self.0.take() {
            // A shell that is gone already needs no word.
            let _ = shell.stdin.take().map(|mut stdin| stdin.write_all(b"\n"));
            let _ = shell.wait();
        }
    }
}

/// Even when we are killed without a chance to clean up, the kernel ends the child.
#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "the standard library has no other way to run something in the child")]
fn end_with_parent(command: &mut Command) {
    let parent = nix::unistd::getpid();
    // SAFETY: between fork and exec only the async-signal-safe calls prctl and getppid run.
    unsafe {
        command.pre_exec(move || {
            nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGTERM)?;
            if nix::unistd::getppid() != parent {
                return Err(std::io::Error::other("the parent ended"));
            }
            Ok(())
        });
    }
}

#[cfg(not(target_os = "linux"))]
fn end_with_parent(_command: &mut Command) {}

/// The error of a failed child: command, exit status, end of its output.
pub(crate) fn failure(shown: &str, status: ExitStatus, output: &str) -> anyhow::Error {
    let lines: Vec<_> = output.lines().filter(|line| !line.trim().is_empty()).collect();
    let end = lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n");
    match end.is_empty() {
        true => anyhow!("`{shown}` failed ({status})"),
        false => anyhow!("{end}").context(format!("`{shown}` failed ({status})")),
    }
}

#[cfg(test)]
mod tests {
    use xshell::cmd;

    use super::*;

    #[test]
    fn a_child_that_does_not_answer_is_ended_with_its_own_children() {
        let shell = Shell::new().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let script = format!("sleep 600 & echo $! >{}; wait", file.display());
        let begin = Instant::now();
        let error =
            answer_within(cmd!(shell, "sh -c {script}"), b"question", Duration::from_millis(500)).err().unwrap();
        assert_eq!(error.to_string(), "no answer within 500ms");
        assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
        let pid = std::fs::read_to_string(file).unwrap();
        let is_alive =
            || std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).is_ok_and(|stat| !stat.contains(") Z "));
        while is_alive() {
            assert!(begin.elapsed() < Duration::from_secs(5), "`sleep` still runs");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn a_deadline_holds_whoever_keeps_the_outputs_open() {
        let shell = Shell::new().unwrap();
        let begin = Instant::now();
        let deadline = || Instant::now() + Duration::from_millis(300);
        // In a session of its own, where no signal to the group reaches it; and one that has closed its outputs.
        for script in ["setsid sleep 30 & sleep 30", "exec >&- 2>&-; sleep 30"] {
            let error = read_until(cmd!(shell, "sh -c {script}"), deadline()).unwrap_err();
            assert!(error.to_string().ends_with("had not ended when time was up"), "{error}");
        }
        assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
        assert_eq!(read_until(cmd!(shell, "echo yes"), Instant::now() + Duration::from_secs(20)).unwrap(), "yes");
        let error = read_until(cmd!(shell, "sh -c 'echo why >&2; exit 2'"), Instant::now() + Duration::from_secs(20));
        assert!(format!("{:#}", error.unwrap_err()).contains("why"));
    }

    #[test]
    fn a_child_is_fed_and_its_answer_read_whatever_its_status() {
        let shell = Shell::new().unwrap();
        let output = answer_within(cmd!(shell, "sh -c 'cat; exit 3'"), b"question", Duration::from_secs(20)).unwrap();
        assert_eq!((output.stdout.as_slice(), output.status.code()), (b"question".as_slice(), Some(3)));
    }
}
