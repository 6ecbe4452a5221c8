//! Whether what runs is what was recorded, however registries and kubelets call it.

use serde_json::{Value, json};

use crate::parts::{copy, platform, registry, run, tool, unique};
use crate::stage::{Image, Stage, Workload, alpha, context, entry, find, settings};
use crate::support::image::digest;

/// The node's platform, as an index writes it.
fn platform_object() -> Value {
    let (os, architecture) = platform().split_once('/').unwrap();
    json!({ "os": os, "architecture": architecture })
}

/// An address of a repository's API.
fn api(repository: &str, path: &str) -> String {
    format!("http://{}/v2/{}/{path}", registry(), repository.split_once('/').unwrap().1)
}

/// Puts a manifest or an index into a repository and gives its digest.
fn push_manifest(repository: &str, manifest: &Value) -> String {
    let bytes = manifest.to_string().into_bytes();
    let digest = digest(&bytes);
    ureq::put(api(repository, &format!("manifests/{digest}")))
        .header("Content-Type", manifest["mediaType"].as_str().unwrap())
        .send(&bytes[..])
        .expect("a pushed manifest");
    digest
}

fn get(url: &str) -> Vec<u8> {
    let accepted = "application/vnd.oci.image.manifest.v1+json";
    let mut answer = ureq::get(url).header("Accept", accepted).call().expect("an answer of the registry");
    answer.body_mut().read_to_vec().unwrap()
}

fn get_json(url: &str) -> Value {
    serde_json::from_slice(&get(url)).unwrap()
}

/// Puts an index of `image`, which no other note gives, into a repository and gives its digest.
fn push_index(repository: &str, image: &Image, note: &str) -> String {
    let size = get(&api(repository, &format!("manifests/{}", image.digest))).len();
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": image.digest,
            "size": size,
            "platform": platform_object(),
        }],
        "annotations": { "note": note },
    });
    push_manifest(repository, &index)
}

/// `image` with another label, as another build of it would be: content that no node has yet.
fn variant(image: &Image, label: &str) -> Image {
    let repository = &image.repository;
    let mut manifest = get_json(&api(repository, &format!("manifests/{}", image.digest)));
    let mut config = get_json(&api(repository, &format!("blobs/{}", image.config)));
    config["config"]["Labels"]["variant"] = json!(label);
    let bytes = config.to_string().into_bytes();
    let config = digest(&bytes);
    let upload = ureq::post(api(repository, "blobs/uploads/")).send_empty().expect("an upload");
    let location = upload.headers()["Location"].to_str().unwrap();
    let separator = if location.contains('?') { '&' } else { '?' };
    ureq::put(format!("{location}{separator}digest={config}")).send(&bytes[..]).expect("a pushed config");
    manifest["config"]["digest"] = json!(config);
    manifest["config"]["size"] = json!(bytes.len());
    Image { repository: repository.clone(), digest: push_manifest(repository, &manifest), config }
}

fn delete(stage: &mut Stage, image: &str) {
    stage.cleanup.add(&format!("skopeo delete --tls-verify=false docker://{image}"));
}

#[test]
#[ignore = "needs a cluster, a registry and skopeo"]
fn a_tag_that_was_pushed_again_is_found_out_and_a_pinned_pod_passes() {
    let mut stage = Stage::new("moved-tag");
    let tagged = format!("{}:{}", alpha().repository, unique("moved"));
    let before = variant(alpha(), &unique("before"));
    delete(&mut stage, &before.pinned());
    copy(&format!("docker://{}", before.pinned()), &format!("docker://{tagged}"));
    stage.deploy(Workload::new("alpha", &tagged));
    stage.kubectl("rollout status deployment/alpha --timeout=60s");
    copy(&format!("docker://{}", alpha().pinned()), &format!("docker://{tagged}"));
    // To kubectl nothing is wrong: the Deployment names the recorded image's tag, and runs the old one.
    let (_, check) = stage.fails_with("", "identity", "mismatch");
    assert!(check["message"].as_str().unwrap().contains(&before.digest), "{check}");
    stage.deploy(Workload::new("alpha", &alpha().pinned()));
    stage.passes("");
}

#[test]
#[ignore = "needs a cluster, a registry and skopeo"]
fn the_same_content_elsewhere_under_another_index_passes() {
    let mut stage = Stage::new("same");
    let name = unique("smoke-elsewhere");
    let elsewhere = format!("{}/xtask-test/{name}-alpha", registry());
    let environment = format!(
        "\n[workspace.metadata.docker.environments.elsewhere]\nregistry = \"{}\"\nrepository = \
         \"xtask-test/{name}-{{component}}\"\n",
        registry()
    );
    stage.fixture.write("Cargo.toml", &(settings("settle = \"1s\"") + &environment));
    copy(&format!("docker://{}", alpha().pinned()), &format!("docker://{elsewhere}:v1"));
    delete(&mut stage, &format!("{elsewhere}:v1"));
    let recorded = push_index(&alpha().repository, alpha(), "recorded");
    let running = push_index(&elsewhere, alpha(), "running");
    assert_ne!(recorded, running);
    let platforms = json!({ platform(): { "digest": alpha().digest, "config": alpha().config, "size": 1 } });
    stage.write_record(&json!({ "alpha": entry(&alpha().repository, &recorded, platforms) }));
    stage.deploy(Workload::new("alpha", &format!("{elsewhere}@{running}")));
    stage.passes("");
    // A record of the first four fields says as much.
    stage.write_record(&json!({ "alpha": entry(&alpha().repository, &recorded, json!({})) }));
    stage.passes("");
}

#[test]
#[ignore = "needs a cluster, a registry and skopeo"]
fn what_cannot_be_resolved_is_unverifiable_and_may_be_let_pass() {
    let stage = Stage::new("unknown");
    let image = variant(alpha(), &unique("gone"));
    let tagged = format!("{}:{}", alpha().repository, unique("gone"));
    copy(&format!("docker://{}", image.pinned()), &format!("docker://{tagged}"));
    stage.deploy(Workload::new("alpha", &tagged));
    stage.fails_with("", "identity", "mismatch");
    // The same as the record says, were it still there to be compared.
    tool("skopeo", &["delete", "--tls-verify=false", &format!("docker://{}", image.pinned())]);
    let (_, check) = stage.fails_with("", "identity", "unverifiable");
    assert!(check["message"].as_str().unwrap().contains(&image.digest), "{check}");
    stage.passes("--allow-unverifiable");
}

#[test]
#[ignore = "needs a cluster, a registry and skopeo"]
fn a_digest_that_the_pods_spec_names_counts_whatever_the_node_calls_it() {
    let mut stage = Stage::new("other-name");
    // The node knows the content by the name that it was pulled by first, and the registry no longer does.
    let image = variant(alpha(), &unique("named"));
    delete(&mut stage, &image.pinned());
    let first = push_index(&alpha().repository, &image, "first");
    let second = push_index(&alpha().repository, &image, "second");
    let of = |digest: &str| format!("{}@{digest}", alpha().repository);
    stage.write_record(&json!({ "alpha": entry(&alpha().repository, &second, json!({})) }));
    for digest in [&first, &second] {
        stage.deploy(Workload::new("alpha", &of(digest)));
        stage.kubectl("rollout status deployment/alpha --timeout=60s");
    }
    tool("skopeo", &["delete", "--tls-verify=false", &format!("docker://{}", of(&first))]);
    stage.passes("");
}

#[test]
#[ignore = "needs a cluster, a registry and skopeo"]
fn ours_is_told_by_repository_and_not_by_name() {
    let mut stage = Stage::new("foreign");
    let name = unique("smoke-foreign");
    // Somebody else's Deployment, whose container has a component's name, and a real nginx of theirs.
    let foreign = format!("{}/xtask-test/{name}", registry());
    copy(&format!("docker://{}", alpha().pinned()), &format!("docker://{foreign}:v1"));
    delete(&mut stage, &format!("{foreign}:v1"));
    stage.record(&[("beta", crate::stage::beta()), ("alpha", alpha())]);
    stage.deploy(Workload::new("beta", &crate::stage::beta().pinned()));
    stage.deploy(Workload::new("alpha", &alpha().pinned()));
    let mut search = Workload::new("search", &format!("{foreign}:v1")).with("name", json!("alpha")).manifest();
    search["spec"]["template"]["spec"]["containers"][0]["name"] = json!("alpha");
    stage.apply(&search);
    let report = stage.passes("");
    assert!(find(&report, "identity", "foreign").is_some(), "{report:#}");
    // Ours, at another environment's registry, running what it should not.
    let environment = format!(
        "\n[workspace.metadata.docker.environments.stage]\nregistry = \"{}\"\nrepository = \"xtask-test/{name}\"\n",
        registry()
    );
    let environment = environment.replace(&name, &format!("{name}-{{component}}"));
    stage.fixture.write("Cargo.toml", &(settings("settle = \"1s\"") + &environment));
    let staged = format!("{}/xtask-test/{name}-alpha:v1", registry());
    copy(&format!("docker://{}", crate::stage::beta().pinned()), &format!("docker://{staged}"));
    delete(&mut stage, &staged);
    stage.deploy(Workload::new("web", &staged));
    let (_, check) = stage.fails_with("", "identity", "mismatch");
    assert_eq!(check["subject"], "web", "{check}");
}

#[test]
#[ignore = "needs a cluster, a registry and skopeo"]
fn an_older_commits_manifests_are_a_complete_rollback() {
    let mut stage = Stage::new("rollback");
    let before = variant(alpha(), &unique("before"));
    delete(&mut stage, &before.pinned());
    let write = |image: &Image| {
        let manifest = Workload::new("alpha", &image.pinned()).manifest();
        stage.fixture.write("k8s/alpha.yaml", &manifest.to_string());
        let kustomization = format!("namespace: {}\nresources:\n  - alpha.yaml\n", stage.namespace);
        stage.fixture.write("k8s/kustomization.yaml", &kustomization);
    };
    stage.fixture.write(".gitignore", "/artifacts\n/target\n");
    let apply = format!("--apply --context {}", context());
    let smoke = |arguments: &str| stage.fixture.xtask(&format!("smoke --json {arguments}"));
    stage.fixture.git_init();
    write(&before);
    stage.fixture.commit("the first");
    stage.record(&[("alpha", &before)]);
    smoke(&apply).ok();
    write(alpha());
    stage.fixture.commit("the second");
    stage.record(&[("alpha", alpha())]);
    smoke(&apply).ok();
    // The record, which git ignores, stays that of the second.
    stage.fixture.git(&["revert", "--no-edit", "HEAD"]);
    let output = smoke(&apply).ok();
    output.says("which the digest record does not know");
    let image = stage.kubectl("get deployment alpha --output=jsonpath={.spec.template.spec.containers[0].image}");
    assert_eq!(image, before.pinned());
    // What is applied is not what runs: somebody undid it.
    stage.kubectl("rollout undo deployment/alpha");
    let output = smoke("").fails();
    assert!(find(&output.json(), "identity", "mismatch").is_some(), "{}", output.stdout);
    // Who asks for the record's gets it.
    smoke("--digests artifacts/docker/docker-image-digests.json").ok();
}

#[test]
#[ignore = "needs a cluster, a registry and skopeo"]
fn the_registry_is_asked_before_anything_is_applied() {
    let stage = Stage::without_namespace("not-pushed");
    let missing = Image { digest: format!("sha256:{}", "1".repeat(64)), ..alpha().clone() };
    stage.record(&[("alpha", &missing)]);
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": stage.namespace } });
    stage.fixture.write("k8s/namespace.yaml", &namespace.to_string());
    let (output, check) = stage.fails_with(&format!("--apply --context {}", context()), "registry", "not-in-registry");
    assert!(check["message"].as_str().unwrap().contains(&missing.digest), "{check}");
    output.says("nothing is applied");
    assert!(!run("kubectl", &["get", "namespace", &stage.namespace]).success);
}
