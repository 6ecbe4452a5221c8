//! Generated workspaces of several sizes: what `docker-build` adds to cargo as a workspace grows.

mod workspace;

use anyhow::Result;

use crate::bench::Bench;
use crate::cli::Group;
use crate::measure::nothing;
use crate::native::Pair;
use crate::report::Report;
use crate::scenario::Bound;

/// Binaries of the workspaces.
const SIZES: [u16; 4] = [1, 3, 10, 30];
/// Up to this many binaries the tighter target holds.
const SMALL: u16 = 3;

/// Measures each size, from the smallest on; the workspace grows in between.
pub(crate) fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let group = Group::Sizes;
    for size in SIZES {
        let subject = workspace::generate(bench, size)?;
        let pair = Pair::new(&subject, bench.work.join("generated-plain-target"));
        eprintln!("{group}: building {size} once before measuring");
        pair.ours()?;
        pair.limit()?;
        let binaries = if size == 1 { "1 binary".to_owned() } else { format!("{size} binaries") };
        let name = format!("{binaries}, nothing changed");
        if bench.cli.wants(&name) {
            let more = if size <= SMALL { 0.3 } else { 0.5 };
            report.add(pair.measure(group, &name, bench.cli.runs, &nothing, Some(Bound::Plus(more)))?);
        }
        let name = format!("{binaries}, one line in one");
        if bench.cli.wants(&name) {
            let file = subject.main_file(subject.first()?)?;
            let edit = |_| bench.edits.apply(&[&subject.root], &file);
            let mut scenario = pair.measure(group, &name, bench.cli.runs, &edit, Some(Bound::Times(1.1)))?;
            let changes = scenario.note.take().unwrap_or_default();
            scenario.note = Some(format!("{changes}; so small a binary compiles at once, and what is fixed shows"));
            report.add(scenario);
        }
    }
    Ok(())
}
