//! Arguments of `prune`.

use clap::Args;

use crate::image::promotion::LOCAL;
use crate::image::reference::Registry;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    cargo xtask prune                              what would be deleted, and why the rest stays\n  \
    cargo xtask prune --apply                      delete it\n  \
    cargo xtask prune --env staging --apply        in an environment's registry\n  \
    cargo xtask prune --json | jq '.repositories[].deleted | length'\n\n\
    The policy is [workspace.metadata.docker.prune] in the root Cargo.toml: keep-per-branch (10), keep-days\n\
    (30), keep-tags (versions), keep-deploys (5), short-lived (none). Whatever a release that is kept, a\n\
    manifest, the digest record, an environment or an object of a cluster names stays in any case; what\n\
    cannot be looked at is an error.")]
pub(crate) struct PruneArgs {
    /// Environment whose registry is pruned.
    #[arg(long, value_name = "ENV", default_value = LOCAL)]
    pub(crate) env: String,

    /// Delete what the plan says; without it, nothing is changed.
    #[arg(long)]
    pub(crate) apply: bool,

    /// Ask no cluster what it runs: what only a pod names is deleted.
    #[arg(long)]
    pub(crate) without_cluster: bool,

    /// Do not ask this environment, neither its registry nor its cluster: what it alone runs is deleted. May be repeated.
    #[arg(long, value_name = "ENV")]
    pub(crate) without_env: Vec<String>,

    /// Speak plain http with this registry, though it is not this machine. May be repeated.
    #[arg(long, value_name = "HOST")]
    pub(crate) insecure_registry: Vec<Registry>,

    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}
