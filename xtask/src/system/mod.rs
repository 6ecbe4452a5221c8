//! Effects: processes, files, git, the terminal. Everything that planning must not touch.

pub(crate) mod background;
pub(crate) mod cargo;
pub(crate) mod clock;
pub(crate) mod environment;
pub(crate) mod files;
pub(crate) mod git;
pub(crate) mod interrupt;
pub(crate) mod parallel;
pub(crate) mod process;
pub(crate) mod program;
pub(crate) mod progress;
pub(crate) mod sockets;
