//! The cargo alias `xtask`: its compile must use the alias's own options to be the same compile.

use std::path::Path;

use anyhow::{Context, Result};

/// Arguments of the `cargo build` that compiles what the alias `xtask` of this workspace runs.
pub(crate) fn build_arguments(workspace: &Path) -> Result<Vec<String>> {
    let file = workspace.join(".cargo/config.toml");
    let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read `{}`", file.display()))?;
    build_of(&text).with_context(|| format!("`{}` has no alias `xtask` that starts with `run`", file.display()))
}

fn build_of(config: &str) -> Option<Vec<String>> {
    let value = config.lines().find_map(|line| line.trim().strip_prefix("xtask")?.trim_start().strip_prefix('='))?;
    // Written as one string, or as a list of strings.
    let words: Vec<&str> = value
        .split(|c: char| c.is_whitespace() || "[],\"'".contains(c))
        .filter(|word| !word.is_empty())
        .take_while(|word| *word != "--")
        .collect();
    let (first, rest) = words.split_first()?;
    if *first != "run" && *first != "r" {
        return None;
    }
    let build = std::iter::once("build").chain(rest.iter().copied().filter(|word| !["--quiet", "-q"].contains(word)));
    Some(build.map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_becomes_build() {
        let config = "[alias]\n# why\nxtask = \"run --quiet --config a.b=3 --package xtask --bin xtask --\"\n";
        assert_eq!(build_of(config).unwrap(), ["build", "--config", "a.b=3", "--package", "xtask", "--bin", "xtask"]);
        assert_eq!(build_of("xtask = [\"run\", \"-p\", \"xtask\", \"--\"]").unwrap(), ["build", "-p", "xtask"]);
        assert_eq!(build_of("xtask = \"build\""), None);
        assert_eq!(build_of("[build]\n"), None);
    }
}
