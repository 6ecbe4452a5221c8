//! What compiles the executables, and what it is told.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use camino::Utf8PathBuf;

use crate::cli::BuildOptions;
use crate::compile::builder_image::resolve;
use crate::compile::engine::{Engine, EngineBuild, EngineOptions};
use crate::compile::native::{self, NativeBuild};
use crate::dockerfile::{ignore, stages, text};
use crate::gather::cargo_config::cargo_home;
use crate::gather::dockerfiles::{self, siblings};
use crate::gather::workspace::Workspace;
use crate::image::platform::Platform;
use crate::image::reference::Digest;
use crate::system::cargo::HostToolchain;
use crate::system::environment::{any_variable, variable};
use crate::system::progress::Progress;
use crate::workspace::components::Component;
use crate::workspace::ignore_patterns::IgnorePatterns;
use crate::workspace::inputs::Input;
use crate::workspace::rust_target::RustTarget;

pub(crate) enum Builder {
    /// Cargo here: one build per platform.
    Native(Vec<(Platform, NativeBuild)>),
    /// A container engine: one build per component and platform.
    Engine(Box<EngineBuilder>),
}

impl Builder {
    /// Plans cargo's builds.
    pub(super) fn native(
        workspace: &Workspace,
        toolchain: &HostToolchain,
        build_args: &BTreeMap<String, String>,
    ) -> Result<Self> {
        let builds = workspace.platforms.iter().map(|platform| {
            let target = RustTarget::new(platform, workspace.packages.settings.linkage)?;
            Ok((platform.clone(), native::plan(workspace, toolchain, target, build_args)?))
        });
        builds.collect::<Result<_>>().map(Builder::Native)
    }

    /// Adds what only `component` needs, and gives what of this builder decides its executable for each platform.
    pub(super) fn plan(
        &mut self,
        workspace: &Workspace,
        component: &Component,
    ) -> Result<Vec<(Platform, BTreeSet<Input>)>> {
        match self {
            Builder::Native(builds) => {
                let inputs = |(platform, build): &(Platform, NativeBuild)| {
                    (platform.clone(), build.inputs(workspace, component))
                };
                Ok(builds.iter().map(inputs).collect())
            }
            Builder::Engine(builder) => builder.plan(workspace, component),
        }
    }
}

/// An engine that compiles.
pub(crate) struct EngineBuilder {
    pub(crate) engine: Engine,
    /// Texts of the generated files, by path.
    pub(crate) files: BTreeMap<Utf8PathBuf, String>,
    /// The builder image of each platform, as the engine is given it, with what tells its content apart.
    images: Vec<(Platform, String, Input)>,
    /// The variables that `pass-env` names.
    passed: BTreeMap<String, String>,
    options: EngineOptions,
}

impl EngineBuilder {
    /// Looks up the builder images.
    ///
    /// # Errors
    /// A platform without one, or one that cannot be found.
    pub(super) fn new(
        workspace: &Workspace,
        engine: Engine,
        build_args: BTreeMap<String, String>,
        options: &BuildOptions,
        progress: &Progress,
    ) -> Result<Self> {
        let images = builder_images(workspace, &engine, progress)?;
        let passed = workspace.pass_env().into_iter().filter_map(|name| Some((name.clone(), any_variable(name)?)));
        let passed: BTreeMap<String, String> = passed.collect();
        let options = EngineOptions {
            build_args: passed.clone().into_iter().chain(build_args).collect(),
            credentials: credentials(workspace),
            ssh: workspace.lock_text.contains("\"git+ssh://") && variable("SSH_AUTH_SOCK").is_some(),
            cache_from: options.cache_from.clone(),
            cache_to: options.cache_to.clone(),
            no_cache: options.no_cache,
        };
        Ok(EngineBuilder { engine, files: BTreeMap::new(), images, passed, options })
    }

    /// How the engine makes the executable of `component` for `platform`.
    pub(crate) fn build<'a>(
        &'a self,
        workspace: &Workspace,
        component: &Component,
        platform: &'a Platform,
    ) -> EngineBuild<'a> {
        EngineBuild {
            dockerfile: folder(workspace, component).join("Dockerfile"),
            stage: stages::stage("executable", component, &siblings(workspace, component)),
            platform,
            options: &self.options,
        }
    }

    fn plan(&mut self, workspace: &Workspace, component: &Component) -> Result<Vec<(Platform, BTreeSet<Input>)>> {
        let names: Vec<String> = self.options.build_args.keys().cloned().collect();
        let mut plan = dockerfiles::plan(workspace, siblings(workspace, component), &names)?;
        // The stage holds nothing that is ignored.
        plan.context.docker_ignore = IgnorePatterns::default();
        plan.context.git_ignore = IgnorePatterns::default();
        for (platform, image, _) in &self.images {
            if let Some(builder) = plan.builders.get_mut(platform) {
                builder.image.clone_from(image);
            }
        }
        let text = text::text(&plan);
        let dockerfile = Input::tool("Dockerfile", Digest::of(text.as_bytes()).to_string());
        let folder = folder(workspace, component);
        let ignored = ignore::text(&plan.context, &component.package.name);
        self.files.extend([(folder.join("Dockerfile"), text), (folder.join("Dockerfile.dockerignore"), ignored)]);
        let passed = self.passed.iter().map(|(name, value)| Input::variable(name, value));
        let inputs = |image: &Input| passed.clone().chain([image.clone(), dockerfile.clone()]).collect();
        Ok(self.images.iter().map(|(platform, _, image)| (platform.clone(), inputs(image))).collect())
    }
}

/// Where the Dockerfile of the component's package is.
fn folder(workspace: &Workspace, component: &Component) -> Utf8PathBuf {
    workspace.output().join("dockerfiles").join(&component.package.name)
}

fn builder_images(
    workspace: &Workspace,
    engine: &Engine,
    progress: &Progress,
) -> Result<Vec<(Platform, String, Input)>> {
    let mut known: BTreeMap<String, (String, Input)> = BTreeMap::new();
    let mut images = Vec::new();
    for platform in &workspace.platforms {
        let image = dockerfiles::builder_image(workspace, platform)?;
        if !known.contains_key(&image) {
            let resolved = resolve(engine, &workspace.pin(&image)?, progress)?;
            known.insert(image.clone(), resolved);
        }
        let (image, input) = known[&image].clone();
        images.push((platform.clone(), image, input));
    }
    Ok(images)
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
