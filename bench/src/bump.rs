//! A dependency that changes between two released versions.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::checkout::Checkout;
use crate::child::{command, run};
use crate::subject::Subject;

/// What changes: used by one service, not by the others, and not by the xtask.
const NAME: &str = "tower-http";
/// A released version that the lock file does not have.
const OTHER: &str = "0.7.0";

/// A crate with the version in the lock file and another one.
#[derive(Debug)]
pub(crate) struct Bump {
    /// Name of the crate.
    pub(crate) name: &'static str,
    versions: [String; 2],
    users: Vec<String>,
}

impl Bump {
    /// Finds the version now used and who uses it.
    pub(crate) fn plan(subject: &Subject) -> Result<Self> {
        let mut now = None;
        let mut users = Vec::new();
        for component in &subject.components {
            if let Some(version) = used_by(subject, &component.package, NAME)? {
                now = Some(version);
                users.push(component.name.clone());
            }
        }
        if used_by(subject, "xtask", NAME)?.is_some() {
            bail!("the xtask uses `{NAME}` too and would be compiled as well");
        }
        let now = now.with_context(|| format!("no component uses `{NAME}`"))?;
        Ok(Bump { name: NAME, versions: [now, OTHER.to_owned()], users })
    }

    /// Changes the lock file to the version that it does not have.
    pub(crate) fn apply(&self, checkout: &Checkout, run_number: usize) -> Result<()> {
        let [from, to] = [run_number % 2, (run_number + 1) % 2].map(|which| &self.versions[which]);
        let mut update = command("cargo", &checkout.root);
        update.args(["update", "--quiet", "--precise", to, "--package", &format!("{}@{from}", self.name)]);
        run(&mut update)?;
        checkout.fetch()
    }

    /// What it is, for the report.
    pub(crate) fn describe(&self) -> String {
        let [from, to] = &self.versions;
        format!("`{}` between {from} and {to}, used by {}", self.name, self.users.join(", "))
    }
}

fn used_by(subject: &Subject, package: &str, name: &str) -> Result<Option<String>> {
    let mut tree = command("cargo", &subject.root);
    tree.args(["tree", "--locked", "--package", package]);
    tree.args(["--edges", "no-dev", "--prefix", "none", "--format", "{p}"]);
    Ok(version_in(&run(&mut tree)?.stdout, name))
}

fn version_in(tree: &str, name: &str) -> Option<String> {
    let rest = tree.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" v"))?;
    rest.split_whitespace().next().map(str::to_owned)
}

/// The lock file as it is, to be put back.
pub(crate) fn lock_file(root: &Path) -> Result<String> {
    fs::read_to_string(root.join("Cargo.lock")).context("cannot read the lock file")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_exactly_that_crate() {
        let tree = "ui v0.1.0 (/ui)\ntower v0.5.3\ntower-http v0.7.1\ntower-http v0.7.1 (*)\n";
        assert_eq!(version_in(tree, "tower-http").as_deref(), Some("0.7.1"));
        assert_eq!(version_in(tree, "tower").as_deref(), Some("0.5.3"));
        assert_eq!(version_in(tree, "tow"), None);
    }
}
