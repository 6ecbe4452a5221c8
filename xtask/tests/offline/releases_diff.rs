//! `releases diff` on a registry with two releases: which commits it lists.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::Fixture;
use crate::support::http::{Answer, Server};
use crate::support::image::digest;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const RELEASE: &str = "application/vnd.cargo-xtask.release.v1+json";

/// A registry with a release of each commit, in which each component has another image.
fn server(commits: &[&str], components: &[&str]) -> Server {
    let mut answers = BTreeMap::new();
    for commit in commits {
        let image = |name: &&str| {
            let (repository, digest) = (format!("r.io/{name}"), digest(format!("{name} {commit}").as_bytes()));
            let entry = json!({
                "version": "0.1.0", "repository": repository, "digest": digest,
                "image": format!("{repository}@{digest}"), "gitShaTag": format!("{repository}:sha-1"),
            });
            ((*name).to_owned(), entry)
        };
        let components: serde_json::Map<String, Value> = components.iter().map(image).collect();
        let document = json!({"commit": commit, "tags": [], "components": components}).to_string();
        let descriptor =
            |kind: &str, text: &str| json!({"mediaType": kind, "digest": digest(text.as_bytes()), "size": text.len()});
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": RELEASE,
            "config": descriptor("application/vnd.oci.empty.v1+json", "{}"), "layers": [descriptor(RELEASE, &document)],
        })
        .to_string();
        answers.insert(format!("/v2/releases/blobs/{}", digest(document.as_bytes())), document);
        for name in [format!("sha-{}", &commit[..7]), digest(manifest.as_bytes())] {
            answers.insert(format!("/v2/releases/manifests/{name}"), manifest.clone());
        }
    }
    Server::start(move |request| match answers.get(&request.path) {
        Some(text) => Answer::new(200, text.as_str())
            .header("Content-Type", MANIFEST)
            .header("Docker-Content-Digest", digest(text.as_bytes())),
        None => Answer::new(404, ""),
    })
}

#[test]
fn the_commits_of_a_component_are_those_that_changed_its_inputs() {
    // `one` uses `lib` and `used`, and carries `static`; `other` is of `two` alone.
    let fixture = Fixture::simple(&["one", "two", "lib"]);
    fixture.append("Cargo.toml", "[workspace.metadata.docker]\nrepository = \"{component}\"\n");
    fixture.remove("lib/src/main.rs").write("lib/src/lib.rs", "").write("static/page.html", "1");
    fixture.append("one/Cargo.toml", "[dependencies]\nlib = { path = \"../lib\" }\nused = \"1\"\n");
    fixture.append("two/Cargo.toml", "[dependencies]\nother = \"1\"\n");
    let assets = "[package.metadata.docker]\nassets = [{ from = \"static\", to = \"/static\" }]\n";
    fixture.append("one/Cargo.toml", assets);
    fixture.vendor("used", "1.0.0").vendor("other", "1.0.0").lock();
    fixture.vendor("used", "1.0.1").vendor("other", "1.0.1").git_init();
    let from = fixture.head();
    fixture.append("one/src/main.rs", "// changed\n").commit("its source");
    fixture.append("two/src/main.rs", "// changed\n").commit("the other's source");
    fixture.write("static/page.html", "2").commit("its asset");
    fixture.write("one/README.md", "text").write("docs/page.md", "text").commit("docs");
    fixture.append("lib/src/lib.rs", "// changed\n").commit("what it uses");
    fixture.relock("used", "1.0.0", "1.0.1");
    fixture.commit("its lock entry");
    fixture.relock("other", "1.0.0", "1.0.1");
    fixture.commit("the other's lock entry");
    fixture.append("Cargo.toml", "\n[workspace.metadata.release]\nx = 1\n").commit("another tool's settings");
    fixture.append("Cargo.toml", "\n[profile.release]\npanic = \"abort\"\n");
    let to = fixture.commit("the profile of both");

    let server = server(&[&from, &to], &["gone", "one", "two"]);
    let arguments = format!("releases diff {from} {to} --registry 127.0.0.1:{}", server.port);
    let shown = fixture.xtask(&format!("{arguments} --json")).ok().json();
    let of = |name: &str| -> Value {
        let one = shown["differences"].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap();
        match one["commits"].as_array() {
            Some(commits) => commits.iter().map(|commit| commit["subject"].clone()).collect(),
            None => Value::Null,
        }
    };
    assert_eq!(of("one"), json!(["the profile of both", "its lock entry", "what it uses", "its asset", "its source"]));
    assert_eq!(of("two"), json!(["the profile of both", "the other's lock entry", "the other's source"]));
    assert_eq!(of("gone"), Value::Null);
    fixture.xtask(&arguments).ok().says_nothing_of("git does not know");
}
