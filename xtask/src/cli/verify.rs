//! Arguments of `verify`.

use clap::Args;

use super::{BuilderChoice, RegistryOptions};
use crate::workspace::signing::Requirement;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    cargo xtask verify                                   the release of what is checked out\n  \
    cargo xtask verify staging --require signature,sbom\n  \
    cargo xtask verify v1.2.3 engine --key cosign.pub    one component of a release\n  \
    cargo xtask verify --require proof:staging           that a smoke test passed there\n  \
    cargo xtask verify --json | jq .passed\n  \
    cargo xtask verify --rebuild                         that the commit gives the very same images
  \
    cargo xtask verify --rebuild v1.2.3 --attest --sign  and says so in the registry
  \
    cargo xtask verify --emit-policy > policy.yaml       for Kyverno and sigstore's policy-controller\n\n\
    How releases are named: `cargo xtask releases show --help`. Signatures are checked by the program `cosign`,\n\
    on files; it needs no access to the registry.")]
pub(crate) struct SignaturesArgs {
    /// A release [default: that of HEAD, else of its branch], and components to narrow it to.
    #[arg(value_name = "RELEASE|COMPONENT")]
    pub(crate) names: Vec<String>,

    /// The public key: a file, or an address that cosign knows [default: `sign.public-key` of the settings].
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Option<String>,

    /// What must be there: `signature`, `sbom`, `provenance`, `proof:ENV`, `rebuilds:N`.
    #[arg(long, value_name = "WHAT", value_delimiter = ',', default_value = "signature")]
    pub(crate) require: Vec<Requirement>,

    #[command(flatten)]
    pub(crate) registry: RegistryOptions,

    /// Print admission policies that demand these signatures.
    #[arg(long, conflicts_with = "json")]
    pub(crate) emit_policy: bool,

    /// Build the release's commit again, and compare the images.
    #[arg(long, conflicts_with_all = ["key", "require", "emit_policy"])]
    pub(crate) rebuild: bool,

    /// What compiles [default: what the image says that it was made by].
    #[arg(long, value_enum, requires = "rebuild", value_name = "BUILDER")]
    pub(crate) builder: Option<BuilderChoice>,

    /// Attach to each image that came out the same that it did.
    #[arg(long, requires = "rebuild")]
    pub(crate) attest: bool,

    /// Sign that statement.
    #[arg(long, requires = "attest")]
    pub(crate) sign: bool,

    /// Print what would be built and attached, and change nothing.
    #[arg(long, requires = "rebuild", conflicts_with = "json")]
    pub(crate) dry_run: bool,

    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}
