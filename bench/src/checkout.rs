//! A copy of the workspace that is a git repository of its own.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::child::{command, run};

/// Fixed, so that two copies of the same files have the same commit.
const DATE: &str = "2026-01-01T00:00:00Z";

/// A folder with the workspace's files and one commit.
#[derive(Debug)]
pub(crate) struct Checkout {
    /// Its root.
    pub(crate) root: PathBuf,
}

impl Checkout {
    /// Copies the files that git knows, or would know after `git add`, from `source` to `root`.
    ///
    /// `stamp` goes into the root manifest's metadata: no cache of an earlier run fits then.
    pub(crate) fn copy(source: &Path, root: PathBuf, stamp: &str) -> Result<Self> {
        let mut list = command("git", source);
        list.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
        for file in run(&mut list)?.stdout.split_terminator('\0') {
            copy_file(&source.join(file), &root.join(file))?;
        }
        let manifest = root.join("Cargo.toml");
        let text = fs::read_to_string(&manifest).with_context(|| format!("cannot read `{}`", manifest.display()))?;
        write(&manifest, &format!("{text}\n[workspace.metadata.bench]\nstamp = \"{stamp}\"\n"))?;
        let checkout = Checkout { root };
        checkout.commit()?;
        Ok(checkout)
    }

    /// Makes it a repository and commits everything.
    pub(crate) fn commit(&self) -> Result<()> {
        run(command("git", &self.root).args(["init", "--quiet", "--initial-branch", "main"]))?;
        run(command("git", &self.root).args(["add", "--all"]))?;
        let settings =
            ["user.name=bench", "user.email=bench@localhost", "commit.gpgsign=false", "core.hooksPath=/dev/null"];
        let mut commit = command("git", &self.root);
        commit.args(settings.iter().flat_map(|setting| ["-c", setting]));
        commit.args(["commit", "--quiet", "--allow-empty", "--message", "State to measure"]);
        commit.env("GIT_AUTHOR_DATE", DATE).env("GIT_COMMITTER_DATE", DATE);
        run(&mut commit).map(drop)
    }

    /// Takes back all changes to files that were copied.
    pub(crate) fn reset(&self) -> Result<()> {
        run(command("git", &self.root).args(["checkout", "--quiet", "--force", "HEAD", "--", "."])).map(drop)
    }

    /// Downloads all crates of the lock file, so that no measurement waits for the network.
    pub(crate) fn fetch(&self) -> Result<()> {
        run(command("cargo", &self.root).args(["fetch", "--quiet", "--locked"])).map(drop)
    }
}

/// Copies a file or a symbolic link; one that git knows and that is gone is left out.
fn copy_file(from: &Path, to: &Path) -> Result<()> {
    let Ok(metadata) = from.symlink_metadata() else { return Ok(()) };
    // A nested repository is listed as a folder, and is no part of this one.
    if metadata.is_dir() {
        return Ok(());
    }
    let folder = to.parent().context("a file without a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot create `{}`", folder.display()))?;
    let copied = if metadata.is_symlink() {
        fs::read_link(from).and_then(|target| std::os::unix::fs::symlink(target, to))
    } else {
        fs::copy(from, to).map(drop)
    };
    copied.with_context(|| format!("cannot copy `{}` to `{}`", from.display(), to.display()))
}

/// Writes a file and the folders it lies in.
pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot create `{}`", folder.display()))?;
    }
    fs::write(path, text).with_context(|| format!("cannot write `{}`", path.display()))
}
