//! Makes the executables, by cargo here or by an engine.

use std::collections::BTreeMap;

use anyhow::{Context, Error, Result};
use camino::{Utf8Path, Utf8PathBuf};

use super::builder::{Builder, EngineBuilder};
use super::plan::{BuildPlan, PlannedImage, PlannedPlatform};
use crate::compile::engine::progress_of;
use crate::compile::executable::scan;
use crate::compile::explain::explain;
use crate::compile::native::{Compiled, NativeBuild};
use crate::compile::observe::{undeclared, unseen_variables};
use crate::compile::shared_code::SharedCode;
use crate::errors::{hinted, joined, line};
use crate::gather::workspace::Workspace;
use crate::image::platform::Platform;
use crate::stage::Stage;
use crate::system::files::{TemporaryFolder, write_atomically};
use crate::system::parallel;
use crate::system::progress::Progress;
use crate::workspace::components::Component;

/// A program that was compiled.
pub(super) struct Executable<'p> {
    pub(super) path: Utf8PathBuf,
    /// Paths that should not be in it.
    pub(super) private_paths: &'p [String],
}

/// The planned images, each with the executables of its platforms, or why there is none.
type Executables<'p, 'a> = Vec<(&'p PlannedImage<'a>, Vec<Result<Executable<'p>>>)>;

/// Compiles for all images. A component's failure does not stop the others.
pub(super) fn compile<'p, 'a>(
    plan: &'p BuildPlan<'a>,
    stage: &Stage,
    progress: &Progress,
) -> Result<Executables<'p, 'a>> {
    match &plan.builder {
        Builder::Native(builds) => compile_natively(plan, builds, stage, progress),
        Builder::Engine(builder) => compile_in_engine(plan, builder, stage, progress),
    }
}

fn compile_natively<'p, 'a>(
    plan: &'p BuildPlan<'a>,
    builds: &'p [(Platform, NativeBuild)],
    stage: &Stage,
    progress: &Progress,
) -> Result<Executables<'p, 'a>> {
    let components: Vec<&Component> = plan.images.iter().map(|image| image.component).collect();
    let names: Vec<&str> = components.iter().map(|component| component.name.as_str()).collect();
    let mut executables: Executables<'_, '_> = plan.images.iter().map(|image| (image, Vec::new())).collect();
    for (platform, build) in builds {
        progress.say(&format!("cargo: compiling {} for {platform}", names.join(", ")));
        let mut compiled = compile_for_platform(plan.workspace, build, stage, &components, progress)?;
        for name in unseen_variables(plan.workspace, &components, &compiled) {
            let setting = format!("`pass-env = [\"{name}\"]`");
            progress.warn(&hinted(
                format!("a build asks for the variable `{name}`, which is set here and not passed on"),
                format!("if it is meant, in `[workspace.metadata.docker]` of `Cargo.toml`: {setting}"),
            ));
        }
        for (image, executables) in &mut executables {
            let name = &image.component.name;
            executables.push(match compiled.executables.remove(name) {
                Some(path) => {
                    let undeclared = undeclared(plan.workspace, stage, image.component, &path)?;
                    if !plan.is_strict {
                        undeclared.iter().for_each(|warning| progress.warn(warning));
                    }
                    match joined(undeclared).filter(|_| plan.is_strict) {
                        Some(error) => Err(error),
                        None => Ok(Executable { path, private_paths: &build.private_paths }),
                    }
                }
                None => {
                    let error = format!("`{name}` does not compile for {platform}; cargo's messages are above");
                    Err(match &compiled.hint {
                        Some(hint) => hinted(error, hint),
                        None => Error::msg(error),
                    })
                }
            });
        }
    }
    Ok(executables)
}

fn compile_for_platform(
    workspace: &Workspace,
    build: &NativeBuild,
    stage: &Stage,
    components: &[&Component],
    progress: &Progress,
) -> Result<Compiled> {
    let mut compiled = Compiled::default();
    let shared = SharedCode::compile(build, workspace, stage, components, progress)?;
    for group in groups(workspace, components) {
        let mut part = build.compile(workspace, stage, &group, progress)?;
        let good: Vec<&Component> =
            group.into_iter().filter(|component| part.executables.contains_key(&component.name)).collect();
        if !part.failed.is_empty() && !good.is_empty() {
            // When one fails, cargo does not write down what the others read.
            let again = build.compile(workspace, stage, &good, progress)?;
            (part.executables, part.scripts) = (again.executables, again.scripts);
        }
        shared.check(&mut part, progress)?;
        compiled.add(part);
    }
    Ok(compiled)
}

/// The components that are compiled together. Those that run code of the workspace while they are compiled
/// (build scripts, macros) are compiled by package, where nothing of the others can be read: code need not
/// say what it reads.
fn groups<'a>(workspace: &Workspace, components: &[&'a Component]) -> Vec<Vec<&'a Component>> {
    let mut groups: BTreeMap<Option<&Utf8Path>, Vec<&Component>> = BTreeMap::new();
    for component in components {
        let runs_code = component.closure.iter().any(|folder| workspace.runs_code(component, folder));
        groups.entry(runs_code.then_some(&*component.package.folder)).or_default().push(component);
    }
    groups.into_values().collect()
}

fn compile_in_engine<'p, 'a>(
    plan: &'p BuildPlan<'a>,
    builder: &EngineBuilder,
    stage: &Stage,
    progress: &Progress,
) -> Result<Executables<'p, 'a>> {
    for (path, text) in &builder.files {
        // Unchanged files keep their times, so that engines need not read them again.
        if std::fs::read_to_string(path).ok().as_ref() != Some(text) {
            write_atomically(path, text.as_bytes())?;
        }
    }
    let exports = TemporaryFolder::create_in(&plan.workspace.output().join("tmp"), "export")?;
    let work = plan.images.iter().flat_map(|image| image.platforms.iter().map(move |platform| (image, platform)));
    let compiled = parallel::map(work.collect(), plan.jobs, |(image, planned)| {
        let path =
            compile_one_in_engine(plan.workspace, builder, stage, image.component, planned, &exports.0, progress)?;
        Ok(Executable { path, private_paths: &[] })
    });
    let mut compiled = compiled.into_iter();
    Ok(plan.images.iter().map(|image| (image, compiled.by_ref().take(image.platforms.len()).collect())).collect())
}

fn compile_one_in_engine(
    workspace: &Workspace,
    builder: &EngineBuilder,
    stage: &Stage,
    component: &Component,
    planned: &PlannedPlatform,
    exports: &Utf8Path,
    progress: &Progress,
) -> Result<Utf8PathBuf> {
    let name = &component.name;
    let slug = planned.platform.to_string().replace('/', "-");
    let folder = workspace.output().join("executables").join(&slug);
    let kept = folder.join(name);
    if is_kept(&kept, planned) {
        return Ok(kept);
    }
    let task = progress.task(name, &format!("compiling for {} in {}", planned.platform, builder.engine.program));
    let log = workspace.output().join("logs").join(format!("{name}-{slug}.log"));
    let build = builder.build(workspace, component, &planned.platform);
    let built = build.run(&builder.engine, &stage.folder, &exports.join(&slug).join(name), name, &log, |line| {
        if let Some(text) = progress_of(line) {
            task.update(text);
        }
    });
    let built = built.map_err(|error| {
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        match explain(&said, workspace, stage) {
            Some(hint) => hinted(line(&error), hint),
            None => error,
        }
    });
    let kept = built.and_then(|executable| keep(&executable, &folder, name, planned));
    match &kept {
        Ok(_) => task.done(&format!("compiled for {}", planned.platform)),
        Err(_) => task.done(&format!("failed for {}", planned.platform)),
    }
    kept
}

/// Whether the executable of an earlier run was made from the same inputs and is still what it was.
fn is_kept(kept: &Utf8Path, planned: &PlannedPlatform) -> bool {
    let mark = std::fs::read_to_string(mark_of(kept)).unwrap_or_default();
    let Some((hash, digest)) = mark.trim().split_once(' ') else { return false };
    hash == planned.input_hash.to_string() && scan(kept, &[]).is_ok_and(|scan| scan.digest == digest)
}

fn keep(executable: &Utf8Path, folder: &Utf8Path, name: &str, planned: &PlannedPlatform) -> Result<Utf8PathBuf> {
    let kept = folder.join(name);
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create `{folder}`"))?;
    // The mark names the content, so whichever of the two comes late, they only agree when whole.
    std::fs::rename(executable, &kept).with_context(|| format!("cannot keep `{executable}` as `{kept}`"))?;
    let digest = scan(&kept, &[])?.digest;
    write_atomically(&mark_of(&kept), format!("{} {digest}\n", planned.input_hash).as_bytes())?;
    Ok(kept)
}

fn mark_of(kept: &Utf8Path) -> Utf8PathBuf {
    Utf8PathBuf::from(format!("{kept}.inputs"))
}
