//! Arguments of `deploy` and `rollback`.

use std::time::Duration;

use clap::Args;

use crate::image::reference::Registry;
use crate::workspace::duration::duration;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    cargo xtask deploy staging                                 the release of what is checked out\n  \
    cargo xtask deploy production --release staging            what staging was proven to run\n  \
    cargo xtask deploy production --release v1.2.3 --dry-run\n  \
    cargo xtask deploy staging --rollback-on-failure\n  \
    cargo xtask deploy staging --attest                        and leave a proof that it ran there\n  \
    cargo xtask deploy production --release staging --require-signature --require-proof staging\n\n\
    Copies the images to the environment's registry where that is another one, pins the environment's manifests,\n\
    applies them, runs smoke, and then marks the release there: `deployed-ENV`, `deployed-ENV-<n>`.\n\
    How releases are named: `cargo xtask releases show --help`.")]
pub(crate) struct DeployArgs {
    /// The environment, as in the settings.
    #[arg(value_name = "ENV")]
    pub(crate) environment: String,

    /// The release [default: that of HEAD, else of its branch].
    #[arg(long, value_name = "RELEASE")]
    pub(crate) release: Option<String>,

    /// When smoke fails, deploy what the environment was proven to run before.
    #[arg(long)]
    pub(crate) rollback_on_failure: bool,

    /// Deploy only what is signed, as `verify --require signature`.
    #[arg(long)]
    pub(crate) require_signature: bool,

    /// Deploy only what a smoke test passed for in this environment, as `verify --require proof:ENV`.
    #[arg(long, value_name = "ENV")]
    pub(crate) require_proof: Option<String>,

    /// Deploy only what so many builders built again with the same result, as `verify --require rebuilds:N`.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) require_rebuilds: Option<u16>,

    /// Attach smoke's result to the release, as proof of what ran.
    #[arg(long)]
    pub(crate) attest: bool,

    /// Sign that proof: by COSIGN_KEY, else by `sign` of the settings.
    #[arg(long, requires = "attest")]
    pub(crate) sign: bool,

    #[command(flatten)]
    pub(crate) options: DeployOptions,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    cargo xtask rollback staging                     what it was proven to run before\n  \
    cargo xtask rollback staging --to sha-9c68c4a\n  \
    cargo xtask releases list --env staging          what it was proven to run, newest first\n\n\
    A second rollback goes back one further. No image is copied: all that was proven there is there.")]
pub(crate) struct RollbackArgs {
    /// The environment, as in the settings.
    #[arg(value_name = "ENV")]
    pub(crate) environment: String,

    /// A release that the environment was proven to run [default: the one before].
    #[arg(long, value_name = "RELEASE")]
    pub(crate) to: Option<String>,

    #[command(flatten)]
    pub(crate) options: DeployOptions,
}

/// What both have.
#[derive(Debug, Args)]
pub(crate) struct DeployOptions {
    /// kubectl context [default: the environment's, else the current one].
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,

    /// How long smoke may take, e.g. `90s`, `2m`.
    #[arg(long, value_name = "TIME", default_value = "120s", value_parser = duration)]
    pub(crate) timeout: Duration,

    /// Speak plain http with this registry, though it is not this machine. May be repeated.
    #[arg(long, value_name = "HOST")]
    pub(crate) insecure_registry: Vec<Registry>,

    /// Print what would be copied, pinned, run and marked; change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Print smoke's report as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}
