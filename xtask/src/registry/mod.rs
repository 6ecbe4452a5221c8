//! A client for registries (OCI distribution-spec 1.1), blocking and thin.
//!
//! Our own, because a library needs nearly as much code around it for retries, token renewal and
//! checked digests, and doubles what every user compiles. [`client`] holds the one way a request
//! is sent: authorized, repeated, its errors explained. The operations are built on it.

mod auth;
mod client;
mod credentials;
mod error;
mod http;
mod inspect;
mod pull;
mod retry;
mod tagging;

pub(crate) use client::Client;
pub(crate) use credentials::Credentials;
pub(crate) use inspect::RemoteImage;
pub(crate) use pull::FetchedManifest;
pub(crate) use retry::RetryPolicy;

#[cfg(test)]
mod test_server;
#[cfg(test)]
mod tests;
