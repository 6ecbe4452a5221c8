//! The service manifest, `service-image-manifest.json`: what rollout jobs read.

use serde::Serialize;

use super::reference::{ImageReference, Tag};

/// Where it is kept, below the workspace root.
pub(crate) const SERVICE_MANIFEST_PATH: &str = "artifacts/docker/service-image-manifest.json";

/// The images of a build by tag, pushed or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ServiceManifest {
    registry: String,
    tag: Tag,
    push: bool,
    images: Vec<ServiceImage>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct ServiceImage {
    name: String,
    image: ImageReference,
}

impl ServiceManifest {
    /// The manifest of `repositories` (component and repository, at least one) under `tag`.
    pub(crate) fn new(tag: &Tag, push: bool, repositories: &[(String, ImageReference)]) -> Self {
        let image = |(name, repository): &(String, ImageReference)| ServiceImage {
            name: name.clone(),
            image: repository.with_tag(tag.clone()),
        };
        ServiceManifest {
            registry: repositories.first().map(|(_, first)| first.registry.to_string()).unwrap_or_default(),
            tag: tag.clone(),
            push,
            images: repositories.iter().map(image).collect(),
        }
    }

    /// The file's text.
    pub(crate) fn to_text(&self) -> String {
        serde_json::to_string_pretty(self).expect("text keys and no failing parts") + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_the_shape_that_rollout_jobs_read() {
        let repositories = [("engine".to_owned(), "registry.stage/engine".parse().unwrap())];
        let manifest = ServiceManifest::new(&"2025.11.0".parse().unwrap(), true, &repositories);
        let expected = serde_json::json!({
            "registry": "registry.stage",
            "tag": "2025.11.0",
            "push": true,
            "images": [{ "name": "engine", "image": "registry.stage/engine:2025.11.0" }],
        });
        assert_eq!(serde_json::from_str::<serde_json::Value>(&manifest.to_text()).unwrap(), expected);
    }
}
