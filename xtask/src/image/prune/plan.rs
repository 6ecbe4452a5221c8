//! The plan: what goes, what stays, and why.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::releases::{KeptReleases, kept, young};
use super::world::{Contents, Kind, Named, World, subject_of};
use crate::image::reference::{Digest, Tag};
use crate::image::tags::is_inputs_tag;

/// What becomes of a repository.
#[derive(Debug, Default, Serialize)]
pub(crate) struct RepositoryPlan {
    /// Registry and repository.
    pub(crate) repository: String,
    /// Manifests that go, with all their tags; an index before its children.
    pub(crate) deleted: Vec<Deleted>,
    /// Tags that go while what they name stays.
    pub(crate) untagged: Vec<Kept>,
    /// Tags that stay.
    pub(crate) kept: Vec<Kept>,
    /// Bytes that nothing in the repository leads to any more.
    pub(crate) freed: u64,
}

/// A manifest that goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Deleted {
    pub(crate) digest: Digest,
    pub(crate) tags: Vec<Tag>,
    /// Bytes of it and its blobs.
    pub(crate) size: u64,
    /// Unix seconds.
    pub(crate) created: Option<i64>,
}

/// A tag whose image stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Kept {
    pub(crate) tag: Tag,
    pub(crate) digest: Digest,
    /// Why the image stays; for one that is kept, why the tag does.
    pub(crate) why: String,
}

/// What a tag decides.
enum Decision {
    Keep(String),
    Expire,
    /// It goes with the manifest that it names.
    Follow,
}

/// What may go: the releases' repository first, then the components'.
pub(crate) fn plan(world: &World) -> Vec<RepositoryPlan> {
    let releases = kept(world);
    let (name, contents) = &world.releases;
    let decide = |tag: &Tag, digest: &Digest| of_release(world, &releases, tag, digest);
    let first = repository(world, name, &world.named, Some(&releases), decide);
    // What a release that stays names stays.
    let mut named = world.named.clone();
    let gone: BTreeSet<&Digest> = first.deleted.iter().map(|deleted| &deleted.digest).collect();
    for (digest, _) in contents.manifests.iter().filter(|(digest, _)| !gone.contains(digest)) {
        let Some(release) = contents.release(digest) else { continue };
        let who = format!("release {}", &digest.hex()[..12]);
        // Its numbers are not in it, and its images are deployed by them.
        let numbers = contents.tags.iter().filter(|(tag, of)| world.number(tag).is_some() && *of == digest);
        let numbers: Vec<&Tag> = numbers.map(|(tag, _)| tag).collect();
        for component in release.components.values() {
            let mut image = component.image.clone();
            image.tags.extend(numbers.iter().copied().cloned());
            named.image(&image, &who);
        }
    }
    let components = world.repositories.keys().map(|name| {
        let decide = |tag: &Tag, digest: &Digest| of_component(world, &releases, &named, name, tag, digest);
        repository(world, name, &named, None, decide)
    });
    [first].into_iter().chain(components).collect()
}

fn of_release(world: &World, releases: &KeptReleases, tag: &Tag, digest: &Digest) -> Decision {
    let (_, contents) = &world.releases;
    let is_last =
        || !contents.tags.iter().any(|(other, named)| named == digest && !releases.old_deployments.contains(other));
    match releases.why.get(digest) {
        // Without any tag, the next run would not find what is kept.
        Some(_) if releases.old_deployments.contains(tag) && !is_last() => Decision::Expire,
        Some(why) => Decision::Keep(why.clone()),
        None if releases.old_deployments.contains(tag) => Decision::Expire,
        None => match world.named.who_by_tag(&world.releases.0, tag) {
            Some(who) => Decision::Keep(format!("named by {who}")),
            None => Decision::Expire,
        },
    }
}

fn of_component(
    world: &World,
    releases: &KeptReleases,
    named: &Named,
    repository: &str,
    tag: &Tag,
    digest: &Digest,
) -> Decision {
    // Without a release, or with one of unknown age, the image tells.
    let time = world.created(repository, digest).max(releases.times.get(tag).copied().flatten());
    Decision::Keep(if releases.lines.contains(tag) {
        "what the branch has now".to_owned()
    } else if world.moving.contains(tag) {
        "it is moved, never deleted".to_owned()
    } else if world.keeps(tag) {
        "by `keep-tags`".to_owned()
    } else if let Some(who) = named.who_by_tag(repository, tag) {
        format!("named by {who}")
    } else if world.policy.is_young(time, world.now) {
        young(world, time)
    } else if is_inputs_tag(tag) {
        return Decision::Follow;
    } else {
        return Decision::Expire;
    })
}

fn repository(
    world: &World,
    name: &str,
    named: &Named,
    releases: Option<&KeptReleases>,
    decide: impl Fn(&Tag, &Digest) -> Decision,
) -> RepositoryPlan {
    let contents = world.repositories.get(name).unwrap_or(&world.releases.1);
    let lonely = lonely(contents);
    let decisions: BTreeMap<&Tag, Decision> = contents
        .tags
        .iter()
        .map(|(tag, digest)| {
            let decision = match (subject_of(tag), contents.manifests.get(digest).map(|known| &known.kind)) {
                (Some(subject), _) if lonely.contains(&subject) => {
                    Decision::Keep("about an image that has no tag".to_owned())
                }
                (Some(_), _) | (None, Some(Kind::Throwaway)) => Decision::Follow,
                (None, Some(Kind::Component | Kind::Release(_))) => decide(tag, digest),
                (None, Some(Kind::Broken)) => {
                    Decision::Keep("a part of it is gone: nobody knows whose it is".to_owned())
                }
                (None, _) => Decision::Keep("not made by this tool".to_owned()),
            };
            (tag, decision)
        })
        .collect();
    let is_kept = |tag: &Tag| matches!(decisions[tag], Decision::Keep(_));
    let by_tag = contents.tags.iter().filter(|(tag, _)| is_kept(tag)).map(|(_, digest)| digest.clone());
    let by_name = contents.manifests.iter().filter(|(digest, known)| named.who(digest, known).is_some());
    let by_name = by_name.map(|(digest, _)| digest.clone());
    let by_policy = releases.into_iter().flat_map(|releases| releases.why.keys().cloned());
    let stays = contents.closure(by_tag.chain(by_name).chain(by_policy), true);
    // Signatures may be kept apart from what they are about.
    let is_there = |subject: &Digest| {
        let mut all = world.repositories.values().chain([&world.releases.1]);
        named.digests.contains_key(subject) || all.any(|contents| contents.manifests.contains_key(subject))
    };
    let goes = candidates(contents, &decisions, is_there, releases);
    let goes: BTreeSet<Digest> = goes.difference(&stays).cloned().collect();
    let mut plan = RepositoryPlan { repository: name.to_owned(), ..RepositoryPlan::default() };
    for (tag, digest) in contents.tags.iter().filter(|(_, digest)| !goes.contains(digest)) {
        let with = |why: String| Kept { tag: tag.clone(), digest: digest.clone(), why };
        let because = || {
            let who = contents.manifests.get(digest).and_then(|known| named.who(digest, known));
            who.map_or("another tag or image leads to it".to_owned(), |who| format!("named by {who}"))
        };
        match &decisions[tag] {
            Decision::Keep(why) => plan.kept.push(with(why.clone())),
            Decision::Follow => plan.kept.push(with("with its image".to_owned())),
            Decision::Expire => plan.untagged.push(with(because())),
        }
    }
    plan.freed = freed(contents, &goes);
    plan.deleted = ordered(contents, &goes);
    plan
}

/// Manifests that were looked at, have no tag and are no part: somebody may use them.
fn lonely(contents: &Contents) -> BTreeSet<Digest> {
    let parts: BTreeSet<&Digest> = contents.manifests.values().flat_map(|known| &known.children).collect();
    let tagged: BTreeSet<&Digest> = contents.tags.values().collect();
    let is_lonely = |digest: &&Digest| !parts.contains(digest) && !tagged.contains(digest);
    let releases = |digest: &&Digest| contents.release(digest).is_none();
    contents.manifests.keys().filter(is_lonely).filter(releases).cloned().collect()
}

/// All that would go if nothing protected it.
fn candidates(
    contents: &Contents,
    decisions: &BTreeMap<&Tag, Decision>,
    is_there: impl Fn(&Digest) -> bool,
    releases: Option<&KeptReleases>,
) -> BTreeSet<Digest> {
    // Releases before, whose tags moved on, go without any.
    let is_old = |digest: &&Digest| {
        releases.is_some_and(|kept| !kept.why.contains_key(*digest)) && contents.release(digest).is_some()
    };
    let old = contents.manifests.keys().filter(is_old).cloned();
    let is_orphan = |tag: &Tag| subject_of(tag).is_some_and(|subject| !is_there(&subject));
    let roots = contents.tags.iter().filter(|(tag, _)| match decisions[tag] {
        Decision::Keep(_) => false,
        Decision::Expire => true,
        Decision::Follow => subject_of(tag).is_none() || is_orphan(tag),
    });
    contents.closure(roots.map(|(_, digest)| digest.clone()).chain(old), false)
}

/// An index before its children: what is left of a run that was cut off leads to nothing that is gone.
fn ordered(contents: &Contents, goes: &BTreeSet<Digest>) -> Vec<Deleted> {
    let parts: BTreeSet<&Digest> = goes.iter().flat_map(|digest| &contents.manifests[digest].children).collect();
    let mut deleted: Vec<Deleted> = goes
        .iter()
        .map(|digest| {
            let known = &contents.manifests[digest];
            let tags = contents.tags.iter().filter(|(_, named)| *named == digest).map(|(tag, _)| tag.clone());
            let size = known.blobs.iter().map(|(_, size)| size).sum();
            Deleted { digest: digest.clone(), tags: tags.collect(), size, created: known.created }
        })
        .collect();
    deleted.sort_by_key(|one| (parts.contains(&one.digest), one.created, one.digest.clone()));
    deleted
}

fn freed(contents: &Contents, goes: &BTreeSet<Digest>) -> u64 {
    let of = |is_gone: bool| {
        let manifests = contents.manifests.iter().filter(move |(digest, _)| goes.contains(*digest) == is_gone);
        manifests.flat_map(|(_, known)| known.blobs.iter().cloned()).collect::<BTreeMap<Digest, u64>>()
    };
    let left = of(false);
    of(true).into_iter().filter(|(digest, _)| !left.contains_key(digest)).map(|(_, size)| size).sum()
}
