//! Whether what runs is what was recorded, however registries and kubelets call it.

use serde_json::{Value, json};

use crate::parts::{copy, platform, registry, run, tool, unique};
use crate::stage::{Image, Stage, Workload, alpha, entry};
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
    let elsewhere = format!("{}/xtask-test/{}", registry(), unique("smoke-elsewhere"));
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
    stage.deploy(Workload::new("alpha", &image.pinned()));
    stage.fails_with("", "identity", "mismatch");
    // The same as the record says, were it still there to be compared.
    tool("skopeo", &["delete", "--tls-verify=false", &format!("docker://{}", image.pinned())]);
    let (_, check) = stage.fails_with("", "identity", "unverifiable");
    assert!(check["message"].as_str().unwrap().contains(&image.digest), "{check}");
    stage.passes("--allow-unverifiable");
}

#[test]
#[ignore = "needs a cluster, a registry and skopeo"]
fn the_registry_is_asked_before_anything_is_applied() {
    let stage = Stage::without_namespace("not-pushed");
    let missing = Image { digest: format!("sha256:{}", "1".repeat(64)), ..alpha().clone() };
    stage.record(&[("alpha", &missing)]);
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": stage.namespace } });
    stage.fixture.write("k8s/namespace.yaml", &namespace.to_string());
    let (output, check) = stage.fails_with("--apply", "registry", "not-in-registry");
    assert!(check["message"].as_str().unwrap().contains(&missing.digest), "{check}");
    output.says("nothing is applied");
    assert!(!run("kubectl", &["get", "namespace", &stage.namespace]).success);
}
