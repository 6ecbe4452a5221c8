//! `matrix`: the platforms and their runners, for a CI workflow.

use anyhow::Result;
use camino::Utf8Path;

use super::build::options::platforms;
use super::{Outcome, print};
use crate::cli::MatrixArgs;
use crate::gather::workspace::Workspace;
use crate::workspace::matrix::matrix;

/// Prints the matrix, on one line, as `GITHUB_OUTPUT` takes it.
pub(crate) fn run(manifest: Option<&Utf8Path>, arguments: &MatrixArgs) -> Result<Outcome> {
    let workspace = Workspace::load(manifest, &platforms(&arguments.platform)?)?;
    let matrix = matrix(&workspace.platforms, &workspace.packages.settings.runners)?;
    print(&(serde_json::to_string(&matrix)? + "\n"))?;
    Ok(Outcome::Done)
}
