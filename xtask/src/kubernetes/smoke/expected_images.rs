//! Which images should run: those that the manifests pin, or a digest record's.

use std::collections::BTreeSet;

use crate::image::record::{DigestRecord, RecordedImage};
use crate::image::reference::ImageReference;
use crate::kubernetes::image_owners::{ImageOwner, Repositories};
use crate::kubernetes::manifest;
use crate::kubernetes::objects::{Container, Kind, Workload};
use crate::kubernetes::placeholder::is_placeholder;
use crate::kubernetes::yaml::document::{Document, NodeId};
use crate::kubernetes::yaml::parse::parse;

/// A container of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// Nothing where the manifest leaves it to kubectl.
    pub(crate) namespace: Option<String>,
    pub(crate) kind: Kind,
    pub(crate) workload: String,
    pub(crate) container: String,
    pub(crate) image: String,
}

impl Place {
    /// The workload as kubectl writes it: `deployment/engine`.
    pub(crate) fn shown(&self) -> String {
        format!("{}/{}", self.kind.name().to_lowercase(), self.workload)
    }
}

/// The containers of all workloads in a YAML or JSON text.
///
/// # Errors
/// It is neither; the message names the line.
pub(crate) fn places(text: &str) -> Result<Vec<Place>, String> {
    let documents = parse(text).map_err(|error| error.to_string())?;
    Ok(documents.iter().flat_map(places_in).collect())
}

fn places_in(document: &Document<'_>) -> Vec<Place> {
    let text = |of: NodeId, key: &str| document.get(of, key).and_then(|value| document.text(value)).map(str::to_owned);
    let mut places = Vec::new();
    for (kind, object) in manifest::objects(document) {
        let Some(kind) = Kind::of_name(kind) else { continue };
        let Some(metadata) = document.get(object, "metadata") else { continue };
        places.extend(manifest::containers(document, object, kind).map(|container| Place {
            namespace: manifest::namespace(document, object).map(str::to_owned),
            kind,
            workload: text(metadata, "name").unwrap_or_default(),
            container: text(container, "name").unwrap_or_default(),
            image: text(container, "image").unwrap_or_default(),
        }));
    }
    places
}

/// Whose image a container should run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ContainerOwner<'a> {
    Component(&'a str),
    /// This component's, but the placeholder stands in for it.
    Placeholder(&'a str),
    Foreign,
}

/// A component's image, and where it should run.
#[derive(Debug, Clone)]
struct Expected {
    component: String,
    image: RecordedImage,
    /// Nothing when only the record says so.
    place: Option<Place>,
}

/// What should run.
#[derive(Debug, Default)]
pub(crate) struct Expectations {
    repositories: Repositories,
    all: Vec<Expected>,
    /// Containers of components whose image is given by tag alone, with no record to tell the digest.
    pub(crate) unpinned: Vec<(String, Place)>,
    /// Components that the manifests have a placeholder for.
    placeholders: BTreeSet<String>,
    /// Components that the record has, and no manifest.
    pub(crate) undeployed: Vec<String>,
    /// Pins of manifests that the record does not know: those of another release.
    pub(crate) unrecorded: Vec<ImageReference>,
}

impl Expectations {
    /// What the manifests' containers name; without any of ours among them, what the record names.
    pub(crate) fn new(repositories: Repositories, places: Vec<Place>, record: &DigestRecord) -> Self {
        let mut expectations = Expectations { repositories, ..Expectations::default() };
        for place in places {
            let named = |name: &str| expectations.repositories.named(name).map(str::to_owned);
            let by_container = named(&place.container);
            match expectations.repositories.owner(&place.image, None) {
                // Another component's image in a container named after this one is no pin of it.
                ImageOwner::Component(component) if by_container.as_ref().is_some_and(|name| name != component) => {}
                ImageOwner::Component(component) => {
                    let component = component.to_owned();
                    expectations.add(component, place, record);
                }
                _ if is_placeholder(&place.image) => {
                    let component = by_container.or(named(&place.workload));
                    expectations.placeholders.extend(component);
                }
                _ => {}
            }
        }
        let from_manifests =
            !expectations.all.is_empty() || !expectations.unpinned.is_empty() || !expectations.placeholders.is_empty();
        for (component, image) in &record.images {
            let is_named = expectations.all.iter().any(|expected| expected.component == *component);
            if is_named || expectations.placeholders.contains(component) {
                continue;
            }
            // Should it run all the same, it is compared.
            let (component, image) = (component.clone(), image.clone());
            if from_manifests {
                expectations.undeployed.push(component.clone());
            }
            expectations.all.push(Expected { component, image, place: None });
        }
        expectations
    }

    fn add(&mut self, component: String, place: Place, record: &DigestRecord) {
        let recorded = record.images.get(&component);
        let Ok(reference) = place.image.parse::<ImageReference>() else { return };
        let image = match (&reference.digest, recorded) {
            (Some(digest), recorded) => {
                let recorded = recorded.filter(|image| image.digest == *digest);
                if recorded.is_none() && record.images.contains_key(&component) {
                    self.unrecorded.push(reference.clone());
                }
                RecordedImage {
                    repository: reference.name(),
                    digest: digest.clone(),
                    image: ImageReference::new(reference.registry.clone(), reference.repository.clone())
                        .with_digest(digest.clone()),
                    git_sha_tag: reference.clone(),
                    tags: Vec::new(),
                    platforms: recorded.map(|image| image.platforms.clone()).unwrap_or_default(),
                }
            }
            (None, Some(recorded)) => recorded.clone(),
            (None, None) => return self.unpinned.push((component, place)),
        };
        self.all.push(Expected { component, image, place: Some(place) });
    }

    /// The containers of manifests that should run an image of ours, with its component.
    pub(crate) fn places(&self) -> impl Iterator<Item = (&str, &Place)> {
        self.all.iter().filter_map(|expected| Some((expected.component.as_str(), expected.place.as_ref()?)))
    }

    /// Whether nothing is known of what should run.
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty() && self.unpinned.is_empty() && self.placeholders.is_empty()
    }

    /// Whose image a container should run: its image's repository says so. Where that says nothing, as the
    /// placeholder does, or is another component's, the container's name does, or that of a workload with but
    /// one container.
    pub(crate) fn owner(&self, workload: &Workload, container: &Container) -> ContainerOwner<'_> {
        let spec = &workload.template().spec;
        let is_only = spec.containers.len() == 1 && spec.containers[0].name == container.name;
        let known = |name: &str| self.repositories.named(name);
        let named = known(&container.name).or_else(|| known(&workload.metadata.name).filter(|_| is_only));
        match (self.repositories.owner(&container.image, named), named) {
            (ImageOwner::Component(_), Some(name)) => ContainerOwner::Component(name),
            (ImageOwner::Component(component), None) => ContainerOwner::Component(component),
            (ImageOwner::ByContainer(component), _) => ContainerOwner::Placeholder(component),
            (ImageOwner::Alike(_) | ImageOwner::Foreign, _) => ContainerOwner::Foreign,
        }
    }

    /// The component that somebody else's image is called like.
    pub(crate) fn alike(&self, container: &Container) -> Option<&str> {
        match self.repositories.owner(&container.image, None) {
            ImageOwner::Alike(component) => Some(component),
            _ => None,
        }
    }

    /// The images that `container` of `workload` may run: the one of its manifest, else all of its component.
    pub(crate) fn images(
        &self,
        component: &str,
        namespace: &str,
        workload: &Workload,
        container: &str,
    ) -> Vec<&RecordedImage> {
        let all = || self.all.iter().filter(|expected| expected.component == component);
        let is_here = |place: &Place| {
            place.namespace.as_deref().is_none_or(|name| name == namespace)
                && (place.kind, place.workload.as_str()) == (workload.kind, workload.metadata.name.as_str())
                && place.container == container
        };
        let here: Vec<_> = all().filter(|expected| expected.place.as_ref().is_some_and(is_here)).collect();
        let found = if here.is_empty() { all().collect() } else { here };
        found.into_iter().map(|expected| &expected.image).collect()
    }

    /// The images of all components, each once.
    pub(crate) fn all_images(&self) -> BTreeSet<(&str, &ImageReference)> {
        let run = self.all.iter().filter(|expected| !self.undeployed.contains(&expected.component));
        run.map(|expected| (expected.component.as_str(), &expected.image.image)).collect()
    }

    /// Components that should run, with the namespace of the manifest that says so, where it says one.
    pub(crate) fn components(&self) -> BTreeSet<(&str, Option<&str>)> {
        let run = self.all.iter().filter(|expected| !self.undeployed.contains(&expected.component));
        let run = run.map(|expected| {
            let place = expected.place.as_ref();
            (expected.component.as_str(), place.and_then(|place| place.namespace.as_deref()))
        });
        run.chain(self.placeholders.iter().map(|component| (component.as_str(), None))).collect()
    }
}

#[cfg(test)]
#[path = "expected_images_tests.rs"]
mod tests;
