//! Pushing against a real HTTP server that fails in every way registries do.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::credentials::Secret;
use super::test_registry::{Registry, error};
use super::test_server::{Answer, Seen, Server};
use super::*;
use crate::image::manifest::{
    Descriptor, Index, Manifest, OCI_CONFIG, OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST, to_json,
};
use crate::image::reference::{Digest, ImageReference, Repository};

/// Images in memory.
#[derive(Default)]
struct Memory {
    blobs: BTreeMap<Digest, Vec<u8>>,
    /// Digests of blobs in the order they were opened.
    opened: Mutex<Vec<Digest>>,
}

impl Memory {
    fn add(&mut self, kind: &str, bytes: &[u8]) -> Descriptor {
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

fn layer(seed: u8) -> Vec<u8> {
    (0..300_000_u32).map(|at| (at / 3) as u8 ^ (at >> 9) as u8 ^ seed).collect()
}

/// An image of one layer and its config.
fn one_image() -> (Memory, Descriptor) {
    let mut memory = Memory::default();
    let image = memory.image("app", &[&layer(1)]);
    (memory, image)
}

fn client() -> Client {
    with(Credentials::none(), Duration::from_millis(2))
}

fn with(credentials: Credentials, first_wait: Duration) -> Client {
    Client::with_policy(credentials, RetryPolicy { first_wait, ..RetryPolicy::default() })
}

fn with_password(server: &Server) -> Client {
    let registry = server.host.parse().unwrap();
    with(Credentials::none().with(registry, "user", Secret::new("pa:ss")), Duration::from_millis(2))
}

fn target(server: &Server) -> ImageReference {
    format!("{}/acme/app", server.host).parse().unwrap()
}

fn push(
    client: &Client,
    (memory, image): (&Memory, &Descriptor),
    target: &ImageReference,
    mount_from: &[&str],
) -> anyhow::Result<Transferred> {
    let mount_from: Vec<Repository> = mount_from.iter().map(|name| name.parse().unwrap()).collect();
    transfer(client, memory, image, target, &mount_from, 1, &|_| {})
}

/// Requests of one kind.
fn count(server: &Server, start: &str, end: &str) -> usize {
    server.lines().iter().filter(|line| line.starts_with(start) && line.ends_with(end)).count()
}

#[test]
fn an_image_arrives_blobs_first_and_a_second_push_asks_once() {
    let registry = Registry::default();
    let answers = registry.clone();
    let server = Server::start(move |seen| answers.answer(seen));
    let (memory, image) = one_image();
    let bytes = AtomicUsize::new(0);
    let count_bytes = |n: u64| drop(bytes.fetch_add(n as usize, Ordering::Relaxed));
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
    assert_eq!(push(&client, (&memory, &image), &target(&server), &[]).unwrap(), Transferred::default());
    assert_eq!(client.requests() - before, 1);

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
    assert_eq!((done.uploaded, done.existing, done.manifests), (2, 1, 2));
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
        assert_eq!(count(&server, "POST", "from=acme/base") > 0, true, "{refusal}");
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

/// Pushes while the first request that `matches` gets `fault`.
fn survives(matches: fn(&Seen) -> bool, fault: impl Fn() -> Answer + Send + 'static) -> Server {
    let registry = Registry::default();
    let answers = registry.clone();
    let mut is_left = true;
    let server = Server::start(move |seen| {
        if is_left && matches(seen) {
            is_left = false;
            return fault();
        }
        answers.answer(seen)
    });
    let (memory, image) = one_image();
    push(&client(), (&memory, &image), &target(&server), &[]).unwrap();
    assert_eq!(registry.content().blobs.len(), 2);
    assert_eq!(registry.content().manifests.len(), 1);
    server
}

fn is_blob_put(seen: &Seen) -> bool {
    seen.method == "PUT" && seen.path.contains("/uploads/")
}

#[test]
fn passing_faults_of_any_request_are_survived() {
    let kinds: [fn(&Seen) -> bool; 5] = [
        |seen| seen.method == "HEAD" && seen.path.contains("/manifests/"),
        |seen| seen.method == "HEAD" && seen.path.contains("/blobs/"),
        |seen| seen.method == "POST",
        is_blob_put,
        |seen| seen.method == "PUT" && seen.path.contains("/manifests/"),
    ];
    for status in [408, 429, 500, 502, 503, 504] {
        for kind in kinds {
            survives(kind, move || Answer::new(status, ""));
        }
    }
}

#[test]
fn a_failed_upload_begins_anew_in_a_session_of_its_own() {
    for fault in [
        || Answer::new(500, ""),
        || Answer::new(404, error("BLOB_UPLOAD_UNKNOWN", "unknown")),
        || Answer::new(400, error("BLOB_UPLOAD_INVALID", "state")),
    ] {
        let server = survives(is_blob_put, fault);
        assert_eq!(count(&server, "POST", "/uploads/"), 3);
        let lines = server.lines();
        let failed = lines.iter().position(|line| line.contains("session-1?")).unwrap();
        assert!(lines[failed + 1].starts_with("HEAD"), "it is looked for first: {lines:#?}");
        assert_eq!(lines.iter().filter(|line| line.contains("session-1?")).count(), 1);
    }
}

#[test]
fn retry_after_is_honoured_while_pushing() {
    for form in ["seconds", "date"] {
        let begin = Instant::now();
        survives(is_blob_put, move || {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64;
            let value = if form == "seconds" { "1".to_owned() } else { super::tests::http_date(now + 2) };
            Answer::new(429, "").header("Retry-After", value)
        });
        assert!(begin.elapsed() >= Duration::from_millis(900), "{form}: {:?}", begin.elapsed());
    }
}

#[test]
fn a_connection_cut_within_a_blob_is_survived() {
    let registry = Registry::default();
    let answers = registry.clone();
    let mut cuts = 2;
    let gate = move |seen: &Seen| {
        let is_cut = is_blob_put(seen) && seen.headers["content-length"] == "300000" && cuts > 0;
        cuts -= usize::from(is_cut);
        is_cut.then_some(70_000)
    };
    let server = Server::with_gate(gate, move |seen| answers.answer(seen));
    let (memory, image) = one_image();
    let done = push(&client(), (&memory, &image), &target(&server), &[]).unwrap();
    assert_eq!((done.uploaded, done.manifests), (2, 1));
    let big = Digest::of(&layer(1));
    assert_eq!(memory.opened.lock().unwrap().iter().filter(|digest| **digest == big).count(), 3);
    assert_eq!(registry.content().blobs[&("acme/app".to_owned(), big.to_string())], layer(1));
}

#[test]
fn an_upload_that_is_cut_for_ever_leaves_no_manifest() {
    let registry = Registry::default();
    let answers = registry.clone();
    let gate = |seen: &Seen| is_blob_put(seen).then_some(10);
    let server = Server::with_gate(gate, move |seen| answers.answer(seen));
    let (memory, image) = one_image();
    let error = format!("{:#}", push(&client(), (&memory, &image), &target(&server), &[]).unwrap_err());
    let start = format!("cannot push blob `{}` to `{}/acme/app`: ", Digest::of(&layer(1)), server.host);
    assert!(error.starts_with(&start) && !error.contains("_state"), "{error}");
    assert_eq!(count(&server, "POST", "/uploads/"), 5);
    assert!(registry.content().manifests.is_empty());
}

#[test]
fn a_registry_that_stops_and_starts_is_survived() {
    let registry = Registry::default();
    let (answers, stopping) = (registry.clone(), registry.clone());
    let (sender, cut) = std::sync::mpsc::channel();
    let gate = move |seen: &Seen| {
        if !is_blob_put(seen) {
            return None;
        }
        // Only its storage outlives it.
        stopping.content().sessions.clear();
        sender.send(()).unwrap();
        Some(50_000)
    };
    let first = Server::with_gate(gate, move |seen| answers.answer(seen));
    let (memory, image) = one_image();
    let target = target(&first);
    let client = with(Credentials::none(), Duration::from_millis(200));
    std::thread::scope(|scope| {
        let push = scope.spawn(|| push(&client, (&memory, &image), &target, &[]).unwrap());
        cut.recv().unwrap();
        first.stop();
        std::thread::sleep(Duration::from_millis(300));
        let answers = registry.clone();
        let second = Server::restart(&first.host, move |seen| answers.answer(seen));
        assert_eq!(push.join().unwrap().manifests, 1);
        assert!(second.lines().len() > 3);
    });
    assert_eq!(registry.content().blobs.len(), 2);
}

/// A registry behind a token service whose `n`th token is good for `uses[n]` requests.
fn expiring(registry: &Registry, uses: &'static [usize]) -> Server {
    let answers = registry.clone();
    let mut given = 0;
    let mut used = 0;
    Server::start(move |seen| {
        if seen.path.starts_with("/token") {
            (given, used) = (given + 1, 0);
            return Answer::new(200, format!(r#"{{"token":"T{given}","expires_in":3600}}"#));
        }
        let is_current = seen.authorization() == Some(&format!("Bearer T{given}"));
        used += 1;
        if is_current && used <= uses.get(given - 1).copied().unwrap_or(usize::MAX) {
            return answers.answer(seen);
        }
        let realm = format!(r#"Bearer realm="http://{}/token",service="reg""#, seen.headers["host"]);
        Answer::new(401, error("UNAUTHORIZED", "expired")).header("WWW-Authenticate", realm)
    })
}

#[test]
fn tokens_that_end_during_a_push_are_renewed() {
    // The requests of a push one after the other: the token ends before each of them once.
    for uses in [&[1][..], &[2], &[3], &[4], &[5], &[6], &[7], &[3, 3, 3]] {
        let registry = Registry::default();
        let uses: &'static [usize] = Box::leak(uses.to_vec().into_boxed_slice());
        let server = expiring(&registry, uses);
        let (memory, image) = one_image();
        push(&with_password(&server), (&memory, &image), &target(&server), &[]).unwrap();
        assert_eq!(registry.content().manifests.len(), 1);
        assert_eq!(count(&server, "GET /token", ""), uses.len() + 1, "{uses:?}");
    }
    // One that is refused when it is new is not asked for again and again.
    let registry = Registry::default();
    let server = expiring(&registry, Box::leak(Box::new([2, 0, 0, 0, 0, 0])));
    let (memory, image) = one_image();
    let error = push(&with_password(&server), (&memory, &image), &target(&server), &[]).unwrap_err();
    let hint = format!("hint: the credentials (user `user`) need push permission on `{}/acme/app`", server.host);
    assert!(format!("{error:#}").ends_with(&hint), "{error:#}");
    assert_eq!(count(&server, "GET /token", ""), 2);
}

#[test]
fn refusals_say_what_is_missing() {
    let push_to = |server: &Server| {
        let (memory, image) = one_image();
        format!("{:#}", push(&with_password(server), (&memory, &image), &target(server), &[]).unwrap_err())
    };
    // A wrong password, by Basic.
    let server = Server::start(|_| Answer::new(401, "").header("WWW-Authenticate", "Basic realm=\"r\""));
    let error = push_to(&server);
    assert!(error.ends_with("hint: the credentials (user `user`) are wrong, or have expired"), "{error}");
    assert_eq!(server.lines().len(), 2);

    // A wrong password, at the token service.
    let server = Server::start(|seen| {
        let realm = format!(r#"Bearer realm="http://{}/token""#, seen.headers["host"]);
        Answer::new(401, super::test_registry::error("UNAUTHORIZED", "bad password")).header("WWW-Authenticate", realm)
    });
    let error = push_to(&server);
    assert!(error.contains(&format!("cannot get a token from `{}/token`", server.host)), "{error}");
    assert!(error.ends_with("are wrong, or have expired"), "{error}");
    assert!(!error.contains("pa:ss") && !error.contains("dXNlcjpwYTpzcw"), "{error}");

    // A token service that fails is not `unauthorized`.
    let server = Server::start(|seen| match seen.path.starts_with("/token") {
        true => Answer::new(503, "busy"),
        false => Answer::new(401, "")
            .header("WWW-Authenticate", format!(r#"Bearer realm="http://{}/token""#, seen.headers["host"])),
    });
    let error = push_to(&server);
    let end = format!("cannot get a token from `{0}/token`: `{0}` answered 503 Service Unavailable", server.host);
    assert!(error.ends_with(&end), "{error}");
    assert_eq!(count(&server, "GET /token", ""), 5);

    // Reading allowed, writing not.
    let registry = Registry::default();
    let server = Server::start(move |seen| match seen.method.as_str() {
        "HEAD" => registry.answer(seen),
        _ => Answer::new(403, super::test_registry::error("DENIED", "requested access is denied")),
    });
    let error = push_to(&server);
    assert!(error.contains("answered 403 Forbidden: DENIED: requested access is denied"), "{error}");
    let end = format!("need push permission on `{}/acme/app`", server.host);
    assert!(error.ends_with(&end), "{error}");
}

#[test]
fn uploads_to_another_host_carry_no_credentials() {
    let registry = Registry::default();
    let answers = registry.clone();
    let storage = Server::start(move |seen| {
        let mut seen = seen.clone();
        seen.path = seen.path.replace("&signature=s3cret", "");
        answers.answer(&seen)
    });
    let (answers, place) = (registry.clone(), storage.host.clone());
    let server = Server::start(move |seen| {
        if seen.authorization().is_none() {
            return Answer::new(401, "").header("WWW-Authenticate", "Basic");
        }
        let answer = answers.answer(seen);
        if seen.method != "POST" {
            return answer;
        }
        let session = answers.content().sessions.last().unwrap().clone();
        let number = session.trim_start_matches("session-");
        let path = format!("/v2/acme/app/blobs/uploads/{session}?_state=s%2F{number}&signature=s3cret");
        Answer::new(202, "").header("Location", format!("http://{place}{path}"))
    });
    let (memory, image) = one_image();
    push(&with_password(&server), (&memory, &image), &target(&server), &[]).unwrap();
    assert_eq!(storage.lines().len(), 2);
    for seen in storage.seen() {
        assert_eq!(seen.authorization(), None);
        assert!(seen.path.contains("&signature=s3cret&digest=sha256%3A"), "{}", seen.path);
    }
    assert_eq!(count(&server, "PUT", ""), 1, "the manifest");
    assert!(server.seen().iter().skip(1).all(|seen| seen.authorization().is_some()));
}

#[test]
fn locations_that_lead_astray_are_refused_without_their_query() {
    for location in ["http://storage.example/up?sig=s3cret", "ftp://127.0.0.1/up?sig=s3cret", "http://[/?sig=s3cret"] {
        let registry = Registry::default();
        let server = Server::start(move |seen| match seen.method.as_str() {
            "POST" => Answer::new(202, "").header("Location", location),
            _ => registry.answer(seen),
        });
        let (memory, image) = one_image();
        let error = format!("{:#}", push(&client(), (&memory, &image), &target(&server), &[]).unwrap_err());
        assert!(error.contains("the registry names no place to upload to"), "{error}");
        assert!(!error.contains("s3cret"), "{error}");
    }
}

#[test]
fn another_digest_than_ours_is_an_error_that_names_both() {
    let other = Digest::of(b"other");
    for is_wrong in [is_blob_put, |seen: &Seen| seen.method == "PUT" && seen.path.contains("/manifests/")] {
        let (registry, echoed) = (Registry::default(), other.clone());
        let server = Server::start(move |seen| {
            let answer = registry.answer(seen);
            if is_wrong(seen) {
                return Answer::new(201, "").header("Docker-Content-Digest", echoed.as_str());
            }
            answer
        });
        let (memory, image) = one_image();
        let error = format!("{:#}", push(&client(), (&memory, &image), &target(&server), &[]).unwrap_err());
        assert!(error.contains(&format!("it stored `{other}`, but was sent `sha256:")), "{error}");
    }
}

#[test]
fn a_source_that_fails_is_not_taken_for_the_registry() {
    struct Broken(Memory);
    impl ImageSource for Broken {
        fn document(&self, descriptor: &Descriptor) -> anyhow::Result<Vec<u8>> {
            self.0.document(descriptor)
        }
        fn blob(&self, descriptor: &Descriptor) -> anyhow::Result<Box<dyn Read + Send + '_>> {
            Ok(Box::new(self.0.blob(descriptor)?.take(10)))
        }
    }
    let registry = Registry::default();
    let server = Server::start(move |seen| registry.answer(seen));
    let (memory, image) = one_image();
    let error = transfer(&client(), &Broken(memory), &image, &target(&server), &[], 1, &|_| {}).unwrap_err();
    let error = format!("{error:#}");
    assert!(error.ends_with("cannot read what is to be sent: it ends 299990 bytes early"), "{error}");
    assert_eq!(count(&server, "POST", ""), 1, "it is not tried again");
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

#[test]
fn tags_come_from_all_pages_in_all_forms_of_links() {
    for form in ["relative", "query", "absolute", "array"] {
        let server = Server::start(move |seen| {
            let (path, query) = seen.path.split_once('?').unwrap();
            let next = |query: &str| match form {
                "relative" => format!("<{path}?{query}>; rel=\"next\""),
                "query" => format!("<?{query}>; rel=next"),
                "array" => format!("</x>; rel=\"prev\", <{path}?{query}>; rel=\"next\""),
                _ => format!("<http://{}{path}?{query}>; rel=\"next\"", seen.headers["host"]),
            };
            match query {
                "n=1000" => Answer::new(200, r#"{"name":"acme/app","tags":["v2","latest"]}"#)
                    .header("Link", next("last=v2&n=2")),
                "last=v2&n=2" => {
                    Answer::new(200, r#"{"name":"acme/app","tags":["v10","v2"]}"#).header("Link", next("last=v10"))
                }
                "last=v10" => Answer::new(200, r#"{"name":"acme/app","tags":["a"]}"#),
                other => panic!("{other}"),
            }
        });
        let tags = client().tags(&target(&server)).unwrap();
        assert_eq!(tags.iter().map(|tag| tag.as_str()).collect::<Vec<_>>(), ["a", "latest", "v10", "v2"], "{form}");
    }
}

#[test]
fn repositories_without_tags_have_none_and_lists_that_lead_astray_are_refused() {
    for answer in [|| Answer::new(404, error("NAME_UNKNOWN", "unknown")), || Answer::new(200, r#"{"tags":null}"#)] {
        let server = Server::start(move |_| answer());
        assert!(client().tags(&target(&server)).unwrap().is_empty());
    }
    for link in ["<https://evil.example/v2/x>; rel=\"next\"", "<?n=1000>; rel=\"next\""] {
        let server = Server::start(move |_| Answer::new(200, r#"{"tags":["a"]}"#).header("Link", link));
        let error = format!("{:#}", client().tags(&target(&server)).unwrap_err());
        assert!(error.contains("at another host") || error.contains("leads to itself"), "{error}");
        assert_eq!(server.lines().len(), 1);
    }
    let server = Server::start(|_| Answer::new(200, "[]"));
    assert!(client().tags(&target(&server)).is_err());
}
