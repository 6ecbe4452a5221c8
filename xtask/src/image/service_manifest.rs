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
    /// The manifest of a build under `tag`. `images` are components with their references, at least one.
    pub(crate) fn new(tag: &Tag, push: bool, images: Vec<(String, ImageReference)>) -> Self {
        ServiceManifest {
            registry: images.first().map(|(_, first)| first.registry.to_string()).unwrap_or_default(),
            tag: tag.clone(),
            push,
            images: images.into_iter().map(|(name, image)| ServiceImage { name, image }).collect(),
        }
    }

    pub(crate) fn to_text(&self) -> String {
        serde_json::to_string_pretty(self).expect("text keys and no failing parts") + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_the_shape_that_rollout_jobs_read() {
        let images = vec![("engine".to_owned(), "registry.stage/engine:2025.11.0".parse().unwrap())];
        let manifest = ServiceManifest::new(&"2025.11.0".parse().unwrap(), true, images);
        let expected = serde_json::json!({
            "registry": "registry.stage",
            "tag": "2025.11.0",
            "push": true,
            "images": [{ "name": "engine", "image": "registry.stage/engine:2025.11.0" }],
        });
        assert_eq!(serde_json::from_str::<serde_json::Value>(&manifest.to_text()).unwrap(), expected);
    }
}
