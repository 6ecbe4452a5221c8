use std::collections::BTreeSet;

use serde_json::json;

use super::*;
use crate::image::reference::{Digest, Tag};
use crate::kubernetes::image_owners::Naming;

fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

fn record(names: &[&str]) -> DigestRecord {
    let image = |name: &&str| {
        let reference: ImageReference = format!("localhost:5000/demon-{name}").parse().unwrap();
        let tag: Tag = "sha-1".parse().unwrap();
        let image = RecordedImage::new(&reference, digest(name), tag.clone(), vec![tag], Default::default());
        ((*name).to_owned(), image)
    };
    DigestRecord { images: names.iter().map(image).collect() }
}

fn expectations(manifests: &str, record: &DigestRecord) -> Expectations {
    let naming = Naming {
        components: vec!["engine", "runtime"],
        registries: ["localhost:5000", "registry.stage"].map(|registry| (registry, "demon-{component}")).into(),
        owner: None,
    };
    Expectations::new(Repositories::new(&naming, Some(record)), places(manifests).unwrap(), record)
}

fn deployment(name: &str, containers: &[(&str, &str)]) -> Workload {
    let containers: Vec<_> = containers.iter().map(|(name, image)| json!({ "name": name, "image": image })).collect();
    let spec = json!({ "template": { "spec": { "containers": containers } } });
    serde_json::from_value(json!({ "metadata": { "name": name }, "spec": spec })).unwrap()
}

#[test]
fn images_and_names_tell_whose_a_container_is() {
    let expectations = expectations("", &record(&["engine", "runtime"]));
    let owner = |name: &str, containers: &[(&str, &str)]| {
        let workload = deployment(name, containers);
        match expectations.owner(&workload, &workload.template().spec.containers[0]) {
            ContainerOwner::Component(name) => name.to_owned(),
            ContainerOwner::Placeholder(name) => format!("placeholder of {name}"),
            ContainerOwner::Foreign => "foreign".to_owned(),
        }
    };
    let (engine, runtime) = ("localhost:5000/demon-engine:v1", "localhost:5000/demon-runtime:v1");
    assert_eq!(owner("web", &[("app", engine)]), "engine");
    // Of another environment's registry.
    assert_eq!(owner("web", &[("app", "registry.stage/demon-engine:v1")]), "engine");
    // An `engine` that runs another component must be found out.
    assert_eq!(owner("web", &[("engine", runtime)]), "engine");
    assert_eq!(owner("engine", &[("app", runtime)]), "engine");
    // Beside another container the Deployment's name says nothing.
    assert_eq!(owner("engine", &[("app", runtime), ("proxy", "envoy:v1")]), "runtime");
    // Somebody else's, who likes the same name.
    assert_eq!(owner("engine", &[("engine", "docker.io/acme/search:7")]), "foreign");
    assert_eq!(owner("web", &[("app", "redis:7")]), "foreign");
    // A placeholder says nothing.
    assert_eq!(owner("web", &[("engine", "nginx:alpine")]), "placeholder of engine");
    assert_eq!(owner("engine", &[("app", "nginx:alpine")]), "placeholder of engine");
    assert_eq!(owner("web", &[("proxy", "nginx:alpine")]), "foreign");
    assert_eq!(owner("engine", &[("proxy", "nginx:alpine"), ("app", engine)]), "foreign");
}

fn pinned(kind: &str, workload: &str, container: &str, image: &str) -> String {
    format!(
        "kind: {kind}\nmetadata: {{ name: {workload}, namespace: shop }}\nspec:\n  template:\n    spec:\n      \
         containers:\n      - name: {container}\n        image: {image}\n"
    )
}

#[test]
fn manifests_say_what_should_run_and_the_record_what_it_is_made_of() {
    let earlier = format!("localhost:5000/demon-engine@{}", digest("earlier"));
    let manifests = pinned("StatefulSet", "engine", "engine", &earlier);
    let expectations = expectations(&manifests, &record(&["engine", "runtime"]));
    let mut workload = deployment("engine", &[("engine", &earlier)]);
    workload.kind = Kind::StatefulSet;
    let found = expectations.images("engine", "shop", &workload, "engine");
    assert_eq!(found.iter().map(|image| image.image.to_string()).collect::<Vec<_>>(), [earlier.as_str()]);
    assert_eq!(expectations.unrecorded.len(), 1);
    assert_eq!(expectations.components(), BTreeSet::from([("engine", Some("shop"))]));
    assert_eq!(expectations.undeployed, ["runtime"]);
    // It is not asked for in the registry, but compared where it runs.
    assert_eq!(expectations.all_images().len(), 1);
    assert_eq!(expectations.images("runtime", "shop", &workload, "runtime").len(), 1);
}

#[test]
fn without_manifests_of_ours_the_record_decides() {
    let expectations = expectations(&pinned("Deployment", "db", "db", "postgres:16"), &record(&["engine"]));
    assert_eq!(expectations.components(), BTreeSet::from([("engine", None)]));
    assert!(expectations.undeployed.is_empty() && !expectations.is_empty());
}

#[test]
fn a_tag_alone_is_no_expectation() {
    let manifests = pinned("Deployment", "engine", "engine", "localhost:5000/demon-engine:main");
    let none = expectations(&manifests, &DigestRecord::default());
    assert_eq!(none.unpinned[0].0, "engine");
    // The record tells which digest it should be.
    let told = expectations(&manifests, &record(&["engine"]));
    assert!(told.unpinned.is_empty());
    assert_eq!(told.components(), BTreeSet::from([("engine", Some("shop"))]));
}

#[test]
fn a_placeholder_stands_for_its_component() {
    let manifests = pinned("Deployment", "engine", "engine", "nginx:alpine");
    let expectations = expectations(&manifests, &record(&["engine"]));
    assert!(!expectations.is_empty() && expectations.undeployed.is_empty());
    assert_eq!(expectations.components(), BTreeSet::from([("engine", None)]));
    assert!(expectations.all_images().is_empty());
}

#[test]
fn containers_are_found_in_all_kinds_and_lists() {
    let text = "kind: CronJob\nmetadata: { name: a }\nspec: { jobTemplate: { spec: { template: { spec: { containers: \
                [{ name: c, image: x }] } } } } }\n---\nkind: List\nitems:\n- kind: Pod\n  metadata: { name: b }\n  \
                spec: { initContainers: [{ name: i, image: y }], containers: [{ name: d, image: z }] }\n---\n\
                kind: Service\nmetadata: { name: s }\n";
    let found = places(text).unwrap();
    let shown: Vec<_> = found.iter().map(|place| (place.kind, place.workload.as_str(), place.image.as_str())).collect();
    assert_eq!(shown, [(Kind::CronJob, "a", "x"), (Kind::Pod, "b", "y"), (Kind::Pod, "b", "z")]);
    assert!(places("{{ broken").is_err());
}
