//! Deletes what the plan says, as long as the registry still is as the plan has it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};

use super::gather::Scene;
use crate::errors::{all, hinted};
use crate::image::prune::{Contents, Deleted, Kind, RepositoryPlan};
use crate::image::reference::{Digest, ImageReference, Tag};
use crate::registry::Client;
use crate::system::interrupt;
use crate::system::parallel;
use crate::system::progress::Progress;

/// Manifests that are deleted between two looks at the tags.
const BATCH: usize = 4 * parallel::REQUESTS;

/// Deletes. The releases go first: none is ever left that names what is gone.
///
/// # Errors
/// The registry forbids it, before anything is changed; it cannot be asked; somebody published what was deleted.
pub(super) fn apply(scene: &Scene, plans: &[RepositoryPlan], progress: &Progress) -> Result<()> {
    let client = &scene.client;
    let repository_of = |plan: &RepositoryPlan| scene.repositories.iter().find(|one| one.name() == plan.repository);
    let work: Vec<(&ImageReference, &RepositoryPlan)> = plans
        .iter()
        .filter(|plan| !plan.deleted.is_empty() || !plan.untagged.is_empty())
        .filter_map(|plan| Some((repository_of(plan)?, plan)))
        .collect();
    for (repository, _) in &work {
        client.check_deletes(repository)?;
    }
    interrupt::note("what was deleted is gone; `cargo xtask prune` goes on with the rest".to_owned());
    for (repository, plan) in &work {
        let mut left = untag(client, repository, plan)?;
        let (deleted, stayed) = delete(client, repository, plan, scene.contents(&plan.repository))?;
        left.extend(stayed);
        let name = repository.name();
        progress.say(&format!("{name}: {deleted} manifests and {} tags deleted", plan.untagged.len()));
        for why in left {
            progress.say(&format!("{name}: left {why}: somebody published or deployed meanwhile"));
        }
    }
    interrupt::forget_notes();
    check_published(scene, plans)
}

/// Tags that go while their image stays; gives those that moved.
fn untag(client: &Client, repository: &ImageReference, plan: &RepositoryPlan) -> Result<Vec<String>> {
    if plan.untagged.is_empty() {
        return Ok(Vec::new());
    }
    let run = format!("{} {:?}", std::process::id(), std::time::SystemTime::now());
    let how = client.tag_deletion(repository, &run)?;
    let tags = plan.untagged.iter().map(|one| (&one.tag, &one.digest));
    let left = client.delete_tags(repository, tags, &how)?;
    Ok(left.into_iter().map(|tag| format!("`{tag}`")).collect())
}

/// Deletes manifests; says how many, and which stayed since a tag was set or moved.
fn delete(
    client: &Client,
    repository: &ImageReference,
    plan: &RepositoryPlan,
    contents: &Contents,
) -> Result<(usize, Vec<String>)> {
    let doomed = plan.deleted.iter().flat_map(|one| one.tags.iter().map(|tag| (tag, &one.digest)));
    let stay = plan.kept.iter().chain(&plan.untagged).map(|one| (&one.tag, &one.digest));
    let known: BTreeMap<&Tag, &Digest> = stay.chain(doomed).collect();
    let children =
        |digest: &Digest| contents.manifests.get(digest).map(|known| known.children.clone()).unwrap_or_default();
    let parts: BTreeSet<Digest> = plan.deleted.iter().flat_map(|one| children(&one.digest)).collect();
    let mut spared: BTreeSet<Digest> = BTreeSet::new();
    let (mut count, mut left) = (0, Vec::new());
    // What an index leads to after all indexes: one that stays keeps its parts.
    let (last, first): (Vec<&Deleted>, Vec<&Deleted>) =
        plan.deleted.iter().partition(|one| parts.contains(&one.digest));
    for batch in first.chunks(BATCH).chain(last.chunks(BATCH)) {
        spared.extend(published(client, repository, &known)?);
        let results = parallel::map(batch.to_vec(), parallel::REQUESTS, |one| {
            let stays = spared.contains(&one.digest) || !still_names(client, repository, one)?;
            if !stays {
                client.delete(&repository.with_digest(one.digest.clone()))?;
            }
            anyhow::Ok((one, stays))
        });
        for (one, stays) in all(results)? {
            match stays {
                true => {
                    spared.extend(children(&one.digest));
                    left.push(one.digest.to_string());
                }
                false => count += 1,
            }
        }
    }
    Ok((count, left))
}

/// All that tags lead to which named something else, or were not there: whoever publishes sets that of the commit first,
/// whoever deploys moves those of the environment.
fn published(
    client: &Client,
    repository: &ImageReference,
    known: &BTreeMap<&Tag, &Digest>,
) -> Result<BTreeSet<Digest>> {
    let now = client.named_by(repository, client.tags(repository)?)?.into_iter();
    let moved = now.filter(|(tag, digest)| known.get(tag) != Some(&digest)).map(|(_, digest)| digest);
    let mut contents = Contents::default();
    client.look_at(repository, moved.collect(), &mut contents)?;
    Ok(contents.manifests.into_keys().collect())
}

/// Whether all tags of a manifest name it as they did, or nothing.
fn still_names(client: &Client, repository: &ImageReference, one: &Deleted) -> Result<bool> {
    let named: BTreeMap<Tag, Digest> = client.named_by(repository, one.tags.clone())?;
    Ok(named.values().all(|digest| *digest == one.digest))
}

/// Demands that no release that was written meanwhile names what was deleted.
fn check_published(scene: &Scene, plans: &[RepositoryPlan]) -> Result<()> {
    let Some(repository) = scene.repositories.first() else { return Ok(()) };
    let gone: BTreeSet<&Digest> = plans.iter().flat_map(|plan| &plan.deleted).map(|one| &one.digest).collect();
    let mut now = scene.world.releases.1.clone();
    // What is here again is new.
    now.manifests.retain(|digest, _| !gone.contains(digest));
    let before: BTreeSet<Digest> = now.manifests.keys().cloned().collect();
    let tags = scene.client.named_by(repository, scene.client.tags(repository)?)?;
    scene.client.look_at(repository, tags.into_values().collect(), &mut now)?;
    for (digest, known) in now.manifests.iter().filter(|(digest, _)| !before.contains(*digest)) {
        let Kind::Release(release) = &known.kind else { continue };
        if let Some(lost) = release.components.values().find(|component| gone.contains(&component.image.digest)) {
            let error = format!(
                "release {digest} was published while this ran, and names `{}`, which was deleted",
                lost.image.image
            );
            bail!(hinted(error, "publish it again: what is missing is built anew"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::image::prune::Kept;
    use crate::registry::Credentials;
    use crate::registry::test_server::{Answer, Server};

    /// A repository of small manifests: tags, and what they name.
    fn serve(tags: &Arc<Mutex<BTreeMap<String, &'static str>>>) -> Server {
        let tags = Arc::clone(tags);
        Server::start(move |seen| {
            let mut tags = tags.lock().unwrap();
            let end = seen.path.rsplit('/').next().unwrap();
            if seen.path.contains("/tags/list") {
                let names: Vec<&String> = tags.keys().collect();
                return Answer::new(200, serde_json::json!({ "tags": names }).to_string());
            }
            let named = tags.iter().find(|(tag, text)| *tag == end || Digest::of(text.as_bytes()).as_str() == end);
            let Some(text) = named.map(|(_, text)| *text) else { return Answer::new(404, "") };
            if seen.method == "DELETE" {
                tags.retain(|_, other| *other != text);
                return Answer::new(202, "");
            }
            let digest = Digest::of(text.as_bytes()).to_string();
            let kind = "application/vnd.oci.image.manifest.v1+json";
            Answer::new(200, text).header("Content-Type", kind).header("Docker-Content-Digest", digest)
        })
    }

    #[test]
    fn what_a_tag_was_moved_to_meanwhile_is_left() {
        let (old, older, new) = ("{\"of\": 1}", "{\"of\": 2}", "{\"of\": 3}");
        let digest = |text: &str| Digest::of(text.as_bytes());
        let tag = |text: &str| text.parse::<Tag>().unwrap();
        let doomed =
            |name: &str, text: &str| Deleted { digest: digest(text), tags: vec![tag(name)], size: 1, created: None };
        let kept = Kept { tag: tag("deploying-prod"), digest: digest(new), why: String::new() };
        let plan = RepositoryPlan {
            deleted: vec![doomed("sha-1", old), doomed("sha-2", older)],
            kept: vec![kept],
            ..RepositoryPlan::default()
        };
        // Somebody goes back to what the plan deletes.
        let tags = BTreeMap::from([("sha-1", old), ("sha-2", older), ("deploying-prod", old)]);
        let tags = Arc::new(Mutex::new(tags.into_iter().map(|(tag, text)| (tag.to_owned(), text)).collect()));
        let server = serve(&tags);
        let repository: ImageReference = format!("{}/shop/releases", server.host).parse().unwrap();
        let client = Client::new(Credentials::none());
        let (deleted, left) = delete(&client, &repository, &plan, &Contents::default()).unwrap();
        assert_eq!((deleted, left), (1, vec![digest(old).to_string()]));
        assert_eq!(tags.lock().unwrap().keys().collect::<Vec<_>>(), ["deploying-prod", "sha-1"]);
    }
}
