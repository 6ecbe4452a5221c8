//! What the workflows promise, read from the files alone.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use workflow_rehearsal::workflow::{Job, Step, Workflow, workflows};
use workflow_rehearsal::{root, tool};

/// All jobs, by file and id.
fn jobs() -> Vec<(String, Job)> {
    let of = |(file, workflow): (String, Workflow)| {
        workflow.jobs.into_iter().map(move |(id, job)| (format!("`{id}` of {file}"), job))
    };
    workflows().into_iter().flat_map(of).collect()
}

/// Their steps.
fn steps() -> Vec<(String, Step)> {
    jobs().into_iter().flat_map(|(place, job)| job.steps.into_iter().map(move |step| (place.clone(), step))).collect()
}

#[test]
fn steps_are_one_command_each_and_expressions_are_look_ups_that_reach_no_script() {
    for workflow in workflows().values() {
        assert_eq!(workflow.defaults, json!({"run": {"shell": "bash"}}));
        let expressions = workflow.text.split("${{").skip(1).map(|text| text.split("}}").next().unwrap());
        let is_part = |c: char| c.is_ascii_alphanumeric() || " -_.()".contains(c);
        expressions.for_each(|text| assert!(text.chars().all(is_part), "{text}"));
        let uses = workflow.text.lines().filter(|line| line.contains("uses:"));
        uses.for_each(|line| assert!(line.contains(" # v"), "dependabot takes the version from there: {line}"));
    }
    for (place, step) in steps() {
        assert!(!step.run.contains(['\n', ';', '|', '&']), "{place}: {}", step.run);
        assert!(!(step.name + &step.uses + &step.run).contains("${{"), "{place}");
    }
}

#[test]
fn each_job_has_the_least_permissions() {
    assert!(workflows().values().all(|workflow| workflow.permissions.is_empty()), "what no job names is nothing");
    let is_secret = |text: &String| text.contains("secrets.");
    for (place, job) in jobs() {
        let writes = ["`merge` of docker-build.yml", "`publish` of docker-build.yml"].contains(&place.as_str());
        let packages = if writes { r#", "packages": "write""# } else { "" };
        assert_eq!(format!("{:?}", job.permissions), format!(r#"{{"contents": "read"{packages}}}"#), "{place}");
        let secrets = job.steps.iter().any(|step| step.env.values().any(is_secret));
        assert_eq!(secrets, writes, "{place}: who writes has a token, nobody else");
        assert!(!job.steps.iter().any(|step| step.inputs().values().any(is_secret)), "{place}: an action gets it");
    }
}

#[test]
fn whole_history_without_credentials() {
    for (place, job) in jobs() {
        let inputs = job.steps[0].inputs();
        assert!(job.steps[0].uses.starts_with("actions/checkout@"), "{place} starts with something else");
        assert_eq!(format!("{inputs:?}"), r#"{"fetch-depth": "0", "persist-credentials": "false"}"#, "{place}");
    }
}

#[test]
fn what_starts_them() {
    let on: BTreeMap<String, Value> = workflows().into_iter().map(|(file, workflow)| (file, workflow.on)).collect();
    let build = &on["docker-build.yml"];
    assert_eq!(build["push"], json!({"branches": ["main", "release/**"], "tags": ["v*.*.*"]}));
    assert!(build["workflow_dispatch"]["inputs"]["tag"].is_object());
    // Without a filter: a check that is skipped for its paths is never green.
    assert_eq!(build.get("pull_request"), Some(&Value::Null));
    assert_eq!(on["ci.yml"], json!({"pull_request": null, "push": {"branches": ["main"]}}));
    // How images are made changes with the tool and the workflows: there all are built.
    let paths = ["xtask/**", ".cargo/**", ".ci/**", ".github/**", "Cargo.lock", "Cargo.toml"];
    assert_eq!(on["nightly.yml"]["pull_request"]["paths"], json!(paths));
}

#[test]
fn tags_do_not_write_the_cache() {
    // `actions/cache` itself would save at the end of every run.
    let mut savers = steps();
    savers
        .retain(|(_, step)| step.uses.starts_with("actions/cache") && !step.uses.starts_with("actions/cache/restore@"));
    let [(_, saver)] = &savers[..] else { panic!("{savers:?}") };
    assert!(saver.uses.starts_with("actions/cache/save@") && saver.r#if.starts_with("github.ref_type == 'branch' && "));
}

#[test]
fn the_oldest_rust_is_the_one_that_the_tool_names() {
    let manifest = fs::read_to_string(root().join("xtask/Cargo.toml")).unwrap();
    let version = manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap().trim_matches('"');
    for command in [format!("install {version} --profile minimal"), format!("cargo +{version} check --package xtask")] {
        assert!(steps().iter().any(|(_, step)| step.run.contains(&command)), "{command}");
    }
}

#[test]
#[ignore = "needs shellcheck"]
fn shellcheck_has_nothing_to_say_of_any_script() {
    // As the runner calls them: `set -u` is not on, `-e` and `pipefail` are.
    let mut script = "#!/usr/bin/env bash\nset -eo pipefail\n".to_owned();
    steps().iter().for_each(|(_, step)| script += &(step.run.clone() + "\n"));
    let file = root().join("target/steps.sh");
    fs::write(&file, script).unwrap();
    tool(Command::new("shellcheck").arg("--severity=style").arg(file));
}

#[test]
fn every_variable_that_the_tool_reads_is_documented() {
    let text = fs::read_to_string(root().join("xtask/src/system/environment.rs")).unwrap();
    let names: Vec<&str> = text.lines().filter_map(|line| line.trim().strip_prefix("(\"")?.split('"').next()).collect();
    assert!(names.len() > 40 && names.is_sorted(), "{names:?}");
    let docs = fs::read_to_string(root().join("docs/configuration.md")).unwrap();
    let missing: Vec<_> = names.iter().filter(|name| !docs.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "`docs/configuration.md` does not name {missing:?}");
}

#[test]
fn the_example_for_gitlab_has_jobs_of_its_stages_and_commands_that_there_are() {
    let text = fs::read_to_string(root().join("docs/examples/gitlab-ci.yml")).unwrap();
    let example: BTreeMap<String, Value> = serde_norway::from_str(&text).unwrap();
    let help = tool(Command::new("cargo").args(["xtask", "--help"]).current_dir(root()));
    for (name, job) in example.iter().filter(|(name, _)| !["stages", "variables", "default"].contains(&name.as_str())) {
        assert!(example["stages"].as_array().unwrap().contains(&job["stage"]), "{name}");
        for line in job["script"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()) {
            let command = line.strip_prefix("cargo xtask ").and_then(|rest| rest.split(' ').next());
            assert!(command.is_none_or(|command| help.contains(&format!("\n  {command} "))), "{name}: {line}");
        }
    }
}
