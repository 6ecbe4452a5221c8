//! Why a tag that does not move stands in the way, and what to do.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Error;

use super::lookup::Wanted;
use crate::errors::{hinted, hinted_cause};
use crate::image::labels::{INPUT_HASH, INPUTS};
use crate::image::platform::Platform;
use crate::image::reference::Tag;
use crate::registry::{Found, RemoteImage};
use crate::workspace::input_summary::InputSummary;

/// What made each platform of an image, as far as that is known.
pub(crate) type Summaries = BTreeMap<Platform, InputSummary>;

/// What made an image that a registry has.
pub(crate) fn summaries(image: &RemoteImage) -> Summaries {
    let said = |labels: &BTreeMap<String, String>| InputSummary::parse(labels.get(INPUTS)?);
    let platforms = image.platforms.iter();
    platforms.filter_map(|(platform, image)| Some((platform.clone(), said(&image.labels)?))).collect()
}

/// The refusal to move `tag`, which names what was `found`, `described` so.
pub(crate) fn refusal(described: String, tag: &Tag, found: &Found, wanted: &Wanted<'_>) -> Error {
    match found {
        // The commit is the same, so what else made it is worth a look.
        Found::Whole(image) if wanted.tags.first().is_some_and(|first| first.tag == *tag) && has_inputs(image) => {
            let (there, here) = (summaries(image), (wanted.summaries)());
            hinted_cause(Error::msg(what_differs(image, &there, &here, wanted)), described, mend(&there, &here))
        }
        _ => hinted(described, "choose another tag, or list it in `mutable-tags`"),
    }
}

/// Whether an image says what it was made from, as ours do.
fn has_inputs(image: &RemoteImage) -> bool {
    image.platforms.values().any(|image| image.labels.contains_key(INPUT_HASH))
}

fn what_differs(image: &RemoteImage, there: &Summaries, here: &Summaries, wanted: &Wanted<'_>) -> String {
    let names = |platforms: Vec<&Platform>| platforms.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let (had, has) = (names(image.platforms.keys().collect()), names(wanted.hashes.keys().collect()));
    let platforms = (had != has).then(|| format!("platforms (there {had}, here {has})"));
    let both = there.iter().filter_map(|(platform, there)| Some((there, here.get(platform)?)));
    let inputs: BTreeSet<String> = both.flat_map(|(there, here)| there.differences(here)).collect();
    let differs: Vec<_> = platforms.into_iter().chain(inputs).collect();
    match (differs.is_empty(), there.values().next()) {
        (false, _) => format!("it was made from other inputs: {}", differs.join(", ")),
        (true, Some(there)) => {
            format!("it was made from other inputs, with {}; which they are is not known here", there.made_by())
        }
        (true, None) => {
            "it was made from other inputs, and does not say from which: it is of an older `cargo xtask`".into()
        }
    }
}

fn mend(there: &Summaries, here: &Summaries) -> String {
    let builder = |all: &Summaries| all.values().next().and_then(InputSummary::builder);
    let again = match (builder(there), builder(here)) {
        (Some(there), here) if Some(there) != here => {
            format!("publish this commit with `--builder {there}`, as before")
        }
        _ => "make it from the same inputs as before".to_owned(),
    };
    format!("{again}, or the next commit, whose tag is free; `cargo xtask components --inputs` lists all inputs here")
}
