//! What images and references are, as data.
//!
//! Pure: nothing here touches files, processes, the environment, the clock or the network.

pub(crate) mod assembled;
pub(crate) mod build_number;
pub(crate) mod deployment;
pub(crate) mod entry;
pub(crate) mod images_lock;
pub(crate) mod labels;
pub(crate) mod manifest;
pub(crate) mod part;
pub(crate) mod platform;
pub(crate) mod promotion;
pub(crate) mod prune;
pub(crate) mod record;
pub(crate) mod reference;
pub(crate) mod release;
pub(crate) mod root_files;
pub(crate) mod service_manifest;
pub(crate) mod statement;
pub(crate) mod tags;
pub(crate) mod time;
pub(crate) mod verdict;
