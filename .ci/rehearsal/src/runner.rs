//! Jobs, one after the other, and their steps.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};

use crate::expression::{fill, holds};
use crate::machine::{Machine, Values};
use crate::workflow::{Job, Step, Workflow, called};

/// What stands for the token that GitHub makes for each run: nothing may show it.
const TOKEN: &str = "ghs_RehearsalRehearsalRehearsal";
/// The registry that the workflows name; the rehearsal's takes its place.
pub(crate) const REGISTRY: &str = "ghcr.io";
/// The platforms that they name; of others than this machine's there is no Rust here.
const PLATFORMS: &str = "linux/amd64,linux/arm64";
/// How the variables start that say where programs and registries of packages are.
const KEPT: [&str; 10] =
    ["PATH", "HOME", "CARGO_HOME", "CARGO_HTTP_", "CARGO_NET_", "RUSTUP_", "SSL_", "http", "HTTP", "NO_PROXY"];

/// What caches are called after, and what says whether there is a file; each hashes what is there of its files.
const HASH_FILES: [(&str, &str); 2] = [
    ("hashFiles('Cargo.lock', 'rust-toolchain.toml')", "sha256sum <Cargo.lock | cut -d ' ' -f 1"),
    ("hashFiles('images.lock')", "if [[ -e images.lock ]]; then sha256sum <images.lock; fi"),
];

impl Machine {
    /// Runs those of a workflow's jobs whose conditions hold, each after the one that it needs; `assumed` ones count as
    /// done, and of `failing` ones a step must fail. Gives what can be looked up in the end, `needs.JOB.outputs.NAME` and
    /// `needs.JOB.result` included, and what scripts printed, as `logs.JOB`, `logs.JOB/CALLED`. The run's summary is the
    /// file `summary`.
    pub fn run(&self, workflow: &Workflow, event: &Values, assumed: &[&str], failing: &[&str]) -> Values {
        self.shell(".", "rm -rf artifacts/*; echo >summary");
        let mut values = event.clone();
        if event["github.event_name"] != "pull_request" {
            values.insert("secrets.GITHUB_TOKEN".into(), TOKEN.into());
        }
        values.extend(assumed.iter().map(|job| (result_of(job), "success".into())));
        self.run_jobs(workflow, &mut values, failing);
        values
    }

    fn run_jobs(&self, workflow: &Workflow, values: &mut Values, failing: &[&str]) {
        while let Some((id, job)) = workflow.jobs.iter().find(|(id, job)| {
            let is_done = |id: &String| values.contains_key(&result_of(id));
            !is_done(id) && job.needs.iter().all(is_done)
        }) {
            let needs_succeeded = job.needs.iter().all(|needed| values[&result_of(needed)] == "success");
            let is_due = job.r#if == "always()" || needs_succeeded && holds(&job.r#if, values).unwrap();
            let result = match &job.uses {
                _ if !is_due => "skipped",
                Some(uses) => self.call(id, job, &called(uses), values),
                None => {
                    let is_well = self.run_job(id, job, values);
                    assert_eq!(!is_well, failing.contains(&id.as_str()), "{id}:\n{}", values[&format!("logs.{id}")]);
                    if is_well { "success" } else { "failure" }
                }
            };
            values.insert(result_of(id), result.to_owned());
        }
    }

    /// Runs a called workflow's jobs: they know the event and the inputs that its caller gives, here none.
    fn call(&self, id: &str, job: &Job, workflow: &Workflow, run: &mut Values) -> &'static str {
        for inner in workflow.jobs.values() {
            // GitHub refuses such a file.
            let is_granted = |(name, level): (&String, &String)| job.permissions.get(name).is_some_and(|l| l >= level);
            assert!(inner.permissions.iter().all(is_granted), "`{id}` grants less than `{}` names", inner.name);
        }
        let is_known = |name: &String| ["github.", "runner.", "secrets."].iter().any(|start| name.starts_with(start));
        let mut values: Values = run.clone().into_iter().filter(|(name, _)| is_known(name)).collect();
        let inputs = workflow.on["workflow_call"]["inputs"].as_object().unwrap();
        values.extend(inputs.keys().map(|name| (format!("inputs.{name}"), String::new())));
        self.run_jobs(workflow, &mut values, &[]);
        let outputs = values.iter().filter_map(|(name, value)| Some((name.strip_prefix("needs.")?, value)));
        let outputs: Values = outputs.map(|(name, value)| (format!("jobs.{name}"), value.clone())).collect();
        for (name, text) in workflow.outputs() {
            // Those of a job that was skipped are empty.
            let value = fill(&text, &outputs).unwrap_or_default();
            run.insert(format!("needs.{id}.outputs.{name}"), value);
        }
        let logs = values
            .into_iter()
            .filter_map(|(name, log)| Some((format!("logs.{id}/{}", name.strip_prefix("logs.")?), log)));
        run.extend(logs);
        "success"
    }

    /// Says whether all steps succeeded.
    fn run_job(&self, id: &str, job: &Job, run: &mut Values) -> bool {
        let mut log = String::new();
        let mut is_well = true;
        self.shell(".", "rm -rf temp; mkdir temp");
        for entry in entries(job, run) {
            let mut values = run.clone();
            values.extend(entry.into_iter().map(|(name, value)| (format!("matrix.{name}"), value)));
            assert!(fill(&job.runs_on, &values).unwrap().starts_with("ubuntu-"));
            if !job.environment.is_empty() {
                let secret = self.kubeconfigs.get(&fill(&job.environment, &values).unwrap());
                values.insert("secrets.KUBECONFIG".into(), secret.cloned().unwrap_or_default());
            }
            for step in &job.steps {
                if step.r#if == "always()" || is_well && holds(&step.r#if, &values).unwrap() {
                    match self.run_step(job, step, &values, &mut log) {
                        Some(outputs) => values.extend(
                            outputs
                                .into_iter()
                                .map(|(name, value)| (format!("steps.{}.outputs.{name}", step.id), value)),
                        ),
                        None => is_well = false,
                    }
                    let hashes = HASH_FILES.map(|(text, script)| (text.to_owned(), self.shell("work", script)));
                    values.extend(hashes);
                }
            }
            for (name, text) in &job.outputs {
                run.insert(format!("needs.{id}.outputs.{name}"), fill(text, &values).unwrap());
            }
        }
        run.insert(format!("logs.{id}"), log);
        is_well
    }

    /// Gives the step's outputs; nothing when it failed.
    fn run_step(&self, job: &Job, step: &Step, values: &Values, log: &mut String) -> Option<Values> {
        let fill = |text: &str| fill(text, values).unwrap_or_else(|error| panic!("`{}`: {error}", step.name));
        let filled = |texts: &Values| texts.iter().map(|(name, text)| (name.clone(), fill(text))).collect();
        assert!(step.uses.is_empty() != step.run.is_empty(), "`{}` is either an action or a script", step.name);
        if let Some((action, _)) = step.uses.split_once('@') {
            assert!(step.env.is_empty(), "`{}`: an action with an environment", step.name);
            return Some(self.act(action, &filled(&step.inputs()), values));
        }
        let variables = job.env.iter().chain(&step.env).map(|(name, text)| (name.clone(), fill(text))).collect();
        let (said, is_well) = self.run_script(&step.run, variables, values);
        *log += &said;
        let outputs = fs::read_to_string(self.path("temp/outputs")).unwrap();
        let outputs = outputs.lines().map(|line| line.split_once('=').expect("NAME=VALUE"));
        is_well.then(|| outputs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// Runs a script as a runner calls it; gives what it printed, and whether it succeeded.
    fn run_script(&self, script: &str, mut variables: Values, values: &Values) -> (String, bool) {
        if let Some(registry) = variables.get_mut("CI_REGISTRY") {
            assert_eq!(registry, REGISTRY);
            registry.clone_from(&self.registry);
        }
        if let Some(platforms) = variables.get_mut("CI_IMAGE_PLATFORM") {
            assert_eq!(platforms, PLATFORMS);
            *platforms = format!("linux/{}", if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" });
        }
        let mut bash = Command::new("bash");
        bash.args(["--noprofile", "--norc", "-eo", "pipefail", "-c", script]).current_dir(self.path("work"));
        self.set_environment(&mut bash, values);
        // A program that is compiled from its sources elsewhere is one of the stubs here.
        if let Some(rest) = script.strip_prefix("cargo install ") {
            let program = rest.split(' ').next().unwrap();
            assert!(self.path("bin").join(program).exists(), "there is no stub of `{program}`");
            return (format!("$ {script}\n(a stub)\n"), true);
        }
        let output = bash.envs(variables).stdin(Stdio::null()).output().unwrap();
        let log = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        let kubeconfig = values.get("secrets.KUBECONFIG").into_iter().flat_map(|secret| secret.lines());
        for secret in kubeconfig.filter(|line| line.contains("-data: ") || line.contains("token: ")).chain([TOKEN]) {
            assert!(!log.contains(secret.trim()), "the log shows a secret:\n{log}");
        }
        (format!("$ {script}\n{log}"), output.status.success())
    }

    /// What a runner sets (docs.github.com, "Variables reference"). Nobody has logged in on a new machine.
    fn set_environment(&self, command: &mut Command, values: &Values) {
        fs::write(self.path("temp/outputs"), "").unwrap();
        fs::write(self.path("temp/event"), r#"{"repository": {"default_branch": "main"}}"#).unwrap();
        let is_kept = |(name, _): &(String, String)| KEPT.iter().any(|prefix| name.starts_with(prefix));
        command.env_clear().envs(std::env::vars().filter(is_kept)).env("CI", "true").env("GITHUB_ACTIONS", "true");
        for (name, value) in values.iter().filter_map(|(name, value)| Some((name.strip_prefix("github.")?, value))) {
            command.env(format!("GITHUB_{}", name.to_uppercase()), value);
        }
        let path = std::env::var("PATH").unwrap();
        command.env("PATH", format!("{}:{path}", self.path("bin").display()));
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

fn result_of(job: &str) -> String {
    format!("needs.{job}.result")
}

/// The entries of a job's matrix; a single empty one without.
fn entries(job: &Job, values: &Values) -> Vec<Values> {
    let Some(text) = job.strategy.get("matrix") else { return vec![Values::new()] };
    let text = fill(text.as_str().unwrap(), values).unwrap();
    let mut matrix: BTreeMap<String, Vec<Values>> = serde_json::from_str(&text).unwrap();
    matrix.remove("include").filter(|entries| !entries.is_empty()).expect("a matrix that is not empty")
}
