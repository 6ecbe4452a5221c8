//! `releases`: what was published, read from the registry.

mod diff;
mod document;
mod fetch;
mod list;
mod show;

use anyhow::Result;
use camino::Utf8Path;

use super::Outcome;
use super::chosen_release::{named, releases};
use super::environments::own_client;
use crate::cli::{RegistryOptions, ReleasesCommand};
use crate::gather::workspace::Workspace;
use crate::image::reference::Digest;
use crate::registry::StoredRelease;

/// Runs one of the subcommands.
pub(crate) fn run(manifest: Option<&Utf8Path>, command: &ReleasesCommand) -> Result<Outcome> {
    match command {
        ReleasesCommand::List(arguments) => list::run(manifest, arguments),
        ReleasesCommand::Show(arguments) => show::run(manifest, arguments),
        ReleasesCommand::Diff(arguments) => diff::run(manifest, arguments),
        ReleasesCommand::Fetch(arguments) => fetch::run(manifest, arguments),
    }
}

/// The release of this name, in the registry of the options.
fn one(workspace: &Workspace, name: &str, options: &RegistryOptions) -> Result<StoredRelease> {
    let client = own_client(&options.insecure_registry);
    let releases = releases(workspace, &client, options.registry.as_ref())?;
    named(workspace, &releases, name, &options.insecure_registry)
}

/// The first twelve digits of a digest, for tables: enough for people to tell them apart.
fn short(digest: &Digest) -> String {
    digest.hex()[..12].to_owned()
}
