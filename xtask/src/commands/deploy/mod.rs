//! `deploy` and `rollback`: an environment gets a release, is proven to run it, and is marked so.

mod copy;
mod destination;
mod numbers;
mod proof;

use std::sync::Arc;

use anyhow::{Context, Error, Result, bail, ensure};
use camino::Utf8Path;

use self::destination::{Destination, SmokeFailed};
use super::chosen_release::{named, of_checkout, releases};
use super::environments::{self, client_of, environment, own_client};
use super::sign::Signer;
use super::verify::{Place, Verifier};
use super::{Outcome, print};
use crate::cli::{DeployArgs, DeployOptions, RollbackArgs};
use crate::errors::{hinted, hinted_cause, shown};
use crate::gather::ci::CiState;
use crate::image::deployment::before;
use crate::image::reference::Digest;
use crate::image::release::{RELEASES, deploying_tag};
use crate::registry::{Client, StoredRelease};
use crate::system::git::Git;
use crate::system::interrupt;
use crate::system::progress::Progress;
use crate::workspace::signing::Requirement;

/// Deploys a release.
pub(crate) fn run(manifest: Option<&Utf8Path>, arguments: &DeployArgs) -> Result<Outcome> {
    let options = &arguments.options;
    let target = Destination::load(manifest, &arguments.environment, options)?;
    ensure!(
        !arguments.attest || target.own_context.is_none() || target.own_context == target.environment.context,
        hinted(
            format!("what runs in another context than `{}`'s proves nothing of it", arguments.environment),
            "leave out `--attest`, or `--context`"
        )
    );
    let progress = Progress::new();
    let source = Arc::new(source_client(&target, arguments.release.as_deref(), options)?);
    let chosen = chosen(&target, arguments.release.as_deref(), &source, options)?;
    progress.say(&format!("{}: {}", arguments.environment, described(&chosen)));
    note_other_commit(&target, &chosen, &progress)?;
    demand(&target, &chosen, &source, arguments)?;
    let signer = arguments.sign.then(|| Signer::new(&target.workspace)).transpose()?;
    if options.dry_run {
        let there = copy::as_there(&target, &chosen)?;
        let text = copy::plan(&target, &chosen, &source)? + &target.plan(&target.numbered_next(&there)?)?;
        print(&text)?;
        return Ok(Outcome::Done);
    }
    let held = target.lock()?;
    let marked = target.releases()?.digest(&target.marker)?;
    let brought = copy::bring(&target, &chosen, &source, &progress)?;
    let numbered = target.claim(brought, &progress)?;
    let failed = match target.prove(&numbered, &held) {
        Ok(report) => {
            target.mark(&numbered, marked.as_ref(), &held, &progress)?;
            if arguments.attest {
                let attached = proof::attach(&target, &numbered.found, &report, signer.as_ref(), &progress);
                attached.context("the release runs and is marked, but its proof is not attached")?;
            }
            return Ok(Outcome::Done);
        }
        Err(error) => error,
    };
    // It takes the place of an earlier result, which must not go on speaking for the release.
    if let Some(SmokeFailed(report)) = failed.downcast_ref::<SmokeFailed>().filter(|_| arguments.attest)
        && let Err(error) = proof::attach(&target, &numbered.found, report, signer.as_ref(), &progress)
    {
        progress.warn(&error.context("that it failed is not attached"));
    }
    let environment = &target.environment.name;
    let marked = marked.filter(|marked| *marked != numbered.found.digest);
    let marked = marked.map(|digest| target.releases()?.by_digest(&digest)).transpose()?.flatten();
    let Some(marked) = marked else {
        return Err(failed.context(format!("`{environment}` is not proven to run the release")));
    };
    if !arguments.rollback_on_failure {
        return Err(hinted_cause(
            failed,
            format!("`{environment}` is not proven to run the release, and stays marked with {}", described(&marked)),
            format!("go back with `cargo xtask rollback {environment} --to {}`", marked.digest),
        ));
    }
    eprint!("{}", shown(&failed));
    progress.say(&format!("{environment}: going back to {}", described(&marked)));
    note_other_commit(&target, &marked, &progress)?;
    demand_signed(&target, &marked, options)?;
    target
        .prove(&target.numbered_before(&marked)?, &held)
        .with_context(|| format!("`{environment}` is not proven to be back"))?;
    bail!("the release was not proven in `{environment}`, which runs again what it ran before")
}

/// Deploys what an environment was proven to run before.
pub(crate) fn rollback(manifest: Option<&Utf8Path>, arguments: &RollbackArgs) -> Result<Outcome> {
    let options = &arguments.options;
    let environment = &arguments.environment;
    let target = Destination::load(manifest, environment, options)?;
    let progress = Progress::new();
    // What is marked must not change while it is decided where to go.
    let held = if options.dry_run { None } else { Some(target.lock()?) };
    let releases = target.releases()?;
    let marked =
        releases.tagged(&target.marker)?.with_context(|| format!("nothing was deployed in `{environment}`"))?;
    let history = target.history()?;
    let digest: Digest = match &arguments.to {
        Some(name) => {
            let digest = named(&target.workspace, &releases, name, &options.insecure_registry)?.digest;
            let is_proven = history.iter().any(|one| one.release == digest) || digest == marked.digest;
            ensure!(
                is_proven,
                hinted(
                    format!("`{environment}` was never proven to run {digest}"),
                    format!("`cargo xtask deploy {environment} --release {name}` deploys it")
                )
            );
            digest
        }
        // What was tried last was not proven: the one before it is the marked one.
        None if releases.digest(&deploying_tag(environment)?)?.is_some_and(|tried| tried != marked.digest) => {
            marked.digest.clone()
        }
        None => before(&history, &marked.digest).cloned().ok_or_else(|| {
            let error = format!("`{environment}` is not known to have run anything before {}", marked.digest);
            hinted(error, format!("`cargo xtask releases list --env {environment}` lists what it ran"))
        })?,
    };
    let gone = || format!("the release {digest} is gone from `{}`", releases.repository.name());
    let wanted = releases.by_digest(&digest)?.with_context(gone)?;
    progress.say(&format!("{environment}: from {} back to {}", described(&marked), described(&wanted)));
    note_other_commit(&target, &wanted, &progress)?;
    demand_signed(&target, &wanted, options)?;
    let wanted = target.numbered_before(&wanted)?;
    let Some(held) = held else {
        print(&target.plan(&wanted)?)?;
        return Ok(Outcome::Done);
    };
    target.prove(&wanted, &held).map_err(|error| not_back(error, environment, &marked))?;
    target.mark(&wanted, Some(&marked.digest), &held, &progress)?;
    Ok(Outcome::Done)
}

fn not_back(cause: Error, environment: &str, marked: &StoredRelease) -> Error {
    cause.context(format!("`{environment}` is not proven to be back, and stays marked with {}", described(marked)))
}

/// The release that is asked for, else that of what is checked out.
fn chosen(target: &Destination, name: Option<&str>, source: &Client, options: &DeployOptions) -> Result<StoredRelease> {
    let releases = releases(&target.workspace, source, None)?;
    if let Some(name) = name {
        return named(&target.workspace, &releases, name, &options.insecure_registry);
    }
    let ci = CiState::gather(target.workspace.root(), &[]).context("which release? name one with `--release`")?;
    let (found, whose) = of_checkout(&target.workspace, &releases, &ci)?.ok_or_else(|| {
        let error = format!("`{}` has no release of what is checked out", releases.repository.name());
        hinted(error, "`cargo xtask publish` makes one; `--release` names another")
    })?;
    eprintln!("the release {whose}");
    Ok(found)
}

/// Demands of the release what the arguments and the environment require, before anything is changed.
fn demand(target: &Destination, chosen: &StoredRelease, source: &Arc<Client>, arguments: &DeployArgs) -> Result<()> {
    let settings = &target.workspace.packages.settings;
    let environment = settings.environments.get(&arguments.environment);
    let mut required = environment.map(|environment| environment.require.clone()).unwrap_or_default();
    required.extend(arguments.require_signature.then_some(Requirement::Signature));
    required.extend(arguments.require_proof.clone().map(Requirement::Proof));
    required.extend(arguments.require_rebuilds.map(|count| Requirement::Rebuilds(count.into())));
    if required.is_empty() {
        return Ok(());
    }
    let name = arguments.release.as_deref().filter(|name| settings.environments.contains_key(*name));
    let repository = match name {
        Some(name) => environments::environment(settings, name)?.repository_of(&target.workspace, RELEASES)?,
        None => releases(&target.workspace, source, None)?.repository,
    };
    let insecure = arguments.options.insecure_registry.clone();
    let place = Place { client: Arc::clone(source), repository, release: chosen.clone(), insecure };
    Verifier::new(&target.workspace, None, &required)?.demand(&target.workspace, &place, &required)
}

/// Demands the signatures of what is gone back to, where the environment requires them: a tag alone says that it was
/// proven there. Proofs of other environments were asked for when it came.
fn demand_signed(target: &Destination, wanted: &StoredRelease, options: &DeployOptions) -> Result<()> {
    let settings = &target.workspace.packages.settings;
    let required = settings.environments.get(&target.environment.name).map(|environment| &environment.require);
    if !required.is_some_and(|required| required.contains(&Requirement::Signature)) {
        return Ok(());
    }
    let client = Arc::new(client_of(&target.environment, &options.insecure_registry));
    let (repository, insecure) = (target.releases()?.repository, options.insecure_registry.clone());
    let place = Place { client, repository, release: wanted.clone(), insecure };
    let required = [Requirement::Signature];
    Verifier::new(&target.workspace, None, &required)?.demand(&target.workspace, &place, &required)
}

/// Reads where releases and images come from: as who may in an environment that is named.
fn source_client(target: &Destination, name: Option<&str>, options: &DeployOptions) -> Result<Client> {
    let settings = &target.workspace.packages.settings;
    match name.filter(|name| settings.environments.contains_key(*name)) {
        Some(name) => Ok(client_of(&environment(settings, name)?, &options.insecure_registry)),
        None => Ok(own_client(&options.insecure_registry)),
    }
}

/// The manifests are those of the work tree, whatever release they are pinned to.
fn note_other_commit(target: &Destination, found: &StoredRelease, progress: &Progress) -> Result<()> {
    let head = Git::open(target.workspace.root())?.and_then(|git| git.head).map(|head| head.hash);
    if let Some(head) = head.filter(|head| *head != found.release.commit) {
        let (head, commit) = (&head[..7], found.release.short_commit());
        progress.say(&format!("note: the manifests are those of {head}, and the release is of commit {commit}"));
    }
    Ok(())
}

fn described(found: &StoredRelease) -> String {
    let tags: Vec<&str> = found.release.tags.iter().map(|tag| tag.as_str()).collect();
    format!("{} ({})", found.digest, tags.join(", "))
}

/// What an interrupt says while nobody knows which release runs.
fn note_unproven(environment: &str) {
    interrupt::note(format!(
        "`{environment}` may run the new release, the old one, or both; deploy again, or `cargo xtask rollback {environment}`"
    ));
}
