//! What is attached to published images: lists of what they are made of, and how they were made.

use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow};

use super::apply::Published;
use crate::commands::build::builder::Builder;
use crate::commands::build::plan::BuildPlan;
use crate::commands::sbom::{bases, bill};
use crate::commands::sign::{Made, statement};
use crate::errors::all;
use crate::gather::ci::{CiState, run};
use crate::gather::workspace::Workspace;
use crate::image::labels::ATTACHMENT;
use crate::image::platform::Platform;
use crate::image::reference::{Digest, ImageReference};
use crate::registry::{Attachment, Client, RemoteImage};
use crate::sbom::bill::Base;
use crate::sbom::provenance::{self, Build, Source};
use crate::sbom::{cyclonedx, spdx};
use crate::system::parallel;
use crate::system::progress::Progress;
use crate::workspace::components::Component;
use crate::workspace::inputs::Inputs;
use crate::workspace::rust_target::RustTarget;
use crate::workspace::settings::Attestation;

const SBOM: &str = "sbom";
const PROVENANCE: &str = "provenance";

/// What has to be known of a build before it is carried out.
pub(super) struct Attestations<'a> {
    workspace: &'a Workspace,
    kinds: &'a [Attestation],
    images: BTreeMap<&'a str, PlannedImage<'a>>,
    builder: String,
    base: Option<(String, Digest)>,
}

struct PlannedImage<'a> {
    component: &'a Component,
    version: String,
    created: i64,
    revision: String,
    inputs: BTreeMap<Platform, Inputs>,
}

impl<'a> Attestations<'a> {
    /// Of `kinds`, for what `plan` would build.
    pub(super) fn of(plan: &BuildPlan<'a>, kinds: &'a [Attestation]) -> Self {
        // Copies of all inputs, for nothing else.
        let images = plan.images.iter().filter(|_| !kinds.is_empty()).map(|image| {
            let planned = PlannedImage {
                component: image.component,
                version: image.version.clone(),
                created: image.created,
                revision: image.revision.clone(),
                inputs: image
                    .platforms
                    .iter()
                    .map(|planned| (planned.platform.clone(), planned.inputs.clone()))
                    .collect(),
            };
            (image.component.name.as_str(), planned)
        });
        Attestations {
            workspace: plan.workspace,
            kinds,
            images: images.collect(),
            builder: match &plan.builder {
                Builder::Native(_) => "native".to_owned(),
                Builder::Engine(builder) => builder.engine.program.rsplit('/').next().unwrap_or_default().to_owned(),
            },
            base: plan.base.as_ref().map(|base| (base.said.clone(), base.digest.clone())),
        }
    }

    /// Attaches them to each platform's image in `published`. An adopted image gets the list that it lacks, which its
    /// inputs decide as they decide it; how it was made, only who made it can say. What is signed (`is_signed`) is made
    /// anew, whatever lies there. Gives what this run made.
    ///
    /// # Errors
    /// The base's packages cannot be read; the registry refuses.
    pub(super) fn attach(
        &self,
        client: &Client,
        published: &[Published],
        ci: &CiState,
        is_signed: bool,
        progress: &Progress,
    ) -> Result<Made> {
        let work = published.iter().flat_map(|image| {
            image.platforms.iter().map(move |(platform, recorded)| (image, platform, &recorded.digest))
        });
        let lacking = parallel::map(work.collect(), parallel::REQUESTS, |(image, platform, digest)| {
            let lacks_list = self.kinds.contains(&Attestation::Sbom)
                && (is_signed || image.sent.is_some() || !has_list(client, &image.repository, digest)?);
            Ok((image, platform, digest, lacks_list))
        });
        let lacking = all(lacking)?;
        let bases = match lacking.iter().any(|(.., lacks_list)| *lacks_list) {
            true => bases(self.workspace, progress)?,
            false => BTreeMap::new(),
        };
        let attached = parallel::map(lacking, parallel::REQUESTS, |(image, platform, digest, lacks_list)| {
            let base = bases.get(platform).filter(|_| lacks_list).cloned();
            let documents = self.documents(image, platform, digest, lacks_list, base, ci)?;
            let statements: Result<Vec<_>> = documents.iter().map(|one| statement(digest, one)).collect();
            let made = (digest.clone(), statements?);
            if documents.is_empty() {
                return Ok(made);
            }
            let attached = client.attach(&image.repository, digest, documents)?;
            if attached.is_new {
                progress.say(&format!("{}: attached what it is made of to {digest}", image.name));
            }
            for old in attached.left {
                progress.warn(&anyhow!("{}: the registry still lists `{old}`, which was replaced", image.name));
            }
            Ok(made)
        });
        let made =
            all(attached).context("the images are pushed, but what is to be attached to them is not; run it again")?;
        Ok(made.into_iter().collect())
    }

    fn documents(
        &self,
        image: &Published,
        platform: &Platform,
        digest: &Digest,
        lacks_list: bool,
        base: Option<Base>,
        ci: &CiState,
    ) -> Result<Vec<Attachment>> {
        let Some(planned) = self.images.get(image.name.as_str()) else { return Ok(Vec::new()) };
        let mut documents = Vec::new();
        if lacks_list {
            let PlannedImage { component, version, created, .. } = planned;
            let bill = bill(self.workspace, component, platform, version, *created, base)?;
            documents.push(Attachment::new(SBOM, cyclonedx::MEDIA_TYPE, cyclonedx::text(&bill).into_bytes()));
            documents.push(Attachment::new(SBOM, spdx::MEDIA_TYPE, spdx::text(&bill).into_bytes()));
        }
        if image.sent.is_some() && self.kinds.contains(&Attestation::Provenance) {
            let statement = self.provenance(planned, &image.repository, platform, digest, ci)?;
            let attachment = Attachment::new(PROVENANCE, provenance::MEDIA_TYPE, statement.into_bytes());
            documents.push(attachment.annotated("in-toto.io/predicate-type", provenance::PREDICATE));
        }
        Ok(documents)
    }

    fn provenance(
        &self,
        planned: &PlannedImage<'_>,
        repository: &ImageReference,
        platform: &Platform,
        digest: &Digest,
        ci: &CiState,
    ) -> Result<String> {
        let settings = &self.workspace.packages.settings;
        Ok(provenance::text(&Build {
            component: planned.component,
            platform,
            repository: &repository.name(),
            digest,
            builder: &self.builder,
            target: &RustTarget::new(platform, settings.linkage)?.triple,
            selection: self.workspace.selection.cargo_arguments(),
            inputs: planned.inputs.get(platform).with_context(|| format!("`{platform}` was not planned"))?,
            source: Source { commit: &ci.commit, is_clean: ci.is_clean, revision: &planned.revision, run: run() },
            lock: Digest::of(self.workspace.lock_text.as_bytes()),
            base: self.base.clone(),
        }))
    }
}

/// Whether provenance is wanted, and a platform of an image has none.
///
/// # Errors
/// The registry cannot be asked.
pub(super) fn lacks_provenance(
    client: &Client,
    kinds: &[Attestation],
    repository: &ImageReference,
    image: &RemoteImage,
) -> Result<bool> {
    if !kinds.contains(&Attestation::Provenance) {
        return Ok(false);
    }
    for platform in image.recorded().values() {
        let attached = client.referrers(repository, &platform.digest)?;
        let is_it = |found: &crate::registry::Referrer| {
            found.annotation(ATTACHMENT) == Some(PROVENANCE) && found.artifact_type() == provenance::MEDIA_TYPE
        };
        if !attached.iter().any(is_it) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn has_list(client: &Client, repository: &ImageReference, digest: &Digest) -> Result<bool> {
    let types = [cyclonedx::MEDIA_TYPE, spdx::MEDIA_TYPE];
    let attached = client.referrers_of_types(repository, digest, &types)?;
    let has = |kind| {
        let is_ours = |found: &&crate::registry::Referrer| found.annotation(ATTACHMENT) == Some(SBOM);
        attached.iter().filter(is_ours).any(|found| found.artifact_type() == kind)
    };
    Ok(types.into_iter().all(has))
}
