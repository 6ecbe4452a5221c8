//! Lists and watches at a pace that a busy API server does not notice.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// As many requests as may begin at once: the lists and watches of a few namespaces.
const BURST: u32 = 40;
/// Between two further ones.
const PAUSE: Duration = Duration::from_millis(200);

/// Lets callers through: a burst, and then five in a second.
pub(super) struct Pace(Mutex<Instant>);

impl Default for Pace {
    fn default() -> Self {
        let now = Instant::now();
        Pace(Mutex::new(now.checked_sub(PAUSE * BURST).unwrap_or(now)))
    }
}

impl Pace {
    /// Waits until it is this caller's turn.
    pub(super) fn wait(&self) {
        let turn = {
            let mut next = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            // What was not used is kept, up to a burst.
            *next = (*next).max(now.checked_sub(PAUSE * BURST).unwrap_or(now)) + PAUSE;
            *next
        };
        std::thread::sleep(turn.saturating_duration_since(Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_burst_requests_wait() {
        // One that was not used for long.
        let pace = Pace(Mutex::new(Instant::now().checked_sub(Duration::from_secs(60)).unwrap()));
        let started = Instant::now();
        (0..BURST).for_each(|_| pace.wait());
        assert!(started.elapsed() < Duration::from_millis(500));
        (0..5).for_each(|_| pace.wait());
        assert!(started.elapsed() >= Duration::from_millis(900), "{:?}", started.elapsed());
    }
}
