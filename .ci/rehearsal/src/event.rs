//! A repository for the workflows to run on, and the events that start them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::tool;

/// The repository on the server: a snapshot of the workspace with a history of its own.
pub struct Origin {
    _folder: TempDir,
    /// Where it is.
    pub path: PathBuf,
}

impl Origin {
    /// All files of the workspace at `root` that git does not ignore, committed to `main`.
    ///
    /// # Errors
    /// Git or the disk fail.
    pub fn snapshot(root: &Path) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("rehearsal-origin-").tempdir()?;
        let origin = Origin { path: folder.path().join("shop"), _folder: folder };
        fs::create_dir(&origin.path)?;
        let mut list = Command::new("git");
        list.current_dir(root).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
        for file in tool(&mut list)?.split('\0').filter(|file| !file.is_empty()) {
            let (from, to) = (root.join(file), origin.path.join(file));
            // A deletion that is not committed yet.
            if !from.is_file() {
                continue;
            }
            fs::create_dir_all(to.parent().context("a file has a folder")?)?;
            fs::copy(&from, &to).with_context(|| format!("cannot copy `{}`", from.display()))?;
        }
        origin.git(&["init", "--quiet", "--initial-branch=main"])?;
        origin.commit("All of it")?;
        Ok(origin)
    }

    /// Runs git there.
    ///
    /// # Errors
    /// Git fails.
    pub fn git(&self, arguments: &[&str]) -> Result<String> {
        let mut git = Command::new("git");
        git.current_dir(&self.path).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        for who in ["AUTHOR", "COMMITTER"] {
            git.env(format!("GIT_{who}_NAME"), "rehearsal").env(format!("GIT_{who}_EMAIL"), "rehearsal@example.com");
        }
        tool(git.args(arguments))
    }

    fn commit(&self, message: &str) -> Result<String> {
        self.git(&["add", "--all"])?;
        self.git(&["commit", "--quiet", "--message", message])?;
        self.git(&["rev-parse", "HEAD"])
    }

    /// A pull request that adds `text` to the end of `file`: the merge that GitHub makes of it.
    ///
    /// # Errors
    /// Git or the disk fail.
    pub fn pull_request(&self, number: u32, file: &str, text: &str) -> Result<Event> {
        let branch = format!("change-{number}");
        self.git(&["checkout", "--quiet", "-b", &branch, "main"])?;
        let path = self.path.join(file);
        fs::write(&path, fs::read_to_string(&path)? + text)?;
        self.commit("A change")?;
        self.git(&["checkout", "--quiet", "--detach", "main"])?;
        self.git(&["merge", "--quiet", "--no-ff", "--message", "Merge", &branch])?;
        let sha = self.git(&["rev-parse", "HEAD"])?;
        let reference = format!("refs/pull/{number}/merge");
        self.git(&["update-ref", &reference, &sha])?;
        self.git(&["checkout", "--quiet", "main"])?;
        let payload = json!({"number": number, "repository": {"default_branch": "main"}});
        Ok(Event { base: Some("main".into()), payload, ..Event::new("pull_request", &reference, sha) })
    }

    /// A push of `main` as it is.
    ///
    /// # Errors
    /// Git fails.
    pub fn push(&self) -> Result<Event> {
        Ok(Event::new("push", "refs/heads/main", self.git(&["rev-parse", "main"])?))
    }

    /// A push of a new git tag at `main`.
    ///
    /// # Errors
    /// Git fails.
    pub fn tag(&self, name: &str) -> Result<Event> {
        self.git(&["tag", name, "main"])?;
        Ok(Event::new("push", &format!("refs/tags/{name}"), self.git(&["rev-parse", "main"])?))
    }

    /// A manual run on `main`, with inputs.
    ///
    /// # Errors
    /// Git fails.
    pub fn manual(&self, inputs: &[(&str, &str)]) -> Result<Event> {
        let sha = self.git(&["rev-parse", "main"])?;
        let inputs = inputs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Ok(Event { inputs, ..Event::new("workflow_dispatch", "refs/heads/main", sha) })
    }
}

/// What started a run.
#[derive(Clone, Debug)]
pub struct Event {
    /// `push`, `pull_request`, `workflow_dispatch`.
    pub name: String,
    /// `refs/…`.
    pub reference: String,
    /// The commit that is checked out.
    pub sha: String,
    /// The branch that a pull request goes to.
    pub base: Option<String>,
    /// What a manual run was given.
    pub inputs: BTreeMap<String, String>,
    /// The event's own document.
    pub payload: Value,
}

impl Event {
    fn new(name: &str, reference: &str, sha: String) -> Self {
        Event {
            name: name.to_owned(),
            reference: reference.to_owned(),
            sha,
            base: None,
            inputs: BTreeMap::new(),
            payload: json!({"repository": {"default_branch": "main"}}),
        }
    }

    /// What `github` holds, and with `GITHUB_` and in upper case the environment of all steps
    /// (docs.github.com, "Contexts reference" and "Variables reference").
    pub fn github(&self, repository: &str) -> BTreeMap<&'static str, String> {
        let kinds = [("refs/heads/", "branch"), ("refs/tags/", "tag"), ("refs/pull/", "branch")];
        let kind = kinds.iter().find_map(|(start, kind)| Some((self.reference.strip_prefix(start)?, *kind)));
        let (short, kind) = kind.unwrap_or((&self.reference, "branch"));
        BTreeMap::from([
            ("actor", "rehearsal".to_owned()),
            ("base_ref", self.base.clone().unwrap_or_default()),
            ("event_name", self.name.clone()),
            ("ref", self.reference.clone()),
            ("ref_name", short.to_owned()),
            ("ref_type", kind.to_owned()),
            ("repository", repository.to_owned()),
            ("sha", self.sha.clone()),
        ])
    }
}
