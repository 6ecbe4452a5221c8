//! What a plan is made of.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::image::build_number::number;
use crate::image::record::RecordedImage;
use crate::image::reference::{Digest, Tag};
use crate::image::release::Release;
use crate::image::tags::version_of;

const DAY: i64 = 86_400;

/// What is kept beside all that is named, `[workspace.metadata.docker.prune]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct KeepPolicy {
    /// The newest releases of each branch.
    pub(crate) keep_per_branch: usize,
    /// All that is younger.
    pub(crate) keep_days: u32,
    /// Tags by pattern, `*` for any text; without patterns, versions.
    pub(crate) keep_tags: Option<Vec<String>>,
    /// The last deployments of each environment.
    pub(crate) keep_deploys: usize,
    /// Branches, by the patterns of their tags, that are forgotten once they are older than `keep_days`.
    pub(crate) short_lived: Vec<String>,
}

impl Default for KeepPolicy {
    fn default() -> Self {
        KeepPolicy { keep_per_branch: 10, keep_days: 30, keep_tags: None, keep_deploys: 5, short_lived: Vec::new() }
    }
}

impl KeepPolicy {
    /// Whether the policy keeps whatever has this tag.
    pub(super) fn keeps(&self, tag: &Tag) -> bool {
        match &self.keep_tags {
            Some(patterns) => fits_any(patterns, tag),
            None => is_version_like(tag.as_str()),
        }
    }

    pub(super) fn is_short_lived(&self, branch: &Tag) -> bool {
        fits_any(&self.short_lived, branch)
    }

    /// Whether something of this time is young enough; what tells no time is.
    pub(super) fn is_young(&self, time: Option<i64>, now: i64) -> bool {
        time.is_none_or(|time| now.saturating_sub(time) < i64::from(self.keep_days) * DAY)
    }
}

fn fits_any(patterns: &[String], tag: &Tag) -> bool {
    patterns.iter().any(|pattern| fits(pattern.as_bytes(), tag.as_str().as_bytes()))
}

fn fits(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => (0..=text.len()).any(|skipped| fits(rest, &text[skipped..])),
        ([first, rest @ ..], [next, others @ ..]) => first == next && fits(rest, others),
        _ => false,
    }
}

/// `v1.2.3`, `1.2.3-rc.1`, and what moves with them: `1.2`, `1`.
fn is_version_like(text: &str) -> bool {
    version_of(text).is_some()
        || text.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
}

/// What a manifest is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An image of a component, by its label.
    Component,
    Release(Box<Release>),
    /// What an earlier run was about to delete.
    Throwaway,
    /// A part of it is gone, so nobody knows whose it is.
    Broken,
    /// Made by others.
    Other,
}

/// A manifest of a repository, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) kind: Kind,
    /// Of an index.
    pub(crate) children: Vec<Digest>,
    /// What it is about (OCI image-spec, `subject`).
    pub(crate) subject: Option<Digest>,
    /// What engines without a registry call the image's id.
    pub(crate) config: Option<Digest>,
    /// When it was made, unix seconds, if it says so.
    pub(crate) created: Option<i64>,
    /// Config, layers and itself, with their bytes.
    pub(crate) blobs: Vec<(Digest, u64)>,
}

/// All that is known of a repository.
#[derive(Debug, Clone, Default)]
pub(crate) struct Contents {
    pub(crate) tags: BTreeMap<Tag, Digest>,
    /// Those with tags, what these lead to, and what else was looked at.
    pub(crate) manifests: BTreeMap<Digest, Known>,
}

impl Contents {
    /// Kind of what a tag names.
    pub(super) fn release(&self, digest: &Digest) -> Option<&Release> {
        match &self.manifests.get(digest)?.kind {
            Kind::Release(release) => Some(release),
            _ => None,
        }
    }

    /// All that is about each manifest: signatures, attestations and their lists.
    pub(super) fn referrers(&self) -> BTreeMap<Digest, Vec<Digest>> {
        let of_tags = self.tags.iter().filter_map(|(tag, digest)| Some((subject_of(tag)?, digest.clone())));
        let of_manifests =
            self.manifests.iter().filter_map(|(digest, known)| Some((known.subject.clone()?, digest.clone())));
        let mut referrers: BTreeMap<Digest, Vec<Digest>> = BTreeMap::new();
        for (subject, referrer) in of_tags.chain(of_manifests) {
            referrers.entry(subject).or_default().push(referrer);
        }
        referrers
    }

    /// All that `roots` lead to: children, what is about them and, where `subjects` count, what they are about.
    pub(super) fn closure(&self, roots: impl IntoIterator<Item = Digest>, subjects: bool) -> BTreeSet<Digest> {
        let referrers = self.referrers();
        let mut found = BTreeSet::new();
        let mut left: Vec<Digest> = roots.into_iter().collect();
        while let Some(digest) = left.pop() {
            let Some(known) = self.manifests.get(&digest) else { continue };
            if found.insert(digest.clone()) {
                left.extend(known.children.iter().chain(known.subject.as_ref().filter(|_| subjects)).cloned());
                left.extend(referrers.get(&digest).into_iter().flatten().cloned());
            }
        }
        found
    }
}

/// What a tag of signatures and attestations is about (distribution-spec, referrers tag schema; cosign's `.sig`).
pub(crate) fn subject_of(tag: &Tag) -> Option<Digest> {
    let hex = tag.as_str().strip_prefix("sha256-")?.get(..64)?;
    format!("sha256:{hex}").parse().ok()
}

/// What somebody names outside the repositories: records, manifests, pods, environments.
#[derive(Debug, Clone, Default)]
pub(crate) struct Named {
    /// Who names it.
    pub(crate) digests: BTreeMap<Digest, String>,
    /// Whatever may be a tag.
    words: BTreeMap<String, String>,
    /// By repository, registry included.
    tags: BTreeMap<(String, Tag), String>,
}

impl Named {
    /// All digests and all words of a text: what may name an image, however it is written.
    pub(crate) fn text(&mut self, text: &str, who: &str) {
        let is_word = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let mut before = "";
        for word in text.split(|c: char| !is_word(c)).filter(|word| !word.is_empty()) {
            if before == "sha256"
                && let Ok(digest) = format!("sha256:{word}").parse()
            {
                self.digests.entry(digest).or_insert_with(|| who.to_owned());
            } else if word.len() <= 128 && !self.words.contains_key(word) {
                self.words.insert(word.to_owned(), who.to_owned());
            }
            before = word;
        }
    }

    /// An image of a record or a release, its platforms and its tags.
    pub(crate) fn image(&mut self, image: &RecordedImage, who: &str) {
        let platforms = image.platforms.values().flat_map(|platform| [&platform.digest, &platform.config]);
        for digest in platforms.chain([&image.digest]) {
            self.digests.entry(digest.clone()).or_insert_with(|| who.to_owned());
        }
        for tag in image.tags.iter().chain(&image.git_sha_tag.tag) {
            self.tags.entry((image.repository.clone(), tag.clone())).or_insert_with(|| who.to_owned());
        }
    }

    pub(super) fn who(&self, digest: &Digest, known: &Known) -> Option<&String> {
        self.digests.get(digest).or_else(|| self.digests.get(known.config.as_ref()?))
    }

    pub(super) fn who_by_tag(&self, repository: &str, tag: &Tag) -> Option<&String> {
        let exactly = self.tags.get(&(repository.to_owned(), tag.clone()));
        exactly.or_else(|| self.words.get(tag.as_str()))
    }
}

/// All that decides.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) policy: KeepPolicy,
    /// Unix seconds.
    pub(crate) now: i64,
    /// Tags that are moved and never expire: `latest`, those of `mutable-tags`.
    pub(crate) moving: BTreeSet<Tag>,
    /// Environments of the settings: `deployed-stage-2` is what `stage-2` runs, not a number of `stage`.
    pub(crate) environments: BTreeSet<String>,
    /// Whether tags that are numbers count deployments.
    pub(crate) has_build_numbers: bool,
    /// Times of the commits that git knows, unix seconds.
    pub(crate) commits: BTreeMap<String, i64>,
    /// The releases, by the name of their repository.
    pub(crate) releases: (String, Contents),
    /// The components' repositories by name, registry included.
    pub(crate) repositories: BTreeMap<String, Contents>,
    pub(crate) named: Named,
}

impl World {
    /// The number of a tag that counts deployments.
    pub(super) fn number(&self, tag: &Tag) -> Option<u64> {
        number(tag.as_str()).filter(|_| self.has_build_numbers)
    }

    /// Whether the policy keeps whatever has this tag. Where deployments are counted, numbers are no versions.
    pub(super) fn keeps(&self, tag: &Tag) -> bool {
        self.policy.keeps(tag) && (self.policy.keep_tags.is_some() || self.number(tag).is_none())
    }

    /// When a release was made, as far as commits and images tell; now, where its commit was not fetched.
    pub(super) fn time_of(&self, release: &Release) -> Option<i64> {
        let commit = self.commits.get(&release.commit).copied().unwrap_or(self.now);
        let created = |image: &RecordedImage| self.created(&image.repository, &image.digest);
        let images = release.components.values().filter_map(|component| created(&component.image));
        images.chain([commit]).max()
    }

    /// When an image was made. Those that say 1970 do not tell.
    pub(super) fn created(&self, repository: &str, digest: &Digest) -> Option<i64> {
        let contents = self.repositories.get(repository)?;
        let known = contents.manifests.get(digest)?;
        let parts = known.children.iter().filter_map(|child| contents.manifests.get(child)?.created);
        known.created.into_iter().chain(parts).filter(|time| *time > DAY).max()
    }
}
