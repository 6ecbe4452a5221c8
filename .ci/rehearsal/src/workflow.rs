//! What a workflow file may hold here. Unknown keys are errors.
#![allow(missing_docs, reason = "GitHub's keys, by their names: docs.github.com, \"Workflow syntax\"")]

use std::collections::BTreeMap;
use std::fs;

use serde::Deserialize;
use serde_json::Value;

use crate::root;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workflow {
    pub name: String,
    pub on: Value,
    pub permissions: BTreeMap<String, String>,
    pub concurrency: Value,
    pub defaults: Value,
    pub jobs: BTreeMap<String, Job>,
    /// The whole file.
    #[serde(skip)]
    pub text: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Job {
    pub name: String,
    #[serde(default)]
    pub r#if: String,
    pub needs: Option<String>,
    pub permissions: BTreeMap<String, String>,
    /// A workflow that is called; else it has steps.
    pub uses: Option<String>,
    #[serde(default)]
    pub environment: String,
    #[serde(default)]
    pub strategy: BTreeMap<String, Value>,
    #[serde(default)]
    pub runs_on: String,
    #[serde(default)]
    pub timeout_minutes: u32,
    #[serde(default)]
    pub outputs: BTreeMap<String, String>,
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    #[serde(default)]
    pub steps: Vec<Step>,
}

/// An action or a script; what it does not have is empty.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Step {
    pub name: String,
    pub id: String,
    pub r#if: String,
    pub uses: String,
    with: BTreeMap<String, Value>,
    pub env: BTreeMap<String, String>,
    pub run: String,
}

impl Workflow {
    /// The outputs of a workflow that others call, by name.
    pub fn outputs(&self) -> BTreeMap<String, String> {
        let outputs = self.on["workflow_call"]["outputs"].as_object().into_iter().flatten();
        outputs.map(|(name, output)| (name.clone(), output["value"].as_str().unwrap().to_owned())).collect()
    }
}

impl Step {
    /// The action's inputs as text: GitHub makes text of all of them.
    pub fn inputs(&self) -> BTreeMap<String, String> {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        self.with.iter().map(|(name, value)| (name.clone(), text(value))).collect()
    }
}

/// The workflow that is called `./.github/workflows/NAME`.
pub(crate) fn called(uses: &str) -> Workflow {
    let file = uses.strip_prefix("./.github/workflows/").expect("one of this repository");
    workflows().remove(file).unwrap_or_else(|| panic!("there is no `{uses}`"))
}

/// All workflows of this workspace, by file name.
pub fn workflows() -> BTreeMap<String, Workflow> {
    let paths = fs::read_dir(root().join(".github/workflows")).unwrap().map(|entry| entry.unwrap().path());
    let read = paths.map(|path| {
        let text = fs::read_to_string(&path).unwrap();
        let workflow: Workflow = serde_norway::from_str(&text).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        (path.file_name().unwrap().to_string_lossy().into_owned(), Workflow { text, ..workflow })
    });
    read.collect()
}
