//! What will be built, adopted, pushed and tagged, and why.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

use super::lookup::{Decision, Wanted, look_up};
use crate::commands::build::plan::{BuildPlan, PlannedImage, PlannedPlatform};
use crate::errors::{all, hinted};
use crate::gather::repositories::repository;
use crate::image::platform::Platform;
use crate::image::record::{DigestRecord, RecordedImage};
use crate::image::reference::{Digest, ImageReference, Registry, Tag};
use crate::image::tags::{Tags, inputs_tag};
use crate::registry::{Client, Found, RemoteImage};
use crate::system::parallel;
use crate::workspace::input_summary::InputSummary;

pub(crate) struct PlannedComponent {
    pub(crate) name: String,
    pub(crate) repository: ImageReference,
    /// The tag under which an image of these inputs is found.
    pub(crate) inputs_tag: Tag,
    /// Input hash of each platform.
    pub(crate) hashes: BTreeMap<Platform, String>,
    /// Build or adopt.
    pub(crate) decision: Decision,
}

impl PlannedComponent {
    /// Whether the registry lacks it.
    pub(crate) fn is_built(&self) -> bool {
        matches!(self.decision, Decision::Build { .. })
    }
}

/// What an image in a repository lacks, in words.
pub(crate) type Lacks<'a> = dyn Fn(&ImageReference, &RemoteImage) -> Result<Option<String>> + Sync + 'a;

/// Asks the registry about each image of `build` and decides. `tags` are those that it will get;
/// nothing with `--by-digest`. With `is_push`, what has to be built must be allowed to be pushed. `lacks` says what an
/// image that could be adopted has not that a build would give it: then it is built.
///
/// # Errors
/// As [`look_up`], for all components at once; a push that the registry would refuse.
pub(crate) fn plan(
    client: &Client,
    build: &BuildPlan<'_>,
    registry: Option<&Registry>,
    tags: &Tags,
    rebuild: bool,
    is_push: bool,
    lacks: &Lacks<'_>,
) -> Result<Vec<PlannedComponent>> {
    let planned = parallel::map(build.images.iter().collect(), parallel::REQUESTS, |image: &PlannedImage<'_>| {
        let name = image.component.name.clone();
        let repository = repository(build.workspace, &name, registry)?;
        let hashes: BTreeMap<Platform, String> =
            image.platforms.iter().map(|planned| (planned.platform.clone(), planned.input_hash.to_string())).collect();
        let inputs_tag = inputs_tag(&joint_hash(hashes.values()));
        let summary = |planned: &PlannedPlatform| (planned.platform.clone(), InputSummary::of(&planned.inputs));
        let wanted = Wanted {
            repository: &repository,
            hashes: hashes.clone(),
            inputs_tag: &inputs_tag,
            tags: &tags.all,
            summaries: &|| image.platforms.iter().map(summary).collect(),
        };
        let decision = look_up(client, &wanted, rebuild).with_context(|| format!("cannot publish `{name}`"))?;
        let decision = match decision {
            Decision::Adopt { image, why, named_by } => match lacks(&repository, &image)? {
                Some(why) => Decision::Build { why },
                None => Decision::Adopt { image, why, named_by },
            },
            build => build,
        };
        if is_push && matches!(decision, Decision::Build { .. }) {
            client.check_push(&repository).with_context(|| format!("cannot publish `{name}`"))?;
        }
        Ok(PlannedComponent { name, repository, inputs_tag, hashes, decision })
    });
    all(planned)
}

/// The hash of an image: its platform's, or one over those of its platforms (in their order).
pub(crate) fn joint_hash<'a>(mut hashes: impl ExactSizeIterator<Item = &'a String>) -> String {
    match hashes.len() {
        1 => hashes.next().cloned().unwrap_or_default(),
        _ => Digest::of(hashes.map(|hash| format!("{hash}\n")).collect::<String>().as_bytes()).hex().to_owned(),
    }
}

/// The entries of the previous record for components that are not published now, checked: the
/// registry still has them, whole.
///
/// # Errors
/// An entry of another repository than the component has now; an image that is gone, or a part of it.
pub(crate) fn carried(
    client: &Client,
    previous: &DigestRecord,
    others: &[(String, ImageReference)],
) -> Result<BTreeMap<String, RecordedImage>> {
    let entries: Vec<_> =
        others.iter().filter_map(|(name, repository)| Some((name, repository, previous.images.get(name)?))).collect();
    let checked = parallel::map(entries, parallel::REQUESTS, |(name, repository, entry)| {
        let mend = "publish all components to begin a new record";
        if entry.repository != repository.name() {
            let (had, has) = (&entry.repository, repository.name());
            let error = format!("the previous record has `{name}` in `{had}`, and it belongs to `{has}` now");
            bail!(hinted(error, mend));
        }
        let image = &entry.image;
        match client.find(image)? {
            Found::Whole(_) => Ok((name.clone(), entry.clone())),
            Found::Lacks(part) => {
                bail!(hinted(format!("the previous record names an image that is not whole any more: {part}"), mend))
            }
            Found::Nothing => {
                let error = format!("the previous record names `{image}`, which the registry does not have any more");
                bail!(hinted(error, mend))
            }
        }
    });
    Ok(all(checked)?.into_iter().collect())
}
