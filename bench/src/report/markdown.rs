//! The report as Markdown tables.

use std::fmt::Write;

use super::{Report, title};
use crate::cli::Group;
use crate::scenario::{Bound, Scenario};
use crate::xtask::Costs;

/// All tables.
pub(crate) fn text(report: &Report) -> String {
    let mut text = format!(
        "# Measurements\n\n{} on {} cores, {}, engine {}.\nSides take turns in one run; {}. Times are wall times; the CPU \
         ratio compares processor\ntime, which other programs on the machine disturb less.\n{}",
        report.machine.triple,
        report.machine.cores,
        report.machine.rustc,
        report.machine.engine.as_deref().unwrap_or("none"),
        report.options,
        report.machine.busy().map(|busy| format!("**{busy}**\n")).unwrap_or_default(),
    );
    for group in report.groups() {
        let _ = write!(text, "\n## {}\n\n", title(group));
        text += "| Scenario | cargo xtask | Compared with | Theirs | Ratio | CPU ratio | Target | Reached | Runs |\n";
        text += "|---|--:|---|--:|--:|--:|--:|:-:|--:|\n";
        let scenarios: Vec<_> = report.scenarios.iter().filter(|scenario| scenario.group == group).collect();
        for scenario in &scenarios {
            rows(&mut text, scenario);
        }
        let notes = scenarios.iter().filter_map(|scenario| Some((&scenario.name, scenario.note.as_ref()?)));
        let notes: String = notes.map(|(name, note)| format!("- {name}: {note}.\n")).collect();
        if !notes.is_empty() {
            let _ = write!(text, "\n{notes}");
        }
        if let Some(costs) = report.costs.as_ref().filter(|_| group == Group::Xtask) {
            add_costs(&mut text, costs);
        }
    }
    if !report.not_run.is_empty() {
        text += "\n## Not run\n\n";
        for one in &report.not_run {
            let reason = one.reason.lines().next().unwrap_or_default();
            let _ = writeln!(text, "- {}, {}: {reason}", one.group, one.what);
        }
    }
    text
}

/// A line for our own target, and one per peer.
fn rows(text: &mut String, scenario: &Scenario) {
    let Scenario { unit, .. } = scenario;
    let ours = scenario.ours.median();
    let mut name = cell(&scenario.name);
    let runs = scenario.ours.values.len();
    let reached = |limit: f64| if ours <= limit { "yes" } else { "**no**" };
    if scenario.at_most.is_some() || scenario.peers.is_empty() {
        let target = scenario.at_most.map_or("–".to_owned(), |limit| format!("≤ {}", unit.show(limit)));
        let reached = scenario.at_most.map_or("–", reached);
        let _ = writeln!(text, "| {name} | {} | – | – | – | – | {target} | {reached} | {runs} |", unit.show(ours));
        name.clear();
    }
    for peer in &scenario.peers {
        let theirs = peer.series.median();
        let cpu = scenario.ours.median_cpu().zip(peer.series.median_cpu());
        let cpu = cpu.map_or("–".to_owned(), |(ours, theirs)| ratio(ours / theirs));
        let target = peer.bound.map_or("–".to_owned(), |bound| match bound {
            Bound::Times(_) => bound.show(*unit),
            Bound::Plus(_) => format!("{} (is {:+.2} s)", bound.show(*unit), ours - theirs),
        });
        let reached = peer.bound.map_or("–", |bound| reached(bound.limit(theirs)));
        let _ = writeln!(
            text,
            "| {name} | {} | {} | {} | {} | {cpu} | {target} | {reached} | {} |",
            unit.show(ours),
            cell(&peer.series.label),
            unit.show(theirs),
            ratio(ours / theirs),
            runs.max(peer.series.values.len()),
        );
        name.clear();
    }
}

fn add_costs(text: &mut String, costs: &Costs) {
    let _ = write!(
        text,
        "\n### What the xtask's compile consists of\n\n\
         {} crates, {:.1} s of compiling in all (several at once), {:.1} s of it the xtask itself. What several\n\
         direct dependencies bring counts for none of them in the first table; the second names them.\n\n\
         | Direct dependency | Alone | With what only it brings | Crates | Share |\n|---|--:|--:|--:|--:|\n",
        costs.crates, costs.total, costs.program
    );
    for cost in &costs.dependencies {
        let share = 100.0 * cost.with_its_own / costs.total;
        let name = cell(&cost.name);
        let _ = match cost.crates {
            0 => writeln!(text, "| {name} | {:.1} s | – | – | – |", cost.own),
            crates => {
                writeln!(text, "| {name} | {:.1} s | {:.1} s | {crates} | {share:.0} % |", cost.own, cost.with_its_own)
            }
        };
    }
    text.push_str("\n| Dearest crates | Alone | Brought by |\n|---|--:|---|\n");
    for one in &costs.heaviest {
        let _ = writeln!(text, "| {} | {:.1} s | {} |", cell(&one.name), one.own, cell(&one.brought_by.join(", ")));
    }
}

fn ratio(value: f64) -> String {
    if value < 0.095 { format!("{value:.3}") } else { format!("{value:.2}") }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_per_peer_and_target() {
        let text = text(&super::super::example());
        for row in [
            "| cold &lt;all> | 21.0 s | cargo build | 20.0 s | 1.05 | 1.00 | ≤ 1.05 × | yes | 1 |\n",
            "|  | 21.0 s | other | 2.00 s | 10.50 | 1.00 | – | – | 1 |\n",
            "| image | 11.00 MiB | – | – | – | – | ≤ 10.00 MiB | **no** | 1 |\n",
            "- engine, all: no engine\n",
        ] {
            assert!(text.contains(row), "{row}\n{text}");
        }
    }
}
