//! Which image each container runs, looked up in the registry where the record does not tell.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::gather::Plan;
use super::registry::JOBS;
use super::timing::Times;
use super::watch::Rollouts;
use crate::image::manifest::AnyManifest;
use crate::image::record::RecordedImage;
use crate::image::reference::{Digest, ImageReference};
use crate::kubernetes::objects::{Container, Pod, Workload};
use crate::kubernetes::smoke::expected_images::ContainerOwner;
use crate::kubernetes::smoke::identity::{Identity, ImageId, Resolved, compare, is_named, is_recorded};
use crate::kubernetes::smoke::report::Check;
use crate::registry::Client;
use crate::system::parallel;

/// Asks the registry, each digest once.
pub(super) struct Identities<'a> {
    client: Arc<Client>,
    plan: &'a Plan,
    namespace: String,
    allow_unverifiable: bool,
    /// By the expected image and what runs.
    known: BTreeMap<(String, ImageId), Identity>,
}

impl<'a> Identities<'a> {
    pub(super) fn new(client: &Arc<Client>, plan: &'a Plan, namespace: &str, allow_unverifiable: bool) -> Self {
        let (client, namespace) = (Arc::clone(client), namespace.to_owned());
        Identities { client, plan, namespace, allow_unverifiable, known: BTreeMap::new() }
    }

    /// Looks up what the containers of current pods run, as far as it is not known yet.
    pub(super) fn look_up(&mut self, rollouts: &Rollouts<'_>, times: Times) {
        let mut wanted: BTreeMap<(String, ImageId), RecordedImage> = BTreeMap::new();
        for workload in rollouts.workloads() {
            let pods = rollouts.namespace.pods_of(&workload);
            for container in workload.containers() {
                let Some((_, images)) = self.expected(&workload, container) else { continue };
                for id in pods.iter().filter_map(|pod| image_id(pod, &container.name)) {
                    for image in &images {
                        wanted.insert((image.image.to_string(), id.clone()), (*image).clone());
                    }
                }
            }
        }
        wanted.retain(|key, _| !self.known.contains_key(key));
        if wanted.is_empty() {
            return;
        }
        let client = Arc::clone(&self.client);
        let found = parallel::start(move || {
            parallel::map(wanted.into_iter().collect(), JOBS, |((name, id), image)| {
                let identity = identity(&client, &image, &id);
                ((name, id), identity)
            })
        });
        self.known.extend(found.until(times.deadline).into_iter().flatten());
    }

    /// Whether something runs what it should not.
    pub(super) fn has_mismatch(&self, rollouts: &Rollouts<'_>) -> bool {
        let is_bad = |workload: &Workload| {
            let pods = rollouts.namespace.pods_of(workload);
            self.checks(workload, &pods, false, 0.0).iter().any(|check| check.verdict == "mismatch")
        };
        rollouts.workloads().iter().any(|workload| is_bad(workload))
    }

    /// The component that a container should run, and its images.
    fn expected(&self, workload: &Workload, container: &Container) -> Option<(&str, Vec<&RecordedImage>)> {
        let ContainerOwner::Component(component) = self.plan.expectations.owner(workload, container) else {
            return None;
        };
        Some((component, self.plan.expectations.images(component, &self.namespace, workload, &container.name)))
    }

    /// A check for each container of the workload, over all pods that have an image already; when the
    /// rollout `is_done`, all must.
    pub(super) fn checks(&self, workload: &Workload, pods: &[&Pod], is_done: bool, seconds: f64) -> Vec<Check> {
        let mut checks = Vec::new();
        for container in workload.containers() {
            let subject = container.name.as_str();
            match (self.expected(workload, container), self.plan.expectations.owner(workload, container)) {
                (Some((component, images)), _) => {
                    // One line for all pods: the worst.
                    let found =
                        pods.iter().filter_map(|pod| self.check(component, &images, subject, pod, is_done, seconds));
                    let worst = found.min_by_key(|check| (check.passed, check.verdict == "ok"));
                    let not_run = || is_done.then(|| not_run(container, component, &images, seconds));
                    checks.extend(worst.or_else(|| not_run().filter(|_| pods.is_empty())));
                }
                (None, ContainerOwner::Foreign) => {
                    let message = format!("{} is no image of ours", container.image);
                    checks.push(Check { verdict: "foreign", message, ..Check::ok("identity", subject, seconds) });
                }
                (None, _) => {}
            }
        }
        checks
    }

    fn check(
        &self,
        component: &str,
        images: &[&RecordedImage],
        container: &str,
        pod: &Pod,
        is_done: bool,
        seconds: f64,
    ) -> Option<Check> {
        let name = &pod.metadata.name;
        let failed = |verdict, why: &str| {
            let message = format!("pod {name}, component {component}: {why}");
            Some(Check::failed("identity", container, verdict, message, seconds))
        };
        let Some(id) = image_id(pod, container) else {
            return is_done.then(|| failed("unverifiable", "the kubelet does not say what runs"))?;
        };
        let spec = pod.spec.all().find(|other| other.name == container).map(|other| other.image.as_str());
        let of = |image: &&RecordedImage| {
            let known = self.known.get(&(image.image.to_string(), id.clone()))?.clone();
            // What is pulled by digest is of that digest, whatever name the node has for it.
            let is_named = spec.is_some_and(|spec| is_named(image, spec));
            Some(if is_named && matches!(known, Identity::Unverifiable(_)) { Identity::Match } else { known })
        };
        let found: Vec<Identity> = images.iter().filter_map(of).collect();
        let best = found.into_iter().min_by_key(|identity| match identity {
            Identity::Match => 0,
            Identity::Unverifiable(_) => 1,
            Identity::Mismatch(_) => 2,
        });
        match best {
            Some(Identity::Match) => Some(Check::ok("identity", container, seconds)),
            Some(Identity::Mismatch(why)) => failed("mismatch", &why),
            Some(Identity::Unverifiable(why)) => {
                failed("unverifiable", &why).map(|check| Check { passed: self.allow_unverifiable, ..check })
            }
            None if images.is_empty() => failed("unverifiable", "nothing says which image should run"),
            None => failed("unknown", "time was up before the registry told what runs"),
        }
    }
}

/// What is known where no pod has run: a CronJob's first one is still to come.
fn not_run(container: &Container, component: &str, images: &[&RecordedImage], seconds: f64) -> Check {
    let subject = container.name.as_str();
    if images.iter().any(|image| is_named(image, &container.image)) {
        let message = "its template names the expected digest; no pod is there";
        return Check { verdict: "not-run", message: message.into(), ..Check::ok("identity", subject, seconds) };
    }
    let expected: Vec<_> = images.iter().map(|image| image.image.to_string()).collect();
    let (expected, found) = (expected.join(" or "), &container.image);
    let message = format!("component {component}: the template names {found}, expected is {expected}");
    Check::failed("identity", subject, "mismatch", message, seconds)
}

fn identity(client: &Client, image: &RecordedImage, id: &ImageId) -> Identity {
    if is_recorded(image, id) {
        return Identity::Match;
    }
    let recorded = match image.platforms.is_empty() {
        false => Resolved::Configs(image.platforms.values().map(|platform| platform.config.clone()).collect()),
        // Another release's, or a record of its first four fields.
        true => resolve(client, &image.image),
    };
    if let (ImageId::Raw(digest), Resolved::Configs(configs)) = (id, &recorded)
        && configs.contains(digest)
    {
        return Identity::Match;
    }
    compare(image, &recorded, id, &content(client, image, id))
}

/// The configs behind what runs: asked of the component's own repository, which content-addressing
/// allows and which we can surely reach, then of the one that the runtime names.
fn content(client: &Client, image: &RecordedImage, id: &ImageId) -> Resolved {
    let Some(digest) = id.digest() else {
        return Resolved::Unknown("the container runtime tells no digest".to_owned());
    };
    let own = resolve(client, &image.image.with_digest(digest.clone()));
    match (own, id) {
        (Resolved::Configs(configs), _) => Resolved::Configs(configs),
        (Resolved::Unknown(_), ImageId::Pulled(repository, _)) if repository.name() != image.repository => {
            resolve(client, &repository.with_digest(digest.clone()))
        }
        (unknown, _) => unknown,
    }
}

fn resolve(client: &Client, reference: &ImageReference) -> Resolved {
    match configs(client, reference) {
        Ok(configs) => Resolved::Configs(configs),
        Err(error) => Resolved::Unknown(format!("{error:#}")),
    }
}

fn configs(client: &Client, reference: &ImageReference) -> anyhow::Result<BTreeSet<Digest>> {
    let fetched = client.get_manifest(reference)?;
    match AnyManifest::parse(&fetched.bytes, &fetched.descriptor.media_type)? {
        AnyManifest::Image(manifest) => Ok(BTreeSet::from([manifest.config.digest])),
        AnyManifest::Index(index) => {
            // Attestations are listed for a platform that is none.
            let images = index
                .manifests
                .into_iter()
                .filter(|entry| entry.platform.as_ref().is_none_or(|platform| platform.platform().is_some()));
            let mut found = BTreeSet::new();
            for entry in images {
                found.extend(configs(client, &reference.with_digest(entry.digest))?);
            }
            Ok(found)
        }
    }
}

fn image_id(pod: &Pod, container: &str) -> Option<ImageId> {
    let status = pod.status.all().find(|status| status.name == container)?;
    (!status.image_id.is_empty()).then(|| ImageId::parse(&status.image_id))
}
