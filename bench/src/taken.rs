//! What a step took: wall time, and processor time, which other programs disturb less.

use std::iter::Sum;
use std::time::Duration;

/// Ticks per second in `/proc`; fixed for programs on Linux.
const TICKS: f64 = 100.0;

/// Time of one or more children.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Taken {
    /// From start to end.
    pub(crate) wall: Duration,
    /// Of the children and theirs, where the system tells; nothing of what a daemon did for them.
    pub(crate) cpu: Option<Duration>,
}

impl Sum for Taken {
    fn sum<I: Iterator<Item = Self>>(steps: I) -> Self {
        steps.fold(Taken::default(), |sum, step| Taken {
            wall: sum.wall + step.wall,
            cpu: step.cpu.map(|cpu| sum.cpu.unwrap_or_default() + cpu),
        })
    }
}

/// Processor time of all children that have ended.
pub(crate) fn children_cpu() -> Option<Duration> {
    parse(&std::fs::read_to_string("/proc/self/stat").ok()?)
}

fn parse(stat: &str) -> Option<Duration> {
    // The program's name is in parentheses and may contain anything.
    let (_, after) = stat.rsplit_once(')')?;
    let fields: Vec<_> = after.split_whitespace().collect();
    // `cutime` and `cstime`, the 16th and 17th of all.
    let ticks = fields.get(13)?.parse::<f64>().ok()? + fields.get(14)?.parse::<f64>().ok()?;
    Some(Duration::from_secs_f64(ticks / TICKS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_children_are_two_of_the_fields() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194560 1 2 3 4 10 20 150 50 20 0 1 0";
        assert_eq!(parse(stat), Some(Duration::from_secs(2)));
        assert_eq!(parse("7 (a) S"), None);
    }
}
