//! The client against a real HTTP server.

use std::time::{Duration, Instant};

use super::test_server::{Answer, Seen, Server};
use super::*;
use crate::http::{ApiError, RetryPolicy, Secret};
use crate::image::manifest::{MANIFEST_TYPES, OCI_INDEX};
use crate::image::reference::{Digest, ImageReference};
use crate::image::time::rfc3339;

const MANIFEST: &[u8] = br#"{"schemaVersion":2,"manifests":[]}"#;

fn quick(credentials: Credentials) -> Client {
    let policy = RetryPolicy { first_wait: Duration::from_millis(2), ..RetryPolicy::default() };
    Client::with_policy(credentials, policy)
}

fn anonymous() -> Client {
    quick(Credentials::none())
}

fn with_password(server: &Server) -> Client {
    let registry = server.host.parse().unwrap();
    quick(Credentials::none().with(registry, "user", Secret::new("pa:ss")))
}

fn image(server: &Server) -> ImageReference {
    format!("{}/acme/engine:v1", server.host).parse().unwrap()
}

fn manifest() -> Answer {
    Answer::new(200, MANIFEST)
        .header("Content-Type", OCI_INDEX)
        .header("Docker-Content-Digest", Digest::of(MANIFEST).to_string())
}

fn error(code: &str, message: &str) -> String {
    format!(r#"{{"errors":[{{"code":"{code}","message":"{message}"}}]}}"#)
}

fn sample(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at / 7) as u8 ^ (at >> 11) as u8).collect()
}

#[test]
fn asks_for_all_kinds_of_manifests() {
    let server = Server::start(|_| manifest());
    let found = anonymous().head_manifest(&image(&server)).unwrap().unwrap();
    assert_eq!(found.digest, Digest::of(MANIFEST));
    assert_eq!((found.size, found.media_type.as_str()), (MANIFEST.len() as u64, OCI_INDEX));
    let read = anonymous().get_manifest(&image(&server)).unwrap();
    assert_eq!(read.bytes, MANIFEST);
    assert_eq!(server.lines(), ["HEAD /v2/acme/engine/manifests/v1", "GET /v2/acme/engine/manifests/v1"]);
    for seen in server.seen() {
        assert_eq!(seen.headers["accept"], MANIFEST_TYPES.join(", "));
        assert!(seen.headers["user-agent"].starts_with("cargo-xtask/"));
    }
}

#[test]
fn resolves_by_get_where_head_does_not_say() {
    let server = Server::start(|seen| match seen.method.as_str() {
        "HEAD" => Answer::new(405, ""),
        _ => Answer::new(200, MANIFEST),
    });
    assert_eq!(anonymous().resolve(&image(&server)).unwrap(), Digest::of(MANIFEST));
}

#[test]
fn what_is_missing_is_none_or_says_so() {
    let server = Server::start(|_| Answer::new(404, error("MANIFEST_UNKNOWN", "manifest unknown")));
    assert!(anonymous().head_manifest(&image(&server)).unwrap().is_none());
    let error = anonymous().resolve(&image(&server)).unwrap_err();
    assert_eq!(error.to_string(), format!("`{}` does not exist in the registry", image(&server)));
    let error = anonymous().get_manifest(&image(&server)).unwrap_err();
    let answer = error.downcast_ref::<ApiError>().unwrap();
    assert!(answer.is_not_found());
    assert_eq!(
        format!("{error:#}"),
        format!(
            "cannot read `{}`: `{}` answered 404 Not Found: MANIFEST_UNKNOWN: manifest unknown",
            image(&server),
            server.host
        )
    );
    assert_eq!(server.lines().len(), 3, "a 404 is not repeated");
}

/// A registry that wants tokens, and the service that gives them: `TOKEN1`, `TOKEN2`, …
fn token_server(accepted: &'static [&'static str]) -> Server {
    let mut given = 0;
    Server::start(move |seen| {
        if seen.path.starts_with("/token") {
            given += 1;
            return Answer::new(200, format!(r#"{{"token":"TOKEN{given}","expires_in":300}}"#));
        }
        let token = seen.authorization().and_then(|text| text.strip_prefix("Bearer "));
        if token.is_some_and(|token| accepted.contains(&token)) {
            return manifest();
        }
        let host = &seen.headers["host"];
        let challenge =
            format!(r#"Bearer realm="http://{host}/token",service="reg",scope="repository:acme/engine:pull""#);
        Answer::new(401, error("UNAUTHORIZED", "no")).header("WWW-Authenticate", challenge)
    })
}

#[test]
fn tokens_are_asked_for_once_per_scope() {
    let server = token_server(&["TOKEN1"]);
    let client = with_password(&server);
    client.get_manifest(&image(&server)).unwrap();
    client.get_manifest(&image(&server)).unwrap();
    let token = "GET /token?service=reg&scope=repository%3Aacme%2Fengine%3Apull";
    let read = "GET /v2/acme/engine/manifests/v1";
    assert_eq!(server.lines(), [read, token, read, read]);
    let seen = server.seen();
    assert_eq!(seen[0].authorization(), None, "nothing is shown before it is asked for");
    assert_eq!(seen[1].authorization(), Some("Basic dXNlcjpwYTpzcw=="));
    assert_eq!(seen[3].authorization(), Some("Bearer TOKEN1"));
}

#[test]
fn anonymous_tokens_carry_no_credentials() {
    let server = token_server(&["TOKEN1"]);
    anonymous().get_manifest(&image(&server)).unwrap();
    assert_eq!(server.seen()[1].authorization(), None);
}

#[test]
fn refused_tokens_are_renewed_once() {
    let mut manifests = 0;
    let mut tokens = 0;
    let server = Server::start(move |seen| {
        if seen.path.starts_with("/token") {
            tokens += 1;
            return Answer::new(200, format!(r#"{{"access_token":"T{tokens}"}}"#));
        }
        manifests += 1;
        // The first token ends after one use.
        match (manifests, seen.authorization()) {
            (_, Some("Bearer T1")) if manifests <= 2 => manifest(),
            (_, Some("Bearer T2")) => manifest(),
            _ => Answer::new(401, "")
                .header("WWW-Authenticate", format!(r#"Bearer realm="http://{}/token""#, seen.headers["host"])),
        }
    });
    let client = anonymous();
    client.get_manifest(&image(&server)).unwrap();
    client.get_manifest(&image(&server)).unwrap();
    let shown: Vec<Option<String>> = server.seen().iter().map(|seen| seen.authorization().map(str::to_owned)).collect();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(shown, [None, None, text("Bearer T1"), text("Bearer T1"), None, text("Bearer T2")]);
}

#[test]
fn a_fresh_token_that_is_refused_is_final() {
    let server = token_server(&[]);
    let error = with_password(&server).get_manifest(&image(&server)).unwrap_err();
    assert!(error.downcast_ref::<ApiError>().unwrap().is_denied());
    let text = format!("{error:#}");
    assert!(text.contains("401 Unauthorized: UNAUTHORIZED: no"), "{text}");
    let hint = format!("hint: the credentials (user `user`) need pull permission on `{}/acme/engine`", server.host);
    assert!(text.ends_with(&hint), "{text}");
    assert_eq!(server.lines().len(), 3);

    let error = anonymous().get_manifest(&image(&server)).unwrap_err();
    let last = error.chain().last().unwrap().to_string();
    assert_eq!(last, format!("hint: log in with `docker login {}`", server.host));
}

#[test]
fn identity_tokens_are_posted() {
    let server = token_server(&["TOKEN1"]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.json");
    let config = format!(r#"{{"auths":{{"{}":{{"identitytoken":"ID&1"}}}}}}"#, server.host);
    std::fs::write(&file, config).unwrap();
    quick(Credentials::from_file(file)).get_manifest(&image(&server)).unwrap();
    let post = &server.seen()[1];
    assert_eq!((post.method.as_str(), post.path.as_str()), ("POST", "/token"));
    assert!(post.body().contains("grant_type=refresh_token") && post.body().contains("refresh_token=ID%261"));
    assert_eq!(post.authorization(), None);
}

#[test]
fn basic_is_answered_with_a_password_only() {
    let server = Server::start(|seen| match seen.authorization() {
        Some("Basic dXNlcjpwYTpzcw==") => manifest(),
        _ => Answer::new(401, "").header("WWW-Authenticate", "Basic realm=\"r\""),
    });
    with_password(&server).get_manifest(&image(&server)).unwrap();
    let error = anonymous().get_manifest(&image(&server)).unwrap_err();
    assert!(error.downcast_ref::<ApiError>().unwrap().is_denied());
}

#[test]
fn a_failing_token_service_is_named() {
    let server = Server::start(|seen| {
        if seen.path.starts_with("/token") {
            return Answer::new(400, r#"{"details":"unknown service"}"#);
        }
        let realm = format!(r#"Bearer realm="http://{}/token""#, seen.headers["host"]);
        Answer::new(401, "").header("WWW-Authenticate", realm)
    });
    let error = anonymous().get_manifest(&image(&server)).unwrap_err();
    let host = &server.host;
    assert_eq!(
        format!("{error:#}"),
        format!(
            "cannot read `{host}/acme/engine:v1`: cannot get a token from `{host}/token`: \
             `{host}` answered 400 Bad Request: unknown service"
        )
    );
    assert_eq!(server.lines().len(), 2);
}

#[test]
fn a_busy_token_service_is_asked_again() {
    let mut asked = 0;
    let server = Server::start(move |seen| {
        if seen.path.starts_with("/token") {
            asked += 1;
            return if asked == 1 { Answer::new(503, "") } else { Answer::new(200, r#"{"token":"T"}"#) };
        }
        match seen.authorization() {
            Some("Bearer T") => manifest(),
            _ => Answer::new(401, "")
                .header("WWW-Authenticate", format!(r#"Bearer realm="http://{}/token""#, seen.headers["host"])),
        }
    });
    anonymous().get_manifest(&image(&server)).unwrap();
}

/// Answers the first request with `first`, all others well.
fn fails_once(first: impl Fn() -> Answer + Send + 'static) -> Server {
    let mut asked = 0;
    Server::start(move |_| {
        asked += 1;
        if asked == 1 { first() } else { manifest() }
    })
}

#[test]
fn passing_faults_are_repeated() {
    for status in [408, 429, 500, 502, 503, 504] {
        let server = fails_once(move || Answer::new(status, ""));
        anonymous().get_manifest(&image(&server)).unwrap();
        assert_eq!(server.lines().len(), 2, "{status}");
    }
    for status in [400, 403, 409, 418] {
        let server = fails_once(move || Answer::new(status, ""));
        anonymous().get_manifest(&image(&server)).unwrap_err();
        assert_eq!(server.lines().len(), 1, "{status}");
    }
}

#[test]
fn five_tries_are_enough() {
    let server = Server::start(|_| Answer::new(500, error("UNKNOWN", "broken")));
    let error = anonymous().get_manifest(&image(&server)).unwrap_err();
    assert!(format!("{error:#}").ends_with("500 Internal Server Error: UNKNOWN: broken"));
    assert_eq!(server.lines().len(), 5);
}

#[test]
fn retry_after_is_honoured_in_seconds() {
    let server = fails_once(|| Answer::new(429, "").header("Retry-After", "1"));
    let begin = Instant::now();
    anonymous().get_manifest(&image(&server)).unwrap();
    assert!(begin.elapsed() >= Duration::from_secs(1));
}

#[test]
fn retry_after_is_honoured_as_a_date() {
    let server = fails_once(|| {
        let now = std::time::SystemTime::now();
        let at = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64 + 2;
        Answer::new(429, "").header("Retry-After", http_date(at))
    });
    let begin = Instant::now();
    anonymous().get_manifest(&image(&server)).unwrap();
    assert!(begin.elapsed() >= Duration::from_millis(900), "{:?}", begin.elapsed());
}

/// Any week day will do: readers pass it over.
pub(super) fn http_date(seconds: i64) -> String {
    let text = rfc3339(seconds);
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = months[text[5..7].parse::<usize>().unwrap() - 1];
    format!("Sun, {} {month} {} {} GMT", &text[8..10], &text[..4], &text[11..19])
}

#[test]
fn a_long_retry_after_ends_at_once() {
    let server = fails_once(|| Answer::new(429, "").header("Retry-After", "3600"));
    let error = anonymous().get_manifest(&image(&server)).unwrap_err();
    assert!(format!("{error:#}").contains("asks to come back in 3600 seconds"), "{error:#}");
}

#[test]
fn a_retry_after_of_now_does_not_take_the_pauses_away() {
    for value in ["0", "Sun, 06 Nov 1994 08:49:37 GMT"] {
        let server = Server::start(move |_| Answer::new(429, "").header("Retry-After", value));
        let policy = RetryPolicy { first_wait: Duration::from_millis(40), ..RetryPolicy::default() };
        let begin = Instant::now();
        Client::with_policy(Credentials::none(), policy).get_manifest(&image(&server)).unwrap_err();
        // 40, 80, 160 and 320 ms, each at least by half.
        assert!(begin.elapsed() >= Duration::from_millis(300), "{value}: {:?}", begin.elapsed());
        assert_eq!(server.lines().len(), 5);
    }
}

/// A client without much patience.
fn hasty() -> Client {
    let policy = RetryPolicy {
        tries: 2,
        first_wait: Duration::from_millis(2),
        whole_answer: Duration::from_millis(300),
        ..RetryPolicy::default()
    };
    Client::with_policy(Credentials::none(), policy)
}

#[test]
fn answers_that_come_byte_by_byte_end() {
    type Ask = fn(&Client, &ImageReference) -> anyhow::Result<()>;
    let manifest: Ask = |client, image| client.get_manifest(image).map(drop);
    let tags: Ask = |client, image| client.tags(image).map(drop);
    let blob: Ask = |client, image| client.fetch_blob(image, &Digest::of(&sample(1000)), 1000, &mut Vec::new());
    type Give = fn(&Seen) -> Answer;
    let cases: [(&str, Ask, Give); 5] = [
        ("or too slow, within the answer", manifest, |_| Answer::new(200, sample(1000))),
        ("or too slow, within the answer", tags, |_| Answer::new(200, sample(1000))),
        ("of 1000 bytes", blob, |_| Answer::new(200, sample(1000))),
        ("answered 500 Internal Server Error", manifest, |_| Answer::new(500, sample(1000))),
        ("or too slow, within the answer", manifest, |seen| match seen.path.starts_with("/token") {
            true => Answer::new(200, sample(1000)),
            false => Answer::new(401, "")
                .header("WWW-Authenticate", format!(r#"Bearer realm="http://{}/token""#, seen.headers["host"])),
        }),
    ];
    for (text, ask, answer) in cases {
        let server = Server::start(move |seen| answer(seen).drip(1, Duration::from_millis(50)));
        let begin = Instant::now();
        let error = format!("{:#}", ask(&hasty(), &image(&server)).unwrap_err());
        assert!(error.contains(text), "{error}");
        // Not the 50 seconds that it would take.
        assert!(begin.elapsed() < Duration::from_secs(8), "{text}: {:?}", begin.elapsed());
    }
}

#[test]
fn a_blob_that_moves_may_take_longer_than_a_small_answer() {
    let content = sample(64 * 1024);
    let served = content.clone();
    let server = Server::start(move |_| Answer::new(200, served.clone()).drip(4096, Duration::from_millis(60)));
    let (mut out, begin) = (Vec::new(), Instant::now());
    hasty().fetch_blob(&image(&server), &Digest::of(&content), 64 * 1024, &mut out).unwrap();
    assert_eq!(out, content);
    assert!(begin.elapsed() > Duration::from_millis(800));
    assert_eq!(server.lines().len(), 1);
}

fn ranged(content: &[u8], seen: &Seen) -> Answer {
    match seen.headers.get("range") {
        Some(range) => {
            let from: usize = range.trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap();
            let all = content.len();
            Answer::new(206, &content[from..]).header("Content-Range", format!("bytes {from}-{}/{all}", all - 1))
        }
        None => Answer::new(200, content),
    }
}

fn fetch(server: &Server, digest: &Digest, size: u64) -> anyhow::Result<Vec<u8>> {
    let mut out = Vec::new();
    anonymous().fetch_blob(&image(server), digest, size, &mut out)?;
    Ok(out)
}

#[test]
fn cut_blobs_are_taken_up() {
    let content = sample(300_000);
    let served = content.clone();
    let mut asked = 0;
    let server = Server::start(move |seen| {
        asked += 1;
        let answer = ranged(&served, seen);
        if asked < 4 { answer.cut_after(70_000) } else { answer }
    });
    let digest = Digest::of(&content);
    assert_eq!(fetch(&server, &digest, 300_000).unwrap(), content);
    let ranges: Vec<_> = server.seen().iter().map(|seen| seen.headers.get("range").cloned()).collect();
    assert_eq!(ranges.len(), 4);
    assert_eq!(ranges[0], None);
    assert!(ranges[1..].iter().all(Option::is_some));
}

#[test]
fn cut_blobs_begin_again_where_ranges_are_unknown() {
    let content = sample(200_000);
    let served = content.clone();
    let mut asked = 0;
    let server = Server::start(move |_| {
        asked += 1;
        let answer = Answer::new(200, served.clone());
        if asked == 1 { answer.cut_after(123_456) } else { answer }
    });
    assert_eq!(fetch(&server, &Digest::of(&content), 200_000).unwrap(), content);
}

#[test]
fn blobs_that_never_end_whole_are_errors() {
    let server = Server::start(|_| Answer::new(200, sample(1000)).cut_after(0));
    let error = fetch(&server, &Digest::of(&sample(1000)), 1000).unwrap_err();
    assert!(format!("{error:#}").contains("cut after 0 of 1000 bytes"), "{error:#}");
    assert_eq!(server.lines().len(), 5);
}

#[test]
fn wrong_content_is_refused() {
    let digest = Digest::of(b"expected");
    let server = Server::start(|_| Answer::new(200, "tampered"));
    let error = fetch(&server, &digest, 8).unwrap_err();
    let sent = Digest::of(b"tampered");
    assert!(format!("{error:#}").ends_with(&format!("the registry sent `{sent}` for `{digest}`")));
    let error = fetch(&server, &digest, 7).unwrap_err();
    assert!(format!("{error:#}").ends_with("it is longer than its 7 bytes"), "{error:#}");

    let pinned = image(&server).with_digest(digest);
    let error = anonymous().get_manifest(&pinned).unwrap_err();
    assert!(format!("{error:#}").contains("the registry sent"), "{error:#}");
    let server =
        Server::start(|_| Answer::new(200, "other").header("Docker-Content-Digest", Digest::of(MANIFEST).to_string()));
    assert!(anonymous().get_manifest(&image(&server)).is_err(), "announced is another digest");
}

#[test]
fn other_hosts_get_no_credentials() {
    let content = sample(1000);
    let served = content.clone();
    let storage = Server::start(move |_| Answer::new(200, served.clone()));
    let target = format!("http://{}/store/blob?signature=s3cret", storage.host);
    let server = Server::start(move |seen| match seen.authorization() {
        None => Answer::new(401, "").header("WWW-Authenticate", "Basic"),
        Some(_) => Answer::new(307, "").header("Location", target.clone()),
    });
    let mut out = Vec::new();
    let client = with_password(&server);
    client.fetch_blob(&image(&server), &Digest::of(&content), 1000, &mut out).unwrap();
    assert_eq!(out, content);
    assert_eq!(server.seen()[1].authorization(), Some("Basic dXNlcjpwYTpzcw=="));
    assert_eq!(storage.lines(), ["GET /store/blob?signature=s3cret"]);
    assert_eq!(storage.seen()[0].authorization(), None);
}

#[test]
fn redirects_within_the_host_keep_them() {
    let server = Server::start(|seen| match (seen.authorization(), seen.path.as_str()) {
        (None, _) => Answer::new(401, "").header("WWW-Authenticate", "Basic"),
        (_, "/there") => Answer::new(200, "blob"),
        _ => Answer::new(302, "").header("Location", "/there"),
    });
    let mut out = Vec::new();
    with_password(&server).fetch_blob(&image(&server), &Digest::of(b"blob"), 4, &mut out).unwrap();
    assert_eq!(out, b"blob");
}

#[test]
fn redirects_to_plain_http_elsewhere_are_refused() {
    for target in ["http://storage.example/blob?signature=s3cret", "ftp://127.0.0.1/x"] {
        let server = Server::start(move |_| Answer::new(307, "").header("Location", target));
        let error = format!("{:#}", fetch(&server, &Digest::of(b"x"), 1).unwrap_err());
        assert!(error.contains("without https") && !error.contains("s3cret"), "{error}");
    }
    let server = Server::start(|_| Answer::new(307, "").header("Location", "/again"));
    let error = format!("{:#}", fetch(&server, &Digest::of(b"x"), 1).unwrap_err());
    assert!(error.contains("redirects without end"), "{error}");
}

#[test]
fn nobody_there_is_said_after_some_tries() {
    let host = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().to_string()
    };
    let reference: ImageReference = format!("{host}/a:b").parse().unwrap();
    let error = format!("{:#}", anonymous().get_manifest(&reference).unwrap_err());
    assert!(error.contains(&format!("cannot reach `{host}`")), "{error}");
}
