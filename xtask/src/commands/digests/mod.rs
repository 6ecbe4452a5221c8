//! `digests`: the record of published images.

mod fetch;
mod merge;
mod show;
mod verify;

use anyhow::{Context, Result};
use camino::{Utf8Path, Utf8PathBuf};

use super::Outcome;
use crate::cli::DigestsCommand;
use crate::image::record::RECORD_PATH;
use crate::system::cargo;

/// Runs one of the subcommands.
pub(crate) fn run(manifest: Option<&Utf8Path>, command: &DigestsCommand) -> Result<Outcome> {
    match command {
        DigestsCommand::Show(arguments) => show::run(manifest, arguments),
        DigestsCommand::Verify(arguments) => verify::run(manifest, arguments),
        DigestsCommand::Merge(arguments) => merge::run(manifest, arguments),
        DigestsCommand::Fetch(arguments) => fetch::run(manifest, arguments),
    }
}

/// Where the record is: `given`, or its place in the workspace.
fn record_path(manifest: Option<&Utf8Path>, given: Option<&Utf8Path>) -> Result<Utf8PathBuf> {
    match given {
        Some(path) => Ok(path.to_owned()),
        None => Ok(cargo::workspace_root(manifest)?.join(RECORD_PATH)),
    }
}

/// The record's text.
fn read_record(path: &Utf8Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| {
        format!("cannot read `{path}`; `cargo xtask publish` writes it, `cargo xtask digests fetch` gets that of CI")
    })
}
