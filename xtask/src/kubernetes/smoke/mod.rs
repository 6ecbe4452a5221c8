//! What a cluster says of its objects, and the verdict on a rollout, its health and its images: `smoke`.

pub(crate) mod events;
pub(crate) mod expected_images;
pub(crate) mod faults;
pub(crate) mod identity;
pub(crate) mod report;
pub(crate) mod requests;
pub(crate) mod rollout;
pub(crate) mod selection;
pub(crate) mod state;
pub(crate) mod status;
#[cfg(test)]
mod test_namespace;
