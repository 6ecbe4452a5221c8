//! Which image each container runs, looked up in the registry where the record does not tell.

use std::collections::{BTreeMap, BTreeSet};

use crate::image::manifest::AnyManifest;
use crate::image::record::{DigestRecord, RecordedImage};
use crate::image::reference::{Digest, ImageReference};
use crate::kubernetes::placeholder::is_placeholder;
use crate::kubernetes::smoke::identity::{Identity, ImageId, Resolved, compare, component_of, is_recorded};
use crate::kubernetes::smoke::objects::{Deployment, Pod};
use crate::kubernetes::smoke::report::Check;
use crate::registry::Client;
use crate::system::parallel;

use super::registry::JOBS;
use super::rollout::Rollouts;

/// Asks the registry, each digest once.
pub(super) struct Identities<'a> {
    client: &'a Client,
    record: &'a DigestRecord,
    allow_unverifiable: bool,
    known: BTreeMap<(String, ImageId), Identity>,
}

impl<'a> Identities<'a> {
    /// Nothing is asked yet.
    pub(super) fn new(client: &'a Client, record: &'a DigestRecord, allow_unverifiable: bool) -> Self {
        Identities { client, record, allow_unverifiable, known: BTreeMap::new() }
    }

    /// Looks up what the containers of current pods run, as far as it is not known yet.
    pub(super) fn look_up(&mut self, rollouts: &Rollouts) {
        let mut wanted = BTreeSet::new();
        for deployment in rollouts.deployments() {
            let pods = rollouts.namespace.current_pods(deployment);
            for container in deployment.spec.template.spec.all() {
                let Some(component) = component_of(self.record, deployment, container) else { continue };
                let ids = pods.iter().filter_map(|pod| image_id(pod, &container.name));
                wanted.extend(ids.map(|id| (component.to_owned(), id)));
            }
        }
        wanted.retain(|key| !self.known.contains_key(key));
        let found = parallel::map(wanted.into_iter().collect(), JOBS, |(component, id)| {
            let identity = self.identity(&self.record.images[&component], &id);
            ((component, id), identity)
        });
        self.known.extend(found);
    }

    /// A check for each container of the Deployment, over all pods that have an image already; when the
    /// rollout `is_done`, all must.
    pub(super) fn checks(&self, deployment: &Deployment, pods: &[&Pod], is_done: bool, seconds: f64) -> Vec<Check> {
        let mut checks = Vec::new();
        for container in deployment.spec.template.spec.all() {
            let subject = container.name.as_str();
            if is_placeholder(&container.image) {
                continue;
            }
            let Some(component) = component_of(self.record, deployment, container) else {
                let message = format!("{} is no image of the record", container.image);
                checks.push(Check { verdict: "foreign", message, ..Check::ok("identity", subject, seconds) });
                continue;
            };
            let found = pods.iter().filter_map(|pod| self.check(component, subject, pod, is_done, seconds));
            // One line for all pods: the worst.
            let worst = found.min_by_key(|check| (check.passed, check.verdict == "ok"));
            checks.extend(worst);
        }
        checks
    }

    fn check(&self, component: &str, container: &str, pod: &Pod, is_done: bool, seconds: f64) -> Option<Check> {
        let known = image_id(pod, container).map(|id| self.known.get(&(component.to_owned(), id)));
        let name = &pod.metadata.name;
        let failed = |verdict, why: &str| {
            let message = format!("pod {name}, component {component}: {why}");
            Some(Check::failed("identity", container, verdict, message, seconds))
        };
        match known.flatten() {
            Some(Identity::Match) => Some(Check::ok("identity", container, seconds)),
            Some(Identity::Mismatch(why)) => failed("mismatch", why),
            Some(Identity::Unverifiable(why)) => {
                failed("unverifiable", why).map(|check| Check { passed: self.allow_unverifiable, ..check })
            }
            None if is_done => failed("unverifiable", "the kubelet does not say what runs"),
            None => None,
        }
    }

    fn identity(&self, image: &RecordedImage, id: &ImageId) -> Identity {
        if is_recorded(image, id) {
            return Identity::Match;
        }
        let recorded = match image.platforms.is_empty() {
            false => Resolved::Configs(image.platforms.values().map(|platform| platform.config.clone()).collect()),
            // A record of its first four fields.
            true => self.resolve(&image.image),
        };
        if let (ImageId::Raw(digest), Resolved::Configs(configs)) = (id, &recorded)
            && configs.contains(digest)
        {
            return Identity::Match;
        }
        compare(image, &recorded, id, &self.content(image, id))
    }

    /// The configs behind what runs: asked of the component's own repository, which content-addressing
    /// allows and which we can surely reach, then of the one that the runtime names.
    fn content(&self, image: &RecordedImage, id: &ImageId) -> Resolved {
        let Some(digest) = id.digest() else {
            return Resolved::Unknown("the container runtime tells no digest".to_owned());
        };
        let own = self.resolve(&image.image.with_digest(digest.clone()));
        match (own, id) {
            (Resolved::Configs(configs), _) => Resolved::Configs(configs),
            (Resolved::Unknown(_), ImageId::Pulled(repository, _)) if repository.name() != image.repository => {
                self.resolve(&repository.with_digest(digest.clone()))
            }
            (unknown, _) => unknown,
        }
    }

    fn resolve(&self, reference: &ImageReference) -> Resolved {
        match self.configs(reference) {
            Ok(configs) => Resolved::Configs(configs),
            Err(error) => Resolved::Unknown(format!("{error:#}")),
        }
    }

    fn configs(&self, reference: &ImageReference) -> anyhow::Result<BTreeSet<Digest>> {
        let fetched = self.client.get_manifest(reference)?;
        match AnyManifest::parse(&fetched.bytes, &fetched.descriptor.media_type)? {
            AnyManifest::Image(manifest) => Ok(BTreeSet::from([manifest.config.digest])),
            AnyManifest::Index(index) => {
                // Attestations are listed for a platform that is none.
                let images = index
                    .manifests
                    .into_iter()
                    .filter(|entry| entry.platform.as_ref().is_none_or(|platform| platform.platform().is_some()));
                let mut configs = BTreeSet::new();
                for entry in images {
                    configs.extend(self.configs(&reference.with_digest(entry.digest))?);
                }
                Ok(configs)
            }
        }
    }
}

fn image_id(pod: &Pod, container: &str) -> Option<ImageId> {
    let status = pod.status.all().find(|status| status.name == container)?;
    (!status.image_id.is_empty()).then(|| ImageId::parse(&status.image_id))
}
