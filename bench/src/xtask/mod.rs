//! The xtask's own price: its cold compile, what each dependency costs, and `--help`.

mod costs;
mod timings;

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::Value;

pub(crate) use costs::Costs;

use crate::alias;
use crate::bench::Bench;
use crate::child::{command, run as run_child};
use crate::cli::Group;
use crate::measure::{Side, measure, nothing};
use crate::native::OURS;
use crate::report::Report;
use crate::scenario::Scenario;
use crate::subject::{compile_tool, remove};

/// Processors that the target for the compile speaks of.
const JOBS: &str = "2";

/// Measures all scenarios.
pub(crate) fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let root = &bench.checkout.root;
    if bench.cli.wants("cold compile") {
        let (scenario, html) = cold_compile(bench)?;
        report.add(scenario);
        match costs_of(root, &html) {
            Ok(costs) => report.costs = Some(costs),
            // Cargo promises nothing about its timing report.
            Err(error) => report.not_run(Group::Xtask, "costs per dependency", &format!("{error:#}")),
        }
    }
    if bench.cli.wants("--help") {
        compile_tool(root)?;
        report.add(help(bench)?);
    }
    Ok(())
}

/// The compile, and the path of cargo's report on it.
fn cold_compile(bench: &Bench) -> Result<(Scenario, PathBuf)> {
    let root = &bench.checkout.root;
    let arguments = alias::build_arguments(root)?;
    let target = root.join("target");
    let compile = || {
        remove(&target)?;
        let mut cargo = command("cargo", root);
        Ok(run_child(cargo.args(&arguments).args(["--timings", "--jobs", JOBS]))?.taken)
    };
    let mut scenario =
        measure(Group::Xtask, "cold compile", bench.cli.cold_runs, &nothing, Side::new(OURS, &compile), &[])?;
    scenario.at_most = Some(60.0);
    scenario.note = Some(format!("with `--jobs {JOBS}`, crates downloaded before"));
    Ok((scenario, target.join("cargo-timings/cargo-timing.html")))
}

fn costs_of(root: &Path, html: &Path) -> Result<Costs> {
    let units = timings::read(html)?;
    let metadata = run_child(command("cargo", root).args(["metadata", "--locked", "--format-version", "1"]))?.stdout;
    let metadata: Value = serde_json::from_str(&metadata)?;
    costs::costs(&metadata, "xtask", &units)
}

fn help(bench: &Bench) -> Result<Scenario> {
    let root = &bench.checkout.root;
    let through_cargo = || Ok(run_child(command("cargo", root).args(["xtask", "--help"]))?.taken);
    let program = root.join("target/debug/xtask");
    let program = program.to_string_lossy();
    let alone = || Ok(run_child(command(&program, root).arg("--help"))?.taken);
    let alone = Side::new("the program alone", &alone);
    // Short, so more runs than asked for cost nothing.
    let runs = bench.cli.runs.max(5);
    let mut scenario = measure(Group::Xtask, "--help", runs, &nothing, Side::new(OURS, &through_cargo), &[alone])?;
    scenario.at_most = Some(0.3);
    scenario.note = Some("the difference is cargo finding that the xtask is compiled".into());
    Ok(scenario)
}
