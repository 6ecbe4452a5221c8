//! The command line: clap types, nothing else.

mod bases;
mod build;
mod deploy;
mod digests;
mod manifests;
mod matrix;
mod prune;
mod publish;
mod registry;
mod releases;
mod sbom;
mod smoke;
mod verify;

use camino::Utf8PathBuf;
use clap::{Args, Parser, Subcommand};

pub(crate) use bases::BasesArgs;
pub(crate) use build::{BuildOptions, BuilderChoice, DockerBuildArgs, RegistryOptions};
pub(crate) use deploy::{DeployArgs, DeployOptions, RollbackArgs};
pub(crate) use digests::{DigestsCommand, LineValue, ShowArgs, VerifyArgs};
pub(crate) use manifests::ManifestsArgs;
pub(crate) use matrix::MatrixArgs;
pub(crate) use prune::PruneArgs;
pub(crate) use publish::{MergeArgs, PublishArgs};
pub(crate) use registry::{ListArgs, PromoteArgs, RegistryCommand};
pub(crate) use releases::{ReleaseDiffArgs, ReleaseFetchArgs, ReleaseListArgs, ReleaseShowArgs, ReleasesCommand};
pub(crate) use sbom::{SbomArgs, SbomFormat};
pub(crate) use smoke::SmokeArgs;
pub(crate) use verify::SignaturesArgs;

/// Takes a Rust workspace to running pods: images, digests, manifests, smoke tests.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    version,
    after_help = "Examples:\n  \
        cargo xtask components                    what would become an image\n  \
        cargo xtask docker-build                  build all images\n  \
        cargo xtask docker-build engine --load    build one and hand it to the engine\n  \
        cargo xtask publish                       push them and record their digests\n  \
        cargo xtask smoke --apply                 deploy them and prove what runs\n  \
        cargo xtask doctor                        what is missing on this machine\n\n\
        Exit code: 0 done, 1 failed, 2 wrong usage."
)]
pub(crate) struct Cli {
    /// Work on the workspace of this Cargo.toml instead of the one around the current folder.
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) manifest_path: Option<Utf8PathBuf>,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the components: crate, binary, version, closure, port, image.
    Components(ComponentsArgs),
    /// Write the Dockerfile and Dockerfile.dockerignore of each crate that has components.
    Dockerfiles(DockerfilesArgs),
    /// Build the images of all components, or of some.
    DockerBuild(DockerBuildArgs),
    /// Build what the registry lacks, push it, tag all, and write the digest record.
    Publish(PublishArgs),
    /// Pin the images of the manifests to the digest record, byte for byte otherwise.
    Manifests(ManifestsArgs),
    /// The digest record: show it, check it against the registry, join parts.
    #[command(subcommand)]
    Digests(DigestsCommand),
    /// What was published, from the registry: list, show, compare, fetch.
    #[command(subcommand)]
    Releases(ReleasesCommand),
    /// Copy published images to another environment, by digest.
    Promote(PromoteArgs),
    /// Bring a release to an environment: copy, pin, apply, prove, mark.
    Deploy(DeployArgs),
    /// Bring an environment back to what it was proven to run before.
    Rollback(RollbackArgs),
    /// Delete what nothing needs any more from the registry, by the policy of the settings.
    Prune(PruneArgs),
    /// Look into registries.
    #[command(subcommand)]
    Registry(RegistryCommand),
    /// Base and builder images: list, hold to digests, check for newer ones, mirror.
    Bases(BasesArgs),
    /// Print the CI matrix as JSON: each platform and the runner that builds it.
    Matrix(MatrixArgs),
    /// Check that the cluster runs exactly the recorded images, ready and healthy, or say why not.
    Smoke(SmokeArgs),
    /// Check signatures, SBOMs, provenance and proofs of a release.
    Verify(SignaturesArgs),
    /// What images are made of: numbers, or CycloneDX and SPDX documents.
    Sbom(SbomArgs),
    /// Show each tool the other commands need: found or missing, and how to mend it.
    Doctor(DoctorArgs),
}

/// Which components a command is about.
#[derive(Debug, Args)]
pub(crate) struct Filter {
    /// Components to work on; all when none is named. Also read from CI_SERVICES,
    /// CI_SERVICE_FILTER or SERVICES (comma or newline separated; the first one set wins).
    #[arg(value_name = "COMPONENT")]
    pub(crate) components: Vec<String>,

    /// Only components whose inputs differ from those at the merge base of HEAD and REF.
    #[arg(long, value_name = "REF")]
    pub(crate) affected: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    cargo xtask components\n  \
    cargo xtask components --affected origin/main\n  \
    cargo xtask components --json | jq -r '.[].name'\n  \
    cargo xtask components engine --inputs          what decides its image, and why\n  \
    cargo xtask components --why v1.2.0 HEAD        what differs for each between two commits")]
pub(crate) struct ComponentsArgs {
    #[command(flatten)]
    pub(crate) filter: Filter,

    /// List all that decides the image of each component, with the reason, and the hash over it.
    #[arg(long, conflicts_with_all = ["affected", "why"])]
    pub(crate) inputs: bool,

    /// What compiles, for --inputs: tools and variables are inputs, too.
    #[arg(long, value_enum, default_value_t = BuilderChoice::Auto, requires = "inputs")]
    pub(crate) builder: BuilderChoice,

    /// List what differs in the inputs of each component between two commits.
    #[arg(long, num_args = 2, value_names = ["FROM", "TO"], conflicts_with = "affected")]
    pub(crate) why: Vec<String>,

    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    cargo xtask dockerfiles             write them\n  \
    cargo xtask dockerfiles --check     in CI: show a diff and exit 1 when a committed one drifted")]
pub(crate) struct DockerfilesArgs {
    /// Write nothing; show what differs and exit 1 when something does.
    #[arg(long)]
    pub(crate) check: bool,

    /// Write nothing; list the files that would be written.
    #[arg(long, conflicts_with = "check")]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}
