//! `manifests`: pins the images of the workspace's manifests to the digest record.

#[cfg(test)]
mod corpus_tests;
mod deployed;
pub(crate) mod files;
mod init;
mod plan;
mod rendered;
mod report;
mod repositories;

use anyhow::{Result, bail, ensure};
use camino::{Utf8Path, Utf8PathBuf};

use self::files::Manifests;
use self::plan::{PinPlan, plan_texts};
pub(crate) use self::plan::{apply, plan};
pub(crate) use self::rendered::applied_texts;
pub(crate) use self::repositories::{repositories, repositories_of};
use super::Outcome;
use super::chosen_release::instead_of;
use super::environments::named_environment;
use crate::cli::ManifestsArgs;
use crate::gather::record;
use crate::gather::workspace::Workspace;
use crate::image::record::DigestRecord;
use crate::kubernetes::pinning::pin::Images;
use crate::system::environment::variable;

/// Pins, checks or lists.
pub(crate) fn run(manifest: Option<&Utf8Path>, arguments: &ManifestsArgs) -> Result<Outcome> {
    let placeholder = arguments.placeholder || placeholder_variable()?;
    ensure!(!(placeholder && arguments.adopt), "`--adopt` writes digests, and `XTASK_IMAGES` asks for placeholders");
    let (digests, environment) = (arguments.digests.as_deref(), arguments.env.as_deref());
    let (mut workspace, record) =
        Workspace::load_beside(manifest, &[], |root| record::read_named(root, digests, environment))?;
    let mut has_numbers = false;
    if let Some(name) = environment {
        let (settings, place) = named_environment(workspace.packages.settings, name)?;
        (workspace.packages.settings, has_numbers) = (settings, place.build_number);
    }
    // Placeholders need no record, and with one they know more repositories.
    let mut record = record?;
    let manifests = read(&workspace)?;
    if arguments.init {
        return init::run(&workspace, manifests, record.as_ref(), arguments);
    }
    let is_empty = manifests.is_empty();
    if is_empty {
        eprintln!("{}", report::nothing_to_pin(&workspace));
    }
    if record.is_none() && !placeholder && !is_empty {
        let path = record::path_in(workspace.root(), None, environment);
        record = Some(instead_of(&path, &workspace, environment, &[])?);
    }
    let record = if has_numbers { record.map(DigestRecord::by_number) } else { record };
    let images = match &record {
        Some(record) if !placeholder => Images::Recorded(record),
        _ => Images::Placeholder,
    };
    let mut plan = plan_texts(&workspace, manifests, record.as_ref(), images, arguments.adopt)?;
    if !(arguments.check || arguments.dry_run) {
        apply(&plan)?;
    }
    // What is not written cannot be rendered.
    let is_written = !(arguments.check || arguments.dry_run) || plan.changed().next().is_none();
    if let Some(record) = record.as_ref().filter(|_| is_written && !placeholder) {
        plan.look_at_rendered(&workspace, record);
    }
    match arguments.check {
        true => report::check(&plan, placeholder),
        false => report::report(&plan, arguments),
    }
}

/// Pins the manifests to `record`, and demands that applying them brings exactly that; gives the files that changed.
///
/// # Errors
/// There are no manifests; a file cannot be pinned or written; a component that nothing applied names, a
/// kustomization that makes something else of an image.
pub(crate) fn pin(workspace: &Workspace, record: &DigestRecord) -> Result<Vec<Utf8PathBuf>> {
    let mut pins = plan(workspace, record)?;
    ensure!(!pins.files.is_empty(), "{}", report::nothing_to_pin(workspace));
    apply(&pins)?;
    let changed = pins.changed_paths().into_iter().map(Utf8Path::to_owned).collect();
    pins.look_at_rendered(workspace, record);
    pins.tell_notes();
    let wrong: Vec<String> = report::undeployed(&pins).into_iter().chain(pins.wrong).collect();
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(changed)
}

/// Says after a publication what of it no manifest will bring to a cluster.
pub(crate) fn warn(workspace: &Workspace, plan: &mut PinPlan, record: &DigestRecord) {
    if plan.files.is_empty() {
        return eprintln!("{}", report::nothing_to_pin(workspace));
    }
    plan.look_at_rendered(workspace, record);
    plan.tell_notes();
    for line in &plan.wrong {
        eprintln!("warning: {line}");
    }
    if let Some(text) = report::undeployed(plan) {
        eprintln!("warning: {text}");
    }
}

/// The workspace's manifests.
///
/// # Errors
/// A configured file or folder that is missing.
pub(crate) fn read(workspace: &Workspace) -> Result<Manifests> {
    files::read(workspace.root(), &workspace.packages.settings)
}

/// Whether `XTASK_IMAGES` asks for placeholders.
///
/// # Errors
/// It has another value.
pub(crate) fn placeholder_variable() -> Result<bool> {
    match variable("XTASK_IMAGES").as_deref() {
        None => Ok(false),
        Some("placeholder") => Ok(true),
        Some(other) => bail!("`XTASK_IMAGES={}` is unknown; only `placeholder` means something", other.escape_debug()),
    }
}
