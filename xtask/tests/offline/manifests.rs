//! `manifests`: which files are pinned, when nothing is written, and the way to placeholders and back.

use std::os::unix::fs::PermissionsExt;

use crate::support::Fixture;

const RECORD: &str = "artifacts/docker/docker-image-digests.json";
const POD: &str = "kind: Pod\nspec:\n  containers:\n    - image: localhost:5000/one:main   # why\n";

fn digest(name: &str) -> String {
    crate::support::image::digest(name.as_bytes())
}

fn pinned(name: &str) -> String {
    format!("localhost:5000/{name}@{}", digest(name))
}

/// A record of `names`, as `publish` writes it.
fn record(names: &[&str]) -> String {
    let entries: serde_json::Map<_, _> = names
        .iter()
        .map(|name| {
            let entry = serde_json::json!({
                "repository": format!("localhost:5000/{name}"),
                "digest": digest(name),
                "image": pinned(name),
                "gitShaTag": format!("localhost:5000/{name}:sha-1234567"),
            });
            ((*name).to_owned(), entry)
        })
        .collect();
    serde_json::Value::Object(entries).to_string()
}

fn fixture() -> Fixture {
    let fixture = Fixture::simple(&["one", "two"]);
    fixture.write(RECORD, &record(&["one"])).write("k8s/pod.yaml", POD);
    fixture
}

#[test]
fn images_are_pinned_and_nothing_else_changes() {
    let fixture = fixture();
    fixture.write(RECORD, &record(&["one", "two"]));
    fixture.write("k8s/sub/list.yml", "kind: List\r\nitems:\r\n- spec: {containers: [{image: 'localhost:5000/two'}]}");
    fixture.write("k8s/readme.md", "image: localhost:5000/one:main\n");
    let output = fixture.xtask("manifests").ok().says("2 images of our components in 2 files, 2 of them changed");
    let expected = format!(
        "changed k8s/pod.yaml\n  4: localhost:5000/one:main -> {}\nchanged k8s/sub/list.yml\n  3: localhost:5000/two -> {}\n",
        pinned("one"),
        pinned("two")
    );
    assert_eq!(output.stdout, expected);
    assert_eq!(fixture.read("k8s/pod.yaml"), POD.replace("localhost:5000/one:main", &pinned("one")));
    let list = format!("kind: List\r\nitems:\r\n- spec: {{containers: [{{image: '{}'}}]}}", pinned("two"));
    assert_eq!(fixture.read("k8s/sub/list.yml"), list);
    assert_eq!(fixture.read("k8s/readme.md"), "image: localhost:5000/one:main\n");
    assert_eq!(fixture.xtask("manifests").ok().says("all up to date").stdout, "");
    assert_eq!(fixture.xtask("manifests --check").ok().stdout, "");
}

#[test]
fn check_shows_a_diff_and_a_dry_run_a_list_and_both_write_nothing() {
    let fixture = fixture();
    let output = fixture.xtask("manifests --check").fails();
    assert!(output.stdout.starts_with("--- k8s/pod.yaml (committed)\n+++ k8s/pod.yaml (pinned)\n"), "{output:?}");
    let changed = format!("\n-    - image: localhost:5000/one:main   # why\n+    - image: {}   # why\n", pinned("one"));
    assert!(output.stdout.contains(&changed), "{output:?}");
    output.says("error: 1 of 1 manifests differ\nhint: run `cargo xtask manifests`\n");
    let output = fixture.xtask("manifests --dry-run").ok();
    assert!(output.stdout.starts_with("would change k8s/pod.yaml\n  4: "), "{output:?}");
    let json = fixture.xtask("manifests --dry-run --json").ok().json();
    assert_eq!(json["changed"][0], "k8s/pod.yaml");
    assert_eq!(json["images"][0]["component"], "one");
    assert_eq!(json["images"][0]["line"], 4);
    assert_eq!(json["images"][0]["to"], pinned("one"));
    assert_eq!(fixture.read("k8s/pod.yaml"), POD);
    fixture.xtask("manifests --check --dry-run").misused();
}

#[test]
fn placeholders_need_no_record_and_go_away_without_a_trace() {
    let fixture = fixture();
    fixture.remove(RECORD);
    fixture.xtask("manifests --placeholder").ok();
    let swapped = POD.replace("localhost:5000/one:main   # why", "nginx:alpine   # why # xtask placeholder: one");
    assert_eq!(fixture.read("k8s/pod.yaml"), swapped);
    fixture.xtask("manifests --check").env("XTASK_IMAGES", "placeholder").ok();
    let missing =
        fixture.xtask("manifests").fails().says(&format!("there is no digest record `{}", fixture.root().display()));
    missing.says(&format!("{RECORD}`\n")).says("hint: `cargo xtask publish` writes it");
    fixture.write(RECORD, &record(&["one"]));
    fixture.xtask("manifests --check --placeholder").ok();
    fixture.xtask("manifests").ok();
    assert_eq!(fixture.read("k8s/pod.yaml"), POD.replace("localhost:5000/one:main", &pinned("one")));
    fixture.xtask("manifests").env("XTASK_IMAGES", "nothing").fails().says("`XTASK_IMAGES=nothing` is unknown");
}

#[test]
fn what_cannot_be_pinned_is_told_at_once_and_no_file_changes() {
    let fixture = fixture();
    fixture.write(RECORD, &record(&["one"]));
    fixture.write("k8s/a.yaml", "containers:\n- image: localhost:5000/two:main\n- image: 5\n");
    fixture.write("k8s/z.yaml", "a: [b\nc: d\n");
    fixture
        .xtask("manifests")
        .fails()
        .says("error: manifests cannot be pinned, and none was changed\ncaused by: `k8s/a.yaml:2`: `localhost:5000/two:main`")
        .says("is an image of `two`, which the digest record lacks; `cargo xtask publish two` adds it\n")
        .says("`k8s/a.yaml:3`: the image is a number, no text")
        .says("`k8s/z.yaml:2:");
    assert_eq!(fixture.read("k8s/pod.yaml"), POD);
    std::fs::write(fixture.path("k8s/z.yaml"), b"a: \xff\n").unwrap();
    fixture.xtask("manifests").fails().says("`k8s/z.yaml`").says("is an image of `two`, which the digest record lacks");
    fixture.write(RECORD, &record(&["one", "two"])).write("k8s/a.yaml", "containers: []\n");
    let output = fixture.xtask("manifests --check").fails().says("cannot read `k8s/z.yaml`");
    assert!(output.stdout.contains("+++ k8s/pod.yaml (pinned)\n"), "a bad file hides no other's: {output:?}");
    assert_eq!(fixture.read("k8s/pod.yaml"), POD);
}

#[test]
fn all_files_change_or_none() {
    // For root, no folder is read-only; the name of the temporary file is then taken by a folder.
    let fixture = fixture();
    fixture.write("k8s/x/pod.yaml", POD).write("k8s/y/pod.yaml", POD);
    let script = fixture
        .script("break.sh", "#!/bin/sh\nfor n in 0 1 2 3 4 5; do mkdir -p k8s/y/.tmp-$$-$n; done\nexec \"$@\"\n");
    let mut command = std::process::Command::new(script);
    crate::support::clean(&mut command, fixture.root());
    let output = command.arg(env!("CARGO_BIN_EXE_xtask")).arg("manifests").output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("cannot create `") && error.contains("k8s/y/.tmp-"), "{error}");
    for file in ["k8s/pod.yaml", "k8s/x/pod.yaml", "k8s/y/pod.yaml"] {
        assert_eq!(fixture.read(file), POD, "{file}");
    }
    let left = fixture.path("k8s/x").read_dir().unwrap().count();
    assert_eq!(left, 1, "no temporary file is left");
}

#[test]
fn settings_name_the_files_and_what_is_missing_is_an_error() {
    let fixture = fixture();
    fixture.append("Cargo.toml", "[workspace.metadata.docker]\nmanifests = [\"deploy\", \"compose.yaml\"]\n");
    fixture.write("compose.yaml", "services:\n  one: {image: localhost:5000/one}\n");
    fixture.xtask("manifests").fails().says("`deploy`, which `manifests` in `[workspace.metadata.docker]`");
    fixture.write("deploy/.hidden/pod.yaml", POD).write("deploy/pod.yaml", POD);
    fixture.link("deploy/linked-folder", "../k8s").link("deploy/linked.yaml", "../elsewhere.yaml");
    fixture.write("elsewhere.yaml", POD).link("deploy/same.yaml", "pod.yaml");
    let changed = fixture.xtask("manifests --json").ok().json()["changed"].clone();
    assert_eq!(changed, serde_json::json!(["compose.yaml", "deploy/linked.yaml", "deploy/pod.yaml"]));
    assert!(fixture.path("deploy/linked.yaml").is_symlink() && fixture.path("deploy/same.yaml").is_symlink());
    assert!(fixture.read("elsewhere.yaml").contains(&pinned("one")));
    assert_eq!(fixture.read("k8s/pod.yaml"), POD, "not entered, and not configured");
    assert_eq!(fixture.read("deploy/.hidden/pod.yaml"), POD);
}

#[test]
fn without_manifests_there_is_nothing_to_pin() {
    let fixture = Fixture::simple(&["one"]);
    let output = fixture.xtask("manifests").ok().says("nothing to pin: no manifest in `k8s`");
    assert_eq!(output.stdout, "");
    fixture.write(RECORD, &record(&["one"]));
    fixture.xtask("manifests --check").fails().says("nothing to pin").says("no manifest that is applied names `one`");
    fixture.remove(RECORD);
    fixture.write("k8s/pod.yaml", "kind: Pod\n");
    fixture.xtask("manifests").fails().says("there is no digest record `");
}

#[test]
fn another_record_and_what_environments_name() {
    let fixture = fixture();
    fixture.append("Cargo.toml", "[workspace.metadata.docker.environments.staging]\nregistry = \"registry.stage\"\n");
    let staging = record(&["one"]).replace("localhost:5000", "registry.stage");
    fixture.write("staging.json", &staging);
    fixture.xtask("manifests --digests ../staging.json").within(fixture.path("k8s")).ok();
    let promoted = POD.replace("localhost:5000/one:main", &pinned("one").replace("localhost:5000", "registry.stage"));
    assert_eq!(fixture.read("k8s/pod.yaml"), promoted);
    fixture.xtask("manifests").ok();
    assert_eq!(fixture.read("k8s/pod.yaml"), POD.replace("localhost:5000/one:main", &pinned("one")));
    fixture.xtask("manifests --digests missing.json").fails().says("there is no digest record `missing.json`");
    fixture.write("bad.json", "{\"one\": {}}");
    fixture
        .xtask("manifests --digests bad.json")
        .fails()
        .says("the digest record `bad.json` cannot be used")
        .says("`one` in the digest record is wrong");
}

#[test]
fn permissions_stay_and_images_elsewhere_are_told() {
    let fixture = fixture();
    fixture.append("k8s/pod.yaml", "      env: [{name: SIDECAR, value: \"localhost:5000/two:1\"}]\n");
    let path = fixture.path("k8s/pod.yaml");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    fixture
        .xtask("manifests")
        .ok()
        .says("note: `k8s/pod.yaml:5`: `localhost:5000/two:1` is not the image of a container, and is left alone");
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o640);
}

#[test]
fn a_recorded_component_that_no_manifest_names_is_an_error() {
    let fixture = fixture();
    fixture.write(RECORD, &record(&["one", "two"]));
    fixture.write(
        "k8s/two.yaml",
        "containers:\n- name: x\n  image: myorg/two:latest\n- {name: two, image: 'nginx:alpine'}\n",
    );
    let expected = format!(
        "error: no manifest that is applied names `two`\n`k8s/two.yaml:3`: `myorg/two:latest` looks like it; write \
         `{0}`\n`k8s/two.yaml:4`: `nginx:alpine` looks like it; write `{0}`\n`cargo xtask manifests --adopt` writes \
         what looks like them\n`undeployed = [\"two\"]` in `[workspace.metadata.docker]` is for those",
        pinned("two")
    );
    fixture.xtask("manifests --check").fails().says(&expected);
    fixture.xtask("manifests --dry-run").fails().says(&expected);
    fixture.xtask("manifests").fails().says(&expected);
    assert!(fixture.read("k8s/pod.yaml").contains(&pinned("one")), "the others are pinned all the same");
    let json = fixture.xtask("manifests --json").fails().json();
    assert_eq!(json["undeployed"][0]["component"], "two");
    assert_eq!(json["undeployed"][0]["near"][0]["line"], 3);
    fixture.xtask("manifests --adopt --check").misused();
    fixture.xtask("manifests --adopt --dry-run").ok().says("dry run: 3 images");
    fixture.xtask("manifests --adopt").ok();
    let adopted = format!("containers:\n- name: x\n  image: {0}\n- {{name: two, image: '{0}'}}\n", pinned("two"));
    assert_eq!(fixture.read("k8s/two.yaml"), adopted);
    fixture.xtask("manifests --check").ok();
    // Somebody else's `two` is no more than named then.
    fixture.append("k8s/two.yaml", "- image: myorg/two:1\n");
    fixture
        .xtask("manifests --check")
        .ok()
        .says("note: `k8s/two.yaml:5`: `myorg/two:1` looks like `two` and is no image of it; it is left alone");
    fixture.remove("k8s/two.yaml");
    fixture.append("Cargo.toml", "[workspace.metadata.docker]\nundeployed = [\"two\"]\n");
    fixture.xtask("manifests --check").ok();
    fixture.replace("Cargo.toml", "[\"two\"]", "[\"twoo\"]");
    fixture
        .xtask("manifests")
        .fails()
        .says("`undeployed` in `[workspace.metadata.docker]` names `twoo`, which is no component; did you mean `two`?");
}

#[test]
fn what_is_applied_is_what_is_pinned() {
    let fixture = fixture();
    fixture.write("k8s/kustomization.yaml", "resources: [pod.yaml, ../shared, https://example.com/x.yaml]\n");
    fixture.write("shared/Kustomization", "resources: [two.json]\n");
    fixture.write("shared/two.json", r#"{"kind": "Pod", "spec": {"containers": [{"image": "localhost:5000/two:1"}]}}"#);
    fixture.write(RECORD, &record(&["one", "two"]));
    let changed = fixture.xtask("manifests --json").ok().json()["changed"].clone();
    assert_eq!(changed, serde_json::json!(["k8s/pod.yaml", "shared/two.json"]));
    // What no kustomization includes is pinned, and brings nothing to a cluster.
    fixture.write("k8s/kustomization.yaml", "resources: [../shared, gone.yaml]\n");
    fixture
        .xtask("manifests --check")
        .fails()
        .says("note: `k8s/kustomization.yaml` names `gone.yaml`, which is missing")
        .says("no manifest that is applied names `one`\n`k8s/pod.yaml` names `one`, and no kustomization");
    fixture.write(
        "k8s/kustomization.yaml",
        "resources: [pod.yaml]\nimages:\n- {name: two, newName: localhost:5000/two}\n",
    );
    fixture.append("k8s/pod.yaml", "    - image: two\n");
    fixture.xtask("manifests").ok().says_nothing_of("looks like");
    assert!(fixture.read("k8s/kustomization.yaml").contains(&digest("two")));
    // An entry wins over the base.
    fixture.write(
        "k8s/kustomization.yaml",
        "resources: [pod.yaml]\nimages:\n- {name: localhost:5000/one, newName: myorg/one}\n",
    );
    fixture
        .xtask("manifests --check")
        .fails()
        .says("no manifest that is applied names `one`, `two`\n`k8s/kustomization.yaml:3`: `myorg/one` looks like it");
    fixture.write(
        "k8s/kustomization.yaml",
        "resources: [pod.yaml]\nimages:\n- {name: two, newName: localhost:5000/two}\n",
    );
    fixture.xtask("manifests").ok();
    // An entry that replaces nothing deploys nothing.
    fixture.replace("k8s/pod.yaml", "image: two", "image: three");
    fixture.xtask("manifests --check").fails().says("no manifest that is applied names `two`");
    fixture.replace("k8s/kustomization.yaml", "[pod.yaml]", "[pod.yaml, https://example.com/x.yaml]");
    fixture.xtask("manifests --check").ok();
}

#[test]
fn first_manifests_are_written_for_components_that_have_none() {
    let fixture = Fixture::simple(&["one", "two"]);
    fixture.append("one/Cargo.toml", "[package.metadata.docker]\nport = 8080\n");
    let output = fixture.xtask("manifests --init --dry-run").ok();
    let written = "write k8s/one.yaml\nwrite k8s/two.yaml\nwrite k8s/namespace.yaml\nwrite k8s/kustomization.yaml\n";
    assert_eq!(output.stdout, written.replace("write", "would write"));
    assert!(!fixture.path("k8s").exists());
    let output = fixture.xtask("manifests --init").ok().says("note: `two` has no `port`").says_nothing_of("`one`");
    assert_eq!(output.stdout, written.replace("write", "wrote"));
    assert!(fixture.read("k8s/one.yaml").contains("image: nginx:alpine # xtask placeholder: one\n"));
    fixture.xtask("manifests --check --placeholder").ok().says("2 images of our components in 4 files, all up to date");
    fixture.xtask("manifests --init").ok().says("nothing to write: manifests name every component");
    fixture.write(RECORD, &record(&["one", "two"]));
    fixture.xtask("manifests").ok();
    assert!(fixture.read("k8s/two.yaml").contains(&format!("image: {}\n", pinned("two"))));
    // A component that comes later joins the others.
    fixture.remove("k8s/two.yaml").replace("k8s/kustomization.yaml", "  - two.yaml\n", "");
    let kustomization = fixture.read("k8s/kustomization.yaml");
    assert_eq!(fixture.xtask("manifests --init").ok().stdout, "wrote k8s/two.yaml\nchanged k8s/kustomization.yaml\n");
    assert_eq!(fixture.read("k8s/kustomization.yaml"), format!("{kustomization}  - two.yaml\n"));
    fixture.xtask("manifests --check").ok();
    fixture.write("k8s/two.yaml", "kind: List\n");
    fixture.xtask("manifests --init").fails().says("error: `k8s/two.yaml` exists, and does not name `two`");
    // What looks like one is for `--adopt`, what is left out on purpose for nobody.
    fixture.write("k8s/two.yaml", "containers: [{image: 'myorg/two:1'}]\n");
    fixture.xtask("manifests --init").ok().says("nothing to write");
}

#[test]
fn json_counts_when_it_is_a_manifest() {
    let fixture = fixture();
    fixture.write("k8s/pod.json", r#"{"apiVersion": "v1", "containers": [{"image": "localhost:5000/one:1"}]}"#);
    fixture.write(
        "k8s/dashboard.json",
        r#"{"note": "localhost:5000/one:1", "containers": [{"image": "localhost:5000/one:1"}]}"#,
    );
    let output = fixture.xtask("manifests").ok().says_nothing_of("dashboard");
    assert!(output.stdout.contains("changed k8s/pod.json") && !output.stdout.contains("dashboard"), "{output:?}");
}

#[test]
fn values_of_other_tools_are_pinned() {
    let fixture = fixture();
    fixture.append(
        "Cargo.toml",
        "[workspace.metadata.docker]\nmanifests = [\"k8s\", { file = \"chart/values.yaml\", key = \"two.image\" }, \
         { file = \"stage.tfvars\", key = \"docker_tag\", value = \"tag\" }]\n",
    );
    fixture.write("chart/values.yaml", "two:\n  image: {repository: localhost:5000/two, tag: main} # x\n");
    fixture.write("chart/templates/pod.yaml", "{{ broken").write("stage.tfvars", "docker_tag = \"old\"\n");
    fixture.write(RECORD, &record(&["one", "two"]));
    fixture.xtask("manifests --check").fails().says("3 of 3 manifests differ");
    fixture.xtask("manifests").ok();
    let values = format!("two:\n  image: {{repository: localhost:5000/two, tag: sha-1234567@{}}} # x\n", digest("two"));
    assert_eq!(fixture.read("chart/values.yaml"), values);
    assert_eq!(fixture.read("stage.tfvars"), "docker_tag = \"sha-1234567\"\n");
    fixture.xtask("manifests --check").ok();
    fixture
        .xtask("manifests --placeholder")
        .ok()
        .says("note: `chart/values.yaml` is left alone: only manifests take placeholders");
    fixture.replace("Cargo.toml", "\"k8s\",", "\"k8s\", \"chart\",");
    fixture
        .xtask("manifests")
        .fails()
        .says("`chart/templates/pod.yaml:2")
        .says("of Helm, `manifests` takes the chart's values");
    fixture.replace("Cargo.toml", "value = \"tag\"", "valeu = \"tag\"");
    fixture.xtask("manifests").fails().says("unknown field `valeu`");
}

#[test]
fn a_file_that_changes_meanwhile_is_not_overwritten() {
    let fixture = fixture();
    let value = "{ file = \"last.env\", key = \"X\", value = \"digest\", component = \"one\" }";
    fixture.append("Cargo.toml", &format!("[workspace.metadata.docker]\nmanifests = [\"k8s\", {value}]\n"));
    // It is read last, and reading it takes until somebody writes.
    let pipe = fixture.path("last.env");
    crate::support::succeed(std::process::Command::new("mkfifo").arg(&pipe));
    let edited = POD.replace("main", "edited");
    let xtask = fixture.xtask("manifests");
    let output = std::thread::scope(|scope| {
        let run = scope.spawn(|| xtask.fails());
        let mut writer = std::fs::File::options().write(true).open(&pipe).unwrap();
        fixture.write("k8s/pod.yaml", &edited);
        std::io::Write::write_all(&mut writer, format!("X={}\n", digest("one")).as_bytes()).unwrap();
        drop(writer);
        run.join().unwrap()
    });
    output.says("k8s/pod.yaml` changed meanwhile, so no file was changed\nhint: run it again");
    assert_eq!(fixture.read("k8s/pod.yaml"), edited);
}

#[test]
fn other_objects_are_pinned_by_their_paths() {
    let fixture = fixture();
    fixture.append("Cargo.toml", "[workspace.metadata.docker]\nimage-paths = [\"templates.container.image\"]\n");
    let flow = "kind: Workflow\nspec:\n  templates:\n    - name: a\n      container: {image: IMAGE}\n      script: {image: IMAGE}\n";
    fixture.write("k8s/flow.yaml", &flow.replace("IMAGE", "localhost:5000/one:1"));
    let note = "note: `k8s/flow.yaml:6`: `localhost:5000/one:1` is not the image of a container, and is left alone";
    fixture.xtask("manifests").ok().says(note);
    fixture.xtask("manifests --check").ok().says(note);
    let pinned = flow.replacen("IMAGE", &pinned("one"), 1).replace("IMAGE", "localhost:5000/one:1");
    assert_eq!(fixture.read("k8s/flow.yaml"), pinned);
}

#[test]
fn a_kustomization_leads_nowhere_outside_the_workspace() {
    let fixture = fixture();
    std::fs::write(fixture.beside("one.yaml"), POD).unwrap();
    fixture.write("k8s/kustomization.yaml", "resources: [../../one.yaml]\n");
    fixture.xtask("manifests").fails().says("leads out of the workspace by `../../one.yaml`");
    assert_eq!(std::fs::read_to_string(fixture.beside("one.yaml")).unwrap(), POD);
}

#[test]
fn line_ends_that_only_kubectl_sees_are_refused() {
    for end in ['\u{85}', '\u{2028}', '\u{2029}'] {
        let fixture = fixture();
        let text = POD.replace("# why", &format!("# why{end}    - image: localhost:5000/one:old"));
        fixture.write("k8s/pod.yaml", &text);
        fixture.xtask("manifests").fails().says("`k8s/pod.yaml:4`").says("a line end of Unicode");
        assert_eq!(fixture.read("k8s/pod.yaml"), text);
    }
}

#[test]
fn without_kubectl_nobody_says_what_kustomizations_make() {
    let fixture = fixture();
    fixture.write("k8s/kustomization.yaml", "resources: [pod.yaml]\n");
    let folder = fixture.path("bin");
    std::fs::create_dir(&folder).unwrap();
    for program in ["cargo", "git", "rustc"] {
        let found = which::which(program).unwrap();
        std::os::unix::fs::symlink(found, folder.join(program)).unwrap();
    }
    let output = fixture.xtask("manifests").env("PATH", folder.to_str().unwrap()).ok();
    output.says("note: ").says("kubectl");
}
