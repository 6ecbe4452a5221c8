//! Lists and watches at a pace that a busy API server does not notice.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// As many requests as may begin within [`SPAN`].
const MOST: usize = 5;
const SPAN: Duration = Duration::from_millis(1_050);

/// Lets callers through, at most five within any second.
#[derive(Default)]
pub(super) struct Pace(Mutex<VecDeque<Instant>>);

impl Pace {
    /// Waits until it is this caller's turn.
    pub(super) fn wait(&self) {
        loop {
            let wait = {
                let mut begun = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                let now = Instant::now();
                while begun.front().is_some_and(|at| now.duration_since(*at) >= SPAN) {
                    begun.pop_front();
                }
                match begun.front() {
                    Some(oldest) if begun.len() >= MOST => SPAN - now.duration_since(*oldest),
                    _ => {
                        begun.push_back(now);
                        return;
                    }
                }
            };
            std::thread::sleep(wait);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sixth_request_waits_for_the_next_second() {
        let pace = Pace::default();
        let started = Instant::now();
        (0..MOST).for_each(|_| pace.wait());
        assert!(started.elapsed() < Duration::from_millis(500));
        pace.wait();
        assert!(started.elapsed() >= Duration::from_secs(1), "{:?}", started.elapsed());
    }
}
