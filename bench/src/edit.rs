//! One-line edits that change the program, so that it must be compiled and linked again.

use std::cell::Cell;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::checkout::write;

/// `#[used]` keeps the value in the executable although nothing reads it.
const START: &str = "\n#[used] static BENCH_EDIT: &str = ";

/// Makes edits that no earlier one equals.
#[derive(Debug)]
pub(crate) struct Edits {
    stamp: String,
    count: Cell<u32>,
}

impl Edits {
    /// `stamp` tells this run's edits from those of all other runs.
    pub(crate) fn new(stamp: &str) -> Self {
        Edits { stamp: stamp.to_owned(), count: Cell::new(0) }
    }

    /// Puts one and the same new line at the end of `file` in each of the copies; an earlier
    /// edit's line goes.
    pub(crate) fn apply(&self, copies: &[&Path], file: &Path) -> Result<()> {
        self.count.set(self.count.get() + 1);
        let text = format!("{}-{:04}", self.stamp, self.count.get());
        for copy in copies {
            let path = copy.join(file);
            let before = fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
            write(&path, &edited(&before, &text))?;
        }
        Ok(())
    }
}

fn edited(before: &str, text: &str) -> String {
    let kept = before.split_once(START).map_or(before, |(kept, _)| kept).trim_end_matches('\n');
    format!("{kept}\n{START}\"{text}\";\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_edit_replaces_the_one_before() {
        let first = edited("fn main() {}\n", "1");
        assert_eq!(first, "fn main() {}\n\n#[used] static BENCH_EDIT: &str = \"1\";\n");
        assert_eq!(edited(&first, "2"), first.replace('1', "2"));
    }
}
