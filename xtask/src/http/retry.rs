//! The one loop of tries: when to try again, and how long to wait before.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;

use crate::image::time::parse_http_date;

/// How often and how patiently requests are repeated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RetryPolicy {
    /// Tries of one request in all, the first included.
    pub(crate) tries: u32,
    /// The wait before the second try; it doubles from try to try.
    pub(crate) first_wait: Duration,
    /// The longest wait of our own choice.
    pub(crate) longest_wait: Duration,
    /// The longest `Retry-After` that is waited for; a longer one ends the operation at once.
    pub(crate) longest_retry_after: Duration,
    /// The longest that a small answer may take to come; a blob gets more by its size. A server that sends a byte
    /// now and then is never silent.
    pub(crate) whole_answer: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        RetryPolicy {
            tries: 5,
            first_wait: Duration::from_millis(300),
            longest_wait: Duration::from_secs(10),
            longest_retry_after: Duration::from_secs(90),
            whole_answer: Duration::from_secs(60),
        }
    }
}

/// Why a try came to nothing.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Worth another try, after the time that the server asks for, if it does.
    Transient(anyhow::Error, Option<Duration>),
    /// An authorization that had ended is renewed: worth another try now, which does not count.
    Renewed,
    /// It would fail again.
    Permanent(anyhow::Error),
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Failure::Permanent(error)
    }
}

/// The tries of one request, or of an operation that is begun anew as a whole.
#[derive(Clone, Copy)]
pub(crate) struct Attempts {
    policy: RetryPolicy,
    made: u32,
}

impl Attempts {
    pub(crate) fn new(policy: RetryPolicy) -> Self {
        Attempts { policy, made: 1 }
    }

    /// Tries until it succeeds, fails for good, or there is no next try. What is tried may spend tries on parts
    /// of its own.
    ///
    /// # Errors
    /// The last try's.
    pub(crate) fn run<T>(&mut self, mut once: impl FnMut(&mut Self) -> Result<T, Failure>) -> Result<T> {
        loop {
            match once(self) {
                Ok(value) => return Ok(value),
                Err(Failure::Renewed) => {}
                Err(Failure::Transient(_, retry_after)) if self.wait(retry_after) => {}
                Err(Failure::Transient(error, _) | Failure::Permanent(error)) => return Err(error),
            }
        }
    }

    /// Waits before the next try: longer from try to try, and at least as long as the server asks (which may be
    /// not at all, of many clients at once), a random part of it so that clients do not come back together.
    /// False, without waiting, when there is no next try.
    fn wait(&mut self, retry_after: Option<Duration>) -> bool {
        let too_long = retry_after.is_some_and(|wait| wait > self.policy.longest_retry_after);
        if self.made >= self.policy.tries || too_long {
            return false;
        }
        let growing = self.policy.first_wait.saturating_mul(1 << (self.made - 1).min(16));
        let own = growing.min(self.policy.longest_wait).mul_f64(0.5 + random_fraction());
        thread::sleep(retry_after.map_or(own, |asked| own.max(asked + own / 8)));
        self.made += 1;
        true
    }
}

/// A number in 0..1, from the seeds of the standard library's hash maps: good enough for waits,
/// and no crate.
fn random_fraction() -> f64 {
    let bits = RandomState::new().build_hasher().finish();
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

/// Whether a status is worth another try.
pub(super) fn is_transient(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..=599)
}

/// Reads `Retry-After` (RFC 9110 section 10.2.3): seconds, or a date.
pub(super) fn parse_retry_after(text: &str) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let at = u64::try_from(parse_http_date(text)?).ok()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    // A date in the past, by their clock or ours, means now.
    Some(Duration::from_secs(at).saturating_sub(now))
}
