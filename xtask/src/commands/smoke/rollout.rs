//! Follows the namespace until every Deployment's rollout is decided.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::health::Times;
use super::view::View;
use crate::cluster::Api;
use crate::cluster::watch::{News, follow};
use crate::kubernetes::smoke::objects::Deployment;
use crate::kubernetes::smoke::rollout::{Judge, Moment, Standing, Trouble};
use crate::kubernetes::smoke::state::{Namespace, apply};

/// How often graces are looked at while nothing happens.
const TICK: Duration = Duration::from_millis(200);
/// How long further missing rights are collected once one is missing.
const COLLECT: Duration = Duration::from_secs(2);

/// A rollout's end, and when in the run it came.
#[derive(Debug, Clone)]
pub(super) struct Decided {
    /// Why it failed; empty when it did not.
    pub(super) troubles: Vec<Trouble>,
    /// Seconds since smoke began.
    pub(super) seconds: f64,
}

/// The namespace as it changes, and what is decided of its Deployments.
pub(super) struct Rollouts {
    /// As last seen.
    pub(super) namespace: Namespace,
    /// By Deployment.
    pub(super) decided: BTreeMap<String, Decided>,
    api: Arc<Api>,
    news: Receiver<News>,
    judge: Judge,
    listed: BTreeSet<&'static str>,
    away: BTreeMap<&'static str, String>,
    lost: BTreeMap<&'static str, String>,
    times: Times,
    skipped: fn(&Deployment) -> bool,
}

impl Rollouts {
    /// Begins to watch. Of containers that ended, those after `since` count; Deployments that `skipped`
    /// holds for are not waited for.
    pub(super) fn follow(api: &Arc<Api>, since: i64, times: Times, skipped: fn(&Deployment) -> bool) -> Self {
        let (sender, news) = channel();
        follow(api, &sender);
        Rollouts {
            namespace: Namespace::default(),
            decided: BTreeMap::new(),
            api: Arc::clone(api),
            news,
            judge: Judge::new(since),
            listed: BTreeSet::new(),
            away: BTreeMap::new(),
            lost: BTreeMap::new(),
            times,
            skipped,
        }
    }

    /// Waits until each Deployment's rollout is done or failed, or time is up.
    ///
    /// # Errors
    /// Rights are missing; the API server was not heard before time was up.
    pub(super) fn wait(&mut self, view: &mut View) -> Result<()> {
        self.refresh()?;
        loop {
            let is_up = Instant::now() >= self.times.deadline;
            let is_known = self.listed.len() >= 3 && self.away.is_empty();
            if is_known && self.judge_all(view, is_up) {
                return Ok(());
            }
            if is_up && !is_known {
                let why = self.away.values().next().cloned().unwrap_or_else(|| "it does not answer".to_owned());
                bail!("the API server cannot be reached, and time is up: {why}");
            }
            self.hear(TICK)?;
        }
    }

    /// Whether a failed pod has no warning yet that explains it.
    pub(super) fn lacks_events(&self) -> bool {
        let troubles = self.decided.values().flat_map(|decided| &decided.troubles);
        let mut pods = troubles.filter_map(|trouble| self.namespace.pods.get(trouble.pod.as_ref()?));
        pods.any(|pod| !self.namespace.events_of(&pod.metadata.uid).iter().any(|event| event.kind == "Warning"))
    }

    /// Takes in what changes for so long, or until it is `enough`.
    pub(super) fn linger(&mut self, time: Duration, enough: impl Fn(&Self) -> bool) -> Result<()> {
        let end = self.times.deadline.min(Instant::now() + time);
        while Instant::now() < end && !enough(self) {
            self.hear(end.saturating_duration_since(Instant::now()).min(TICK))?;
        }
        Ok(())
    }

    /// Takes in what has changed meanwhile, without waiting.
    fn refresh(&mut self) -> Result<()> {
        self.hear(Duration::ZERO)
    }

    /// Seconds since smoke began.
    pub(super) fn elapsed(&self) -> f64 {
        self.times.started.elapsed().as_secs_f64()
    }

    /// The Deployments that are not being deleted.
    pub(super) fn deployments(&self) -> impl Iterator<Item = &Deployment> {
        self.namespace.deployments.values().filter(|deployment| !deployment.metadata.is_terminating())
    }

    /// Those among them whose rollout is done.
    pub(super) fn done(&self) -> impl Iterator<Item = &Deployment> {
        self.deployments().filter(|deployment| {
            self.decided.get(&deployment.metadata.name).is_some_and(|decided| decided.troubles.is_empty())
        })
    }

    fn hear(&mut self, patience: Duration) -> Result<()> {
        let mut patience = patience;
        loop {
            match self.news.recv_timeout(patience) {
                Ok(news) => self.take(news),
                Err(RecvTimeoutError::Timeout) => break,
                // Every resource is lost; they say why.
                Err(RecvTimeoutError::Disconnected) => break,
            }
            patience = Duration::ZERO;
        }
        if self.lost.is_empty() {
            return Ok(());
        }
        let until = Instant::now() + COLLECT;
        while let Ok(news) = self.news.recv_timeout(until.saturating_duration_since(Instant::now())) {
            self.take(news);
        }
        let lines: Vec<_> = self.lost.values().map(String::as_str).collect();
        bail!(
            "namespace `{}` cannot be watched:\n{}\nsmoke needs get, list and watch on pods, services, events, \
             deployments and replicasets, and get on pods/log, pods/proxy and services/proxy",
            self.api.namespace,
            lines.join("\n")
        )
    }

    fn take(&mut self, news: News) {
        let resource = match news {
            News::Deployments(change) => {
                apply(&mut self.namespace.deployments, change);
                "deployments"
            }
            News::ReplicaSets(change) => {
                apply(&mut self.namespace.replica_sets, change);
                "replicasets"
            }
            News::Pods(change) => {
                apply(&mut self.namespace.pods, change);
                "pods"
            }
            News::Events(change) => {
                apply(&mut self.namespace.events, change);
                self.away.remove("events");
                return;
            }
            News::Back(resource) => {
                self.away.remove(resource);
                return;
            }
            News::Away(resource, why) => {
                self.away.insert(resource, why);
                return;
            }
            News::Lost(resource, failure) => {
                self.lost.insert(resource, failure.to_string());
                return;
            }
        };
        self.listed.insert(resource);
        self.away.remove(resource);
    }

    /// Judges all; whether each is decided.
    fn judge_all(&mut self, view: &mut View, is_up: bool) -> bool {
        let elapsed = self.times.started.elapsed();
        let now = Moment { elapsed, cluster: self.api.cluster_time().unwrap_or(0) };
        let Self { namespace, decided, judge, skipped, .. } = self;
        let mut all = true;
        decided.retain(|name, _| namespace.deployments.contains_key(name));
        for deployment in namespace.deployments.values().filter(|d| !d.metadata.is_terminating() && !skipped(d)) {
            let name = &deployment.metadata.name;
            // What failed for good stays so; what was done may have come apart since.
            if decided.get(name).is_some_and(|decided| !decided.troubles.is_empty()) {
                continue;
            }
            let troubles = match judge.judge(namespace, deployment, now) {
                Standing::Done => Vec::new(),
                Standing::Failed(troubles) => troubles,
                Standing::Waiting(text) if is_up => judge.timed_out(namespace, deployment, &text),
                Standing::Waiting(text) => {
                    view.update(name, &text);
                    decided.remove(name);
                    all = false;
                    continue;
                }
            };
            let text = match troubles.first() {
                None => "ready".to_owned(),
                Some(trouble) => format!("{}: {}", trouble.verdict, trouble.message),
            };
            view.settle(name, &text);
            let seconds = elapsed.as_secs_f64();
            decided.entry(name.clone()).or_insert(Decided { troubles: Vec::new(), seconds }).troubles = troubles;
        }
        all
    }
}
