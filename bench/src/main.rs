//! Measures `cargo xtask` beside its peers on this workspace and on generated ones.

mod alias;
mod bench;
mod bump;
mod checkout;
mod child;
mod cli;
mod digests;
mod edit;
mod engine;
mod interrupt;
mod machine;
mod manifests;
mod measure;
mod native;
mod publish;
mod report;
mod scenario;
mod sizes;
mod smoke;
mod stage;
mod subject;
mod taken;
mod xtask;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use crate::bench::Bench;
use crate::cli::{Cli, Group};
use crate::report::Report;

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", shown(&error));
            ExitCode::FAILURE
        }
    }
}

/// Runs the groups one after another; what one of them measured is written before the next starts.
fn run(cli: Cli) -> Result<ExitCode> {
    interrupt::install()?;
    let groups = cli.chosen_groups();
    let bench = Bench::new(cli)?;
    let mut report = Report::new(bench.machine.clone(), bench.cli.describe());
    let output = bench.source.join("target/bench");
    let mut code = ExitCode::SUCCESS;
    for group in groups {
        eprintln!("== {group} ==");
        let available = match group {
            Group::Engine => engine::availability(&bench),
            Group::Publish => publish::availability(&bench),
            Group::Smoke => smoke::availability(&bench),
            _ => Ok(()),
        };
        if let Err(reason) = available {
            eprintln!("{group}: not run: {reason}");
            report.not_run(group, "all", &reason);
            if bench.cli.groups.contains(&group) {
                code = ExitCode::FAILURE;
            }
            continue;
        }
        let result = match group {
            Group::Xtask => xtask::run(&bench, &mut report),
            Group::Native => native::run(&bench, &mut report),
            Group::Sizes => sizes::run(&bench, &mut report),
            Group::Manifests => manifests::run(&bench, &mut report),
            Group::Publish => publish::run(&bench, &mut report),
            Group::Smoke => smoke::run(&bench, &mut report),
            Group::Engine => engine::run(&bench, &mut report),
        };
        if let Err(error) = result {
            eprintln!("error: {group}: {}", shown(&error));
            report.not_run(group, "the rest", &format!("failed: {error}"));
            code = ExitCode::FAILURE;
        }
        report.write(&output)?;
        if interrupt::happened() {
            break;
        }
    }
    report.write(&output)?;
    print!("{}", report::markdown::text(&report));
    eprintln!("written: {}", output.display());
    Ok(code)
}

fn shown(error: &anyhow::Error) -> String {
    let causes: Vec<_> = error.chain().map(ToString::to_string).collect();
    causes.join("\n  caused by: ")
}
