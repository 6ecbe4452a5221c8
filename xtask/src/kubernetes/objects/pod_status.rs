//! What a pod and its containers are doing.

use super::lenient::objects;
use super::metadata::Condition;

objects! {
    PodStatus {
        /// `Pending`, `Running`, `Succeeded`, `Failed`, `Unknown`.
        phase: String,
        /// A word for why it failed (`Evicted`).
        reason: String,
        /// A sentence for why it failed.
        message: String,
        /// `Ready`, `PodScheduled`, …
        conditions: Vec<Condition>,
        init_container_statuses: Vec<ContainerStatus>,
        container_statuses: Vec<ContainerStatus>,
    }

    ContainerStatus {
        name: String,
        state: ContainerState,
        last_state: ContainerState,
        restart_count: i64,
        /// Which image runs, in the words of the container runtime; empty before the pull.
        #[serde(rename = "imageID")]
        image_id: String,
        /// Whether its readiness probe passes, or there is none and it runs.
        ready: bool,
    }

    /// One of three.
    ContainerState {
        /// Not started yet, or waiting to be restarted.
        waiting: Option<Waiting>,
        running: Option<Running>,
        terminated: Option<Terminated>,
    }

    Waiting {
        reason: String,
        message: String,
    }

    Running {
    }

    Terminated {
        /// The program's exit code; 128 + n for signal n.
        exit_code: i64,
        /// `Error`, `Completed`, `OOMKilled`, …
        reason: String,
        message: String,
        finished_at: Option<String>,
    }
}

impl PodStatus {
    /// The states of all containers, of those that run first first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &ContainerStatus> {
        self.init_container_statuses.iter().chain(&self.container_statuses)
    }
}
