//! Makes images: layers, configs and manifests in an OCI image layout, and archives of them.
//!
//! The same input gives the same digests on every machine; memory does not grow with the image.

pub(crate) mod archive;
pub(crate) mod base;
pub(crate) mod blobs;
pub(crate) mod component;
pub(crate) mod dep_section;
pub(crate) mod file_tree;
mod gzip;
pub(crate) mod hashing;
pub(crate) mod identity;
pub(crate) mod image;
pub(crate) mod layer;
pub(crate) mod layout;
mod tar;
