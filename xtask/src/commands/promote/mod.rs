//! `promote`: published images go to another environment, by digest.

mod apply;
mod plan;

use anyhow::{Context, Result, ensure};
use camino::{Utf8Path, Utf8PathBuf};

use self::plan::{Plan, PlannedTag};
use super::chosen_release::instead_of;
use super::environments::{Environment, client_of, environment};
use super::filter::asked_names;
use super::sign::{Made, Signer};
use super::table::{bytes, table};
use super::verify::Verifier;
use super::{Outcome, print};
use crate::cli::PromoteArgs;
use crate::errors::hinted;
use crate::gather::record;
use crate::gather::workspace::Workspace;
use crate::image::promotion::{LOCAL, record_path};
use crate::image::record::DigestRecord;
use crate::registry::Client;
use crate::system::progress::Progress;
use crate::workspace::signing::Requirement;

pub(crate) fn run(manifest: Option<&Utf8Path>, arguments: &PromoteArgs) -> Result<Outcome> {
    let workspace = Workspace::load(manifest, &[])?;
    let (from, to) = (
        environment(&workspace.packages.settings, &arguments.from)?,
        environment(&workspace.packages.settings, &arguments.to)?,
    );
    ensure!(from.name != to.name, "`--from` and `--to` are both `{}`", from.name);
    let (path, record) = source_record(&workspace, &from, arguments)?;
    let images = record::only(record, &path, &asked_names(&arguments.components))?.images;
    ensure!(!images.is_empty(), record::empty(&path));
    for (name, image) in &images {
        let (found, Environment { name: environment, registry, .. }) = (&image.image.registry, &from);
        ensure!(
            found == registry,
            hinted(
                format!("`{name}` in `{path}` is in `{found}`, and environment `{environment}` is `{registry}`"),
                format!("name the record of `{environment}` with `--digests`")
            )
        );
    }
    let source = client_of(&from, &arguments.insecure_registry);
    let record = DigestRecord { images };
    demand(&workspace, &source, &record, arguments)?;
    let images = record.images.into_iter().collect();
    let target_path = workspace.root().join(record_path(&to.name));
    let previous = record::read_if_there(&target_path)?.unwrap_or_default();
    let target = client_of(&to, &arguments.insecure_registry);
    let planner = plan::Planner { workspace: &workspace, source: &source, target: &target, to: &to };
    let plan = planner.plan(images, previous, &arguments.tag, target_path)?;
    if arguments.dry_run {
        print(&shown_plan(&plan))?;
        return Ok(Outcome::Done);
    }
    let signer = arguments.sign.then(|| Signer::new(&workspace)).transpose()?;
    if let Some(signer) = &signer
        && !path.exists()
    {
        // Who may write to the registry could have it say that anything was published.
        for image in &plan.images {
            let is_signed = signer.has_signed(&source, &image.recorded.image, &image.recorded.digest)?;
            let error = || {
                format!(
                    "`{}` is to be signed by the word of the registry alone, and we did not sign it there",
                    image.name
                )
            };
            let hint = "`publish --sign` does, or name a record that you know with `--digests`";
            ensure!(is_signed, hinted(error(), hint));
        }
    }
    let (jobs, progress) = (usize::from(arguments.jobs), Progress::new());
    let record = apply::apply(&plan, &source, &target, jobs, &progress)?;
    if let Some(signer) = signer {
        let promoted = plan.images.iter().filter_map(|image| record.images.get_key_value(&image.name));
        signer.sign_images(
            &target,
            promoted.map(|(name, image)| (name.as_str(), image)).collect(),
            &Made::default(),
            &progress,
        )?;
    }
    record::write(&plan.path, &record)?;
    print(&match arguments.json {
        true => record.to_text(),
        false => shown_result(&plan, &record),
    })?;
    eprintln!("wrote {}", plan.path);
    Ok(Outcome::Done)
}

/// Demands of the images what the arguments and the environment require, before anything is copied.
fn demand(workspace: &Workspace, source: &Client, record: &DigestRecord, arguments: &PromoteArgs) -> Result<()> {
    let environment = workspace.packages.settings.environments.get(&arguments.to);
    let mut required = environment.map(|environment| environment.require.clone()).unwrap_or_default();
    required.extend(arguments.require_signature.then_some(Requirement::Signature));
    required.extend(arguments.require_proof.clone().map(Requirement::Proof));
    if required.is_empty() {
        return Ok(());
    }
    let verifier = Verifier::new(workspace, None, &required)?;
    verifier.demand_of_images(workspace, source, record, &arguments.insecure_registry, &required)
}

/// What it takes to copy all images of a record to an environment.
pub(crate) struct Promotion<'a> {
    plan: Plan,
    source: &'a Client,
    target: &'a Client,
}

/// Asks both registries; nothing is changed.
///
/// # Errors
/// An image that the source lacks, an immutable tag that names another image, registries that cannot be asked.
pub(crate) fn promotion<'a>(
    workspace: &Workspace,
    record: DigestRecord,
    source: &'a Client,
    target: &'a Client,
    to: &Environment,
) -> Result<Promotion<'a>> {
    let planner = plan::Planner { workspace, source, target, to };
    let path = workspace.root().join(record_path(&to.name));
    let plan = planner.plan(record.images.into_iter().collect(), DigestRecord::default(), &[], path)?;
    Ok(Promotion { plan, source, target })
}

impl Promotion<'_> {
    /// What would be copied, a line each.
    pub(crate) fn shown(&self) -> String {
        shown_plan(&self.plan)
    }

    /// Copies, tags, and gives the record of the images there.
    ///
    /// # Errors
    /// Images that could not be copied, and then no tag is set; tags that could not be set.
    pub(crate) fn apply(self, jobs: usize, progress: &Progress) -> Result<DigestRecord> {
        apply::apply(&self.plan, self.source, self.target, jobs, progress)
    }
}

/// The record of the images and where it is from: `--digests`, else that of the environment, else that of the last
/// publication, else that of a release.
fn source_record(
    workspace: &Workspace,
    from: &Environment,
    arguments: &PromoteArgs,
) -> Result<(Utf8PathBuf, DigestRecord)> {
    if let Some(path) = &arguments.digests {
        return Ok((path.clone(), record::read(path)?));
    }
    let candidates = [record_path(&from.name), record_path(LOCAL)].map(|path| workspace.root().join(path));
    match candidates.iter().find(|path| path.exists()) {
        Some(path) => Ok((path.clone(), record::read(path)?)),
        None => {
            let record = instead_of(&candidates[0], workspace, Some(&from.name), &arguments.insecure_registry)
                .with_context(|| format!("there is no record of what `{}` has", from.name))?;
            Ok((candidates[0].clone(), record))
        }
    }
}

/// The plan, a line each.
fn shown_plan(plan: &Plan) -> String {
    let mut text = String::new();
    for image in &plan.images {
        let verb = if image.is_there { "there " } else { "copy  " };
        let (source, target) = (&image.recorded.image, image.target.name());
        text.push_str(&format!("{verb} {}: {source} -> {target}\n", image.name));
        for PlannedTag { tag, now } in &image.tags {
            let state = match now {
                Some(now) if *now == image.recorded.digest => " (has it)".to_owned(),
                Some(now) => format!(" (moves from {now})"),
                None => String::new(),
            };
            text.push_str(&format!("tag    {target}:{}{state}\n", tag.tag));
        }
    }
    for name in plan.carried.keys() {
        text.push_str(&format!("keep   {name}: as recorded\n"));
    }
    text + &format!("write  {}\n", plan.path)
}

fn shown_result(plan: &Plan, record: &DigestRecord) -> String {
    let rows: Vec<_> = plan
        .images
        .iter()
        .filter_map(|image| record.images.get(&image.name).map(|recorded| (image, recorded)))
        .map(|(image, recorded)| {
            let size = recorded.platforms.values().map(|platform| platform.size).sum();
            let size = if recorded.platforms.is_empty() { "-".to_owned() } else { bytes(size) };
            vec![image.name.clone(), recorded.git_sha_tag.to_string(), size, recorded.digest.to_string()]
        })
        .collect();
    table(&["COMPONENT", "IMAGE", "SIZE", "DIGEST"], &rows)
}
