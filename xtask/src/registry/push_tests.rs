//! Pushing against a real HTTP server that fails in every way registries do.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::test_registry::{Registry, error};
use super::test_server::{Answer, Seen, Server};
use super::transfer::ImageSource;
use super::*;
use crate::http::{RetryPolicy, Secret};
use crate::image::manifest::{
    Descriptor, Index, Manifest, OCI_CONFIG, OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST, to_json,
};
use crate::image::reference::{Digest, ImageReference, Repository};

/// Images in memory.
#[derive(Default)]
pub(super) struct Memory {
    blobs: BTreeMap<Digest, Vec<u8>>,
    /// Digests of blobs in the order they were opened.
    pub(super) opened: Mutex<Vec<Digest>>,
}

impl Memory {
    pub(super) fn add(&mut self, kind: &str, bytes: &[u8]) -> Descriptor {
        let descriptor = Descriptor::of(kind, bytes);
        self.blobs.insert(descriptor.digest.clone(), bytes.to_vec());
        descriptor
    }

    /// An image with a config of its own and these layers.
    fn image(&mut self, name: &str, layers: &[&[u8]]) -> Descriptor {
        let config = self.add(OCI_CONFIG, format!("{{\"name\":\"{name}\"}}").as_bytes());
        let layers = layers.iter().map(|layer| self.add(OCI_LAYER_GZIP, layer)).collect();
        self.add(OCI_MANIFEST, &to_json(&Manifest::new(config, layers)))
    }

    fn index(&mut self, images: Vec<Descriptor>) -> Descriptor {
        self.add(OCI_INDEX, &to_json(&Index::new(images)))
    }
}

impl ImageSource for Memory {
    fn document(&self, descriptor: &Descriptor) -> anyhow::Result<Vec<u8>> {
        Ok(self.blobs[&descriptor.digest].clone())
    }

    fn blob(&self, descriptor: &Descriptor) -> anyhow::Result<Box<dyn Read + Send + '_>> {
        self.opened.lock().unwrap().push(descriptor.digest.clone());
        Ok(Box::new(Cursor::new(&self.blobs[&descriptor.digest])))
    }
}

pub(super) fn layer(seed: u8) -> Vec<u8> {
    (0..300_000_u32).map(|at| (at / 3) as u8 ^ (at >> 9) as u8 ^ seed).collect()
}

/// An image of one layer and its config.
pub(super) fn one_image() -> (Memory, Descriptor) {
    let mut memory = Memory::default();
    let image = memory.image("app", &[&layer(1)]);
    (memory, image)
}

pub(super) fn client() -> Client {
    with(Credentials::none(), Duration::from_millis(2))
}

pub(super) fn with(credentials: Credentials, first_wait: Duration) -> Client {
    Client::with_policy(credentials, RetryPolicy { first_wait, ..RetryPolicy::default() })
}

pub(super) fn with_password(server: &Server) -> Client {
    let registry = server.host.parse().unwrap();
    with(Credentials::none().with(registry, "user", Secret::new("pa:ss")), Duration::from_millis(2))
}

pub(super) fn target(server: &Server) -> ImageReference {
    format!("{}/acme/app", server.host).parse().unwrap()
}

pub(super) fn push(
    client: &Client,
    (memory, image): (&Memory, &Descriptor),
    target: &ImageReference,
    mount_from: &[&str],
) -> anyhow::Result<Transferred> {
    let mount_from: Vec<Repository> = mount_from.iter().map(|name| name.parse().unwrap()).collect();
    transfer(client, memory, image, target, &mount_from, 1, &|_| {})
}

/// Requests of one kind.
pub(super) fn count(server: &Server, start: &str, end: &str) -> usize {
    server.lines().iter().filter(|line| line.starts_with(start) && line.ends_with(end)).count()
}

#[test]
fn an_image_arrives_blobs_first_and_a_second_push_asks_about_each_part_once() {
    let registry = Registry::default();
    let answers = registry.clone();
    let server = Server::start(move |seen| answers.answer(seen));
    let (memory, image) = one_image();
    let bytes = AtomicUsize::new(0);
    let count_bytes = |n: u64| {
        bytes.fetch_add(n as usize, Ordering::Relaxed);
    };
    let client = client();
    let done = transfer(&client, &memory, &image, &target(&server), &[], 4, &count_bytes).unwrap();
    assert_eq!((done.uploaded, done.mounted, done.existing, done.manifests), (2, 0, 0, 1));
    assert_eq!(done.sent_bytes as usize, bytes.load(Ordering::Relaxed));
    assert_eq!(done.sent_bytes, 300_000 + r#"{"name":"app"}"#.len() as u64);
    assert!(server.lines().last().unwrap().starts_with("PUT /v2/acme/app/manifests/sha256:"));
    assert!(registry.content().manifests.keys().all(|(_, name)| name.starts_with("sha256:")), "no tag yet");
    for seen in server.seen().iter().filter(|seen| seen.method == "PUT") {
        assert!(!seen.headers.contains_key("transfer-encoding"), "{:?}", seen.headers);
    }

    let before = client.requests();
    assert_eq!(before, server.lines().len() as u64);
    let again = push(&super::push_tests::client(), (&memory, &image), &target(&server), &[]).unwrap();
    assert_eq!(again, Transferred { existing: 2, ..Transferred::default() });
    assert_eq!(server.lines().len() as u64 - before, 3);

    let tagged = target(&server).with_tag("v1".parse().unwrap());
    let digest = client.put_manifest(&tagged, OCI_MANIFEST, &memory.document(&image).unwrap()).unwrap();
    assert_eq!(digest, image.digest);
    assert_eq!(client.resolve(&tagged).unwrap(), image.digest);
}

#[test]
fn an_index_comes_after_its_manifests_and_what_is_there_is_not_sent() {
    let registry = Registry::default();
    let answers = registry.clone();
    let server = Server::start(move |seen| answers.answer(seen));
    let mut memory = Memory::default();
    let shared = layer(1);
    let amd64 = memory.image("amd64", &[&shared, &layer(2)]);
    let arm64 = memory.image("arm64", &[&shared, &layer(3)]);
    let index = memory.index(vec![amd64.clone(), arm64]);
    let client = client();
    push(&client, (&memory, &amd64), &target(&server), &[]).unwrap();
    let before = server.lines().len();
    let done = push(&client, (&memory, &index), &target(&server), &[]).unwrap();
    assert_eq!((done.uploaded, done.existing, done.manifests), (2, 3, 2));
    let lines = &server.lines()[before..];
    assert!(lines.last().unwrap().ends_with(&format!("manifests/{}", index.digest)));
    assert_eq!(lines.iter().filter(|line| line.contains(amd64.digest.as_str())).count(), 1, "{lines:#?}");
}

#[test]
fn what_images_share_is_sent_once_and_mounted() {
    let registry = Registry::default();
    let answers = registry.clone();
    let server = Server::start(move |seen| answers.answer(seen));
    let mut memory = Memory::default();
    let images: Vec<_> = (0..4).map(|n| memory.image(&n.to_string(), &[&layer(1)])).collect();
    let client = client();
    let done: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = images
            .iter()
            .enumerate()
            .map(|(n, image)| {
                let (client, memory) = (&client, &memory);
                let target: ImageReference = format!("{}/acme/app{n}", server.host).parse().unwrap();
                scope.spawn(move || push(client, (memory, image), &target, &[]).unwrap())
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(done.iter().map(|done| done.uploaded).sum::<usize>(), 5, "a layer and four configs");
    assert_eq!(done.iter().map(|done| done.mounted).sum::<usize>(), 3);
}

#[test]
fn a_refused_mount_falls_back_to_an_upload() {
    // 202 with a session; 403; 401 with a token that is good for one repository only.
    for refusal in ["202", "403", "401"] {
        let registry = Registry::default();
        let answers = registry.clone();
        let server = Server::start(move |seen| {
            let token = seen.authorization().unwrap_or_default();
            if seen.path.starts_with("/token") {
                let both = seen.path.contains("acme%2Fbase");
                return Answer::new(200, format!(r#"{{"token":"{}"}}"#, if both { "both" } else { "one" }));
            }
            let is_mount = seen.path.contains("mount=");
            if refusal == "401" && (token.is_empty() || is_mount) {
                let realm = format!(r#"Bearer realm="http://{}/token""#, seen.headers["host"]);
                return Answer::new(401, error("UNAUTHORIZED", "no")).header("WWW-Authenticate", realm);
            }
            if refusal == "403" && is_mount {
                return Answer::new(403, error("DENIED", "no"));
            }
            answers.answer(seen)
        });
        let (memory, image) = one_image();
        let done = push(&client(), (&memory, &image), &target(&server), &["acme/base"]).unwrap();
        assert_eq!((done.uploaded, done.mounted), (2, 0), "{refusal}");
        // 401: refused with one token and with a new one; not tried for the other blob then.
        let tries = if refusal == "403" { 1 } else { 2 };
        assert_eq!(count(&server, "POST", "from=acme/base"), tries, "{refusal}");
        if refusal == "202" {
            assert_eq!(count(&server, "POST", "/uploads/"), 0, "the session of the refused mount is used");
        }
        if refusal == "401" {
            let scope = "scope=repository%3Aacme%2Fapp%3Apull%2Cpush&scope=repository%3Aacme%2Fbase%3Apull";
            assert!(server.lines().iter().any(|line| line.contains(scope)), "{:#?}", server.lines());
        }
    }
}

#[test]
fn the_one_of_several_repositories_that_has_a_blob_is_mounted_from() {
    let registry = Registry::default();
    let answers = registry.clone();
    let server = Server::start(move |seen| answers.answer(seen));
    let (memory, image) = one_image();
    let layer = layer(1);
    let key = ("acme/c".to_owned(), Digest::of(&layer).to_string());
    registry.content().blobs.insert(key, layer);
    let done = push(&client(), (&memory, &image), &target(&server), &["acme/b", "acme/c", "acme/d"]).unwrap();
    assert_eq!((done.uploaded, done.mounted), (1, 1));
    assert_eq!(count(&server, "POST", "from=acme/c"), 1);
}

pub(super) fn is_blob_put(seen: &Seen) -> bool {
    seen.method == "PUT" && seen.path.contains("/uploads/")
}

#[test]
fn images_go_from_registry_to_registry_through_cuts_on_both_sides() {
    let (from, to) = (Registry::default(), Registry::default());
    let answers = from.clone();
    let mut reads = 0;
    let source = Server::start(move |seen| {
        let answer = answers.answer(seen);
        let is_layer = seen.method == "GET" && seen.path.contains("/blobs/") && !seen.headers.contains_key("range");
        reads += usize::from(is_layer);
        if is_layer && reads == 1 { answer.cut_after(1) } else { answer }
    });
    let (memory, image) = one_image();
    push(&client(), (&memory, &image), &target(&source), &[]).unwrap();

    let answers = to.clone();
    let mut cuts = 1;
    let gate = move |seen: &Seen| {
        let is_cut = is_blob_put(seen) && cuts > 0;
        cuts -= usize::from(is_cut);
        is_cut.then_some(1000)
    };
    let destination = Server::with_gate(gate, move |seen| answers.answer(seen));
    let reading = client();
    let copy = RegistrySource { client: &reading, reference: target(&source) };
    let goal: ImageReference = format!("{}/other/name", destination.host).parse().unwrap();
    let done = transfer(&client(), &copy, &image, &goal, &[], 1, &|_| {}).unwrap();
    assert_eq!((done.uploaded, done.mounted, done.manifests), (2, 0, 1));
    assert_eq!(client().resolve(&goal.with_digest(image.digest.clone())).unwrap(), image.digest);
    assert_eq!(to.content().blobs.len(), 2);

    // Within a registry nothing is sent.
    let sibling: ImageReference = format!("{}/acme/copy", source.host).parse().unwrap();
    let done = transfer(&reading, &copy, &image, &sibling, &[], 1, &|_| {}).unwrap();
    assert_eq!((done.mounted, done.sent_bytes), (2, 0));
}
