//! Arguments of `releases`.

use camino::Utf8PathBuf;
use clap::{Args, Subcommand};

use super::RegistryOptions;
use crate::image::reference::Tag;

/// What names a release, for the help of each subcommand.
const NAMES: &str = "A release is named by an environment (what it was proven to run), a tag (`main`, `v1.2.3`,\n\
    `sha-1234567`), a commit (`HEAD`, `HEAD~3`, a hash) or a digest.";

#[derive(Debug, Subcommand)]
pub(crate) enum ReleasesCommand {
    /// List the releases of a branch, newest first, or what an environment was proven to run.
    List(ReleaseListArgs),
    /// Print a release: its commit, tags and images.
    Show(ReleaseShowArgs),
    /// Compare two releases: which images differ, how much, by which commits.
    Diff(ReleaseDiffArgs),
    /// Write the digest record of a release.
    Fetch(ReleaseFetchArgs),
}

/// Where releases are read, and how they are printed.
#[derive(Debug, Args)]
pub(crate) struct ReleaseOutput {
    #[command(flatten)]
    pub(crate) registry: RegistryOptions,

    /// Print JSON.
    #[arg(long, conflicts_with = "markdown")]
    pub(crate) json: bool,

    /// Print markdown.
    #[arg(long)]
    pub(crate) markdown: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    cargo xtask releases list\n  \
    cargo xtask releases list --branch release/1.2 -n 5\n  \
    cargo xtask releases list --env staging\n  \
    cargo xtask releases list --json | jq -r '.[0].digest'")]
pub(crate) struct ReleaseListArgs {
    /// Branch whose releases are listed [default: the one that is checked out].
    #[arg(long, value_name = "NAME", conflicts_with = "env")]
    pub(crate) branch: Option<String>,

    /// Environment whose releases are listed: what it was proven to run.
    #[arg(long, value_name = "ENV")]
    pub(crate) env: Option<String>,

    /// How many.
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) count: u32,

    #[command(flatten)]
    pub(crate) output: ReleaseOutput,
}

#[derive(Debug, Args)]
#[command(after_help = format!("Examples:\n  \
    cargo xtask releases show                  that of what is checked out\n  \
    cargo xtask releases show v1.2.3 --json\n  \
    cargo xtask releases show staging --markdown\n\n{NAMES}"))]
pub(crate) struct ReleaseShowArgs {
    /// The release.
    #[arg(value_name = "RELEASE", default_value = "HEAD")]
    pub(crate) release: String,

    #[command(flatten)]
    pub(crate) output: ReleaseOutput,
}

#[derive(Debug, Args)]
#[command(after_help = format!("Examples:\n  \
    cargo xtask releases diff production main     what the next deployment would bring\n  \
    cargo xtask releases diff HEAD~3 HEAD --json\n\n{NAMES}"))]
pub(crate) struct ReleaseDiffArgs {
    /// The release from which.
    #[arg(value_name = "FROM")]
    pub(crate) from: String,

    /// The release to which.
    #[arg(value_name = "TO")]
    pub(crate) to: String,

    #[command(flatten)]
    pub(crate) output: ReleaseOutput,
}

#[derive(Debug, Args)]
#[command(after_help = format!("Examples:\n  \
    cargo xtask releases fetch                 that of what is checked out\n  \
    cargo xtask releases fetch production --digests production.json\n  \
    cargo xtask releases fetch --fallback-tag main    where nobody published a release yet\n\n{NAMES}"))]
pub(crate) struct ReleaseFetchArgs {
    /// The release.
    #[arg(value_name = "RELEASE", default_value = "HEAD")]
    pub(crate) release: String,

    /// When there is no such release, make a record of the images that have this tag in the registry.
    #[arg(long, value_name = "TAG")]
    pub(crate) fallback_tag: Option<Tag>,

    #[command(flatten)]
    pub(crate) registry: RegistryOptions,

    /// Where the digest record is written [default: artifacts/docker/docker-image-digests.json of the workspace].
    #[arg(long, value_name = "FILE")]
    pub(crate) digests: Option<Utf8PathBuf>,

    /// Say which release would be taken, and write nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
}
