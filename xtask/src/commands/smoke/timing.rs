//! When a run must decide and end, and how long its steps took.

use std::time::{Duration, Instant};

use crate::kubernetes::smoke::report::Step;

/// Times of a run.
#[derive(Clone, Copy)]
pub(super) struct Times {
    pub(super) started: Instant,
    /// When verdicts are given: a little earlier, so that there is time to explain them.
    pub(super) decide: Instant,
    pub(super) deadline: Instant,
}

impl Times {
    /// A run that may take so long, from now on.
    pub(super) fn new(timeout: Duration) -> Self {
        let started = Instant::now();
        let explaining = (timeout / 10).min(Duration::from_secs(3));
        Times { started, decide: started + timeout.saturating_sub(explaining), deadline: started + timeout }
    }
}

/// The run's steps and how long each took.
pub(super) struct Steps {
    last: Instant,
    pub(super) steps: Vec<Step>,
}

impl Steps {
    /// The first one began then.
    pub(super) fn new(begun: Instant) -> Self {
        Steps { last: begun, steps: Vec::new() }
    }

    /// One ends, the next begins.
    pub(super) fn end(&mut self, name: &'static str) {
        let now = Instant::now();
        self.steps.push(Step { name, seconds: now.duration_since(self.last).as_secs_f64() });
        self.last = now;
    }
}
