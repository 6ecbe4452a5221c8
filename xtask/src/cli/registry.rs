//! Arguments of the commands about what is in registries.

use camino::Utf8PathBuf;
use clap::{Args, Subcommand};

use super::RegistryOptions;
use crate::image::reference::{Registry, Tag};

#[derive(Debug, Subcommand)]
pub(crate) enum RegistryCommand {
    /// List the tags of the components' repositories: digest, size, age, platforms.
    List(ListArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    cargo xtask registry list\n  \
    cargo xtask registry list engine --registry ghcr.io\n  \
    cargo xtask registry list --json | jq -r '.[].tags[].tag'\n\n\
    SIZE is what the images of all platforms weigh compressed; AGE is that of the newest commit in\n\
    the image, not of the push.")]
pub(crate) struct ListArgs {
    /// Components to list; all when none is named. Also read from CI_SERVICES, CI_SERVICE_FILTER
    /// or SERVICES.
    #[arg(value_name = "COMPONENT")]
    pub(crate) components: Vec<String>,

    #[command(flatten)]
    pub(crate) registry: RegistryOptions,

    /// List also tags that are for machines: `inputs-…`, and `sha256-…` of signatures.
    #[arg(long)]
    pub(crate) all: bool,

    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    cargo xtask promote --from local --to staging\n  \
    cargo xtask promote engine --from staging --to production --tag 2026.11.0\n  \
    cargo xtask promote --from staging --to production --dry-run\n\n\
    Environments are in the settings: [workspace.metadata.docker.environments.NAME]; `local` is the\n\
    workspace's own registry. Credentials: CI_REGISTRY_USERNAME_<ENV> and CI_REGISTRY_PASSWORD_<ENV>,\n\
    else CI_REGISTRY_USERNAME and CI_REGISTRY_PASSWORD for the registry CI_REGISTRY, else docker's and\n\
    podman's configuration.")]
pub(crate) struct PromoteArgs {
    /// Components to promote; all of the record when none is named. Also read from CI_SERVICES,
    /// CI_SERVICE_FILTER or SERVICES.
    #[arg(value_name = "COMPONENT")]
    pub(crate) components: Vec<String>,

    /// Environment that the images are in.
    #[arg(long, value_name = "ENV")]
    pub(crate) from: String,

    /// Environment that they go to.
    #[arg(long, value_name = "ENV")]
    pub(crate) to: String,

    /// Record of the images [default: artifacts/docker/ENV/docker-image-digests.json of --from when it
    /// is there, else artifacts/docker/docker-image-digests.json].
    #[arg(long, value_name = "FILE")]
    pub(crate) digests: Option<Utf8PathBuf>,

    /// Further tag that the images get there; may be repeated.
    #[arg(long, value_name = "TAG")]
    pub(crate) tag: Vec<Tag>,

    /// Promote only what is signed, as `verify --require signature`.
    #[arg(long)]
    pub(crate) require_signature: bool,

    /// Promote only what a smoke test passed for in this environment, as `verify --require proof:ENV`.
    #[arg(long, value_name = "ENV")]
    pub(crate) require_proof: Option<String>,

    /// Sign the images there: by COSIGN_KEY, else by `sign` of the settings.
    #[arg(long)]
    pub(crate) sign: bool,

    /// Images, and blobs of each, that are copied at once.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) jobs: u16,

    /// Speak plain http with this registry, though it is not this machine. May be repeated.
    #[arg(long, value_name = "HOST")]
    pub(crate) insecure_registry: Vec<Registry>,

    /// Print what would be copied, tagged and written; change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Print the record that was written.
    #[arg(long)]
    pub(crate) json: bool,
}
