//! What may be deleted of a registry: a function of all that it holds, all that is named, and the policy.

mod plan;
mod releases;
#[cfg(test)]
mod tests;
mod world;

pub(crate) use plan::{Deleted, Kept, RepositoryPlan, plan};
pub(crate) use world::{Contents, KeepPolicy, Kind, Known, Named, World, subject_of};

/// What the manifest says that it is, which a tag is pointed at where registries delete no tag alone.
pub(crate) const THROWAWAY_TYPE: &str = "application/vnd.cargo-xtask.throwaway.v1+json";
