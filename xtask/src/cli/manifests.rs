//! Arguments of `manifests`.

use camino::Utf8PathBuf;
use clap::Args;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    cargo xtask manifests                          pin them to artifacts/docker/docker-image-digests.json\n  \
    cargo xtask manifests --check                  in CI: show a diff and exit 1 when one is not pinned\n  \
    cargo xtask manifests --placeholder            nginx:alpine for all our images; without it, back again\n  \
    cargo xtask manifests --adopt --dry-run        what it takes for ours, such as myorg/cart:latest\n  \
    cargo xtask manifests --init                   first ones, for components that have none\n  \
    cargo xtask manifests --digests staging.json   pin them to another record\n  \
    cargo xtask manifests --env staging            those of an environment, to what was promoted there\n\n\
    Which files: `manifests` in [workspace.metadata.docker], [\"k8s\"] without it.")]
pub(crate) struct ManifestsArgs {
    /// Write nothing; show what differs and exit 1 when something does.
    #[arg(long)]
    pub(crate) check: bool,

    /// Swap in `nginx:alpine` for images of our components; also with XTASK_IMAGES=placeholder.
    #[arg(long)]
    pub(crate) placeholder: bool,

    /// Digest record to pin to [default: artifacts/docker/docker-image-digests.json].
    #[arg(long, value_name = "FILE")]
    pub(crate) digests: Option<Utf8PathBuf>,

    /// Pin the manifests of this environment, to its own record (artifacts/docker/ENV/docker-image-digests.json).
    #[arg(long, value_name = "ENV")]
    pub(crate) env: Option<String>,

    /// Also pin images that look like those of components no manifest names: by the last part of their
    /// repository, or by the container's name.
    #[arg(long, conflicts_with_all = ["check", "placeholder"])]
    pub(crate) adopt: bool,

    /// Write a first Deployment and Service for each component that no manifest names, and where there are no
    /// manifests yet a kustomization.
    #[arg(long, conflicts_with_all = ["check", "placeholder", "adopt", "json"])]
    pub(crate) init: bool,

    /// Write nothing; list what would change.
    #[arg(long, conflicts_with = "check")]
    pub(crate) dry_run: bool,

    /// Print the images as JSON.
    #[arg(long, conflicts_with = "check")]
    pub(crate) json: bool,
}
