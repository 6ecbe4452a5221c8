//! Arguments of `digests`.

use camino::Utf8PathBuf;
use clap::{Args, Subcommand, ValueEnum};

use super::{MergeArgs, RegistryOptions};

#[derive(Debug, Subcommand)]
pub(crate) enum DigestsCommand {
    /// Print the record: as a table, JSON, markdown, or lines of an environment file.
    Show(ShowArgs),
    /// Check that the registry has every image as recorded; exit 1 when it has not.
    Verify(VerifyArgs),
    /// Join parts that jobs pushed by digest: push the indexes, set the tags, write the record.
    Merge(MergeArgs),
}

/// What a line for another tool holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LineValue {
    /// `repository@digest`.
    Image,
    /// The digest alone.
    Digest,
    /// The commit's tag alone.
    Tag,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    cargo xtask digests show\n  \
    cargo xtask digests show engine --json | jq -r '.engine.image'\n  \
    cargo xtask digests show --markdown | gh issue create --title 'Deploy' --body-file -\n  \
    cargo xtask digests show --env > images.env && docker compose --env-file images.env up\n  \
    cargo xtask digests show --env --name '{COMPONENT}_IMAGE_TAG' --value tag\n  \
    cargo xtask digests show --tfvars --name '{component}_docker_tag' --value tag > images.auto.tfvars")]
pub(crate) struct ShowArgs {
    /// Components to show; all when none is named.
    #[arg(value_name = "COMPONENT")]
    pub(crate) components: Vec<String>,

    /// The record [default: artifacts/docker/docker-image-digests.json of the workspace].
    #[arg(long, value_name = "FILE")]
    pub(crate) digests: Option<Utf8PathBuf>,

    /// Print the record's JSON.
    #[arg(long, conflicts_with_all = ["markdown", "env", "tfvars"])]
    pub(crate) json: bool,

    /// Print markdown, for the body of a deployment issue.
    #[arg(long, conflicts_with_all = ["env", "tfvars"])]
    pub(crate) markdown: bool,

    /// Print lines such as ENGINE_IMAGE=ghcr.io/acme/demon-engine@sha256:…
    #[arg(long, group = "lines")]
    pub(crate) env: bool,

    /// Print lines of Terraform's variables, such as engine_image = "ghcr.io/acme/demon-engine@sha256:…"
    #[arg(long, group = "lines")]
    pub(crate) tfvars: bool,

    /// Names of the lines' variables, for --env and --tfvars: {COMPONENT} in capitals, {component} in small letters
    /// [default: {COMPONENT}_IMAGE, {component}_image].
    #[arg(long, value_name = "TEMPLATE", requires = "lines")]
    pub(crate) name: Option<String>,

    /// What the lines hold.
    #[arg(long, value_enum, default_value_t = LineValue::Image, requires = "lines")]
    pub(crate) value: LineValue,

    #[command(flatten)]
    pub(crate) registry: RegistryOptions,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    cargo xtask digests verify\n  \
    cargo xtask digests verify --digests staging.json --json\n  \
    cargo xtask digests verify --registry ghcr.io       the release of HEAD there, where there is no record\n\n\
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

    #[command(flatten)]
    pub(crate) registry: RegistryOptions,

    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}
