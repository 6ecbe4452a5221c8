//! `registry list` on a registry that gives its tags in pages of two.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::http::{Answer, Request, Server};
use crate::support::image::digest;
use crate::support::{Fixture, Output};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// What the registry has: manifests with their types and configs by digest, digests by tag.
#[derive(Default)]
struct Content {
    documents: BTreeMap<String, (&'static str, String)>,
    tags: BTreeMap<String, String>,
}

impl Content {
    fn add(&mut self, kind: &'static str, document: &Value) -> Value {
        let text = document.to_string();
        let descriptor = json!({"mediaType": kind, "digest": digest(text.as_bytes()), "size": text.len()});
        self.documents.insert(digest(text.as_bytes()), (kind, text));
        descriptor
    }

    /// An image with a layer of `size` bytes, which is never asked for.
    fn image(&mut self, architecture: &str, created: Option<&str>, size: u64) -> Value {
        let mut config =
            json!({"os": "linux", "architecture": architecture, "rootfs": {"type": "layers", "diff_ids": []}});
        if let Some(created) = created {
            config["created"] = created.into();
        }
        let config = self.add("application/vnd.oci.image.config.v1+json", &config);
        let layer = json!({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digest(b"layer"), "size": size});
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]});
        let mut descriptor = self.add(MANIFEST, &manifest);
        descriptor["platform"] = json!({"os": "linux", "architecture": architecture});
        descriptor
    }

    fn tag(&mut self, name: &str, descriptor: &Value) {
        self.tags.insert(name.to_owned(), descriptor["digest"].as_str().unwrap().to_owned());
    }

    /// Answers as a registry whose pages hold two tags (distribution-spec, listing tags).
    fn answer(&self, request: &Request) -> Answer {
        let Some(path) = request.path.strip_prefix("/v2/app/") else { return Answer::new(404, "") };
        if let Some(query) = path.strip_prefix("tags/list?") {
            let last = query.split('&').find_map(|field| field.strip_prefix("last=")).unwrap_or_default();
            let rest: Vec<&String> = self.tags.keys().filter(|tag| tag.as_str() > last).collect();
            let page: Vec<&String> = rest.iter().take(2).copied().collect();
            let answer = Answer::new(200, json!({"name": "app", "tags": page}).to_string());
            return match rest.len() > 2 {
                true => answer.header("Link", format!("</v2/app/tags/list?last={}&n=2>; rel=\"next\"", page[1])),
                false => answer,
            };
        }
        let (_, name) = path.split_once('/').unwrap();
        let digest = self.tags.get(name).map_or(name, String::as_str);
        match self.documents.get(digest) {
            Some((kind, text)) => {
                Answer::new(200, text.as_str()).header("Content-Type", *kind).header("Docker-Content-Digest", digest)
            }
            None => Answer::new(404, ""),
        }
    }
}

fn list(fixture: &Fixture, server: &Server, arguments: &str) -> Output {
    let registry = format!("127.0.0.1:{}", server.port);
    fixture.xtask(&format!("registry list --registry {registry} {arguments}")).run()
}

fn fixture() -> Fixture {
    let fixture = Fixture::simple(&["app", "other"]);
    fixture.append("Cargo.toml", "[workspace.metadata.docker]\nrepository = \"{component}\"\n");
    fixture
}

/// Seven tags of three images on four pages.
fn server() -> Server {
    let mut content = Content::default();
    let old = content.image("amd64", Some("2001-01-01T00:00:00Z"), 1_048_576);
    let new = content.image("amd64", Some("2024-05-01T12:00:00Z"), 2_097_152);
    let arm = content.image("arm64", Some("2024-05-01T12:00:00Z"), 2_097_152);
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [new, arm]});
    let index = content.add(INDEX, &index);
    let undated = content.image("s390x", None, 100);
    for tag in ["sha-0000001", "v0.1.0"] {
        content.tag(tag, &old);
    }
    for tag in ["latest", "main", "sha-0000002"] {
        content.tag(tag, &index);
    }
    content.tag("odd", &undated);
    content.tag("inputs-0123456789abcdef", &index);
    content.tag(&format!("sha256-{}.sig", "0".repeat(64)), &undated);
    Server::start(move |request| content.answer(request))
}

#[test]
fn all_pages_are_listed_newest_first_and_each_image_is_read_once() {
    let (fixture, server) = (fixture(), server());
    let output = list(&fixture, &server, "");
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(output.stderr.contains("other: `127.0.0.1"), "{}", output.stderr);
    let rows: Vec<Vec<&str>> = output.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    let tags: Vec<&str> = rows[1..].iter().map(|row| row[0].rsplit(':').next().unwrap()).collect();
    assert_eq!(tags, ["latest", "main", "sha-0000002", "sha-0000001", "v0.1.0", "odd"]);
    assert_eq!(rows[0], ["IMAGE", "SIZE", "AGE", "PLATFORMS", "DIGEST"]);
    assert_eq!((rows[1][1], rows[1][2], rows[1][5]), ("4.0", "MiB", "linux/amd64,linux/arm64"));
    assert_eq!((rows[4][1], rows[4][4]), ("1.0", "y"));
    assert!(rows[4][3].parse::<u32>().unwrap() >= 25);
    assert_eq!(rows[6][3], "-", "an image that does not say when it was made");

    let asked: Vec<String> = server.seen().into_iter().map(|request| request.path).collect();
    assert_eq!(asked.iter().filter(|path| path.contains("/tags/list") && path.contains("/app/")).count(), 4);
    let mut configs: Vec<&String> = asked.iter().filter(|path| path.contains("/blobs/")).collect();
    assert_eq!(configs.len(), 4);
    configs.sort();
    configs.dedup();
    assert_eq!(configs.len(), 4, "{configs:#?}");
}

#[test]
fn json_has_all_and_the_tags_of_machines_are_shown_when_asked_for() {
    let (fixture, server) = (fixture(), server());
    let output = list(&fixture, &server, "app --json --all");
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""));
    let listed = output.json();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(listed[0]["repository"], format!("127.0.0.1:{}/app", server.port));
    let tags = listed[0]["tags"].as_array().unwrap();
    assert_eq!(tags.len(), 8);
    assert_eq!(tags[0]["tag"], "inputs-0123456789abcdef");
    assert_eq!(tags[0]["created"], "2024-05-01T12:00:00Z");
    let platforms = &tags[0]["platforms"];
    let size = |platform: &str| platforms[platform]["size"].as_u64().unwrap();
    assert_eq!(tags[0]["size"].as_u64().unwrap(), size("linux/amd64") + size("linux/arm64"));
}

#[test]
fn what_cannot_be_read_is_named_and_the_rest_is_listed() {
    let mut content = Content::default();
    let image = content.image("amd64", Some("2024-05-01T12:00:00Z"), 1000);
    content.tag("good", &image);
    let text = json!({"schemaVersion": 2, "mediaType": "application/x-chart"});
    let chart = content.add("application/x-chart", &text);
    content.tag("chart", &chart);
    let server = Server::start(move |request| content.answer(request));
    let output = list(&fixture(), &server, "app");
    assert_eq!(output.code, Some(1));
    assert!(output.stdout.contains("/app:good "), "{}", output.stdout);
    assert!(output.stderr.contains("manifests of type `application/x-chart` are not supported"), "{}", output.stderr);

    let output = list(&fixture(), &server, "nobody");
    assert!(output.stderr.starts_with("error: Unknown service(s) requested: nobody"), "{}", output.stderr);
}
