//! The process' environment.

/// A variable that is set to something: CI systems pass on empty ones.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}
