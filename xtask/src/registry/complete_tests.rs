//! Images that have lost a part: seen, named, and made whole again.

use super::push_tests::{Memory, client, layer, push, target};
use super::test_registry::Registry;
use super::test_server::{Answer, Server};
use super::*;
use crate::http::ApiError;
use crate::image::manifest::{
    Descriptor, Index, Manifest, OCI_CONFIG, OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST, to_json,
};
use crate::image::reference::{Digest, ImageReference};

/// An index of two platforms that share a layer, and of an attestation.
struct Parts {
    memory: Memory,
    index: Descriptor,
    /// What each part is called, and its digest.
    named: Vec<(&'static str, Digest)>,
}

impl Parts {
    fn new() -> Self {
        let mut memory = Memory::default();
        let mut named = Vec::new();
        let mut manifests = Vec::new();
        let shared = memory.add(OCI_LAYER_GZIP, &layer(1));
        named.push(("layer", shared.digest.clone()));
        for (seed, architecture) in [(2, "amd64"), (3, "arm64")] {
            let config = format!(
                r#"{{"architecture":"{architecture}","os":"linux","rootfs":{{"type":"layers","diff_ids":[]}}}}"#
            );
            let config = memory.add(OCI_CONFIG, config.as_bytes());
            let own = memory.add(OCI_LAYER_GZIP, &layer(seed));
            let manifest = Manifest::new(config.clone(), vec![shared.clone(), own.clone()]);
            let manifest = memory.add(OCI_MANIFEST, &to_json(&manifest));
            named.extend([("config", config.digest), ("layer", own.digest), ("manifest", manifest.digest.clone())]);
            manifests.push(manifest.for_platform(&format!("linux/{architecture}").parse().unwrap()));
        }
        let config = memory.add(OCI_CONFIG, b"{}");
        let statement = memory.add("application/vnd.in-toto+json", b"{\"_type\":\"x\"}");
        let attestation = Manifest::new(config.clone(), vec![statement.clone()]);
        let attestation = memory.add(OCI_MANIFEST, &to_json(&attestation));
        named.extend([
            ("config", config.digest),
            ("layer", statement.digest),
            ("manifest", attestation.digest.clone()),
        ]);
        manifests.push(attestation.for_platform(&"unknown/unknown".parse().unwrap()));
        let index = memory.add(OCI_INDEX, &to_json(&Index::new(manifests)));
        Parts { memory, index, named }
    }
}

fn found(server: &Server, digest: &Digest) -> Result<RemoteImage, String> {
    match client().find(&target(server).with_digest(digest.clone())).unwrap() {
        Found::Whole(image) => Ok(*image),
        Found::Lacks(part) => Err(part.to_string()),
        Found::Nothing => Err("nothing".to_owned()),
    }
}

#[test]
fn each_lost_part_is_named_and_sent_again() {
    let parts = Parts::new();
    let registry = Registry::default();
    let answers = registry.clone();
    let server = Server::start(move |seen| answers.answer(seen));
    let target = target(&server);
    assert_eq!(found(&server, &parts.index.digest).unwrap_err(), "nothing");
    push(&client(), (&parts.memory, &parts.index), &target, &[]).unwrap();
    let before = server.lines().len();
    let image = found(&server, &parts.index.digest).unwrap();
    assert_eq!(image.platforms.len(), 2);
    let mut asked = server.lines().split_off(before);
    assert_eq!(asked.len(), 1 + parts.named.len(), "each part once: {asked:#?}");
    asked.sort();
    asked.dedup();
    assert_eq!(asked.len(), 1 + parts.named.len());

    for (what, digest) in &parts.named {
        let key = ("acme/app".to_owned(), digest.to_string());
        let (blobs, manifests) = {
            let mut content = registry.content();
            let before = (content.blobs.clone(), content.manifests.clone());
            assert!(content.blobs.remove(&key).is_some() ^ content.manifests.remove(&key).is_some());
            before
        };
        let reference = target.with_digest(parts.index.digest.clone());
        let expected = format!("`{reference}` has lost its {what} `{digest}`");
        assert_eq!(found(&server, &parts.index.digest).unwrap_err(), expected);
        let done = push(&client(), (&parts.memory, &parts.index), &target, &[]).unwrap();
        assert_eq!(done.uploaded + done.manifests, 1, "{what}");
        assert_eq!(registry.content().blobs, blobs);
        assert_eq!(registry.content().manifests, manifests);
        found(&server, &parts.index.digest).unwrap();
    }
}

#[test]
fn layers_that_are_elsewhere_by_licence_are_not_demanded() {
    let config = br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#;
    let oci = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
    let docker = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    let url = "https://elsewhere.example/layer";
    for (kind, urls, is_whole) in [
        (oci, &[url][..], true),
        (docker, &[url], true),
        // Nobody else has these.
        (oci, &[], false),
        (OCI_LAYER_GZIP, &[url], false),
    ] {
        let mut layer = Descriptor::of(kind, b"elsewhere");
        layer.urls = urls.iter().map(|&url| url.to_owned()).collect();
        let bytes = to_json(&Manifest::new(Descriptor::of(OCI_CONFIG, config), vec![layer]));
        let registry = Registry::default();
        {
            let mut content = registry.content();
            let key = |bytes: &[u8]| ("acme/app".to_owned(), Digest::of(bytes).to_string());
            content.blobs.insert(key(config), config.to_vec());
            content.manifests.insert(key(&bytes), (OCI_MANIFEST.to_owned(), bytes.clone()));
        }
        let server = Server::start(move |seen| registry.answer(seen));
        assert_eq!(found(&server, &Digest::of(&bytes)).is_ok(), is_whole, "{kind} {urls:?}");
    }
}

#[test]
fn a_registry_that_knows_no_head_is_asked_by_get() {
    let parts = Parts::new();
    let registry = Registry::default();
    let answers = registry.clone();
    let server = Server::start(move |seen| match seen.method == "HEAD" && seen.path.contains("/blobs/") {
        true => Answer::new(405, ""),
        false => answers.answer(seen),
    });
    push(&client(), (&parts.memory, &parts.index), &target(&server), &[]).unwrap();
    found(&server, &parts.index.digest).unwrap();
    registry.content().blobs.retain(|(_, digest), _| *digest != parts.named[0].1.to_string());
    assert!(found(&server, &parts.index.digest).unwrap_err().contains("has lost its layer"));
}

#[test]
fn who_may_not_look_is_not_told_that_a_part_is_lost() {
    let parts = Parts::new();
    let registry = Registry::default();
    let answers = registry.clone();
    let server = Server::start(move |seen| answers.answer(seen));
    push(&client(), (&parts.memory, &parts.index), &target(&server), &[]).unwrap();
    let denying = Server::start(move |seen| match seen.method == "HEAD" {
        true => Answer::new(403, ""),
        false => registry.answer(seen),
    });
    let reference: ImageReference = target(&denying).with_digest(parts.index.digest.clone());
    let error = client().find(&reference).map(drop).unwrap_err();
    assert!(error.downcast_ref::<ApiError>().is_some_and(ApiError::is_denied), "{error:#}");
}
