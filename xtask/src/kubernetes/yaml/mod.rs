//! The YAML reader: documents whose nodes know where in the text they stand, and their values as Kubernetes takes them.

pub(crate) mod document;
pub(crate) mod json;
pub(crate) mod parse;
