//! What was measured: plain data.

use crate::cli::Group;

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Wall time.
    Seconds,
    /// Compressed bytes.
    Bytes,
}

impl Unit {
    /// A value for people.
    pub(crate) fn show(self, value: f64) -> String {
        match self {
            Unit::Seconds if value < 0.1 => format!("{value:.3} s"),
            Unit::Seconds if value < 10.0 => format!("{value:.2} s"),
            Unit::Seconds if value < 100.0 => format!("{value:.1} s"),
            Unit::Seconds => format!("{value:.0} s"),
            Unit::Bytes => format!("{:.2} MiB", value / MEBIBYTE),
        }
    }
}

/// Bytes in a MiB.
pub(crate) const MEBIBYTE: f64 = 1024.0 * 1024.0;

/// The measured values of one side.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    /// Who was measured.
    pub(crate) label: String,
    /// One value per run, in order.
    pub(crate) values: Vec<f64>,
    /// Processor seconds of each run, where known.
    pub(crate) cpu: Vec<f64>,
}

impl Series {
    /// The middle value, or the mean of the two middle ones.
    pub(crate) fn median(&self) -> f64 {
        median(&self.values).unwrap_or(f64::NAN)
    }

    /// The same of the processor time, when it says something.
    pub(crate) fn median_cpu(&self) -> Option<f64> {
        median(&self.cpu).filter(|seconds| *seconds > 0.0)
    }
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        count if count % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

/// A target that depends on a peer's value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Bound {
    /// At most so many times the peer's.
    Times(f64),
    /// At most the peer's and so much more.
    Plus(f64),
}

impl Bound {
    /// The largest value that reaches the target.
    pub(crate) fn limit(self, peer: f64) -> f64 {
        match self {
            Bound::Times(factor) => peer * factor,
            Bound::Plus(more) => peer + more,
        }
    }

    /// The target for people.
    pub(crate) fn show(self, unit: Unit) -> String {
        match self {
            Bound::Times(factor) => format!("≤ {factor} ×"),
            Bound::Plus(more) => format!("≤ +{}", unit.show(more)),
        }
    }
}

/// Somebody we compare with.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// What it took.
    pub(crate) series: Series,
    /// What we want to reach beside it.
    pub(crate) bound: Option<Bound>,
}

/// One thing measured: ours, and beside it the peers'.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    /// The group it belongs to.
    pub(crate) group: Group,
    /// What happened before or during the measurement.
    pub(crate) name: String,
    /// What the values count.
    pub(crate) unit: Unit,
    /// Our values.
    pub(crate) ours: Series,
    /// Everybody else's.
    pub(crate) peers: Vec<Peer>,
    /// A target that depends on nobody.
    pub(crate) at_most: Option<f64>,
    /// What a reader should know.
    pub(crate) note: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(values: &[f64]) -> Series {
        Series { label: "a".into(), values: values.to_vec(), cpu: Vec::new() }
    }

    #[test]
    fn medians() {
        assert_eq!(series(&[3.0, 1.0, 2.0]).median(), 2.0);
        assert_eq!(series(&[4.0, 1.0]).median(), 2.5);
        assert!(series(&[]).median().is_nan());
    }

    #[test]
    fn values_for_people() {
        assert_eq!(Unit::Seconds.show(0.314), "0.31 s");
        assert_eq!(Unit::Seconds.show(0.004), "0.004 s");
        assert_eq!(Unit::Seconds.show(61.26), "61.3 s");
        assert_eq!(Unit::Bytes.show(2_318_664.0), "2.21 MiB");
        assert_eq!(Bound::Times(1.05).show(Unit::Seconds), "≤ 1.05 ×");
        assert_eq!(Bound::Plus(0.3).show(Unit::Seconds), "≤ +0.30 s");
    }
}
