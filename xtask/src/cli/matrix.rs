//! Arguments of `matrix`.

use clap::Args;

use crate::image::platform::Platform;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    cargo xtask matrix\n\n\
    Prints JSON on one line: {\"include\":[{\"platform\":…,\"runner\":…,\"slug\":…}]}, a job per platform. In a\n\
    workflow on GitHub it is the step's output `matrix` too.")]
pub(crate) struct MatrixArgs {
    /// Platforms, e.g. linux/amd64,linux/arm64; also read from CI_IMAGE_PLATFORM
    /// [default: `platforms` of the settings].
    #[arg(long, value_delimiter = ',', value_name = "PLATFORM")]
    pub(crate) platform: Vec<Platform>,
}
