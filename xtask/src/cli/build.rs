//! Arguments of the commands that build.

use clap::{Args, ValueEnum};

use super::Filter;
use crate::image::platform::Platform;
use crate::image::reference::Registry;

/// What is built and how, for each command that builds.
#[derive(Debug, Default, Args)]
pub(crate) struct BuildOptions {
    /// What compiles: a container engine, or cargo on this machine.
    #[arg(long, value_enum, default_value_t = BuilderChoice::Auto)]
    pub(crate) builder: BuilderChoice,

    /// Platforms to build for, e.g. linux/amd64,linux/arm64; also read from CI_IMAGE_PLATFORM
    /// [default: `platforms` of the settings].
    #[arg(long, value_delimiter = ',', value_name = "PLATFORM")]
    pub(crate) platform: Vec<Platform>,

    /// Further tag of the images; may be repeated. Also read from CI_IMAGE_TAG.
    #[arg(long, value_name = "TAG")]
    pub(crate) tag: Vec<String>,

    /// VERSION, COMMIT_SHA and BUILD_DATE set what the image says of itself; any other is in the
    /// environment of the compiler. May be repeated; also read from CI_BUILD_ARGS.
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) build_arg: Vec<String>,

    /// Engine builds, and uploads, that run at once [default: one build per processor, four uploads].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) jobs: Option<u16>,

    /// Build with this buildx builder: remote or Kubernetes BuildKit workers.
    #[arg(long, value_name = "NAME")]
    pub(crate) buildx_builder: Option<String>,

    /// Where BuildKit finds cached layers, e.g. type=gha; handed on. May be repeated.
    #[arg(long, value_name = "CACHE")]
    pub(crate) cache_from: Vec<String>,

    /// Where BuildKit keeps cached layers, e.g. type=gha,mode=max; handed on. May be repeated.
    #[arg(long, value_name = "CACHE")]
    pub(crate) cache_to: Vec<String>,

    /// Take nothing that an engine built before; for rebuilds.
    #[arg(skip)]
    pub(crate) no_cache: bool,
}

/// Where images are pushed to, for each command that asks a registry.
#[derive(Debug, Args)]
pub(crate) struct RegistryOptions {
    /// Registry host, with its port unless 443; also read from CI_REGISTRY [default: `registry` of the
    /// settings].
    #[arg(long, value_name = "HOST")]
    pub(crate) registry: Option<Registry>,

    /// Speak plain http with this registry, though it is not this machine. May be repeated.
    #[arg(long, value_name = "HOST")]
    pub(crate) insecure_registry: Vec<Registry>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    cargo xtask docker-build\n  \
    cargo xtask docker-build engine runtime --builder native\n  \
    cargo xtask docker-build --platform linux/amd64,linux/arm64\n  \
    cargo xtask docker-build --load --tag dev\n  \
    cargo xtask docker-build --affected origin/main --dry-run\n\n\
    The images are an OCI layout in target/docker/oci, one reference per component:\n  \
    skopeo inspect oci:target/docker/oci:engine")]
pub(crate) struct DockerBuildArgs {
    #[command(flatten)]
    pub(crate) filter: Filter,

    #[command(flatten)]
    pub(crate) options: BuildOptions,

    /// Hand the images to the container engine.
    #[arg(long)]
    pub(crate) load: bool,

    /// Push the images under the commit's tag and those of --tag; `publish` does more.
    #[arg(long, conflicts_with = "load")]
    pub(crate) push: bool,

    #[command(flatten)]
    pub(crate) registry: RegistryOptions,

    /// Print the plan with the exact commands, and change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Print the result as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum BuilderChoice {
    /// The engine when one answers, else native.
    #[default]
    Auto,
    /// docker, podman, nerdctl, or what CI_DOCKER_CLI names.
    Docker,
    /// cargo on this machine; no engine needed.
    Native,
}
