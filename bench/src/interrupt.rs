//! Ctrl-C: ends the running child, and lets the program clean up on its way out.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use anyhow::{Context, Result};

static HAPPENED: AtomicBool = AtomicBool::new(false);
static CHILD: AtomicU32 = AtomicU32::new(0);

/// Takes over SIGINT and SIGTERM.
pub(crate) fn install() -> Result<()> {
    ctrlc::set_handler(|| {
        HAPPENED.store(true, Ordering::SeqCst);
        let child = CHILD.load(Ordering::SeqCst);
        if child != 0 {
            let mut kill = Command::new("kill");
            // A child that is gone already is fine.
            let _ = kill.args(["-TERM", &child.to_string()]).stderr(Stdio::null()).status();
        }
    })
    .context("cannot handle Ctrl-C")
}

/// Whether the user wants to stop.
pub(crate) fn happened() -> bool {
    HAPPENED.load(Ordering::SeqCst)
}

/// Says which child to end; 0 for none.
pub(crate) fn watch(child: u32) {
    CHILD.store(child, Ordering::SeqCst);
}
