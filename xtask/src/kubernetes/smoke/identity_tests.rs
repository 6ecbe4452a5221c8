use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::image::record::RecordedPlatform;

fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

fn recorded(name: &str) -> RecordedImage {
    let reference: ImageReference = format!("localhost:5000/demon-{name}").parse().unwrap();
    let platform = |p: &str| RecordedPlatform {
        digest: digest(&format!("{name}{p}")),
        config: digest(&format!("{name}{p}c")),
        size: 1,
    };
    let platforms = ["linux/amd64", "linux/arm64"].map(|p| (p.parse().unwrap(), platform(p)));
    let tag: crate::image::reference::Tag = "sha-1".parse().unwrap();
    RecordedImage::new(&reference, digest(&format!("{name}index")), tag.clone(), vec![tag], BTreeMap::from(platforms))
}

#[test]
fn every_runtimes_words_are_read() {
    let a = digest("a");
    let hex = a.hex();
    let pulled = ImageId::Pulled("reg.io/x/y".parse().unwrap(), a.clone());
    for text in [format!("docker-pullable://reg.io/x/y@{a}"), format!("reg.io/x/y@{a}"), format!("reg.io/x/y:v1@{a}")] {
        assert_eq!(ImageId::parse(&text), pulled, "{text}");
    }
    for text in [format!("docker://{a}"), a.to_string(), hex.to_owned()] {
        assert_eq!(ImageId::parse(&text), ImageId::Raw(a.clone()), "{text}");
    }
    for text in ["reg.io/x/y:v1", "docker://", "what"] {
        assert_eq!(ImageId::parse(text), ImageId::Unknown(text.to_owned()), "{text}");
    }
}

#[test]
fn index_platform_and_config_digests_are_the_recorded_image() {
    let image = recorded("engine");
    let pulled = |text: &str| ImageId::Pulled("mirror.io/other".parse().unwrap(), digest(text));
    assert!(is_recorded(&image, &pulled("engineindex")) && is_recorded(&image, &pulled("enginelinux/arm64")));
    assert!(is_recorded(&image, &ImageId::Raw(digest("enginelinux/amd64c"))));
    assert!(is_recorded(&image, &ImageId::Raw(digest("engineindex"))));
    // A config's digest is no manifest's.
    assert!(!is_recorded(&image, &pulled("enginelinux/amd64c")));
    assert!(!is_recorded(&image, &pulled("runtimeindex")) && !is_recorded(&image, &ImageId::Unknown("x".into())));
}

#[test]
fn what_a_digest_leads_to_decides() {
    let image = recorded("engine");
    let configs = |names: &[&str]| Resolved::Configs(names.iter().map(|name| digest(name)).collect());
    let ours = configs(&["enginelinux/amd64c", "enginelinux/arm64c"]);
    let id = ImageId::Pulled("reg.io/x".parse().unwrap(), digest("other"));
    let compared = |recorded: &Resolved, found: &Resolved| compare(&image, recorded, &id, found);
    assert_eq!(compared(&ours, &configs(&["enginelinux/arm64c"])), Identity::Match);
    assert_eq!(compared(&ours, &ours), Identity::Match);
    let Identity::Mismatch(text) = compared(&ours, &configs(&["foreign"])) else { panic!("no mismatch") };
    assert!(text.contains(digest("other").as_str()) && text.contains(image.digest.as_str()), "{text}");
    // The node may have taken the platform that is not ours.
    let mixed = configs(&["enginelinux/amd64c", "foreign"]);
    assert!(matches!(compared(&ours, &mixed), Identity::Unverifiable(_)));
    assert!(matches!(compared(&ours, &configs(&[])), Identity::Mismatch(_)));
    let unknown = Resolved::Unknown("404".to_owned());
    assert!(matches!(compared(&ours, &unknown), Identity::Unverifiable(_)));
    assert!(matches!(compared(&unknown, &ours), Identity::Unverifiable(_)));
}

#[test]
fn names_tell_which_component_is_expected() {
    let record = DigestRecord {
        images: ["engine", "runtime"].map(|name| (name.to_owned(), recorded(name))).into_iter().collect(),
    };
    let found = |name: &str, containers: &[(&str, &str)]| {
        let containers: Vec<_> =
            containers.iter().map(|(name, image)| json!({ "name": name, "image": image })).collect();
        let deployment: Deployment = serde_json::from_value(json!({
            "metadata": { "name": name }, "spec": { "template": { "spec": { "containers": containers } } },
        }))
        .unwrap();
        let first = &deployment.spec.template.spec.containers[0];
        component_of(&record, &deployment, first).map(str::to_owned)
    };
    let (engine, runtime) = ("localhost:5000/demon-engine:v1", "localhost:5000/demon-runtime:v1");
    assert_eq!(found("web", &[("app", engine)]).as_deref(), Some("engine"));
    // An `engine` that runs something else must be found out.
    assert_eq!(found("web", &[("engine", runtime)]).as_deref(), Some("engine"));
    assert_eq!(found("engine", &[("app", runtime)]).as_deref(), Some("engine"));
    assert_eq!(found("engine", &[("app", "evil.io/x")]).as_deref(), Some("engine"));
    // Beside another container the Deployment's name says nothing.
    assert_eq!(found("engine", &[("proxy", "envoy:v1"), ("engine", engine)]), None);
    assert_eq!(found("web", &[("app", "redis:7")]), None);
}
