//! A namespace of its own, and the workspace's manifests moved to it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::checkout::write;
use crate::child::{command, run};
use crate::subject::Subject;

/// Where the workspace's manifests are, from the root.
const FOLDER: &str = "k8s";
/// How long pods may take to become ready, or to go.
const PATIENCE: Duration = Duration::from_secs(120);

/// Goes with its namespace when this value goes.
pub(crate) struct Stage<'a> {
    root: &'a Path,
    namespace: String,
    record: Value,
    /// Pinned, in the new namespace.
    manifests: Vec<(PathBuf, String)>,
}

impl<'a> Stage<'a> {
    /// Pins the copy's manifests to `record` and moves them to `namespace`; the cluster stays as it is.
    pub(crate) fn new(subject: &'a Subject, record: &Path, namespace: String) -> Result<Self> {
        let root = subject.root.as_path();
        run(command("cargo", root).args(["xtask", "manifests", "--digests"]).arg(record))?;
        let text = fs::read_to_string(record).with_context(|| format!("cannot read `{}`", record.display()))?;
        let record = serde_json::from_str(&text).context("the digest record is no JSON")?;
        let listed = run(command("git", root).args(["ls-files", "--", FOLDER]))?.stdout;
        let mut manifests = Vec::new();
        for path in listed.lines().map(|path| root.join(path)) {
            let text = fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
            manifests.push((path, text));
        }
        let old = manifests.iter().find_map(|(_, text)| named_namespace(text)).map(str::to_owned);
        let old = old.with_context(|| format!("no kustomization in `{FOLDER}` names a namespace"))?;
        for (_, text) in &mut manifests {
            *text = text.replace(&old, &namespace);
        }
        Ok(Stage { root, namespace, record, manifests })
    }

    /// kubectl in the namespace.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Command {
        let mut kubectl = command("kubectl", self.root);
        kubectl.args(["--namespace", &self.namespace]).args(arguments);
        kubectl
    }

    /// kubectl waiting for all Deployments.
    pub(crate) fn wait_command(&self) -> Command {
        let timeout = format!("--timeout={}s", PATIENCE.as_secs());
        self.kubectl(&["wait", "--for=condition=Available", "deployment", "--all", &timeout])
    }

    /// Applies the manifests and waits until all is ready.
    pub(crate) fn deploy(&self) -> Result<()> {
        self.write(&|text| text.to_owned())?;
        run(&mut self.kubectl(&["apply", "--kustomize", FOLDER]))?;
        run(&mut self.wait_command())?;
        Ok(())
    }

    /// Removes all Deployments, their pods, and the events of these.
    pub(crate) fn clear(&self) -> Result<()> {
        self.write(&|text| text.to_owned())?;
        run(&mut self.kubectl(&["delete", "deployment", "--all"]))?;
        let deadline = Instant::now() + PATIENCE;
        while !run(&mut self.kubectl(&["get", "pods", "--output=name"]))?.stdout.trim().is_empty() {
            if Instant::now() > deadline {
                bail!("pods of namespace `{}` do not end", self.namespace);
            }
            thread::sleep(Duration::from_millis(500));
        }
        run(&mut self.kubectl(&["delete", "events", "--all"])).map(drop)
    }

    /// Gives a component's manifest a tag that the registry does not have, until the next
    /// [`Stage::clear`] or [`Stage::deploy`].
    pub(crate) fn break_image(&self, component: &str) -> Result<()> {
        let text = |name: &str| {
            let value = self.record[component][name].as_str();
            value.with_context(|| format!("the record has no `{name}` of `{component}`"))
        };
        let (image, missing) = (text("image")?, format!("{}:bench-missing", text("repository")?));
        if !self.manifests.iter().any(|(_, text)| text.contains(image)) {
            bail!("no manifest has `{image}`");
        }
        self.write(&|text| text.replace(image, &missing))
    }

    fn write(&self, edit: &dyn Fn(&str) -> String) -> Result<()> {
        self.manifests.iter().try_for_each(|(path, text)| write(path, &edit(text)))
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        let timeout = format!("--timeout={}s", PATIENCE.as_secs());
        let mut delete = command("kubectl", self.root);
        delete.args(["delete", "namespace", &self.namespace, "--ignore-not-found", &timeout]);
        // Not as the others: it is to run after Ctrl-C as well.
        let deleted = delete.stdout(Stdio::null()).status();
        if !deleted.is_ok_and(|status| status.success()) {
            eprintln!("warning: cannot remove the namespace; `kubectl delete namespace {}`", self.namespace);
        }
    }
}

/// The namespace that a kustomization moves everything to.
fn named_namespace(text: &str) -> Option<&str> {
    let is_kustomization = text.lines().any(|line| line == "kind: Kustomization");
    let mut lines = text.lines().filter(|_| is_kustomization);
    lines.find_map(|line| line.strip_prefix("namespace:")).map(str::trim).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kustomization_names_the_namespace() {
        assert_eq!(named_namespace("kind: Kustomization\nnamespace: demon-system\n"), Some("demon-system"));
        assert_eq!(named_namespace("kind: Deployment\nmetadata:\n  namespace: a\n"), None);
        assert_eq!(named_namespace("kind: Component\nnamespace: a\n"), None);
    }
}
