//! Two ways to compile: cargo on this machine, or a container engine. Both yield executables; the
//! assembler makes the images.

pub(crate) mod builder_image;
pub(crate) mod engine;
pub(crate) mod executable;
pub(crate) mod explain;
pub(crate) mod flags;
mod link_hint;
pub(crate) mod loader;
pub(crate) mod native;
pub(crate) mod observe;
pub(crate) mod shared_code;
mod tools;
