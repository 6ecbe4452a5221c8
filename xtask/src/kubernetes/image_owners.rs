//! Which images are ours: decided here once, for pinning and for what runs.

use std::collections::{BTreeMap, BTreeSet};

use crate::image::record::DigestRecord;
use crate::image::reference::ImageReference;
use crate::kubernetes::placeholder::is_placeholder;
use crate::workspace::repository_template::repository_name;

/// Stands for a part of a reference that a template fills in. No reference has it.
const ANY: char = '\0';

/// Where images of our components may be: the repositories that the record names, and those that
/// the settings give at each registry the workspace knows of, so that a manifest that was pinned
/// for one environment is recognised for the next.
#[derive(Debug, Default)]
pub(crate) struct Repositories {
    /// Components by the full names of their repositories.
    components: BTreeMap<String, String>,
    /// Components by the last parts of these names, and by their own; `None` where several share one.
    last_parts: BTreeMap<String, Option<String>>,
}

/// Whose image a container names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ImageOwner<'a> {
    /// A component's: the repository is one of its own.
    Component(&'a str),
    /// The image says nothing, being the placeholder or missing, and the container is named after this component.
    ByContainer(&'a str),
    /// Not ours, but the repository's last part is that of this component.
    Alike(&'a str),
    Foreign,
}

/// What decides the names of repositories.
pub(crate) struct Naming<'a> {
    pub(crate) components: Vec<&'a str>,
    /// Registries, the settings', each environment's and CI's, each with its template of repositories.
    pub(crate) registries: BTreeSet<(&'a str, &'a str)>,
    /// What `{owner}` is, when known.
    pub(crate) owner: Option<&'a str>,
}

impl Repositories {
    /// All repositories of `naming` and of `record`.
    pub(crate) fn new(naming: &Naming<'_>, record: Option<&DigestRecord>) -> Self {
        let mut owners: BTreeSet<Option<&str>> = BTreeSet::from([None, naming.owner]);
        let mut components = BTreeMap::new();
        for (component, image) in record.into_iter().flat_map(|record| &record.images) {
            // A record made in CI knows the owner, which nobody tells us on a developer's machine.
            let recorded = image.image.repository.as_str();
            owners.extend(naming.registries.iter().map(|(_, template)| owner_in(recorded, template, component)));
        }
        for component in &naming.components {
            for owner in &owners {
                for (registry, template) in &naming.registries {
                    let repository = repository_name(template, component, *owner);
                    // What is no valid name is an error where images are built, and no manifest has it.
                    if let Ok(reference) = format!("{registry}/{repository}").parse::<ImageReference>() {
                        components.insert(reference.name(), (*component).to_owned());
                    }
                }
            }
        }
        for (component, image) in record.into_iter().flat_map(|record| &record.images) {
            components.insert(image.image.name(), component.clone());
        }
        let mut last_parts = BTreeMap::new();
        for (name, component) in
            components.iter().flat_map(|(name, component)| [(name, component), (component, component)])
        {
            let part = last_parts.entry(last_part(name).to_owned()).or_insert_with(|| Some(component.clone()));
            if part.as_ref() != Some(component) {
                *part = None;
            }
        }
        Repositories { components, last_parts }
    }

    /// Whose image `image` is, in a container of this name.
    pub(crate) fn owner(&self, image: &str, container: Option<&str>) -> ImageOwner<'_> {
        if let Some(component) = self.component(image) {
            return ImageOwner::Component(component);
        }
        if image.is_empty() || is_placeholder(image) {
            return container.and_then(|name| self.named(name)).map_or(ImageOwner::Foreign, ImageOwner::ByContainer);
        }
        let alike = self.last_parts.get(last_part(without_selector(image)));
        alike.and_then(Option::as_deref).map_or(ImageOwner::Foreign, ImageOwner::Alike)
    }

    /// The component of this name, or whose repositories have it as their last part.
    pub(crate) fn named(&self, name: &str) -> Option<&str> {
        let exactly = self.components.values().find(|component| *component == name);
        exactly.or_else(|| self.last_parts.get(name)?.as_ref()).map(String::as_str)
    }

    /// The component that the reference `text` is an image of, whatever its tag or digest; `None`
    /// when it is foreign.
    pub(crate) fn component(&self, text: &str) -> Option<&str> {
        self.components.get(self.names(text)?).map(String::as_str)
    }

    /// The full name of the repository that `text` is a reference of, when it is one of ours.
    pub(crate) fn names(&self, text: &str) -> Option<&str> {
        let name = without_selector(text);
        let found = self.components.get_key_value(name).or_else(|| {
            let reference: ImageReference = name.parse().ok()?;
            self.components.get_key_value(&reference.name())
        });
        found.map(|(name, _)| name.as_str())
    }

    /// Whether `text` is a reference of ours, its repository written in full.
    pub(crate) fn has(&self, text: &str) -> bool {
        self.components.contains_key(without_selector(text))
    }

    /// A component that `text`, which some program fills in before Kubernetes sees it, could be an
    /// image of. `None` when it holds no such part, or none of our repositories fits it.
    pub(crate) fn component_of_template(&self, text: &str) -> Option<&str> {
        let pattern = pattern(text)?;
        let pattern = without_selector(&pattern);
        let fits = |name: &str| {
            let short = name.strip_prefix("docker.io/").unwrap_or(name);
            let short = short.strip_prefix("library/").unwrap_or(short);
            fits(pattern, name) || fits(pattern, short)
        };
        self.components.iter().find(|(name, _)| fits(name)).map(|(_, component)| component.as_str())
    }
}

/// `{owner}` of `template` that makes it the repository `name` of `component`.
fn owner_in<'a>(name: &'a str, template: &str, component: &str) -> Option<&'a str> {
    // A name that no component has marks the place.
    let filled = repository_name(template, component, Some("\u{1}"));
    let (before, after) = filled.split_once('\u{1}')?;
    name.strip_prefix(before)?.strip_suffix(after).filter(|owner| !owner.is_empty())
}

fn last_part(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// A reference without its digest and tag, whether or not it is a valid one.
pub(crate) fn without_selector(text: &str) -> &str {
    let text = text.split_once('@').map_or(text, |(name, _)| name);
    let path = text.rfind('/').map_or(0, |slash| slash + 1);
    text[path..].find(':').map_or(text, |colon| &text[..path + colon])
}

/// `text` with [`ANY`] for each part that is filled in: `{{ … }}` (Helm, Jinja), `${…}` and `$NAME`
/// (envsubst, Compose), `$(…)` (Kubernetes, make). `None` without any.
fn pattern(text: &str) -> Option<String> {
    let mut pattern = String::new();
    let mut rest = text;
    let mut filled = false;
    while let Some(first) = rest.chars().next() {
        let close = [("{{", "}}"), ("${", "}"), ("$(", ")")].into_iter().find(|(open, _)| rest.starts_with(open));
        let after = match close {
            // Without an end, all of the rest.
            Some((_, close)) => rest.find(close).map_or("", |end| &rest[end + close.len()..]),
            None if first == '$' => rest[1..].trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_'),
            None => {
                pattern.push(first);
                rest = &rest[first.len_utf8()..];
                continue;
            }
        };
        filled = true;
        pattern.push(ANY);
        rest = after;
    }
    filled.then_some(pattern)
}

/// Whether `name` is `pattern` with something for each [`ANY`].
fn fits(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split(ANY);
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some(found) = rest.find(part) else { return false };
        rest = &rest[found + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::record::RecordedImage;
    use crate::image::reference::Digest;

    fn record(image: &str) -> DigestRecord {
        let reference: ImageReference = image.parse().unwrap();
        let tag: crate::image::reference::Tag = "sha-1".parse().unwrap();
        let image = RecordedImage::new(&reference, Digest::of(b"x"), tag, Vec::new(), BTreeMap::new());
        DigestRecord { images: BTreeMap::from([("engine".to_owned(), image)]) }
    }

    fn known(record: Option<&DigestRecord>) -> Repositories {
        let naming = Naming {
            components: vec!["engine", "ui"],
            registries: ["localhost:5000", "registry.stage"].map(|host| (host, "{owner}/demon-{component}")).into(),
            owner: Some("acme"),
        };
        Repositories::new(&naming, record)
    }

    #[test]
    fn the_repository_decides_whatever_the_tag() {
        let known = known(None);
        for text in [
            "localhost:5000/demon-engine",
            "localhost:5000/demon-engine:main",
            "localhost:5000/demon-engine@sha256:12",
            "localhost:5000/demon-engine:v1@sha256:12",
            "localhost:5000/demon-engine:not a tag",
            "registry.stage/acme/demon-engine:3",
        ] {
            assert_eq!(known.component(text), Some("engine"), "{text}");
        }
        for text in ["demon-engine", "localhost:5000/demon-engines", "localhost/demon-engine", "nginx:alpine", "", ":"]
        {
            assert_eq!(known.component(text), None, "{text}");
        }
        assert_eq!(known.component("localhost:5000/demon-ui:1"), Some("ui"));
    }

    #[test]
    fn the_containers_name_counts_only_where_the_image_says_nothing() {
        let known = known(None);
        let cases = [
            ("localhost:5000/demon-engine:1", Some("ui"), ImageOwner::Component("engine")),
            ("nginx:alpine", Some("engine"), ImageOwner::ByContainer("engine")),
            ("docker.io/library/nginx:alpine", Some("engine"), ImageOwner::ByContainer("engine")),
            ("", Some("ui"), ImageOwner::ByContainer("ui")),
            ("nginx:alpine", Some("demon-ui"), ImageOwner::ByContainer("ui")),
            ("nginx:alpine", Some("proxy"), ImageOwner::Foreign),
            ("nginx:alpine", None, ImageOwner::Foreign),
            ("postgres:16", Some("engine"), ImageOwner::Foreign),
            ("myorg/engine:latest", Some("x"), ImageOwner::Alike("engine")),
            ("myorg/demon-ui@sha256:12", None, ImageOwner::Alike("ui")),
            ("engine/web:1", None, ImageOwner::Foreign),
        ];
        for (image, container, owner) in cases {
            assert_eq!(known.owner(image, container), owner, "{image} in {container:?}");
        }
    }

    #[test]
    fn an_environment_names_repositories_by_its_own_template() {
        let naming = Naming {
            components: vec!["engine"],
            registries: BTreeSet::from([("localhost:5000", "{owner}/{component}"), ("r.io", "live/{component}-app")]),
            owner: None,
        };
        let known = Repositories::new(&naming, None);
        assert_eq!(known.component("r.io/live/engine-app:1"), Some("engine"));
        assert_eq!(known.component("r.io/engine:1"), None);
        assert_eq!(known.owner("r.io/old/engine-app:1", None), ImageOwner::Alike("engine"));
    }

    #[test]
    fn the_record_tells_the_owner_of_all() {
        let record = record("localhost:5000/zoo/demon-engine");
        let known = known(Some(&record));
        assert_eq!(known.component("localhost:5000/zoo/demon-engine:1"), Some("engine"));
        assert_eq!(known.component("registry.stage/zoo/demon-ui:1"), Some("ui"));
        assert_eq!(known.component("registry.stage/yak/demon-ui:1"), None);
    }

    #[test]
    fn a_recorded_repository_is_known_whatever_the_settings_say() {
        let record = record("docker.io/library/engine");
        assert_eq!(known(Some(&record)).component("engine:1"), Some("engine"));
        assert_eq!(known(Some(&record)).component_of_template("engine:$TAG"), Some("engine"));
    }

    #[test]
    fn a_template_is_ours_when_it_could_be() {
        let known = known(None);
        for text in [
            "{{ .Values.image }}",
            "${IMAGE}",
            "$(IMAGE):1",
            "$IMAGE",
            "${REGISTRY}/demon-engine:main",
            "${REGISTRY:-localhost:5000}/demon-engine:main",
            "localhost:5000/demon-engine:${TAG}",
            "localhost:5000/demon-engine@{{ digest }}",
            "localhost:5000/$NAME:1",
            "localhost:5000/demon-{{name}}:1",
            "{{ unfinished",
        ] {
            assert!(known.component_of_template(text).is_some(), "{text}");
        }
        for text in
            ["postgres:${TAG}", "${REGISTRY}/postgres:16", "localhost:5000/demon-engine:main", "ghcr.io/${X}:1", "a$$b"]
        {
            assert_eq!(known.component_of_template(text), None, "{text}");
        }
    }
}
