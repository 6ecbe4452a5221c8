//! The namespace as last seen, kept up to date from lists and watches.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::kubernetes::objects::{Event, Kind, Metadata, Pod, Service, Workload, seconds};

/// The annotation by which a Deployment and its current ReplicaSet name the same rollout.
const REVISION: &str = "deployment.kubernetes.io/revision";
/// The label by which a Rollout's ReplicaSets are told apart.
const ROLLOUT_HASH: &str = "rollouts-pod-template-hash";

/// Objects of one kind, by name.
pub(crate) type Objects<T> = BTreeMap<String, T>;

/// A namespace's objects.
#[derive(Debug, Clone, Default)]
pub(crate) struct Namespace {
    /// What makes pods, current and old.
    pub(crate) workloads: BTreeMap<Kind, Objects<Workload>>,
    /// Pods, of these and others.
    pub(crate) pods: Objects<Pod>,
    pub(crate) services: Objects<Service>,
    pub(crate) events: Objects<Event>,
}

/// What a list or a watch said.
#[derive(Debug, Clone)]
pub(crate) enum Change<T> {
    /// These are all there are.
    Listed(Vec<T>),
    /// New, or changed.
    Applied(T),
    Deleted(T),
}

impl<T> Change<T> {
    /// The same of what `change` makes of its objects.
    pub(crate) fn map<U>(self, change: impl Fn(T) -> U) -> Change<U> {
        match self {
            Change::Listed(all) => Change::Listed(all.into_iter().map(change).collect()),
            Change::Applied(object) => Change::Applied(change(object)),
            Change::Deleted(object) => Change::Deleted(change(object)),
        }
    }
}

/// An object with metadata.
pub(crate) trait Object {
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
object!(Workload, Pod, Event, Service);

/// Brings `objects` up to date.
pub(crate) fn apply<T: Object>(objects: &mut Objects<T>, change: Change<T>) {
    match change {
        Change::Listed(all) => {
            *objects = all.into_iter().map(|object| (object.metadata().name.clone(), object)).collect();
        }
        Change::Applied(object) => drop(objects.insert(object.metadata().name.clone(), object)),
        Change::Deleted(object) => drop(objects.remove(&object.metadata().name)),
    }
}

impl Namespace {
    /// Brings the workloads of a kind up to date.
    pub(crate) fn apply_workloads(&mut self, kind: Kind, change: Change<Workload>) {
        apply(self.workloads.entry(kind).or_default(), change.map(|workload| Workload { kind, ..workload }));
    }

    fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Workload> {
        self.workloads.get(&kind).into_iter().flat_map(|objects| objects.values())
    }

    fn knows(&self, uid: &str) -> bool {
        self.workloads.values().flat_map(|objects| objects.values()).any(|workload| workload.metadata.uid == uid)
    }

    /// What stands by itself and is not being deleted: what another workload makes is part of that one. So
    /// are pods whose controller is of a kind that we do not know.
    pub(crate) fn workloads(&self) -> Vec<Cow<'_, Workload>> {
        let all = Kind::LISTED.into_iter().flat_map(|kind| self.of_kind(kind));
        let stands_for = |rollout: &Workload| rollout.spec.workload_ref.as_ref().map(|of| of.name.clone());
        let replaced: Vec<String> = self.of_kind(Kind::Rollout).filter_map(stands_for).collect();
        let own = all.filter(|workload| match (workload.kind, workload.metadata.controller()) {
            (Kind::Deployment, _) => !replaced.contains(&workload.metadata.name),
            (Kind::ReplicaSet, Some(owner)) => {
                owner.kind != Kind::Deployment.name() && !self.knows(&owner.uid) && workload.replicas() > 0
            }
            (Kind::Job, Some(owner)) => owner.kind != Kind::CronJob.name(),
            _ => true,
        });
        let is_made = |pod: &Pod| {
            let controllers = [Kind::ReplicaSet, Kind::StatefulSet, Kind::DaemonSet, Kind::Job];
            pod.metadata.controller().is_some_and(|owner| controllers.iter().any(|kind| kind.name() == owner.kind))
        };
        let pods = self.pods.values().filter(|pod| !is_made(pod)).map(|pod| Cow::Owned(Workload::of_pod(pod)));
        let own = own.map(|workload| match self.pod_controller(workload) {
            Some(set) if stands_for(workload).is_some() => Cow::Owned(workload.with_template_of(set)),
            _ => Cow::Borrowed(workload),
        });
        own.chain(pods).filter(|workload| !workload.metadata.is_terminating()).collect()
    }

    /// What makes the pods of the current rollout: a Deployment's ReplicaSet, by owner and revision; a
    /// CronJob's newest Job; else the workload itself. Before a Deployment's generation is observed there is
    /// none, since the annotation is still the old one.
    pub(crate) fn pod_controller<'a>(&'a self, workload: &'a Workload) -> Option<&'a Workload> {
        let owned = |kind| self.of_kind(kind).filter(|other| other.metadata.is_controlled_by(&workload.metadata.uid));
        match workload.kind {
            Kind::Deployment => {
                if !workload.is_observed() {
                    return None;
                }
                let revision = workload.metadata.annotations.get(REVISION)?;
                owned(Kind::ReplicaSet).find(|set| set.metadata.annotations.get(REVISION) == Some(revision))
            }
            Kind::Rollout => {
                let hash = &workload.status.current_pod_hash;
                owned(Kind::ReplicaSet).find(|set| set.metadata.labels.get(ROLLOUT_HASH) == Some(hash))
            }
            Kind::CronJob => owned(Kind::Job).max_by_key(|job| seconds(job.metadata.creation_timestamp.as_ref())),
            _ => Some(workload),
        }
    }

    /// The pods that count of a workload's current rollout: not being deleted, and not ended for good (the
    /// controller replaces evicted ones), but where coming to an end is what they are for.
    pub(crate) fn pods_of(&self, workload: &Workload) -> Vec<&Pod> {
        let phases: &[&str] = if workload.is_job() { &["Failed"] } else { &["Failed", "Succeeded"] };
        let counts = |pod: &&Pod| !phases.contains(&pod.status.phase.as_str()) || workload.kind == Kind::Pod;
        self.all_pods_of(workload).into_iter().filter(counts).collect()
    }

    /// The newest pod of a current rollout that failed for good.
    pub(crate) fn failed_pod_of(&self, workload: &Workload) -> Option<&Pod> {
        let failed = self.all_pods_of(workload).into_iter().filter(|pod| pod.status.phase == "Failed");
        failed.max_by_key(|pod| seconds(pod.metadata.creation_timestamp.as_ref()))
    }

    fn all_pods_of(&self, workload: &Workload) -> Vec<&Pod> {
        let Some(controller) = self.pod_controller(workload) else { return Vec::new() };
        let is_own = |pod: &&Pod| match workload.kind {
            Kind::Pod => pod.metadata.uid == workload.metadata.uid,
            _ => pod.metadata.is_controlled_by(&controller.metadata.uid),
        };
        self.pods.values().filter(is_own).filter(|pod| !pod.metadata.is_terminating()).collect()
    }

    /// Whether a Service leads to a workload's pods: by the labels that they are made with, or have been given
    /// since, as controllers do.
    pub(crate) fn is_behind(&self, service: &Service, workload: &Workload) -> bool {
        let has = |pod: &&Pod| service.selects(&pod.metadata.labels);
        service.selects(workload.pod_labels()) || self.pods_of(workload).iter().any(has)
    }

    /// The events of the object `uid`, oldest first.
    pub(crate) fn events_of(&self, uid: &str) -> Vec<&Event> {
        let mut events: Vec<_> = self.events.values().filter(|event| event.involved_object.uid == uid).collect();
        events.sort_by_key(|event| (event.time(), &event.metadata.name));
        events
    }
}
