use std::collections::BTreeMap;

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
fn a_spec_may_name_the_very_digest() {
    let image = recorded("engine");
    let named = |text: &str| is_named(&image, &format!("mirror.io/x@{}", digest(text)));
    assert!(named("engineindex") && named("enginelinux/arm64"));
    // A config's digest is no manifest's.
    assert!(!named("enginelinux/arm64c") && !named("runtimeindex"));
    assert!(!is_named(&image, "mirror.io/x:v1") && !is_named(&image, "Not an image"));
}
