//! Arguments of `bases`.

use clap::{ArgGroup, Args};

use crate::image::images_lock::Mirror;
use crate::image::reference::Registry;

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("action").args(["update", "mirror", "check"]), after_help = "Examples:\n  \
    cargo xtask bases                            base and builder images in use, and their digests\n  \
    cargo xtask bases --update                   hold their tags to today's digests, in images.lock\n  \
    cargo xtask bases --check                    in CI: exit 1 when a tag moved on\n  \
    cargo xtask bases --mirror ghcr.io/acme      copy them, by digest\n\n\
    Where there is an images.lock, it decides what builds use and what Dockerfiles begin with.")]
pub(crate) struct BasesArgs {
    /// Write images.lock: what each tag names now. Entries that no setting uses go.
    #[arg(long)]
    pub(crate) update: bool,

    /// Ask the registries; exit 1 when a tag moved on, is not locked, or its image is gone.
    #[arg(long)]
    pub(crate) check: bool,

    /// Copy all images of known digest into this registry, below this path [default: the setting `mirror`].
    #[arg(long, value_name = "REGISTRY[/PATH]", num_args = 0..=1)]
    pub(crate) mirror: Option<Option<Mirror>>,

    /// Print what --update would write or --mirror would copy; change nothing.
    #[arg(long, requires = "action", conflicts_with = "check")]
    pub(crate) dry_run: bool,

    /// Speak plain http with this registry, though it is not this machine. May be repeated.
    #[arg(long, value_name = "HOST", requires = "action")]
    pub(crate) insecure_registry: Vec<Registry>,

    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}
