//! The clock.

use std::time::{SystemTime, UNIX_EPOCH};

/// Now, in unix seconds. A clock before 1970 says 0: by it nothing is old.
pub(crate) fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
