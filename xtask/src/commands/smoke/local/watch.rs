//! Programs started, asked, and stopped.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use camino::{Utf8Path, Utf8PathBuf};

use super::ask::ask;
use crate::kubernetes::local::plan::{LocalPod, Program};
use crate::kubernetes::local::probe::LocalProbe;
use crate::kubernetes::local::verdict::{LocalVerdict, State};
use crate::system::parallel;
use crate::system::program::Started;
use crate::system::progress::{Progress, Task};

/// Between two probes.
const PAUSE: Duration = Duration::from_millis(50);
/// What nobody can ask counts as ready when it has run for so long.
const ALIVE: Duration = Duration::from_secs(1);
/// All programs run on for so long after the last one got ready.
const SETTLE: Duration = Duration::from_secs(1);
/// Lines of a failed program's log that are shown.
const LOG_LINES: usize = 20;

/// Gets the verdicts.
pub(super) type OnReady<'a> = dyn Fn(&[LocalVerdict]) -> Result<()> + Sync + 'a;

/// All pods of a run.
pub(super) struct Run<'a> {
    pub(super) deadline: Instant,
    /// How long a program may take to get ready.
    pub(super) ready_within: Option<Duration>,
    pub(super) logs: Utf8PathBuf,
    pub(super) progress: &'a Progress,
    /// Gets the verdicts when all programs are ready, and then run on.
    pub(super) keep_running: Option<&'a OnReady<'a>>,
}

/// How far all programs are together.
struct RunState {
    /// Those without a verdict, and who else wants them to run.
    open: AtomicUsize,
    is_bad: AtomicBool,
    verdicts: Mutex<Vec<LocalVerdict>>,
}

/// What is asked of a program, and how far it is.
#[derive(Default)]
struct ProbeProgress {
    health: Option<Duration>,
    ready: Option<Duration>,
    /// What the last probe found wrong.
    answer: String,
}

impl Run<'_> {
    /// Runs all pods until each program's verdict is there; then all are stopped.
    ///
    /// # Errors
    /// The system fails us; not what is wrong with a program.
    pub(super) fn pods(&self, pods: &[LocalPod]) -> Result<Vec<LocalVerdict>> {
        // Programs that need each other run until the last one has its verdict.
        let programs = pods.iter().map(|pod| pod.programs.len()).sum();
        let run_state =
            RunState { open: AtomicUsize::new(programs), is_bad: AtomicBool::new(false), verdicts: Mutex::default() };
        // It holds the others until it has looked whether they stay.
        let own = run_state.one_more();
        let run_all = || parallel::map(pods.iter().collect(), pods.len(), |pod| self.pod(pod, &run_state));
        let (settled, verdicts) = parallel::both(|| self.settle(&run_state, own), run_all);
        settled?;
        Ok(verdicts.into_iter().collect::<Result<Vec<_>>>()?.concat())
    }

    /// Waits until all have their verdicts, and then whether they stay; for ever, when they are to run on.
    fn settle(&self, run_state: &RunState, _own: Pending<'_>) -> Result<()> {
        let is_bad = || run_state.is_bad.load(Ordering::SeqCst);
        while run_state.open.load(Ordering::SeqCst) > 1 {
            std::thread::sleep(PAUSE);
        }
        let end = Instant::now() + SETTLE;
        while Instant::now() < end && !is_bad() {
            std::thread::sleep(PAUSE);
        }
        if let Some(on_ready) = self.keep_running.filter(|_| !is_bad()) {
            let verdicts = run_state.verdicts.lock().unwrap_or_else(PoisonError::into_inner).clone();
            on_ready(&verdicts)?;
            while !is_bad() {
                std::thread::sleep(PAUSE);
            }
        }
        Ok(())
    }

    fn pod(&self, pod: &LocalPod, run_state: &RunState) -> Result<Vec<LocalVerdict>> {
        let mut verdicts = pod.not_run.clone();
        verdicts.iter().for_each(|verdict| run_state.record(verdict));
        let pending: Vec<Pending<'_>> = pod.programs.iter().map(|_| Pending(&run_state.open)).collect();
        let mut failed: Option<String> = pod.blocked.clone();
        for program in &pod.first {
            let verdict = match &failed {
                None => self.run_to_completion(program)?,
                Some(name) => not_started(program, name),
            };
            if verdict.state != State::Completed && failed.is_none() {
                failed = Some(program.name.clone());
            }
            run_state.record(&verdict);
            verdicts.push(verdict);
        }
        if let Some(name) = failed {
            verdicts.extend(pod.programs.iter().map(|program| not_started(program, &name)));
            return Ok(verdicts);
        }
        let started = pod.programs.iter().zip(pending).collect();
        let watched =
            parallel::map(started, pod.programs.len(), |(program, pending)| self.watch(program, pending, run_state));
        verdicts.extend(watched.into_iter().collect::<Result<Vec<_>>>()?);
        Ok(verdicts)
    }

    fn run_to_completion(&self, program: &Program) -> Result<LocalVerdict> {
        let task = self.progress.task(&program.name, "running");
        let began = Instant::now();
        let mut started = match self.start(program) {
            Ok(started) => started,
            Err(error) => return Ok(done(task, cannot_start(program, &error))),
        };
        loop {
            if let Some(status) = started.ended()? {
                let mut verdict = verdict(program, State::Completed, &ProbeProgress::default());
                if status.success() {
                    verdict.ready_seconds = Some(began.elapsed().as_secs_f64());
                } else {
                    (verdict.state, verdict.message) = (State::Exited, status.to_string());
                    verdict.log = started.log_end(LOG_LINES);
                }
                return Ok(done(task, verdict));
            }
            if Instant::now() >= self.deadline {
                let mut verdict = verdict(program, State::NotReady, &ProbeProgress::default());
                verdict.message = "it runs before the others and does not end".to_owned();
                verdict.log = started.log_end(LOG_LINES);
                started.stop(program.grace);
                return Ok(done(task, verdict));
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Runs a program until all programs have their verdicts.
    fn watch(&self, program: &Program, pending: Pending<'_>, run_state: &RunState) -> Result<LocalVerdict> {
        let task = self.progress.task(&program.name, "starting");
        let mut started = match self.start(program) {
            Ok(started) => started,
            Err(error) => {
                let verdict = done(task, cannot_start(program, &error));
                run_state.record(&verdict);
                return Ok(verdict);
            }
        };
        let mut found = self.until_ready(program, &mut started, task)?;
        run_state.record(&found);
        drop(pending);
        while run_state.open.load(Ordering::SeqCst) > 0 && found.state.passes() {
            exited(&mut started, &mut found)?;
            std::thread::sleep(PAUSE);
        }
        if !found.state.passes() {
            run_state.is_bad.store(true, Ordering::SeqCst);
            if found.log.is_empty() {
                found.log = started.log_end(LOG_LINES);
            }
        }
        started.stop(program.grace);
        Ok(found)
    }

    fn until_ready(&self, program: &Program, started: &mut Started, task: Task) -> Result<LocalVerdict> {
        let began = Instant::now();
        let mut so_far = ProbeProgress::default();
        loop {
            let mut found = verdict(program, State::Ready, &so_far);
            if exited(started, &mut found)? {
                return Ok(done(task, found));
            }
            so_far.asked(program, started, &self.log(program, ".probe"), began);
            if so_far.ready.is_some() {
                let mut found = verdict(program, State::Ready, &so_far);
                let limit = self.ready_within.filter(|limit| so_far.ready.is_some_and(|ready| ready > *limit));
                if let Some(limit) = limit {
                    found.state = State::Slow;
                    found.message = format!("it should be ready within {:.1} s", limit.as_secs_f64());
                } else {
                    found.message = program.notes.join("; ");
                }
                return Ok(done(task, found));
            }
            if Instant::now() >= self.deadline {
                let state = if so_far.health.is_some() { State::NotReady } else { State::Unhealthy };
                let mut found = verdict(program, state, &so_far);
                found.message = std::mem::take(&mut so_far.answer);
                return Ok(done(task, found));
            }
            task.update(&so_far.answer);
            std::thread::sleep(PAUSE);
        }
    }

    fn start(&self, program: &Program) -> Result<Started> {
        for port in &program.fixed_ports {
            // One after the other: each keeps the other from its port.
            let free = [Ipv4Addr::LOCALHOST, Ipv4Addr::UNSPECIFIED]
                .into_iter()
                .try_for_each(|address| TcpListener::bind((address, *port)).map(drop));
            free.with_context(|| {
                format!(
                    "port {port} is taken, and nothing tells `{}` to listen elsewhere; give it the port in a variable or \
                     an argument, for example `LISTEN=0.0.0.0:{port}`",
                    program.name
                )
            })?;
        }
        let log = self.log(program, "");
        Started::start(&program.executable, &program.arguments, &program.variables, &program.folder, &log)
    }

    fn log(&self, program: &Program, more: &str) -> Utf8PathBuf {
        self.logs.join(format!("{}{more}.log", program.name.replace('/', ".")))
    }
}

impl ProbeProgress {
    /// Asks what is still open.
    fn asked(&mut self, program: &Program, started: &Started, log: &Utf8Path, began: Instant) {
        let mut good = |probe: &LocalProbe| match ask(probe, program, started, log) {
            Ok(()) => true,
            Err(answer) => {
                self.answer = format!("{}: {answer}", probe.shown());
                false
            }
        };
        if self.health.is_none() && program.health.iter().all(&mut good) {
            self.health = Some(began.elapsed());
        }
        if self.health.is_none() {
            return;
        }
        let ready = match &program.ready {
            Some(probe) => good(probe),
            None => !program.health.is_empty() || began.elapsed() >= ALIVE,
        };
        self.ready = ready.then(|| began.elapsed());
    }
}

impl RunState {
    /// One more that wants all to run on.
    fn one_more(&self) -> Pending<'_> {
        self.open.fetch_add(1, Ordering::SeqCst);
        Pending(&self.open)
    }

    fn record(&self, verdict: &LocalVerdict) {
        if !verdict.state.passes() {
            self.is_bad.store(true, Ordering::SeqCst);
        }
        self.verdicts.lock().unwrap_or_else(PoisonError::into_inner).push(verdict.clone());
    }
}

/// Takes one off the number of programs without a verdict, whatever happens.
struct Pending<'a>(&'a AtomicUsize);

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Whether the program has ended; `found` says so then.
fn exited(started: &mut Started, found: &mut LocalVerdict) -> Result<bool> {
    let Some(status) = started.ended()? else { return Ok(false) };
    (found.state, found.message) = (State::Exited, status.to_string());
    found.log = started.log_end(LOG_LINES);
    Ok(true)
}

fn verdict(program: &Program, state: State, so_far: &ProbeProgress) -> LocalVerdict {
    LocalVerdict {
        digest: Some(program.digest.clone()),
        address: program.port.map(|port| format!("127.0.0.1:{port}")),
        health_seconds: so_far.health.filter(|_| !program.health.is_empty()).map(|time| time.as_secs_f64()),
        ready_seconds: so_far.ready.map(|time| time.as_secs_f64()),
        ..LocalVerdict::not_run(program.name.clone(), Some(program.component.clone()), state, "")
    }
}

fn cannot_start(program: &Program, error: &anyhow::Error) -> LocalVerdict {
    let mut verdict = verdict(program, State::CannotStart, &ProbeProgress::default());
    verdict.message = error.to_string();
    verdict
}

fn not_started(program: &Program, first: &str) -> LocalVerdict {
    let mut verdict = verdict(program, State::NotStarted, &ProbeProgress::default());
    verdict.message = format!("it comes after `{first}`, which failed");
    verdict
}

/// Ends the task's line with the verdict.
fn done(task: Task, verdict: LocalVerdict) -> LocalVerdict {
    let colon = if verdict.message.is_empty() { "" } else { ": " };
    task.done(&format!("{}{colon}{}", verdict.state.name(), verdict.message));
    verdict
}
