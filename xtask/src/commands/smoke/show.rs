//! Writes what was found: a table, the failures, report files, the step summary.

use anyhow::{Context, Result};
use camino::Utf8Path;

use crate::cli::SmokeArgs;
use crate::commands::table::table;
use crate::commands::{Outcome, print};
use crate::kubernetes::smoke::report::{Check, Report};
use crate::system::environment::variable;
use crate::system::files::{append, write_atomically};

const HEADER: [&str; 7] = ["WORKLOAD", "COMPONENTS", "PODS", "ROLLOUT", "IDENTITY", "HEALTH", "READY AFTER"];

/// Prints the report and writes its files; the outcome is its own.
pub(super) fn show(report: &Report, arguments: &SmokeArgs) -> Result<Outcome> {
    for path in &arguments.report {
        let text = if path.extension() == Some("xml") { report.to_junit() } else { report.to_json() };
        let path = match path.is_absolute() {
            true => path.clone(),
            // So that it has a parent folder.
            false => Utf8Path::new(".").join(path),
        };
        write_atomically(&path, text.as_bytes())?;
    }
    add_step_summary(report)?;
    if arguments.json {
        print(&report.to_json())?;
    } else {
        let rows: Vec<_> = report.workloads.iter().map(|workload| report.cells(workload).to_vec()).collect();
        print(&table(&HEADER, &rows))?;
    }
    let line = |workload: Option<String>, check: &Check| {
        let workload = workload.unwrap_or_default();
        let place = [workload.as_str(), &check.name, &check.subject];
        let place: Vec<_> = place.into_iter().filter(|part| !part.is_empty()).collect();
        format!("{}: {}: {}", place.join(" "), check.verdict, check.message)
    };
    report.warnings().for_each(|(workload, check)| eprintln!("warning: {}", line(workload, check)));
    for (workload, check) in report.failures() {
        eprintln!("{}", line(workload, check));
        check.details.iter().for_each(|line| eprintln!("    {line}"));
    }
    let steps: Vec<_> = report.steps.iter().map(|step| format!("{} {:.1} s", step.name, step.seconds)).collect();
    let outcome = if report.passed { "passed" } else { "FAILED" };
    eprintln!("smoke: {outcome} after {:.1} s ({})", report.seconds, steps.join(", "));
    Ok(if report.passed { Outcome::Done } else { Outcome::Failed })
}

/// Adds the table to the page that GitHub shows for a CI job.
fn add_step_summary(report: &Report) -> Result<()> {
    match variable("GITHUB_STEP_SUMMARY") {
        Some(file) => append(Utf8Path::new(&file), &report.to_markdown()).context("cannot write `GITHUB_STEP_SUMMARY`"),
        None => Ok(()),
    }
}
