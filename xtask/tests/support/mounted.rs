//! A small file system, to be filled.
#![cfg(target_os = "linux")]

use std::path::PathBuf;
use std::process::Command;

use crate::support::succeed;

/// A small file system mounted on a folder, unmounted when dropped.
pub(crate) struct Mounted(PathBuf);

impl Mounted {
    /// Mounts one of `size` (`64k`, `1m`); needs root.
    pub(crate) fn on(folder: PathBuf, size: &str) -> Self {
        std::fs::create_dir_all(&folder).unwrap();
        succeed(Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(&folder));
        Mounted(folder)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("--lazy").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "{} stays mounted", self.0.display());
    }
}
