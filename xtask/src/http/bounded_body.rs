//! Bodies, read up to a limit: what a broken server sends may have no end.

use std::io::{self, Read};

use anyhow::anyhow;
use ureq::Body;
use ureq::http::Response;

use super::retry::Failure;

/// Error bodies are small, and to keep the connection of an answer that is of no use, more is not worth it.
const MAX_START: u64 = 64 * 1024;

/// The whole body of a small answer.
///
/// # Errors
/// More than `limit` bytes; transient and saying `if_cut` when it was cut, or came too slowly.
pub(crate) fn read_whole(body: Body, limit: u64, if_cut: &str) -> Result<Vec<u8>, Failure> {
    let length = body.content_length();
    let (bytes, outcome) = read_up_to(body, limit + 1);
    let size = bytes.len() as u64;
    if size.max(length.unwrap_or(0)) > limit {
        return Err(Failure::Permanent(anyhow!("the answer is longer than {limit} bytes")));
    }
    let is_cut = outcome.is_err() || length.is_some_and(|length| length > size);
    if is_cut { Err(Failure::Transient(anyhow!("{if_cut}"), None)) } else { Ok(bytes) }
}

/// The start of a body, as far as it can be read.
pub(super) fn read_start(response: Response<Body>) -> Vec<u8> {
    read_up_to(response.into_body(), MAX_START).0
}

/// Reads what is left of an answer that is of no use, so that its connection is.
pub(crate) fn drain(response: Response<Body>) {
    // A body that cannot be read costs the connection, nothing else.
    read_start(response);
}

fn read_up_to(body: Body, limit: u64) -> (Vec<u8>, io::Result<usize>) {
    let mut bytes = Vec::new();
    let outcome = body.into_reader().take(limit).read_to_end(&mut bytes);
    (bytes, outcome)
}
