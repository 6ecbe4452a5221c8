//! What will be built, from what, with which commands; nothing is changed here.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use camino::Utf8PathBuf;

use super::assets::check_assets;
use super::options::{Machine, build_args, choose_builder, tags};
use crate::assemble::base::BaseReference;
use crate::assemble::identity::assembler_identity;
use crate::cli::BuildOptions;
use crate::commands::components::image_name;
use crate::compile::builder_image::resolve;
use crate::compile::engine::{Engine, EngineBuild};
use crate::compile::native::{self, NativeBuild};
use crate::dockerfile::{ignore, text};
use crate::gather::cargo_config::cargo_home;
use crate::gather::dockerfiles;
use crate::gather::revision::{Revision, Revisions};
use crate::gather::workspace::Workspace;
use crate::image::platform::Platform;
use crate::image::reference::{Digest, ImageReference, Tag};
use crate::image::tags::commit_tag;
use crate::image::time::rfc3339;
use crate::registry::{Client, Credentials};
use crate::system::environment::{any_variable, variable};
use crate::system::progress::Progress;
use crate::workspace::components::Component;
use crate::workspace::ignore_patterns::IgnorePatterns;
use crate::workspace::inputs::{Input, InputHash, Inputs, SourceFile};
use crate::workspace::settings::Asset;
use crate::workspace::target::RustTarget;

/// The whole build, planned.
pub(crate) struct BuildPlan<'a> {
    pub(crate) workspace: &'a Workspace,
    pub(crate) builder: Builder,
    /// Present when images are to be loaded, or when it builds.
    pub(crate) engine: Option<Engine>,
    pub(crate) base: Option<(BaseReference, Digest)>,
    pub(crate) images: Vec<PlannedImage<'a>>,
    pub(crate) jobs: usize,
    pub(crate) load: bool,
    /// Whether a program that read what is none of its inputs is an error; a warning otherwise.
    pub(crate) is_strict: bool,
}

/// What compiles.
pub(crate) enum Builder {
    /// Cargo here: one build per platform.
    Native(BTreeMap<Platform, NativeBuild>),
    /// The engine: the Dockerfiles it is given, by path.
    Engine(BTreeMap<Utf8PathBuf, String>),
}

/// One component's image.
pub(crate) struct PlannedImage<'a> {
    pub(crate) component: &'a Component,
    /// VERSION, COMMIT_SHA and BUILD_DATE as the image says them.
    pub(crate) version: String,
    pub(crate) commit: String,
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
    /// How the engine builds it; nothing for a native build.
    pub(crate) engine_build: Option<EngineBuild>,
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
    let said = Said {
        version: build_args.remove("VERSION"),
        commit: build_args.remove("COMMIT_SHA"),
        build_date: build_args.remove("BUILD_DATE"),
        epoch: variable("SOURCE_DATE_EPOCH"),
    };
    let Machine { engine, toolchain } = machine;
    let (engine, is_native) = choose_builder(engine, options, load, progress)?;
    let base = base(workspace)?;
    let inputs: Vec<(&Component, Inputs)> =
        components.into_iter().map(|component| Ok((component, workspace.inputs(component)?))).collect::<Result<_>>()?;
    inputs.iter().try_for_each(|(component, _)| check_assets(workspace, component))?;
    let chosen: Vec<&Component> = inputs.iter().map(|(component, _)| *component).collect();

    let mut identities: BTreeMap<(Platform, String), BTreeSet<Input>> = BTreeMap::new();
    let mut engine_builds: BTreeMap<(Platform, String), EngineBuild> = BTreeMap::new();
    let builder = match (&engine, is_native) {
        (Some(engine), false) => {
            let mut files = BTreeMap::new();
            let images = builder_images(workspace, engine, progress)?;
            for component in &chosen {
                let (paths, builds) = plan_engine(workspace, &images, component, &build_args, options)?;
                files.extend(paths);
                for (build, identity) in builds {
                    let key = (build.platform.clone(), component.name.clone());
                    identities.insert(key.clone(), identity);
                    engine_builds.insert(key, build);
                }
            }
            Builder::Engine(files)
        }
        _ => {
            let toolchain = toolchain?;
            let mut builds = BTreeMap::new();
            for platform in &workspace.platforms {
                let target = RustTarget::new(platform, workspace.packages.settings.linkage)?;
                let build = native::plan(workspace, &toolchain, target, &build_args)?;
                for component in &chosen {
                    identities.insert((platform.clone(), component.name.clone()), build.inputs(workspace, component));
                }
                builds.insert(platform.clone(), build);
            }
            Builder::Native(builds)
        }
    };

    let mut revisions =
        Revisions::new(workspace, said.epoch.as_deref(), &|line| progress.say(&format!("warning: {line}")))?;
    let commit_tag = match revisions.head() {
        Some((commit, is_dirty)) => commit_tag(&workspace.packages.settings.sha_tag, commit, is_dirty)?,
        None => "local".parse()?,
    };
    let tags: Vec<Tag> = std::iter::once(commit_tag).chain(tags(&options.tag)?).collect();
    let mut images = Vec::new();
    for ((component, inputs), revision) in inputs.iter().zip(revisions.of_all(&inputs)?) {
        let platforms = workspace
            .platforms
            .iter()
            .map(|platform| {
                let key = (platform.clone(), component.name.clone());
                let mut builder = identities.remove(&key).context("a platform was not planned")?;
                let assembler = assembler_identity(base.is_some()).into_iter();
                builder.extend(assembler.map(|(name, version)| Input::tool(&name, version)));
                builder.extend(said.inputs());
                builder
                    .extend(build_args.iter().map(|(name, value)| Input::variable(&format!("argument {name}"), value)));
                builder.extend(base.iter().map(|(_, digest)| Input::tool("base", digest.to_string())));
                let sources = inputs.for_build(platform, []).hash().to_string();
                let inputs = inputs.for_build(platform, builder);
                Ok(PlannedPlatform {
                    sources,
                    platform: platform.clone(),
                    input_hash: inputs.hash(),
                    inputs,
                    engine_build: engine_builds.remove(&key),
                })
            })
            .collect::<Result<Vec<_>>>()?;
        images.push(said.image(workspace, component, revision, platforms, &tags)?);
    }
    workspace.keep_memory();
    let jobs = options.jobs.map(usize::from);
    Ok(BuildPlan {
        workspace,
        builder,
        engine: engine.filter(|_| load || !is_native),
        base,
        images,
        jobs: jobs.or(std::thread::available_parallelism().ok().map(usize::from)).unwrap_or(1),
        load,
        is_strict: false,
    })
}

/// What `--build-arg` makes all images say of themselves.
struct Said {
    version: Option<String>,
    commit: Option<String>,
    build_date: Option<String>,
    /// `SOURCE_DATE_EPOCH`: the time of all images.
    epoch: Option<String>,
}

impl Said {
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
            commit: self.commit.clone().unwrap_or(revision.commit),
            platforms,
        })
    }
}

fn base(workspace: &Workspace) -> Result<Option<(BaseReference, Digest)>> {
    let image = &workspace.packages.settings.runtime_image;
    if image == "scratch" {
        return Ok(None);
    }
    let wrong = || "`runtime-image` in `[workspace.metadata.docker]` of `Cargo.toml` is wrong";
    let mut reference: BaseReference = image.parse().with_context(wrong)?;
    if let BaseReference::Layout { path, .. } = &mut reference {
        *path = workspace.root().join(&*path);
    }
    let digest = reference.resolve(&Client::new(Credentials::from_environment()))?;
    Ok(Some((reference, digest)))
}

/// The builder image of each platform, as the engine is given it, with what tells its content apart.
fn builder_images(
    workspace: &Workspace,
    engine: &Engine,
    progress: &Progress,
) -> Result<BTreeMap<Platform, (String, Input)>> {
    let mut known: BTreeMap<String, (String, Input)> = BTreeMap::new();
    let mut images = BTreeMap::new();
    for platform in &workspace.platforms {
        let image = dockerfiles::builder_image(workspace, platform)?;
        if !known.contains_key(&image) {
            let resolved = resolve(engine, &image, &|line| progress.say(&format!("warning: {line}")))?;
            known.insert(image.clone(), resolved);
        }
        images.insert(platform.clone(), known[&image].clone());
    }
    Ok(images)
}

/// Texts of the generated files, and each platform's build with what decides it.
type EnginePlan = (BTreeMap<Utf8PathBuf, String>, Vec<(EngineBuild, BTreeSet<Input>)>);

fn plan_engine(
    workspace: &Workspace,
    images: &BTreeMap<Platform, (String, Input)>,
    component: &Component,
    build_args: &BTreeMap<String, String>,
    options: &BuildOptions,
) -> Result<EnginePlan> {
    let siblings = workspace.components.iter().filter(|other| other.package.folder == component.package.folder);
    let passed = workspace.pass_env().into_iter().filter_map(|name| Some((name.clone(), any_variable(name)?)));
    let passed: BTreeMap<String, String> = passed.collect();
    let build_args: BTreeMap<String, String> = passed.clone().into_iter().chain(build_args.clone()).collect();
    let names: Vec<String> = build_args.keys().cloned().collect();
    let mut plan = dockerfiles::plan(workspace, siblings.collect(), &names)?;
    // The stage holds nothing that is ignored.
    plan.context.docker_ignore = IgnorePatterns::default();
    plan.context.git_ignore = IgnorePatterns::default();
    for (platform, (image, _)) in images {
        if let Some(builder) = plan.builders.get_mut(platform) {
            builder.image.clone_from(image);
        }
    }
    let folder = workspace.output().join("dockerfiles").join(&component.package.name);
    let dockerfile = folder.join("Dockerfile");
    let text = text::text(&plan);
    let files = BTreeMap::from([
        (dockerfile.clone(), text.clone()),
        (folder.join("Dockerfile.dockerignore"), ignore::text(&plan.context, &component.package.name)),
    ]);
    let builds = workspace
        .platforms
        .iter()
        .map(|platform| {
            let (_, image) = images.get(platform).context("a platform without a builder image")?;
            let mut inputs =
                BTreeSet::from([image.clone(), Input::tool("Dockerfile", Digest::of(text.as_bytes()).to_string())]);
            inputs.extend(passed.iter().map(|(name, value)| Input::variable(name, value)));
            let build = EngineBuild {
                dockerfile: dockerfile.clone(),
                stage: plan.stage("executable", component),
                platform: platform.clone(),
                build_args: build_args.clone(),
                credentials: credentials(workspace),
                ssh: workspace.lock_text.contains("\"git+ssh://") && variable("SSH_AUTH_SOCK").is_some(),
                cache_from: options.cache_from.clone(),
                cache_to: options.cache_to.clone(),
            };
            Ok((build, inputs))
        })
        .collect::<Result<Vec<_>>>()?;
    Ok((files, builds))
}

/// Cargo's credentials, when the lock file names a registry other than crates.io.
fn credentials(workspace: &Workspace) -> Option<Utf8PathBuf> {
    let is_private = |line: &str| line.starts_with("source = \"registry+") || line.starts_with("source = \"sparse+");
    let uses_private = workspace
        .lock_text
        .lines()
        .any(|line| is_private(line) && !line.contains("github.com/rust-lang/crates.io-index"));
    let file = cargo_home().ok()?.join("credentials.toml");
    (uses_private && file.is_file()).then_some(file)
}

/// `REGISTRY/REPOSITORY:TAG` for each tag.
fn references(workspace: &Workspace, component: &Component, tags: &[Tag]) -> Result<Vec<ImageReference>> {
    let name = image_name(workspace, &component.name)?;
    Ok(tags.iter().map(|tag| name.with_tag(tag.clone())).collect())
}
