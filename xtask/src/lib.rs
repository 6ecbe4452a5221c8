//! Takes a Rust workspace to running pods.
//!
//! Planning is pure (`workspace`, `image`, `dockerfile`: data in, data out); effects live in
//! `compile`, `assemble`, `registry` and `system`; `commands` ties them together.

mod assemble;
mod cli;
mod commands;
mod compile;
mod dockerfile;
mod image;
mod registry;
mod system;
mod workspace;

use std::ffi::OsString;
use std::process::ExitCode;

/// Parses `arguments` (the program's name first), runs the command and prints its error, if any.
///
/// Exit code 0: done; 1: failed; 2: wrong usage.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    commands::run(arguments)
}
