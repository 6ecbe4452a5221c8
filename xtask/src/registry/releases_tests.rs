//! Releases in a registry: their history, and who comes first.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use camino::{Utf8Path, Utf8PathBuf};

use super::artifact::Artifact;
use super::push_tests::{client, target};
use super::test_registry::Registry;
use super::test_server::Server;
use super::{Client, Releases};
use crate::image::reference::{Digest, Tag};
use crate::image::release::{RELEASE_TYPE, Release};

fn release(commit: u64, tags: &[&str]) -> Release {
    let tags = tags.iter().map(|tag| tag.parse().unwrap()).collect();
    Release { commit: format!("{commit:040x}"), reference: None, tags, previous: None, components: BTreeMap::new() }
}

fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}

fn releases<'a>(client: &'a Client, server: &Server, cache: &Utf8Path) -> Releases<'a> {
    Releases { client, repository: target(server), cache: cache.to_owned() }
}

/// A registry, and an empty cache.
struct Scene {
    registry: Registry,
    server: Server,
    client: Client,
    cache: Utf8PathBuf,
    _folder: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let registry = Registry::default();
        let answering = registry.clone();
        let server = Server::start(move |seen| answering.answer(seen));
        let (_folder, cache) = folder();
        Scene { registry, server, client: client(), cache, _folder }
    }
}

fn folder() -> (tempfile::TempDir, Utf8PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = Utf8PathBuf::from_path_buf(folder.path().to_owned()).unwrap();
    (folder, path)
}

#[test]
fn each_release_names_the_one_before_and_nothing_new_writes_none() {
    let Scene { registry, server, cache, client, .. } = &Scene::new();
    let releases = releases(client, server, cache);
    let main = tag("main");
    for commit in 1..=4 {
        let release = release(commit, &[&format!("sha-{commit}"), "main"]);
        let (stored, is_new) = releases.write(&main, |_| release.clone()).unwrap();
        assert!(is_new);
        let again = releases.write(&main, |_| release.clone()).unwrap();
        assert_eq!(again, (stored, false));
    }
    let newest = releases.tagged(&main).unwrap().unwrap();
    let history = releases.history(newest.clone(), 10).unwrap();
    let commits: Vec<u64> =
        history.iter().map(|found| u64::from_str_radix(&found.release.commit, 16).unwrap()).collect();
    assert_eq!(commits, [4, 3, 2, 1]);
    assert_eq!(releases.history(newest.clone(), 2).unwrap().len(), 2);
    // What is known is not asked again, and a damaged cache is none.
    let asked = server.lines().len();
    releases.history(newest.clone(), 10).unwrap();
    assert_eq!(server.lines().len(), asked);
    std::fs::write(cache.join(newest.digest.hex()), "{}").unwrap();
    assert_eq!(releases.by_digest(&newest.digest).unwrap().unwrap(), newest);
    assert!(server.lines().len() > asked);
    // One that is gone ends the history.
    let gone = history[2].digest.clone();
    std::fs::remove_file(cache.join(gone.hex())).unwrap();
    registry.content().manifests.retain(|(_, name), _| *name != gone.to_string());
    assert_eq!(releases.history(newest.clone(), 10).unwrap().len(), 2);
    assert_eq!(releases.by_digest(&Digest::of(b"nothing")).unwrap(), None);
    // One that is gone below its tag is told, and was the one before all the same.
    std::fs::remove_file(cache.join(newest.digest.hex())).unwrap();
    registry.content().blobs.retain(|(_, digest), _| *digest != Digest::of(&newest.release.to_bytes()).to_string());
    let error = releases.tagged(&main).unwrap_err().to_string();
    assert!(error.contains("which is gone from the registry"), "{error}");
    let (next, is_new) = releases.write(&main, |_| release(5, &["main"])).unwrap();
    assert!(is_new && next.release.previous == Some(newest.digest), "{next:?}");
}

#[test]
fn of_two_publications_each_follows_the_other() {
    let registry = Registry::default();
    let (answering, is_armed) = (registry.clone(), Arc::new(AtomicBool::new(false)));
    let armed = Arc::clone(&is_armed);
    // While ours is pushed, somebody else's takes the branch, once.
    let server = Server::start(move |seen| {
        let answer = answering.answer(seen);
        if seen.method == "PUT" && seen.path.contains("/manifests/") && armed.swap(false, Ordering::Relaxed) {
            let mut content = answering.content();
            let theirs = content.manifests.iter().find(|((_, name), _)| name == "theirs").unwrap();
            let (repository, theirs) = (theirs.0.0.clone(), theirs.1.clone());
            content.manifests.insert((repository, "main".to_owned()), theirs);
        }
        answer
    });
    let (_folder, cache) = folder();
    let client = client();
    let releases = releases(&client, &server, &cache);
    let theirs = release(1, &["sha-1", "theirs"]);
    let (theirs, _) = releases.write(&tag("theirs"), |_| theirs.clone()).unwrap();
    is_armed.store(true, Ordering::Relaxed);
    let ours = release(2, &["sha-2", "main"]);
    let seen = std::cell::RefCell::new(Vec::new());
    let made = |before: Option<&Release>| {
        seen.borrow_mut().push(before.map(|before| before.commit.clone()));
        ours.clone()
    };
    let (stored, _) = releases.write(&tag("main"), made).unwrap();
    assert_eq!(stored.release.previous, Some(theirs.digest));
    // Made again, of what came in between.
    assert_eq!(seen.into_inner(), [None, Some(theirs.release.commit)]);
    assert_eq!(releases.tagged(&tag("main")).unwrap().unwrap(), stored);
}

#[test]
fn what_is_no_release_is_told() {
    let Scene { server, cache, client, .. } = &Scene::new();
    let releases = releases(client, server, cache);
    let other = Artifact::new("application/vnd.other", b"{}".to_vec());
    client.push_artifact(&releases.repository, &other).unwrap();
    let error = format!("{:#}", releases.by_digest(other.digest()).unwrap_err());
    assert!(error.contains("is something else than `application/vnd.cargo-xtask.release.v1+json`"), "{error}");
    let damaged = Artifact::new(RELEASE_TYPE, b"{}".to_vec());
    client.push_artifact(&releases.repository, &damaged).unwrap();
    let error = format!("{:#}", releases.by_digest(damaged.digest()).unwrap_err());
    assert!(error.contains("is damaged: it is no release"), "{error}");
}

#[test]
fn a_long_history_is_read_without_a_request() {
    let Scene { server, cache, client, .. } = &Scene::new();
    let releases = releases(client, server, cache);
    const COUNT: u64 = 60;
    for commit in 1..=COUNT {
        releases.write(&tag("main"), |_| release(commit, &["main"])).unwrap();
    }
    let newest = releases.tagged(&tag("main")).unwrap().unwrap();
    assert_eq!(releases.history(newest.clone(), 1000).unwrap().len() as u64, COUNT);
    let (asked, began) = (server.lines().len(), std::time::Instant::now());
    releases.history(newest, 1000).unwrap();
    println!("{COUNT} releases in {:?}", began.elapsed());
    assert_eq!(server.lines().len(), asked);
}
