//! What a workflow file may hold here. Unknown keys are errors.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_norway::{Mapping, Value};

/// A workflow file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workflow {
    /// Its name.
    pub name: String,
    /// What starts it.
    pub on: Mapping,
    /// What its jobs may do when they do not say.
    pub permissions: BTreeMap<String, String>,
    /// Which runs wait for each other.
    pub concurrency: Concurrency,
    /// The shell of all steps.
    pub defaults: Defaults,
    /// Jobs by id, in the file's order: parsed by [`Workflow::jobs`].
    jobs: Mapping,
    /// Where it was read from.
    #[serde(skip)]
    pub path: PathBuf,
    /// Its text.
    #[serde(skip)]
    pub text: String,
}

/// Which runs wait for each other.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Concurrency {
    /// Runs of one group wait.
    pub group: String,
    /// Whether a newer one ends the older.
    pub cancel_in_progress: bool,
}

/// What all steps share.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Defaults {
    /// For `run:` steps.
    pub run: DefaultRun,
}

/// What all `run:` steps share.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DefaultRun {
    /// The shell.
    pub shell: String,
}

/// A job.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Job {
    /// Its name.
    pub name: String,
    /// Whether it runs.
    #[serde(rename = "if")]
    pub condition: Option<String>,
    /// The job that must have succeeded.
    pub needs: Option<String>,
    /// One run per entry of the matrix.
    pub strategy: Option<Strategy>,
    /// The runner's label; none when it calls a workflow.
    pub runs_on: Option<String>,
    /// After how long it is ended.
    pub timeout_minutes: Option<u32>,
    /// What its token may do.
    pub permissions: BTreeMap<String, String>,
    /// What later jobs may look up.
    #[serde(default)]
    pub outputs: BTreeMap<String, String>,
    /// Its steps.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// The workflow that it calls.
    pub uses: Option<String>,
}

/// One run of a job per entry.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Strategy {
    /// Whether a failure ends the others.
    pub fail_fast: bool,
    /// `${{ fromJSON(…) }}`.
    pub matrix: String,
}

/// A step.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// What later steps look it up by.
    pub id: Option<String>,
    /// Whether it runs.
    #[serde(rename = "if")]
    pub condition: Option<String>,
    /// An action.
    pub uses: Option<String>,
    /// The action's inputs.
    #[serde(default)]
    pub with: BTreeMap<String, Value>,
    /// The script's environment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// A script.
    pub run: Option<String>,
}

impl Step {
    /// An input of the action, as text: GitHub makes text of all of them.
    pub fn input(&self, name: &str) -> Option<String> {
        self.with.get(name).map(|value| match value {
            Value::String(text) => text.clone(),
            Value::Bool(yes) => yes.to_string(),
            Value::Number(number) => number.to_string(),
            other => format!("{other:?}"),
        })
    }
}

impl Workflow {
    /// Reads a workflow of the workspace at `root`.
    ///
    /// # Errors
    /// It holds what is not understood here; the message names the key.
    pub fn read(root: &Path, name: &str) -> Result<Self> {
        let path = root.join(".github/workflows").join(name);
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
        let mut workflow: Workflow =
            serde_norway::from_str(&text).with_context(|| format!("`{}` is not understood", path.display()))?;
        (workflow.path, workflow.text) = (path, text);
        Ok(workflow)
    }

    /// All workflows of the workspace at `root`.
    ///
    /// # Errors
    /// As [`Workflow::read`].
    pub fn all(root: &Path) -> Result<Vec<Self>> {
        let mut names: Vec<_> = std::fs::read_dir(root.join(".github/workflows"))
            .context("there are no workflows")?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<Result<_>>()?;
        names.sort();
        names.iter().map(|name| Workflow::read(root, name)).collect()
    }

    /// Its jobs, in the file's order.
    ///
    /// # Errors
    /// As [`Workflow::read`].
    pub fn jobs(&self) -> Result<Vec<(String, Job)>> {
        self.jobs
            .iter()
            .map(|(id, job)| {
                let id = id.as_str().context("a job's id is no text")?.to_owned();
                let place = || format!("job `{id}` of `{}` is not understood", self.path.display());
                let job = serde_norway::from_value(job.clone()).with_context(place)?;
                Ok((id, job))
            })
            .collect()
    }
}
