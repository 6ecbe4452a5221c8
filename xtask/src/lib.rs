//! Takes a Rust workspace to running pods.
//!
//! Planning is pure (`workspace`, `image`, `sbom`, `dockerfile`, `kubernetes`: data in, data out). Effects live in
//! `gather` (what a workspace is), `stage`, `compile`, `assemble`, `http`, `registry`, `cluster` and `system`; `commands` ties
//! them together.

/// As the standard library's, but a reader that went away (`2>&1 | head`, a closed terminal) is no reason
/// to panic.
macro_rules! eprint {
    ($($arguments:tt)*) => {{
        use std::io::Write as _;
        let _ = write!(std::io::stderr(), $($arguments)*);
    }};
}

/// See [`eprint`].
macro_rules! eprintln {
    ($($arguments:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($arguments)*);
    }};
}

mod assemble;
mod cli;
mod cluster;
mod commands;
mod compile;
mod dockerfile;
mod errors;
mod gather;
mod http;
mod image;
mod kubernetes;
mod registry;
mod sbom;
mod signing;
mod stage;
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
