//! What the registry has of a component already, and so what has to be built.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use super::refusal::{Summaries, refusal};
use crate::image::labels::INPUT_HASH;
use crate::image::platform::Platform;
use crate::image::reference::{ImageReference, Tag};
use crate::image::tags::ImageTag;
use crate::registry::{Client, Found, RemoteImage};

/// A component's image as it is planned.
pub(crate) struct Wanted<'a> {
    pub(crate) repository: &'a ImageReference,
    /// Input hash of each platform.
    pub(crate) hashes: BTreeMap<Platform, String>,
    /// The tag under which an image of these inputs is found.
    pub(crate) inputs_tag: &'a Tag,
    /// The tags it is to get.
    pub(crate) tags: &'a [ImageTag],
    /// What of the inputs is said to people, asked when they matter.
    pub(crate) summaries: &'a dyn Fn() -> Summaries,
}

/// What is to be done for a component, and why.
pub(crate) enum Decision {
    /// The registry has it.
    Adopt {
        image: Box<RemoteImage>,
        why: String,
        /// Tags that name it already.
        named_by: BTreeSet<Tag>,
    },
    /// It has to be built.
    Build { why: String },
}

/// Asks the registry. Images are only adopted when they carry the input hash of each platform and
/// are whole.
///
/// # Errors
/// An immutable tag names an image of other inputs; the registry cannot be asked.
pub(crate) fn look_up(client: &Client, wanted: &Wanted<'_>, rebuild: bool) -> Result<Decision> {
    let mut decision = match rebuild {
        true => Decision::Build { why: "`--rebuild`".to_owned() },
        false => by_inputs(client, wanted)?,
    };
    // The tag that says which digest it must be, since it cannot move.
    let mut settled_by: Option<&Tag> = None;
    for tag in wanted.tags.iter().filter(|tag| tag.is_immutable) {
        let reference = wanted.repository.with_tag(tag.tag.clone());
        let Some(named) = client.head_manifest(&reference)? else { continue };
        settled_by = match &mut decision {
            Decision::Adopt { image, named_by, .. } if image.digest() == &named.digest => {
                named_by.insert(tag.tag.clone());
                Some(&tag.tag)
            }
            // Somebody built the same inputs before, with another compiler patch, say: the tag stays.
            _ => match client.find(&reference)? {
                // Tagging shows whether what is built is that very image.
                Found::Whole(image) if rebuild && is_of(&image, wanted) => settled_by,
                Found::Whole(image) if settled_by.is_none() && is_of(&image, wanted) => {
                    let why = format!("`{}` has the same inputs", tag.tag);
                    let named_by = BTreeSet::from([tag.tag.clone()]);
                    decision = Decision::Adopt { image, why, named_by };
                    Some(&tag.tag)
                }
                // It is made whole if what is built is that very image; tagging refuses another.
                Found::Lacks(part) if matches!(decision, Decision::Build { .. }) => {
                    decision = Decision::Build { why: part.to_string() };
                    settled_by
                }
                Found::Nothing => settled_by,
                found => {
                    let text = format!("`{reference}` names `{}`, another image, and does not move", named.digest);
                    return Err(refusal(text, &tag.tag, &found, wanted));
                }
            },
        };
    }
    Ok(decision)
}

fn by_inputs(client: &Client, wanted: &Wanted<'_>) -> Result<Decision> {
    let reference = wanted.repository.with_tag(wanted.inputs_tag.clone());
    Ok(match client.find(&reference)? {
        Found::Whole(image) if is_of(&image, wanted) => {
            let named_by = BTreeSet::from([wanted.inputs_tag.clone()]);
            Decision::Adopt { image, why: "same inputs as before".to_owned(), named_by }
        }
        Found::Whole(_) => Decision::Build { why: format!("the image under `{}` has other inputs", wanted.inputs_tag) },
        Found::Lacks(part) => Decision::Build { why: part.to_string() },
        Found::Nothing => Decision::Build { why: "the registry has no image of these inputs".to_owned() },
    })
}

/// Whether an image was made from exactly the planned inputs, for exactly the planned platforms.
fn is_of(image: &RemoteImage, wanted: &Wanted<'_>) -> bool {
    let labelled = image.platforms.iter().map(|(platform, image)| (platform, image.labels.get(INPUT_HASH)));
    labelled.eq(wanted.hashes.iter().map(|(platform, hash)| (platform, Some(hash))))
}
