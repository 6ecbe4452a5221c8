//! `digests verify` and `releases fetch --fallback-tag` against a real registry, with images that
//! another tool pushed.

use std::fs;
use std::ops::Deref;
use std::path::Path;

use serde_json::{Value, json};

use crate::parts::{Cleanup, Scene, registry, run, tool};
use crate::support::image::digest;
use crate::support::{Xtask, package};

const OCI: &str = "application/vnd.oci.image";
/// What the images say that they are made of.
const REVISION: &str = "9c68c4a000000000000000000000000000000000";

/// A workspace of two components, whose images are in the registry, and the record of them.
struct Published {
    scene: Scene,
    record: Value,
    _cleanup: Cleanup,
}

impl Deref for Published {
    type Target = Scene;

    fn deref(&self) -> &Scene {
        &self.scene
    }
}

/// Writes a blob of a layout and gives its descriptor.
fn blob(layout: &Path, kind: &str, bytes: &[u8]) -> Value {
    let digest = digest(bytes);
    fs::create_dir_all(layout.join("blobs/sha256")).expect("a folder");
    fs::write(layout.join("blobs").join(digest.replace(':', "/")), bytes).expect("a blob");
    json!({"mediaType": format!("{OCI}.{kind}"), "digest": digest, "size": bytes.len()})
}

/// An image for one platform: its manifest's descriptor, and its entry of the record.
fn image(layout: &Path, architecture: &str, text: &str) -> (Value, Value) {
    let layer = flate2::read::GzEncoder::new(text.as_bytes(), flate2::Compression::none());
    let layer: Vec<u8> = std::io::Read::bytes(layer).map(|byte| byte.expect("memory")).collect();
    let config = json!({
        "architecture": architecture,
        "os": "linux",
        "config": {"Labels": {"org.opencontainers.image.revision": REVISION}},
        "rootfs": {"type": "layers", "diff_ids": [digest(text.as_bytes())]},
    });
    let config = blob(layout, "config.v1+json", config.to_string().as_bytes());
    let layer = blob(layout, "layer.v1.tar+gzip", &layer);
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": format!("{OCI}.manifest.v1+json"),
        "config": config,
        "layers": [layer],
    });
    let mut manifest = blob(layout, "manifest.v1+json", manifest.to_string().as_bytes());
    manifest["platform"] = json!({"architecture": architecture, "os": "linux"});
    let size: u64 = [&config, &layer, &manifest].map(|part| part["size"].as_u64().unwrap()).iter().sum();
    let recorded = json!({"digest": manifest["digest"], "config": config["digest"], "size": size});
    (manifest, recorded)
}

/// Makes `top` the one image of a layout and pushes it as `tags`.
fn push(layout: &Path, top: &Value, repository: &str, tags: &[&str], cleanup: &mut Cleanup) {
    let index = json!({"schemaVersion": 2, "manifests": [top]});
    fs::write(layout.join("index.json"), index.to_string()).expect("an index");
    fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("a marker");
    let from = format!("oci:{}", layout.display());
    for tag in tags {
        let to = format!("docker://{repository}:{tag}");
        let options = ["copy", "--quiet", "--insecure-policy", "--all", "--dest-tls-verify=false", &from, &to];
        tool("skopeo", &options);
        cleanup.add(&format!("skopeo delete --tls-verify=false {to}"));
    }
}

impl Published {
    /// `one` is an image of one platform, `two` an index of two.
    fn new(name: &str) -> Self {
        let files = ["one", "two"].map(|name| {
            [
                (format!("{name}/Cargo.toml"), package(name, "")),
                (format!("{name}/src/main.rs"), "fn main() {}\n".into()),
            ]
        });
        let files: Vec<(String, String)> = files.into_iter().flatten().collect();
        let files: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        let scene = Scene::new(name, &["one", "two"], "", &files);
        let mut cleanup = Cleanup::default();
        let mut record = json!({});
        for (component, architectures) in [("one", &["amd64"][..]), ("two", &["amd64", "arm64"])] {
            let repository = format!("{}/xtask-test/{}-{component}", registry(), scene.id);
            let layout = scene.beside(component);
            let mut platforms = json!({});
            let mut manifests = Vec::new();
            for architecture in architectures {
                let (manifest, recorded) = image(&layout, architecture, &format!("{component} {}", scene.id));
                platforms[format!("linux/{architecture}")] = recorded;
                manifests.push(manifest);
            }
            let top = if manifests.len() == 1 {
                manifests.remove(0)
            } else {
                let kind = format!("{OCI}.index.v1+json");
                let index = json!({"schemaVersion": 2, "mediaType": kind, "manifests": manifests});
                blob(&layout, "index.v1+json", index.to_string().as_bytes())
            };
            push(&layout, &top, &repository, &["sha-9c68c4a", "main"], &mut cleanup);
            record[component] = json!({
                "repository": repository,
                "digest": top["digest"],
                "image": format!("{repository}@{}", top["digest"].as_str().unwrap()),
                "gitShaTag": format!("{repository}:sha-9c68c4a"),
                "tags": ["sha-9c68c4a", "main"],
                "platforms": platforms,
            });
        }
        Published { scene, record, _cleanup: cleanup }
    }

    fn verify(&self, record: &Value) -> Xtask {
        self.write("artifacts/docker/docker-image-digests.json", &record.to_string());
        self.xtask("digests verify --json")
    }

    /// The verdict on `two` in `record`, that on `one` being ok, and the reason.
    #[track_caller]
    fn verdict(&self, record: &Value) -> (String, String) {
        let list = self.verify(record).fails().json();
        assert_eq!(list[0]["verdict"], "ok", "{list:#}");
        let text = |key: &str| list[1][key].as_str().expect("a text").to_owned();
        (text("verdict"), text("reason"))
    }

    /// The record with a change of the entry of `two`.
    fn changed(&self, change: impl FnOnce(&mut Value)) -> Value {
        let mut record = self.record.clone();
        change(&mut record["two"]);
        record
    }

    fn repository(&self, component: &str) -> &str {
        self.record[component]["repository"].as_str().expect("a name")
    }
}

#[test]
#[ignore = "needs skopeo and a registry"]
fn a_record_is_checked_down_to_its_platforms() {
    let published = Published::new("verify");
    let list = published.verify(&published.record).ok().json();
    assert_eq!((&list[0]["verdict"], &list[1]["verdict"]), (&json!("ok"), &json!("ok")), "{list:#}");
    let table = published.xtask("digests verify").ok().stdout;
    assert_eq!(table.lines().filter(|line| line.split_whitespace().nth(1) == Some("ok")).count(), 2, "{table}");

    // A writer that knows only the first four fields.
    let four = published.changed(|entry| {
        entry.as_object_mut().unwrap().retain(|key, _| key != "tags" && key != "platforms");
    });
    published.verify(&four).ok();

    // What somebody changed by hand.
    let other = format!("sha256:{}", "0".repeat(64));
    let platform =
        |key: &'static str, value: Value| published.changed(|entry| entry["platforms"]["linux/arm64"][key] = value);
    let own = published.record["two"]["platforms"]["linux/amd64"]["digest"].clone();
    let repository = published.repository("two").to_owned();
    let cases = [
        (platform("digest", other.clone().into()), "the digest of `linux/arm64` is"),
        (platform("config", other.clone().into()), "the config of `linux/arm64` is"),
        (platform("size", 1.into()), "the size of `linux/arm64` is `1` in the record"),
        (published.changed(|entry| drop(entry["platforms"].as_object_mut().unwrap().remove("linux/arm64"))), "too"),
        (published.changed(|entry| entry["digest"] = other.clone().into()), "not of `digest`"),
        // Consistently: only the tag tells that the registry lacks nothing.
        (
            published.changed(|entry| {
                entry["digest"] = other.clone().into();
                entry["image"] = format!("{repository}@{other}").into();
            }),
            "no image has its digest",
        ),
        // One platform's manifest in place of the index.
        (
            published.changed(|entry| {
                entry["image"] = format!("{repository}@{}", own.as_str().unwrap()).into();
                entry["digest"] = own.clone();
            }),
            "the image has no `linux/arm64`",
        ),
    ];
    for (record, text) in cases {
        let (verdict, reason) = published.verdict(&record);
        assert_eq!(verdict, "tampered", "{reason}");
        assert!(reason.contains(text), "{reason}");
    }
}

#[test]
#[ignore = "needs skopeo and a registry"]
fn what_the_registry_lost_is_told_apart() {
    let published = Published::new("lost");
    let repository = published.repository("two").to_owned();

    // Another image under the commit's tag; the recorded one is still there by its digest.
    let layout = published.beside("other");
    let (other, _) = image(&layout, "amd64", &format!("other {}", published.id));
    let mut cleanup = Cleanup::default();
    push(&layout, &other, &repository, &["sha-9c68c4a"], &mut cleanup);
    let (verdict, reason) = published.verdict(&published.record);
    assert_eq!(verdict, "tag-moved", "{reason}");
    assert!(reason.contains(other["digest"].as_str().unwrap()), "{reason}");

    // Deleted: a registry forgets all tags of a digest with it.
    tool("skopeo", &["delete", "--tls-verify=false", &format!("docker://{repository}:sha-9c68c4a")]);
    let (verdict, reason) = published.verdict(&published.record);
    assert_eq!(verdict, "tag-missing", "{reason}");
    tool("skopeo", &["delete", "--tls-verify=false", &format!("docker://{repository}:main")]);
    let (verdict, reason) = published.verdict(&published.record);
    assert_eq!(verdict, "missing", "{reason}");
    assert!(reason.contains("404"), "{reason}");
}

#[test]
#[ignore = "needs skopeo and a registry"]
fn an_index_that_lost_a_platform_is_missing_something() {
    let published = Published::new("part");
    let part = published.record["two"]["platforms"]["linux/arm64"]["digest"].as_str().unwrap().to_owned();
    // The registry takes this, and the index answers still.
    let url = format!("docker://{}@{part}", published.repository("two"));
    tool("skopeo", &["delete", "--tls-verify=false", &url]);
    assert!(
        run(
            "skopeo",
            &["inspect", "--raw", "--tls-verify=false", &format!("docker://{}:main", published.repository("two"))]
        )
        .success
    );
    let (verdict, reason) = published.verdict(&published.record);
    assert_eq!(verdict, "missing", "{reason}");
    assert!(reason.contains(&part), "{reason}");
}

#[test]
#[ignore = "needs skopeo and a registry"]
fn without_any_release_a_tag_gives_the_record() {
    let published = Published::new("fallback");
    let fetch = |arguments: &str| published.xtask(&format!("releases fetch main {arguments}"));
    fetch("").fails().says("`main` names no release");
    fetch("--fallback-tag main").ok().says("the images tagged `main` instead");
    let path = "artifacts/docker/docker-image-digests.json";
    let written: Value = serde_json::from_str(&published.read(path)).unwrap();
    let mut expected = published.record.clone();
    for component in ["one", "two"] {
        expected[component]["tags"] = json!(["main", "sha-9c68c4a"]);
    }
    assert_eq!(written, expected);
    published.xtask("digests verify").ok();

    // The commit's tag is another image's by now: then the tag that was asked for is the one that exists.
    let repository = published.repository("one");
    tool(
        "skopeo",
        &[
            "copy",
            "--quiet",
            "--insecure-policy",
            "--all",
            "--src-tls-verify=false",
            "--dest-tls-verify=false",
            &format!("docker://{}:main", published.repository("two")),
            &format!("docker://{repository}:sha-9c68c4a"),
        ],
    );
    fetch("--fallback-tag main").ok();
    let written: Value = serde_json::from_str(&published.read(path)).unwrap();
    assert_eq!(written["one"]["gitShaTag"], format!("{repository}:main"));
    assert_eq!(written["one"]["tags"], json!(["main"]));
    published.xtask("digests verify").ok();

    // A component without the tag fails all, and the record stays.
    fetch("--fallback-tag nightly").fails().says("no image of `one` can be recorded").says(":nightly");
    assert_eq!(serde_json::from_str::<Value>(&published.read(path)).unwrap(), written);
}
