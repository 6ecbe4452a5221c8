//! `bases --check`: whether tags still name what builds use.

use anyhow::{Error, Result};

use super::{Listed, Newer, State, age_of};
use crate::errors::{hinted, joined};
use crate::image::images_lock::{IMAGES_LOCK, UPDATE, tagged};
use crate::image::reference::{Digest, ImageReference};
use crate::registry::Client;
use crate::system::parallel;

/// Looks at all images, and gives what is wrong with them.
pub(super) fn check(client: &Client, listed: Vec<Listed>) -> (Vec<Listed>, Option<Error>) {
    let looked_at = parallel::map(listed, parallel::REQUESTS, |mut image| {
        let error = match look(client, &mut image) {
            Ok(()) => verdict(&image),
            Err(error) => {
                image.state = State::Unknown;
                Some(error.context(format!("cannot tell whether `{}` moved on", image.image)))
            }
        };
        (image, error)
    });
    for (image, _) in looked_at.iter().filter(|(image, _)| image.state == State::Stale) {
        eprintln!("warning: no setting uses `{}` of `{IMAGES_LOCK}`: {UPDATE} drops it", image.image);
    }
    let (listed, errors): (Vec<_>, Vec<_>) = looked_at.into_iter().unzip();
    (listed, joined(errors.into_iter().flatten().collect()))
}

/// Asks the registries about an image.
fn look(client: &Client, image: &mut Listed) -> Result<()> {
    let Some(reference) = &image.reference else { return Ok(()) };
    match image.state {
        State::Local => {
            // Whoever builds such an image may have no registry at all.
            if let Ok(Some(found)) = client.head_manifest(&tagged(reference)) {
                *image = moved(client, image, reference, found.digest)?;
            }
        }
        State::Locked | State::Fixed => {
            let Some((place, digest)) = image.place.as_ref().zip(image.digest.as_ref()) else { return Ok(()) };
            let Some(created) = client.created(&place.with_digest(digest.clone()))? else {
                image.state = State::Gone;
                return Ok(());
            };
            image.created = created;
            if image.state == State::Fixed && reference.tag.is_none() {
                image.state = State::Current;
                return Ok(());
            }
            match client.head_manifest(&tagged(reference))? {
                None => image.state = State::Untagged,
                Some(found) if found.digest == *digest => image.state = State::Current,
                Some(found) => *image = moved(client, image, reference, found.digest)?,
            }
        }
        _ => {}
    }
    Ok(())
}

fn moved(client: &Client, image: &Listed, reference: &ImageReference, digest: Digest) -> Result<Listed> {
    let created = client.created(&reference.with_digest(digest.clone()))?.flatten();
    Ok(Listed { state: State::Moved, now: Some(Newer { digest, created }), ..image.clone() })
}

/// What is wrong with an image that was looked at.
fn verdict(image: &Listed) -> Option<Error> {
    let name = &image.image;
    let is_fixed = image.reference.as_ref().is_some_and(|reference| reference.digest.is_some());
    let is_copy = image.place.as_ref().zip(image.reference.as_ref()).is_some_and(|(at, from)| at.name() != from.name());
    let mend = || match image.state {
        State::Gone if is_copy => "`cargo xtask bases --mirror` copies it there".to_owned(),
        State::Untagged => format!("name another in `{}`", image.used_as.join("`, `")),
        _ if is_fixed => format!("write another digest in `{}`", image.used_as.join("`, `")),
        _ => format!("{UPDATE} takes what the tag names now"),
    };
    match (image.state, &image.now) {
        (State::Moved, Some(now)) => {
            let used = image
                .digest
                .as_ref()
                .map_or("the engine's own".to_owned(), |digest| described(digest, image.created.as_deref()));
            let now = described(&now.digest, now.created.as_deref());
            Some(hinted(format!("`{name}` moved on: builds use {used}, its registry has {now}"), mend()))
        }
        (State::Gone, _) => {
            let place = image.place.as_ref().map(ImageReference::to_string).unwrap_or_default();
            Some(hinted(format!("`{place}` is gone from its registry"), mend()))
        }
        (State::Untagged, _) => Some(hinted(format!("the tag of `{name}` is gone from its registry"), mend())),
        (State::Unlocked, _) => {
            Some(hinted(format!("`{name}` is not in `{IMAGES_LOCK}`"), format!("{UPDATE} holds it to a digest")))
        }
        _ => None,
    }
}

fn described(digest: &Digest, created: Option<&str>) -> String {
    match age_of(created) {
        Some(age) => format!("`{digest}`, {age} old"),
        None => format!("`{digest}`, which does not say how old it is"),
    }
}
