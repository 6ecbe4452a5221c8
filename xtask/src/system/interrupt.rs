//! Ctrl-C and termination: children end first, unfinished files go, then we exit with 130.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static GROUPS: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());
static UNFINISHED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
static WHOLE: Mutex<()> = Mutex::new(());
static NOTES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// How long children may take to end after SIGTERM before SIGKILL.
const GRACE: Duration = Duration::from_secs(3);

/// Installs the handler for SIGINT, SIGTERM and SIGHUP.
pub(crate) fn install() -> Result<()> {
    ctrlc::set_handler(|| {
        if INTERRUPTED.swap(true, Ordering::SeqCst) {
            return;
        }
        end_children();
        let _whole = lock(&WHOLE);
        for path in lock(&UNFINISHED).iter() {
            // Nothing more can be done about a file that cannot be removed; the next run sweeps it.
            let _ = std::fs::remove_file(path);
            let _ = std::fs::remove_dir_all(path);
        }
        eprintln!("\ninterrupted; nothing unfinished was kept");
        for line in lock(&NOTES).iter() {
            eprintln!("{line}");
        }
        std::process::exit(130);
    })
    .context("cannot install the handler for Ctrl-C")
}

fn end_children() {
    let signal_all = |signal| {
        for group in lock(&GROUPS).iter() {
            // A group that ended by itself is just what we want.
            let _ = killpg(Pid::from_raw(*group), signal);
        }
    };
    signal_all(Signal::SIGTERM);
    let deadline = Instant::now() + GRACE;
    while Instant::now() < deadline && !lock(&GROUPS).is_empty() {
        std::thread::sleep(Duration::from_millis(20));
    }
    signal_all(Signal::SIGKILL);
}

/// A child's process group, ended with us while this value lives.
pub(crate) struct Guarded(i32);

impl Guarded {
    /// Takes charge of the group of child `pid`, which leads it.
    ///
    /// # Errors
    /// An interrupt has arrived meanwhile; the group is ended.
    pub(crate) fn new(pid: u32) -> Result<Self> {
        let group = i32::try_from(pid).context("a process id too large")?;
        lock(&GROUPS).insert(group);
        let guarded = Guarded(group);
        if INTERRUPTED.load(Ordering::SeqCst) {
            let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
            bail!("interrupted");
        }
        Ok(guarded)
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        lock(&GROUPS).remove(&self.0);
        leave_to_handler();
    }
}

/// Does not return after an interrupt: the handler's thread tidies up and exits, and what became of a
/// child that it ended is no result.
pub(crate) fn leave_to_handler() {
    while INTERRUPTED.load(Ordering::SeqCst) {
        std::thread::park();
    }
}

/// Runs `work`, which must be done wholly or not at all, without an interrupt in between. It must be short.
pub(crate) fn uninterrupted<T>(work: impl FnOnce() -> T) -> T {
    let result = {
        let _whole = lock(&WHOLE);
        work()
    };
    leave_to_handler();
    result
}

/// From now on an interrupt says this line, after those noted before: what was done beyond this machine stays.
pub(crate) fn note(line: String) {
    lock(&NOTES).push(line);
}

/// What was noted is not worth saying any more.
pub(crate) fn forget_notes() {
    lock(&NOTES).clear();
}

/// Remembers a file or folder that an interrupt must remove.
pub(crate) fn unfinished(path: &Path) {
    lock(&UNFINISHED).insert(path.to_owned());
}

/// Forgets it: it is finished, or gone.
pub(crate) fn finished(path: &Path) {
    lock(&UNFINISHED).remove(path);
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
