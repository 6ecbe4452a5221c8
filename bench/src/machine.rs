//! What the numbers were measured on.

use std::path::Path;

use anyhow::{Context, Result};

use crate::child::{command, run};

/// From this load on a machine is called busy; the compile of this program alone leaves some.
const BUSY: f64 = 1.5;

/// Host and toolchain.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    /// Processors this program may use.
    pub(crate) cores: usize,
    /// How many programs ran on average before this one started, where the system tells.
    pub(crate) load: Option<f64>,
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
            load: load(),
            triple: triple.to_owned(),
            rustc: text.lines().next().unwrap_or_default().to_owned(),
            engine: run(&mut engine).ok().map(|finished| finished.stdout.trim().to_owned()),
        })
    }

    /// A warning when others were at work: then only the ratios say something, and not much.
    pub(crate) fn busy(&self) -> Option<String> {
        let load = self.load.filter(|load| *load > BUSY)?;
        Some(format!("The machine was busy when this started (load {load:.1}); measure again when it is not."))
    }

    /// The platform that images are built for, as OCI writes it.
    pub(crate) fn platform(&self) -> &'static str {
        if self.triple.starts_with("aarch64") { "linux/arm64" } else { "linux/amd64" }
    }
}

/// The average of the last minute.
fn load() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}
