//! Keeps sending what changes in the namespace: a list, then a watch, and again when that ends.

use std::sync::mpsc::Sender;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::api::{Api, ApiFailure, OLD_CRON_JOBS};
use crate::kubernetes::objects::{Event, Kind, Pod, Service, Workload};
use crate::kubernetes::smoke::state::{Change, Object};

/// Between two tries while the API server is away.
const PAUSE: Duration = Duration::from_millis(500);

/// WatchEvent of the namespace.
#[expect(clippy::large_enum_variant, reason = "one at a time, and soon taken apart")]
#[derive(Debug)]
pub(crate) enum WatchEvent {
    Workloads(Kind, Change<Workload>),
    Pods(Change<Pod>),
    Services(Change<Service>),
    Events(Change<Event>),
    /// Of this resource nothing is heard: the API server cannot be reached. It is asked again soon.
    Unreachable(&'static str, String),
    /// This resource is watched, for the first time or again.
    Watching(&'static str),
    /// Nothing more will come of this resource.
    Failed(&'static str, ApiFailure),
}

/// A line of a watch.
#[derive(Deserialize)]
struct Line {
    #[serde(rename = "type")]
    kind: String,
    object: Value,
}

/// Begins to watch; each resource in a thread of its own, until `events` has no receiver any more.
pub(crate) fn follow(api: &Api, events: &Sender<WatchEvent>) {
    for kind in Kind::LISTED {
        spawn(api, events, kind.resource(), move |change| WatchEvent::Workloads(kind, change));
    }
    spawn(api, events, "pods", WatchEvent::Pods);
    spawn(api, events, "services", WatchEvent::Services);
    spawn(api, events, "events", WatchEvent::Events);
}

fn spawn<T: Object + DeserializeOwned + Send + 'static>(
    api: &Api,
    events: &Sender<WatchEvent>,
    resource: &'static str,
    wrap: impl Fn(Change<T>) -> WatchEvent + Send + 'static,
) {
    let (api, events) = (api.clone(), events.clone());
    std::thread::spawn(move || {
        let mut version: Option<String> = None;
        let mut asked = resource;
        loop {
            let failure = match round(&api, &events, resource, asked, &wrap, &mut version) {
                Ok(()) => continue,
                Err(None) => return,
                Err(Some(failure)) => failure,
            };
            let sent = match failure {
                ApiFailure::NotFound(_) if asked == "cronjobs" => {
                    asked = OLD_CRON_JOBS;
                    Ok(())
                }
                // Not installed; or nobody thought of the right, since it is not. What a Rollout makes is seen.
                ApiFailure::NotFound(_) | ApiFailure::Forbidden(_) if resource == "rollouts" => {
                    let _ = events.send(WatchEvent::Watching(resource));
                    return;
                }
                ApiFailure::Expired => {
                    version = None;
                    Ok(())
                }
                ApiFailure::Unavailable(why) => {
                    let sent = events.send(WatchEvent::Unreachable(resource, why));
                    std::thread::sleep(PAUSE);
                    sent
                }
                failure => {
                    // Nobody is left to tell: the run is over.
                    let _ = events.send(WatchEvent::Failed(resource, failure));
                    return;
                }
            };
            if sent.is_err() {
                return;
            }
        }
    });
}

/// A list where there is no version to go on from, else a watch; `Err(None)` when nobody listens.
fn round<T: Object + DeserializeOwned>(
    api: &Api,
    events: &Sender<WatchEvent>,
    resource: &'static str,
    asked: &'static str,
    wrap: &impl Fn(Change<T>) -> WatchEvent,
    version: &mut Option<String>,
) -> Result<(), Option<ApiFailure>> {
    let Some(from) = version.clone() else {
        let list = api.list::<T>(asked)?;
        *version = Some(list.metadata.resource_version);
        return events.send(wrap(Change::Listed(list.items.unwrap_or_default()))).map_err(|_| None);
    };
    let mut end = Ok(());
    let is_open = || events.send(WatchEvent::Watching(resource)).is_ok();
    api.watch(asked, &from, is_open, |line| {
        match read::<T>(line) {
            Ok((change, newest)) => {
                *version = Some(newest);
                let is_heard = change.is_none_or(|change| events.send(wrap(change)).is_ok());
                end = if is_heard { Ok(()) } else { Err(None) };
            }
            Err(failure) => end = Err(Some(failure)),
        }
        end.is_ok()
    })?;
    end
}

/// The change that a line tells, if any, and the version it leads to.
fn read<T: Object + DeserializeOwned>(line: &str) -> Result<(Option<Change<T>>, String), ApiFailure> {
    let unreadable = |error: serde_json::Error| ApiFailure::Other(format!("cannot read a watch: {error}"));
    let line: Line = serde_json::from_str(line).map_err(unreadable)?;
    if line.kind == "ERROR" {
        return Err(match line.object.get("code").and_then(Value::as_u64) {
            Some(410) => ApiFailure::Expired,
            _ => ApiFailure::Unavailable(
                line.object.get("message").and_then(Value::as_str).unwrap_or_default().to_owned(),
            ),
        });
    }
    if line.kind == "BOOKMARK" {
        let version = line.object.pointer("/metadata/resourceVersion").and_then(Value::as_str);
        return Ok((None, version.unwrap_or_default().to_owned()));
    }
    let object: T = serde_json::from_value(line.object).map_err(unreadable)?;
    let version = object.metadata().resource_version.clone();
    Ok((Some(if line.kind == "DELETED" { Change::Deleted(object) } else { Change::Applied(object) }), version))
}
