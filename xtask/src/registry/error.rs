//! What a registry has wrong.

use std::fmt;

/// What a registry has is not what the reference to it says: another digest, or no image at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WrongContent(pub(crate) String);

impl fmt::Display for WrongContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for WrongContent {}
