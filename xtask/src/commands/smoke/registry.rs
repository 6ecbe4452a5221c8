//! The registry has every image that should run.

use std::sync::Arc;
use std::time::Instant;

use super::timing::Times;
use crate::image::reference::ImageReference;
use crate::kubernetes::smoke::report::Check;
use crate::registry::Client;
use crate::system::parallel::{self, Later};

/// Requests to the registry at once.
pub(super) const JOBS: usize = 16;

/// Images that are being looked up.
pub(super) struct Lookup {
    images: Vec<(String, ImageReference)>,
    found: Later<Vec<Check>>,
}

impl Lookup {
    /// Begins to look up images, of these components.
    pub(super) fn start(client: &Arc<Client>, images: Vec<(String, ImageReference)>, started: Instant) -> Self {
        let (client, asked) = (Arc::clone(client), images.clone());
        let found =
            parallel::start(move || parallel::map(asked, JOBS, |(name, image)| check(&client, &name, &image, started)));
        Lookup { images, found }
    }

    /// A check for each.
    pub(super) fn checks(&self, times: Times) -> Vec<Check> {
        self.found.until(times.deadline).unwrap_or_else(|| {
            let seconds = times.started.elapsed().as_secs_f64();
            let unknown = |(name, image): &(String, ImageReference)| {
                let message = format!("time was up before the registry answered for {image}");
                Check::failed("registry", name, "unknown", message, seconds)
            };
            self.images.iter().map(unknown).collect()
        })
    }
}

fn check(client: &Client, name: &str, image: &ImageReference, started: Instant) -> Check {
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
}
