//! What the workflows promise, read from the files alone.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_norway::Value;
use workflow_rehearsal::expression::{comparisons, from_json, lookups};
use workflow_rehearsal::root;
use workflow_rehearsal::workflow::{Job, Workflow};

fn jobs() -> Vec<(String, String, Job)> {
    let workflows = Workflow::all(&root()).unwrap();
    let jobs = workflows.iter().flat_map(|workflow| {
        let file = workflow.path.file_name().unwrap().to_string_lossy().into_owned();
        workflow.jobs().unwrap().into_iter().map(move |(id, job)| (file.clone(), id, job))
    });
    let jobs: Vec<_> = jobs.collect();
    assert!(jobs.len() >= 7, "{jobs:?}");
    jobs
}

#[test]
fn expressions_are_lookups_and_reach_no_script() {
    for workflow in Workflow::all(&root()).unwrap() {
        lookups(&workflow.concurrency.group).unwrap();
        assert!(!workflow.name.contains("${{"));
    }
    for (file, id, job) in jobs() {
        let place = format!("`{id}` of {file}");
        for text in job.outputs.values().chain(&job.runs_on) {
            lookups(text).unwrap_or_else(|error| panic!("{place}: {error:#}"));
        }
        if let Some(strategy) = &job.strategy {
            from_json(&strategy.matrix).unwrap_or_else(|error| panic!("{place}: {error:#}"));
        }
        let conditions = job.condition.iter().chain(job.steps.iter().filter_map(|step| step.condition.as_ref()));
        for condition in conditions {
            comparisons(condition).unwrap_or_else(|error| panic!("{place}: {error:#}"));
        }
        for step in &job.steps {
            let inputs: Vec<String> = step.with.keys().filter_map(|name| step.input(name)).collect();
            for text in step.env.values().chain(&inputs) {
                lookups(text).unwrap_or_else(|error| panic!("{place}, {}: {error:#}", step.name));
            }
            for text in step.run.iter().chain([&step.name]).chain(&step.uses) {
                assert!(!text.contains("${{"), "{place}, {}: an expression in `{text}`", step.name);
            }
        }
    }
}

#[test]
fn actions_are_pinned_by_commit_and_name_their_version() {
    for workflow in Workflow::all(&root()).unwrap() {
        for line in workflow.text.lines().filter(|line| line.trim_start().starts_with("uses:")) {
            let action = line.trim_start().trim_start_matches("uses:").trim();
            if action.starts_with("./") {
                continue;
            }
            let (_, pinned) = action.split_once('@').unwrap_or_else(|| panic!("{line}"));
            let (commit, version) = pinned.split_once(" # v").unwrap_or_else(|| panic!("no version: {line}"));
            assert!(commit.len() == 40 && commit.bytes().all(|b| b.is_ascii_hexdigit()), "no commit: {line}");
            assert!(version.split('.').count() == 3 && version.split('.').all(|n| n.parse::<u32>().is_ok()), "{line}");
        }
    }
}

#[test]
fn each_job_has_the_least_permissions() {
    for workflow in Workflow::all(&root()).unwrap() {
        assert!(workflow.permissions.is_empty(), "what no job names must be nothing");
    }
    let mut writers = Vec::new();
    for (file, id, job) in jobs() {
        let writes = job.permissions.get("packages").is_some_and(|right| right == "write");
        let rest: Vec<_> = job.permissions.iter().filter(|(name, _)| *name != "packages").collect();
        assert_eq!(format!("{rest:?}"), r#"[("contents", "read")]"#, "`{id}` of {file}");
        let secrets = job.steps.iter().flat_map(|step| step.env.values()).any(|text| text.contains("secrets."));
        assert_eq!(secrets, writes && job.uses.is_none(), "`{id}` of {file}: who writes has a token, nobody else");
        for step in job.steps.iter().filter(|step| !step.with.is_empty()) {
            let shown = format!("{:?}", step.with);
            assert!(!shown.contains("secrets."), "`{id}` of {file}: an action gets a secret");
        }
        if writes {
            writers.push(id);
        }
    }
    // `images` passes on what the jobs it calls may have; they are skipped for pull requests.
    assert_eq!(writers, ["images", "publish", "merge"]);
}

#[test]
fn whole_history_without_credentials() {
    for (file, id, job) in jobs() {
        for step in job.steps.iter().filter(|step| step.uses.as_ref().is_some_and(|uses| uses.contains("checkout"))) {
            assert_eq!(step.input("fetch-depth").as_deref(), Some("0"), "`{id}` of {file}");
            assert_eq!(step.input("persist-credentials").as_deref(), Some("false"), "`{id}` of {file}");
        }
    }
}

#[test]
fn what_starts_them() {
    let on = |file: &str, key: &str| Workflow::read(&root(), file).unwrap().on.get(key).cloned();
    let yaml = |text: &str| Some(serde_norway::from_str::<Value>(text).unwrap());
    assert_eq!(on("docker-build.yml", "push"), yaml("{branches: [main, 'release/**'], tags: ['v*.*.*']}"));
    assert!(on("docker-build.yml", "workflow_dispatch").unwrap()["inputs"]["tag"].is_mapping());
    assert!(on("docker-build.yml", "workflow_call").is_some());
    assert!(on("docker-build.yml", "pull_request").is_none(), "`ci.yml` calls it");
    let callers: Vec<_> = jobs().into_iter().filter(|(_, _, job)| job.uses.is_some()).collect();
    let called: Vec<_> = callers.iter().map(|(file, id, job)| (file.as_str(), id.as_str(), job)).collect();
    let [("ci.yml", "images", job)] = called[..] else { panic!("{called:?}") };
    assert_eq!(job.uses.as_deref(), Some("./.github/workflows/docker-build.yml"));
}

#[test]
fn tags_do_not_write_the_cache() {
    let mut savers = 0;
    for (_, id, job) in jobs() {
        for step in &job.steps {
            let action = step.uses.as_deref().unwrap_or_default();
            assert!(!action.starts_with("actions/cache@"), "`{id}`: it would save at the end of every run");
            if action.starts_with("actions/cache/save@") {
                let condition = step.condition.as_deref().unwrap_or_default();
                assert!(comparisons(condition).unwrap().contains(&("github.ref_type", true, "branch")), "{condition}");
                savers += 1;
            }
        }
    }
    assert_eq!(savers, 1);
}

#[test]
#[ignore = "needs shellcheck"]
fn shellcheck_has_nothing_to_say_of_any_script() {
    let mut checked = 0;
    for (file, id, job) in jobs() {
        for step in &job.steps {
            let Some(script) = &step.run else { continue };
            let mut shellcheck = Command::new("shellcheck");
            shellcheck.args(["--shell=bash", "--severity=style", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = shellcheck.spawn().expect("shellcheck");
            // As the runner calls it: `set -u` is not on, `-e` and `pipefail` are.
            write!(child.stdin.take().unwrap(), "#!/usr/bin/env bash\nset -eo pipefail\n{script}").unwrap();
            let output = child.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success(), "`{id}` of {file}, {}:\n{said}", step.name);
            checked += 1;
        }
    }
    assert!(checked >= 8, "{checked}");
}

#[test]
fn every_variable_that_the_tool_reads_is_documented() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = std::fs::read_to_string(root.join("xtask/src/system/environment.rs")).unwrap();
    let names: Vec<&str> = text.lines().filter_map(|line| line.trim().strip_prefix("(\"")?.split('"').next()).collect();
    assert!(names.len() > 40 && names.is_sorted(), "{names:?}");
    let docs = std::fs::read_to_string(root.join("docs/configuration.md")).unwrap();
    let missing: Vec<_> = names.iter().filter(|name| !docs.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "`docs/configuration.md` does not name {missing:?}");
}
