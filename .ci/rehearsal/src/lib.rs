//! Runs the steps of the workflows in `.github/workflows` on this machine, as GitHub's runner would, so
//! that they are tested before they are pushed.
//!
//! It understands what these workflows use and nothing else: any other key, action or expression ends it
//! with a panic that names it, and so no step is passed over in silence.

mod actions;
mod expression;
pub mod machine;
mod runner;
pub mod workflow;

use std::path::{Path, PathBuf};
use std::process::Command;

/// The root of the workspace that this is part of.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Runs a tool, which must succeed, and gives its standard output without white space around it.
#[track_caller]
pub fn tool(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let stdout = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    assert!(output.status.success(), "{command:?}: {stdout}\n{}", String::from_utf8_lossy(&output.stderr));
    stdout
}
