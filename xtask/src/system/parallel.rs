//! Work on several things at once, with scoped threads.

use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Runs `work` on every item, at most `jobs` at once; results in the items' order.
pub(crate) fn map<T: Send, R: Send>(items: Vec<T>, jobs: usize, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let jobs = jobs.min(items.len()).max(1);
    let queue: Mutex<VecDeque<(usize, T)>> = Mutex::new(items.into_iter().enumerate().collect());
    let done: Mutex<BTreeMap<usize, R>> = Mutex::new(BTreeMap::new());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some((position, item)) = next() {
                    let result = work(item);
                    done.lock().unwrap_or_else(PoisonError::into_inner).insert(position, result);
                }
            });
        }
    });
    done.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect()
}

/// Requests to a registry at once, where nothing else bounds them: registries answer slowly, not with much.
pub(crate) const REQUESTS: usize = 8;

/// Work that goes on by itself.
pub(crate) struct Later<T>(Receiver<T>);

/// Begins `work`, which nobody has to wait for.
pub(crate) fn start<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Later<T> {
    let (sender, receiver) = channel();
    // Nobody waits any more once time is up.
    std::thread::spawn(move || drop(sender.send(work())));
    Later(receiver)
}

impl<T> Later<T> {
    /// What came of it, if it comes until `deadline`.
    pub(crate) fn until(&self, deadline: Instant) -> Option<T> {
        self.0.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok()
    }
}

/// Threads worth having for work that keeps a processor busy.
pub(crate) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Runs both at once; a panic of the second is passed on.
pub(crate) fn both<A, B: Send>(first: impl FnOnce() -> A, second: impl FnOnce() -> B + Send) -> (A, B) {
    std::thread::scope(|scope| {
        let second = scope.spawn(second);
        let first = first();
        match second.join() {
            Ok(second) => (first, second),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
