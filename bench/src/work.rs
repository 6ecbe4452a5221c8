//! The temporary folder of a run.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// A folder that goes when this value goes.
#[derive(Debug)]
pub(crate) struct WorkFolder {
    path: PathBuf,
    is_kept: bool,
}

impl WorkFolder {
    /// Makes a new folder in `parent`, which must lie outside of `workspace`: cargo would find the
    /// workspace's configuration from inside.
    pub(crate) fn create(parent: &Path, workspace: &Path, is_kept: bool) -> Result<Self> {
        fs::create_dir_all(parent).with_context(|| format!("cannot create `{}`", parent.display()))?;
        let parent = parent.canonicalize().with_context(|| format!("cannot find `{}`", parent.display()))?;
        if parent.starts_with(workspace) {
            bail!("the temporary folder `{}` is inside of the workspace\nname another with `--work`", parent.display());
        }
        let path = parent.join(format!("cargo-xtask-bench-{}", std::process::id()));
        fs::create_dir(&path).with_context(|| format!("cannot create `{}`", path.display()))?;
        eprintln!("working in {}", path.display());
        Ok(WorkFolder { path, is_kept })
    }

    /// Path of something in it.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for WorkFolder {
    fn drop(&mut self) {
        if self.is_kept {
            eprintln!("kept: {}", self.path.display());
        } else if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("warning: cannot remove `{}`: {error}", self.path.display());
        }
    }
}
