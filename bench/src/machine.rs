//! What the numbers were measured on.

use std::path::Path;

use anyhow::{Context, Result};

use crate::child::{command, run};

/// Host and toolchain.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    /// Processors this program may use.
    pub(crate) cores: usize,
    /// The host's target triple, which everything is compiled for.
    pub(crate) triple: String,
    /// `rustc --version`.
    pub(crate) rustc: String,
    /// The engine's version, when one answers.
    pub(crate) engine: Option<String>,
}

impl Machine {
    /// Asks the toolchain that the workspace uses.
    pub(crate) fn find(workspace: &Path) -> Result<Self> {
        let text = run(command("rustc", workspace).arg("-vV"))?.stdout;
        let triple = text.lines().find_map(|line| line.strip_prefix("host: ")).context("`rustc -vV` names no host")?;
        let mut engine = command("docker", workspace);
        engine.args(["version", "--format", "{{.Server.Version}}"]);
        Ok(Machine {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            triple: triple.to_owned(),
            rustc: text.lines().next().unwrap_or_default().to_owned(),
            engine: run(&mut engine).ok().map(|finished| finished.stdout.trim().to_owned()),
        })
    }

    /// The platform that images are built for, as OCI writes it.
    pub(crate) fn platform(&self) -> &'static str {
        if self.triple.starts_with("aarch64") { "linux/arm64" } else { "linux/amd64" }
    }
}
