//! `digests fetch` against a local server that speaks GitHub's endpoints, and a second one that is the
//! storage its downloads are redirected to.

use std::io::Write;

use rawzip::{CompressionMethod, ZipArchiveWriter};
use serde_json::{Value, json};

use crate::support::http::{Answer, Request, Server};
use crate::support::image::digest;
use crate::support::{Fixture, Xtask};

const TOKEN: &str = "ghs_secretSECRETsecret";
const RECORD: &str = "artifacts/docker/docker-image-digests.json";
const ENTRY: &str = "docker-image-digests.json";

/// What GitHub has: runs page by page, a run's artifacts, and each artifact's archive.
#[derive(Clone, Default)]
struct Hosted {
    pages: Vec<Vec<Value>>,
    artifacts: Vec<(u64, Value)>,
    archives: Vec<(u64, Vec<u8>)>,
}

/// A workspace and the servers.
struct Scene {
    fixture: Fixture,
    github: Server,
    storage: Server,
}

fn run(id: u64, day: u32, change: Value) -> Value {
    let mut run = json!({
        "id": id,
        "run_number": id,
        "event": "push",
        "status": "completed",
        "conclusion": "success",
        "head_branch": "main",
        "head_sha": format!("{id:040x}"),
        "created_at": format!("2026-01-{day:02}T00:00:00Z"),
        "head_repository": {"full_name": "acme/shop"},
    });
    for (key, value) in change.as_object().unwrap() {
        run[key] = value.clone();
    }
    run
}

fn artifact(id: u64, archive: &[u8]) -> Value {
    json!({
        "id": id,
        "name": "docker-image-digests",
        "size_in_bytes": archive.len(),
        "expired": false,
        "expires_at": "2026-04-01T00:00:00Z",
        "digest": digest(archive),
    })
}

fn record(component: &str) -> String {
    let (repository, digest) = (format!("ghcr.io/acme/{component}"), format!("sha256:{}", "a".repeat(64)));
    let entry = json!({
        "repository": repository,
        "digest": digest,
        "image": format!("{repository}@{digest}"),
        "gitShaTag": format!("{repository}:sha-0000001"),
    });
    json!({ component: entry }).to_string()
}

fn zip(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut archive = ZipArchiveWriter::new(&mut bytes);
    for (name, content) in entries {
        let (mut entry, config) =
            archive.new_file(name).compression_method(CompressionMethod::DEFLATE).start().unwrap();
        let mut writer = config.wrap(flate2::write::DeflateEncoder::new(&mut entry, flate2::Compression::default()));
        writer.write_all(content).unwrap();
        let (encoder, descriptor) = writer.finish().unwrap();
        encoder.finish().unwrap();
        entry.finish(descriptor).unwrap();
    }
    archive.finish().unwrap();
    bytes
}

impl Hosted {
    /// Adds a run with an artifact of its number, which holds `archive`.
    fn with(mut self, run: Value, archive: &[u8]) -> Self {
        let id = run["id"].as_u64().unwrap();
        self.artifacts.push((id, artifact(id, archive)));
        self.archives.push((id, archive.to_owned()));
        self.pages.resize(self.pages.len().max(1), Vec::new());
        self.pages[0].push(run);
        self
    }

    fn answer(&self, request: &Request, storage: u16) -> Answer {
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        let id = |index| path.split('/').nth(index).and_then(|part| part.parse::<u64>().ok());
        if request.headers.get("authorization").map(String::as_str) != Some(&format!("Bearer {TOKEN}")) {
            return Answer::new(401, r#"{"message":"Bad credentials"}"#);
        }
        if path == "/api/v3/repos/acme/shop/actions/workflows/docker-build.yml/runs" {
            assert!(query.contains("branch=main&status=success"), "{query}");
            let page: usize = query.rsplit_once("&page=").unwrap().1.parse().unwrap();
            let runs = self.pages.get(page - 1).cloned().unwrap_or_default();
            let answer = Answer::new(200, json!({"total_count": 1, "workflow_runs": runs}).to_string());
            if page >= self.pages.len() {
                return answer;
            }
            return answer.header("Link", format!("<https://elsewhere.example{path}?page={}>; rel=\"next\"", page + 1));
        }
        if path.starts_with("/api/v3/repos/acme/shop/actions/runs/") && path.ends_with("/artifacts") {
            let of = |run: &u64| id(8) == Some(*run);
            let found: Vec<_> = self.artifacts.iter().filter(|(run, _)| of(run)).map(|(_, found)| found).collect();
            return Answer::new(200, json!({"total_count": found.len(), "artifacts": found}).to_string());
        }
        match id(8).filter(|_| path.ends_with("/zip")) {
            // Another name of this machine is another host.
            Some(id) => Answer::new(302, "")
                .header("Location", format!("http://localhost:{storage}/artifact/{id}?sig=signatureSIGNATURE")),
            None => Answer::new(404, r#"{"message":"Not Found"}"#),
        }
    }
}

impl Scene {
    fn new(hosted: Hosted) -> Self {
        let archives = hosted.archives.clone();
        let storage = Server::start(move |request| {
            let id: u64 = request.path["/artifact/".len()..].split('?').next().unwrap().parse().unwrap();
            let archive = archives.iter().find(|(other, _)| *other == id);
            archive.map_or(Answer::new(404, ""), |(_, bytes)| Answer::new(200, bytes.clone()))
        });
        let port = storage.port;
        Self::with_github(Server::start(move |request| hosted.answer(request, port)), storage)
    }

    fn with_github(github: Server, storage: Server) -> Self {
        Scene { fixture: Fixture::simple(&["engine"]), github, storage }
    }

    /// Answers everything alike.
    fn always(answer: Answer) -> Self {
        Self::with_github(Server::start(move |_| answer.clone()), Server::start(|_| Answer::new(404, "")))
    }

    fn fetch(&self, arguments: &str) -> Xtask {
        self.fixture
            .xtask(&format!("digests fetch {arguments}"))
            .env("GITHUB_API_URL", format!("http://127.0.0.1:{}/api/v3/", self.github.port))
            .env("GITHUB_REPOSITORY", "acme/shop")
            .env("GITHUB_TOKEN", TOKEN)
            .env("HOME", self.fixture.root())
    }

    /// Runs it in vain: says `texts`, writes nothing, shows no secret.
    #[track_caller]
    fn fails(&self, arguments: &str, texts: &[&str]) {
        self.fixture.write(RECORD, "the previous record");
        let mut output = self.fetch(arguments).fails();
        for text in texts {
            output = output.says(text);
        }
        let shown = output.stdout + &output.stderr;
        assert!(!shown.contains("secretSECRET") && !shown.contains("SIGNATURE"), "{shown}");
        assert_eq!(self.fixture.read(RECORD), "the previous record");
        let left: Vec<_> = self.fixture.path("artifacts/docker").read_dir().unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }

    /// The component that the written record is of.
    fn written(&self) -> String {
        let record: Value = serde_json::from_str(&self.fixture.read(RECORD)).unwrap();
        record.as_object().unwrap().keys().next().unwrap().clone()
    }
}

#[test]
fn the_newest_run_of_the_repository_itself_wins_and_the_token_stays_with_github() {
    let archive = |component: &str| zip(&[("other.txt", b"x"), (ENTRY, record(component).as_bytes())]);
    let hosted = Hosted::default()
        .with(run(1, 1, json!({})), &archive("oldest"))
        .with(run(2, 7, json!({"event": "schedule"})), &archive("newest"))
        .with(run(3, 5, json!({"event": "workflow_dispatch"})), &archive("older"))
        .with(run(4, 9, json!({"head_repository": {"full_name": "eve/shop"}})), &archive("fork"))
        .with(run(5, 9, json!({"conclusion": "failure"})), &archive("failed"))
        .with(run(6, 9, json!({"conclusion": null})), &archive("running"))
        .with(run(7, 9, json!({"event": "pull_request"})), &archive("proposed"))
        .with(run(8, 9, json!({"head_branch": "v1.0.0"})), &archive("tagged"));
    let scene = Scene::new(hosted);
    let dry = scene.fetch("--dry-run").ok().says("would take run 2 of docker-build.yml (schedule, 0000000, 2026-01-07");
    assert!(dry.stdout.is_empty() && !scene.fixture.path(RECORD).exists());
    assert!(scene.storage.seen().is_empty());

    let output = scene.fetch("").ok().says("from run 2 of docker-build.yml").says(RECORD);
    assert_eq!(scene.written(), "newest");
    assert!(output.stdout.contains("ghcr.io/acme/newest@sha256:"), "{}", output.stdout);
    let stored = scene.storage.seen();
    assert_eq!(stored.len(), 1);
    assert!(!stored[0].headers.contains_key("authorization"), "{:?}", stored[0].headers);
    assert!(scene.github.seen().iter().all(|request| request.headers.contains_key("authorization")));

    scene.fetch("--output elsewhere.json").ok();
    assert_eq!(scene.fixture.read("elsewhere.json"), scene.fixture.read(RECORD));
}

#[test]
fn runs_without_the_artifact_are_passed_over_and_pages_turned() {
    let archive = zip(&[(ENTRY, record("found").as_bytes())]);
    let mut hosted = Hosted::default().with(run(1, 1, json!({})), &archive);
    let last = hosted.pages.remove(0);
    let forks = (100..200).map(|id| run(id, 20, json!({"head_repository": {"full_name": "eve/shop"}})));
    hosted.pages = vec![forks.collect(), vec![run(2, 3, json!({})), run(3, 2, json!({}))], last];
    // Of run 2 there is only another artifact, that of run 3 is gone.
    let mut other = artifact(2, b"");
    other["name"] = "something-else".into();
    let mut expired = artifact(3, b"");
    expired["expired"] = true.into();
    hosted.artifacts.extend([(2, other), (3, expired)]);
    let scene = Scene::new(hosted);
    scene.fetch("").ok().says("from run 1 of");
    assert_eq!(scene.written(), "found");
}

#[test]
fn turning_pages_comes_to_an_end() {
    // Every page says that there is another.
    let page = json!({"workflow_runs": [run(1, 1, json!({"event": "pull_request"}))]}).to_string();
    let scene = Scene::always(Answer::new(200, page).header("Link", "<http://x/>; rel=\"next\""));
    scene.fails("", &["`docker-build.yml` has no successful push, schedule or manual run on `main`"]);
    assert_eq!(scene.github.seen().len(), 10);
}

#[test]
fn when_all_have_expired_the_date_is_said() {
    let mut hosted = Hosted::default().with(run(1, 1, json!({})), b"").with(run(2, 2, json!({})), b"");
    for (id, artifact) in &mut hosted.artifacts {
        artifact["expired"] = true.into();
        artifact["expires_at"] = format!("2026-04-0{id}T00:00:00Z").into();
    }
    let scene = Scene::new(hosted);
    scene.fails("", &["no run of `docker-build.yml` on `main` has `docker-image-digests` any more", "2026-04-02"]);
    scene.fails("", &["hint: run the workflow again, or `--fallback-tag TAG`"]);
    assert!(scene.storage.seen().is_empty());
    // The fallback's registry does not answer: that is an error too, and nothing is written.
    scene.fixture.append("Cargo.toml", "[workspace.metadata.docker]\nregistry = \"127.0.0.1:1\"\n");
    scene.fails("--fallback-tag main", &["2026-04-02", "no image of `engine` can be recorded", "127.0.0.1:1"]);

    let scene = Scene::new(Hosted { pages: vec![vec![run(1, 1, json!({}))]], ..Hosted::default() });
    scene.fails("", &["none of the 1 newest runs of `docker-build.yml` on `main` uploaded `docker-image-digests`"]);
}

#[test]
fn an_artifact_that_expires_meanwhile_is_passed_over() {
    let archive = zip(&[(ENTRY, record("older").as_bytes())]);
    let hosted = Hosted::default().with(run(1, 1, json!({})), &archive).with(run(2, 2, json!({})), &archive);
    let storage = Server::start(move |_| Answer::new(200, archive.clone()));
    let port = storage.port;
    let github = Server::start(move |request| match request.path.ends_with("/artifacts/2/zip") {
        true => Answer::new(410, r#"{"message":"Artifact has expired"}"#),
        false => hosted.answer(request, port),
    });
    let scene = Scene::with_github(github, storage);
    scene.fetch("").ok().says("from run 1 of");
}

#[test]
fn what_is_no_record_is_not_written() {
    let large = vec![b' '; (1 << 20) + 1];
    let mut inconsistent: Value = serde_json::from_str(&record("engine")).unwrap();
    inconsistent["engine"]["digest"] = format!("sha256:{}", "b".repeat(64)).into();
    let cases: [(Vec<u8>, &str); 6] = [
        (b"<html>".to_vec(), "it is no zip archive"),
        (zip(&[("record.json", b"{}")]), "it has no `docker-image-digests.json`, only `record.json`"),
        (zip(&[(ENTRY, &large)]), "is larger than 1048576 bytes"),
        (zip(&[(ENTRY, b"\xff")]), "is no UTF-8"),
        (zip(&[(ENTRY, b"[]")]), "the digest record is no JSON object"),
        (zip(&[(ENTRY, inconsistent.to_string().as_bytes())]), "`engine` in the digest record is wrong"),
    ];
    for (archive, text) in cases {
        let scene = Scene::new(Hosted::default().with(run(1, 1, json!({})), &archive));
        scene.fails("", &["artifact `docker-image-digests` of run 1 (push, 0000000", text]);
    }
}

#[test]
fn an_archive_that_is_too_large_or_another_is_refused() {
    let archive = zip(&[(ENTRY, record("engine").as_bytes())]);
    let mut hosted = Hosted::default().with(run(1, 1, json!({})), &archive);
    hosted.artifacts[0].1["digest"] = format!("sha256:{}", "0".repeat(64)).into();
    Scene::new(hosted.clone()).fails("", &["is `sha256:", "as GitHub says"]);
    hosted.artifacts[0].1["size_in_bytes"] = (11_u64 << 20).into();
    let scene = Scene::new(hosted.clone());
    scene.fails("", &["artifact `docker-image-digests` is larger than 10485760 bytes"]);
    assert!(scene.storage.seen().is_empty());
    // Or it only turns out to be.
    hosted.artifacts[0].1["size_in_bytes"] = 9.into();
    hosted.archives[0].1 = vec![0; 11 << 20];
    Scene::new(hosted).fails("", &["the answer is longer than 10485760 bytes"]);
}

#[test]
fn refusals_say_what_would_mend_them() {
    let scene = Scene::always(Answer::new(404, r#"{"message":"Not Found"}"#));
    scene.fails("", &["answered 404 Not Found", "`acme/shop` or its workflow does not exist", "`actions: read`"]);
    let forbidden = Answer::new(403, r#"{"message":"Resource not accessible by integration"}"#);
    let scene = Scene::always(forbidden);
    scene.fails("", &["Resource not accessible by integration", "`permissions: actions: read`"]);
    let scene = Scene::always(Answer::new(401, r#"{"message":"Bad credentials"}"#));
    scene.fails("", &["Bad credentials", "`GITHUB_TOKEN` is not valid, or has ended"]);
    for status in [403, 429] {
        let used_up = Answer::new(status, r#"{"message":"API rate limit exceeded"}"#);
        let used_up = used_up.header("X-RateLimit-Remaining", "0").header("X-RateLimit-Reset", "1767225600");
        let scene = Scene::always(used_up);
        scene.fails("", &["API rate limit exceeded", "it answers again from 2026-01-01T00:00:00Z"]);
        assert_eq!(scene.github.seen().len(), 1, "waiting a second does not help");
    }
    let scene = Scene::always(Answer::new(200, "<html>"));
    scene.fails("", &["the answer is not what GitHub's API gives"]);
}

#[test]
fn a_failing_server_is_asked_again() {
    let archive = zip(&[(ENTRY, record("engine").as_bytes())]);
    let hosted = Hosted::default().with(run(1, 1, json!({})), &archive);
    let storage = Server::start(move |_| Answer::new(200, archive.clone()));
    let (port, mut first) = (storage.port, true);
    let github = Server::start(move |request| match std::mem::take(&mut first) {
        true => Answer::new(502, "<html>"),
        false => hosted.answer(request, port),
    });
    Scene::with_github(github, storage).fetch("").ok().says("from run 1 of");
}

#[test]
fn nothing_is_asked_without_a_token_a_repository_and_a_safe_address() {
    let scene = Scene::new(Hosted::default());
    scene.fetch("").env("GITHUB_TOKEN", "").fails().says("`GITHUB_TOKEN` is not set").says("gh auth token");
    scene.fetch("").env("GITHUB_TOKEN", "a\nb").fails().says("`GITHUB_TOKEN` is no token");
    scene.fetch("").env("GITHUB_REPOSITORY", "").fails().says("`--repository OWNER/REPO`");
    for name in ["shop", "../shop", "acme/shop/x", "acme/shop?x"] {
        scene.fetch(&format!("--repository {name}")).fails().says("is no repository on GitHub");
    }
    assert!(scene.github.seen().is_empty());
    let plain = scene.fetch("").env("GITHUB_API_URL", "http://github.example");
    plain.fails().says("plain http to `github.example").says_nothing_of("secretSECRET");
}
