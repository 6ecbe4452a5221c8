//! Where in its registry a blob is known to be, so that images pushed side by side send what they
//! share once and mount it from each other.

use std::collections::{HashMap, HashSet};
use std::sync::{Condvar, Mutex, MutexGuard};

use crate::image::reference::{Digest, ImageReference, Registry, Repository};

/// What a client has learned. Threads share it.
#[derive(Default)]
pub(super) struct BlobLocations {
    blobs: Mutex<HashMap<(Registry, Digest), State>>,
    changed: Condvar,
    /// Targets (`registry/repository`) and sources of mounts that we may not make.
    refused: Mutex<HashSet<(String, Repository)>>,
}

enum State {
    /// A thread looks for it or sends it.
    Uploading,
    /// It is there.
    In(Repository),
}

/// What to do about a blob.
pub(super) enum BlobLocation<'a> {
    /// Nobody else is at it: look, send it, and say where it is.
    Unknown(Claim<'a>),
    /// It is in this repository.
    In(Repository),
}

/// The sole right to send a blob to a registry; given back on drop.
pub(super) struct Claim<'a> {
    of: &'a BlobLocations,
    key: (Registry, Digest),
}

impl BlobLocations {
    /// Where the blob is; waits while another thread sends it, which saves sending it twice.
    pub(super) fn locate(&self, registry: &Registry, digest: &Digest) -> BlobLocation<'_> {
        let key = (registry.clone(), digest.clone());
        let mut blobs = self.blobs();
        loop {
            match blobs.get(&key) {
                Some(State::In(repository)) => return BlobLocation::In(repository.clone()),
                Some(State::Uploading) => {
                    blobs = self.changed.wait(blobs).unwrap_or_else(|poisoned| poisoned.into_inner());
                }
                None => {
                    blobs.insert(key.clone(), State::Uploading);
                    return BlobLocation::Unknown(Claim { of: self, key });
                }
            }
        }
    }

    /// Remembers that we may not mount from `source` to `target`'s repository: each try costs several
    /// requests.
    pub(super) fn refuse_mount(&self, target: &ImageReference, source: &Repository) {
        self.refused().insert((target.name(), source.clone()));
    }

    /// Whether nothing is known against mounting from `source` to `target`'s repository.
    pub(super) fn may_mount(&self, target: &ImageReference, source: &Repository) -> bool {
        !self.refused().contains(&(target.name(), source.clone()))
    }

    fn refused(&self) -> MutexGuard<'_, HashSet<(String, Repository)>> {
        self.refused.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn blobs(&self) -> MutexGuard<'_, HashMap<(Registry, Digest), State>> {
        // Every change is one insertion or removal: a panic elsewhere leaves it true.
        self.blobs.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Claim<'_> {
    /// The blob is in `repository` now.
    pub(super) fn arrived(self, repository: &Repository) {
        self.of.blobs().insert(self.key.clone(), State::In(repository.clone()));
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut blobs = self.of.blobs();
        if matches!(blobs.get(&self.key), Some(State::Uploading)) {
            // It did not arrive: the next thread tries.
            blobs.remove(&self.key);
        }
        drop(blobs);
        self.of.changed.notify_all();
    }
}
