//! A release: the digest record of one publication, with where it came from, as an artifact in the registry.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::record::{DigestRecord, RecordedImage};
use super::reference::{Digest, Tag};

/// What a release's manifest and its layer say that they are (OCI image-spec, guidelines for artifact usage).
pub(crate) const RELEASE_TYPE: &str = "application/vnd.cargo-xtask.release.v1+json";
/// The component of a repository template that gives the releases' repository.
pub(crate) const RELEASES: &str = "releases";
/// Begins the tags that say what an environment was proven to run.
const DEPLOYED: &str = "deployed-";
/// Begins the tags that say what was last tried there.
const DEPLOYING: &str = "deploying-";

/// What one publication left. The same commit and images give the same bytes but for `previous`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Release {
    /// The commit, 40 hex digits.
    pub(crate) commit: String,
    /// What was published, as git names it: `refs/heads/main`; nothing for a commit without a name.
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub(crate) reference: Option<String>,
    /// The tags that this publication set, the commit's first.
    pub(crate) tags: Vec<Tag>,
    /// The release that the branch had before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) previous: Option<Digest>,
    /// The image of each component.
    pub(crate) components: BTreeMap<String, ReleasedComponent>,
}

/// A component of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReleasedComponent {
    /// Its package's version.
    pub(crate) version: String,
    /// Its image, as the digest record has it.
    #[serde(flatten)]
    pub(crate) image: RecordedImage,
}

impl Release {
    /// Reads a release and checks that it agrees with itself.
    ///
    /// # Errors
    /// It is not JSON of this shape; its commit is none; texts that would steer a terminal; an entry is wrong as in a
    /// digest record, or is of another component's repository.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        let release: Release = serde_json::from_slice(bytes).context("it is no release")?;
        ensure!(is_commit(&release.commit), "`commit` is `{}`, no commit", release.commit.escape_debug());
        let versions = release.components.values().map(|component| component.version.as_str());
        for text in versions.chain(release.reference.as_deref()) {
            ensure!(!text.contains(char::is_control), "`{}` has control characters", text.escape_debug());
        }
        let record = release.record();
        record.check()?;
        let mut owners = BTreeMap::new();
        for (name, image) in &record.images {
            if let Some(other) = owners.insert(&image.repository, name) {
                bail!("`{other}` and `{name}` are both of `{}`", image.repository);
            }
        }
        Ok(release)
    }

    /// The bytes of the layer: compact JSON, keys in a fixed order.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("text keys and no failing parts")
    }

    /// Its images, as the file has them.
    pub(crate) fn record(&self) -> DigestRecord {
        let images = self.components.iter().map(|(name, component)| (name.clone(), component.image.clone()));
        DigestRecord { images: images.collect() }
    }

    /// Whether publishing `other` would say nothing new.
    pub(crate) fn says_the_same(&self, other: &Release) -> bool {
        Release { previous: None, ..self.clone() } == Release { previous: None, ..other.clone() }
    }

    /// The first seven digits of its commit.
    pub(crate) fn short_commit(&self) -> &str {
        &self.commit[..7]
    }
}

/// Whether a tag says what an environment runs, so that no branch and no `--tag` may take it.
pub(crate) fn is_deployment(tag: &Tag) -> bool {
    [DEPLOYED, DEPLOYING].iter().any(|prefix| tag.as_str().starts_with(prefix))
}

/// The environment that a tag is about, and which of its deployments, where it is one of them. Tags that end in a number
/// are, but for those of `environments` that do.
pub(crate) fn deployment_of(tag: &Tag, environments: &BTreeSet<String>) -> Option<(String, Option<u64>)> {
    if let Some(environment) = tag.as_str().strip_prefix(DEPLOYING) {
        return Some((environment.to_owned(), None));
    }
    let rest = tag.as_str().strip_prefix(DEPLOYED)?;
    let numbered = rest.rsplit_once('-').filter(|_| !environments.contains(rest));
    let numbered = numbered.and_then(|(environment, number)| Some((environment, number.parse().ok()?)));
    Some(match numbered {
        Some((environment, number)) => (environment.to_owned(), Some(number)),
        None => (rest.to_owned(), None),
    })
}

/// The tag of what was last tried in `environment`, proven or not.
///
/// # Errors
/// As [`deployed_tag`].
pub(crate) fn deploying_tag(environment: &str) -> Result<Tag> {
    format!("{DEPLOYING}{environment}").parse().with_context(|| format!("environment `{environment}` gives no tag"))
}

/// The tag of what `environment` was proven to run.
///
/// # Errors
/// A name that gives no tag.
pub(crate) fn deployed_tag(environment: &str) -> Result<Tag> {
    format!("{DEPLOYED}{environment}").parse().with_context(|| format!("environment `{environment}` gives no tag"))
}

/// The tag of an environment's deployment with this number.
///
/// # Errors
/// As [`deployed_tag`].
pub(crate) fn numbered_tag(environment: &str, number: u64) -> Result<Tag> {
    deployed_tag(&format!("{environment}-{number}"))
}

/// Whether a text is a whole commit hash.
pub(crate) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::record::RecordedPlatform;

    fn release() -> Release {
        let digest = Digest::of(b"manifest");
        let platform = RecordedPlatform { digest: digest.clone(), config: Digest::of(b"config"), size: 7 };
        let platforms = BTreeMap::from([("linux/amd64".parse().unwrap(), platform)]);
        let tags: Vec<Tag> = ["sha-9c68c4a", "main"].map(|tag| tag.parse().unwrap()).into();
        let repository = "ghcr.io/acme/demon-engine".parse().unwrap();
        let image = RecordedImage::new(&repository, digest, tags[0].clone(), tags.clone(), platforms);
        let components =
            BTreeMap::from([("engine".to_owned(), ReleasedComponent { version: "0.1.0".to_owned(), image })]);
        let commit = "9c68c4a1f1ab1b7b9b5a2ff1f1c7f4b4c4a6d8e0".to_owned();
        Release { commit, reference: Some("refs/heads/main".to_owned()), tags, previous: None, components }
    }

    #[test]
    fn what_is_written_is_read_back_and_its_bytes_stay() {
        let release = release();
        assert_eq!(Release::parse(&release.to_bytes()).unwrap(), release);
        // Every publication of the same commit and images must give this digest, today and later.
        let text = String::from_utf8(release.to_bytes()).unwrap();
        assert!(text.starts_with(r#"{"commit":"9c68c4a1f1ab1b7b9b5a2ff1f1c7f4b4c4a6d8e0","ref":"refs/heads/main","tags":["sha-9c68c4a","main"],"components":{"engine":{"version":"0.1.0","repository":"ghcr.io/acme/demon-engine","digest":""#), "{text}");
        assert_eq!(release.record().to_text(), DigestRecord::parse(&release.record().to_text()).unwrap().to_text());
    }

    #[test]
    fn only_what_came_before_may_differ() {
        let later = Release { previous: Some(Digest::of(b"before")), ..release() };
        assert!(later.says_the_same(&release()));
        assert!(!Release { tags: Vec::new(), ..release() }.says_the_same(&release()));
    }

    #[test]
    fn what_disagrees_with_itself_is_refused() {
        let error = |text: String| format!("{:#}", Release::parse(text.as_bytes()).unwrap_err());
        let text = String::from_utf8(release().to_bytes()).unwrap();
        assert!(error(text.replace("9c68c4a1f1", "HEAD")).contains("no commit"));
        assert!(
            error(text.replacen("demon-engine\"", "other\"", 1)).contains("`engine` in the digest record is wrong")
        );
        assert!(error("{}".to_owned()).contains("it is no release"));
        assert!(error(text.replace("0.1.0", r"0.1.0\u001b[2J")).contains("control characters"));
        assert!(error(text.replace("heads/main", r"heads/main\nx")).contains("control characters"));
        let mut two = release();
        two.components.insert("runtime".to_owned(), two.components["engine"].clone());
        let text = String::from_utf8(two.to_bytes()).unwrap();
        assert!(error(text).contains("`engine` and `runtime` are both of `ghcr.io/acme/demon-engine`"));
    }

    #[test]
    fn tags_of_environments() {
        assert!(is_deployment(&deployed_tag("staging").unwrap()));
        assert!(!is_deployment(&"staging".parse().unwrap()));
        assert!(deployed_tag("a b").is_err());
        let of = |tag: &str| deployment_of(&tag.parse().unwrap(), &BTreeSet::from(["stage-2".to_owned()]));
        assert_eq!(of("deployed-stage-3"), Some(("stage".to_owned(), Some(3))));
        assert_eq!(of("deployed-stage-2"), Some(("stage-2".to_owned(), None)));
        assert_eq!(of("deployed-stage-2-7"), Some(("stage-2".to_owned(), Some(7))));
        assert_eq!(of("deploying-stage"), Some(("stage".to_owned(), None)));
        assert_eq!(of("main"), None);
    }
}
