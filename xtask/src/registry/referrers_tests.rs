//! What is attached to an image: by the API or by the fallback tag, found by the rules of those who look for it.

use serde_json::{Value, json};

use super::push_tests::{client, one_image, target};
use super::referrers::fallback_tag;
use super::test_registry::Registry;
use super::test_server::{Answer, Server};
use super::*;
use crate::image::labels::ATTACHMENT;
use crate::image::manifest::{Descriptor, OCI_INDEX, OCI_MANIFEST};
use crate::image::reference::{Digest, ImageReference};
use crate::system::parallel;

const SBOM: &str = "application/vnd.cyclonedx+json";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// A registry with one image.
struct Scene {
    registry: Registry,
    server: Server,
    client: Client,
    repository: ImageReference,
    image: Digest,
}

impl Scene {
    fn new(has_api: bool) -> Self {
        let registry = Registry::default();
        registry.content().has_referrers_api = has_api;
        let answering = registry.clone();
        let server = Server::start(move |seen| answering.answer(seen));
        let (client, repository) = (client(), target(&server));
        let (memory, image) = one_image();
        transfer(&client, &memory, &image, &repository, &[], 1, &|_| ()).unwrap();
        Scene { registry, server, client, repository, image: image.digest }
    }

    fn attach(&self, attachments: Vec<Attachment>) -> anyhow::Result<bool> {
        let done = self.client.attach(&self.repository, &self.image, attachments)?;
        assert_eq!(done.left, []);
        Ok(done.is_new)
    }

    /// Name and document of all that is attached, sorted.
    fn found(&self) -> Vec<(String, String)> {
        let read = |referrer: &Referrer| {
            let content = self.client.attached_document(&self.repository, referrer).unwrap();
            (referrer.annotation(ATTACHMENT).unwrap_or("-").to_owned(), String::from_utf8(content).unwrap())
        };
        let referrers = self.client.referrers(&self.repository, &self.image).unwrap();
        let mut found: Vec<_> = referrers.iter().map(read).collect();
        found.sort();
        found
    }

    /// The bytes of a manifest in the registry.
    fn stored(&self, name: &str) -> Option<Value> {
        let content = self.registry.content();
        let bytes = content.manifests.get(&(self.repository.repository.to_string(), name.to_owned()));
        bytes.map(|(_, bytes)| serde_json::from_slice(bytes).unwrap())
    }

    fn index(&self) -> Vec<Value> {
        let index = self.stored(fallback_tag(&self.image).as_str()).unwrap_or_default();
        index["manifests"].as_array().cloned().unwrap_or_default()
    }
}

fn sbom(content: &str) -> Attachment {
    Attachment::new("sbom", SBOM, content.as_bytes().to_vec())
}

fn signature(content: &str) -> Attachment {
    let signature = Attachment::new("signature", BUNDLE, content.as_bytes().to_vec());
    signature.annotated("dev.sigstore.bundle.predicateType", "https://sigstore.dev/cosign/sign/v1")
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, content)| ((*name).to_owned(), (*content).to_owned())).collect()
}

#[test]
fn each_document_is_there_once_and_replaced() {
    for has_api in [false, true] {
        let scene = Scene::new(has_api);
        assert_eq!(scene.found(), []);
        assert!(scene.attach(vec![sbom("one"), signature("{}")]).unwrap());
        assert!(scene.attach(vec![Attachment::new("provenance", SBOM, b"built".to_vec())]).unwrap());
        assert_eq!(scene.found(), pairs(&[("provenance", "built"), ("sbom", "one"), ("signature", "{}")]));
        // Nothing new: nothing is written.
        let before = scene.server.lines().len();
        assert!(!scene.attach(vec![sbom("one")]).unwrap());
        let lines = scene.server.lines().split_off(before);
        assert!(lines.iter().all(|line| line.starts_with("GET") || line.starts_with("HEAD")), "{lines:?}");
        // A new one takes the place of the old one, which leaves nothing behind.
        let manifests = scene.registry.content().manifests.len();
        assert!(scene.attach(vec![sbom("two")]).unwrap());
        assert_eq!(scene.found(), pairs(&[("provenance", "built"), ("sbom", "two"), ("signature", "{}")]));
        assert_eq!(scene.registry.content().manifests.len(), manifests, "no litter");
        assert_eq!(scene.stored(fallback_tag(&scene.image).as_str()).is_none(), has_api);
    }
}

/// Kyverno (`pkg/cosign/sigstore.go`) takes the entries whose type begins so, and gives up when one of them is gone or
/// there are more than 50; Trivy (`remote_sbom.go`) takes those of an SBOM's type, and the layer of that very type;
/// cosign (`GetBundles`) tries every entry, and reads its only layer. All ask the API, and take any other answer for
/// "look below the tag" (go-containerregistry, `remote/referrers.go`).
#[test]
fn verifiers_find_what_is_attached_by_their_own_rules() {
    let scene = Scene::new(false);
    scene.attach(vec![sbom("{}"), signature("{\"a\":1}")]).unwrap();
    let index = scene.index();
    let kyverno: Vec<&Value> =
        index.iter().filter(|entry| starts_with(entry, "application/vnd.dev.sigstore.bundle")).collect();
    let [bundle] = kyverno.as_slice() else { panic!("{index:?}") };
    assert_eq!(bundle["annotations"]["dev.sigstore.bundle.predicateType"], "https://sigstore.dev/cosign/sign/v1");
    let trivy: Vec<&Value> = index.iter().filter(|entry| entry["artifactType"] == SBOM).collect();
    let [document] = trivy.as_slice() else { panic!("{index:?}") };
    for (entry, kind) in [(bundle, BUNDLE), (document, SBOM)] {
        let manifest = scene.stored(entry["digest"].as_str().unwrap()).unwrap();
        assert_eq!(entry["mediaType"], OCI_MANIFEST);
        assert_eq!(entry["size"], manifest.to_string().len());
        assert_eq!(manifest["artifactType"], kind);
        assert_eq!(manifest["subject"]["digest"], scene.image.as_str());
        assert_eq!(manifest["layers"].as_array().unwrap().len(), 1);
        assert_eq!(manifest["layers"][0]["mediaType"], kind);
        assert_eq!(manifest["config"]["mediaType"], "application/vnd.oci.empty.v1+json");
    }
}

fn starts_with(entry: &Value, prefix: &str) -> bool {
    entry["artifactType"].as_str().unwrap().starts_with(prefix)
}

/// Cosign 3.0 lists its bundles as `oci.empty`, by which Kyverno finds none of them; what is gone stops it.
#[test]
fn what_others_listed_is_kept_and_named_right() {
    let scene = Scene::new(false);
    scene.attach(vec![signature("theirs")]).unwrap();
    let mut theirs = scene.index().remove(0);
    theirs["artifactType"] = json!("application/vnd.oci.empty.v1+json");
    theirs.as_object_mut().unwrap().remove("annotations");
    // An attestation of another image, and one that nobody knows how to read.
    let manifest = scene.stored(theirs["digest"].as_str().unwrap()).unwrap();
    let mut other = manifest.clone();
    other["subject"]["digest"] = json!(Digest::of(b"another").as_str());
    let mut strange = manifest.clone();
    strange["subject"] = json!({"digest": scene.image.as_str(), "mediaType": OCI_MANIFEST, "size": "?"});
    let entry = |digest: &Digest| json!({"mediaType": OCI_MANIFEST, "digest": digest.as_str(), "size": 7});
    let store = |document: &Value| {
        let bytes = document.to_string().into_bytes();
        let digest = Digest::of(&bytes);
        let key = (scene.repository.repository.to_string(), digest.to_string());
        scene.registry.content().manifests.insert(key, (OCI_MANIFEST.to_owned(), bytes));
        digest
    };
    let (other, strange, gone) = (store(&other), store(&strange), Digest::of(b"gone"));
    let entries = json!([theirs, entry(&other), entry(&strange), entry(&gone)]);
    let tag = fallback_tag(&scene.image);
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).to_string();
    let key = (scene.repository.repository.to_string(), tag.to_string());
    scene.registry.content().manifests.insert(key, (OCI_INDEX.to_owned(), index.into_bytes()));
    assert_eq!(scene.found(), pairs(&[("signature", "theirs")]));

    scene.attach(vec![sbom("ours")]).unwrap();
    let index = scene.index();
    let named: Vec<&str> = index.iter().map(|entry| entry["digest"].as_str().unwrap()).collect();
    assert_eq!(named[..2], [theirs["digest"].as_str().unwrap(), strange.as_str()], "{index:?}");
    assert_eq!(named.len(), 3);
    assert_eq!((&index[0]["artifactType"], &index[2]["artifactType"]), (&json!(BUNDLE), &json!(SBOM)));
    assert_eq!(scene.found(), pairs(&[("sbom", "ours"), ("signature", "theirs")]));
}

/// The registry offers no compare-and-set: of four concurrent `oras attach` two survived.
#[test]
fn writers_at_once_do_not_lose_each_other() {
    let scene = Scene::new(false);
    let names: Vec<String> = (0..3).map(|at| format!("document-{at}")).collect();
    let attached = parallel::map(names.iter().collect(), 3, |name| {
        client().attach(&scene.repository, &scene.image, vec![Attachment::new(name, SBOM, b"{}".to_vec())])
    });
    // Each is listed, or its writer knows that it is not.
    let found = scene.found();
    for (name, attached) in names.iter().zip(attached) {
        let is_found = found.iter().any(|(found, _)| found == name);
        assert!(is_found || attached.is_err(), "{name}: {found:?}");
    }
}

#[test]
fn one_that_lost_a_race_writes_again() {
    let registry = Registry::default();
    let (answering, mut stolen) = (registry.clone(), false);
    // The first index is overwritten by somebody who had not seen it.
    let server = Server::start(move |seen| {
        let answer = answering.answer(seen);
        if seen.method == "PUT" && seen.path.contains("/manifests/sha256-") && !stolen {
            stolen = true;
            let empty = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).to_string();
            let name = seen.path.rsplit('/').next().unwrap().to_owned();
            let mut content = answering.content();
            let key = content.manifests.keys().find(|(_, known)| *known == name).unwrap().clone();
            content.manifests.insert(key, (OCI_INDEX.to_owned(), empty.into_bytes()));
        }
        answer
    });
    let (client, repository) = (client(), target(&server));
    let (memory, image) = one_image();
    transfer(&client, &memory, &image, &repository, &[], 1, &|_| ()).unwrap();
    client.attach(&repository, &image.digest, vec![sbom("{}")]).unwrap();
    assert_eq!(client.referrers(&repository, &image.digest).unwrap().len(), 1);
}

#[test]
fn a_registry_that_lies_is_not_believed() {
    let registry = Registry::default();
    let answering = registry.clone();
    let lie = std::sync::Arc::new(std::sync::Mutex::new(json!([])));
    let told = std::sync::Arc::clone(&lie);
    let server = Server::start(move |seen| match seen.path.contains("/referrers/") {
        true => {
            let index = json!({"schemaVersion": 2, "manifests": *told.lock().unwrap()}).to_string();
            Answer::new(200, index).header("Content-Type", OCI_INDEX)
        }
        false => answering.answer(seen),
    });
    let (client, repository) = (client(), target(&server));
    let (memory, image) = one_image();
    transfer(&client, &memory, &image, &repository, &[], 1, &|_| ()).unwrap();
    // It offers the list, and does not keep it: no verifier would find the document.
    let error = format!("{:#}", client.attach(&repository, &image.digest, vec![sbom("{}")]).unwrap_err());
    assert!(error.contains("is not listed"), "{error}");
    // The image is no document of its own, and bytes under another's digest are refused.
    *lie.lock().unwrap() = json!([image]);
    assert_eq!(client.referrers(&repository, &image.digest).unwrap(), []);
    let other = Digest::of(b"other");
    let key = (repository.repository.to_string(), other.to_string());
    registry.content().manifests.insert(key, (OCI_MANIFEST.to_owned(), b"{}".to_vec()));
    *lie.lock().unwrap() = json!([Descriptor::new(OCI_MANIFEST, other, 2)]);
    let error = format!("{:#}", client.referrers(&repository, &image.digest).unwrap_err());
    assert!(error.contains("the registry sent"), "{error}");
    let many: Vec<_> = (0..1001).map(|at| Descriptor::of(OCI_MANIFEST, format!("{at}").as_bytes())).collect();
    *lie.lock().unwrap() = json!(many);
    let error = format!("{:#}", client.referrers(&repository, &image.digest).unwrap_err());
    assert!(error.contains("1001 documents are attached"), "{error}");
}
