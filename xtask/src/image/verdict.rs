//! Whether a registry has what the digest record says: the comparison, and its outcomes.

use std::collections::BTreeMap;

use serde::Serialize;

use super::platform::Platform;
use super::record::{RecordedImage, RecordedPlatform};

/// What a check of one component's entry found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verdict {
    /// The registry has the image, as recorded, under its commit's tag.
    Ok,
    /// The registry lacks the image, or a part of it.
    Missing,
    /// The image is there; its commit's tag is not.
    TagMissing,
    /// The commit's tag leads to another image.
    TagMoved,
    /// The entry disagrees with itself, or with the content of the digests it names.
    Tampered,
    /// The registry refuses to say.
    Denied,
    /// The registry does not answer.
    Unreachable,
}

impl Verdict {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Verdict::Ok => "ok",
            Verdict::Missing => "missing",
            Verdict::TagMissing => "tag missing",
            Verdict::TagMoved => "tag moved",
            Verdict::Tampered => "tampered",
            Verdict::Denied => "denied",
            Verdict::Unreachable => "unreachable",
        }
    }

    /// What mends it; nothing when all is well.
    pub(crate) fn mend(self) -> Option<&'static str> {
        Some(match self {
            Verdict::Ok => return None,
            Verdict::Missing | Verdict::TagMissing => {
                "publish again, or take that of a release: `cargo xtask releases fetch`"
            }
            Verdict::TagMoved => "find out who pushed over the tag; publish the commit again",
            Verdict::Tampered => "restore the record, by `cargo xtask releases fetch`",
            Verdict::Denied => "log in as somebody who may read it",
            Verdict::Unreachable => "try again when the registry answers",
        })
    }
}

/// What differs first between the recorded platforms and those `found` in the registry; nothing when
/// they agree, or the record (of a writer that knows only its first four fields) names none.
pub(crate) fn difference(recorded: &RecordedImage, found: &BTreeMap<Platform, RecordedPlatform>) -> Option<String> {
    if recorded.platforms.is_empty() {
        return None;
    }
    for (platform, recorded) in &recorded.platforms {
        let same = found.iter().find(|(offered, _)| platform.accepts(offered));
        let Some((_, found)) = same else { return Some(format!("the image has no `{platform}`")) };
        let differs = |what: &str, found: &dyn std::fmt::Display, recorded: &dyn std::fmt::Display| {
            Some(format!("{what} of `{platform}` is `{recorded}` in the record, `{found}` in the registry"))
        };
        if found.digest != recorded.digest {
            return differs("the digest", &found.digest, &recorded.digest);
        }
        if found.config != recorded.config {
            return differs("the config", &found.config, &recorded.config);
        }
        if found.size != recorded.size {
            return differs("the size", &found.size, &recorded.size);
        }
    }
    let is_recorded = |offered: &Platform| recorded.platforms.keys().any(|platform| platform.accepts(offered));
    let extra = found.keys().find(|offered| !is_recorded(offered))?;
    Some(format!("the image has `{extra}` too, which the record does not name"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::reference::{Digest, ImageReference};

    fn platforms(list: &[(&str, &str, &str, u64)]) -> BTreeMap<Platform, RecordedPlatform> {
        list.iter()
            .map(|(platform, digest, config, size)| {
                let [digest, config] = [digest, config].map(|text| Digest::of(text.as_bytes()));
                (platform.parse().unwrap(), RecordedPlatform { digest, config, size: *size })
            })
            .collect()
    }

    #[test]
    fn each_difference_is_named() {
        let reference: ImageReference = "localhost:5000/demon-engine".parse().unwrap();
        let (amd, arm) = (("linux/amd64", "a", "x", 1), ("linux/arm64", "b", "y", 2));
        let tag: crate::image::reference::Tag = "sha-1".parse().unwrap();
        let record = |list: &[_]| {
            RecordedImage::new(&reference, Digest::of(b"i"), tag.clone(), vec![tag.clone()], platforms(list))
        };
        let cases: [(&[_], &[_], Option<&str>); 8] = [
            (&[amd, arm], &[amd, arm], None),
            (&[arm], &[("linux/arm64/v8", "b", "y", 2)], None),
            (&[], &[amd], None),
            (&[amd], &[amd, arm], Some("the image has `linux/arm64` too")),
            (&[amd, arm], &[amd], Some("the image has no `linux/arm64`")),
            (&[amd], &[("linux/amd64", "b", "x", 1)], Some("the digest of `linux/amd64` is")),
            (&[amd], &[("linux/amd64", "a", "y", 1)], Some("the config of `linux/amd64` is")),
            (&[amd], &[("linux/amd64", "a", "x", 3)], Some("is `1` in the record, `3` in the registry")),
        ];
        for (recorded, found, expected) in cases {
            let said = difference(&record(recorded), &platforms(found));
            match expected {
                None => assert_eq!(said, None, "{recorded:?} {found:?}"),
                Some(text) => assert!(said.as_ref().is_some_and(|said| said.contains(text)), "{said:?}"),
            }
        }
    }
}
