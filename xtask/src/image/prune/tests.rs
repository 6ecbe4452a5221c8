use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::image::record::{RecordedImage, RecordedPlatform};
use crate::image::reference::{Digest, ImageReference, Tag};
use crate::image::release::{Release, ReleasedComponent};

const NOW: i64 = 2_000_000_000;
const DAY: i64 = 86_400;
const NAME: &str = "r.io/shop-a";

/// Numbers that come again for the same seed (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from((self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16) % end.max(1) as u64).unwrap()
    }

    fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }
}

fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}

fn known(kind: Kind, created: i64) -> Known {
    let (children, subject, config) = (Vec::new(), None, None);
    Known { kind, children, subject, config, created: Some(created), blobs: vec![(digest("layer"), 9)] }
}

fn recorded(image: &Digest, commit: &Tag, tags: &[Tag], children: &[Digest]) -> RecordedImage {
    let platforms = ["linux/amd64", "linux/arm64"].iter().zip(children).map(|(platform, child)| {
        let image = RecordedPlatform { digest: child.clone(), config: digest("config"), size: 1 };
        (platform.parse().unwrap(), image)
    });
    let reference: ImageReference = NAME.parse().unwrap();
    RecordedImage::new(&reference, image.clone(), commit.clone(), tags.to_vec(), platforms.collect())
}

/// A component that was published again and again on several branches: images that come back, indexes that share
/// children, signatures, litter of others, releases, deployments, pods.
fn world(seed: u64) -> World {
    let mut random = Random(seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut world = World { now: NOW, ..World::default() };
    world.policy.keep_per_branch = 1 + random.below(3);
    world.policy.keep_deploys = 1 + random.below(2);
    world.policy.short_lived = vec!["feat-*".to_owned()];
    world.moving.insert(tag("latest"));
    let (mut images, mut releases) = (Contents::default(), Contents::default());
    let mut lines: BTreeMap<&str, Digest> = BTreeMap::new();
    let mut deployments = 0;
    for number in 0..5 + random.below(30) {
        let created = NOW - random.below(120) as i64 * DAY;
        let children = [digest(&format!("amd64 {}", random.below(8))), digest(&format!("arm64 {}", random.below(8)))];
        let is_index = random.percent(50);
        let kind = if random.percent(90) { Kind::Component } else { Kind::Other };
        let image = digest(&format!("image {} {is_index} {kind:?}", random.below(12)));
        if !images.manifests.contains_key(&image) {
            let mut made = known(kind, created);
            if is_index {
                made.children = children.to_vec();
                for child in children {
                    images.manifests.entry(child).or_insert_with(|| known(Kind::Component, created));
                }
            }
            images.manifests.insert(image.clone(), made);
            let inputs = tag(&format!("inputs-{}", &image.hex()[..16]));
            if random.percent(5) {
                world.named.text(&format!("image: {NAME}:{inputs}\n"), "a manifest");
            }
            images.tags.insert(inputs, image.clone());
        }
        // A publication that was cut off left no more.
        if random.percent(10) {
            continue;
        }
        if random.percent(30) {
            let list = digest(&format!("list of {image}"));
            let signature = digest(&format!("signature of {image}"));
            images.manifests.insert(list.clone(), Known { children: vec![signature.clone()], ..known(Kind::Other, 0) });
            let subject = Some(image.clone());
            images.manifests.insert(signature, Known { subject, ..known(Kind::Other, 0) });
            images.tags.insert(tag(&format!("sha256-{}", image.hex())), list);
        }
        let branch = ["main", "feat-x", "release-1"][random.below(3)];
        let mut tags = vec![tag(&format!("sha-{number:07}")), tag(branch)];
        if random.percent(10) {
            tags.push(tag(&format!("v1.{number}.0")));
        }
        tags.iter().for_each(|tag| drop(images.tags.insert(tag.clone(), image.clone())));
        let children = images.manifests[&image].children.clone();
        let component =
            ReleasedComponent { version: "1.0.0".to_owned(), image: recorded(&image, &tags[0], &tags, &children) };
        let release = Release {
            commit: format!("{number:040}"),
            reference: Some(format!("refs/heads/{branch}")),
            tags: tags.clone(),
            previous: lines.get(branch).cloned(),
            components: BTreeMap::from([("a".to_owned(), component)]),
        };
        let name = digest(&String::from_utf8(release.to_bytes()).unwrap());
        if random.percent(70) {
            world.commits.insert(release.commit.clone(), created);
        }
        releases.manifests.insert(name.clone(), known(Kind::Release(Box::new(release)), 0));
        // Of a commit that was published again, the tag is the later release's.
        let moved = usize::from(random.percent(40));
        tags.into_iter().skip(moved).for_each(|tag| drop(releases.tags.insert(tag, name.clone())));
        if random.percent(20) {
            deployments += 1;
            releases.tags.insert(tag(&format!("deployed-prod-{deployments}")), name.clone());
            releases.tags.insert(tag("deployed-prod"), name.clone());
        }
        lines.insert(branch, name);
        if random.percent(15) {
            world.named.text(&format!("docker-pullable://{NAME}@{image}"), "a pod");
        }
        if random.percent(5) {
            world.named.text(&format!("image: {NAME}:sha-{number:07}\n"), "a manifest");
        }
    }
    images.tags.insert(tag("prune-throwaway-1"), digest("throwaway"));
    images.manifests.insert(digest("throwaway"), known(Kind::Throwaway, NOW));
    images.tags.insert(tag(&format!("sha256-{}.sig", digest("gone").hex())), digest("orphan"));
    images.manifests.insert(digest("orphan"), known(Kind::Other, NOW));
    world.releases = ("r.io/shop-releases".to_owned(), releases);
    world.repositories.insert(NAME.to_owned(), images);
    world
}

/// What a registry makes of the plan.
fn apply(world: &mut World, plans: &[RepositoryPlan]) {
    for plan in plans {
        let contents = match world.repositories.get_mut(&plan.repository) {
            Some(contents) => contents,
            None => &mut world.releases.1,
        };
        for one in &plan.deleted {
            contents.manifests.remove(&one.digest).unwrap();
            contents.tags.retain(|_, digest| *digest != one.digest);
        }
        plan.untagged.iter().for_each(|one| drop(contents.tags.remove(&one.tag).unwrap()));
    }
}

#[test]
fn whatever_is_named_stays_whole_and_what_is_left_is_no_more_than_that() {
    let (mut deleted, mut untagged, mut kept) = (0, 0, 0);
    for seed in 0..100 {
        let before = world(seed);
        let plans = plan(&before);
        deleted += plans[1].deleted.len();
        untagged += plans[1].untagged.len();
        let mut after = world(seed);
        apply(&mut after, &plans);
        let (old, images) = (&before.repositories[NAME], &after.repositories[NAME]);
        let has = |digest: &Digest| images.manifests.contains_key(digest) || !old.manifests.contains_key(digest);
        // All that stays is whole, and has its signatures.
        for (digest, known) in &images.manifests {
            assert!(known.children.iter().all(has), "seed {seed}: {digest} lost a child");
            let signed = tag(&format!("sha256-{}", digest.hex()));
            assert_eq!(old.tags.get(&signed), images.tags.get(&signed), "seed {seed}: {digest}");
        }
        assert!(images.tags.values().all(|digest| images.manifests.contains_key(digest)), "seed {seed}");
        // What pods and manifests name.
        assert!(before.named.digests.keys().all(has), "seed {seed}");
        for (name, digest) in &old.tags {
            let is_young = || before.created(NAME, digest).is_some_and(|time| before.policy.is_young(Some(time), NOW));
            let stays =
                before.named.who_by_tag(NAME, name).is_some() || name.as_str().starts_with("inputs-") && is_young();
            assert!(!stays || images.tags.get(name) == Some(digest), "seed {seed}: {name}");
        }
        // What releases that stay name, tags and all.
        let mut wanted: BTreeSet<Digest> = before.named.digests.keys().cloned().collect();
        for known in after.releases.1.manifests.values() {
            let Kind::Release(release) = &known.kind else { panic!("seed {seed}") };
            let image = &release.components["a"].image;
            assert!(has(&image.digest) && image.platforms.values().all(|one| has(&one.digest)), "seed {seed}");
            wanted.extend([image.digest.clone()]);
            let commit = image.git_sha_tag.tag.as_ref().unwrap();
            assert!(images.tags.contains_key(commit), "seed {seed}: {commit}");
        }
        // Which releases: the newest of living branches, the young, the last deployments.
        let (_, releases) = &after.releases;
        for line in ["main", "release-1", "deployed-prod"].map(tag) {
            assert_eq!(before.releases.1.tags.get(&line), releases.tags.get(&line), "seed {seed}: {line}");
            assert!(line.as_str() == "deployed-prod" || old.tags.get(&line) == images.tags.get(&line), "seed {seed}");
        }
        let is_number = |tag: &Tag| tag.as_str().starts_with("deployed-prod-");
        let count = before.releases.1.tags.keys().filter(|tag| is_number(tag)).count();
        for number in 1..=count {
            let name = tag(&format!("deployed-prod-{number}"));
            let digest = &before.releases.1.tags[&name];
            // What stays for another reason does not lose its last tag.
            let mut others = before.releases.1.tags.iter().filter(|(tag, named)| *named == digest && !is_number(tag));
            let is_last = releases.manifests.contains_key(digest) && others.next().is_none();
            let stays = number + before.policy.keep_deploys > count || is_last;
            assert_eq!(releases.tags.contains_key(&name), stays, "seed {seed}: {name}");
        }
        let is_young = |time: Option<&i64>| time.is_none_or(|time| NOW - time < 30 * DAY);
        for (digest, known) in &before.releases.1.manifests {
            let Kind::Release(release) = &known.kind else { panic!("seed {seed}") };
            let stays = releases.manifests.contains_key(digest);
            assert!(stays || !is_young(before.commits.get(&release.commit)), "seed {seed}: {digest}");
        }
        // Others' images, versions.
        for (name, digest) in &old.tags {
            let is_others = old.manifests[digest].kind == Kind::Other && !name.as_str().starts_with("sha256-");
            let stays = is_others || name.as_str().starts_with("v1.");
            assert!(!stays || images.tags.get(name) == Some(digest), "seed {seed}: {name}");
        }
        // Nothing more than what some tag or name is a reason for.
        let reasons: BTreeSet<&Digest> = wanted.iter().chain(plans[1].kept.iter().map(|one| &one.digest)).collect();
        let is_part = |digest: &Digest| images.manifests.values().any(|known| known.children.contains(digest));
        assert!(images.manifests.keys().all(|digest| reasons.contains(digest) || is_part(digest)), "seed {seed}");
        kept += images.tags.len();
        for gone in ["prune-throwaway-1".to_owned(), format!("sha256-{}.sig", digest("gone").hex())] {
            assert!(!images.tags.contains_key(&tag(&gone)), "seed {seed}");
        }
        let again = plan(&after);
        assert!(
            again.iter().all(|plan| plan.deleted.is_empty() && plan.untagged.is_empty()),
            "seed {seed}: {again:#?}"
        );
    }
    assert!(deleted > 100 && untagged > 100 && kept > 1000, "{deleted} {untagged} {kept}");
}

/// A world of one component whose images have these tags and days, and of releases with theirs.
fn small(images: &[(&str, i64)], released: &[(&str, i64)]) -> World {
    let mut world = World { now: NOW, ..World::default() };
    let (mut contents, mut releases) = (Contents::default(), Contents::default());
    for (name, days) in images {
        contents.manifests.insert(digest(name), known(Kind::Component, NOW - days * DAY));
        contents.tags.insert(tag(name), digest(name));
    }
    for (number, (name, days)) in released.iter().enumerate() {
        let commit = format!("{number:040}");
        world.commits.insert(commit.clone(), NOW - days * DAY);
        let release =
            Release { commit, reference: None, tags: Vec::new(), previous: None, components: BTreeMap::new() };
        releases.manifests.insert(digest(name), known(Kind::Release(Box::new(release)), 0));
        releases.tags.insert(tag(name), digest(name));
    }
    world.releases = ("r.io/shop-releases".to_owned(), releases);
    world.repositories.insert(NAME.to_owned(), contents);
    world
}

/// Tags that go, with their image or alone.
fn gone(world: &World) -> Vec<String> {
    let plans = plan(world);
    let deleted = plans.iter().flat_map(|plan| &plan.deleted).flat_map(|one| one.tags.clone());
    let untagged = plans.iter().flat_map(|plan| &plan.untagged).map(|one| one.tag.clone());
    let mut all: Vec<String> = deleted.chain(untagged).map(|tag| tag.to_string()).collect();
    all.sort();
    all
}

#[test]
fn a_young_release_survives_its_deployment() {
    let mut world = small(&[], &[("deployed-prod-1", 90), ("deployed-prod-2", 1), ("deployed-prod-3", 1)]);
    world.policy.keep_deploys = 1;
    assert_eq!(gone(&world), ["deployed-prod-1"]);
    // With a tag besides, it needs that of the deployment no more.
    world.releases.1.tags.insert(tag("main"), digest("deployed-prod-2"));
    assert_eq!(gone(&world), ["deployed-prod-1", "deployed-prod-2"]);
}

#[test]
fn an_image_with_nothing_but_its_inputs_stays_when_it_is_named_or_young() {
    let mut world = small(&[("inputs-1", 90), ("inputs-2", 90), ("inputs-3", 1)], &[]);
    world.named.text(&format!("image: {NAME}:inputs-2"), "k8s/a.yaml");
    assert_eq!(gone(&world), ["inputs-1"]);
}

#[test]
fn of_build_numbers_the_newest_stay_and_the_highest_always() {
    let mut world = small(&[("7", 90), ("8", 90), ("9", 90)], &[("8", 90), ("9", 90), ("10", 90)]);
    assert_eq!(gone(&world), [""; 0]);
    world.has_build_numbers = true;
    world.policy.keep_deploys = 2;
    let Kind::Release(release) = &mut world.releases.1.manifests.get_mut(&digest("9")).unwrap().kind else { panic!() };
    let image = recorded(&digest("9"), &tag("sha-1"), &[], &[]);
    release.components.insert("a".to_owned(), ReleasedComponent { version: String::new(), image });
    assert_eq!(gone(&world), ["7", "8", "8"]);
    world.policy = KeepPolicy { keep_deploys: 0, keep_tags: Some(Vec::new()), ..KeepPolicy::default() };
    assert_eq!(gone(&world), ["7", "8", "8", "9", "9"]);
}

#[test]
fn a_release_of_a_commit_that_git_does_not_know_may_be_new() {
    let mut world = small(&[], &[("sha-1", 90)]);
    assert_eq!(gone(&world), ["sha-1"]);
    world.commits.clear();
    assert_eq!(gone(&world), [""; 0]);
}

#[test]
fn a_signature_of_what_is_in_another_repository_is_no_orphan() {
    let mut world = small(&[("main", 1)], &[("sha-1", 1)]);
    let signatures = &mut world.releases.1;
    for of in ["main", "gone"] {
        signatures.manifests.insert(digest(&format!("signature of {of}")), known(Kind::Other, 0));
        let name = tag(&format!("sha256-{}.sig", digest(of).hex()));
        signatures.tags.insert(name, digest(&format!("signature of {of}")));
    }
    assert_eq!(gone(&world), [format!("sha256-{}.sig", digest("gone").hex())]);
}

#[test]
fn patterns_versions_and_words() {
    let policy = |tags: Option<&[&str]>| KeepPolicy {
        keep_tags: tags.map(|tags| tags.iter().map(|tag| (*tag).to_owned()).collect()),
        ..KeepPolicy::default()
    };
    for kept in ["v1.2.3", "1.2.3-rc.1", "1.2", "1", "2026.11.0"] {
        assert!(policy(None).keeps(&tag(kept)), "{kept}");
    }
    assert!(!["sha-1234567", "vendored", "main", "1.x"].iter().any(|text| policy(None).keeps(&tag(text))));
    assert!(policy(Some(&["rc-*-ok"])).keeps(&tag("rc-1-ok")) && !policy(Some(&["rc-*-ok"])).keeps(&tag("rc-1-okay")));
    assert!(!policy(Some(&[])).keeps(&tag("v1.2.3")));
    // What tells no time is never old.
    assert!(policy(None).is_young(None, NOW) && !policy(None).is_young(Some(NOW - 30 * DAY), NOW));
    let mut named = Named::default();
    named.text(&format!("image: \"r.io/a:v7@{}\"\nnewTag: blue\n", digest("x")), "k8s/a.yaml");
    assert!(named.digests.contains_key(&digest("x")));
    assert!(["v7", "blue"].iter().all(|word| named.who_by_tag(NAME, &tag(word)).is_some()));
}
