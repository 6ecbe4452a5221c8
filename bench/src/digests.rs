//! The images that a build made, and what a change did to their digests.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::cli::Group;
use crate::scenario::{MEBIBYTE, Scenario, Series, Unit};

/// More images than this are counted instead of named.
const MOST_NAMES: usize = 5;

/// One image of `cargo xtask docker-build --json`.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    digest: String,
    config: Option<String>,
    size: f64,
    loaded: Vec<String>,
}

/// Images by component.
#[derive(Debug, Clone, Default)]
pub(crate) struct Images(BTreeMap<String, Image>);

impl Images {
    /// Reads what `docker-build --json` prints.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(text).context("`cargo xtask docker-build --json` printed no JSON")?;
        let images: Option<_> = value.as_array().and_then(|list| list.iter().map(image).collect());
        images.map(Images).context("`cargo xtask docker-build --json` lacks `component`, `digest` or `size`")
    }

    /// What came out differently than in `before`, in words: a check that a change did what it
    /// should, and nothing else.
    pub(crate) fn changes_since(&self, before: &Images) -> String {
        let is_changed =
            |name: &str| self.0.get(name).map(|one| &one.digest) != before.0.get(name).map(|one| &one.digest);
        let names = |wanted: bool| {
            let chosen = self.0.keys().filter(|name| is_changed(name) == wanted).map(String::as_str);
            match chosen.collect::<Vec<_>>().as_slice() {
                [] => "none".to_owned(),
                list if list.len() > MOST_NAMES => format!("{} images", list.len()),
                list => list.join(", "),
            }
        };
        format!("digests changed: {}; kept: {}", names(true), names(false))
    }

    /// A row per image for its compressed size.
    pub(crate) fn sizes(&self, group: Group) -> impl Iterator<Item = Scenario> {
        self.0.iter().map(move |(name, image)| Scenario {
            group,
            name: format!("compressed image of {name}"),
            unit: Unit::Bytes,
            ours: Series { label: "cargo xtask".into(), values: vec![image.size], cpu: Vec::new() },
            peers: Vec::new(),
            at_most: Some(10.0 * MEBIBYTE),
            note: None,
        })
    }

    /// References and ids by which the engine knows those that were loaded.
    pub(crate) fn loaded(&self) -> impl Iterator<Item = String> {
        let loaded = self.0.values().filter(|image| !image.loaded.is_empty());
        loaded.flat_map(|image| image.loaded.iter().cloned().chain(image.config.clone()))
    }
}

fn image(value: &Value) -> Option<(String, Image)> {
    let text = |name: &str| value.get(name)?.as_str().map(str::to_owned);
    let loaded = value.get("loaded").and_then(Value::as_array).into_iter().flatten();
    let image = Image {
        digest: text("digest")?,
        config: text("config"),
        size: value.get("size")?.as_f64()?,
        loaded: loaded.filter_map(|one| one.as_str().map(str::to_owned)).collect(),
    };
    Some((text("component")?, image))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_told_by_digest() {
        let images = |a: &str| {
            let text = format!(
                r#"[{{"component":"a","digest":"{a}","config":"c","size":5,"loaded":["r/a:t"]}},
                    {{"component":"b","digest":"2","size":6,"loaded":null}}]"#
            );
            Images::parse(&text).unwrap()
        };
        assert_eq!(images("1").changes_since(&images("0")), "digests changed: a; kept: b");
        assert_eq!(images("1").changes_since(&images("1")), "digests changed: none; kept: a, b");
        assert_eq!(images("1").loaded().collect::<Vec<_>>(), ["r/a:t", "c"]);
        assert!(Images::parse("[{}]").is_err());
    }
}
