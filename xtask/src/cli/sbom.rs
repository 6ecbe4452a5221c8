//! Arguments of `sbom`.

use camino::Utf8PathBuf;
use clap::{Args, ValueEnum};

use crate::image::platform::Platform;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    cargo xtask sbom                              how many packages each image has, and of which kind\n  \
    cargo xtask sbom engine --format cyclonedx    print one document\n  \
    cargo xtask sbom --output target/sbom         write both formats for all images\n\n\
    Says what a build would put into the images, from what cargo resolves for each binary, platform and features;\n\
    nothing is built. A base image's packages are read from its layers.")]
pub(crate) struct SbomArgs {
    /// Components to work on; all when none is named.
    #[arg(value_name = "COMPONENT")]
    pub(crate) components: Vec<String>,

    /// Platforms, e.g. linux/amd64,linux/arm64; also read from CI_IMAGE_PLATFORM
    /// [default: `platforms` of the settings].
    #[arg(long, value_delimiter = ',', value_name = "PLATFORM")]
    pub(crate) platform: Vec<Platform>,

    /// Print the document of one image; with --output, write this format only.
    #[arg(long, value_enum)]
    pub(crate) format: Option<SbomFormat>,

    /// Write the documents to this folder, as COMPONENT-PLATFORM.cdx.json and COMPONENT-PLATFORM.spdx.json.
    #[arg(long, value_name = "DIR")]
    pub(crate) output: Option<Utf8PathBuf>,

    /// Write nothing; list the files that would be written.
    #[arg(long, requires = "output")]
    pub(crate) dry_run: bool,

    /// Print the numbers as JSON.
    #[arg(long, conflicts_with_all = ["format", "output"])]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SbomFormat {
    /// CycloneDX 1.5, JSON.
    #[value(name = "cyclonedx")]
    CycloneDx,
    /// SPDX 2.3, JSON.
    Spdx,
}
