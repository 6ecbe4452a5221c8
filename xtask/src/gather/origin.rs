//! What the remote of a clone tells of the workspace. It decides no image: two clones of one commit may have
//! different ones, and their images are the same. So it is only ever said what it would be good for.

use super::repositories::owner;
use super::workspace::Workspace;
use crate::image::reference::Registry;
use crate::system::git::Git;
use crate::workspace::remote::https_address;

/// The web address of the remote `origin`.
fn origin(workspace: &Workspace) -> Option<String> {
    https_address(&Git::open(workspace.root()).ok().flatten()?.origin()?)
}

/// The line that makes images say where their sources are, when they do not; with why in front of it.
pub(crate) fn unnamed_source(workspace: &Workspace) -> Option<(String, String)> {
    let nameless = workspace.components.iter().find(|component| component.package.repository.is_none())?;
    let address = origin(workspace)?;
    let line = format!("`repository = \"{address}\"` in `[workspace.package]` of `Cargo.toml`");
    Some((format!("the image of `{}` does not say where its sources are", nameless.name), line))
}

/// What to do where images go to another repository than CI's, which knows `{owner}`; with why in front of it. A
/// registry of this machine is nobody else's.
pub(crate) fn left_out_owner(workspace: &Workspace, registry: &Registry) -> Option<(String, String)> {
    let template = &workspace.packages.settings.repository;
    if !template.contains("{owner}") || owner().is_some() || registry.is_loopback() {
        return None;
    }
    let address = origin(workspace)?;
    let (_, repository) = address.trim_start_matches("https://").split_once('/')?;
    let why = format!("`{{owner}}` is left out of `{template}`, since no variable of CI names it");
    Some((why, format!("`GITHUB_REPOSITORY={repository}` names the images as CI of `{address}` does")))
}
