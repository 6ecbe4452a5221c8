//! The registry has every image of the record.

use std::time::Instant;

use crate::image::record::DigestRecord;
use crate::image::reference::ImageReference;
use crate::kubernetes::smoke::report::Check;
use crate::registry::Client;
use crate::system::parallel;

/// Requests to the registry at once.
pub(super) const JOBS: usize = 16;

/// Looks up all images of the record, a check for each.
pub(super) fn check(client: &Client, record: &DigestRecord, started: Instant) -> Vec<Check> {
    let images: Vec<(&String, &ImageReference)> =
        record.images.iter().map(|(name, image)| (name, &image.image)).collect();
    parallel::map(images, JOBS, |(name, image)| {
        let found = client.head_manifest(image);
        let seconds = started.elapsed().as_secs_f64();
        match found {
            Ok(Some(_)) => Check::ok("registry", name, seconds),
            Ok(None) => {
                let message = format!("the registry does not have {image}; `cargo xtask publish` pushes it");
                Check::failed("registry", name, "not-in-registry", message, seconds)
            }
            Err(error) => Check::failed("registry", name, "registry-unreachable", format!("{error:#}"), seconds),
        }
    })
}
