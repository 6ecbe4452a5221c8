//! HTTP: one way to ask, with patience, proxies and rules about where credentials and plain text go.

mod address;
mod bounded_body;
mod error;
mod exchange;
mod proxies;
mod retry;
mod secret;

pub(crate) use address::{host_port, is_same_origin, next_link, percent_encoded, redacted};
pub(crate) use bounded_body::{drain, read_whole};
pub(crate) use error::ApiError;
pub(crate) use exchange::{Exchange, Http};
pub(crate) use retry::{Attempts, Failure, RetryPolicy};
pub(crate) use secret::Secret;
