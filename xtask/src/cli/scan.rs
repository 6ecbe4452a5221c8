//! Arguments of `scan`.

use camino::Utf8PathBuf;
use clap::{Args, ValueEnum};

use crate::workspace::scan::Severity;

#[derive(Debug, Default, Args)]
#[command(after_help = "Examples:\n  \
    cargo xtask scan                                with what is installed: cargo-audit, trivy, grype\n  \
    cargo xtask scan --with cargo-audit --fail-on medium\n  \
    cargo xtask scan --sarif scan.sarif --openvex vex.json    for CI, whatever is found\n  \
    cargo xtask scan --json | jq '.findings[].id'\n\n\
    A scanner that crashes, prints nonsense or has an old database is an error, never `no findings`.\n\
    Exceptions, each with its reason and its last day, are settings: `[workspace.metadata.docker.scan]`.")]
pub(crate) struct ScanArgs {
    /// Scanners to run, and no others [default: those that are installed].
    #[arg(long, value_delimiter = ',', value_name = "SCANNER", value_enum)]
    pub(crate) with: Vec<Scanner>,

    /// Least severity that fails: info, low, medium, high, critical [default: `fail-on` of the settings, else high].
    /// What nobody rated counts as high.
    #[arg(long, value_name = "SEVERITY")]
    pub(crate) fail_on: Option<Severity>,

    /// RustSec database for cargo-audit: a folder, a clone of it, instead of the one that it fetches.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) database: Option<Utf8PathBuf>,

    /// Digest record whose images are scanned [default: that of the workspace, else of its release].
    #[arg(long, value_name = "FILE")]
    pub(crate) digests: Option<Utf8PathBuf>,

    /// Write the findings as SARIF 2.1.0.
    #[arg(long, value_name = "FILE")]
    pub(crate) sarif: Option<Utf8PathBuf>,

    /// Write what is excepted as OpenVEX 0.2.0.
    #[arg(long, value_name = "FILE")]
    pub(crate) openvex: Option<Utf8PathBuf>,

    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// A program that looks for known weaknesses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scanner {
    /// Cargo.lock, against the RustSec database.
    CargoAudit,
    /// Published images.
    Trivy,
    /// Published images.
    Grype,
}
