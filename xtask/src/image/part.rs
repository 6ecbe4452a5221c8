//! Parts of a publication: what one job pushed for one platform, and how parts are joined.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::platform::Platform;
use super::record::RecordedPlatform;
use crate::errors::hinted;

/// What one job pushed by digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Part {
    /// The commit that was built, 40 hex digits.
    pub(crate) commit: String,
    pub(crate) images: BTreeMap<String, PartImage>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PartImage {
    /// `registry/repository`.
    pub(crate) repository: String,
    /// The image of each platform.
    pub(crate) platforms: BTreeMap<Platform, PartPlatform>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PartPlatform {
    /// As the digest record has it.
    #[serde(flatten)]
    pub(crate) image: RecordedPlatform,
    /// What it was made from.
    pub(crate) input_hash: String,
}

impl Part {
    /// Reads a part.
    ///
    /// # Errors
    /// When it is no JSON of this shape.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        serde_json::from_str(text).context("it is no part of a publication; `publish --by-digest` writes them")
    }

    pub(crate) fn to_text(&self) -> String {
        serde_json::to_string_pretty(self).expect("text keys and no failing parts") + "\n"
    }
}

/// Joins the parts of all jobs, each with the name of its file.
///
/// # Errors
/// No part; parts of different commits; a component in two repositories; two images for one platform; a
/// component that lacks one of `platforms`, or has another.
pub(crate) fn join(parts: Vec<(String, Part)>, platforms: &[Platform]) -> Result<Part> {
    let mut parts = parts.into_iter();
    let (first, mut joined) = parts.next().context("there is no part to merge")?;
    for (file, part) in parts {
        ensure!(
            part.commit == joined.commit,
            "`{first}` is of commit `{}` and `{file}` of `{}`",
            joined.commit,
            part.commit
        );
        for (name, image) in part.images {
            match joined.images.get_mut(&name) {
                Some(known) => known.add(image).with_context(|| format!("`{name}` in `{file}` contradicts"))?,
                None => drop(joined.images.insert(name, image)),
            }
        }
    }
    for (name, image) in &joined.images {
        let missing: Vec<_> =
            platforms.iter().filter(|p| !image.platforms.contains_key(p)).map(|p| format!("`{p}`")).collect();
        ensure!(
            missing.is_empty(),
            hinted(
                format!("no part has `{name}` for {}", missing.join(", ")),
                "merge the parts of all platforms, or say with `--platform` which are meant"
            )
        );
        if let Some(other) = image.platforms.keys().find(|platform| !platforms.contains(platform)) {
            let error = format!("a part has `{name}` for `{other}`, which is not among the platforms");
            bail!(hinted(error, "add it with `--platform`"));
        }
    }
    Ok(joined)
}

impl PartImage {
    fn add(&mut self, other: PartImage) -> Result<()> {
        ensure!(
            self.repository == other.repository,
            "it is in `{}`, elsewhere in `{}`",
            other.repository,
            self.repository
        );
        for (platform, image) in other.platforms {
            match self.platforms.get(&platform) {
                Some(known) if *known != image => {
                    bail!("for `{platform}` it is `{}`, elsewhere `{}`", image.image.digest, known.image.digest)
                }
                _ => drop(self.platforms.insert(platform, image)),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::reference::Digest;

    fn part(commit: &str, repository: &str, platform: &str, content: &str) -> Part {
        let image = RecordedPlatform { digest: Digest::of(content.as_bytes()), config: Digest::of(b"c"), size: 1 };
        let platforms = BTreeMap::from([(platform.parse().unwrap(), PartPlatform { image, input_hash: "ab".into() })]);
        let image = PartImage { repository: repository.into(), platforms };
        Part { commit: commit.into(), images: BTreeMap::from([("engine".to_owned(), image)]) }
    }

    fn joined(parts: &[Part], platforms: &[&str]) -> Result<Part> {
        let parts = parts.iter().enumerate().map(|(at, part)| (format!("part-{at}"), part.clone()));
        let platforms: Vec<Platform> = platforms.iter().map(|platform| platform.parse().unwrap()).collect();
        join(parts.collect(), &platforms)
    }

    #[test]
    fn platforms_of_several_jobs_come_together() {
        let (amd, arm) = (part("c", "r/e", "linux/amd64", "1"), part("c", "r/e", "linux/arm64", "2"));
        let both = joined(&[amd.clone(), arm, amd], &["linux/arm64", "linux/amd64"]).unwrap();
        assert_eq!(both.images["engine"].platforms.len(), 2);
        assert_eq!(Part::parse(&both.to_text()).unwrap(), both);
    }

    #[test]
    fn contradictions_and_gaps_are_errors() {
        let amd = part("c", "r/e", "linux/amd64", "1");
        let cases = [
            (vec![], "no part to merge"),
            (vec![amd.clone(), part("d", "r/e", "linux/arm64", "2")], "`part-0` is of commit `c` and `part-1` of `d`"),
            (vec![amd.clone(), part("c", "r/x", "linux/arm64", "2")], "it is in `r/x`, elsewhere in `r/e`"),
            (vec![amd.clone(), part("c", "r/e", "linux/amd64", "2")], "for `linux/amd64` it is `sha256:"),
            (vec![amd.clone()], "no part has `engine` for `linux/arm64`"),
            (vec![amd, part("c", "r/e", "linux/arm64", "2"), part("c", "r/e", "linux/s390x", "3")], "`linux/s390x`"),
        ];
        for (parts, expected) in cases {
            let error = format!("{:#}", joined(&parts, &["linux/amd64", "linux/arm64"]).unwrap_err());
            assert!(error.contains(expected), "{error}");
        }
    }
}
