//! What all groups share: options, the temporary folder, the copy of the workspace.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::checkout::Checkout;
use crate::child::{command, run};
use crate::cli::Cli;
use crate::edit::Edits;
use crate::machine::Machine;
use crate::subject::Subject;

/// One run of this program.
pub(crate) struct Bench {
    /// The options.
    pub(crate) cli: Cli,
    /// The temporary folder.
    pub(crate) work: PathBuf,
    /// The user's workspace, which is only read.
    pub(crate) source: PathBuf,
    /// The copy that the xtask works on.
    pub(crate) checkout: Checkout,
    /// The one-line edits.
    pub(crate) edits: Edits,
    /// Tells this run's files from those of all other runs.
    pub(crate) stamp: String,
    /// The host and its toolchain.
    pub(crate) machine: Machine,
    subject: OnceCell<Subject>,
    _folder: TempDir,
}

impl Bench {
    /// Copies the workspace around the current folder.
    pub(crate) fn new(cli: Cli) -> Result<Self> {
        let mut locate = command("cargo", Path::new("."));
        locate.args(["locate-project", "--workspace", "--message-format", "plain"]);
        let manifest = PathBuf::from(run(&mut locate)?.stdout.trim());
        let source = manifest.parent().context("the workspace has no folder")?.canonicalize()?;
        // Before this program itself keeps the machine busy.
        let machine = Machine::find(&source)?;
        let folder = tempfile::Builder::new().prefix("cargo-xtask-bench-").tempdir().context("no temporary folder")?;
        let work = folder.path().canonicalize()?;
        eprintln!("working in {}", work.display());
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let stamp = format!("{:x}", since.as_secs());
        let checkout = Checkout::copy(&source, work.join("workspace"), &stamp)?;
        checkout.fetch()?;
        let edits = Edits::new(&stamp);
        Ok(Bench { cli, work, source, checkout, edits, stamp, machine, subject: OnceCell::new(), _folder: folder })
    }

    /// The copy with its components; the first call compiles its xtask.
    pub(crate) fn subject(&self) -> Result<&Subject> {
        if let Some(subject) = self.subject.get() {
            return Ok(subject);
        }
        let subject = Subject::load(&self.checkout, &self.machine)?;
        Ok(self.subject.get_or_init(|| subject))
    }
}
