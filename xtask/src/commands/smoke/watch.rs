//! Follows a namespace until every workload's rollout is decided.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::gather::Plan;
use super::timing::Times;
use super::view::View;
use crate::cluster::watch::{WatchEvent, follow};
use crate::cluster::{Api, SILENT};
use crate::kubernetes::objects::{Kind, Pod, Service, Workload};
use crate::kubernetes::smoke::expected_images::ContainerOwner;
use crate::kubernetes::smoke::rollout::{Failure, Judge, Moment, RolloutStatus, Strictness};
use crate::kubernetes::smoke::state::{Change, Namespace, apply};

/// How often graces are looked at while nothing happens.
const TICK: Duration = Duration::from_millis(200);
/// How much longer the rest is waited for once something failed for good: the run fails anyway.
const REST: Duration = Duration::from_secs(10);
/// How long further missing rights are collected once one is missing.
const COLLECT: Duration = Duration::from_secs(2);

/// A rollout's end, and when in the run it came.
#[derive(Debug, Clone)]
pub(super) struct Decided {
    /// Why it failed; empty when it did not.
    pub(super) failures: Vec<Failure>,
    /// Whether its pods were ready for as long as they should be watched.
    pub(super) is_settled: bool,
    /// Seconds since smoke began.
    pub(super) seconds: f64,
}

/// The namespace as it changes, and what is decided of its workloads.
pub(super) struct Rollouts<'a> {
    pub(super) namespace: Namespace,
    /// By kind and name.
    pub(super) decided: BTreeMap<String, Decided>,
    plan: &'a Plan,
    api: Api,
    /// Behind a lock only so that others may look at the rest meanwhile.
    events: Mutex<Receiver<WatchEvent>>,
    judge: Judge,
    watched: BTreeSet<&'static str>,
    unreachable: BTreeMap<&'static str, String>,
    failed: BTreeMap<&'static str, String>,
    /// Whether what failed for good makes no haste.
    is_patient: bool,
    is_shortened: bool,
    times: Times,
}

impl<'a> Rollouts<'a> {
    /// Begins to watch. Of containers that ended, those after `since` count.
    pub(super) fn follow(plan: &'a Plan, api: &Api, since: i64, strictness: Strictness, times: Times) -> Self {
        let (sender, events) = channel();
        follow(api, &sender);
        Rollouts {
            namespace: Namespace::default(),
            decided: BTreeMap::new(),
            plan,
            api: api.clone(),
            events: Mutex::new(events),
            judge: Judge::new(since, strictness, plan.settle),
            watched: BTreeSet::new(),
            unreachable: BTreeMap::new(),
            failed: BTreeMap::new(),
            is_patient: strictness == Strictness::Tolerate,
            is_shortened: false,
            times,
        }
    }

    /// Times of a run that cannot pass any more, when something failed for good: the rest is told soon.
    pub(super) fn shorten(&mut self) -> Times {
        if !(self.is_patient || self.is_shortened) {
            self.times.decide = self.times.decide.min(Instant::now() + REST);
            self.is_shortened = true;
        }
        self.times
    }

    /// Waits until each workload's rollout is done or failed, or time is up.
    ///
    /// # Errors
    /// Rights are missing; the API server was not heard before time was up.
    pub(super) fn wait(&mut self, view: &View) -> Result<()> {
        self.receive(Duration::ZERO)?;
        loop {
            let is_up = Instant::now() >= self.times.decide;
            let silence = self.silence();
            if silence.is_none() && self.judge_all(view, is_up) {
                return Ok(());
            }
            if self.has_failed() {
                self.shorten();
            }
            if is_up {
                let why = silence.unwrap_or_default();
                if !self.is_watching() {
                    bail!("the API server cannot be reached, and time is up: {why}");
                }
                self.give_up(view, &why);
                return Ok(());
            }
            self.receive(TICK)?;
        }
    }

    /// Whether all resources are watched. A right that is missing is known by then.
    fn is_watching(&self) -> bool {
        self.watched.len() >= Kind::LISTED.len() + 3
    }

    /// Why what was last seen may be out of date, if so.
    fn silence(&self) -> Option<String> {
        let silence = self.api.silence();
        match self.unreachable.values().next() {
            Some(why) => Some(why.clone()),
            None if silence >= SILENT => Some(format!("it has been silent for {} s", silence.as_secs())),
            None => (!self.is_watching()).then(|| "it does not answer".to_owned()),
        }
    }

    /// What was not decided in time is unknown, whatever it looked like when it was last seen.
    fn give_up(&mut self, view: &View, why: &str) {
        let seconds = self.elapsed();
        let names: Vec<String> = self.workloads().iter().map(|workload| workload.shown()).collect();
        for name in names {
            let message = format!("the API server cannot be reached, and time is up: {why}");
            let unknown = || {
                let failures = vec![Failure::of_workload("unknown", message.clone())];
                view.settle(&name, &format!("unknown: {message}"));
                Decided { failures, is_settled: false, seconds }
            };
            self.decided.entry(name.clone()).or_insert_with(unknown);
        }
    }

    /// Whether a failed pod has no warning yet that explains it.
    pub(super) fn lacks_events(&self) -> bool {
        let failures = self.decided.values().flat_map(|decided| &decided.failures);
        let mut pods = failures.filter_map(|failure| self.namespace.pods.get(failure.pod.as_ref()?));
        pods.any(|pod| !self.namespace.events_of(&pod.metadata.uid).iter().any(|event| event.kind == "Warning"))
    }

    /// Asks for the pods as they are now: a watch that died unnoticed tells of no change.
    pub(super) fn list_pods_again(&mut self) {
        let change = match self.api.list::<Pod>("pods") {
            Ok(list) => WatchEvent::Pods(Change::Listed(list.items.unwrap_or_default())),
            Err(failure) => WatchEvent::Unreachable("pods", failure.to_string()),
        };
        self.apply(change);
    }

    /// Takes in what changes for so long, or until it is `enough`.
    pub(super) fn keep_watching(&mut self, time: Duration, enough: impl Fn(&Self) -> bool) -> Result<()> {
        let end = self.times.decide.min(Instant::now() + time);
        while Instant::now() < end && !enough(self) {
            self.receive(end.saturating_duration_since(Instant::now()).min(TICK))?;
        }
        Ok(())
    }

    /// Seconds since smoke began.
    pub(super) fn elapsed(&self) -> f64 {
        self.times.started.elapsed().as_secs_f64()
    }

    /// The workloads that are looked at.
    pub(super) fn workloads(&self) -> Vec<Cow<'_, Workload>> {
        let all = self.namespace.workloads().into_iter();
        all.filter(|workload| self.plan.selection.has(workload)).collect()
    }

    /// The Services that are looked at.
    pub(super) fn services(&self) -> impl Iterator<Item = &Service> {
        self.namespace.services.values().filter(|service| {
            service.has_selector() && !self.plan.selection.excludes("Service", &service.metadata.name)
        })
    }

    /// Those among them whose rollout is done, and that run no placeholder.
    pub(super) fn done(&self) -> Vec<Cow<'_, Workload>> {
        let is_done =
            |workload: &Cow<'_, Workload>| self.is_done(workload) && placeholders(self.plan, workload).is_empty();
        self.workloads().into_iter().filter(is_done).collect()
    }

    /// Whether something failed for good.
    pub(super) fn has_failed(&self) -> bool {
        self.decided.values().any(|decided| !decided.failures.is_empty())
    }

    pub(super) fn is_done(&self, workload: &Workload) -> bool {
        self.decided.get(&workload.shown()).is_some_and(|decided| decided.failures.is_empty())
    }

    fn next(&mut self, patience: Duration) -> Result<WatchEvent, RecvTimeoutError> {
        self.events.get_mut().unwrap_or_else(PoisonError::into_inner).recv_timeout(patience)
    }

    fn receive(&mut self, patience: Duration) -> Result<()> {
        let mut patience = patience;
        // No sender is left when every resource has failed; those say why.
        while let Ok(event) = self.next(patience) {
            self.apply(event);
            patience = Duration::ZERO;
        }
        if self.failed.is_empty() {
            return Ok(());
        }
        let until = Instant::now() + COLLECT;
        while let Ok(event) = self.next(until.saturating_duration_since(Instant::now())) {
            self.apply(event);
        }
        let lines: Vec<_> = self.failed.values().map(String::as_str).collect();
        bail!(
            "namespace `{}` cannot be watched:\n{}\nsmoke needs list and watch on pods, services, events, deployments, \
             replicasets, statefulsets, daemonsets, jobs and cronjobs, and get on pods/log, pods/proxy and \
             services/proxy",
            self.api.namespace,
            lines.join("\n")
        )
    }

    fn apply(&mut self, event: WatchEvent) {
        let resource = match event {
            WatchEvent::Workloads(kind, change) => {
                self.namespace.apply_workloads(kind, change);
                kind.resource()
            }
            WatchEvent::Pods(change) => {
                apply(&mut self.namespace.pods, change);
                "pods"
            }
            WatchEvent::Services(change) => {
                apply(&mut self.namespace.services, change);
                "services"
            }
            WatchEvent::Events(change) => {
                apply(&mut self.namespace.events, change);
                "events"
            }
            WatchEvent::Watching(resource) => {
                self.watched.insert(resource);
                resource
            }
            WatchEvent::Unreachable(resource, why) => return drop(self.unreachable.insert(resource, why)),
            WatchEvent::Failed(resource, failure) => return drop(self.failed.insert(resource, failure.to_string())),
        };
        self.unreachable.remove(resource);
    }

    /// Judges all; whether each is decided.
    fn judge_all(&mut self, view: &View, is_up: bool) -> bool {
        let elapsed = self.times.started.elapsed();
        let now = Moment { elapsed, cluster: self.api.cluster_time().unwrap_or(0) };
        let Self { namespace, decided, judge, plan, is_shortened, .. } = self;
        let mut all = true;
        let workloads = namespace.workloads();
        let names: BTreeSet<String> = workloads.iter().map(|workload| workload.shown()).collect();
        decided.retain(|name, _| names.contains(name));
        for workload in workloads.iter().filter(|workload| plan.selection.has(workload)) {
            let name = workload.shown();
            // What failed for good stays so; what was done may have come apart since.
            if decided.get(&name).is_some_and(|decided| !decided.failures.is_empty()) {
                continue;
            }
            let skipped = placeholders(plan, workload);
            let status = judge.judge(namespace, workload, &skipped, now);
            let is_settled = !matches!(status, RolloutStatus::Settling);
            let failures = match status {
                RolloutStatus::Done => Ok(Vec::new()),
                RolloutStatus::Failed(failures) => Ok(failures),
                RolloutStatus::Settling if is_up => Ok(judge.unsettled(namespace, workload, &skipped, now)),
                RolloutStatus::Waiting(text) if is_up => {
                    let mut failures = judge.timed_out(namespace, workload, &skipped, &text);
                    // It might have got ready, had there been a point in waiting.
                    let unready = failures.iter_mut().filter(|failure| *is_shortened && failure.verdict == "not-ready");
                    unready.for_each(|failure| failure.verdict = "undecided");
                    Ok(failures)
                }
                RolloutStatus::Settling => Err("ready; watched for an early end".to_owned()),
                RolloutStatus::Waiting(text) => Err(text),
            };
            let failures = match failures {
                Ok(failures) => failures,
                Err(text) => {
                    view.update(&name, &text);
                    decided.remove(&name);
                    all = false;
                    continue;
                }
            };
            let text = match failures.first() {
                None => "ready".to_owned(),
                Some(failure) => format!("{}: {}", failure.verdict, failure.message),
            };
            view.settle(&name, &text);
            let seconds = elapsed.as_secs_f64();
            let seconds = decided.get(&name).map_or(seconds, |decided| decided.seconds);
            decided.insert(name, Decided { failures, is_settled, seconds });
        }
        all
    }
}

/// The containers of components that a placeholder stands in for; nobody answers their probes.
pub(super) fn placeholders<'w>(plan: &Plan, workload: &'w Workload) -> Vec<&'w str> {
    let containers = workload.containers();
    let placeholders = containers
        .filter(|container| matches!(plan.expectations.owner(workload, container), ContainerOwner::Placeholder(_)));
    placeholders.map(|container| container.name.as_str()).collect()
}
