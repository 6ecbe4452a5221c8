//! Errors that say what to do about them, and how errors are shown.

use std::error::Error as StdError;
use std::fmt::{self, Display};

use anyhow::{Error, Result};

/// What to do about an error. It is a cause of the error, and is printed after all causes.
#[derive(Debug)]
struct Hint {
    text: String,
    cause: Option<Error>,
}

impl Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hint: {}", self.text)
    }
}

impl StdError for Hint {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.as_ref().map(|cause| cause.as_ref() as _)
    }
}

/// `error`, a message or an error itself, with a hint.
pub(crate) fn hinted(error: impl Display + Send + Sync + 'static, hint: impl Into<String>) -> Error {
    Error::new(Hint { text: hint.into(), cause: None }).context(error)
}

/// `error` with a hint, caused by `cause`.
pub(crate) fn hinted_cause(
    cause: Error,
    error: impl Display + Send + Sync + 'static,
    hint: impl Into<String>,
) -> Error {
    Error::new(Hint { text: hint.into(), cause: Some(cause) }).context(error)
}

/// The refusal to go on with what is not any more what was planned with.
pub(crate) fn changed_meanwhile(path: impl Display) -> Error {
    let error = format!("`{path}` changed while this ran, so what would be built is not what was planned");
    hinted(error, "run it again")
}

/// All values, or one error of all errors.
pub(crate) fn all<T>(results: impl IntoIterator<Item = Result<T>>) -> Result<Vec<T>> {
    let (mut values, mut errors) = (Vec::new(), Vec::new());
    for result in results {
        result.map_or_else(|error| errors.push(error), |value| values.push(value));
    }
    joined(errors).map_or(Ok(values), Err)
}

/// One error of several: a line for each, then what to do about them.
pub(crate) fn joined(mut errors: Vec<Error>) -> Option<Error> {
    if errors.len() < 2 {
        return errors.pop();
    }
    let mut hints: Vec<&str> = Vec::new();
    for hint in errors.iter().flat_map(|error| parts(error).1) {
        if !hints.contains(&hint.text.as_str()) {
            hints.push(&hint.text);
        }
    }
    let text = errors.iter().map(line).collect::<Vec<_>>().join("\n");
    let wrap = |cause, hint: &str| Some(Error::new(Hint { text: hint.to_owned(), cause }));
    match hints.into_iter().rev().fold(None, wrap) {
        Some(hints) => Some(hints.context(text)),
        None => Some(Error::msg(text)),
    }
}

/// An error and its causes on a line, without hints.
pub(crate) fn line(error: &Error) -> String {
    parts(error).0.join(": ")
}

/// As much of [`line`] as fits where one line is said of it.
pub(crate) fn first_line(error: &Error) -> String {
    line(error).lines().next().unwrap_or_default().to_owned()
}

/// `error: …`, then the chain of causes, then the hints; a line each.
pub(crate) fn shown(error: &Error) -> String {
    shown_as("error", error) + "\n"
}

/// As [`shown`], with another word than `error`, and without the last line's end.
pub(crate) fn shown_as(word: &str, error: &Error) -> String {
    let (causes, hints) = parts(error);
    let causes = format!("{word}: {}", causes.join("\ncaused by: "));
    hints.into_iter().fold(causes, |text, hint| format!("{text}\n{hint}"))
}

fn parts(error: &Error) -> (Vec<String>, Vec<&Hint>) {
    let (mut causes, mut hints) = (Vec::new(), Vec::new());
    for cause in error.chain() {
        match cause.downcast_ref::<Hint>() {
            Some(hint) => hints.push(hint),
            None => causes.push(cause.to_string()),
        }
    }
    (causes, hints)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_come_last() {
        let cause = hinted_cause(Error::msg("no such file"), "cannot read `x`", "write it");
        let error = cause.context("cannot start");
        assert_eq!(
            shown(&error),
            "error: cannot start\ncaused by: cannot read `x`\ncaused by: no such file\nhint: write it\n"
        );
        assert_eq!(line(&error), "cannot start: cannot read `x`: no such file");
        assert_eq!(shown(&Error::msg("a").context("b")), "error: b\ncaused by: a\n");
    }

    #[test]
    fn of_several_errors_each_has_a_line_and_no_hint_is_said_twice() {
        let errors = vec![hinted("a", "mend"), Error::msg("c").context("b"), hinted("d", "other"), hinted("e", "mend")];
        let text = "error: a\nb: c\nd\ne\nhint: mend\nhint: other\n";
        assert_eq!(joined(errors).map(|error| shown(&error)).as_deref(), Some(text));
        assert!(joined(Vec::new()).is_none());
    }

    #[test]
    fn what_an_error_is_can_still_be_asked() {
        let error = hinted(std::fmt::Error, "mend").context("x");
        assert!(error.downcast_ref::<std::fmt::Error>().is_some());
    }
}
