//! Pushing to a registry that fails in every way registries do.

use std::io::Read;
use std::time::{Duration, Instant};

use super::push_tests::{Memory, client, count, is_blob_put, layer, one_image, push, target, with, with_password};
use super::test_registry::{Registry, error};
use super::test_server::{Answer, Seen, Server};
use super::transfer::ImageSource;
use super::*;
use crate::image::manifest::Descriptor;
use crate::image::reference::Digest;

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
fn a_link_that_another_publisher_rewrites_is_survived() {
    let is_manifest_put = |seen: &Seen| seen.method == "PUT" && seen.path.contains("/manifests/");
    let rewritten = || Answer::new(400, error("DIGEST_INVALID", "provided digest did not match uploaded content"));
    survives(is_manifest_put, rewritten);

    let answers = Registry::default();
    let server = Server::start(move |seen| if is_manifest_put(seen) { rewritten() } else { answers.answer(seen) });
    let (memory, image) = one_image();
    let refused = push(&client(), (&memory, &image), &target(&server), &[]).unwrap_err();
    assert!(format!("{refused:#}").contains("DIGEST_INVALID"), "{refused:#}");
    assert_eq!(count(&server, "PUT /v2/acme/app/manifests/", ""), 5);
}

#[test]
fn each_request_of_a_blob_has_tries_of_its_own() {
    let registry = Registry::default();
    let answers = registry.clone();
    let mut failed: std::collections::BTreeMap<String, usize> = Default::default();
    let server = Server::start(move |seen| {
        // Each upload has an address of its own.
        let what = if is_blob_put(seen) { seen.path.split("digest=").nth(1).unwrap() } else { &seen.path };
        let times = failed.entry(format!("{} {what}", seen.method)).or_default();
        *times += 1;
        if *times <= 4 { Answer::new(503, "") } else { answers.answer(seen) }
    });
    let (memory, image) = one_image();
    push(&client(), (&memory, &image), &target(&server), &[]).unwrap();
    assert_eq!(registry.content().blobs.len(), 2);
    assert_eq!(registry.content().manifests.len(), 1);
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
    for location in [
        "http://user:s3cret@storage.example/up",
        "http://user:s3cret@[/",
        "http://storage.example/up?sig=s3cret",
        "ftp://127.0.0.1/up?sig=s3cret",
        "http://[/?sig=s3cret",
    ] {
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
