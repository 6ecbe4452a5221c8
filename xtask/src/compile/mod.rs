//! Two ways to compile: cargo on this machine, or a container engine. Both yield executables; the
//! assembler makes the images.

pub(crate) mod engine;
pub(crate) mod executable;
pub(crate) mod flags;
#[cfg_attr(not(test), expect(dead_code, reason = "called where compiling fails"))]
pub(crate) mod link_hint;
pub(crate) mod loader;
pub(crate) mod native;
