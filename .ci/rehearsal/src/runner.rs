//! Jobs, one after the other, and their steps.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};

use crate::expression::{fill, holds};
use crate::machine::{Machine, Values};
use crate::workflow::{Job, Step, Workflow};

/// What stands for the token that GitHub makes for each run: nothing may show it.
const TOKEN: &str = "ghs_RehearsalRehearsalRehearsal";
/// The registry that the workflows name; the rehearsal's takes its place.
const REGISTRY: &str = "ghcr.io";
/// How the variables start that say where programs and registries of packages are.
const KEPT: [&str; 10] =
    ["PATH", "HOME", "CARGO_HOME", "CARGO_HTTP_", "CARGO_NET_", "RUSTUP_", "SSL_", "http", "HTTP", "NO_PROXY"];

impl Machine {
    /// Runs those of a workflow's jobs whose conditions hold, each after the one that it needs. Gives what
    /// can be looked up in the end, `needs.JOB.outputs.NAME` of the jobs that ran included, and what their
    /// scripts printed, as `logs.JOB`. The run's summary is the file `summary`.
    pub fn run(&self, workflow: &Workflow, event: &Values) -> Values {
        self.shell(".", "rm -rf artifacts/*; echo >summary");
        let mut values = event.clone();
        if event["github.event_name"] != "pull_request" {
            values.insert("secrets.GITHUB_TOKEN".into(), TOKEN.into());
        }
        let has_run = |values: &Values, id: &String| values.contains_key(&format!("logs.{id}"));
        while let Some((id, job)) = workflow.jobs.iter().find(|(id, job)| {
            let is_ready = !has_run(&values, id) && job.needs.iter().all(|needed| has_run(&values, needed));
            is_ready && holds(&job.r#if, &values).unwrap()
        }) {
            self.run_job(id, job, &mut values);
        }
        values
    }

    fn run_job(&self, id: &str, job: &Job, run: &mut Values) {
        let mut log = String::new();
        for entry in entries(job, run) {
            let mut values = run.clone();
            values.extend(entry.into_iter().map(|(name, value)| (format!("matrix.{name}"), value)));
            assert!(fill(&job.runs_on, &values).unwrap().starts_with("ubuntu-"));
            for step in &job.steps {
                if holds(&step.r#if, &values).unwrap() {
                    let outputs = self.run_step(step, &values, &mut log).into_iter();
                    values.extend(outputs.map(|(name, value)| (format!("steps.{}.outputs.{name}", step.id), value)));
                }
            }
            for (name, text) in &job.outputs {
                run.insert(format!("needs.{id}.outputs.{name}"), fill(text, &values).unwrap());
            }
        }
        run.insert(format!("logs.{id}"), log);
    }

    /// Gives the step's outputs.
    fn run_step(&self, step: &Step, values: &Values, log: &mut String) -> Values {
        let fill = |text: &str| fill(text, values).unwrap_or_else(|error| panic!("`{}`: {error}", step.name));
        let filled = |texts: &Values| texts.iter().map(|(name, text)| (name.clone(), fill(text))).collect();
        assert!(step.uses.is_empty() != step.run.is_empty(), "`{}` is either an action or a script", step.name);
        if let Some((action, _)) = step.uses.split_once('@') {
            assert!(step.env.is_empty(), "`{}`: an action with an environment", step.name);
            return self.act(action, &filled(&step.inputs()), values);
        }
        *log += &self.run_script(&step.run, filled(&step.env), values);
        let outputs = fs::read_to_string(self.path("temp/outputs")).unwrap();
        let outputs = outputs.lines().map(|line| line.split_once('=').expect("NAME=VALUE"));
        outputs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// Runs a script as a runner calls it; gives what it printed.
    fn run_script(&self, script: &str, mut variables: Values, values: &Values) -> String {
        if let Some(registry) = variables.get_mut("CI_REGISTRY") {
            assert_eq!(registry, REGISTRY);
            registry.clone_from(&self.registry);
        }
        let mut bash = Command::new("bash");
        bash.args(["--noprofile", "--norc", "-eo", "pipefail", "-c", script]).current_dir(self.path("work"));
        self.set_environment(&mut bash, values);
        let output = bash.envs(variables).stdin(Stdio::null()).output().unwrap();
        let log = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(!log.contains(TOKEN), "the log shows the token:\n{log}");
        assert!(output.status.success(), "{script}\n{log}");
        log
    }

    /// What a runner sets (docs.github.com, "Variables reference"). Nobody has logged in on a new machine.
    fn set_environment(&self, command: &mut Command, values: &Values) {
        self.shell(".", "rm -rf temp; mkdir temp; touch temp/outputs");
        fs::write(self.path("temp/event"), r#"{"repository": {"default_branch": "main"}}"#).unwrap();
        let is_kept = |(name, _): &(String, String)| KEPT.iter().any(|prefix| name.starts_with(prefix));
        command.env_clear().envs(std::env::vars().filter(is_kept)).env("CI", "true").env("GITHUB_ACTIONS", "true");
        for (name, value) in values.iter().filter_map(|(name, value)| Some((name.strip_prefix("github.")?, value))) {
            command.env(format!("GITHUB_{}", name.to_uppercase()), value);
        }
        for (name, file) in [
            ("DOCKER_CONFIG", "temp/docker"),
            ("GITHUB_EVENT_PATH", "temp/event"),
            ("GITHUB_OUTPUT", "temp/outputs"),
            ("GITHUB_STEP_SUMMARY", "summary"),
            ("REGISTRY_AUTH_FILE", "temp/docker/config.json"),
        ] {
            command.env(name, self.path(file));
        }
    }
}

/// The entries of a job's matrix; a single empty one without.
fn entries(job: &Job, values: &Values) -> Vec<Values> {
    let Some(text) = job.strategy.get("matrix") else { return vec![Values::new()] };
    let text = fill(text.as_str().unwrap(), values).unwrap();
    let mut matrix: BTreeMap<String, Vec<Values>> = serde_json::from_str(&text).unwrap();
    matrix.remove("include").filter(|entries| !entries.is_empty()).expect("a matrix that is not empty")
}
