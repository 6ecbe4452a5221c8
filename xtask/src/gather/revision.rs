//! The input commit of a component: the newest commit that changed one of its inputs.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use camino::{Utf8Path, Utf8PathBuf};

use super::workspace::Workspace;
use crate::errors::hinted;
use crate::image::images_lock::IMAGES_LOCK;
use crate::system::files::{TemporaryFolder, write_atomically};
use crate::system::git::{Commit, Git};
use crate::system::progress::Progress;
use crate::workspace::components::Component;
use crate::workspace::context::Context;
use crate::workspace::inputs::Inputs;

/// Of more commits to manifests than these, nobody waits to hear which of them mattered: all are said to.
const RESOLVED: usize = 50;

/// Where an image's `revision`, `created` and file times come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Revision {
    /// The commit's hash, with `-dirty` when inputs differ from it; `unknown` without git.
    pub(crate) commit: String,
    /// Unix seconds: `SOURCE_DATE_EPOCH`, or the commit's time, or 0.
    pub(crate) time: i64,
}

/// Answers for all components of a workspace; remembers what past commits resolved to.
pub(crate) struct Revisions<'a> {
    workspace: &'a Workspace,
    /// Nothing without git, or before the first commit.
    history: Option<History<'a>>,
    epoch: Option<i64>,
    /// Paths that differ from HEAD.
    changed: BTreeSet<Utf8PathBuf>,
}

impl<'a> Revisions<'a> {
    /// Looks for git. `epoch` is what SOURCE_DATE_EPOCH says; warns of what makes revisions less exact.
    ///
    /// # Errors
    /// `epoch` is no number; git refuses the repository.
    pub(crate) fn new(workspace: &'a Workspace, epoch: Option<&str>, progress: &Progress) -> Result<Self> {
        let git = Git::open(workspace.root())?;
        let history = git.and_then(|git| History::new(workspace, git));
        match &history {
            None => progress.say("warning: no git history here: images say revision `unknown`"),
            Some(history) if history.git.is_shallow => progress.warn(&hinted(
                "this clone is shallow, so images say HEAD's revision",
                "fetch all history: `git fetch --unshallow`",
            )),
            Some(_) => {}
        }
        let seconds =
            |text: &str| text.parse().with_context(|| format!("SOURCE_DATE_EPOCH `{text}` is no number of seconds"));
        let epoch = epoch.map(seconds).transpose()?;
        let folders = workspace.components.iter().flat_map(|component| &component.closure);
        let changed = match &history {
            Some(History { git, .. }) => {
                git.changed_paths(&folders.filter(|folder| git.holds(folder)).cloned().collect())?
            }
            None => BTreeSet::new(),
        };
        Ok(Revisions { workspace, history, epoch, changed })
    }

    /// HEAD, and whether the tree differs from it; nothing without git.
    pub(crate) fn head(&self) -> Option<(&str, bool)> {
        Some((&self.history.as_ref()?.head.hash, !self.changed.is_empty()))
    }

    /// The revision of each component, whose inputs come with it.
    pub(crate) fn of_all(&mut self, components: &[(&Component, Inputs)]) -> Result<Vec<Revision>> {
        components.iter().map(|(component, inputs)| self.of(component, inputs)).collect()
    }

    fn of(&mut self, component: &Component, inputs: &Inputs) -> Result<Revision> {
        let Some(history) = &mut self.history else {
            return Ok(Revision { commit: "unknown".into(), time: self.epoch.unwrap_or(0) });
        };
        let context = self.workspace.context(component);
        let commit = match history.git.is_shallow {
            true => history.head.clone(),
            false => history.newest_input_commit(component, &context, inputs)?,
        };
        let is_input =
            |path: &Utf8PathBuf| context.holds(path) || context.shared.files.contains(path) || path == IMAGES_LOCK;
        let mark = if self.changed.iter().any(is_input) { "-dirty" } else { "" };
        Ok(Revision { commit: format!("{}{mark}", commit.hash), time: self.epoch.unwrap_or(commit.time) })
    }
}

/// What git knows, and what past commits resolve to.
pub(crate) struct History<'a> {
    workspace: &'a Workspace,
    git: Git,
    head: Commit,
    folder: Option<TemporaryFolder>,
    memory: BTreeMap<String, BTreeMap<String, String>>,
    /// Of each commit, the name of its memory.
    keys: BTreeMap<String, String>,
}

impl<'a> History<'a> {
    /// Nothing before the first commit.
    pub(crate) fn new(workspace: &'a Workspace, git: Git) -> Option<Self> {
        let head = git.head.clone()?;
        Some(History { workspace, git, head, folder: None, memory: BTreeMap::new(), keys: BTreeMap::new() })
    }

    /// Hash and subject of the commits after `from` up to `to` that changed an input of the component, newest first.
    ///
    /// # Errors
    /// Git does not know the commits.
    pub(crate) fn between(&mut self, component: &Component, from: &str, to: &str) -> Result<Vec<(String, String)>> {
        let context = self.workspace.context(component);
        let files = &self.workspace.shared_inputs.files;
        let range = format!("{from}..{to}");
        let touching = self.git.commits_to(&self.paths(component), &range, usize::MAX)?.into_iter();
        let is_input = |path: &Utf8PathBuf| context.holds(path) || files.contains(path);
        let changed = touching.filter(|(_, paths)| paths.iter().any(is_input)).map(|(commit, _)| commit.hash);
        let mut changed: BTreeSet<String> = changed.collect();
        let manifests = self.git.manifest_commits(&range, &self.workspace.vendored_folders())?;
        let are_many = manifests.len() > RESOLVED;
        for Commit { hash, .. } in manifests {
            if are_many || self.is_resolved_otherwise(&hash, component)? {
                changed.insert(hash);
            }
        }
        let all = self.git.log_between(from, to)?;
        Ok(all.into_iter().filter(|(hash, _)| changed.contains(hash)).collect())
    }

    /// Whether cargo resolves something else for the component at this commit than before it.
    fn is_resolved_otherwise(&mut self, commit: &str, component: &Component) -> Result<bool> {
        let Some(parent) = self.git.parent(commit)? else { return Ok(true) };
        Ok(self.derived_hash(&parent, &component.name)? != self.derived_hash(commit, &component.name)?)
    }

    /// The newest commit that changed an input, remembered: history does not change, and what is looked for
    /// is in the name of the memory.
    fn newest_input_commit(&mut self, component: &Component, context: &Context, inputs: &Inputs) -> Result<Commit> {
        let derived = inputs.derived_hash();
        let about = format!("1\n{}\n{}\n{derived}\n{context:?}", self.head.hash, component.name);
        let key = crate::image::reference::Digest::of(about.as_bytes()).hex().to_owned();
        let remembered = self.workspace.output().join("past").join(format!("{key}.json"));
        let known =
            std::fs::read(&remembered).ok().and_then(|bytes| serde_json::from_slice::<(String, i64)>(&bytes).ok());
        if let Some((hash, time)) = known {
            return Ok(Commit { hash, time });
        }
        let files = &self.workspace.shared_inputs.files;
        let newest =
            self.git.newest_commit(&self.paths(component), |path| context.holds(path) || files.contains(path))?;
        let commit = match newest {
            Some(newest) if newest != self.head => self.input_commit(component, derived, newest)?,
            _ => self.head.clone(),
        };
        write_atomically(&remembered, &serde_json::to_vec(&(&commit.hash, commit.time))?)?;
        Ok(commit)
    }

    /// Files and folders that hold what are inputs by themselves, as far as git knows them.
    fn paths(&self, component: &Component) -> BTreeSet<Utf8PathBuf> {
        // Of path packages outside the workspace, git knows those in the same repository.
        let is_known = |path: &Utf8PathBuf| path.is_relative() || self.git.holds(path);
        let named = self.workspace.named(component);
        let files = self.workspace.shared_inputs.files.iter().cloned();
        component.closure.iter().cloned().chain(named).chain(files).filter(is_known).collect()
    }

    /// Files answer through `git log`. Manifests and the lock file are shared by all components:
    /// whether a commit of theirs mattered to this one is seen by resolving before and after it.
    fn input_commit(&mut self, component: &Component, derived: String, base: Commit) -> Result<Commit> {
        let mut after = Some(derived);
        for commit in self.git.manifest_commits(&format!("{}..HEAD", base.hash), &self.workspace.vendored_folders())? {
            let Some(parent) = self.git.parent(&commit.hash)? else { return Ok(commit) };
            let before = self.derived_hash(&parent, &component.name)?;
            if before != after {
                // Uncommitted changes may be what differs; the commit itself tells.
                after = self.derived_hash(&commit.hash, &component.name)?;
                if before != after {
                    return Ok(commit);
                }
            }
        }
        Ok(base)
    }

    /// Hash over what cargo resolved for the component at `commit`; nothing when it did not exist
    /// or that state cannot be read.
    fn derived_hash(&mut self, commit: &str, component: &str) -> Result<Option<String>> {
        let key = match self.keys.get(commit) {
            Some(key) => key.clone(),
            None => {
                let platforms: Vec<_> = self.workspace.platforms.iter().map(ToString::to_string).collect();
                let folders = self.workspace.vendored_folders();
                let about = format!("2\n{}\n{}", platforms.join(" "), self.git.manifests_key(commit, &folders)?);
                let key = crate::image::reference::Digest::of(about.as_bytes()).hex().to_owned();
                self.keys.insert(commit.to_owned(), key.clone());
                key
            }
        };
        if !self.memory.contains_key(&key) {
            let remembered = self.workspace.output().join("past").join(format!("{key}.json"));
            let state = match std::fs::read(&remembered).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
                Some(state) => state,
                None => {
                    let state = self.resolve(commit)?;
                    write_atomically(&remembered, &serde_json::to_vec(&state)?)?;
                    state
                }
            };
            self.memory.insert(key.clone(), state);
        }
        Ok(self.memory[&key].get(component).cloned())
    }

    fn resolve(&mut self, commit: &str) -> Result<BTreeMap<String, String>> {
        let folder = match &mut self.folder {
            Some(folder) => folder,
            none => none.insert(TemporaryFolder::create_in(&self.workspace.output().join("tmp"), "past")?),
        };
        let root = self.git.check_out(commit, &folder.0)?;
        // A state that cargo cannot read differs from every other.
        let Ok(inputs) = all_inputs(&root, self.workspace) else { return Ok(BTreeMap::new()) };
        Ok(inputs.into_iter().map(|(name, inputs)| (name, inputs.derived_hash())).collect())
    }
}

/// The inputs of all components of the workspace in `root`, for the platforms of `like`.
pub(crate) fn all_inputs(root: &Utf8Path, like: &Workspace) -> Result<BTreeMap<String, Inputs>> {
    let workspace = Workspace::load_past(root, &like.platforms)?;
    workspace.components.iter().map(|component| Ok((component.name.clone(), workspace.inputs(component)?))).collect()
}
