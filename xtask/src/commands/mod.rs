//! One file per command: gather, plan, apply, report.

mod bases;
mod build;
mod chosen_release;
mod components;
mod deploy;
mod digests;
mod docker_build;
mod dockerfiles;
mod doctor;
mod environments;
mod filter;
mod manifests;
mod matrix;
mod promote;
mod prune;
mod publish;
mod registry_list;
mod releases;
mod sbom;
mod sign;
mod smoke;
mod summary;
mod table;
mod verify;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

use crate::cli::{Cli, Command, RegistryCommand};
use crate::errors::shown;
use crate::system::{interrupt, process};

/// Parses, dispatches, prints the error.
pub(crate) fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to stdout and are no failure.
            let code = if error.use_stderr() { 2 } else { 0 };
            // A reader that has seen enough is no failure.
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let manifest = cli.manifest_path.as_deref();
    if manifest.is_some() {
        process::forget_own_toolchain();
    }
    let result = interrupt::install().and_then(|()| match &cli.command {
        Command::Components(arguments) => components::run(manifest, arguments),
        Command::Dockerfiles(arguments) => dockerfiles::run(manifest, arguments),
        Command::DockerBuild(arguments) => docker_build::run(manifest, arguments, publish::push),
        Command::Publish(arguments) => publish::run(manifest, arguments),
        Command::Manifests(arguments) => manifests::run(manifest, arguments),
        Command::Digests(command) => digests::run(manifest, command),
        Command::Promote(arguments) => promote::run(manifest, arguments),
        Command::Deploy(arguments) => deploy::run(manifest, arguments),
        Command::Rollback(arguments) => deploy::rollback(manifest, arguments),
        Command::Prune(arguments) => prune::run(manifest, arguments),
        Command::Registry(RegistryCommand::List(arguments)) => registry_list::run(manifest, arguments),
        Command::Releases(command) => releases::run(manifest, command),
        Command::Bases(arguments) => bases::run(manifest, arguments),
        Command::Matrix(arguments) => matrix::run(manifest, arguments),
        Command::Smoke(arguments) => smoke::run(manifest, arguments),
        Command::Verify(arguments) => verify::run(manifest, arguments),
        Command::Sbom(arguments) => sbom::run(manifest, arguments),
        Command::Doctor(arguments) => doctor::run(manifest, arguments),
    });
    interrupt::leave_to_handler();
    match result {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Failed) => ExitCode::FAILURE,
        Err(error) => {
            eprint!("{}", shown(&error));
            ExitCode::FAILURE
        }
    }
}

/// How a command ended when there is no error to print.
pub(crate) enum Outcome {
    /// Exit code 0.
    Done,
    /// Exit code 1; the command has said why.
    Failed,
}

/// Prints a result to standard output. A reader that has seen enough (`| head`) is no error.
fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to standard output"),
    }
}
