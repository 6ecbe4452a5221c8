//! Arguments of `digests`.

use camino::Utf8PathBuf;
use clap::{Args, Subcommand};

use super::MergeArgs;
use crate::image::reference::{Registry, Tag};

#[derive(Debug, Subcommand)]
pub(crate) enum DigestsCommand {
    /// Print the record: as a table, JSON, markdown, or lines of an environment file.
    Show(ShowArgs),
    /// Check that the registry has every image as recorded; exit 1 when it has not.
    Verify(VerifyArgs),
    /// Join parts that jobs pushed by digest: push the indexes, set the tags, write the record.
    Merge(MergeArgs),
    /// Get the record that CI's newest successful run wrote.
    Fetch(FetchArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    cargo xtask digests show\n  \
    cargo xtask digests show engine --json | jq -r '.engine.image'\n  \
    cargo xtask digests show --markdown | gh issue create --title 'Deploy' --body-file -\n  \
    cargo xtask digests show --env > images.env && docker compose --env-file images.env up")]
pub(crate) struct ShowArgs {
    /// Components to show; all when none is named.
    #[arg(value_name = "COMPONENT")]
    pub(crate) components: Vec<String>,

    /// The record [default: artifacts/docker/docker-image-digests.json of the workspace].
    #[arg(long, value_name = "FILE")]
    pub(crate) digests: Option<Utf8PathBuf>,

    /// Print the record's JSON.
    #[arg(long, conflicts_with_all = ["markdown", "env"])]
    pub(crate) json: bool,

    /// Print markdown, for the body of a deployment issue.
    #[arg(long, conflicts_with = "env")]
    pub(crate) markdown: bool,

    /// Print lines such as ENGINE_IMAGE=ghcr.io/acme/demon-engine@sha256:…
    #[arg(long)]
    pub(crate) env: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    cargo xtask digests verify\n  \
    cargo xtask digests verify --digests staging.json --json\n\n\
    Verdicts:\n  \
    ok           the registry has the image as recorded, under its commit's tag\n  \
    missing      the registry lacks the image, or a part of it\n  \
    tag missing  the image is there, its commit's tag is not\n  \
    tag moved    the commit's tag leads to another image\n  \
    tampered     the entry disagrees with itself or with the content of its digests\n  \
    denied       the registry refuses to say\n  \
    unreachable  the registry does not answer")]
pub(crate) struct VerifyArgs {
    /// The record [default: artifacts/docker/docker-image-digests.json of the workspace].
    #[arg(long, value_name = "FILE")]
    pub(crate) digests: Option<Utf8PathBuf>,

    /// Speak plain http with this registry, though it is not this machine. May be repeated.
    #[arg(long, value_name = "HOST")]
    pub(crate) insecure_registry: Vec<Registry>,

    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    GITHUB_TOKEN=$(gh auth token) cargo xtask digests fetch --repository acme/shop\n  \
    cargo xtask digests fetch --branch release/1.2 --output release.json\n  \
    cargo xtask digests fetch --fallback-tag main    when all artifacts have expired\n\n\
    Reads GITHUB_TOKEN (with `actions: read`), GITHUB_REPOSITORY and GITHUB_API_URL. Runs of pushes,\n\
    schedules and manual starts count, runs of pull requests and forks do not.")]
pub(crate) struct FetchArgs {
    /// File name of the workflow.
    #[arg(long, value_name = "FILE", default_value = "docker-build.yml")]
    pub(crate) workflow: String,

    /// Branch whose runs count.
    #[arg(long, value_name = "NAME", default_value = "main")]
    pub(crate) branch: String,

    /// Name of the artifact that holds the record.
    #[arg(long, value_name = "NAME", default_value = "docker-image-digests")]
    pub(crate) artifact: String,

    /// The repository on GitHub [default: GITHUB_REPOSITORY].
    #[arg(long, value_name = "OWNER/REPO")]
    pub(crate) repository: Option<String>,

    /// When no run has the record any more, make one of the images that have this tag in the registry.
    #[arg(long, value_name = "TAG")]
    pub(crate) fallback_tag: Option<Tag>,

    /// Speak plain http with this registry, though it is not this machine. May be repeated.
    #[arg(long, value_name = "HOST")]
    pub(crate) insecure_registry: Vec<Registry>,

    /// Where to write it [default: artifacts/docker/docker-image-digests.json of the workspace].
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<Utf8PathBuf>,

    /// Say which run's record would be taken, and write nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
}
