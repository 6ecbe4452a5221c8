//! `promote` from one real registry to another that wants a password.

use std::fs;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::parts::{registry, run, tool, unique, wait_for};
use crate::proxy::{Action, Proxy, is_upload, length};
use crate::registry::{PASSWORD, Registry, USER};
use crate::support::image::digest;
use crate::support::{Fixture, Xtask};
use crate::tokens::{Grant, Guarded};

const OCI: &str = "application/vnd.oci.image";
const RECORD: &str = "artifacts/docker/docker-image-digests.json";
const PROMOTED: &str = "artifacts/docker/staging/docker-image-digests.json";

/// A workspace whose record names images in the first registry, and whose environment `staging` is
/// another one.
struct Scene {
    fixture: Fixture,
    id: String,
}

impl Scene {
    fn new(staging: &str, repository: &str) -> Self {
        let (fixture, id) = (Fixture::simple(&["app"]), unique("promote"));
        let settings = format!(
            "[workspace.metadata.docker]\nregistry = \"{}\"\n[workspace.metadata.docker.environments]\n\
             staging = {{ registry = \"{staging}\"{repository} }}\n",
            registry()
        );
        fixture.append("Cargo.toml", &settings.replace("ID", &id));
        fixture.write(RECORD, "{}");
        Scene { fixture, id }
    }

    fn xtask(&self, arguments: &str) -> Xtask {
        // Nothing of the user's configuration.
        let nowhere = self.fixture.beside("docker");
        self.fixture
            .xtask(arguments)
            .env("DOCKER_CONFIG", &nowhere)
            .env("HOME", &nowhere)
            .env("XDG_RUNTIME_DIR", nowhere)
    }

    fn promote(&self, arguments: &str) -> Xtask {
        let run = self.xtask(&format!("promote --from local --to staging {arguments}"));
        run.env("CI_REGISTRY_USERNAME_STAGING", USER).env("CI_REGISTRY_PASSWORD_STAGING", PASSWORD)
    }

    fn name(&self, component: &str) -> String {
        format!("xtask-test/{}-{component}", self.id)
    }

    /// Puts an image of these layer sizes and platforms into the first registry and the record.
    fn publish(&self, component: &str, content: &str, layers: &[usize], platforms: &[&str]) -> String {
        let layout = self.fixture.beside("layout");
        let _ = fs::remove_dir_all(&layout);
        fs::create_dir_all(layout.join("blobs/sha256")).expect("a folder");
        let blob = |kind: &str, bytes: &[u8]| {
            fs::write(layout.join("blobs").join(digest(bytes).replace(':', "/")), bytes).expect("a blob");
            json!({"mediaType": format!("{OCI}.{kind}"), "digest": digest(bytes), "size": bytes.len()})
        };
        let mut recorded = json!({});
        let manifests: Vec<Value> = platforms
            .iter()
            .map(|architecture| {
                let bytes: Vec<Vec<u8>> =
                    layers.iter().map(|size| noise(&format!("{content}{size}{}", self.id), *size)).collect();
                let layers: Vec<Value> = bytes.iter().map(|layer| blob("layer.v1.tar", layer)).collect();
                let ids: Vec<&Value> = layers.iter().map(|layer| &layer["digest"]).collect();
                let config = json!({"os": "linux", "architecture": architecture, "created": "2024-05-01T12:00:00Z",
                    "config": {}, "rootfs": {"type": "layers", "diff_ids": ids}});
                let config = blob("config.v1+json", config.to_string().as_bytes());
                let manifest = json!({"schemaVersion": 2, "mediaType": format!("{OCI}.manifest.v1+json"),
                    "config": config, "layers": layers});
                let mut manifest = blob("manifest.v1+json", manifest.to_string().as_bytes());
                let size = layers.iter().chain([&config]).map(|blob| blob["size"].as_u64().unwrap()).sum::<u64>();
                recorded[format!("linux/{architecture}")] =
                    json!({"digest": manifest["digest"], "config": config["digest"], "size": size});
                manifest["platform"] = json!({"os": "linux", "architecture": architecture});
                manifest
            })
            .collect();
        let mut top = match manifests.as_slice() {
            [one] => one.clone(),
            several => blob(
                "index.v1+json",
                json!({"schemaVersion": 2, "mediaType": format!("{OCI}.index.v1+json"),
                "manifests": several})
                .to_string()
                .as_bytes(),
            ),
        };
        let found = top["digest"].as_str().unwrap().to_owned();
        top["annotations"] = json!({"org.opencontainers.image.ref.name": "image"});
        fs::write(layout.join("index.json"), json!({"schemaVersion": 2, "manifests": [top]}).to_string())
            .expect("a file");
        fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("a file");
        let repository = format!("{}/{}", registry(), self.name(component));
        let tag = format!("sha-{}", &found[7..14]);
        let (from, to) = (format!("oci:{}:image", layout.display()), format!("docker://{repository}:{tag}"));
        tool(
            "skopeo",
            &[
                "copy",
                "--quiet",
                "--insecure-policy",
                "--all",
                "--preserve-digests",
                "--dest-tls-verify=false",
                &from,
                &to,
            ],
        );

        let mut record: Value = serde_json::from_str(&self.fixture.read(RECORD)).expect("JSON");
        record[component] = json!({"repository": repository, "digest": found, "image": format!("{repository}@{found}"),
            "gitShaTag": format!("{repository}:{tag}"), "tags": [tag, "main"], "platforms": recorded});
        self.fixture.write(RECORD, &record.to_string());
        found
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let record: Value = serde_json::from_str(&self.fixture.read(RECORD)).unwrap_or_default();
        for image in record.as_object().into_iter().flatten().filter_map(|(_, image)| image["image"].as_str()) {
            run("skopeo", &["delete", "--tls-verify=false", &format!("docker://{image}")]);
        }
    }
}

/// Bytes that nobody else has.
fn noise(seed: &str, size: usize) -> Vec<u8> {
    let mut state = seed
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.flatten().take(size).collect()
}

#[test]
#[ignore = "needs registries"]
fn images_keep_their_digest_and_get_their_tags() {
    let target = Registry::behind_basic();
    let scene = Scene::new(&target.host, "");
    let one = scene.publish("one", "a", &[1000, 200_000], &["amd64"]);
    let two = scene.publish("two", "b", &[1000, 3000], &["amd64", "arm64"]);

    // Nothing is changed by a dry run.
    let plan = scene.promote("--tag live --dry-run").ok();
    let place = format!("{}/{}", target.host, scene.name("one"));
    for line in [
        format!("copy   one: {}/{}@{one} -> {place}\n", registry(), scene.name("one")),
        format!("tag    {place}:sha-{}\n", &one[7..14]),
        format!("tag    {place}:main\n"),
        format!("tag    {place}:live\n"),
        format!("{PROMOTED}\n"),
    ] {
        assert!(plan.stdout.contains(&line), "no `{line}` in:\n{}", plan.stdout);
    }
    assert_eq!(target.answered("POST", "/v2/", 202) + target.answered("PUT", "/v2/", 201), 0);
    assert!(!scene.fixture.path(PROMOTED).exists());

    scene.promote("--tag live").ok().says_nothing_of(PASSWORD);
    for (component, found) in [("one", &one), ("two", &two)] {
        let name = format!("{}/{}", target.host, scene.name(component));
        for tag in [&format!("sha-{}", &found[7..14]), "main", "live"] {
            assert_eq!(target.digest(&scene.name(component), tag), **found, "{name}:{tag}");
        }
        // All blobs can be read, of all platforms.
        assert_eq!(target.pull_all(&scene.name(component)).len(), 3);
        let record: Value = serde_json::from_str(&scene.fixture.read(PROMOTED)).expect("JSON");
        assert_eq!(record[component]["image"], format!("{name}@{found}"));
        assert_eq!(record[component]["gitShaTag"], format!("{name}:sha-{}", &found[7..14]));
        let source: Value = serde_json::from_str(&scene.fixture.read(RECORD)).expect("JSON");
        assert_eq!(record[component]["platforms"], source[component]["platforms"]);
    }

    // Once more: nothing is sent, the record stays byte for byte.
    let (before, uploads) = (scene.fixture.read(PROMOTED), target.answered("PUT", "/v2/", 201));
    scene.promote("--tag live").ok();
    assert_eq!(scene.fixture.read(PROMOTED), before);
    assert_eq!(target.answered("PUT", "/v2/", 201), uploads);
}

#[test]
#[ignore = "needs registries"]
fn what_lost_a_part_is_copied_again_and_is_no_source() {
    let target = Registry::behind_basic();
    let scene = Scene::new(&target.host, "");
    let index = scene.publish("one", "a", &[1000, 2000], &["amd64", "arm64"]);
    scene.promote("").ok();
    let repository = scene.name("one");
    let parsed = |text: String| serde_json::from_str::<Value>(&text).expect("JSON");
    let child = parsed(target.raw(&repository, ":main"))["manifests"][1]["digest"].as_str().unwrap().to_owned();
    let manifest = parsed(target.raw(&repository, &format!("@{child}")));
    let blob = |part: &Value| format!("blobs/{}", part["digest"].as_str().unwrap());
    for part in [format!("manifests/{child}"), blob(&manifest["layers"][1]), blob(&manifest["config"])] {
        target.delete_part(&repository, &part);
        let plan = scene.promote("--dry-run").ok().stdout;
        assert!(plan.starts_with("copy   one: "), "{part}: {plan}");
        scene.promote("").ok();
        assert_eq!(target.pull_all(&repository).len(), 2, "{part}");
        assert_eq!(target.digest(&repository, "main"), index);
    }

    // The source has lost it as well: that is said before anything is copied.
    let source = Registry::shared();
    let layer = blob(&manifest["layers"][1]);
    let digest = layer.trim_start_matches("blobs/");
    source.delete_part(&repository, &layer);
    scene.promote("").ok();
    target.delete_part(&repository, &layer);
    let uploads = target.answered("PUT", "/v2/", 201);
    let said = format!("`{}/{repository}@{index}` has lost its layer `{digest}`", registry());
    scene.promote("").fails().says("cannot promote `one`").says(&said);
    assert_eq!(target.answered("PUT", "/v2/", 201), uploads);
}

#[test]
#[ignore = "needs registries"]
fn an_environment_names_its_repositories_its_own_way_and_a_subset_keeps_the_rest() {
    let target = Registry::behind_basic();
    let scene = Scene::new(&target.host, ", repository = \"live/{component}\"");
    scene.publish("one", "a", &[2000], &["amd64"]);
    let two = scene.publish("two", "b", &[3000], &["amd64"]);
    scene.promote("").ok();
    let newer = scene.publish("one", "c", &[2500], &["amd64"]);
    scene.publish("two", "d", &[3500], &["amd64"]);
    let record = scene.promote("one --json").ok().json();
    let live = format!("{}/live", target.host);
    assert_eq!(record["one"]["image"], format!("{live}/one@{newer}"));
    assert_eq!(record["two"]["image"], format!("{live}/two@{two}"), "not asked for, so it stays");
    assert_eq!(target.digest("live/one", "main"), newer);
    assert_eq!(target.digest("live/two", "main"), two);

    // What stays must be there still.
    target.delete("live/two", "main");
    let before = scene.fixture.read(PROMOTED);
    scene.promote("one").fails().says(&format!("`{live}/two@{two}` does not exist in the registry"));
    assert_eq!(scene.fixture.read(PROMOTED), before);
}

#[test]
#[ignore = "needs registries"]
fn an_immutable_tag_that_is_taken_is_refused_before_anything_is_copied() {
    let target = Registry::behind_basic();
    let scene = Scene::new(&target.host, "");
    let first = scene.publish("one", "a", &[2000], &["amd64"]);
    scene.promote("--tag 2026.11.0").ok();
    let second = scene.publish("one", "b", &[2000], &["amd64"]);
    let before = scene.fixture.read(PROMOTED);
    let place = format!("{}/{}", target.host, scene.name("one"));
    let uploads = target.answered("PUT", "/v2/", 201);
    scene
        .promote("--tag 2026.11.0")
        .fails()
        .says(&format!("`{place}:2026.11.0` names `{first}` and would have to name `{second}`, but does not move"));
    assert_eq!(target.answered("PUT", "/v2/", 201), uploads);
    assert_eq!(scene.fixture.read(PROMOTED), before);
    assert_eq!(target.digest(&scene.name("one"), "main"), first);
    // Without that tag it goes, and `main` moves.
    scene.promote("").ok();
    assert_eq!(target.digest(&scene.name("one"), "main"), second);
    assert_eq!(target.digest(&scene.name("one"), "2026.11.0"), first);
}

#[test]
#[ignore = "needs registries"]
fn credentials_go_to_their_environment_alone_and_wrong_ones_are_named() {
    let target = Registry::behind_basic();
    let scene = Scene::new(&target.host, "");
    scene.publish("one", "a", &[2000], &["amd64"]);
    let bare = "promote --from local --to staging";
    scene.xtask(bare).fails().says(&format!("hint: log in with `docker login {}`", target.host));
    scene
        .promote("")
        .env("CI_REGISTRY_PASSWORD_STAGING", "s3cret")
        .fails()
        .says(&format!("hint: the credentials (user `{USER}`) are wrong, or have expired"))
        .says_nothing_of("s3cret");
    // Those of another registry are not tried here.
    let others = scene.xtask(bare).env("CI_REGISTRY", registry());
    others
        .env("CI_REGISTRY_USERNAME", USER)
        .env("CI_REGISTRY_PASSWORD", PASSWORD)
        .fails()
        .says(&format!("hint: log in with `docker login {}`", target.host));
    assert!(!scene.fixture.path(PROMOTED).exists());
    assert_eq!(target.answered("HEAD", "/v2/", 200), 0);
}

#[test]
#[ignore = "needs registries"]
fn an_interrupted_promotion_is_taken_up_where_it_was() {
    const BIG: usize = 8_000_000;
    const SMALL: usize = 3_000_000;
    let target = Registry::behind_basic();
    let stalls = Arc::new(AtomicBool::new(true));
    let rule = Arc::clone(&stalls);
    let proxy = Proxy::start(&target.host, move |request| {
        match is_upload(request) && length(request) == SMALL as u64 && rule.load(Ordering::SeqCst) {
            true => Action::Stall(SMALL as u64 / 2),
            false => Action::Pass,
        }
    });
    let scene = Scene::new(&proxy.host, "");
    let found = scene.publish("one", "a", &[SMALL, BIG], &["amd64"]);
    for (stalled, signal, code) in [(1, "INT", Some(130)), (2, "KILL", None)] {
        // The larger blob arrives in the first run, the smaller one stalls.
        let mut command = scene.promote("--jobs 1").command();
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the xtask");
        wait_for("half a copy", Duration::from_secs(30), || {
            assert!(child.try_wait().expect("a status").is_none(), "it ended by itself");
            let halves = proxy.passed().iter().filter(|passed| passed.sent == SMALL as u64 / 2).count();
            target.answered("PUT", "/blobs/uploads/", 201) == 1 && halves == stalled
        });
        tool("kill", &[&format!("-{signal}"), &child.id().to_string()]);
        assert_eq!(child.wait().expect("a status").code(), code);
        assert!(!scene.fixture.path(PROMOTED).exists());
        assert_eq!(target.answered("PUT", "/manifests/", 201), 0, "no manifest, no tag");
    }
    stalls.store(false, Ordering::SeqCst);
    let before = proxy.passed().len();
    scene.promote("--jobs 1").ok();
    let sent: u64 = proxy.passed()[before..].iter().map(|passed| passed.sent).sum();
    assert!(sent >= SMALL as u64 && sent < (SMALL + 100_000) as u64, "{sent} bytes: the larger blob was there");
    assert_eq!(target.digest(&scene.name("one"), "main"), found);
}

#[test]
#[ignore = "needs registries"]
fn tokens_are_good_for_pushing_and_for_mounting_where_both_may_be_read() {
    let target = Guarded::start(|_| Grant { read_only: Some("forbidden"), ..Grant::default() });
    let host = &target.registry.host;
    let scene = Scene::new(host, "");
    let environment =
        |name: &str| format!("{name} = {{ registry = \"{host}\", repository = \"{name}/{{component}}\" }}\n");
    scene.fixture.append("Cargo.toml", &(environment("live") + &environment("forbidden")));
    let found = scene.publish("one", "a", &[2000, 300_000], &["amd64", "arm64"]);
    scene.promote("").ok();
    let staged = scene.name("one");
    let pushing = format!("repository:{staged}:pull,push");
    // The first request is refused for `pull` and tells who gives tokens; that for pushing is known then.
    assert_eq!(target.scopes(), [format!("repository:{staged}:pull"), pushing]);
    assert_eq!(target.registry.digest(&staged, "main"), found);

    let uploads = target.registry.answered("PUT", "/blobs/uploads/", 201);
    let onward = |to: &str| {
        let run = scene.xtask(&format!("promote --from staging --to {to}"));
        let upper = to.to_uppercase();
        let run = run.env("CI_REGISTRY_USERNAME_STAGING", USER).env("CI_REGISTRY_PASSWORD_STAGING", PASSWORD);
        run.env(&format!("CI_REGISTRY_USERNAME_{upper}"), USER).env(&format!("CI_REGISTRY_PASSWORD_{upper}"), PASSWORD)
    };
    onward("live").ok().says("one: copied 0 B to");
    assert_eq!(target.registry.answered("PUT", "/blobs/uploads/", 201), uploads, "all blobs are mounted");
    let both = format!("repository:live/one:pull,push repository:{staged}:pull");
    assert!(target.scopes().contains(&both), "{:#?}", target.scopes());
    assert_eq!(target.registry.digest("live/one", "main"), found);

    // A token that does not allow pushing says so.
    onward("forbidden").fails().says(&format!("need push permission on `{host}/forbidden/one`"));
    let wrong = scene.promote("").env("CI_REGISTRY_PASSWORD_STAGING", "wrong");
    wrong.fails().says("answered 401 Unauthorized: incorrect username or password").says("are wrong, or have expired");
}
