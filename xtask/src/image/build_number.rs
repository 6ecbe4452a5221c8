//! Build numbers: immutable tags that count what is deployed in an environment.

use anyhow::{Context, Result};

use super::promotion::is_build_number;
use super::record::DigestRecord;
use super::reference::Tag;

/// Where a workspace may keep the last number, for other tools.
pub(crate) const NUMBER_FILE: &str = ".buildnum";

/// The number that a text is.
pub(crate) fn number(text: &str) -> Option<u64> {
    // `parse` would take a sign.
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// The number in the file's `text`.
///
/// # Errors
/// There is none.
pub(crate) fn kept(text: &str) -> Result<u64> {
    number(text.trim()).with_context(|| {
        let shown: String = text.trim().chars().take(40).collect();
        format!("`{NUMBER_FILE}` holds `{}`, which is no build number", shown.escape_debug())
    })
}

/// The file's `text` with another number.
pub(crate) fn with_kept(text: &str, number: u64) -> String {
    text.replacen(text.trim(), &number.to_string(), 1)
}

/// The number after all of `tags` that are one, and after the kept one.
///
/// # Errors
/// There is no higher number.
pub(crate) fn next<'a>(tags: impl IntoIterator<Item = &'a Tag>, kept: Option<u64>) -> Result<u64> {
    let last = tags.into_iter().filter_map(|tag| number(tag.as_str())).chain(kept).max().unwrap_or(0);
    last.checked_add(1).with_context(|| format!("after the tag `{last}` there is no further build number"))
}

/// The tag of a number.
pub(crate) fn number_tag(number: u64) -> Tag {
    number.to_string().parse().expect("digits are a tag")
}

/// `tags` but for those that are numbers: each registry has its own.
pub(crate) fn without_numbers(tags: &mut Vec<Tag>) {
    tags.retain(|tag| number(tag.as_str()).is_none());
}

impl DigestRecord {
    /// With the number among the tags of each image.
    pub(crate) fn with_number(mut self, number: u64) -> Self {
        let tag = number_tag(number);
        for image in self.images.values_mut().filter(|image| !image.tags.contains(&tag)) {
            image.tags.push(tag.clone());
        }
        self
    }

    /// With the highest number among an image's tags in the place of its commit's tag, for values that hold a tag.
    pub(crate) fn by_number(mut self) -> Self {
        for image in self.images.values_mut() {
            let numbers = image.tags.iter().filter(|tag| is_build_number(tag, image));
            let last = numbers.filter_map(|tag| number(tag.as_str()).map(|number| (number, tag.clone()))).max();
            image.git_sha_tag = last.map_or(image.git_sha_tag.clone(), |(_, tag)| image.image.with_tag(tag));
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::record::RecordedImage;
    use super::super::reference::Digest;
    use super::*;

    fn tags(text: &str) -> Vec<Tag> {
        text.split_whitespace().map(|tag| tag.parse().unwrap()).collect()
    }

    #[test]
    fn the_next_number_is_above_all() {
        for (there, kept, expected) in [
            ("", None, 1),
            ("sha-9c68c4a main 1.2 latest", None, 1),
            ("2 10 9 v12.0.0 11.0", None, 11),
            ("2 007", Some(4), 8),
            ("2", Some(41), 42),
            // More than counts: no number.
            ("1234567890123456789012345678901234567890 3", None, 4),
        ] {
            assert_eq!(next(&tags(there), kept).unwrap(), expected, "{there}, {kept:?}");
        }
        let error = next(&[], Some(u64::MAX)).unwrap_err().to_string();
        assert!(error.contains("no further build number"), "{error}");
    }

    #[test]
    fn a_kept_number_is_one_and_nothing_else() {
        assert_eq!((kept("41\n").unwrap(), with_kept("41\n", 42).as_str()), (41, "42\n"));
        assert_eq!(with_kept("7", 10), "10");
        for wrong in ["", "\n", "v7", "+7", "-1", "1.5", "4 1", "99999999999999999999"] {
            let error = kept(wrong).unwrap_err().to_string();
            assert_eq!(error, format!("`.buildnum` holds `{}`, which is no build number", wrong.trim()));
        }
    }

    #[test]
    fn values_that_hold_a_tag_get_the_number() {
        let record = |all: &str| {
            let all = tags(all);
            let reference = "r.io/acme/app".parse().unwrap();
            let image = RecordedImage::new(&reference, Digest::of(b"x"), all[0].clone(), all, BTreeMap::new());
            DigestRecord { images: BTreeMap::from([("app".to_owned(), image)]) }
        };
        let tag = |record: DigestRecord| record.images["app"].git_sha_tag.to_string();
        assert_eq!(tag(record("sha-1 main").with_number(18).by_number()), "r.io/acme/app:18");
        assert_eq!(tag(record("sha-1 17").with_number(18).by_number()), "r.io/acme/app:18");
        // The first part of a version is no count.
        assert_eq!(tag(record("sha-1 v3.0.0 3.0.0 3.0 3").by_number()), "r.io/acme/app:sha-1");
        assert_eq!(record("sha-1 18").with_number(18), record("sha-1 18"));
    }
}
