//! The comment that remembers what stood in the place of the placeholder image.

use std::ops::Range;

/// Stands in a mark for an image that is the placeholder's by its author's will.
pub(crate) const FOREIGN: &str = "-";

/// How the comment begins; the components follow. At the end of the line, it can be added to a
/// comment that is there, and taken away again to the byte.
const START: &str = " # xtask placeholder:";

/// The comment of a line, or the place for it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Its bytes: to the end of the line, line break excluded. Empty without a mark.
    pub(crate) range: Range<usize>,
    /// The components, in the order of the line's placeholders.
    pub(crate) components: Vec<String>,
}

impl Mark {
    /// The mark of the line that has the byte `at`.
    pub(crate) fn of_line(text: &str, at: usize) -> Self {
        let end = text[at..].find(['\n', '\r']).map_or(text.len(), |length| at + length);
        match text[at..end].rfind(START) {
            None => Mark { range: end..end, components: Vec::new() },
            Some(start) => {
                let start = at + start;
                let names = text[start + START.len()..end].split_whitespace();
                Mark { range: start..end, components: names.map(str::to_owned).collect() }
            }
        }
    }

    /// The text that marks `components`; none for none.
    pub(crate) fn comment(components: &[String]) -> String {
        if components.is_empty() { String::new() } else { format!("{START} {}", components.join(" ")) }
    }

    /// The mark as it is written, for messages.
    pub(crate) fn text(&self) -> String {
        Self::comment(&self.components).trim_start().to_owned()
    }
}
