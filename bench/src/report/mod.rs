//! Collects what was measured, and writes it.

mod json;
pub(crate) mod markdown;

use std::path::Path;

use anyhow::Result;

use crate::checkout::write;
use crate::cli::Group;
use crate::machine::Machine;
use crate::scenario::Scenario;
use crate::xtask::Costs;

/// Something that was not measured.
#[derive(Debug)]
pub(crate) struct NotRun {
    group: Group,
    what: String,
    reason: String,
}

/// All results so far.
#[derive(Debug)]
pub(crate) struct Report {
    machine: Machine,
    options: String,
    scenarios: Vec<Scenario>,
    not_run: Vec<NotRun>,
    /// What the xtask's dependencies cost.
    pub(crate) costs: Option<Costs>,
}

impl Report {
    /// Nothing measured yet.
    pub(crate) fn new(machine: Machine, options: String) -> Self {
        Report { machine, options, scenarios: Vec::new(), not_run: Vec::new(), costs: None }
    }

    /// Adds a scenario.
    pub(crate) fn add(&mut self, scenario: Scenario) {
        self.scenarios.push(scenario);
    }

    /// Says what is missing, and why.
    pub(crate) fn not_run(&mut self, group: Group, what: &str, reason: &str) {
        self.not_run.push(NotRun { group, what: what.to_owned(), reason: reason.to_owned() });
    }

    /// Writes `results.md` and `results.json` into `folder`.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        write(&folder.join("results.md"), &markdown::text(self))?;
        write(&folder.join("results.json"), &json::text(self)?)
    }

    /// The groups that measured something, in order.
    fn groups(&self) -> Vec<Group> {
        let mut groups: Vec<_> = self.scenarios.iter().map(|scenario| scenario.group).collect();
        groups.dedup();
        groups
    }
}

/// What a group measures, as a heading.
fn title(group: Group) -> &'static str {
    match group {
        Group::Xtask => "The xtask itself",
        Group::Native => "Native builder beside plain cargo",
        Group::Manifests => "Pinning manifests",
        Group::Publish => "Publishing beside skopeo",
        Group::Smoke => "Smoke beside kubectl",
        Group::Sizes => "Generated workspaces, native builder beside plain cargo",
        Group::Engine => "Engine: cargo xtask beside hand-written Dockerfiles",
    }
}

/// A report with a bit of everything, for tests of the writers.
#[cfg(test)]
fn example() -> Report {
    use crate::scenario::{Bound, MEBIBYTE, Peer, Series, Unit};
    let series = |label: &str, values: &[f64]| Series { label: label.into(), values: values.to_vec(), cpu: vec![3.0] };
    let machine = Machine {
        cores: 2,
        load: Some(1.5),
        triple: "x86_64-unknown-linux-gnu".into(),
        rustc: "rustc 1.95.0".into(),
        engine: Some("20.10".into()),
    };
    let mut report = Report::new(machine, "medians of 3 runs".into());
    let cold = Scenario {
        group: Group::Native,
        name: "cold <all>".into(),
        unit: Unit::Seconds,
        ours: series("cargo xtask", &[21.0]),
        peers: vec![
            Peer { series: series("cargo build", &[20.0]), bound: Some(Bound::Times(1.05)) },
            Peer { series: series("other", &[2.0]), bound: None },
        ],
        at_most: None,
        note: Some("a | b".into()),
    };
    let size = Scenario {
        group: Group::Native,
        name: "image".into(),
        unit: Unit::Bytes,
        ours: series("cargo xtask", &[11.0 * MEBIBYTE]),
        peers: Vec::new(),
        at_most: Some(10.0 * MEBIBYTE),
        note: None,
    };
    report.add(cold);
    report.add(size);
    report.not_run(Group::Engine, "all", "no engine");
    report
}
