//! What became of each program.

use serde::Serialize;

/// One container of a workload, or a workload that is not run.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LocalVerdict {
    /// The workload, and the container when it is called otherwise: `engine`, `engine/migrate`.
    pub(crate) name: String,
    /// Whose image it is; foreign ones have none.
    pub(crate) component: Option<String>,
    pub(crate) digest: Option<String>,
    pub(crate) state: State,
    pub(crate) address: Option<String>,
    /// Seconds from its start until it was healthy.
    pub(crate) health_seconds: Option<f64>,
    /// Seconds from its start until it was ready.
    pub(crate) ready_seconds: Option<f64>,
    /// A sentence; empty when all is well.
    pub(crate) message: String,
    /// The end of its log, when it failed.
    pub(crate) log: Vec<String>,
}

/// How a container did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum State {
    /// Its probes are answered well.
    Ready,
    /// An init container ended well.
    Completed,
    /// Foreign images, jobs, zero replicas: nothing of ours to run.
    Skipped,
    /// Something that only a cluster has keeps it from being run.
    NeedsCluster,
    /// Its image is not in the layout.
    NoImage,
    /// It cannot be started, or its port is taken.
    CannotStart,
    Exited,
    /// Its startup or liveness probe is not answered well.
    Unhealthy,
    /// Its readiness probe is not answered well.
    NotReady,
    /// It got ready, and later than it should.
    Slow,
    /// What should have ended before it starts did not.
    NotStarted,
}

impl State {
    /// Whether the run can pass with it.
    pub(crate) fn passes(self) -> bool {
        matches!(self, State::Ready | State::Completed | State::Skipped)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            State::Ready => "ready",
            State::Completed => "completed",
            State::Skipped => "skipped",
            State::NeedsCluster => "needs the cluster",
            State::NoImage => "no image",
            State::CannotStart => "cannot start",
            State::Exited => "exited",
            State::Unhealthy => "unhealthy",
            State::NotReady => "not ready",
            State::Slow => "slow",
            State::NotStarted => "not started",
        }
    }
}

impl LocalVerdict {
    /// A verdict on what has not run.
    pub(crate) fn not_run(name: String, component: Option<String>, state: State, message: impl Into<String>) -> Self {
        LocalVerdict {
            name,
            component,
            digest: None,
            state,
            address: None,
            health_seconds: None,
            ready_seconds: None,
            message: message.into(),
            log: Vec::new(),
        }
    }
}
