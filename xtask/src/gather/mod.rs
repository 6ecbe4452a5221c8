//! Gathers what planning needs to know: the workspace, its sources, their history.

pub(crate) mod assets;
pub(crate) mod bases;
pub(crate) mod cargo_config;
pub(crate) mod ci;
pub(crate) mod dockerfiles;
pub(crate) mod files;
pub(crate) mod memory;
pub(crate) mod origin;
pub(crate) mod record;
pub(crate) mod repositories;
pub(crate) mod revision;
pub(crate) mod sources;
mod vendored;
pub(crate) mod workspace;
