//! `digests`: the record of published images.

mod merge;
mod show;
mod verify;

use anyhow::Result;
use camino::{Utf8Path, Utf8PathBuf};

use super::Outcome;
use super::chosen_release::instead_in;
use crate::cli::{DigestsCommand, RegistryOptions};
use crate::gather::record;
use crate::gather::workspace::Workspace;
use crate::image::record::DigestRecord;
use crate::system::cargo;

/// Runs one of the subcommands.
pub(crate) fn run(manifest: Option<&Utf8Path>, command: &DigestsCommand) -> Result<Outcome> {
    match command {
        DigestsCommand::Show(arguments) => show::run(manifest, arguments),
        DigestsCommand::Verify(arguments) => verify::run(manifest, arguments),
        DigestsCommand::Merge(arguments) => merge::run(manifest, arguments),
    }
}

/// The record of a release in the registry of the options, where no file is named and there is none at `path`.
///
/// # Errors
/// A file is named; there is no release either.
fn of_release(
    manifest: Option<&Utf8Path>,
    path: &Utf8Path,
    named: Option<&Utf8Path>,
    registry: &RegistryOptions,
) -> Result<DigestRecord> {
    match named {
        Some(_) => Err(record::missing(path, None)),
        None => {
            instead_in(path, &Workspace::load(manifest, &[])?, registry.registry.as_ref(), &registry.insecure_registry)
        }
    }
}

/// Where the record is. The workspace is asked for only when no file is named.
fn record_path(manifest: Option<&Utf8Path>, named: Option<&Utf8Path>) -> Result<Utf8PathBuf> {
    let root = if named.is_some() { Utf8PathBuf::new() } else { cargo::workspace_root(manifest)? };
    Ok(record::path(&root, named))
}
