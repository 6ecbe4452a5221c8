//! Whole images from a layout or a registry into a repository: blobs first, then what names them.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::{Context, Result};

use super::blob_locations::BlobLocation;
use super::client::{Client, PUSH};
use super::push::{BlobUpload, PushOutcome};
use crate::image::manifest::{AnyManifest, Descriptor};
use crate::image::reference::{Digest, ImageReference, Registry, Repository};
use crate::system::parallel;

/// Where an image comes from. Threads share one.
pub(crate) trait ImageSource: Sync {
    /// Reads a manifest, index or config, checking its digest.
    ///
    /// # Errors
    /// It is missing, or damaged.
    fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>>;

    /// Opens a blob, of any size, from its beginning.
    ///
    /// # Errors
    /// It is missing, or damaged as far as that is known before it is read.
    fn blob(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>>;

    /// Repositories of `registry` that have its blobs.
    fn mount_candidates(&self, registry: &Registry) -> Vec<Repository> {
        let _ = registry;
        Vec::new()
    }
}

/// A repository of a registry.
pub(crate) struct RegistrySource<'a> {
    pub(crate) client: &'a Client,
    /// The repository; tag and digest do not matter.
    pub(crate) reference: ImageReference,
}

impl ImageSource for RegistrySource<'_> {
    fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        Ok(self.client.get_manifest(&self.reference.with_digest(descriptor.digest.clone()))?.bytes)
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>> {
        Ok(Box::new(self.client.open_blob(&self.reference, &descriptor.digest, descriptor.size)?))
    }

    fn mount_candidates(&self, registry: &Registry) -> Vec<Repository> {
        let is_same = self.reference.registry == *registry;
        is_same.then(|| self.reference.repository.clone()).into_iter().collect()
    }
}

/// What a transfer did. All zero: everything was there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Transferred {
    /// Bytes of blobs sent, those of tries that failed included.
    pub(crate) sent_bytes: u64,
    pub(crate) uploaded: usize,
    /// Blobs that the registry took from another repository.
    pub(crate) mounted: usize,
    /// Blobs that were there.
    pub(crate) existing: usize,
    pub(crate) manifests: usize,
}

/// Makes `descriptor` (a manifest or index) and all it leads to exist in `target`'s repository, by
/// digest, without any tag: all blobs first, `jobs` at once, then manifests, an index last. All are asked about,
/// also what a manifest names that is there: registries delete what they are told to. Blobs are mounted where this client has seen them, or from `mount_from`, repositories of the target's registry: each of
/// several costs a request per blob. `on_bytes(n)` is called with each `n` bytes sent.
///
/// # Errors
/// The first that occurs; what was sent by then stays and is not sent again by the next run.
pub(crate) fn transfer(
    client: &Client,
    source: &dyn ImageSource,
    descriptor: &Descriptor,
    target: &ImageReference,
    mount_from: &[Repository],
    jobs: usize,
    on_bytes: &(dyn Fn(u64) + Sync),
) -> Result<Transferred> {
    let sent = AtomicU64::new(0);
    let count = |bytes: u64| {
        sent.fetch_add(bytes, Ordering::Relaxed);
        on_bytes(bytes);
    };
    let mut mount_from = mount_from.to_vec();
    mount_from.extend(source.mount_candidates(&target.registry));
    mount_from.sort();
    mount_from.dedup();
    let transfer = Transfer { client, source, target, mount_from, jobs, on_bytes: &count };
    let mut done = transfer.run(descriptor)?;
    done.sent_bytes = sent.into_inner();
    Ok(done)
}

struct Transfer<'a> {
    client: &'a Client,
    source: &'a dyn ImageSource,
    target: &'a ImageReference,
    mount_from: Vec<Repository>,
    jobs: usize,
    on_bytes: &'a (dyn Fn(u64) + Sync),
}

/// What the target lacks, or may lack.
#[derive(Default)]
struct Missing {
    /// Manifests and indexes with their bytes, each after those it names.
    manifests: Vec<(Descriptor, Vec<u8>)>,
    /// All blobs: whether they are there is asked when they are sent.
    blobs: BTreeMap<Digest, Descriptor>,
}

impl Transfer<'_> {
    fn run(&self, descriptor: &Descriptor) -> Result<Transferred> {
        let mut missing = Missing::default();
        self.collect_missing(descriptor, &mut missing)?;
        let mut done = self.send_blobs(missing.blobs.into_values().collect())?;
        for (descriptor, bytes) in &missing.manifests {
            self.client.put_manifest(&self.by_digest(&descriptor.digest), &descriptor.media_type, bytes)?;
            done.manifests += 1;
        }
        Ok(done)
    }

    /// Collects what is missing of `descriptor` and what it leads to.
    fn collect_missing(&self, descriptor: &Descriptor, missing: &mut Missing) -> Result<()> {
        let is_known = missing.manifests.iter().any(|(known, _)| known.digest == descriptor.digest);
        if is_known {
            return Ok(());
        }
        let is_there = self.client.head_manifest_to(&self.by_digest(&descriptor.digest), PUSH)?.is_some();
        let bytes = self.source.document(descriptor)?;
        let named = || format!("cannot push `{}`", descriptor.digest);
        match AnyManifest::parse(&bytes, &descriptor.media_type).with_context(named)? {
            AnyManifest::Image(manifest) => {
                for blob in manifest.kept_layers().chain([&manifest.config]) {
                    missing.blobs.insert(blob.digest.clone(), blob.clone());
                }
            }
            AnyManifest::Index(index) => {
                for child in &index.manifests {
                    self.collect_missing(child, missing)?;
                }
            }
        }
        if !is_there {
            missing.manifests.push((descriptor.clone(), bytes));
        }
        Ok(())
    }

    fn send_blobs(&self, mut blobs: Vec<Descriptor>) -> Result<Transferred> {
        // The largest first, or it would be sent alone at the end.
        blobs.sort_by_key(|blob| std::cmp::Reverse(blob.size));
        let failed = AtomicBool::new(false);
        let arrivals = parallel::map(blobs, self.jobs, |blob| {
            if failed.load(Ordering::Relaxed) {
                return None;
            }
            let arrival = self.send_blob(&blob);
            failed.fetch_or(arrival.is_err(), Ordering::Relaxed);
            Some(arrival)
        });
        let mut done = Transferred::default();
        for arrival in arrivals.into_iter().flatten() {
            match arrival? {
                PushOutcome::Existed => done.existing += 1,
                PushOutcome::Mounted => done.mounted += 1,
                PushOutcome::Uploaded => done.uploaded += 1,
            }
        }
        Ok(done)
    }

    fn send_blob(&self, blob: &Descriptor) -> Result<PushOutcome> {
        let open = || self.source.blob(blob);
        let outgoing = BlobUpload { descriptor: blob, open: &open, on_bytes: self.on_bytes };
        match self.client.locations.locate(&self.target.registry, &blob.digest) {
            BlobLocation::In(repository) if repository == self.target.repository => Ok(PushOutcome::Existed),
            BlobLocation::In(repository) => self.client.push_blob(self.target, &outgoing, &[repository]),
            BlobLocation::Unknown(claim) => {
                let arrival = self.client.push_blob(self.target, &outgoing, &self.mount_from)?;
                claim.arrived(&self.target.repository);
                Ok(arrival)
            }
        }
    }

    fn by_digest(&self, digest: &Digest) -> ImageReference {
        self.target.with_digest(digest.clone())
    }
}
