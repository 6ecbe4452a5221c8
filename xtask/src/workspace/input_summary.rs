//! What decided an image, in a few words: what its label says, and how two images differ.
//!
//! The label is in the image: what changes its text, raises the assembler's format number.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use super::inputs::{Input, Inputs, hex};

/// Tools whose versions people know them by.
const READABLE: &[&str] = &["base", "builder image", "cargo-zigbuild", "cc", "configured linker", "rustc", "zig"];
/// What native builds have, and what those of an engine have.
const NATIVE: &str = "rustc";
const ENGINE: &str = "builder image";
/// What has nothing to do with who builds.
const OF_SOURCES: &[&str] = &["sources", "dependencies", "manifests", "settings", "labels"];
/// The most that is said of one tool, in characters.
const LONGEST: usize = 80;

/// A few hex digits for each group of inputs, and for tools what they call themselves: `TEXT #HASH`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct InputSummary(BTreeMap<String, String>);

impl InputSummary {
    /// Of an image that is planned.
    pub(crate) fn of(inputs: &Inputs) -> Self {
        let mut groups: BTreeMap<String, (String, BTreeSet<String>)> = BTreeMap::new();
        for (input, _) in inputs.iter() {
            let (name, text) = group(input);
            let group = groups.entry(name).or_insert_with(|| (text, BTreeSet::new()));
            group.1.insert(input.encoded());
        }
        let entries = groups.into_iter().map(|(name, (text, lines))| {
            let hash = hex(&Sha256::digest(lines.into_iter().collect::<Vec<_>>().join("\n")));
            // The label is for all to see: four digits tell two values apart, and confirm no guess at one.
            let digits = if name.starts_with("variable ") { 4 } else { 8 };
            (name, format!("{text} #{}", &hash[..digits]).trim_start().to_owned())
        });
        InputSummary(entries.collect())
    }

    /// As a label says it.
    pub(crate) fn to_label(&self) -> String {
        serde_json::to_string(&self.0).expect("texts are JSON")
    }

    /// Reads a label.
    pub(crate) fn parse(label: &str) -> Option<Self> {
        serde_json::from_str(label).ok().map(InputSummary)
    }

    /// The flag of the builder that it was made with, where that is known.
    pub(crate) fn builder(&self) -> Option<&'static str> {
        let has = |name: &str| self.0.contains_key(name);
        match (has(NATIVE), has(ENGINE)) {
            (true, false) => Some("native"),
            (false, true) => Some("docker"),
            _ => None,
        }
    }

    /// What differs from `here`, a phrase each.
    pub(crate) fn differences(&self, here: &InputSummary) -> Vec<String> {
        let of_builder = |name: &str| !OF_SOURCES.contains(&name) && !name.starts_with("assembler") && name != "base";
        let is_other_builder = self.builder() != here.builder();
        let both: BTreeSet<&String> = self.0.keys().chain(here.0.keys()).collect();
        let differ = both.into_iter().filter(|name| self.0.get(*name) != here.0.get(*name));
        let differ = differ.filter(|name| !is_other_builder || !of_builder(name));
        let builder = is_other_builder.then(|| format!("builder (there {}, here {})", self.made_by(), here.made_by()));
        builder.into_iter().chain(differ.map(|name| self.difference(here, name))).collect()
    }

    fn difference(&self, here: &InputSummary, name: &str) -> String {
        let said = |entry: Option<&String>| match entry {
            Some(entry) => entry.split('#').next().unwrap_or_default().trim().to_owned(),
            None => "none".to_owned(),
        };
        let (there, here) = (said(self.0.get(name)), said(here.0.get(name)));
        match there == here || (there.is_empty() && here != "none") || (here.is_empty() && there != "none") {
            true => name.to_owned(),
            false => {
                let shown = |text: String| if text.is_empty() { "another".to_owned() } else { text };
                format!("{name} (there {}, here {})", shown(there), shown(here))
            }
        }
    }

    /// The builder, and what tells it from others of its kind.
    pub(crate) fn made_by(&self) -> String {
        let Some(builder) = self.builder() else { return "unknown".to_owned() };
        let name = if builder == "native" { NATIVE } else { ENGINE };
        let text = self.0[name].split('#').next().unwrap_or_default().trim();
        let text = if builder == "native" { text.to_owned() } else { format!("{name} {text}") };
        format!("`{builder}`: {text}")
    }
}

/// The group of an input, and what is said of it.
fn group(input: &Input) -> (String, String) {
    let name = match input {
        Input::File { .. } | Input::Vendored { .. } => "sources",
        Input::Dependency { .. } | Input::Lock { .. } => "dependencies",
        Input::Manifest { .. } | Input::Root { .. } | Input::Binary { .. } => "manifests",
        Input::Setting { .. } | Input::Platform { .. } => "settings",
        Input::Configuration { .. } => "cargo configuration",
        Input::Label { .. } => "labels",
        Input::Variable { name, .. } => return (format!("variable {name}"), String::new()),
        Input::Tool { name, version } => {
            let text = version.split([';', '#', '\n']).next().unwrap_or_default().trim();
            let text = text.chars().take(LONGEST).collect();
            return (name.clone(), if READABLE.contains(&name.as_str()) { text } else { String::new() });
        }
    };
    (name.to_owned(), String::new())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::inputs::FileKind;

    const RUSTC: &str = "rustc 1.95.0 (59807616e 2026-04-14); binary: rustc; host: x86_64-unknown-linux-gnu";

    fn summary(content: &str, tools: &[Input]) -> InputSummary {
        let file = Input::File { path: "src/main.rs".into(), kind: FileKind::Plain, digest: content.into() };
        let tools = tools.iter().cloned().chain([file]);
        InputSummary::of(&Inputs::default().for_build(&"linux/amd64".parse().unwrap(), tools))
    }

    #[test]
    fn what_differs_is_named_and_no_value_of_a_variable_shows() {
        let there = summary("ab", &[Input::tool("rustc", RUSTC), Input::variable("RUSTFLAGS", "-Copt-level=1")]);
        let label = there.to_label();
        assert_eq!(InputSummary::parse(&label).unwrap(), there);
        assert!(label.contains(r#""rustc":"rustc 1.95.0 (59807616e 2026-04-14) #"#), "{label}");
        assert!(!label.contains("opt-level"), "{label}");
        let other = RUSTC.replace("1.95.0 (", "1.96.0 (");
        let here = summary("cd", &[Input::tool("rustc", other), Input::tool("libc", "ab")]);
        assert_eq!(
            there.differences(&here),
            [
                "libc (there none, here another)",
                "rustc (there rustc 1.95.0 (59807616e 2026-04-14), here rustc 1.96.0 (59807616e 2026-04-14))",
                "sources",
                "variable RUSTFLAGS (there another, here none)",
            ]
        );
        // The same release for another host.
        let host = summary("ab", &[Input::tool("rustc", RUSTC.replace("x86_64", "aarch64"))]);
        assert_eq!(host.differences(&summary("ab", &[Input::tool("rustc", RUSTC)])), ["rustc"]);
        assert!(there.differences(&there).is_empty());
    }

    #[test]
    fn another_builder_is_one_difference() {
        let native =
            summary("ab", &[Input::tool("rustc", RUSTC), Input::tool("cc", "cc 12"), Input::variable("CC", "x")]);
        let engine =
            summary("ab", &[Input::tool("builder image", "sha256:12"), Input::tool("Dockerfile", "sha256:34")]);
        assert_eq!(
            native.differences(&engine),
            ["builder (there `native`: rustc 1.95.0 (59807616e 2026-04-14), here `docker`: builder image sha256:12)"]
        );
        let engine = summary("cd", &[Input::tool("builder image", "sha256:12")]);
        assert_eq!(native.differences(&engine)[1..], ["sources"]);
        assert_eq!(InputSummary::default().made_by(), "unknown");
    }
}
