//! What keeps a pod from becoming ready, told from its status and its events.

use super::events::{newest, one_line};
use crate::kubernetes::objects::{Container, ContainerStatus, Event, Pod, Terminated, condition, seconds};

/// So many restarts are a loop.
const CRASH_LOOP_RESTARTS: i64 = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FaultKind {
    /// The registry has no such image.
    ImageNotFound,
    /// The registry refuses the cluster's credentials, or wants some.
    ImageUnauthorized,
    /// What the manifest says is no image reference.
    InvalidImageName,
    /// The policy is `Never` and the node does not have the image.
    ImageNeverPulled,
    /// The registry cannot be reached, or is broken.
    PullFailed,
    /// The program ends again and again.
    CrashLoop,
    /// The program ended with an error.
    FailingExit,
    /// The kernel ended the program: it took more memory than its limit.
    OutOfMemory,
    /// The runtime cannot start the program.
    CannotStart,
    /// A ConfigMap or Secret is missing, or the security settings contradict the image.
    ConfigError,
    MountFailed,
    /// The pod's network, or the pod itself, cannot be set up.
    SandboxFailed,
    /// No node takes the pod.
    Unschedulable,
    /// The node that was chosen for the pod does not take it.
    Rejected,
}

/// What becomes of a fault that is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// It does not heal.
    Final,
    /// It hardly heals, but what it lacks may come a moment later, and it is retried only every 10 to 15
    /// seconds: final once it was reported again after a grace.
    Retried,
    /// It heals by itself, when there is room, or a dependency has started.
    Healing,
    /// It healed: the container runs again.
    Healed,
}

impl FaultKind {
    /// As reports write it.
    pub(crate) fn verdict(self) -> &'static str {
        match self {
            FaultKind::ImageNotFound => "image-not-found",
            FaultKind::ImageUnauthorized => "image-unauthorized",
            FaultKind::InvalidImageName => "invalid-image-name",
            FaultKind::ImageNeverPulled => "image-never-pulled",
            FaultKind::PullFailed => "pull-failed",
            FaultKind::CrashLoop => "crash-loop",
            FaultKind::FailingExit => "failing-exit",
            FaultKind::OutOfMemory => "out-of-memory",
            FaultKind::CannotStart => "cannot-start",
            FaultKind::ConfigError => "config-error",
            FaultKind::MountFailed => "mount-failed",
            FaultKind::SandboxFailed => "sandbox-failed",
            FaultKind::Unschedulable => "unschedulable",
            FaultKind::Rejected => "rejected",
        }
    }

    /// What becomes of it, as far as the kind tells.
    fn class(self) -> Class {
        match self {
            FaultKind::Unschedulable
            | FaultKind::Rejected
            | FaultKind::SandboxFailed
            | FaultKind::FailingExit
            | FaultKind::CrashLoop
            | FaultKind::OutOfMemory => Class::Healing,
            // kubelet, `pod_workers.go`: `backOffPeriod` is 10 s, with up to half of it added. Mounts are tried
            // after 0.5 s and then after twice the time each.
            FaultKind::PullFailed | FaultKind::ConfigError | FaultKind::MountFailed => Class::Retried,
            _ => Class::Final,
        }
    }
}

/// Something wrong with a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) kind: FaultKind,
    pub(crate) class: Class,
    /// In which container; nothing when it is the whole pod's.
    pub(crate) container: Option<String>,
    pub(crate) message: String,
    /// When it was last reported by an event, unix seconds of the cluster's clock.
    pub(crate) reported: i64,
    /// Whether another try is under way, so that the last report is out of date.
    pub(crate) is_retrying: bool,
    /// Whether the log that tells why is that of the container before its restart.
    pub(crate) previous_log: bool,
}

impl Fault {
    fn new(kind: FaultKind, container: Option<&str>, message: String) -> Self {
        let container = container.map(str::to_owned);
        Fault { kind, class: kind.class(), container, message, reported: 0, is_retrying: false, previous_log: false }
    }
}

/// What is wrong with `pod`, if anything, containers in `skipped` left aside. `events` are its own, oldest
/// first; of ends of containers, those after `since` (unix seconds of the cluster's clock) count.
pub(crate) fn fault_of(pod: &Pod, events: &[&Event], since: i64, skipped: &[&str]) -> Option<Fault> {
    if let Some(unscheduled) = condition(&pod.status.conditions, "PodScheduled", "False")
        && unscheduled.reason == "Unschedulable"
    {
        return Some(Fault::new(FaultKind::Unschedulable, None, one_line(&unscheduled.message)));
    }
    let looked_at = pod.status.all().filter(|status| !skipped.contains(&status.name.as_str()));
    let containers = looked_at.filter_map(|status| {
        let container = pod.spec.all().find(|container| container.name == status.name)?;
        container_fault(container, status, events, since)
    });
    // What is final says more than what may heal.
    let worst = containers.min_by_key(|fault| (fault.class == Class::Healed, fault.class != Class::Final));
    worst.or_else(|| starting_fault(pod, events))
}

/// A fault that only events tell of, while no container has started.
fn starting_fault(pod: &Pod, events: &[&Event]) -> Option<Fault> {
    let is_creating = |status: &ContainerStatus| {
        let reason = status.state.waiting.as_ref().map(|waiting| waiting.reason.as_str());
        matches!(reason, Some("ContainerCreating" | "PodInitializing"))
    };
    if !(pod.status.all().any(is_creating) || pod.status.all().next().is_none()) {
        return None;
    }
    let found = newest(events, &["FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox"])?;
    // Volumes and sandbox come before the first pull, so a later step means that they healed.
    let later = newest(events, &["Pulling", "Pulled", "Created", "Started"]);
    if later.is_some_and(|later| later.time() >= found.time()) {
        return None;
    }
    let kind = if found.reason == "FailedCreatePodSandBox" { FaultKind::SandboxFailed } else { FaultKind::MountFailed };
    let fault = Fault::new(kind, None, one_line(&found.message));
    // A volume that another node still holds, or that is still being made, comes.
    let class = if found.message.contains("not found") { fault.class } else { Class::Healing };
    Some(Fault { reported: found.time(), class, ..fault })
}

fn container_fault(container: &Container, status: &ContainerStatus, events: &[&Event], since: i64) -> Option<Fault> {
    let last = status.last_state.terminated.as_ref();
    if let Some(waiting) = &status.state.waiting {
        let fault = |kind| Some(Fault::new(kind, Some(&status.name), one_line(&waiting.message)));
        match waiting.reason.as_str() {
            "CrashLoopBackOff" => return Some(crash_loop(status, last)),
            "ErrImagePull" | "ImagePullBackOff" | "RegistryUnavailable" | "ImageInspectError" => {
                return pull_fault(container, &waiting.message, events);
            }
            "InvalidImageName" => return fault(FaultKind::InvalidImageName),
            "ErrImageNeverPull" => return fault(FaultKind::ImageNeverPulled),
            "RunContainerError" | "PostStartHookError" => return fault(FaultKind::CannotStart),
            "CreateContainerConfigError" | "CreateContainerError" => {
                let reported = newest(events, &["Failed"]).map_or(0, Event::time);
                return fault(FaultKind::ConfigError).map(|fault| Fault { reported, ..fault });
            }
            _ => {}
        }
    }
    let is_failure = |ended: &&Terminated| ended.exit_code != 0;
    if let Some(ended) = status.state.terminated.as_ref().filter(is_failure) {
        return Some(failing_exit(status, ended, false));
    }
    // An end between two looks, the container being restarted already.
    let is_recent = |ended: &&Terminated| seconds(ended.finished_at.as_ref()).is_some_and(|at| at > since);
    let ended = last.filter(is_failure).filter(is_recent)?;
    let fault = failing_exit(status, ended, true);
    Some(if fault.class == Class::Healing { Fault { class: Class::Healed, ..fault } } else { fault })
}

/// What a node says that refuses a pod; the controller makes others, which it may refuse as well.
pub(crate) fn rejection_of(pod: &Pod) -> Option<Fault> {
    let status = &pod.status;
    let is_rejected = status.phase == "Failed" && !status.reason.is_empty();
    is_rejected
        .then(|| Fault::new(FaultKind::Rejected, None, one_line(&format!("{}: {}", status.reason, status.message))))
}

/// A program that ends again and again does not heal.
fn ends_class(status: &ContainerStatus) -> Class {
    if status.restart_count >= CRASH_LOOP_RESTARTS { Class::Final } else { Class::Healing }
}

fn crash_loop(status: &ContainerStatus, last: Option<&Terminated>) -> Fault {
    let how = match last {
        // Seen while the kubelet waits with the next try.
        Some(ended) if matches!(ended.reason.as_str(), "OOMKilled" | "ContainerCannotRun" | "StartError") => {
            return failing_exit(status, ended, true);
        }
        Some(ended) => format!("{}, {}", how_it_ended(ended), restarts(status)),
        None => format!("it ends again and again, {}", restarts(status)),
    };
    Fault { previous_log: true, class: ends_class(status), ..Fault::new(FaultKind::CrashLoop, Some(&status.name), how) }
}

fn restarts(status: &ContainerStatus) -> String {
    format!("{} restart{}", status.restart_count, if status.restart_count == 1 { "" } else { "s" })
}

fn failing_exit(status: &ContainerStatus, ended: &Terminated, previous_log: bool) -> Fault {
    let kind = match ended.reason.as_str() {
        "OOMKilled" => FaultKind::OutOfMemory,
        "ContainerCannotRun" | "StartError" => FaultKind::CannotStart,
        _ => FaultKind::FailingExit,
    };
    let class = if kind == FaultKind::CannotStart { Class::Final } else { ends_class(status) };
    Fault { previous_log, class, ..Fault::new(kind, Some(&status.name), how_it_ended(ended)) }
}

/// `exited with code 1`, and what else is known.
pub(crate) fn how_it_ended(ended: &Terminated) -> String {
    let code = ended.exit_code;
    let how = match ended.reason.as_str() {
        "OOMKilled" => "OOMKilled: it took more memory than its limit".to_owned(),
        _ if code == 0 => "exited with code 0, but should keep running".to_owned(),
        _ if (129..=192).contains(&code) => format!("exited with code {code} (signal {})", code - 128),
        _ => format!("exited with code {code}"),
    };
    let message = one_line(&ended.message);
    if message.is_empty() { how } else { format!("{how}: {message}") }
}

/// Which kind of failed pull it is. Only the first message after a try says why; that of the waiting
/// state is soon just `Back-off pulling image`.
fn pull_fault(container: &Container, message: &str, events: &[&Event]) -> Option<Fault> {
    let of_this = |event: &&&Event| event.message.contains(&container.image);
    let own: Vec<&Event> = events.iter().filter(of_this).copied().collect();
    let failed: Vec<&Event> = own.iter().copied().filter(|event| event.message.starts_with("Failed to pull")).collect();
    let failed = newest(&failed, &["Failed"]);
    let is_back_off = message.starts_with("Back-off pulling image") && !message.contains("rpc error");
    let text = match (is_back_off, failed) {
        (true, None) => one_line(message),
        (true, Some(event)) => one_line(&event.message),
        (false, _) => one_line(message),
    };
    // Words of the image's own name say nothing of the fault.
    let name = container.image.split('@').next().unwrap_or_default();
    let words = text.replace(&container.image, "").replace(name, "").to_lowercase();
    let kind = pull_fault_kind(&words);
    let reported = failed.map_or(0, Event::time);
    let is_retrying = newest(&own, &["Pulling"]).is_some_and(|pulling| pulling.time() > reported);
    let message = format!("{}: {}", explained(kind), without_layers(&text));
    Some(Fault { reported, is_retrying, ..Fault::new(kind, Some(&container.name), message) })
}

/// What Docker, containerd and CRI-O write.
fn pull_fault_kind(words: &str) -> FaultKind {
    let any = |needles: &[&str]| needles.iter().any(|needle| words.contains(needle));
    let unreachable = [
        "connection refused",
        "connection reset",
        "no such host",
        "no route to host",
        "network is unreachable",
        "server misbehaving",
        "i/o timeout",
        "timeout exceeded",
        "tls handshake",
        "deadline exceeded",
        ": eof",
        "unexpected eof",
        "too many requests",
        "toomanyrequests",
        "internal server error",
        "bad gateway",
        "service unavailable",
        "gateway timeout",
        "unexpected http status: 5",
        "unexpected status code 5",
    ];
    if any(&unreachable) {
        FaultKind::PullFailed
    } else if any(&["unauthorized", "denied", "authentication required", "no basic auth", "forbidden"]) {
        FaultKind::ImageUnauthorized
    } else if any(&["manifest unknown", "name unknown", "not found", "does not exist", "unknown blob"]) {
        FaultKind::ImageNotFound
    } else {
        FaultKind::PullFailed
    }
}

fn explained(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::ImageNotFound => "the registry has no such image",
        FaultKind::ImageUnauthorized => "the registry refuses the cluster's credentials",
        _ => "the registry cannot be reached, or is broken",
    }
}

/// Without the layers of wrapping that every runtime adds.
fn without_layers(text: &str) -> &str {
    let text = text.rsplit_once("desc = ").map_or(text, |(_, rest)| rest);
    text.strip_prefix("Error response from daemon: ").unwrap_or(text)
}

#[cfg(test)]
#[path = "faults_tests.rs"]
mod tests;
