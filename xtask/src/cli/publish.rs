//! Arguments of `publish`.

use camino::Utf8PathBuf;
use clap::Args;

use super::{BuildOptions, Filter, RegistryOptions};
use crate::image::platform::Platform;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    cargo xtask publish                              what the registry lacks is built and pushed, all is tagged\n  \
    cargo xtask publish --dry-run                    what would be built, why, and under which tags\n  \
    cargo xtask publish engine --tag 2026.11.0\n  \
    cargo xtask publish --affected origin/main --no-manifests\n  \
    CI_PUSH=false cargo xtask publish                a full build, nothing pushed\n  \
    COSIGN_KEY=cosign.key cargo xtask publish --sign\n  \
    cargo xtask publish --scan                       not what is known to be vulnerable\n\n  \
    cargo xtask publish --platform linux/arm64 --by-digest --digests part-arm64.json\n  \
    cargo xtask digests merge part-*.json            one job per platform, then tags and record\n\n\
    Credentials: CI_REGISTRY_USERNAME and CI_REGISTRY_PASSWORD, else docker's and podman's configuration.")]
pub(crate) struct PublishArgs {
    #[command(flatten)]
    pub(crate) filter: Filter,

    #[command(flatten)]
    pub(crate) options: BuildOptions,

    #[command(flatten)]
    pub(crate) registry: RegistryOptions,

    /// Build all, also what the registry has under the same inputs.
    #[arg(long)]
    pub(crate) rebuild: bool,

    /// Publish though the tree differs from the commit; the tag says `-dirty`.
    #[arg(long)]
    pub(crate) allow_dirty: bool,

    /// Sign the images, their release, and what is attached to them: by COSIGN_KEY, else by `sign` of the settings.
    #[arg(long)]
    pub(crate) sign: bool,

    /// Attach to each image what it is made of (CycloneDX and SPDX) and how it was made (SLSA provenance)
    /// [default: `attestations` of the settings].
    #[arg(long)]
    pub(crate) attest: bool,

    /// Have cargo-audit look at Cargo.lock first; what reaches `fail-on` of the settings stops it before anything is built
    /// (`scan` has Trivy and Grype look at images, by the digests that they have once pushed).
    #[arg(long, conflicts_with = "rehearse")]
    pub(crate) scan: bool,

    /// Leave the Kubernetes manifests as they are.
    #[arg(long)]
    pub(crate) no_manifests: bool,

    /// Push without tags and write a part for `digests merge`; needs --digests.
    #[arg(long, requires = "digests", conflicts_with_all = ["rehearse", "sign"])]
    pub(crate) by_digest: bool,

    /// Where the digest record, or the part, is written
    /// [default: artifacts/docker/docker-image-digests.json].
    #[arg(long, value_name = "FILE")]
    pub(crate) digests: Option<Utf8PathBuf>,

    /// Build and push nothing; write the service manifest from the plan alone.
    #[arg(long)]
    pub(crate) rehearse: bool,

    /// Print what would be built, pushed and tagged, and why; change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Print the digest record.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    cargo xtask digests merge part-linux-amd64.json part-linux-arm64.json\n  \
    cargo xtask digests merge part-*.json --platform linux/amd64,linux/arm64")]
pub(crate) struct MergeArgs {
    /// Files that `publish --by-digest` wrote.
    #[arg(value_name = "PART", required = true)]
    pub(crate) parts: Vec<Utf8PathBuf>,

    /// Platforms that every component must have; also read from CI_IMAGE_PLATFORM
    /// [default: `platforms` of the settings].
    #[arg(long, value_delimiter = ',', value_name = "PLATFORM")]
    pub(crate) platform: Vec<Platform>,

    /// Further tag of the images; may be repeated. Also read from CI_IMAGE_TAG.
    #[arg(long, value_name = "TAG")]
    pub(crate) tag: Vec<String>,

    #[command(flatten)]
    pub(crate) registry: RegistryOptions,

    /// Sign the images, their release, and what is attached to them: by COSIGN_KEY, else by `sign` of the settings.
    #[arg(long)]
    pub(crate) sign: bool,

    /// Leave the Kubernetes manifests as they are.
    #[arg(long)]
    pub(crate) no_manifests: bool,

    /// Where the digest record is written [default: artifacts/docker/docker-image-digests.json].
    #[arg(long, value_name = "FILE")]
    pub(crate) digests: Option<Utf8PathBuf>,

    /// Print what would be tagged; change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Print the digest record.
    #[arg(long)]
    pub(crate) json: bool,
}
