//! A client for registries (OCI distribution-spec 1.1), blocking and thin.
//!
//! Our own, because a library needs nearly as much code around it for retries, token renewal and
//! checked digests, and doubles what every user compiles. [`client`] holds the one way a request
//! is sent: authorized, repeated, its errors explained. The operations are built on it.

mod artifact;
mod attach;
mod auth;
mod blob_locations;
mod challenge;
mod client;
mod complete;
mod contents;
mod credential_helper;
mod credentials;
mod delete;
mod docker_config;
mod download;
mod error;
mod inspect;
mod pull;
mod push;
mod referrers;
mod releases;
pub(crate) mod tag_images;
mod tags;
mod token;
mod transfer;

pub(crate) use attach::Attachment;
pub(crate) use client::Client;
pub(crate) use complete::Found;
pub(crate) use credentials::Credentials;
pub(crate) use error::WrongContent;
pub(crate) use inspect::RemoteImage;
pub(crate) use pull::FetchedManifest;
pub(crate) use referrers::Referrer;
pub(crate) use releases::{Releases, StoredRelease};
pub(crate) use transfer::{ImageSource, RegistrySource, Transferred, transfer};

#[cfg(test)]
mod complete_tests;
#[cfg(test)]
mod push_fault_tests;
#[cfg(test)]
mod push_tests;
#[cfg(test)]
mod referrers_tests;
#[cfg(test)]
mod releases_tests;
#[cfg(test)]
mod tags_tests;
#[cfg(test)]
mod test_registry;
#[cfg(test)]
pub(crate) mod test_server;
#[cfg(test)]
mod tests;
