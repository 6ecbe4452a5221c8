//! The image that stands in where nothing is published yet.

use crate::image::reference::ImageReference;

pub(crate) const NAME: &str = "nginx";
/// Its tag.
pub(crate) const TAG: &str = "alpine";

/// Its reference, as pinning writes it.
pub(crate) fn reference() -> String {
    format!("{NAME}:{TAG}")
}

/// Whether `image` is the placeholder, however it is written.
pub(crate) fn is_placeholder(image: &str) -> bool {
    let placeholder: ImageReference = reference().parse().expect("a valid reference");
    image.parse::<ImageReference>().is_ok_and(|image| image == placeholder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_known_however_written() {
        let written = ["nginx:alpine", "docker.io/nginx:alpine", "docker.io/library/nginx:alpine"];
        assert!(written.into_iter().all(is_placeholder));
        assert!(!["nginx", "nginx:1", "reg.io/nginx:alpine", "Not an image"].into_iter().any(is_placeholder));
    }
}
