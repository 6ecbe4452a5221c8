//! Gathers what planning needs to know: the workspace, its sources, their history.

pub(crate) mod ci;
pub(crate) mod dockerfiles;
pub(crate) mod revision;
pub(crate) mod sources;
pub(crate) mod workspace;
