//! The axis of a panel: where a value lies, and which values get a mark.

use super::svg::{LEFT, RIGHT};
use crate::scenario::{MEBIBYTE, Unit};

/// With more marks than this on a log scale, only the powers of ten keep theirs.
const MOST_TICKS: usize = 8;

/// Maps values to places.
pub(super) struct Axis {
    unit: Unit,
    low: f64,
    high: f64,
    /// Values with a mark.
    pub(super) ticks: Vec<f64>,
}

impl Axis {
    /// Seconds on a log scale, bytes on a linear one from zero.
    pub(super) fn new(unit: Unit, values: impl Iterator<Item = f64> + Clone) -> Self {
        let largest = values.clone().fold(f64::MIN_POSITIVE, f64::max);
        match unit {
            Unit::Seconds => {
                let smallest = values.filter(|value| *value > 0.0).fold(largest, f64::min);
                Self::log(smallest, largest)
            }
            Unit::Bytes => Self::linear(largest),
        }
    }

    fn log(smallest: f64, largest: f64) -> Self {
        let marks = (-3..=5).flat_map(|power| [1, 2, 5].map(|digit| (digit, power)));
        let marks = marks.filter_map(|(digit, power)| Some((digit, format!("{digit}e{power}").parse::<f64>().ok()?)));
        let marks: Vec<_> = marks.collect();
        // Room to the left, so that the shortest bar is one.
        let first = marks.iter().rposition(|(_, mark)| *mark <= smallest / 1.5).unwrap_or(0);
        let last = marks.iter().position(|(_, mark)| *mark >= largest).unwrap_or(marks.len() - 1);
        let (first, last) = (first.min(marks.len() - 2), last.max(first + 1).min(marks.len() - 1));
        let marks = &marks[first..=last];
        let is_shown = |digit: i32| marks.len() <= MOST_TICKS || digit == 1;
        let ticks = marks.iter().filter(|(digit, _)| is_shown(*digit)).map(|(_, mark)| *mark).collect();
        Axis { unit: Unit::Seconds, low: marks[0].1.log10(), high: marks[marks.len() - 1].1.log10(), ticks }
    }

    fn linear(largest: f64) -> Self {
        let step = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]
            .into_iter()
            .map(|mebibytes| mebibytes * MEBIBYTE)
            .find(|step| largest / step <= 8.0)
            .unwrap_or(largest);
        let steps = (largest / step).ceil() as i32;
        let ticks = (0..=steps).map(|count| f64::from(count) * step).collect();
        Axis { unit: Unit::Bytes, low: 0.0, high: f64::from(steps) * step, ticks }
    }

    /// The place of a value.
    pub(super) fn x(&self, value: f64) -> f64 {
        let place = match self.unit {
            Unit::Seconds => value.log10(),
            Unit::Bytes => value,
        };
        LEFT + (RIGHT - LEFT) * ((place - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    /// What stands at a mark.
    pub(super) fn tick(&self, value: f64) -> String {
        match self.unit {
            Unit::Seconds => format!("{value} s"),
            Unit::Bytes => format!("{:.1}", value / MEBIBYTE).replace(".0", ""),
        }
    }

    /// What stands under the axis.
    pub(super) fn label(&self) -> &'static str {
        match self.unit {
            Unit::Seconds => "seconds, log scale; shorter is better",
            Unit::Bytes => "MiB, compressed; shorter is better",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(axis: &Axis) -> Vec<String> {
        axis.ticks.iter().map(|tick| axis.tick(*tick)).collect()
    }

    #[test]
    fn places_on_the_axes() {
        let axis = Axis::new(Unit::Seconds, [0.31, 1.7].into_iter());
        assert_eq!(ticks(&axis), ["0.2 s", "0.5 s", "1 s", "2 s"]);
        assert_eq!((axis.x(0.2), axis.x(2.0)), (LEFT, RIGHT));
        assert_eq!(ticks(&Axis::new(Unit::Seconds, [0.04, 377.0].into_iter())), ["0.1 s", "1 s", "10 s", "100 s"]);
        let axis = Axis::new(Unit::Bytes, [10.0 * MEBIBYTE].into_iter());
        assert_eq!(ticks(&axis), ["0", "2", "4", "6", "8", "10"]);
    }

    #[test]
    fn extreme_values_have_an_axis() {
        for value in [0.0, 1e-9, 1e9] {
            assert_eq!(ticks(&Axis::new(Unit::Seconds, [value].into_iter())).len(), 2, "{value}");
        }
    }
}
