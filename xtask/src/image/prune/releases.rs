//! Which releases are kept, and which tags are the lines of branches.

use std::collections::{BTreeMap, BTreeSet};

use super::world::World;
use crate::image::reference::{Digest, Tag};
use crate::image::release::{Release, deployment_of};
use crate::image::tags::branch_tag;

/// What the policy says of releases.
#[derive(Debug, Default)]
pub(super) struct KeptReleases {
    /// Why each of them is kept.
    pub(super) why: BTreeMap<Digest, String>,
    /// Tags of branches that live.
    pub(super) lines: BTreeSet<Tag>,
    /// Tags of deployments that count no more.
    pub(super) old_deployments: BTreeSet<Tag>,
    /// The time of the youngest release under each tag.
    pub(super) times: BTreeMap<Tag, Option<i64>>,
}

pub(super) fn kept(world: &World) -> KeptReleases {
    let mut kept = KeptReleases::default();
    let (_, contents) = &world.releases;
    let mut deployments: BTreeMap<String, Vec<(u64, &Tag, &Digest)>> = BTreeMap::new();
    let mut numbers: Vec<(u64, &Tag, &Digest)> = Vec::new();
    for (tag, digest) in &contents.tags {
        let Some(release) = contents.release(digest) else { continue };
        match deployment_of(tag, &world.environments) {
            Some((environment, Some(number))) => {
                deployments.entry(environment).or_default().push((number, tag, digest));
            }
            Some((_, None)) => kept.add(digest, format!("`{tag}`")),
            None if is_line(tag, release) => kept.branch(world, tag, digest),
            None if world.moving.contains(tag) || world.keeps(tag) => kept.add(digest, format!("tag `{tag}`")),
            None => numbers.extend(world.number(tag).map(|number| (number, tag, digest))),
        }
    }
    numbers.sort();
    // The highest always: the next one is counted from it.
    for (_, tag, digest) in numbers.iter().rev().take(world.policy.keep_deploys.max(1)) {
        kept.add(digest, format!("build number `{tag}`"));
    }
    for all in deployments.values_mut() {
        all.sort_by(|a, b| b.cmp(a));
        for (at, (_, tag, digest)) in all.iter().enumerate() {
            // The newest always: the next one's number comes after it.
            match at < world.policy.keep_deploys.max(1) {
                true => kept.add(digest, format!("`{tag}`")),
                false => drop(kept.old_deployments.insert((*tag).clone())),
            }
        }
    }
    for digest in contents.manifests.keys() {
        let Some(release) = contents.release(digest) else { continue };
        let time = world.time_of(release);
        if world.policy.is_young(time, world.now) {
            let why = match world.commits.contains_key(&release.commit) {
                true => young(world, time),
                false => "git does not know its commit, so it may be new".to_owned(),
            };
            kept.add(digest, why);
        }
        kept.note_time(release, time);
    }
    kept
}

/// Why something young is kept.
pub(super) fn young(world: &World, time: Option<i64>) -> String {
    match time {
        Some(_) => format!("younger than {} days", world.policy.keep_days),
        None => "nobody knows how old it is".to_owned(),
    }
}

/// Whether a tag is that of the branch that the release is of.
fn is_line(tag: &Tag, release: &Release) -> bool {
    let branch = release.reference.as_deref().and_then(|name| name.strip_prefix("refs/heads/"));
    branch.is_some_and(|branch| branch_tag(branch) == *tag)
}

impl KeptReleases {
    fn add(&mut self, digest: &Digest, why: String) {
        self.why.entry(digest.clone()).or_insert(why);
    }

    /// The newest releases of a branch.
    fn branch(&mut self, world: &World, line: &Tag, newest: &Digest) {
        let (_, contents) = &world.releases;
        let is_old = |release| !world.policy.is_young(world.time_of(release), world.now);
        if world.policy.is_short_lived(line) && contents.release(newest).is_some_and(is_old) {
            return;
        }
        self.lines.insert(line.clone());
        let mut next = Some(newest);
        // What the branch has now always.
        for _ in 0..world.policy.keep_per_branch.max(1) {
            let Some((digest, release)) = next.and_then(|digest| Some((digest, contents.release(digest)?))) else {
                break;
            };
            self.add(digest, format!("one of the newest {} of `{line}`", world.policy.keep_per_branch.max(1)));
            next = release.previous.as_ref();
        }
    }

    fn note_time(&mut self, release: &Release, time: Option<i64>) {
        for tag in &release.tags {
            let known = self.times.entry(tag.clone()).or_default();
            *known = (*known).max(time);
        }
    }
}
