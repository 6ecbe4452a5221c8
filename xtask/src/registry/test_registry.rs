//! A registry in memory, as strict as the specification lets one be: no manifest without its blobs,
//! no upload without a session, no content under another's digest.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};

use super::test_server::{Answer, Seen};
use crate::image::manifest::{AnyManifest, MANIFEST_TYPES, OCI_INDEX};
use crate::image::reference::Digest;

/// What it holds. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Registry(Arc<Mutex<Content>>);

#[derive(Default)]
pub(super) struct Content {
    /// By repository and digest.
    pub(super) blobs: BTreeMap<(String, String), Vec<u8>>,
    /// By repository and tag or digest: media type and bytes.
    pub(super) manifests: BTreeMap<(String, String), (String, Vec<u8>)>,
    pub(super) sessions: BTreeSet<String>,
    /// Whether it has the referrers API, two entries a page.
    pub(super) has_referrers_api: bool,
    begun: usize,
}

impl Registry {
    pub(super) fn content(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap()
    }

    /// Answers without looking at authorization.
    pub(super) fn answer(&self, seen: &Seen) -> Answer {
        self.content().answer(seen)
    }
}

pub(super) fn error(code: &str, message: &str) -> String {
    format!(r#"{{"errors":[{{"code":"{code}","message":"{message}"}}]}}"#)
}

impl Content {
    fn answer(&mut self, seen: &Seen) -> Answer {
        let (path, query) = seen.path.split_once('?').unwrap_or((&seen.path, ""));
        let query: BTreeMap<&str, String> = query
            .split('&')
            .filter_map(|field| field.split_once('='))
            .map(|(name, value)| (name, value.replace("%3A", ":")))
            .collect();
        let path = path.strip_prefix("/v2/").expect("the registry's API");
        let method = seen.method.as_str();
        if let Some((repository, session)) = path.split_once("/blobs/uploads/") {
            return match method {
                "POST" => self.begin(repository, &query),
                _ => self.finish(repository, session, &query, seen),
            };
        }
        if let Some((repository, digest)) = path.split_once("/blobs/") {
            return match self.blobs.get(&(repository.to_owned(), digest.to_owned())) {
                Some(bytes) => Answer::new(200, bytes.clone()).header("Docker-Content-Digest", digest),
                None => Answer::new(404, error("BLOB_UNKNOWN", "blob unknown")),
            };
        }
        if let Some((repository, subject)) = path.split_once("/referrers/") {
            return self.referrers(repository, subject, query.get("page").map_or("0", String::as_str).parse().unwrap());
        }
        let (repository, reference) = path.split_once("/manifests/").expect("blobs or manifests");
        let key = (repository.to_owned(), reference.to_owned());
        if method == "DELETE" {
            let before = self.manifests.len();
            self.manifests.retain(|(of, _), (_, bytes)| of != repository || Digest::of(bytes).as_str() != reference);
            let status = if self.manifests.len() < before { 202 } else { 404 };
            return Answer::new(status, "");
        }
        if method == "PUT" {
            return self.put(key, seen);
        }
        assert_eq!(seen.headers["accept"], MANIFEST_TYPES.join(", "));
        match self.manifests.get(&key) {
            Some((kind, bytes)) => Answer::new(200, bytes.clone())
                .header("Content-Type", kind)
                .header("Docker-Content-Digest", Digest::of(bytes).to_string()),
            None => Answer::new(404, error("MANIFEST_UNKNOWN", "manifest unknown")),
        }
    }

    fn referrers(&self, repository: &str, subject: &str, page: usize) -> Answer {
        if !self.has_referrers_api {
            return Answer::new(404, "404 page not found");
        }
        let referrer = |((of, name), (kind, bytes)): (&(String, String), &(String, Vec<u8>))| {
            let document: Value = serde_json::from_slice(bytes).unwrap();
            let is_one = of == repository && document["subject"]["digest"] == subject;
            (is_one && name.starts_with("sha256:")).then(|| {
                json!({"mediaType": kind, "digest": name, "size": bytes.len(),
                    "artifactType": document["artifactType"], "annotations": document["annotations"]})
            })
        };
        let all: Vec<Value> = self.manifests.iter().filter_map(referrer).collect();
        let pages = all.chunks(2).nth(page).unwrap_or_default();
        let body = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": pages}).to_string();
        let answer = Answer::new(200, body).header("Content-Type", OCI_INDEX);
        let next = format!("</v2/{repository}/referrers/{subject}?page={}>; rel=\"next\"", page + 1);
        if all.len() > (page + 1) * 2 { answer.header("Link", next) } else { answer }
    }

    fn begin(&mut self, repository: &str, query: &BTreeMap<&str, String>) -> Answer {
        if let (Some(digest), Some(source)) = (query.get("mount"), query.get("from"))
            && let Some(bytes) = self.blobs.get(&(source.clone(), digest.clone())).cloned()
        {
            self.blobs.insert((repository.to_owned(), digest.clone()), bytes);
            return Answer::new(201, "").header("Docker-Content-Digest", digest);
        }
        self.begun += 1;
        let session = format!("session-{}", self.begun);
        let location = format!("/v2/{repository}/blobs/uploads/{session}?_state=s%2F{}", self.begun);
        self.sessions.insert(session);
        Answer::new(202, "").header("Location", location)
    }

    fn finish(&mut self, repository: &str, session: &str, query: &BTreeMap<&str, String>, seen: &Seen) -> Answer {
        assert_eq!(query["_state"], format!("s%2F{}", session.trim_start_matches("session-")), "the query is kept");
        if !self.sessions.remove(session) {
            return Answer::new(404, error("BLOB_UPLOAD_UNKNOWN", "blob upload unknown"));
        }
        if Digest::of(&seen.content).as_str() != query["digest"] {
            return Answer::new(400, error("DIGEST_INVALID", "digest does not match"));
        }
        self.blobs.insert((repository.to_owned(), query["digest"].clone()), seen.content.clone());
        Answer::new(201, "").header("Docker-Content-Digest", &query["digest"])
    }

    fn put(&mut self, (repository, reference): (String, String), seen: &Seen) -> Answer {
        let kind = seen.headers["content-type"].clone();
        let has_blob = |digest: &Digest| self.blobs.contains_key(&(repository.clone(), digest.to_string()));
        let has_manifest = |digest: &Digest| self.manifests.contains_key(&(repository.clone(), digest.to_string()));
        let is_complete = match AnyManifest::parse(&seen.content, &kind).unwrap() {
            AnyManifest::Image(image) => image.layers.iter().chain([&image.config]).all(|blob| has_blob(&blob.digest)),
            AnyManifest::Index(index) => index.manifests.iter().all(|child| has_manifest(&child.digest)),
        };
        if !is_complete {
            return Answer::new(400, error("MANIFEST_BLOB_UNKNOWN", "blob unknown to registry"));
        }
        let digest = Digest::of(&seen.content).to_string();
        for name in [&reference, &digest] {
            self.manifests.insert((repository.clone(), name.clone()), (kind.clone(), seen.content.clone()));
        }
        Answer::new(201, "").header("Docker-Content-Digest", digest)
    }
}
