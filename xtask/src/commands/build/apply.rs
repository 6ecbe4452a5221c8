//! Compiles, assembles, loads.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use camino::Utf8Path;
use sha2::{Digest, Sha256};

use super::builder::Builder;
use super::compile::{Executable, compile};
use super::plan::{BuildPlan, PlannedImage, PlannedPlatform};
use super::start::check_start;
use crate::assemble::archive::write_docker_archive;
use crate::assemble::base::BaseImage;
use crate::assemble::component::ComponentImage;
use crate::assemble::dep_section::with_dependencies;
use crate::assemble::image::assemble;
use crate::assemble::layout::{Layout, SOURCES};
use crate::commands::table::{bytes, table};
use crate::compile::engine::Engine;
use crate::compile::executable::scan;
use crate::errors::{changed_meanwhile, hinted, hinted_cause};
use crate::gather::workspace::Workspace;
use crate::image::assembled::AssembledPlatform;
use crate::image::entry::{Entry, EntryKind, Source};
use crate::image::images_lock::IMAGES_LOCK;
use crate::image::manifest::Descriptor;
use crate::image::platform::Platform;
use crate::registry::{Client, Credentials};
use crate::sbom::auditable;
use crate::stage::Stage;
use crate::system::environment::own_architecture;
use crate::system::parallel;
use crate::system::progress::Progress;
use crate::workspace::assets::path_in_image;
use crate::workspace::input_summary::InputSummary;
use crate::workspace::inputs::{FileKind, SourceFile, hex};
use crate::workspace::rust_target::RustTarget;
use crate::workspace::settings::Asset;

/// What a component's image has become.
pub(crate) struct Built {
    /// The manifest, or the index when there are several platforms.
    pub(crate) descriptor: Descriptor,
    /// One image per platform.
    pub(crate) platforms: Vec<AssembledPlatform>,
}

/// The planned images with what they have become, or why there is none.
pub(crate) type Results<'p, 'a> = Vec<(&'p PlannedImage<'a>, Result<Built>)>;

/// Carries the plan out. A component's failure does not stop the others. While the layout is open, no
/// other build takes blobs out of it.
pub(crate) fn apply<'p, 'a>(plan: &'p BuildPlan<'a>, progress: &Progress) -> Result<(Layout, Results<'p, 'a>)> {
    // Held until the executables are in images: another build would replace them.
    let stage = Stage::lay_out(plan.workspace, || progress.say("waiting for another build of this workspace"))?;
    plan.workspace.keep_memory();
    let executables = compile(plan, &stage, progress)?;
    let folder = plan.workspace.output().join("oci");
    let layout = Layout::open_or_wait(&folder, || progress.say("waiting for another build to finish its images"))?;
    let bases = bases(plan, &layout)?;
    let results = parallel::map(executables, parallel::processors(), |(image, executables)| {
        (image, build_image(plan, &stage, &layout, &bases, image, executables, progress))
    });
    // Images of components that are gone would stay forever otherwise.
    let known: Vec<&str> = plan.workspace.components.iter().map(|component| component.name.as_str()).collect();
    layout.retain(|name| known.contains(&name))?;
    if let Some(engine) = &plan.load {
        load(engine, &layout, &results, progress)?;
    }
    Ok((layout, results))
}

fn bases(plan: &BuildPlan<'_>, layout: &Layout) -> Result<BTreeMap<Platform, BaseImage>> {
    let Some(base) = &plan.base else { return Ok(BTreeMap::new()) };
    let client = Client::new(Credentials::from_environment());
    let cache = plan.workspace.output().join("bases");
    let load = |platform: &Platform| {
        let loaded = BaseImage::load(layout, &base.place, &base.digest, platform, &cache, &client);
        Ok((platform.clone(), if base.is_locked { loaded.map_err(held_by_lock)? } else { loaded? }))
    };
    plan.workspace.platforms.iter().map(load).collect()
}

/// Says whose digest it is that cannot be used.
fn held_by_lock(error: anyhow::Error) -> anyhow::Error {
    let hint = "`cargo xtask bases --check` asks the registry for it, `cargo xtask bases --update` takes another";
    hinted_cause(error, format!("`{IMAGES_LOCK}` holds the base image to this digest"), hint)
}

fn build_image(
    plan: &BuildPlan<'_>,
    stage: &Stage,
    layout: &Layout,
    bases: &BTreeMap<Platform, BaseImage>,
    image: &PlannedImage<'_>,
    executables: Vec<Result<Executable<'_>>>,
    progress: &Progress,
) -> Result<Built> {
    let name = &image.component.name;
    let mut platforms = Vec::new();
    for (planned, executable) in image.platforms.iter().zip(executables) {
        let executable = executable?;
        let path = &executable.path;
        let contents = contents(plan, stage, image, planned, bases.get(&planned.platform).cloned(), path)?;
        let settings = &plan.workspace.packages.settings;
        let target = RustTarget::new(&planned.platform, settings.linkage)?;
        check_start(&contents, path, layout, &settings.runtime_image, target.gnu_prefix)?;
        report_leaks(&executable, name, progress)?;
        let assembled = assemble(layout, &contents.spec())?;
        check_size(image, &assembled)?;
        platforms.push(assembled);
    }
    let sources =
        image.platforms.iter().map(|planned| (format!("{SOURCES}.{}", planned.platform), planned.sources.clone()));
    let descriptor = layout.put(name, platforms.clone(), sources.collect())?;
    Ok(Built { descriptor, platforms })
}

/// Says which paths of this machine are in an executable.
fn report_leaks(executable: &Executable<'_>, name: &str, progress: &Progress) -> Result<()> {
    if executable.private_paths.is_empty() {
        return Ok(());
    }
    let leaks = scan(&executable.path, executable.private_paths)?.leaks;
    if !leaks.is_empty() {
        let leaks = leaks.join(", ");
        progress.warn(&hinted(
            format!("{name} has paths of this machine in it ({leaks}), so another folder gives another digest"),
            "look for `env!(\"CARGO_MANIFEST_DIR\")` and build scripts that write absolute paths",
        ));
    }
    Ok(())
}

/// What the image is made of: the executable, which says what it was made from, and the declared assets as they are in the stage.
fn contents<'a>(
    plan: &'a BuildPlan<'_>,
    stage: &Stage,
    image: &'a PlannedImage<'_>,
    planned: &PlannedPlatform,
    base: Option<BaseImage>,
    executable: &Utf8Path,
) -> Result<ComponentImage<'a>> {
    let mut assets = Vec::new();
    let packages = plan.workspace.rust_packages(image.component, &planned.platform)?;
    for (asset, files) in &image.assets {
        assets.extend(asset_entries(plan.workspace, stage, asset, files)?);
    }
    Ok(ComponentImage {
        component: image.component,
        platform: planned.platform.clone(),
        base,
        base_name: plan.base.as_ref().and_then(|base| base.name.as_ref()),
        assets,
        program: with_dependencies(executable, &auditable::json(&packages))?,
        version: &image.version,
        commit: &image.commit,
        build_date: &image.build_date,
        created: image.created,
        input_hash: planned.input_hash.to_string(),
        inputs: InputSummary::of(&planned.inputs),
        had_network: plan.workspace.packages.settings.network && matches!(plan.builder, Builder::Native(_)),
    })
}

/// The entries of a declared asset: the file itself, or the folder with all in it.
fn asset_entries(workspace: &Workspace, stage: &Stage, asset: &Asset, files: &[SourceFile]) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for file in files {
        let path = path_in_image(asset, &file.path);
        let origin = workspace.root().join(&file.path);
        let staged = || EntryKind::File(Source::Path(stage.folder.join(workspace.top.place(&origin))));
        let (mode, kind) = match file.kind {
            FileKind::Plain => (0o644, staged()),
            FileKind::Executable => (0o755, staged()),
            FileKind::Link => {
                let target = origin.read_link_utf8().with_context(|| format!("cannot read link `{origin}`"))?;
                if hex(&Sha256::digest(target.as_str())) != file.digest {
                    bail!(changed_meanwhile(origin));
                }
                (0o777, EntryKind::Symlink(target.into_string()))
            }
        };
        entries.push(Entry::new(path.as_str().trim_start_matches('/'), mode, kind));
    }
    Ok(entries)
}

fn check_size(image: &PlannedImage<'_>, assembled: &AssembledPlatform) -> Result<()> {
    let Some(budget) = image.component.package.settings.max_size else { return Ok(()) };
    if assembled.size <= budget.0 {
        return Ok(());
    }
    bail!(
        "the image of `{}` is {} compressed, over its `max-size` of {}\n{}",
        image.component.name,
        bytes(assembled.size),
        bytes(budget.0),
        layers(assembled)
    )
}

/// The layers of an image with their sizes, a line each.
fn layers(image: &AssembledPlatform) -> String {
    let rows: Vec<_> = image
        .layers
        .iter()
        .map(|layer| {
            let uncompressed = layer.uncompressed.map_or("-".to_owned(), bytes);
            vec![layer.name.clone(), bytes(layer.size), uncompressed]
        })
        .collect();
    table(&["LAYER", "COMPRESSED", "UNCOMPRESSED"], &rows).trim_end().to_owned()
}

fn load(engine: &Engine, layout: &Layout, results: &Results<'_, '_>, progress: &Progress) -> Result<()> {
    for (image, built) in results {
        let Ok(built) = built else { continue };
        let name = &image.component.name;
        let own = format!("linux/{}", own_architecture());
        let own = built.platforms.iter().find(|platform| platform.platform.to_string() == own);
        let Some(loaded) = own.or(built.platforms.first()) else { continue };
        if built.platforms.len() > 1 {
            progress.say(&format!("{name}: an engine holds one platform; loading {}", loaded.platform));
        }
        engine
            .load(|mut out| write_docker_archive(layout, loaded, &image.references, &mut out))
            .with_context(|| format!("cannot load `{name}` into `{}`", engine.program))?;
    }
    Ok(())
}
