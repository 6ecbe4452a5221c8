//! What will be built, from what, with which commands; nothing is changed here.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use camino::{Utf8Path, Utf8PathBuf};

use crate::assemble::base::BaseReference;
use crate::cli::{BuilderChoice, DockerBuildArgs};
use crate::commands::components::image_name;
use crate::commands::filter::variable;
use crate::compile::engine::{Engine, EngineBuild};
use crate::compile::native::{self, NativeBuild};
use crate::dockerfile::{ignore, text};
use crate::gather::dockerfiles;
use crate::gather::revision::{Revision, Revisions};
use crate::gather::workspace::Workspace;
use crate::image::platform::Platform;
use crate::image::reference::{Digest, ImageReference, Tag};
use crate::image::time::rfc3339;
use crate::registry::{Client, Credentials};
use crate::system::cargo::{HostToolchain, host_toolchain};
use crate::system::parallel;
use crate::system::progress::Progress;
use crate::workspace::components::Component;
use crate::workspace::inputs::{InputHash, Inputs};
use crate::workspace::selection::split_list;
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
    pub(crate) platforms: Vec<PlannedPlatform>,
    /// Names it gets in the engine.
    pub(crate) references: Vec<ImageReference>,
}

/// One component's executable for one platform.
pub(crate) struct PlannedPlatform {
    pub(crate) platform: Platform,
    pub(crate) input_hash: InputHash,
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
    arguments: &DockerBuildArgs,
    machine: Machine,
    progress: &Progress,
) -> Result<BuildPlan<'a>> {
    let mut build_args = build_args(arguments)?;
    let said = Said {
        version: build_args.remove("VERSION"),
        commit: build_args.remove("COMMIT_SHA"),
        build_date: build_args.remove("BUILD_DATE"),
    };
    let Machine { engine, toolchain } = machine;
    let (engine, is_native) = choose_builder(engine, arguments, progress)?;
    let base = base(workspace)?;
    let inputs: Vec<(&Component, Inputs)> =
        components.into_iter().map(|component| Ok((component, workspace.inputs(component)?))).collect::<Result<_>>()?;
    let chosen: Vec<&Component> = inputs.iter().map(|(component, _)| *component).collect();

    let mut identities: BTreeMap<(Platform, String), BTreeMap<String, String>> = BTreeMap::new();
    let mut engine_builds: BTreeMap<(Platform, String), EngineBuild> = BTreeMap::new();
    let builder = match (&engine, is_native) {
        (Some(engine), false) => {
            let mut files = BTreeMap::new();
            for component in &chosen {
                let (paths, builds) = plan_engine(workspace, engine, component, &build_args)?;
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
                let build = native::plan(workspace, &toolchain, &chosen, target, &build_args)?;
                for component in &chosen {
                    identities.insert((platform.clone(), component.name.clone()), build.identity.clone());
                }
                builds.insert(platform.clone(), build);
            }
            Builder::Native(builds)
        }
    };

    let mut revisions = Revisions::new(workspace, &|line| progress.say(&format!("warning: {line}")))?;
    let mut images = Vec::new();
    for ((component, inputs), revision) in inputs.iter().zip(revisions.of_all(&inputs)?) {
        let platforms = workspace
            .platforms
            .iter()
            .map(|platform| {
                let key = (platform.clone(), component.name.clone());
                let mut identity = identities.remove(&key).context("a platform was not planned")?;
                identity.insert("xtask".into(), env!("CARGO_PKG_VERSION").into());
                identity.extend(build_args.iter().map(|(name, value)| (format!("argument {name}"), value.clone())));
                identity.extend(base.iter().map(|(_, digest)| ("base".to_owned(), digest.to_string())));
                Ok(PlannedPlatform {
                    platform: platform.clone(),
                    input_hash: inputs.hash(platform, &identity),
                    engine_build: engine_builds.remove(&key),
                })
            })
            .collect::<Result<Vec<_>>>()?;
        images.push(said.image(workspace, component, revision, platforms, arguments)?);
    }
    let jobs = arguments.jobs.map(usize::from);
    Ok(BuildPlan {
        workspace,
        builder,
        engine: engine.filter(|_| arguments.load || !is_native),
        base,
        images,
        jobs: jobs.or(std::thread::available_parallelism().ok().map(usize::from)).unwrap_or(1),
        load: arguments.load,
    })
}

/// What `--build-arg` makes all images say of themselves.
struct Said {
    version: Option<String>,
    commit: Option<String>,
    build_date: Option<String>,
}

impl Said {
    fn image<'a>(
        &self,
        workspace: &Workspace,
        component: &'a Component,
        revision: Revision,
        platforms: Vec<PlannedPlatform>,
        arguments: &DockerBuildArgs,
    ) -> Result<PlannedImage<'a>> {
        Ok(PlannedImage {
            component,
            version: self.version.clone().unwrap_or_else(|| component.package.version.clone()),
            build_date: self.build_date.clone().unwrap_or_else(|| rfc3339(revision.time)),
            references: references(workspace, component, &revision, &tags(arguments))?,
            created: revision.time,
            commit: self.commit.clone().unwrap_or(revision.commit),
            platforms,
        })
    }
}

/// `--tag`, else `CI_IMAGE_TAG`.
fn tags(arguments: &DockerBuildArgs) -> Vec<String> {
    match arguments.tag.is_empty() {
        true => variable("CI_IMAGE_TAG").into_iter().collect(),
        false => arguments.tag.clone(),
    }
}

/// `--build-arg`, else `CI_BUILD_ARGS`.
fn build_args(arguments: &DockerBuildArgs) -> Result<BTreeMap<String, String>> {
    let mut list = arguments.build_arg.clone();
    if list.is_empty() {
        list = variable("CI_BUILD_ARGS").map(|text| split_list(&text)).unwrap_or_default();
    }
    list.iter()
        .map(|argument| {
            let (name, value) = argument
                .split_once('=')
                .with_context(|| format!("build argument `{argument}` is not of the form NAME=VALUE"))?;
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if name.is_empty() || !name.chars().all(plain) || name.starts_with(|c: char| c.is_ascii_digit()) {
                bail!("`{name}` in build argument `{argument}` is no name of a variable");
            }
            Ok((name.to_owned(), value.to_owned()))
        })
        .collect()
}

/// What this machine has to build with, found out while cargo resolves.
pub(crate) struct Machine {
    engine: Result<Engine>,
    toolchain: Result<HostToolchain>,
}

/// Looks for an engine, if one could be wanted, and asks rustc.
pub(crate) fn look_around(root: &Utf8Path, arguments: &DockerBuildArgs) -> Machine {
    let wants_engine = arguments.builder != BuilderChoice::Native || arguments.load;
    let find = || match wants_engine {
        true => Engine::find(arguments.buildx_builder.as_deref()),
        false => Err(anyhow::anyhow!("no container engine is wanted")),
    };
    let (engine, toolchain) = parallel::both(find, || host_toolchain(root));
    Machine { engine, toolchain }
}

/// The engine, if one answers and is wanted, and whether to build natively.
fn choose_builder(
    engine: Result<Engine>,
    arguments: &DockerBuildArgs,
    progress: &Progress,
) -> Result<(Option<Engine>, bool)> {
    match arguments.builder {
        BuilderChoice::Docker => {
            let engine = engine.context("`--builder docker` needs a container engine")?;
            Ok((Some(engine), false))
        }
        BuilderChoice::Native if arguments.buildx_builder.is_some() => {
            bail!("`--buildx-builder` is about an engine, and `--builder native` uses none")
        }
        BuilderChoice::Native if arguments.load => {
            Ok((Some(engine.context("`--load` needs a container engine")?), true))
        }
        BuilderChoice::Native => Ok((None, true)),
        BuilderChoice::Auto => match engine {
            Ok(engine) => {
                progress.say(&format!("builder: `{}` answers, so it compiles", engine.program));
                Ok((Some(engine), false))
            }
            Err(error) if arguments.load || arguments.buildx_builder.is_some() => {
                Err(error.context("`--load` and `--buildx-builder` need a container engine"))
            }
            Err(error) => {
                let why = format!("{error:#}").lines().next().unwrap_or_default().to_owned();
                progress.say(&format!("builder: native ({why})"));
                Ok((None, true))
            }
        },
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

/// Texts of the generated files, and each platform's build with what decides it.
type EnginePlan = (BTreeMap<Utf8PathBuf, String>, Vec<(EngineBuild, BTreeMap<String, String>)>);

fn plan_engine(
    workspace: &Workspace,
    engine: &Engine,
    component: &Component,
    build_args: &BTreeMap<String, String>,
) -> Result<EnginePlan> {
    let siblings = workspace.components.iter().filter(|other| other.package.folder == component.package.folder);
    let names: Vec<String> = build_args.keys().cloned().collect();
    let plan = dockerfiles::plan(workspace, siblings.collect(), &names)?;
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
            let image = dockerfiles::builder_image(workspace, platform)?;
            let identity = BTreeMap::from([
                ("dockerfile".to_owned(), Digest::of(text.as_bytes()).to_string()),
                // A tag moves; the id of what the engine has says which one it is.
                ("image".to_owned(), engine.image_id(&image).unwrap_or(image)),
            ]);
            let build = EngineBuild {
                dockerfile: dockerfile.clone(),
                stage: plan.stage("executable", component),
                platform: platform.clone(),
                build_args: build_args.clone(),
                credentials: credentials(workspace),
                ssh: workspace.lock_text.contains("\"git+ssh://") && std::env::var_os("SSH_AUTH_SOCK").is_some(),
            };
            Ok((build, identity))
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
    let home =
        std::env::var("CARGO_HOME").or_else(|_| std::env::var("HOME").map(|home| format!("{home}/.cargo"))).ok()?;
    let file = Utf8PathBuf::from(home).join("credentials.toml");
    (uses_private && file.is_file()).then_some(file)
}

/// `REGISTRY/REPOSITORY:TAG` for the commit's tag and each further one.
fn references(
    workspace: &Workspace,
    component: &Component,
    revision: &Revision,
    tags: &[String],
) -> Result<Vec<ImageReference>> {
    let name = image_name(workspace, &component.name)?;
    let commit = match revision.commit.split_once('-') {
        Some((commit, mark)) => format!("sha-{}-{mark}", &commit[..commit.len().min(7)]),
        None if revision.commit == "unknown" => "local".to_owned(),
        None => format!("sha-{}", &revision.commit[..revision.commit.len().min(7)]),
    };
    let all = std::iter::once(&commit).chain(tags);
    all.map(|tag| Ok(name.with_tag(tag.parse::<Tag>()?))).collect()
}
