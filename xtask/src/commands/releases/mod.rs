//! `releases`: what was published, read from the registry.

mod diff;
mod fetch;
mod list;
mod show;

use anyhow::Result;
use camino::Utf8Path;

use super::Outcome;
use super::chosen_release::{named, releases};
use crate::cli::{RegistryOptions, ReleasesCommand};
use crate::gather::workspace::Workspace;
use crate::image::reference::Digest;
use crate::registry::{Client, Credentials, StoredRelease};

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
    let client = client(options);
    let releases = releases(workspace, &client, options.registry.as_ref())?;
    named(workspace, &releases, name, &options.insecure_registry)
}

fn client(options: &RegistryOptions) -> Client {
    Client::new(Credentials::from_environment()).allowing_plain_http(options.insecure_registry.clone())
}

/// The first twelve digits of a digest, for tables: enough for people to tell them apart.
fn short(digest: &Digest) -> String {
    digest.hex()[..12].to_owned()
}

/// A table of markdown.
fn markdown_table(header: &[&str], rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let header: Vec<String> = header.iter().map(ToString::to_string).collect();
    let rule: Vec<String> = header.iter().map(|_| "---".to_owned()).collect();
    rows.iter().fold(line(&header) + &line(&rule), |text, row| text + &line(row))
}
