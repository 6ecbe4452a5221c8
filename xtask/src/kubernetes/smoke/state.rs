//! The namespace as last seen, kept up to date from lists and watches.

use std::collections::BTreeMap;

use super::objects::{Deployment, Event, Metadata, Pod, ReplicaSet, Service};

/// The annotation by which a Deployment and its current ReplicaSet name the same rollout.
const REVISION: &str = "deployment.kubernetes.io/revision";

/// Objects of one kind, by name.
pub(crate) type Objects<T> = BTreeMap<String, T>;

/// A namespace's objects.
#[derive(Debug, Clone, Default)]
pub(crate) struct Namespace {
    /// Deployments.
    pub(crate) deployments: Objects<Deployment>,
    /// ReplicaSets, current and old.
    pub(crate) replica_sets: Objects<ReplicaSet>,
    /// Pods, of Deployments and others.
    pub(crate) pods: Objects<Pod>,
    /// Events.
    pub(crate) events: Objects<Event>,
}

/// What a list or a watch told.
#[derive(Debug, Clone)]
pub(crate) enum Change<T> {
    /// These are all there are.
    All(Vec<T>),
    /// New, or changed.
    Put(T),
    /// Deleted.
    Gone(T),
}

/// An object with metadata.
pub(crate) trait Object {
    /// Its metadata.
    fn metadata(&self) -> &Metadata;
}

macro_rules! object {
    ($($kind:ty),*) => {$(
        impl Object for $kind {
            fn metadata(&self) -> &Metadata {
                &self.metadata
            }
        }
    )*};
}
object!(Deployment, ReplicaSet, Pod, Event, Service);

/// Brings `objects` up to date.
pub(crate) fn apply<T: Object>(objects: &mut Objects<T>, change: Change<T>) {
    match change {
        Change::All(all) => {
            *objects = all.into_iter().map(|object| (object.metadata().name.clone(), object)).collect();
        }
        Change::Put(object) => drop(objects.insert(object.metadata().name.clone(), object)),
        Change::Gone(object) => drop(objects.remove(&object.metadata().name)),
    }
}

impl Namespace {
    /// The ReplicaSet of the current rollout: owned by uid, with the Deployment's revision. Before the
    /// Deployment's generation is observed there is none, since the annotation is still the old one.
    pub(crate) fn current_replica_set(&self, deployment: &Deployment) -> Option<&ReplicaSet> {
        if deployment.status.observed_generation < deployment.metadata.generation {
            return None;
        }
        let revision = deployment.metadata.annotations.get(REVISION)?;
        self.replica_sets.values().find(|set| {
            set.metadata.is_controlled_by(&deployment.metadata.uid)
                && set.metadata.annotations.get(REVISION) == Some(revision)
        })
    }

    /// The pods of a ReplicaSet that count: not being deleted, and not ended for good (the controller
    /// replaces evicted ones).
    pub(crate) fn pods_of(&self, set: &ReplicaSet) -> Vec<&Pod> {
        let counts = |pod: &&Pod| {
            pod.metadata.is_controlled_by(&set.metadata.uid)
                && !pod.metadata.is_terminating()
                && !["Failed", "Succeeded"].contains(&pod.status.phase.as_str())
        };
        self.pods.values().filter(counts).collect()
    }

    /// The pods that count of a Deployment's current rollout.
    pub(crate) fn current_pods(&self, deployment: &Deployment) -> Vec<&Pod> {
        self.current_replica_set(deployment).map(|set| self.pods_of(set)).unwrap_or_default()
    }

    /// The events of the object `uid`, oldest first.
    pub(crate) fn events_of(&self, uid: &str) -> Vec<&Event> {
        let mut events: Vec<_> = self.events.values().filter(|event| event.involved_object.uid == uid).collect();
        events.sort_by_key(|event| (event.time(), &event.metadata.name));
        events
    }
}
