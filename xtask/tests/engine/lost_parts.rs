//! Images that lost a part in their registry, as clean-ups and garbage collectors make them.

use std::fs;
use std::os::unix::fs::FileExt;

use serde_json::Value;

use crate::project::{Project, RECORD};
use crate::registry::Registry;

/// The config and the layers of what a tag names, which is an image of one platform.
fn blobs(registry: &Registry, repository: &str, tag: &str) -> Vec<(&'static str, String)> {
    let manifest: Value = serde_json::from_str(&registry.raw(repository, &format!(":{tag}"))).expect("a manifest");
    let digest = |part: &Value| part["digest"].as_str().expect("a digest").to_owned();
    let layers = manifest["layers"].as_array().expect("layers").iter().map(|layer| ("layer", digest(layer)));
    layers.chain([("config", digest(&manifest["config"]))]).collect()
}

#[test]
#[ignore = "needs docker-registry and skopeo"]
fn an_image_that_lost_a_blob_is_named_and_made_whole_and_nothing_else_is_built() {
    let registry = Registry::start();
    let project = Project::new(&registry.host, "lost", &["one", "two"], "");
    project.publish("").ok();
    let (record, repository) = (project.read(RECORD), project.repository("one"));
    let blobs = blobs(&registry, &repository, &project.sha_tag());
    assert!(blobs.len() >= 3, "{blobs:?}");
    let pushes = ["publish", "publish --rebuild", "docker-build --push"];
    for ((what, digest), command) in blobs.iter().zip(pushes.into_iter().cycle()) {
        registry.delete_part(&repository, &format!("blobs/{digest}"));
        let lost = format!("has lost its {what} `{digest}`");
        let verified = project.run("digests verify").fails();
        let line = verified.stdout.lines().find(|line| line.starts_with("one ")).expect(&verified.stdout);
        assert!(line.contains("missing") && line.contains(&lost), "{line}");
        let two = verified.stdout.lines().find(|line| line.starts_with("two ")).expect(&verified.stdout);
        assert!(two.contains(" ok "), "{two}");
        // Not even as an entry that stays as it is.
        let refused = project.publish("two").fails();
        for text in ["names an image that is not whole any more: ", &lost, "publish all components to begin a new"] {
            assert!(refused.stderr.contains(text), "no `{text}` in:\n{}", refused.stderr);
        }

        let output = project.run(&format!("{command} --builder native")).ok();
        if command == "publish" {
            let why = format!("build  one: `{}:", project.name("one"));
            assert!(output.stderr.contains(&why) && output.stderr.contains(&lost), "{}", output.stderr);
            assert!(output.stderr.contains("adopt  two: "), "{}", output.stderr);
        }
        assert_eq!(project.read(RECORD), record, "{command}");
        project.is_published_in(&registry);
        project.run("digests verify").ok();
    }
}

#[test]
#[ignore = "needs docker-registry and skopeo"]
fn a_layer_that_was_damaged_here_is_made_again_and_never_pushed() {
    let registry = Registry::start();
    let project = Project::new(&registry.host, "damaged", &["one"], "");
    project.run("docker-build --builder native").ok();
    for time in ["cold", "known"] {
        let mut damaged = 0;
        for blob in fs::read_dir(project.path("target/docker/oci/blobs/sha256")).expect("blobs") {
            let path = blob.expect("a blob").path();
            let metadata = fs::metadata(&path).expect("a file");
            if fs::read(&path).expect("a blob").starts_with(&[0x1f, 0x8b]) {
                let file = fs::File::options().write(true).open(&path).expect("a file");
                file.write_at(b"x", metadata.len() / 2).expect("a byte");
                file.set_modified(metadata.modified().expect("a time")).expect("a time");
                damaged += 1;
            }
        }
        assert!(damaged >= 2, "{time}");
        project.publish("").ok();
        project.is_published_in(&registry);
        registry.forget(&project.repository("one"));
        // A run later, what is there is known.
        std::thread::sleep(std::time::Duration::from_secs(3));
        project.run("docker-build --builder native").ok();
    }
}
