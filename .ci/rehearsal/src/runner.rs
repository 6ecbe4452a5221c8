//! A machine that runs jobs, one after the other, each in a workspace of its own.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::actions::{Outputs, Storage};
use crate::event::{Event, Origin};
use crate::expression::{Contexts, fill, from_json, holds, look_up, lookups};
use crate::workflow::{Job, Step, Workflow};

/// What stands for the token that GitHub makes for each run: nothing may show it.
pub const TOKEN: &str = "ghs_RehearsalRehearsalRehearsal";
/// The registry that the workflows name; the rehearsal's takes its place.
const REGISTRY: &str = "ghcr.io";

/// The machine, with what outlives a job.
pub struct Runner<'a> {
    folder: TempDir,
    origin: &'a Origin,
    registry: String,
    repository: String,
    /// Caches and artifacts.
    pub storage: Storage,
}

/// What a run did.
#[derive(Debug, Default)]
pub struct Report {
    /// Jobs that ran, by id.
    pub jobs: BTreeMap<String, JobReport>,
    /// Jobs whose condition did not hold, or that needed such a job.
    pub skipped: BTreeSet<String>,
}

/// What a job did; of several runs of a matrix, all of them.
#[derive(Debug, Default)]
pub struct JobReport {
    /// Its outputs.
    pub outputs: Outputs,
    /// What its scripts printed.
    pub log: String,
    /// What it wrote to the run's summary.
    pub summary: String,
    /// Whether it looked up a secret.
    pub used_secrets: bool,
}

/// A job while it runs.
struct Running {
    contexts: Contexts,
    report: RefCell<JobReport>,
}

impl<'a> Runner<'a> {
    /// A machine for the repository `owner/name`, which pushes to `registry`.
    ///
    /// # Errors
    /// The disk fails.
    pub fn new(origin: &'a Origin, repository: &str, registry: &str) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("rehearsal-").tempdir()?;
        fs::create_dir_all(folder.path().join("temp"))?;
        let storage = Storage::new(folder.path().join("storage"));
        Ok(Runner { folder, origin, registry: registry.to_owned(), repository: repository.to_owned(), storage })
    }

    /// The workspace of the job that runs, or ran last.
    pub fn workspace(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    /// Runs those of a workflow's jobs whose conditions hold and that `chosen` names (all, when it is
    /// empty).
    ///
    /// # Errors
    /// A step fails; anything in the workflow is not understood.
    pub fn run(&mut self, workflow: &Workflow, event: &Event, chosen: &[&str]) -> Result<Report> {
        self.storage.begin_run()?;
        let mut report = Report::default();
        for (id, job) in workflow.jobs()? {
            if !chosen.is_empty() && !chosen.contains(&id.as_str()) {
                continue;
            }
            let contexts = self.contexts(event, &job, &report);
            let runs = match &job.needs {
                Some(needed) if report.skipped.contains(needed) => false,
                Some(needed) => {
                    ensure!(report.jobs.contains_key(needed), "`{id}` needs `{needed}`, which does not come before it");
                    true
                }
                None => true,
            };
            let condition = job.condition.as_deref();
            if !runs || !condition.map_or(Ok(true), |condition| holds(condition, &contexts))? {
                report.skipped.insert(id);
                continue;
            }
            let done = self.run_job(&job, event, contexts).with_context(|| format!("job `{id}` failed"))?;
            report.jobs.insert(id, done);
        }
        Ok(report)
    }

    fn contexts(&self, event: &Event, job: &Job, report: &Report) -> Contexts {
        let needs: Map<String, Value> = job
            .needs
            .iter()
            .filter_map(|id| Some((id.clone(), json!({"outputs": report.jobs.get(id)?.outputs}))))
            .collect();
        let contexts = json!({
            "github": event.github(&self.repository),
            "inputs": event.inputs,
            "needs": needs,
            "secrets": {"GITHUB_TOKEN": TOKEN},
        });
        contexts.as_object().cloned().unwrap_or_default()
    }

    fn run_job(&mut self, job: &Job, event: &Event, contexts: Contexts) -> Result<JobReport> {
        let matrix = match &job.strategy {
            Some(strategy) => {
                let text = look_up(from_json(&strategy.matrix)?, &contexts)?;
                let matrix: Value = serde_json::from_str(&text).context("the matrix is no JSON")?;
                let include = matrix["include"].as_array().context("the matrix has no `include`")?.clone();
                ensure!(!include.is_empty(), "the matrix is empty");
                include
            }
            None => vec![json!({})],
        };
        let mut report = JobReport::default();
        for entry in matrix {
            let mut contexts = contexts.clone();
            contexts.insert("matrix".into(), entry);
            contexts.insert("steps".into(), json!({}));
            let runner = fill(job.runs_on.as_deref().context("a job without a runner")?, &contexts)?;
            ensure!(runner.starts_with("ubuntu-"), "a runner called `{runner}`");
            let mut running = Running { contexts, report: RefCell::new(report) };
            self.fresh_workspace()?;
            for step in &job.steps {
                self.run_step(step, event, &mut running).with_context(|| format!("step `{}` failed", step.name))?;
            }
            let outputs = job.outputs.iter().map(|(name, text)| Ok((name.clone(), fill(text, &running.contexts)?)));
            let outputs = outputs.collect::<Result<Outputs>>()?;
            report = running.report.into_inner();
            report.outputs.extend(outputs);
        }
        Ok(report)
    }

    /// An empty workspace, at the same path each time. What the tool itself compiled to is kept, as if
    /// each job's cache had it: compiling it is not what is rehearsed.
    fn fresh_workspace(&self) -> Result<()> {
        let (workspace, kept) = (self.workspace(), self.folder.path().join("kept"));
        if workspace.join("target/debug").exists() {
            fs::rename(workspace.join("target/debug"), &kept)?;
        }
        if workspace.exists() {
            fs::remove_dir_all(&workspace)?;
        }
        fs::create_dir_all(workspace.join("target"))?;
        if kept.exists() {
            fs::rename(&kept, workspace.join("target/debug"))?;
        }
        Ok(())
    }

    fn run_step(&mut self, step: &Step, event: &Event, running: &mut Running) -> Result<()> {
        if let Some(condition) = &step.condition
            && !holds(condition, &running.contexts)?
        {
            return Ok(());
        }
        let outputs = match (&step.uses, &step.run) {
            (Some(action), None) => {
                ensure!(step.env.is_empty(), "an action with an environment");
                let name = action.split('@').next().unwrap_or_default();
                let inputs = step.with.keys().map(|key| {
                    let text = step.input(key).unwrap_or_default();
                    Ok((key.clone(), running.fill(&text)?))
                });
                let inputs = inputs.collect::<Result<_>>()?;
                let workspace = self.workspace();
                self.storage.run(name, inputs, &workspace, &self.origin.path, event)?
            }
            (None, Some(script)) => self.run_script(script, step, event, running)?,
            _ => bail!("a step is either an action or a script"),
        };
        if let Some(id) = &step.id {
            let steps = running.contexts.get_mut("steps").context("there are steps")?;
            steps[id] = json!({ "outputs": outputs });
        }
        Ok(())
    }

    fn run_script(&self, script: &str, step: &Step, event: &Event, running: &Running) -> Result<Outputs> {
        ensure!(lookups(script)?.is_empty(), "an expression within a script");
        let temp = self.folder.path().join("temp");
        fs::remove_dir_all(&temp)?;
        fs::create_dir_all(&temp)?;
        fs::write(temp.join("event.json"), event.payload.to_string())?;
        fs::write(temp.join("script.sh"), script)?;
        let mut command = Command::new("bash");
        command.args(["--noprofile", "--norc", "-eo", "pipefail"]).arg(temp.join("script.sh"));
        self.set_environment(&mut command, &temp, event)?;
        for (name, text) in &step.env {
            let value = running.fill(text)?;
            let value = if name == "CI_REGISTRY" {
                ensure!(value == REGISTRY, "`CI_REGISTRY` is `{value}`, not `{REGISTRY}`");
                self.registry.clone()
            } else {
                value
            };
            command.env(name, value);
        }
        let output = command.stdin(Stdio::null()).output().context("cannot run bash")?;
        let log = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        ensure!(!log.contains(TOKEN), "the log shows the token:\n{log}");
        ensure!(output.status.success(), "{script}\n{log}");
        let read = |name: &str| fs::read_to_string(temp.join(name)).with_context(|| format!("no `{name}`"));
        for unused in ["GITHUB_ENV", "GITHUB_PATH"] {
            ensure!(read(unused)?.is_empty(), "`{unused}` is not known here");
        }
        let mut report = running.report.borrow_mut();
        report.log.push_str(&log);
        report.summary.push_str(&read("GITHUB_STEP_SUMMARY")?);
        parse_outputs(&read("GITHUB_OUTPUT")?)
    }

    /// What a runner sets, and of this machine's environment what says where programs are.
    fn set_environment(&self, command: &mut Command, temp: &Path, event: &Event) -> Result<()> {
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            let kept = ["CARGO_HOME", "CARGO_HTTP_", "CARGO_NET_"].iter().any(|prefix| name.starts_with(prefix));
            let foreign = ["CI", "GITHUB_", "CARGO", "GIT_", "RUSTC", "RUSTFLAGS", "SERVICES", "LD_LIBRARY", "XDG_"];
            if !kept && foreign.iter().any(|prefix| name.starts_with(prefix)) {
                command.env_remove(name);
            }
        }
        command.current_dir(self.workspace());
        for (name, value) in event.github(&self.repository) {
            command.env(format!("GITHUB_{}", name.to_uppercase()), value);
        }
        for name in ["GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY", "GITHUB_ENV", "GITHUB_PATH"] {
            fs::write(temp.join(name), "")?;
            command.env(name, temp.join(name));
        }
        let owner = self.repository.split('/').next().unwrap_or_default();
        command
            .env("CI", "true")
            .env("GITHUB_ACTIONS", "true")
            .env("GITHUB_REPOSITORY_OWNER", owner)
            .env("GITHUB_EVENT_PATH", temp.join("event.json"))
            .env("GITHUB_WORKSPACE", self.workspace())
            .env("RUNNER_TEMP", temp)
            // Nobody has logged in on a new machine.
            .env("DOCKER_CONFIG", temp.join("docker"))
            .env("REGISTRY_AUTH_FILE", temp.join("docker/config.json"));
        Ok(())
    }
}

impl Running {
    fn fill(&self, text: &str) -> Result<String> {
        if lookups(text)?.iter().any(|path| path.starts_with("secrets.")) {
            self.report.borrow_mut().used_secrets = true;
        }
        fill(text, &self.contexts)
    }
}

/// Reads what a step wrote to `GITHUB_OUTPUT`: `NAME=VALUE`, or `NAME<<END`, lines, `END`.
fn parse_outputs(text: &str) -> Result<Outputs> {
    let mut outputs = Outputs::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some((name, value)) = line.split_once('=').filter(|(name, _)| !name.contains("<<")) {
            outputs.insert(name.to_owned(), value.to_owned());
        } else {
            let (name, end) = line.split_once("<<").with_context(|| format!("`{line}` in `GITHUB_OUTPUT`"))?;
            let value: Vec<&str> = lines.by_ref().take_while(|line| *line != end).collect();
            outputs.insert(name.to_owned(), value.join("\n"));
        }
    }
    Ok(outputs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_lines_or_blocks() {
        let outputs = parse_outputs("a=1=2\nb<<END\nx\ny=z\nEND\nc=\n").unwrap();
        assert_eq!(outputs["a"], "1=2");
        assert_eq!(outputs["b"], "x\ny=z");
        assert_eq!(outputs["c"], "");
        assert!(parse_outputs("nonsense\n").is_err());
    }
}
