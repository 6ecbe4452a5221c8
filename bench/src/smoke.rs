//! `smoke`: how soon the verdict comes, on a real cluster, beside kubectl.

use std::cell::Cell;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::Stdio;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;

use crate::bench::Bench;
use crate::child::{command, run as run_child};
use crate::cli::Group;
use crate::interrupt;
use crate::measure::{Side, measure, nothing};
use crate::native::OURS;
use crate::publish;
use crate::report::Report;
use crate::stage::Stage;
use crate::subject::Subject;
use crate::taken::Taken;

/// How long `kubectl rollout status` waits for the pull that fails.
const ROLLOUT_TIMEOUT: Duration = Duration::from_secs(30);
/// Between two looks for the kubelet's report.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Why this group cannot run, if so. It makes a namespace, so it wants to be told on which cluster.
pub(crate) fn availability(bench: &Bench) -> Result<(), String> {
    if std::env::var_os("KUBECONFIG").is_none_or(|value| value.is_empty()) {
        return Err("`KUBECONFIG` names no cluster to make a namespace on".to_owned());
    }
    let kubectl = |arguments: &[&str]| run_child(command("kubectl", &bench.source).args(arguments));
    kubectl(&["version", "--client"]).map_err(|_| "no `kubectl` on the PATH".to_owned())?;
    kubectl(&["get", "namespaces", "--output=name", "--request-timeout=10s"])
        .map_err(|error| format!("no cluster answers: {}", error.to_string().lines().last().unwrap_or_default()))?;
    publish::registry_answers()
}

/// Measures all scenarios.
pub(crate) fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let subject = bench.subject()?;
    bench.checkout.reset()?;
    let record = bench.work.join("smoke-digests.json");
    eprintln!("{}: building, publishing and pinning before measuring", Group::Smoke);
    let owner = format!("bench-{}-smoke", std::process::id());
    publish::publish(subject, &owner, &["--digests", &record.to_string_lossy()])?;
    let stage = Stage::new(subject, &record, format!("cargo-xtask-bench-{}", bench.stamp))?;
    let smoke = Smoke { bench, subject, record, stage };
    eprintln!("{}: deploying once, so that the node has the images", Group::Smoke);
    let result = smoke.stage.deploy().and_then(|()| smoke.all(report));
    // Also removes the namespace.
    drop(smoke);
    bench.checkout.reset()?;
    result
}

struct Smoke<'a> {
    bench: &'a Bench,
    subject: &'a Subject,
    record: PathBuf,
    stage: Stage<'a>,
}

/// When the steps of one `smoke --apply` happened.
struct Applied {
    /// kubectl had applied everything.
    applied: Instant,
    /// Smoke ended.
    ended: Instant,
    /// Whether it passed.
    passed: bool,
    /// What it printed.
    text: String,
}

impl Smoke<'_> {
    fn all(&self, report: &mut Report) -> Result<()> {
        self.what_runs(report)?;
        self.last_pod(report)?;
        self.failing_pull(report)
    }

    fn what_runs(&self, report: &mut Report) -> Result<()> {
        let name = "smoke of what runs";
        if !self.bench.cli.wants(name) {
            return Ok(());
        }
        // Long enough to be believed at once.
        thread::sleep(Duration::from_secs(15));
        let smoke = || Ok(run_child(&mut self.command(&[]))?.taken);
        let wait = || Ok(run_child(&mut self.stage.wait_command())?.taken);
        let peer = Side::new("kubectl wait", &wait);
        let runs = self.bench.cli.runs.max(5);
        let mut scenario = measure(Group::Smoke, name, runs, &nothing, Side::new(OURS, &smoke), &[peer])?;
        scenario.note = Some(
            "wall time of the command on ready pods, cargo starting it included; kubectl only looks at the \
             Deployments' condition, smoke also compares digests and asks registry, pods and services"
                .into(),
        );
        report.add(scenario);
        Ok(())
    }

    fn last_pod(&self, report: &mut Report) -> Result<()> {
        let name = "verdict after the last pod is ready";
        if !self.bench.cli.wants(name) {
            return Ok(());
        }
        let until_available = Cell::new(Duration::ZERO);
        let ours = || {
            let (smoke, wait) = self.apply(|| ended(self.stage.wait_command()))?;
            let (waited, available) = joined(wait)?;
            if !smoke.passed || !waited {
                bail!("smoke or `kubectl wait` did not pass\n{}", smoke.text);
            }
            until_available.set(available - smoke.applied);
            Ok(taken(smoke.ended.saturating_duration_since(available)))
        };
        let theirs = || Ok(taken(until_available.get()));
        let prepare = |_| self.stage.clear();
        let peer = Side::new("the wait itself, from apply on (kubectl wait)", &theirs);
        let runs = self.bench.cli.runs;
        let mut scenario = measure(Group::Smoke, name, runs, &prepare, Side::new(OURS, &ours), &[peer])?;
        scenario.at_most = Some(1.0);
        scenario.note = Some(
            "end of `smoke --apply` less the end of `kubectl wait` for all Deployments of the same apply, which comes \
             after the last pod's readiness by what the Deployment controller and kubectl need; the images were on \
             the node. The ratio is what the verdict adds to the wait"
                .into(),
        );
        report.add(scenario);
        Ok(())
    }

    fn failing_pull(&self, report: &mut Report) -> Result<()> {
        let name = "a pull that fails";
        if !self.bench.cli.wants(name) {
            return Ok(());
        }
        let component = &self.subject.first()?.name;
        let theirs = Cell::new(Duration::ZERO);
        let ours = || {
            self.stage.break_image(component)?;
            let (smoke, (status, first)) = self.apply(|| {
                let timeout = format!("--timeout={}s", ROLLOUT_TIMEOUT.as_secs());
                let deployment = format!("deployment/{component}");
                let status = ended(self.stage.kubectl(&["rollout", "status", &deployment, &timeout]));
                (status, first_report(&self.stage))
            })?;
            let first = first.join().map_err(|_| anyhow!("looking for the kubelet's report failed"))??;
            let (succeeded, status) = joined(status)?;
            if smoke.passed || succeeded || !smoke.text.contains("image-not-found") {
                bail!("smoke does not say `image-not-found`, or `kubectl rollout status` passed\n{}", smoke.text);
            }
            theirs.set(status.saturating_duration_since(first));
            Ok(taken(smoke.ended.saturating_duration_since(first)))
        };
        let status = || Ok(taken(theirs.get()));
        let prepare = |_| self.stage.clear().and_then(|()| self.stage.deploy());
        let label = format!("kubectl rollout status --timeout={}s", ROLLOUT_TIMEOUT.as_secs());
        let peer = Side::new(&label, &status);
        let runs = self.bench.cli.runs;
        let mut scenario = measure(Group::Smoke, name, runs, &prepare, Side::new(OURS, &ours), &[peer])?;
        scenario.at_most = Some(2.0);
        scenario.note = Some(format!(
            "`smoke --apply` with a tag of {component} that the registry does not have, the others ready; from the \
             kubelet's first report (status or event) to the end of the command. The report is dated to the last \
             look without it, so both times are at most one look (0.1 s and one `kubectl get`) too long; kubectl \
             runs into its timeout and names no cause"
        ));
        report.add(scenario);
        Ok(())
    }

    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut cargo = command("cargo", &self.subject.root);
        cargo.args(["xtask", "smoke", "--digests"]).arg(&self.record).args(arguments);
        cargo
    }

    /// Runs `smoke --apply`, and calls `beside` as soon as everything is applied.
    fn apply<T>(&self, beside: impl FnOnce() -> T) -> Result<(Applied, T)> {
        let context = run_child(command("kubectl", &self.bench.source).args(["config", "current-context"]))?;
        // Pods are believed as soon as they are ready, as `kubectl wait` believes them.
        let mut smoke = self.command(&["--apply", "--context", context.stdout.trim(), "--settle", "0s"]);
        let mut child =
            smoke.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context("cannot run `cargo xtask smoke`")?;
        interrupt::watch(child.id());
        let progress = child.stderr.take().context("no standard error")?;
        let mut table = child.stdout.take().context("no standard output")?;
        let (mut text, mut applied, mut beside) = (String::new(), None, Some(beside));
        for line in BufReader::new(progress).lines().map_while(Result::ok) {
            // Smoke shows kubectl's lines when kubectl is done.
            if line.starts_with("apply: ")
                && let Some(beside) = beside.take()
            {
                applied = Some((Instant::now(), beside()));
            }
            text.push_str(&line);
            text.push('\n');
        }
        let status = child.wait();
        let ended = Instant::now();
        interrupt::watch(0);
        let passed = status.context("cannot wait for `cargo xtask smoke`")?.success();
        // Small enough to wait in the pipe.
        table.read_to_string(&mut text).context("cannot read what smoke printed")?;
        if interrupt::happened() {
            bail!("interrupted");
        }
        let (applied, beside) = applied.with_context(|| format!("smoke applied nothing\n{text}"))?;
        Ok((Applied { applied, ended, passed, text }, beside))
    }
}

fn taken(wall: Duration) -> Taken {
    Taken { wall, cpu: None }
}

/// Whether a command succeeds, and when it ended; it ends by a timeout of its own.
fn ended(mut command: std::process::Command) -> JoinHandle<std::io::Result<(bool, Instant)>> {
    command.stdout(Stdio::null()).stderr(Stdio::null());
    thread::spawn(move || command.status().map(|status| (status.success(), Instant::now())))
}

fn joined(running: JoinHandle<std::io::Result<(bool, Instant)>>) -> Result<(bool, Instant)> {
    running.join().map_err(|_| anyhow!("waiting for `kubectl` failed"))?.context("cannot run `kubectl`")
}

/// Looks until the kubelet says that it cannot pull; gives the start of the last look that did not
/// show it.
fn first_report(stage: &Stage<'_>) -> JoinHandle<Result<Instant>> {
    let mut get = stage.kubectl(&["get", "pods,events", "--output=json"]);
    thread::spawn(move || {
        let mut last = Instant::now();
        let deadline = last + ROLLOUT_TIMEOUT;
        while Instant::now() < deadline {
            let look = Instant::now();
            let output = get.stderr(Stdio::null()).output().context("cannot run `kubectl`")?;
            // An answer that never came says nothing.
            if let Ok(list) = serde_json::from_slice(&output.stdout) {
                if reports_failed_pull(&list) {
                    return Ok(last);
                }
                last = look;
            }
            thread::sleep(LOOK_EVERY);
        }
        bail!("the kubelet reported no failed pull within {} s", ROLLOUT_TIMEOUT.as_secs())
    })
}

/// Whether a list of pods and events has a pull that failed.
fn reports_failed_pull(list: &Value) -> bool {
    let items = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let waits = |status: &Value| {
        matches!(status["state"]["waiting"]["reason"].as_str(), Some("ErrImagePull" | "ImagePullBackOff"))
    };
    items(&list["items"]).iter().any(|item| match item["kind"].as_str() {
        Some("Event") => item["reason"] == "Failed",
        _ => items(&item["status"]["containerStatuses"]).iter().any(waits),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_failed_pull_is_told_by_status_or_event() {
        let pod = |reason: &str| {
            let status = json!({"containerStatuses": [{"state": {"waiting": {"reason": reason}}}]});
            json!({"items": [{"kind": "Pod", "status": status}]})
        };
        assert!(reports_failed_pull(&pod("ErrImagePull")) && reports_failed_pull(&pod("ImagePullBackOff")));
        assert!(!reports_failed_pull(&pod("ContainerCreating")));
        let event = |reason: &str| json!({"items": [{"kind": "Event", "reason": reason}]});
        assert!(reports_failed_pull(&event("Failed")) && !reports_failed_pull(&event("Pulling")));
        assert!(!reports_failed_pull(&json!({"items": [{"kind": "Pod", "status": {}}]})));
    }
}
