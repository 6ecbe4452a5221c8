//! Which release is meant: by name, or by what is checked out.

use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow, ensure};
use camino::Utf8Path;

use super::environments::{client_of, environment, own_client};
use crate::errors::hinted;
use crate::gather::ci::CiState;
use crate::gather::record;
use crate::gather::repositories::repository;
use crate::gather::workspace::Workspace;
use crate::image::build_number::{number, number_tag};
use crate::image::deployment::{Deployment, before};
use crate::image::promotion::LOCAL;
use crate::image::record::DigestRecord;
use crate::image::reference::{Digest, ImageReference, Registry, Tag};
use crate::image::release::{RELEASES, Release, deployed_tag};
use crate::image::tags::{GitReference, branch_tag, commit_tag};
use crate::registry::{Client, Releases, StoredRelease};
use crate::system::git::Git;
use crate::system::parallel;

/// More build numbers are not looked at.
const NUMBERS: usize = 200;

/// More of a history is not looked at.
pub(crate) const HISTORY: usize = 200;

/// The releases in the workspace's registry, or in `registry`.
///
/// # Errors
/// The settings give their repository no valid name, or that of a component.
pub(crate) fn releases<'a>(
    workspace: &Workspace,
    client: &'a Client,
    registry: Option<&Registry>,
) -> Result<Releases<'a>> {
    releases_in(workspace, client, repository(workspace, RELEASES, registry)?)
}

/// As [`releases`], in this repository.
///
/// # Errors
/// A component has it.
pub(crate) fn releases_in<'a>(
    workspace: &Workspace,
    client: &'a Client,
    repository: ImageReference,
) -> Result<Releases<'a>> {
    ensure!(
        !workspace.component_names().contains(&RELEASES),
        hinted(
            format!("component `{RELEASES}` has the repository that releases are kept in"),
            "name its binary otherwise, or list it in `exclude`"
        )
    );
    Ok(Releases { client, repository, cache: workspace.output().join("releases") })
}

/// The release that `name` means: a digest, an environment, a commit or what git makes one of, a tag.
///
/// # Errors
/// It means none; the registry cannot be asked.
pub(crate) fn named(
    workspace: &Workspace,
    releases: &Releases<'_>,
    name: &str,
    insecure: &[Registry],
) -> Result<StoredRelease> {
    named_if_there(workspace, releases, name, insecure)?.map_err(|why| {
        let error = anyhow!("{why}");
        hinted(error, "`cargo xtask releases list` lists those of a branch, `cargo xtask publish` makes one")
    })
}

/// As [`named`]; or why there is no such release.
///
/// # Errors
/// The registry cannot be asked; what it has is damaged.
pub(crate) fn named_if_there(
    workspace: &Workspace,
    releases: &Releases<'_>,
    name: &str,
    insecure: &[Registry],
) -> Result<Result<StoredRelease, String>> {
    let repository = releases.repository.name();
    if let Ok(digest) = name.parse::<Digest>() {
        return Ok(releases.by_digest(&digest)?.ok_or_else(|| format!("`{repository}` has no release `{digest}`")));
    }
    if name == LOCAL || workspace.packages.settings.environments.contains_key(name) {
        return deployed(workspace, name, insecure);
    }
    // A tag may be called HEAD, and nobody means it.
    if name != "HEAD"
        && let Ok(tag) = name.parse::<Tag>()
        && let Some(found) = releases.tagged(&tag)?
    {
        return Ok(Ok(found));
    }
    let Some(commit) = Git::open(workspace.root())?.and_then(|git| git.commit(name).ok()) else {
        let name = name.escape_debug();
        return Ok(Err(format!(
            "`{name}` names no release: it is no environment, no commit here, no digest, and no tag of `{repository}`"
        )));
    };
    let found = of_commit(workspace, releases, &commit)?;
    Ok(found.ok_or_else(|| format!("commit {} has no release in `{repository}`", &commit[..7])))
}

/// What an environment was last proven to run.
fn deployed(workspace: &Workspace, name: &str, insecure: &[Registry]) -> Result<Result<StoredRelease, String>> {
    let place = environment(&workspace.packages.settings, name)?;
    let client = client_of(&place, insecure);
    let releases = releases_in(workspace, &client, place.repository_of(workspace, RELEASES)?)?;
    let found = releases.tagged(&deployed_tag(name)?)?;
    Ok(found.ok_or_else(|| format!("nothing is known to run in `{name}`: nothing was deployed there")))
}

/// What an environment was proven to run, newest first and `count` at most, each with the tag that says so.
///
/// # Errors
/// There is no such environment; its registry cannot be asked.
pub(crate) fn deployments(
    workspace: &Workspace,
    name: &str,
    count: usize,
    insecure: &[Registry],
) -> Result<Vec<(Vec<Tag>, StoredRelease)>> {
    let place = environment(&workspace.packages.settings, name)?;
    let client = client_of(&place, insecure);
    let releases = releases_in(workspace, &client, place.repository_of(workspace, RELEASES)?)?;
    let numbers = if place.build_number { build_numbers(&releases)? } else { BTreeMap::new() };
    let newest = numbered(&releases, name)?.into_iter().rev().take(count);
    let tags = |tag, found: &StoredRelease| {
        let numbers = numbers.get(&found.digest).into_iter().flatten();
        std::iter::once(tag).chain(numbers.map(|number| number_tag(*number))).collect()
    };
    let found = newest.map(|(_, tag)| Ok(releases.tagged(&tag)?.map(|found| (tags(tag, &found), found))));
    Ok(found.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
}

/// What `rollback` of an environment that runs `now` would go back to.
///
/// # Errors
/// As [`deployments`].
pub(crate) fn deployed_before(
    workspace: &Workspace,
    name: &str,
    now: &Digest,
    insecure: &[Registry],
) -> Result<Option<StoredRelease>> {
    let mut all = deployments(workspace, name, HISTORY, insecure)?;
    all.reverse();
    let ran: Vec<_> =
        (1..).zip(&all).map(|(number, (_, one))| Deployment { number, release: one.digest.clone() }).collect();
    let found = before(&ran, now);
    Ok(found.and_then(|digest| all.iter().find(|(_, one)| one.digest == *digest)).map(|(_, one)| one.clone()))
}

/// The numbers of an environment's deployments and their tags, the oldest first.
///
/// # Errors
/// The registry cannot be asked.
pub(crate) fn numbered(releases: &Releases<'_>, environment: &str) -> Result<Vec<(u64, Tag)>> {
    let prefix = format!("{}-", deployed_tag(environment)?);
    let tags = releases.client.tags(&releases.repository)?.into_iter();
    let mut numbered: Vec<_> =
        tags.filter_map(|tag| Some((tag.as_str().strip_prefix(&prefix)?.parse().ok()?, tag))).collect();
    numbered.sort();
    Ok(numbered)
}

/// The build numbers of releases, each one's in order; of the newest ones alone.
///
/// # Errors
/// The registry cannot be asked.
pub(crate) fn build_numbers(releases: &Releases<'_>) -> Result<BTreeMap<Digest, Vec<u64>>> {
    let tags = releases.client.tags(&releases.repository)?;
    let mut all: Vec<u64> = tags.iter().filter_map(|tag| number(tag.as_str())).collect();
    all.sort_unstable();
    let newest = all.into_iter().rev().take(NUMBERS).collect();
    let found = parallel::map(newest, parallel::REQUESTS, |number| {
        Ok(releases.digest(&number_tag(number))?.map(|digest| (digest, number)))
    });
    let mut numbers: BTreeMap<Digest, Vec<u64>> = BTreeMap::new();
    for (digest, number) in found.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten().rev() {
        numbers.entry(digest).or_default().push(number);
    }
    Ok(numbers)
}

/// The highest of `numbers` that all images of a release have, in the registry that holds both: the release gets it
/// first, and who failed then left a number that not all have.
///
/// # Errors
/// The registry cannot be asked.
pub(crate) fn last_whole(client: &Client, release: &Release, numbers: &[u64]) -> Result<Option<u64>> {
    for number in numbers.iter().rev() {
        let images = release.components.values().map(|component| &component.image.image).collect();
        if client.have_tag(images, &number_tag(*number))? {
            return Ok(Some(*number));
        }
    }
    Ok(None)
}

/// The newest release of a commit.
fn of_commit(workspace: &Workspace, releases: &Releases<'_>, commit: &str) -> Result<Option<StoredRelease>> {
    let tag = commit_tag(&workspace.packages.settings.sha_tag, commit, false)?;
    // Two commits may begin alike.
    Ok(releases.tagged(&tag)?.filter(|found| found.release.commit == commit))
}

/// The tag under which a branch's newest release is; for all else, and for a tree that differs from its commit, that of
/// the commit.
pub(crate) fn line_tag(ci: &CiState, commit: &Tag) -> Tag {
    match &ci.reference {
        GitReference::Branch { name, .. } if ci.changed.is_empty() => branch_tag(name),
        _ => commit.clone(),
    }
}

/// Whether a release is of this branch; of all else, any is. Names of two branches may give one tag.
pub(crate) fn is_of(release: &Release, reference: &GitReference) -> bool {
    match reference {
        GitReference::Branch { .. } => release.reference == reference.full_name(),
        _ => true,
    }
}

/// The release of what is checked out, else of its branch, and whose it is; nothing when there is neither.
///
/// # Errors
/// There is no commit; the registry cannot be asked.
pub(crate) fn of_checkout(
    workspace: &Workspace,
    releases: &Releases<'_>,
    ci: &CiState,
) -> Result<Option<(StoredRelease, String)>> {
    if let Some(found) = of_commit(workspace, releases, &ci.commit)? {
        return Ok(Some((found, format!("of commit {}", &ci.commit[..7]))));
    }
    let GitReference::Branch { name, .. } = &ci.reference else { return Ok(None) };
    let found = releases.tagged(&branch_tag(name))?.filter(|found| is_of(&found.release, &ci.reference));
    Ok(found.map(|found| {
        let whose = format!("of branch `{name}`, made at {}; HEAD has none", found.release.short_commit());
        (found, whose)
    }))
}

/// The digest record of a release, since there is no file at `path`: of what is checked out, or of what an environment
/// was proven to run. Says which.
///
/// # Errors
/// There is no such release either, or the registry cannot be asked.
pub(crate) fn instead_of(
    path: &Utf8Path,
    workspace: &Workspace,
    environment: Option<&str>,
    insecure: &[Registry],
) -> Result<DigestRecord> {
    let found = match environment.filter(|name| *name != LOCAL) {
        Some(name) => deployed(workspace, name, insecure)
            .and_then(|found| found.map_err(|why| anyhow!(why)))
            .map(|found| (found, format!("that `{name}` runs"))),
        None => of_own_registry(workspace, None, insecure),
    };
    let (found, whose) = found.map_err(|cause| record::missing(path, Some(cause)))?;
    eprintln!("no digest record here; taken from the release {whose}");
    let number = environment.map(|name| last_number(workspace, name, &found, insecure)).transpose()?.flatten();
    let record = found.release.record();
    Ok(number.map_or_else(|| record.clone(), |number| record.clone().with_number(number)))
}

/// The number with which an environment got a release last, where those are counted.
fn last_number(workspace: &Workspace, name: &str, found: &StoredRelease, insecure: &[Registry]) -> Result<Option<u64>> {
    let place = environment(&workspace.packages.settings, name)?;
    if !place.build_number {
        return Ok(None);
    }
    let client = client_of(&place, insecure);
    let releases = releases_in(workspace, &client, place.repository_of(workspace, RELEASES)?)?;
    let numbers = build_numbers(&releases)?.remove(&found.digest).unwrap_or_default();
    last_whole(&client, &found.release, &numbers)
}

/// The digest record of the release of what is checked out, in `registry` or the workspace's, since there is no file at
/// `path`. Says which.
///
/// # Errors
/// As [`instead_of`].
pub(crate) fn instead_in(
    path: &Utf8Path,
    workspace: &Workspace,
    registry: Option<&Registry>,
    insecure: &[Registry],
) -> Result<DigestRecord> {
    let found = of_own_registry(workspace, registry, insecure);
    let (found, whose) = found.map_err(|cause| record::missing(path, Some(cause)))?;
    eprintln!("no digest record here; taken from the release {whose}");
    Ok(found.release.record())
}

fn of_own_registry(
    workspace: &Workspace,
    registry: Option<&Registry>,
    insecure: &[Registry],
) -> Result<(StoredRelease, String)> {
    let client = own_client(insecure);
    let releases = releases(workspace, &client, registry)?;
    let ci = CiState::gather(workspace.root(), &[])?;
    let name = releases.repository.name();
    of_checkout(workspace, &releases, &ci)?.with_context(|| format!("`{name}` has no release of what is checked out"))
}
