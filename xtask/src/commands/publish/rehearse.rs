//! Publications that push nothing.

use anyhow::Result;

use super::finish::write_service_manifest;
use crate::commands::build;
use crate::commands::build::builder::{Builder, EngineBuilder};
use crate::commands::build::plan::BuildPlan;
use crate::commands::{Outcome, print};
use crate::gather::workspace::Workspace;
use crate::image::service_manifest::{SERVICE_MANIFEST_PATH, ServiceManifest};
use crate::system::progress::Progress;

/// `--rehearse`: the service manifest from the plan alone.
pub(crate) fn from_plan(workspace: &Workspace, manifest: &ServiceManifest, dry_run: bool) -> Result<Outcome> {
    if dry_run {
        print(&format!("write  {SERVICE_MANIFEST_PATH}\n"))?;
        return Ok(Outcome::Done);
    }
    write_service_manifest(workspace, manifest)?;
    eprintln!("rehearsal: nothing was built or pushed\nwrote {}", workspace.root().join(SERVICE_MANIFEST_PATH));
    Ok(Outcome::Done)
}

/// Builds all, pushes nothing, asks no registry.
pub(crate) fn build_only(
    build: BuildPlan<'_>,
    why: &str,
    manifest: &ServiceManifest,
    dry_run: bool,
    progress: &Progress,
) -> Result<Outcome> {
    progress.say(why);
    if dry_run {
        print(&(build::report::dry_run(&build)? + &format!("write  {SERVICE_MANIFEST_PATH}\n")))?;
        return Ok(Outcome::Done);
    }
    let workspace = build.workspace;
    let outcome = match &build.builder {
        Builder::Engine(builder) if builder.engine.is_silent => call_silent_engine(&build, builder, progress)?,
        _ => {
            let (_layout, results) = build::apply::apply(&build, progress)?;
            build::summary::add(&build, &results, progress)?;
            build::report::report(&build, &results, false)?
        }
    };
    if matches!(outcome, Outcome::Done) {
        write_service_manifest(workspace, manifest)?;
        eprintln!("wrote {}", workspace.root().join(SERVICE_MANIFEST_PATH));
    }
    Ok(outcome)
}

/// A stub in the engine's place gets each call that an engine would get, and is believed when it exits 0.
fn call_silent_engine(build: &BuildPlan<'_>, builder: &EngineBuilder, progress: &Progress) -> Result<Outcome> {
    let folder = build.workspace.output().join("tmp/rehearsal");
    for image in &build.images {
        for planned in &image.platforms {
            let engine_build = builder.build(build.workspace, image.component, &planned.platform);
            engine_build.rehearse(&builder.engine, build.workspace.root(), &folder.join(&image.component.name))?;
        }
    }
    progress.say(&format!(
        "rehearsal: `{}` exits 0 and prints nothing, so it is taken for a stub; nothing was built",
        builder.engine.program
    ));
    Ok(Outcome::Done)
}
