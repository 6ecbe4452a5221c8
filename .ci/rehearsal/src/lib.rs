//! Runs the steps of the workflows in `.github/workflows` on this machine, as GitHub's runner would, so
//! that they are tested before they are pushed.
//!
//! It understands what these workflows use and nothing else: any other key, action or expression is an
//! error, and so no step is passed over in silence.

pub mod actions;
pub mod event;
pub mod expression;
pub mod runner;
pub mod workflow;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The root of the workspace that this is part of.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("this crate lies two below the root").to_owned()
}

/// Runs a tool and gives its standard output, without white space around it.
///
/// # Errors
/// It cannot be started, or fails.
pub fn tool(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run {:?}", command.get_program()))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} failed ({}):\n{stderr}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
