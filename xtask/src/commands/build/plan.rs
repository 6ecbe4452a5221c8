//! What will be built, from what, with which commands; nothing is changed here.

use anyhow::{Context, Result};

use super::builder::{Builder, EngineBuilder};
use super::options::{Machine, build_args, choose_engines, tags};
use crate::assemble::base::BaseReference;
use crate::assemble::identity::assembler_identity;
use crate::cli::BuildOptions;
use crate::compile::engine::Engine;
use crate::errors::hinted;
use crate::gather::assets::check_assets;
use crate::gather::ci::pull_request;
use crate::gather::dockerfiles::toolchain_file;
use crate::gather::repositories::repository;
use crate::gather::revision::{Revision, Revisions};
use crate::gather::workspace::Workspace;
use crate::image::platform::Platform;
use crate::image::reference::{Digest, ImageReference, Tag};
use crate::image::tags::{commit_tag, pull_request_tag};
use crate::image::time::rfc3339;
use crate::registry::{Client, Credentials};
use crate::system::environment::variable;
use crate::system::parallel;
use crate::system::progress::Progress;
use crate::workspace::components::Component;
use crate::workspace::inputs::{Input, InputHash, Inputs, SourceFile};
use crate::workspace::settings::Asset;

pub(crate) struct BuildPlan<'a> {
    pub(crate) workspace: &'a Workspace,
    pub(crate) builder: Builder,
    pub(crate) base: Option<PlannedBase>,
    pub(crate) images: Vec<PlannedImage<'a>>,
    pub(crate) jobs: usize,
    /// The engine that images are loaded into.
    pub(crate) load: Option<Engine>,
    /// Whether a program that read what is none of its inputs is an error; a warning otherwise.
    pub(crate) is_strict: bool,
}

/// The base of all images.
pub(crate) struct PlannedBase {
    /// Where it is pulled from.
    pub(crate) place: BaseReference,
    /// The image or index.
    pub(crate) digest: Digest,
    /// As the settings name it: for all to see, as `place` is not.
    pub(crate) said: String,
    /// The same, where that is a registry's image.
    pub(crate) name: Option<ImageReference>,
    /// Whether `images.lock` says which.
    pub(crate) is_locked: bool,
}

pub(crate) struct PlannedImage<'a> {
    pub(crate) component: &'a Component,
    /// VERSION, COMMIT_SHA and BUILD_DATE as the image says them.
    pub(crate) version: String,
    pub(crate) commit: String,
    /// The input commit, whatever the image says.
    pub(crate) revision: String,
    pub(crate) build_date: String,
    /// Unix seconds of its layers.
    pub(crate) created: i64,
    /// The files of each asset, as they were hashed.
    pub(crate) assets: Vec<(&'a Asset, Vec<SourceFile>)>,
    pub(crate) platforms: Vec<PlannedPlatform>,
    /// Names it gets in the engine.
    pub(crate) references: Vec<ImageReference>,
}

/// One component's executable for one platform.
pub(crate) struct PlannedPlatform {
    pub(crate) platform: Platform,
    /// All that decides the image.
    pub(crate) inputs: Inputs,
    /// The hash over it.
    pub(crate) input_hash: InputHash,
    /// A hash over what it is made from, whoever builds it.
    pub(crate) sources: String,
}

/// Decides the builder and plans the images of `components`.
///
/// # Errors
/// An explicit builder that cannot be used; bad tags, build arguments or assets; an unknown base.
pub(crate) fn plan<'a>(
    workspace: &'a Workspace,
    components: Vec<&'a Component>,
    options: &BuildOptions,
    load: bool,
    machine: Machine,
    progress: &Progress,
) -> Result<BuildPlan<'a>> {
    let mut build_args = build_args(options)?;
    let labels = LabelArgs {
        version: build_args.remove("VERSION"),
        commit: build_args.remove("COMMIT_SHA"),
        build_date: build_args.remove("BUILD_DATE"),
        epoch: variable("SOURCE_DATE_EPOCH"),
    };
    let Machine { engine, toolchain } = machine;
    let (compiling, loading) = choose_engines(engine, options, load, progress)?;
    let base = base(workspace)?;
    let inputs: Vec<(&Component, Inputs)> =
        components.into_iter().map(|component| Ok((component, workspace.inputs(component)?))).collect::<Result<_>>()?;
    inputs.iter().try_for_each(|(component, _)| check_assets(workspace, component))?;
    let assembler = assembler_identity(base.is_some()).into_iter();
    let of_all: Vec<Input> = assembler
        .map(|(name, version)| Input::tool(&name, version))
        .chain(labels.inputs())
        .chain(build_args.iter().map(|(name, value)| Input::variable(&format!("argument {name}"), value)))
        .chain(base.iter().map(|base| Input::tool("base", base.digest.to_string())))
        .collect();
    let mut builder = match compiling {
        Some(engine) => Builder::Engine(EngineBuilder::new(workspace, engine, build_args, options, progress)?.into()),
        None => {
            let toolchain = toolchain?;
            if let Some(why) = toolchain_file(workspace)?.and_then(|file| file.mismatch(&toolchain.rustc)) {
                progress.warn(&hinted(why, "`RUSTUP_TOOLCHAIN` and `cargo +…` win over it, and only rustup reads it"));
            }
            Builder::native(workspace, &toolchain, &build_args)?
        }
    };
    let of_builder = inputs.iter().map(|(component, _)| builder.plan(workspace, component));
    let of_builder = of_builder.collect::<Result<Vec<_>>>()?;

    let mut revisions = Revisions::new(workspace, labels.epoch.as_deref(), progress)?;
    let commit_tag = match revisions.head() {
        Some((commit, is_dirty)) => commit_tag(&workspace.packages.settings.sha_tag, commit, is_dirty)?,
        None => "local".parse()?,
    };
    let pull_request = pull_request().map(pull_request_tag);
    let tags: Vec<Tag> = std::iter::once(commit_tag).chain(pull_request).chain(tags(&options.tag)?).collect();
    let mut images = Vec::new();
    for (((component, inputs), revision), of_builder) in inputs.iter().zip(revisions.of_all(&inputs)?).zip(of_builder) {
        let platforms = of_builder.into_iter().map(|(platform, mut builder)| {
            builder.extend(of_all.iter().cloned());
            let sources = inputs.for_build(&platform, []).hash().to_string();
            let inputs = inputs.for_build(&platform, builder);
            PlannedPlatform { sources, platform, input_hash: inputs.hash(), inputs }
        });
        images.push(labels.image(workspace, component, revision, platforms.collect(), &tags)?);
    }
    workspace.keep_memory();
    let jobs = options.jobs.map_or_else(parallel::processors, usize::from);
    Ok(BuildPlan { workspace, builder, base, images, jobs, load: loading, is_strict: false })
}

/// What `--build-arg` makes all images say of themselves.
struct LabelArgs {
    version: Option<String>,
    commit: Option<String>,
    build_date: Option<String>,
    /// `SOURCE_DATE_EPOCH`: the time of all images.
    epoch: Option<String>,
}

impl LabelArgs {
    /// What of it decides images.
    fn inputs(&self) -> impl Iterator<Item = Input> {
        let all = [("VERSION", &self.version), ("COMMIT_SHA", &self.commit), ("BUILD_DATE", &self.build_date)];
        let all = all.into_iter().chain([("SOURCE_DATE_EPOCH", &self.epoch)]);
        all.filter_map(|(name, value)| Some(Input::Label { name: name.to_owned(), value: value.clone()? }))
    }

    fn image<'a>(
        &self,
        workspace: &Workspace,
        component: &'a Component,
        revision: Revision,
        platforms: Vec<PlannedPlatform>,
        tags: &[Tag],
    ) -> Result<PlannedImage<'a>> {
        Ok(PlannedImage {
            component,
            version: self.version.clone().unwrap_or_else(|| component.package.version.clone()),
            build_date: self.build_date.clone().unwrap_or_else(|| rfc3339(revision.time)),
            references: references(workspace, component, tags)?,
            created: revision.time,
            assets: component
                .package
                .settings
                .assets
                .iter()
                .map(|asset| Ok((asset, workspace.asset(component, &asset.from)?)))
                .collect::<Result<_>>()?,
            commit: self.commit.clone().unwrap_or_else(|| revision.commit.clone()),
            revision: revision.commit,
            platforms,
        })
    }
}

pub(crate) fn base(workspace: &Workspace) -> Result<Option<PlannedBase>> {
    let Some(base) = workspace.base()? else { return Ok(None) };
    let place: BaseReference = match &base.pinned {
        Some(pinned) => BaseReference::Registry(pinned.reference.parse()?),
        None => {
            let mut layout = base.image.parse().context("`runtime-image` in `[workspace.metadata.docker]` is wrong")?;
            if let BaseReference::Layout { path, .. } = &mut layout {
                *path = workspace.root().join(&*path);
            }
            layout
        }
    };
    let digest = place.resolve(&Client::new(Credentials::from_environment()))?;
    let is_locked = base.name.as_ref().is_some_and(|name| name.digest.is_none()) && workspace.images.is_some();
    Ok(Some(PlannedBase { place, digest, said: base.image, name: base.name, is_locked }))
}

/// `REGISTRY/REPOSITORY:TAG` for each tag.
fn references(workspace: &Workspace, component: &Component, tags: &[Tag]) -> Result<Vec<ImageReference>> {
    let name = repository(workspace, &component.name, None)?;
    Ok(tags.iter().map(|tag| name.with_tag(tag.clone())).collect())
}
