//! Reads the report of `cargo build --timings`.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Deserializer, Value};

/// One compile or build script run.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Unit {
    /// Package.
    pub(super) name: String,
    /// Its version.
    pub(super) version: String,
    /// How long it took; others ran at the same time.
    pub(super) seconds: f64,
}

/// The units in cargo's HTML page.
pub(super) fn read(html: &Path) -> Result<Vec<Unit>> {
    let text = std::fs::read_to_string(html).with_context(|| format!("cannot read `{}`", html.display()))?;
    parse(&text).with_context(|| format!("`{}` has another form than expected", html.display()))
}

/// The page carries its data as a JavaScript constant.
fn parse(html: &str) -> Option<Vec<Unit>> {
    let (_, data) = html.split_once("const UNIT_DATA = ")?;
    let list = Deserializer::from_str(data).into_iter::<Value>().next()?.ok()?;
    let unit = |value: &Value| {
        let text = |name: &str| value.get(name)?.as_str().map(str::to_owned);
        Some(Unit { name: text("name")?, version: text("version")?, seconds: value.get("duration")?.as_f64()? })
    };
    list.as_array()?.iter().map(unit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_of_a_page() {
        let html = "<script>\nconst UNIT_DATA = [\n  {\"i\": 7, \"name\": \"a\", \"version\": \"1.0.0\", \
                    \"mode\": \"todo\", \"duration\": 0.27}\n];\nconst CONCURRENCY_DATA = [];";
        let unit = Unit { name: "a".into(), version: "1.0.0".into(), seconds: 0.27 };
        assert_eq!(parse(html), Some(vec![unit]));
        assert_eq!(parse("<html>"), None);
    }
}
