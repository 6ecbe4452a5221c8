//! Measures sides in turns, so that a noisy machine is noisy for all of them.

use anyhow::{Context, Result};

use crate::cli::Group;
use crate::scenario::{Bound, Peer, Scenario, Series, Unit};
use crate::taken::Taken;

/// Somebody who is measured.
pub(crate) struct Side<'a> {
    label: &'a str,
    bound: Option<Bound>,
    most_runs: usize,
    run: &'a dyn Fn() -> Result<Taken>,
}

impl<'a> Side<'a> {
    /// One side; `run` prepares what need not be timed, and gives the time of the rest.
    pub(crate) fn new(label: &'a str, run: &'a dyn Fn() -> Result<Taken>) -> Self {
        Side { label, bound: None, most_runs: usize::MAX, run }
    }

    /// With our target beside it.
    pub(crate) fn bound(mut self, bound: Bound) -> Self {
        self.bound = Some(bound);
        self
    }

    /// Not more often than this, because it takes long.
    pub(crate) fn at_most(mut self, runs: u16) -> Self {
        self.most_runs = runs.into();
        self
    }
}

/// Nothing to do before a run.
pub(crate) fn nothing(_run: usize) -> Result<()> {
    Ok(())
}

/// Runs ours, each peer, ours again, and so on; before each turn `prepare` makes the change.
pub(crate) fn measure(
    group: Group,
    name: &str,
    runs: u16,
    prepare: &dyn Fn(usize) -> Result<()>,
    ours: Side<'_>,
    peers: &[Side<'_>],
) -> Result<Scenario> {
    let sides: Vec<_> = std::iter::once(&ours).chain(peers).collect();
    let mut values: Vec<Vec<Taken>> = vec![Vec::new(); sides.len()];
    for run in 0..usize::from(runs) {
        prepare(run).with_context(|| format!("cannot prepare `{name}`"))?;
        for (side, values) in sides.iter().zip(&mut values).filter(|(side, _)| run < side.most_runs) {
            let taken = (side.run)().with_context(|| format!("`{name}` failed for {}", side.label))?;
            eprintln!("{group}: {name}: {} of {runs}: {}: {:.2} s", run + 1, side.label, taken.wall.as_secs_f64());
            values.push(taken);
        }
    }
    let mut measured = sides.iter().zip(values).map(|(side, values)| {
        let series = Series {
            label: side.label.to_owned(),
            values: values.iter().map(|taken| taken.wall.as_secs_f64()).collect(),
            cpu: values.iter().filter_map(|taken| Some(taken.cpu?.as_secs_f64())).collect(),
        };
        Peer { series, bound: side.bound }
    });
    let ours = measured.next().context("nothing was measured")?.series;
    let peers = measured.collect();
    Ok(Scenario { group, name: name.to_owned(), unit: Unit::Seconds, ours, peers, at_most: None, note: None })
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::time::Duration;

    use super::*;

    #[test]
    fn sides_take_turns() {
        let log = RefCell::new(String::new());
        let side = |name: char| {
            let log = &log;
            move || {
                log.borrow_mut().push(name);
                Ok(Taken { wall: Duration::from_secs(1), cpu: None })
            }
        };
        let (a, b, c) = (side('a'), side('b'), side('c'));
        let prepare = |run: usize| {
            log.borrow_mut().push_str(&run.to_string());
            Ok(())
        };
        let peers = [Side::new("b", &b), Side::new("c", &c).at_most(1)];
        let scenario = measure(Group::Native, "x", 2, &prepare, Side::new("a", &a), &peers).unwrap();
        assert_eq!(*log.borrow(), "0abc1ab");
        assert_eq!(scenario.ours.values, [1.0, 1.0]);
        assert_eq!(scenario.peers[1].series.values.len(), 1);
    }
}
