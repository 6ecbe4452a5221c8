//! What promoting an image to another environment makes of its record.

use super::record::{RECORD_PATH, RecordedImage};
use super::reference::Tag;
use super::tags::ImageTag;

/// The environment that always exists: the workspace's own registry.
pub(crate) const LOCAL: &str = "local";

/// Where the record of an environment is kept, below the workspace root.
pub(crate) fn record_path(environment: &str) -> String {
    match environment {
        LOCAL => RECORD_PATH.to_owned(),
        other => format!("artifacts/docker/{other}/docker-image-digests.json"),
    }
}

/// The tags that a recorded image gets elsewhere: its commit's, those it was published under, and
/// `extra`, none twice. A record does not say which of them may move, their form does: a commit's
/// tag, a whole version and a build number stay, and so does `extra`; `mutable` may move.
pub(crate) fn tags(image: &RecordedImage, extra: &[Tag], mutable: &[String]) -> Vec<ImageTag> {
    let mut tags: Vec<ImageTag> = Vec::new();
    for tag in image.git_sha_tag.tag.iter().chain(&image.tags).chain(extra) {
        if tags.iter().any(|known| known.tag == *tag) {
            continue;
        }
        let is_movable = mutable.iter().any(|mutable| mutable == tag.as_str()) || tag.as_str().ends_with("-dirty");
        let is_commit = image.git_sha_tag.tag.as_ref() == Some(tag);
        let stays = is_commit || extra.contains(tag) || is_version(tag.as_str()) || is_build_number(tag, image);
        tags.push(ImageTag { tag: tag.clone(), is_immutable: stays && !is_movable });
    }
    tags
}

/// Whether a text is `1.2.3`, `v1.2.3` or `1.2.3-rc.1`.
fn is_version(text: &str) -> bool {
    let text = text.strip_prefix('v').unwrap_or(text);
    let core = text.split(['-', '+']).next().unwrap_or_default();
    let parts: Vec<&str> = core.split('.').collect();
    parts.len() == 3 && parts.into_iter().all(is_number)
}

/// Whether a tag is a number that is not the major version of another tag.
pub(crate) fn is_build_number(tag: &Tag, image: &RecordedImage) -> bool {
    let is_major_of = |other: &Tag| {
        let text = other.as_str();
        is_version(text) && text.trim_start_matches('v').split('.').next() == Some(tag.as_str())
    };
    is_number(tag.as_str()) && !image.tags.iter().any(is_major_of)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::image::reference::{Digest, ImageReference};

    /// Tags as text, `!` before those that stay.
    fn promoted(commit: &str, tags: &[&str], extra: &[&str], mutable: &[&str]) -> String {
        let parse = |tags: &[&str]| tags.iter().map(|tag| tag.parse().unwrap()).collect::<Vec<Tag>>();
        let reference: ImageReference = "r.io/acme/app".parse().unwrap();
        let commit = commit.parse().unwrap();
        let image = RecordedImage::new(&reference, Digest::of(b"x"), commit, parse(tags), BTreeMap::new());
        let mutable: Vec<String> = mutable.iter().map(|tag| (*tag).to_owned()).collect();
        let shown = super::tags(&image, &parse(extra), &mutable).into_iter().map(|tag| {
            let mark = if tag.is_immutable { "!" } else { "" };
            format!("{mark}{}", tag.tag)
        });
        shown.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn commits_versions_and_build_numbers_stay() {
        assert_eq!(promoted("sha-1", &["sha-1", "main", "latest"], &[], &[]), "!sha-1 main latest");
        assert_eq!(promoted("sha-1", &[], &[], &[]), "!sha-1");
        let release = ["sha-1", "v1.2.3", "1.2.3", "1.2", "1", "latest"];
        assert_eq!(promoted("sha-1", &release, &[], &[]), "!sha-1 !v1.2.3 !1.2.3 1.2 1 latest");
        assert_eq!(promoted("sha-1", &["2.0.0-rc.1", "17"], &[], &[]), "!sha-1 !2.0.0-rc.1 !17");
        assert_eq!(promoted("sha-1-dirty", &["sha-1-dirty"], &[], &[]), "sha-1-dirty");
    }

    #[test]
    fn tags_asked_for_stay_unless_listed() {
        assert_eq!(promoted("sha-1", &["main"], &["go", "main", "dev"], &["dev"]), "!sha-1 !main !go dev");
    }

    #[test]
    fn each_environment_has_a_record_of_its_own() {
        assert_eq!(record_path("local"), "artifacts/docker/docker-image-digests.json");
        assert_eq!(record_path("staging"), "artifacts/docker/staging/docker-image-digests.json");
    }
}
