//! What the workflows promise, read from the files alone.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use workflow_rehearsal::workflow::{Job, Step, Workflow, workflows};
use workflow_rehearsal::{root, tool};

/// Neither reaches a script.
const BEYOND_LOOK_UPS: [&str; 2] =
    ["github.event_name == 'pull_request'", "hashFiles('Cargo.lock', 'rust-toolchain.toml')"];
/// What others copy; the rest is about the tool.
const COPIED: [&str; 6] = ["bases.yml", "ci.yml", "deploy.yml", "docker-build.yml", "scan.yml", "smoke.yml"];

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
        for text in expressions.map(str::trim).filter(|text| !BEYOND_LOOK_UPS.contains(text)) {
            assert!(text.chars().all(is_part), "{text}");
        }
        let uses = workflow.text.lines().filter(|line| line.contains("uses:") && !line.contains("uses: ./"));
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
    let more: BTreeMap<&str, &str> = BTreeMap::from([
        ("`ask` of bases.yml", "contents: write pull-requests: write"),
        ("`deploy` of deploy.yml", "packages: write"),
        ("`images` of ci.yml", "packages: write"),
        ("`issue` of deploy.yml", "issues: write"),
        ("`issue` of scan.yml", "issues: write"),
        ("`issue` of smoke.yml", "issues: write"),
        ("`merge` of docker-build.yml", "packages: write"),
        ("`publish` of docker-build.yml", "packages: write"),
        ("`release` of ci.yml", "contents: write packages: read"),
        ("`smoke` of ci.yml", "packages: read"),
        ("`smoke` of smoke.yml", "packages: read"),
        ("`staging` of ci.yml", "actions: write"),
        ("`update` of bases.yml", "packages: read"),
    ]);
    for (place, job) in jobs() {
        let named = job.permissions.iter().filter(|named| *named != (&"contents".into(), &"read".into()));
        let named: Vec<String> = named.map(|(name, level)| format!("{name}: {level}")).collect();
        let expected = more.get(place.as_str());
        assert_eq!(named.join(" "), *expected.unwrap_or(&""), "{place}");
        // A workflow that is called has its own token.
        let secrets = job.env.values().any(is_secret) || job.steps.iter().any(|step| step.env.values().any(is_secret));
        assert_eq!(
            secrets,
            expected.is_some() && job.uses.is_none(),
            "{place}: who needs more has a token, nobody else"
        );
        assert!(!job.steps.iter().any(|step| step.inputs().values().any(is_secret)), "{place}: an action gets it");
    }
}

#[test]
fn secrets_of_an_environment_reach_a_file_that_only_its_owner_reads_and_nothing_else() {
    for (place, step) in steps() {
        let kubeconfig = step.env.values().filter(|text| text.contains("secrets.") && !text.contains("GITHUB_TOKEN"));
        if kubeconfig.count() > 0 {
            assert_eq!(step.run, r#"install --mode=600 /dev/stdin "$KUBECONFIG" <<<"$CONTENT""#, "{place}");
            assert_eq!(step.env["CONTENT"], "${{ secrets.KUBECONFIG }}", "{place}");
        }
    }
    assert!(jobs().iter().all(|(_, job)| job.env.values().all(|text| !text.contains("secrets.KUBECONFIG"))));
}

#[test]
fn whole_history_without_credentials() {
    for (place, job) in jobs().into_iter().filter(|(_, job)| job.uses.is_none()) {
        assert!(!job.runs_on.is_empty() && job.timeout_minutes > 0, "{place}");
        let inputs = job.steps[0].inputs();
        assert!(job.steps[0].uses.starts_with("actions/checkout@"), "{place} starts with something else");
        assert_eq!(format!("{inputs:?}"), r#"{"fetch-depth": "0", "persist-credentials": "false"}"#, "{place}");
    }
}

#[test]
fn what_starts_them_and_who_waits() {
    let all = workflows();
    let on: BTreeMap<&str, &Value> = all.iter().map(|(file, workflow)| (&**file, &workflow.on)).collect();
    // Without a filter: a check that is skipped for its paths is never green.
    let push = json!({"branches": ["main", "release/**"], "tags": ["v*.*.*"]});
    assert_eq!(*on["ci.yml"], json!({"pull_request": null, "push": push}));
    let ci = &all["ci.yml"].jobs;
    let needs = |job: &str| ci[job].needs.clone().unwrap_or_default();
    assert_eq!(["images", "smoke", "release", "staging"].map(needs), ["test", "images", "smoke", "smoke"]);
    // Publishing is for those alone who waited for the tests, or by hand.
    let build = on["docker-build.yml"].as_object().unwrap();
    assert_eq!(build.keys().collect::<Vec<_>>(), ["workflow_call", "workflow_dispatch"]);
    assert_eq!(build["workflow_call"]["inputs"], build["workflow_dispatch"]["inputs"]);
    // What publishes is never ended halfway, and nothing overtakes it.
    let group =
        |file: &str| (all[file].concurrency["group"].clone(), all[file].concurrency["cancel-in-progress"].clone());
    assert_eq!(group("ci.yml"), (json!("ci-${{ github.ref }}"), json!("${{ github.event_name == 'pull_request' }}")));
    for file in ["bases.yml", "docker-build.yml", "deploy.yml", "scan.yml", "smoke.yml"] {
        assert_eq!(group(file).1, json!(false), "{file}");
    }
    // How images are made changes with the tool and the workflows: there all are built.
    let paths = ["xtask/**", ".cargo/**", ".ci/**", ".github/**", "Cargo.lock", "Cargo.toml"];
    assert_eq!(on["nightly.yml"]["pull_request"]["paths"], json!(paths));
}

#[test]
fn the_outputs_are_the_record_and_each_component() {
    let list = tool(Command::new("cargo").args(["xtask", "components", "--json"]).current_dir(root()));
    let list: Vec<Value> = serde_json::from_str(&list).unwrap();
    let names = list.iter().map(|one| one["name"].as_str().unwrap()).chain(["digest-json"]);
    let expected: BTreeMap<String, String> =
        names.map(|name| (name.to_owned(), format!("${{{{ jobs.merge.outputs.{name} }}}}"))).collect();
    assert_eq!(workflows()["docker-build.yml"].outputs(), expected);
}

#[test]
fn what_others_copy_names_nothing_of_this_workspace_beyond_what_they_are_told_to_change() {
    let told = fs::read_to_string(root().join("docs/ci-github.md")).unwrap();
    for (file, workflow) in workflows().into_iter().filter(|(file, _)| COPIED.contains(&&**file)) {
        assert!(told.contains(&format!("`{file}`")), "`docs/ci-github.md` does not name {file}");
        let lines = workflow.text.lines().filter(|line| !line.trim_start().starts_with('#'));
        for line in
            lines.filter(|line| ["demon", "engine", "operate-ui", ".ci/"].iter().any(|ours| line.contains(ours)))
        {
            let is_output = file == "docker-build.yml"
                && (line.ends_with(':') || line.contains("outputs.") || line.contains("Image of"));
            assert!(is_output, "{file}: {line}");
        }
    }
}

#[test]
fn the_cache_is_written_once_for_each_lock_file() {
    // `actions/cache` itself would save at the end of every run.
    let mut savers = steps();
    savers
        .retain(|(_, step)| step.uses.starts_with("actions/cache") && !step.uses.starts_with("actions/cache/restore@"));
    let [(_, saver)] = &savers[..] else { panic!("{savers:?}") };
    assert!(saver.uses.starts_with("actions/cache/save@"));
    assert_eq!(saver.r#if, "github.ref == 'refs/heads/main' && steps.cache.outputs.cache-hit != 'true'");
    let keys = steps().into_iter().filter_map(|(_, step)| step.inputs().remove("key")).collect::<Vec<_>>();
    assert!(
        keys.len() == 3
            && keys.iter().all(|key| *key == format!("cargo-${{{{ matrix.slug }}}}-${{{{ {} }}}}", BEYOND_LOOK_UPS[1]))
    );
}

#[test]
fn what_is_planned_joined_and_released_is_of_the_same_platforms() {
    let named = steps().into_iter().filter_map(|(_, mut step)| Some((step.env.remove("CI_IMAGE_PLATFORM")?, step.run)));
    let (platforms, commands): (Vec<_>, Vec<_>) = named.unzip();
    let commands: Vec<&str> = commands.iter().map(|run| run.split(' ').nth(2).unwrap()).collect();
    assert_eq!(commands, ["sbom", "digests", "matrix"]);
    assert!(platforms.iter().all(|one| *one == platforms[0]), "{platforms:?}");
    let mut matrix = Command::new("cargo");
    matrix.args(["xtask", "matrix"]).current_dir(root()).env("CI_IMAGE_PLATFORM", &platforms[0]);
    let matrix: Value = serde_json::from_str(&tool(matrix.env_remove("GITHUB_OUTPUT"))).unwrap();
    let runners = matrix["include"].as_array().unwrap().iter().map(|entry| entry["runner"].as_str().unwrap());
    assert_eq!(runners.collect::<Vec<_>>(), ["ubuntu-24.04", "ubuntu-24.04-arm"]);
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
fn the_example_for_gitlab_has_jobs_of_its_stages() {
    let text = fs::read_to_string(root().join("docs/examples/gitlab-ci.yml")).unwrap();
    let example: BTreeMap<String, Value> = serde_norway::from_str(&text).unwrap();
    for (name, job) in example.iter().filter(|(name, _)| !["stages", "variables", "default"].contains(&name.as_str())) {
        assert!(example["stages"].as_array().unwrap().contains(&job["stage"]), "{name}");
    }
}

/// The calls of the tool in a text, each from its command to the end of the line.
fn calls(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let calls = lines.filter_map(|line| line.split_once("cargo xtask ").map(|(_, rest)| rest.to_owned()));
    calls.map(|call| call.split(['`', '#']).next().unwrap().to_owned()).collect()
}

#[test]
fn workflows_and_examples_use_commands_and_options_that_there_are() {
    let example = fs::read_to_string(root().join("docs/examples/gitlab-ci.yml")).unwrap();
    let docs = fs::read_to_string(root().join("docs/ci-github.md")).unwrap();
    let texts = workflows().into_values().map(|workflow| workflow.text).chain([example, docs]);
    let mut helps = BTreeMap::new();
    for call in texts.flat_map(|text| calls(&text)) {
        let words: Vec<&str> = call.split_whitespace().collect();
        let has_commands = ["digests", "releases", "registry"].contains(&words[0]);
        let command = words[..if has_commands { 2 } else { 1 }].to_vec();
        let help = helps.entry(command.join(" ")).or_insert_with(|| {
            tool(Command::new("cargo").arg("xtask").args(&command).arg("--help").current_dir(root()))
        });
        for option in words.iter().filter(|word| word.starts_with("--")) {
            let is_there = |after: char| help.contains(&format!("{option}{after}"));
            assert!([' ', '\n'].into_iter().any(is_there), "`cargo xtask {call}`: no `{option}`");
        }
    }
    assert!(helps.len() > 10, "{:?}", helps.keys());
}
