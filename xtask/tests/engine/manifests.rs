//! What kustomize and a cluster make of manifests that were pinned.

use std::process::Command;

use serde_json::json;

use crate::parts::Cleanup;
use crate::project::Shared;
use crate::stage::{Stage, Workload, alpha, beta, kubectl};
use crate::support::{Fixture, Xtask, image, package, succeed};

/// The images in what `kubectl kustomize` prints.
fn rendered(fixture: &Fixture) -> Vec<String> {
    let text = succeed(Command::new("kubectl").args(["kustomize"]).arg(fixture.path("k8s")));
    text.lines()
        .filter_map(|line| line.trim_start_matches([' ', '-']).strip_prefix("image: "))
        .map(str::to_owned)
        .collect()
}

#[test]
#[ignore = "needs kubectl"]
fn kustomize_takes_the_digests_that_were_written() {
    let fixture = Fixture::simple(&["one"]);
    let digest = image::digest(b"one");
    let pinned = format!("localhost:5000/one@{digest}");
    let record = format!(
        "{{\"one\": {{\"repository\": \"localhost:5000/one\", \"digest\": \"{digest}\", \"image\": \"{pinned}\", \
         \"gitShaTag\": \"localhost:5000/one:sha-1\"}}}}"
    );
    fixture.write("artifacts/docker/docker-image-digests.json", &record);
    let pod = |name: &str, image: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec: {{containers: [{{name: a, image: \"{image}\"}}]}}\n---\n"
        )
    };
    let names = ["tagged", "renamed", "bare", "both"];
    let pods: String = names.iter().map(|name| pod(name, &format!("{name}:1"))).collect();
    fixture.write("k8s/pods.yaml", &format!("{pods}{}", pod("direct", "localhost:5000/one:main")));
    let kustomization = "resources: [pods.yaml]\nimages:\n- name: tagged\n  newName: localhost:5000/one\n  newTag: main\n\
                         - {name: renamed, newName: localhost:5000/one, digest: 'sha256:12'}\n\
                         - name: bare # here\n  newName: localhost:5000/one\n";
    fixture.write("k8s/kustomization.yaml", kustomization);
    fixture.xtask("manifests").ok();
    assert_eq!(
        rendered(&fixture),
        [&pinned, "both:1", &pinned, &pinned, &pinned],
        "bare, both, direct, renamed, tagged"
    );
    let text = fixture.read("k8s/kustomization.yaml");
    fixture.xtask("manifests --placeholder").ok();
    assert_eq!(rendered(&fixture), ["nginx:alpine", "both:1", "nginx:alpine", "nginx:alpine", "nginx:alpine"]);
    fixture.xtask("manifests").ok();
    assert_eq!(fixture.read("k8s/kustomization.yaml"), text);
    // With a tag as well, the digest still decides.
    let both = "- name: both\n  newName: localhost:5000/one\n  newTag: main\n  digest: sha256:12\n";
    fixture.append("k8s/kustomization.yaml", both);
    fixture.xtask("manifests").ok();
    assert!(rendered(&fixture)[1].ends_with(&format!("@{digest}")), "{:?}", rendered(&fixture));
    fixture.xtask("manifests --placeholder").fails().says("has `digest` and `newTag`; remove `newTag`");
}

/// A stage whose workspace has the component `alpha`.
fn with_member(name: &str) -> Stage {
    let stage = Stage::without_namespace(name);
    stage.fixture.write("Cargo.toml", "[workspace]\nresolver = \"3\"\nmembers = [\"alpha\"]\n");
    stage.fixture.write("alpha/Cargo.toml", &package("alpha", "")).write("alpha/src/main.rs", "fn main() {}\n");
    stage.fixture.lock();
    stage
}

/// `smoke --apply` in the context that the tests have.
fn apply(stage: &Stage, arguments: &str) -> Xtask {
    let context = kubectl(&["config", "current-context"]);
    stage.fixture.xtask(&format!("smoke --apply --context {} --timeout 90s {arguments}", context.trim()))
}

fn namespace(name: &str) -> String {
    json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } }).to_string()
}

#[test]
#[ignore = "needs a cluster, a registry and skopeo"]
fn the_seeds_image_is_adopted_in_a_base_behind_an_overlay_and_runs() {
    let stage = with_member("overlay");
    let fixture = &stage.fixture;
    let seed = Workload::new("alpha", "nginx:alpine").manifest();
    fixture.write("shared/alpha.json", &serde_json::to_string_pretty(&seed).unwrap());
    fixture.write("shared/Kustomization", "resources: [alpha.json]\nnamespace: nowhere\n");
    let overlay =
        |more: &str| format!("namespace: {}\nresources: [../../../shared, namespace.yaml]\n{more}", stage.namespace);
    fixture.write("k8s/overlays/test/kustomization.yaml", &overlay("")).write("k8s/stray.txt", "");
    fixture.write("k8s/overlays/test/namespace.yaml", &namespace(&stage.namespace));
    // Nothing applied names alpha's image: in JSON, the name of its container does.
    fixture.xtask("manifests --check").fails().says("error: 1 of 4 manifests differ");
    fixture.replace("shared/alpha.json", "nginx:alpine", "myorg/alpha:latest");
    fixture
        .xtask("manifests --check")
        .fails()
        .says("no manifest that is applied names `alpha`")
        .says(&format!("`shared/alpha.json:23`: `myorg/alpha:latest` looks like it; write `{}`", alpha().pinned()));
    fixture.xtask("manifests --adopt").ok();
    assert!(fixture.read("shared/alpha.json").contains(&alpha().pinned()));
    apply(&stage, "").ok();
    let running = stage.kubectl("get deployment alpha --output=jsonpath={.spec.template.spec.containers[0].image}");
    assert_eq!(running, alpha().pinned());
    // Of two variants of one base, nobody knows which is meant.
    fixture.write("k8s/overlays/other/kustomization.yaml", "resources: [../../../shared]\n");
    apply(&stage, "")
        .fails()
        .says("error: the kustomizations `k8s/overlays/other`, `k8s/overlays/test` share files, so only one of them");
    fixture.append("Cargo.toml", "[workspace.metadata.docker]\nmanifests = [\"k8s/overlays/test\"]\n");
    // An entry of the overlay decides, whatever the base says.
    fixture.replace("shared/alpha.json", &alpha().pinned(), "alpha");
    let name = alpha().repository.clone();
    fixture.write(
        "k8s/overlays/test/kustomization.yaml",
        &overlay(&format!("images:\n- name: alpha\n  newName: {name}\n  newTag: old\n")),
    );
    fixture.xtask("manifests").ok().says_nothing_of("looks like");
    apply(&stage, "").ok();
    let running = stage.kubectl("get deployment alpha --output=jsonpath={.spec.template.spec.containers[0].image}");
    assert_eq!(running, alpha().pinned());
}

#[test]
#[ignore = "needs a cluster, a registry and skopeo"]
fn plain_files_of_two_namespaces_are_applied_with_json_and_without_what_is_hidden() {
    let stage = with_member("plain");
    let fixture = &stage.fixture;
    let second = format!("{}-b", stage.namespace);
    let mut cleanup = Cleanup::default();
    cleanup.add(&format!("kubectl delete namespace {second} --ignore-not-found --wait=false"));
    // Namespaces come first, whatever their files are named.
    for (file, name) in [("a.json", &stage.namespace), ("b.yaml", &second)] {
        fixture.write(&format!("k8s/z-{file}"), &namespace(name));
        let mut manifest = Workload::new("alpha", &format!("{}:old", alpha().repository)).manifest();
        manifest["metadata"]["namespace"] = json!(name);
        fixture.write(&format!("k8s/alpha-{file}"), &manifest.to_string());
    }
    // None of these is for kubectl.
    fixture
        .write("k8s/.hidden/broken.yaml", "no object\n")
        .write("k8s/values.yaml", &format!("image: {}\n", alpha().repository));
    fixture.write("k8s/compose.yaml", "services: {}\n").write("k8s/package.json", "{}");
    let value = "{ file = \"k8s/values.yaml\", key = \"image\" }";
    fixture.append("Cargo.toml", &format!("[workspace.metadata.docker]\nmanifests = [\"k8s\", {value}]\n"));
    fixture.xtask("manifests").ok().says("3 images of our components in 6 files, 3 of them changed");
    apply(&stage, &format!("--namespace {}", stage.namespace)).ok();
    for namespace in [&stage.namespace, &second] {
        let images = "--output=jsonpath={.items[*].spec.template.spec.containers[*].image}";
        assert_eq!(kubectl(&["--namespace", namespace, "get", "deployments", images]), alpha().pinned());
    }
}

#[test]
#[ignore = "needs a cluster, a registry and skopeo"]
fn what_names_a_digest_nowhere_is_not_applied() {
    let stage = with_member("unpinned");
    stage.record(&[("beta", beta())]);
    let manifest = Workload::new("alpha", "localhost:5000/alpha:main").manifest();
    stage.fixture.write("k8s/0.json", &namespace(&stage.namespace)).write("k8s/alpha.json", &manifest.to_string());
    stage.fixture.append("Cargo.toml", "[workspace.metadata.docker]\nregistry = \"localhost:5000\"\n");
    let output = apply(&stage, &format!("--namespace {}", stage.namespace)).fails();
    output.says("nothing is applied, since not all images are pinned");
    assert_eq!(kubectl(&["get", "namespace", &stage.namespace, "--ignore-not-found", "--output=name"]), "");
}

#[test]
#[ignore = "needs a cluster, a registry and skopeo"]
fn first_manifests_run() {
    let stage = with_member("first");
    let fixture = &stage.fixture;
    fixture.append("alpha/Cargo.toml", "[package.metadata.docker]\nport = 8080\n");
    fixture.xtask("manifests --init").ok();
    let folder = fixture.root().file_name().unwrap().to_str().unwrap().to_lowercase();
    for file in ["k8s/kustomization.yaml", "k8s/namespace.yaml"] {
        let text = fixture.read(file);
        let name =
            text.lines().find_map(|line| line.trim().strip_prefix("namespace: ").or(line.strip_prefix("  name: ")));
        let name = name.expect("a name");
        assert!(folder.ends_with(name) || name == "app" || folder.contains(name), "{name} of {folder}");
        fixture.write(file, &text.replace(name, &stage.namespace));
    }
    fixture.xtask("manifests --check").ok();
    let output = apply(&stage, "").ok();
    assert!(output.stdout.contains("alpha"), "{}", output.stdout);
    let running = stage.kubectl("get deployment alpha --output=jsonpath={.spec.template.spec.containers[0].image}");
    assert_eq!(running, alpha().pinned());
}

#[test]
#[ignore = "needs a container engine, a registry, skopeo and oras"]
fn a_publication_says_what_no_manifest_brings_to_a_cluster() {
    let shared = Shared::new("undeployed", &["one"], "");
    shared
        .publish("")
        .ok()
        .says("nothing to pin: no manifest in `k8s`; `cargo xtask manifests --init` writes first ones");
    let fixture = &shared.fixture;
    fixture.write("k8s/kustomization.yaml", "resources: [../base]\n");
    fixture.write("base/kustomization.yaml", "resources: [pod.yaml]\n");
    fixture.write("base/pod.yaml", "containers:\n- {name: one, image: 'nginx:alpine'}\n");
    shared.commit("manifests");
    shared.publish("").ok().says(
        "warning: no manifest that is applied names `one`\n`base/pod.yaml:2`: `nginx:alpine` looks like it; write `",
    );
    // What pinning changes is no change of the tree, wherever it lies.
    shared.fixture.xtask("manifests --adopt").ok();
    shared.publish("").ok().says_nothing_of("warning: no manifest");
}

#[test]
#[ignore = "needs docker-registry and kubectl"]
fn what_a_kustomization_changes_after_all_is_an_error() {
    let shared = Shared::new("rendered", &["one"], "");
    let fixture = &shared.fixture;
    let image = shared.name("one");
    let pod = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: one}}\nspec:\n  containers:\n  - {{name: one, image: {image}:x}}\n"
    );
    fixture.write("k8s/pod.yaml", &pod).write("k8s/kustomization.yaml", "resources: [pod.yaml]\n");
    shared.commit("manifests");
    shared.publish("").ok().says("pinned k8s/pod.yaml").says_nothing_of("warning: ");
    let patch = |value: &str| {
        format!(
            "patches:\n- target: {{kind: Pod}}\n  patch: |-\n    - {{op: replace, path: /spec/containers/0/image, value: {value}}}\n"
        )
    };
    let wrong = format!("gives `{image}:old` for `one`, not `{image}@sha256:");
    let entry = |name: &str| format!("images:\n- {{name: '{name}', newTag: old}}\n");
    for (more, says) in [
        (patch(&format!("'{image}:old'")), wrong.as_str()),
        // kustomize takes names for patterns.
        (entry(&image.replace("one", "o.e")), &wrong),
        (patch("'evil/x:1'"), "no manifest that is applied names `one`"),
    ] {
        fixture.write("k8s/kustomization.yaml", &format!("resources: [pod.yaml]\n{more}"));
        fixture.xtask("manifests --check").fails().says(says);
        fixture.xtask("manifests").fails().says(says);
        shared.commit("changed");
        shared.publish("").ok().says("warning: ").says(says);
    }
    fixture.write("k8s/kustomization.yaml", "resources: [pod.yaml]\n");
    fixture.xtask("manifests --check").ok();
}
