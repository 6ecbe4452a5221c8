//! GitHub's REST API: a workflow's runs and what they uploaded.
//!
//! [`runs`] chooses among what the API lists and is pure; [`api`] asks; [`archive`] reads a file out
//! of a downloaded artifact.

pub(crate) mod api;
pub(crate) mod archive;
pub(crate) mod runs;
