//! Which tags a build's images get: a pure function of git and CI state.
//!
//! The rules are docker/metadata-action's for branches, pull requests and versions (its README,
//! "Typical usage" and `type=semver`), with the commit's tag on every build.

use anyhow::{Context, Result, ensure};

use super::reference::Tag;
use super::release::is_deployment;

/// Longest tag of the distribution-spec.
const MAX_TAG: usize = 128;

/// Begins the tags under which images are found again by their inputs.
const INPUTS_PREFIX: &str = "inputs-";

/// What a build is a build of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum GitReference {
    /// A branch; a push, a schedule or a manual run.
    Branch {
        /// `main`, `feat/new-feature`.
        name: String,
        /// Whether it is the repository's default branch.
        is_default: bool,
    },
    /// A git tag.
    Tag(String),
    /// A pull request, by number where it is known.
    PullRequest(Option<u64>),
    /// A commit that no name is known of.
    Detached,
}

impl GitReference {
    /// As git names it: `refs/heads/main`; nothing for a commit without a name.
    pub(crate) fn full_name(&self) -> Option<String> {
        match self {
            GitReference::Branch { name, .. } => Some(format!("refs/heads/{name}")),
            GitReference::Tag(name) => Some(format!("refs/tags/{name}")),
            GitReference::PullRequest(Some(number)) => Some(format!("refs/pull/{number}/merge")),
            GitReference::PullRequest(None) | GitReference::Detached => None,
        }
    }
}

/// All that decides the tags.
#[derive(Clone, Debug)]
pub(crate) struct TagRules<'a> {
    /// HEAD, 40 hex digits.
    pub(crate) commit: &'a str,
    /// Whether the tree differs from it.
    pub(crate) is_dirty: bool,
    pub(crate) reference: &'a GitReference,
    /// `sha-{short}`.
    pub(crate) sha_template: &'a str,
    /// Whether releases, not the default branch, move `latest`.
    pub(crate) latest_is_release: bool,
    /// Whether numbers count deployments, so that no version may be one.
    pub(crate) has_build_numbers: bool,
    /// Tags of `--tag` and `CI_IMAGE_TAG`.
    pub(crate) extra: &'a [Tag],
    /// Which of `extra` may move.
    pub(crate) mutable: &'a [String],
}

/// A tag, and whether it may name another digest later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ImageTag {
    pub(crate) tag: Tag,
    /// Whether it stays with its digest forever.
    pub(crate) is_immutable: bool,
}

/// The tags of one build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tags {
    pub(crate) commit: Tag,
    /// All, the commit's first, none twice.
    pub(crate) all: Vec<ImageTag>,
}

impl TagRules<'_> {
    /// The tags.
    ///
    /// # Errors
    /// A commit or template that gives no valid tag; a tag of `--tag` that is ours alone.
    pub(crate) fn tags(&self) -> Result<Tags> {
        let commit = commit_tag(self.sha_template, self.commit, self.is_dirty)?;
        let mut tags = Tags { commit: commit.clone(), all: Vec::new() };
        tags.add(commit, !self.is_dirty);
        match self.reference {
            GitReference::Branch { name, is_default } => {
                tags.add(branch_tag(name), false);
                if *is_default && !self.latest_is_release && !name.starts_with("release/") {
                    tags.add(valid("latest"), false);
                }
            }
            GitReference::Tag(name) => self.add_version(&mut tags, name),
            GitReference::PullRequest(Some(number)) => tags.add(pull_request_tag(*number), false),
            GitReference::PullRequest(None) | GitReference::Detached => {}
        }
        for tag in self.extra {
            ensure!(
                !tag.as_str().starts_with(INPUTS_PREFIX),
                "tag `{tag}` is refused: tags that begin with `{INPUTS_PREFIX}` say what an image was made of"
            );
            tags.add(tag.clone(), !self.mutable.iter().any(|mutable| mutable == tag.as_str()));
        }
        for ImageTag { tag, .. } in &tags.all {
            ensure!(
                !is_deployment(tag),
                "tag `{tag}` is refused: tags that begin so say what environments run; name the branch otherwise"
            );
        }
        Ok(tags)
    }

    fn add_version(&self, tags: &mut Tags, name: &str) {
        let Some(version) = Version::parse(name) else {
            return tags.add(valid(name), true);
        };
        tags.add(valid(name), true);
        tags.add(valid(version.text), true);
        if !version.is_prerelease {
            tags.add(valid(&format!("{}.{}", version.major, version.minor)), false);
            if !self.has_build_numbers {
                tags.add(valid(version.major), false);
            }
            if self.latest_is_release {
                tags.add(valid("latest"), false);
            }
        }
    }
}

impl Tags {
    /// A tag that comes twice is immutable when either says so: the stricter promise holds.
    fn add(&mut self, tag: Tag, is_immutable: bool) {
        match self.all.iter_mut().find(|known| known.tag == tag) {
            Some(known) => known.is_immutable |= is_immutable,
            None => self.all.push(ImageTag { tag, is_immutable }),
        }
    }
}

/// The tag of a commit (40 hex digits) by a template such as `sha-{short}`.
///
/// # Errors
/// A commit or template that gives no valid tag.
pub(crate) fn commit_tag(template: &str, commit: &str, is_dirty: bool) -> Result<Tag> {
    let short = commit.get(..7).with_context(|| format!("`{commit}` is no commit"))?;
    let mut text = template.replace("{short}", short).replace("{full}", commit);
    if is_dirty {
        text.push_str("-dirty");
    }
    text.parse().with_context(|| format!("`sha-tag = \"{template}\"` gives no valid tag"))
}

/// The tag of a branch: its name, with what tags may not have replaced.
pub(crate) fn branch_tag(branch: &str) -> Tag {
    valid(branch)
}

/// The tag of a pull request's images.
pub(crate) fn pull_request_tag(number: u64) -> Tag {
    valid(&format!("pr-{number}"))
}

/// The tag under which an image of these inputs is found again: `inputs-` and 16 hex digits.
pub(crate) fn inputs_tag(hex: &str) -> Tag {
    valid(&format!("{INPUTS_PREFIX}{}", &hex[..hex.len().min(16)]))
}

/// Whether a tag is for machines only.
pub(crate) fn is_inputs_tag(tag: &Tag) -> bool {
    tag.as_str().starts_with(INPUTS_PREFIX)
}

/// Makes a name a valid tag: runs of other characters become one `-` (metadata-action's rule),
/// what may not come first is dropped, the rest is cut to 128 characters.
pub(crate) fn valid(name: &str) -> Tag {
    let mut text = String::new();
    for c in name.chars() {
        match c {
            c if c.is_ascii_alphanumeric() || "._-".contains(c) => text.push(c),
            _ if text.ends_with('-') => {}
            _ => text.push('-'),
        }
    }
    let text = text.trim_start_matches(['.', '-']).trim_end_matches('-');
    let text = &text[..text.len().min(MAX_TAG)];
    // A name without a single usable character still names something.
    if text.is_empty() { "unnamed" } else { text }.parse().expect("only valid characters are left")
}

/// The version that a git tag names: `1.2.3` of `v1.2.3`; nothing for other tags.
pub(crate) fn version_of(tag: &str) -> Option<&str> {
    Version::parse(tag).map(|version| version.text)
}

/// `v1.2.3`, `1.2.3-rc.1` (Semantic Versioning 2.0.0).
struct Version<'a> {
    text: &'a str,
    major: &'a str,
    minor: &'a str,
    is_prerelease: bool,
}

impl<'a> Version<'a> {
    fn parse(name: &'a str) -> Option<Self> {
        let text = name.strip_prefix('v').unwrap_or(name);
        let (core, is_prerelease) = match text.find(['-', '+']) {
            Some(at) => (&text[..at], text[at..].starts_with('-')),
            None => (text, false),
        };
        let mut parts = core.split('.');
        let (major, minor, patch) = (parts.next()?, parts.next()?, parts.next()?);
        let is_number = |part: &str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()) && (part == "0" || !part.starts_with('0'))
        };
        let is_version = parts.next().is_none() && [major, minor, patch].into_iter().all(is_number);
        is_version.then_some(Version { text, major, minor, is_prerelease })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "9c68c4a0123456789012345678901234567890ab";

    fn branch(name: &str) -> GitReference {
        GitReference::Branch { name: name.into(), is_default: name == "main" }
    }

    fn rules(reference: &GitReference) -> TagRules<'_> {
        TagRules {
            commit: COMMIT,
            is_dirty: false,
            reference,
            sha_template: "sha-{short}",
            latest_is_release: false,
            has_build_numbers: false,
            extra: &[],
            mutable: &[],
        }
    }

    /// Tags as text, `!` before the immutable ones.
    fn shown(rules: &TagRules<'_>) -> String {
        let tags = rules.tags().unwrap();
        let mark = |tag: &ImageTag| format!("{}{}", if tag.is_immutable { "!" } else { "" }, tag.tag);
        tags.all.iter().map(mark).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn each_kind_of_build_has_its_tags() {
        let cases = [
            (branch("main"), "main latest", "main"),
            (branch("feat/new-feature"), "feat-new-feature", "feat-new-feature"),
            (branch("release/1.x"), "release-1.x", "release-1.x"),
            (GitReference::Tag("v1.2.3".into()), "!v1.2.3 !1.2.3 1.2 1", "!v1.2.3 !1.2.3 1.2 1 latest"),
            (GitReference::Tag("1.2.3".into()), "!1.2.3 1.2 1", "!1.2.3 1.2 1 latest"),
            (GitReference::Tag("v2.0.0-rc.1".into()), "!v2.0.0-rc.1 !2.0.0-rc.1", "!v2.0.0-rc.1 !2.0.0-rc.1"),
            (
                GitReference::Tag("v1.2.3+b.7".into()),
                "!v1.2.3-b.7 !1.2.3-b.7 1.2 1",
                "!v1.2.3-b.7 !1.2.3-b.7 1.2 1 latest",
            ),
            (GitReference::Tag("nightly/7".into()), "!nightly-7", "!nightly-7"),
            (GitReference::Tag("v1.02.3".into()), "!v1.02.3", "!v1.02.3"),
            (GitReference::PullRequest(Some(123)), "pr-123", "pr-123"),
            (GitReference::Detached, "", ""),
        ];
        for (reference, with_default, with_release) in cases {
            for (latest_is_release, expected) in [(false, with_default), (true, with_release)] {
                let rules = TagRules { latest_is_release, ..rules(&reference) };
                assert_eq!(shown(&rules), format!("!sha-9c68c4a {expected}").trim_end(), "{reference:?}");
            }
        }
    }

    #[test]
    fn where_builds_are_counted_no_version_takes_a_number() {
        let reference = GitReference::Tag("v1.2.3".into());
        let rules = TagRules { has_build_numbers: true, ..rules(&reference) };
        assert_eq!(shown(&rules), "!sha-9c68c4a !v1.2.3 !1.2.3 1.2");
    }

    #[test]
    fn a_release_branch_never_moves_latest() {
        let reference = GitReference::Branch { name: "release/1.0".into(), is_default: true };
        assert_eq!(shown(&rules(&reference)), "!sha-9c68c4a release-1.0");
    }

    #[test]
    fn a_dirty_tree_says_so_and_may_move() {
        let reference = branch("main");
        let rules = TagRules { is_dirty: true, sha_template: "{full}", ..rules(&reference) };
        assert_eq!(shown(&rules), format!("{COMMIT}-dirty main latest"));
    }

    #[test]
    fn own_tags_are_immutable_unless_listed() {
        let extra = ["2025.11.0", "dev", "main"].map(|tag| tag.parse().unwrap());
        let (reference, mutable) = (branch("main"), ["dev".to_owned()]);
        let rules = TagRules { extra: &extra, mutable: &mutable, ..rules(&reference) };
        assert_eq!(shown(&rules), "!sha-9c68c4a !main latest !2025.11.0 dev");
        let extra = ["inputs-0123".parse().unwrap()];
        let error = TagRules { extra: &extra, ..rules }.tags().unwrap_err().to_string();
        assert!(error.starts_with("tag `inputs-0123` is refused"), "{error}");
    }

    #[test]
    fn any_name_becomes_a_valid_tag() {
        let long = "x".repeat(300);
        let cases = [
            ("feat/new-feature", "feat-new-feature"),
            ("dependabot/cargo/serde-1.0", "dependabot-cargo-serde-1.0"),
            ("feat//x y", "feat-x-y"),
            ("-dash", "dash"),
            (".hidden", "hidden"),
            ("_underscore", "_underscore"),
            ("größe", "gr-e"),
            ("日本", "unnamed"),
            ("", "unnamed"),
            (&long, &long[..128]),
        ];
        for (name, expected) in cases {
            assert_eq!(valid(name).as_str(), expected, "{name}");
        }
    }
}
