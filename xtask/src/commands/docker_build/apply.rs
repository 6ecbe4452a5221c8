//! Compiles, assembles, loads.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use camino::{Utf8Path, Utf8PathBuf};
use sha2::{Digest, Sha256};

use super::plan::{BuildPlan, Builder, PlannedImage, PlannedPlatform};
use super::start::check_start;
use crate::assemble::archive::write_docker_archive;
use crate::assemble::base::BaseImage;
use crate::assemble::component::ComponentImage;
use crate::assemble::image::{AssembledPlatform, assemble};
use crate::assemble::layer::{Entry, EntryKind, Source};
use crate::assemble::layout::{Layout, SOURCES};
use crate::compile::engine::progress_of;
use crate::compile::executable::scan;
use crate::compile::explain::explain;
use crate::compile::native::Compiled;
use crate::compile::observe::{undeclared, unseen_variables};
use crate::compile::shared_code::SharedCode;
use crate::gather::workspace::Workspace;
use crate::image::manifest::Descriptor;
use crate::image::platform::Platform;
use crate::registry::{Client, Credentials};
use crate::stage::Stage;
use crate::system::files::{TemporaryFolder, write_atomically};
use crate::system::parallel;
use crate::system::progress::Progress;
use crate::workspace::assets::path_in_image;
use crate::workspace::components::Component;
use crate::workspace::inputs::{FileKind, SourceFile, hex};
use crate::workspace::settings::Asset;
use crate::workspace::target::RustTarget;

/// What a component's image has become.
pub(crate) struct Built {
    /// The manifest, or the index when there are several platforms.
    pub(crate) descriptor: Descriptor,
    /// One image per platform.
    pub(crate) platforms: Vec<AssembledPlatform>,
}

/// Results by component: an image, or why there is none.
pub(crate) type Results = BTreeMap<String, Result<Built>>;

/// Executables by component and platform.
type Executables = BTreeMap<(String, Platform), Result<Utf8PathBuf>>;

/// Carries the plan out. A component's failure does not stop the others. While the layout is open, no
/// other build takes blobs out of it.
pub(crate) fn apply(plan: &BuildPlan<'_>, progress: &Progress) -> Result<(Layout, Results)> {
    // Held until the executables are in images: another build would replace them.
    let stage = Stage::lay_out(plan.workspace, || progress.say("waiting for another build of this workspace"))?;
    plan.workspace.keep_memory();
    let mut executables = match &plan.builder {
        Builder::Native(_) => compile_natively(plan, &stage, progress)?,
        Builder::Engine(files) => {
            for (path, text) in files {
                // Unchanged files keep their times, so that engines need not read them again.
                if std::fs::read_to_string(path).ok().as_ref() != Some(text) {
                    write_atomically(path, text.as_bytes())?;
                }
            }
            compile_in_engine(plan, &stage, progress)?
        }
    };
    let folder = plan.workspace.output().join("oci");
    let layout = Layout::open_or_wait(&folder, || progress.say("waiting for another build to finish its images"))?;
    let bases = bases(plan, &layout)?;
    let work: Vec<_> = plan
        .images
        .iter()
        .map(|image| {
            let found: Vec<_> = image
                .platforms
                .iter()
                .map(|platform| executables.remove(&(image.component.name.clone(), platform.platform.clone())))
                .collect();
            (image, found)
        })
        .collect();
    let results = parallel::map(work, parallel::processors(), |(image, found)| {
        let built = build_image(plan, &stage, &layout, &bases, image, found, progress);
        (image.component.name.clone(), built)
    });
    let results: Results = results.into_iter().collect();
    // Images of components that are gone would stay forever otherwise.
    let known: Vec<&str> = plan.workspace.components.iter().map(|component| component.name.as_str()).collect();
    layout.retain(|name| known.contains(&name))?;
    if plan.load {
        load(plan, &layout, &results, progress)?;
    }
    Ok((layout, results))
}

fn compile_natively(plan: &BuildPlan<'_>, stage: &Stage, progress: &Progress) -> Result<Executables> {
    let Builder::Native(builds) = &plan.builder else { bail!("no native build is planned") };
    let components: Vec<&Component> = plan.images.iter().map(|image| image.component).collect();
    let names: Vec<&str> = components.iter().map(|component| component.name.as_str()).collect();
    let mut executables = Executables::new();
    for (platform, build) in builds {
        progress.say(&format!("cargo: compiling {} for {platform}", names.join(", ")));
        let mut compiled = Compiled::default();
        let shared = SharedCode::compile(build, plan.workspace, stage, &components, progress)?;
        for group in groups(plan.workspace, &components) {
            let mut part = build.compile(plan.workspace, stage, &group, progress)?;
            let good: Vec<&Component> =
                group.into_iter().filter(|component| part.executables.contains_key(&component.name)).collect();
            if !part.failed.is_empty() && !good.is_empty() {
                // When one fails, cargo does not write down what the others read.
                let again = build.compile(plan.workspace, stage, &good, progress)?;
                (part.executables, part.scripts) = (again.executables, again.scripts);
            }
            shared.check(&mut part, progress)?;
            compiled.add(part);
        }
        for name in unseen_variables(plan.workspace, &components, &compiled) {
            progress.say(&format!(
                "warning: a build asks for the variable `{name}`, which is set here and not passed on\nif it is meant, in \
                 `[workspace.metadata.docker]` of `Cargo.toml`: `pass-env = [\"{name}\"]`"
            ));
        }
        for component in &components {
            let name = &component.name;
            let Some(executable) = compiled.executables.get(name) else { continue };
            let undeclared = undeclared(plan.workspace, stage, component, executable)?;
            let result = match undeclared.is_empty() || !plan.is_strict {
                true => Ok(executable.clone()),
                false => Err(anyhow::anyhow!("{}", undeclared.join("\n"))),
            };
            if result.is_ok() {
                undeclared.iter().for_each(|line| progress.say(&format!("warning: {line}")));
            }
            executables.insert((name.clone(), platform.clone()), result);
        }
        let hint = compiled.hint.map(|hint| format!("\n{hint}")).unwrap_or_default();
        for name in compiled.failed {
            let error = anyhow::anyhow!("`{name}` does not compile for {platform}; cargo's messages are above{hint}");
            executables.insert((name, platform.clone()), Err(error));
        }
    }
    Ok(executables)
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

fn compile_in_engine(plan: &BuildPlan<'_>, stage: &Stage, progress: &Progress) -> Result<Executables> {
    let engine = plan.engine.as_ref().context("no engine is planned")?;
    let output = plan.workspace.output();
    let exports = TemporaryFolder::create_in(&output.join("tmp"), "export")?;
    let work: Vec<_> =
        plan.images.iter().flat_map(|image| image.platforms.iter().map(move |platform| (image, platform))).collect();
    let results = parallel::map(work, plan.jobs, |(image, planned)| {
        let name = &image.component.name;
        let key = (name.clone(), planned.platform.clone());
        let slug = planned.platform.to_string().replace('/', "-");
        let kept = output.join("executables").join(&slug).join(name);
        if is_kept(&kept, planned) {
            return (key, Ok(kept));
        }
        let Some(build) = &planned.engine_build else {
            return (key, Err(anyhow::anyhow!("no engine build is planned")));
        };
        let task = progress.task(name, &format!("compiling for {} in {}", planned.platform, engine.program));
        let log = output.join("logs").join(format!("{name}-{slug}.log"));
        let folder = exports.0.join(&slug).join(name);
        let built = build.run(engine, &stage.folder, &folder, name, &log, |line| {
            if let Some(text) = progress_of(line) {
                task.update(text);
            }
        });
        let built = built.map_err(|error| {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            match explain(&said, plan.workspace, stage) {
                Some(hint) => anyhow::anyhow!("{hint}").context(format!("{error:#}")),
                None => error,
            }
        });
        let kept = built.and_then(|executable| keep(&executable, &kept, planned));
        match &kept {
            Ok(_) => task.done(&format!("compiled for {}", planned.platform)),
            Err(_) => task.done(&format!("failed for {}", planned.platform)),
        }
        (key, kept)
    });
    Ok(results.into_iter().collect())
}

/// Whether the executable of an earlier run was made from the same inputs and is still what it was.
fn is_kept(kept: &Utf8Path, planned: &PlannedPlatform) -> bool {
    let mark = std::fs::read_to_string(mark_of(kept)).unwrap_or_default();
    let Some((hash, digest)) = mark.trim().split_once(' ') else { return false };
    hash == planned.input_hash.to_string() && scan(kept, &[]).is_ok_and(|scan| scan.digest == digest)
}

fn keep(executable: &Utf8Path, kept: &Utf8Path, planned: &PlannedPlatform) -> Result<Utf8PathBuf> {
    let folder = kept.parent().context("a path without a folder")?;
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create `{folder}`"))?;
    // The mark names the content, so whichever of the two comes late, they only agree when whole.
    std::fs::rename(executable, kept).with_context(|| format!("cannot keep `{executable}` as `{kept}`"))?;
    let digest = scan(kept, &[])?.digest;
    write_atomically(&mark_of(kept), format!("{} {digest}\n", planned.input_hash).as_bytes())?;
    Ok(kept.to_owned())
}

fn mark_of(kept: &Utf8Path) -> Utf8PathBuf {
    Utf8PathBuf::from(format!("{kept}.inputs"))
}

fn bases(plan: &BuildPlan<'_>, layout: &Layout) -> Result<BTreeMap<Platform, BaseImage>> {
    let Some((reference, digest)) = &plan.base else { return Ok(BTreeMap::new()) };
    let client = Client::new(Credentials::from_environment());
    let cache = plan.workspace.output().join("bases");
    plan.workspace
        .platforms
        .iter()
        .map(|platform| Ok((platform.clone(), BaseImage::load(layout, reference, digest, platform, &cache, &client)?)))
        .collect()
}

fn build_image(
    plan: &BuildPlan<'_>,
    stage: &Stage,
    layout: &Layout,
    bases: &BTreeMap<Platform, BaseImage>,
    image: &PlannedImage<'_>,
    executables: Vec<Option<Result<Utf8PathBuf>>>,
    progress: &Progress,
) -> Result<Built> {
    let name = &image.component.name;
    let mut platforms = Vec::new();
    for (planned, executable) in image.platforms.iter().zip(executables) {
        let executable = executable.with_context(|| format!("`{name}` was not compiled"))??;
        let contents = contents(plan, stage, image, planned, bases.get(&planned.platform).cloned(), &executable)?;
        let settings = &plan.workspace.packages.settings;
        let target = RustTarget::new(&planned.platform, settings.linkage)?;
        check_start(&contents, &executable, layout, &settings.runtime_image, target.gnu_prefix)?;
        report_leaks(plan, &executable, name, &planned.platform, progress)?;
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
fn report_leaks(
    plan: &BuildPlan<'_>,
    executable: &Utf8Path,
    name: &str,
    platform: &Platform,
    progress: &Progress,
) -> Result<()> {
    if let Builder::Native(builds) = &plan.builder {
        let build = builds.get(platform).context("a platform was not planned")?;
        let leaks = scan(executable, &build.private_paths)?.leaks;
        if !leaks.is_empty() {
            progress.say(&format!(
                "warning: {name} has paths of this machine in it ({}), so another folder gives another digest\n\
                 look for `env!(\"CARGO_MANIFEST_DIR\")` and build scripts that write absolute paths",
                leaks.join(", ")
            ));
        }
    }
    Ok(())
}

/// What the image is made of: the executable, and the declared assets as they are in the stage.
fn contents<'a>(
    plan: &BuildPlan<'_>,
    stage: &Stage,
    image: &'a PlannedImage<'_>,
    planned: &PlannedPlatform,
    base: Option<BaseImage>,
    executable: &Utf8Path,
) -> Result<ComponentImage<'a>> {
    let mut assets = Vec::new();
    for (asset, files) in &image.assets {
        assets.extend(asset_entries(plan.workspace, stage, asset, files)?);
    }
    Ok(ComponentImage {
        component: image.component,
        platform: planned.platform.clone(),
        base,
        assets,
        program: Source::Path(executable.to_owned()),
        version: &image.version,
        commit: &image.commit,
        build_date: &image.build_date,
        created: image.created,
        input_hash: planned.input_hash.to_string(),
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
                    bail!(
                        "`{origin}` changed while this ran, so what would be built is not what was planned\nrun it again"
                    );
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
        crate::commands::table::bytes(assembled.size),
        crate::commands::table::bytes(budget.0),
        super::report::layers(assembled)
    )
}

fn load(plan: &BuildPlan<'_>, layout: &Layout, results: &Results, progress: &Progress) -> Result<()> {
    let engine = plan.engine.as_ref().context("no engine to load into")?;
    for image in &plan.images {
        let Some(Ok(built)) = results.get(&image.component.name) else { continue };
        let own = own_platform();
        let loaded = built.platforms.iter().find(|platform| platform.platform.to_string() == own);
        let loaded = loaded.or(built.platforms.first()).context("an image without a platform")?;
        if built.platforms.len() > 1 {
            progress
                .say(&format!("{}: an engine holds one platform; loading {}", image.component.name, loaded.platform));
        }
        engine
            .load(|mut out| write_docker_archive(layout, loaded, &image.references, &mut out))
            .with_context(|| format!("cannot load `{}` into `{}`", image.component.name, engine.program))?;
    }
    Ok(())
}

fn own_platform() -> String {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("linux/{architecture}")
}
