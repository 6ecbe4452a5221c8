//! Builds of images: planned, carried out, told. For the commands that build.

pub(crate) mod apply;
pub(crate) mod builder;
mod compile;
pub(crate) mod options;
pub(crate) mod plan;
pub(crate) mod report;
mod start;
pub(crate) mod summary;
