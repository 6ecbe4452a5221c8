//! The actions that the workflows use, as far as they use them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};

use crate::event::Event;
use crate::tool;

/// What actions keep beyond a job: caches, and the artifacts of one run.
pub struct Storage {
    folder: PathBuf,
    /// Keys of caches, the newest last.
    pub caches: Vec<String>,
    /// Where the artifacts of the run are, a folder each.
    pub artifacts: PathBuf,
    runs: u32,
}

impl Storage {
    /// Keeps everything below `folder`.
    pub fn new(folder: PathBuf) -> Self {
        Storage { artifacts: folder.join("artifacts-0"), folder, caches: Vec::new(), runs: 0 }
    }

    /// A new run begins without artifacts.
    ///
    /// # Errors
    /// The disk fails.
    pub fn begin_run(&mut self) -> Result<()> {
        self.runs += 1;
        self.artifacts = self.folder.join(format!("artifacts-{}", self.runs));
        fs::create_dir_all(&self.artifacts).context("cannot make a folder for artifacts")
    }

    /// Runs the action `name` in `workspace`; gives its outputs.
    ///
    /// # Errors
    /// An action or input that is not known here; the action fails.
    pub fn run(
        &mut self,
        name: &str,
        inputs: Inputs,
        workspace: &Path,
        origin: &Path,
        event: &Event,
    ) -> Result<Outputs> {
        let mut inputs = inputs;
        let outputs = match name {
            "actions/checkout" => check_out(&mut inputs, workspace, origin, event).map(|()| Outputs::new()),
            "actions/cache/restore" => self.restore(&mut inputs, workspace),
            "actions/cache/save" => self.save(&mut inputs, workspace).map(|()| Outputs::new()),
            "actions/upload-artifact" => self.upload(&mut inputs, workspace).map(|()| Outputs::new()),
            "actions/download-artifact" => self.download(&mut inputs, workspace).map(|()| Outputs::new()),
            other => bail!("the action `{other}` is not known here"),
        }?;
        ensure!(inputs.is_empty(), "inputs of `{name}` that are not known here: {inputs:?}");
        Ok(outputs)
    }

    fn restore(&mut self, inputs: &mut Inputs, workspace: &Path) -> Result<Outputs> {
        let (paths, key) = (cached_paths(&taken(inputs, "path")?), taken(inputs, "key")?);
        let prefix = taken(inputs, "restore-keys")?;
        let exact = self.caches.iter().find(|known| **known == key);
        let Some(found) = exact.or_else(|| self.caches.iter().rfind(|known| known.starts_with(prefix.trim()))) else {
            return Ok(Outputs::from([("cache-hit".into(), String::new())]));
        };
        for path in paths {
            let from = self.folder.join("caches").join(found).join(&path);
            if from.exists() {
                copy(&from, &workspace.join(&path))?;
            }
        }
        Ok(Outputs::from([("cache-hit".into(), (*found == key).to_string())]))
    }

    fn save(&mut self, inputs: &mut Inputs, workspace: &Path) -> Result<()> {
        let (paths, key) = (cached_paths(&taken(inputs, "path")?), taken(inputs, "key")?);
        ensure!(!self.caches.contains(&key), "there is a cache `{key}` already");
        for path in paths.iter().filter(|path| workspace.join(path).exists()) {
            copy(&workspace.join(path), &self.folder.join("caches").join(&key).join(path))?;
        }
        self.caches.push(key);
        Ok(())
    }

    fn upload(&mut self, inputs: &mut Inputs, workspace: &Path) -> Result<()> {
        let (name, paths) = (taken(inputs, "name")?, taken(inputs, "path")?);
        ensure!(taken(inputs, "if-no-files-found")? == "error", "an empty artifact must be an error");
        let days: u32 = taken(inputs, "retention-days")?.parse().context("`retention-days` is no number")?;
        ensure!((1..=90).contains(&days), "`retention-days: {days}` is more than public repositories may have");
        let artifact = self.artifacts.join(&name);
        ensure!(!artifact.exists(), "there is an artifact `{name}` already");
        fs::create_dir(&artifact)?;
        // Files of one folder lie at the archive's top.
        let files: Vec<PathBuf> = paths.lines().map(|line| workspace.join(line.trim())).collect();
        let folders: Vec<_> = files.iter().filter_map(|file| file.parent()).collect();
        ensure!(folders.windows(2).all(|pair| pair[0] == pair[1]), "files of several folders: {paths}");
        for file in &files {
            let to = artifact.join(file.file_name().context("a file has a name")?);
            fs::copy(file, to).with_context(|| format!("no `{}` for artifact `{name}`", file.display()))?;
        }
        Ok(())
    }

    fn download(&mut self, inputs: &mut Inputs, workspace: &Path) -> Result<()> {
        let (pattern, path) = (taken(inputs, "pattern")?, workspace.join(taken(inputs, "path")?));
        ensure!(taken(inputs, "merge-multiple")? == "true", "only merged downloads are known here");
        let start = pattern.strip_suffix('*').context("only patterns with a final `*` are known here")?;
        fs::create_dir_all(&path)?;
        for artifact in fs::read_dir(&self.artifacts)? {
            let artifact = artifact?;
            if artifact.file_name().to_string_lossy().starts_with(start) {
                copy(&artifact.path(), &path)?;
            }
        }
        Ok(())
    }
}

/// Inputs of an action by name, filled in.
pub type Inputs = BTreeMap<String, String>;
/// Outputs of a step by name.
pub type Outputs = BTreeMap<String, String>;

fn taken(inputs: &mut Inputs, name: &str) -> Result<String> {
    inputs.remove(name).with_context(|| format!("input `{name}` is missing"))
}

/// The paths below the workspace. The machine's cargo home is its own, and so is what the tool compiled
/// to (see `runner`).
fn cached_paths(list: &str) -> Vec<PathBuf> {
    let own = |path: &&str| !path.starts_with("~/") && *path != "target/debug";
    list.lines().map(str::trim).filter(|path| !path.is_empty()).filter(own).map(PathBuf::from).collect()
}

/// All branches and tags, and the commit of the event; no credentials are left behind.
fn check_out(inputs: &mut Inputs, workspace: &Path, origin: &Path, event: &Event) -> Result<()> {
    ensure!(taken(inputs, "fetch-depth")? == "0", "input commits need all history");
    ensure!(taken(inputs, "persist-credentials")? == "false", "no later step may use the checkout's token");
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        git.current_dir(workspace).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        tool(git.args(arguments))
    };
    git(&["init", "--quiet"])?;
    git(&["remote", "add", "origin", &origin.to_string_lossy()])?;
    let (branches, tags) = ("+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*");
    git(&["fetch", "--quiet", "origin", branches, tags, &event.reference])?;
    match event.reference.strip_prefix("refs/heads/") {
        Some(branch) => git(&["checkout", "--quiet", "-B", branch, &event.sha])?,
        None => git(&["checkout", "--quiet", "--detach", &event.sha])?,
    };
    // The tool's sources look as old as they are, or cargo would compile it anew in each job.
    let committed: u64 = git(&["log", "-1", "--format=%ct", "origin/main"])?.parse().context("no time of a commit")?;
    let changed = git(&["diff", "--name-only", "origin/main", "--", "xtask"])?;
    for file in git(&["ls-files", "--", "xtask"])?.lines().filter(|file| !changed.lines().any(|other| other == *file)) {
        let file = fs::File::options().append(true).open(workspace.join(file))?;
        file.set_modified(UNIX_EPOCH + Duration::from_secs(committed))?;
    }
    Ok(())
}

/// Copies what `from` holds into `to`, times included.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    tool(Command::new("cp").arg("-a").arg(from.join(".")).arg(to)).map(drop)
}
