//! `matrix`: the platforms and their runners, for a CI workflow.

use anyhow::Result;
use camino::Utf8Path;

use super::build::options::platforms;
use super::{Outcome, print};
use crate::cli::MatrixArgs;
use crate::gather::workspace::Workspace;
use crate::system::environment::variable;
use crate::system::files::append;
use crate::workspace::matrix::matrix;

/// Prints the matrix on one line, and makes it the output `matrix` of a workflow's step.
pub(crate) fn run(manifest: Option<&Utf8Path>, arguments: &MatrixArgs) -> Result<Outcome> {
    let workspace = Workspace::load(manifest, &platforms(&arguments.platform)?)?;
    let matrix = matrix(&workspace.platforms, &workspace.packages.settings.runners)?;
    let line = serde_json::to_string(&matrix)? + "\n";
    print(&line)?;
    if let Some(output) = variable("GITHUB_OUTPUT") {
        append(Utf8Path::new(&output), &format!("matrix={line}"))?;
    }
    Ok(Outcome::Done)
}
