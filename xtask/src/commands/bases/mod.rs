//! `bases`: the images that builds start from, by digest.

mod check;
mod mirror;
mod update;

use anyhow::Result;
use camino::Utf8Path;
use serde::Serialize;

use super::environments::own_client;
use super::table::{age, table};
use super::{Outcome, print};
use crate::cli::BasesArgs;
use crate::gather::bases::ImageInUse;
use crate::gather::workspace::Workspace;
use crate::image::images_lock::{Locked, tagged};
use crate::image::reference::{Digest, ImageReference};
use crate::image::time::parse_rfc3339;
use crate::system::clock;

/// An image that settings name, or that the lock holds.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Listed {
    image: String,
    used_as: Vec<String>,
    state: State,
    /// What builds use, where that is known.
    digest: Option<Digest>,
    /// When that was made, RFC 3339; nothing when it does not say, or nobody asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<String>,
    /// What the tag names now, where that is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    now: Option<Newer>,
    #[serde(skip)]
    reference: Option<ImageReference>,
    /// Where builds pull it from.
    #[serde(skip)]
    place: Option<ImageReference>,
}

/// What a tag names now.
#[derive(Clone, Debug, Serialize)]
struct Newer {
    digest: Digest,
    created: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// The lock holds its tag to a digest.
    Locked,
    /// The setting does.
    Fixed,
    /// Nothing holds its tag.
    Unlocked,
    /// Left to the engine by the lock.
    Local,
    /// An OCI layout.
    Layout,
    /// An entry of the lock that no setting uses.
    Stale,
    /// Looked at: the tag names it, or it has none.
    Current,
    /// The tag names another.
    Moved,
    /// The registry does not have it.
    Gone,
    /// The registry has it, and its tag no more.
    Untagged,
    /// The registry could not be asked.
    Unknown,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            State::Locked => "locked",
            State::Fixed => "fixed",
            State::Unlocked => "unlocked",
            State::Local => "local",
            State::Layout => "layout",
            State::Stale => "stale",
            State::Current => "current",
            State::Moved => "moved",
            State::Gone => "gone",
            State::Untagged => "untagged",
            State::Unknown => "unknown",
        }
    }
}

/// Lists, checks, updates or mirrors.
pub(crate) fn run(manifest: Option<&Utf8Path>, arguments: &BasesArgs) -> Result<Outcome> {
    let workspace = Workspace::load(manifest, &[])?;
    let client = own_client(&arguments.insecure_registry);
    if arguments.update {
        return update::run(&workspace, &client, arguments);
    }
    let listed = listed(&workspace)?;
    if let Some(named) = &arguments.mirror {
        return mirror::run(&workspace, &client, listed, named.as_ref(), arguments);
    }
    let (listed, failed) = match arguments.check {
        true => check::check(&client, listed),
        false => (listed, None),
    };
    match arguments.json {
        true => print(&(serde_json::to_string_pretty(&listed)? + "\n"))?,
        false => print_table(&listed, arguments.check)?,
    }
    failed.map_or(Ok(Outcome::Done), Err)
}

/// All that settings name, then what the lock has beyond that.
fn listed(workspace: &Workspace) -> Result<Vec<Listed>> {
    let in_use = workspace.images_in_use()?;
    let lock = workspace.images.iter().flat_map(|lock| &lock.0);
    let is_used = |entry: &ImageReference| in_use.iter().any(|image| key(image).as_ref() == Some(entry));
    let stale = lock.filter(|(entry, _)| !is_used(entry)).map(|(entry, locked)| Listed {
        image: entry.to_string(),
        used_as: Vec::new(),
        state: State::Stale,
        digest: locked.digest().cloned(),
        created: None,
        now: None,
        reference: None,
        place: None,
    });
    let stale: Vec<_> = stale.collect();
    in_use.into_iter().map(|image| listed_image(workspace, image)).chain(stale.into_iter().map(Ok)).collect()
}

/// The entry of the lock that an image needs; nothing where the setting says what it is.
fn key(image: &ImageInUse) -> Option<ImageReference> {
    image.reference.as_ref().filter(|reference| reference.digest.is_none()).map(tagged)
}

fn listed_image(workspace: &Workspace, image: ImageInUse) -> Result<Listed> {
    let locked = key(&image).map(|key| workspace.images.as_ref().and_then(|lock| lock.0.get(&key)));
    let (state, digest) = match (&image.reference, locked) {
        (None, _) => (State::Layout, None),
        (Some(reference), None) => (State::Fixed, reference.digest.clone()),
        (_, Some(None)) => (State::Unlocked, None),
        (_, Some(Some(Locked::Local))) => (State::Local, None),
        (_, Some(Some(Locked::Digest(digest)))) => (State::Locked, Some(digest.clone())),
    };
    let place = match digest {
        Some(_) => Some(workspace.pin(&image.image)?.reference.parse()?),
        None => None,
    };
    let ImageInUse { image, reference, used_as } = image;
    Ok(Listed { image, used_as, state, digest, created: None, now: None, reference, place })
}

/// How old an image is that says when it was made; those that are made to be the same again say 1970, or less.
fn age_of(created: Option<&str>) -> Option<String> {
    let at = parse_rfc3339(created?).and_then(|at| u64::try_from(at).ok()).filter(|at| *at > 0)?;
    Some(age(clock::now().unsigned_abs().saturating_sub(at)))
}

fn print_table(listed: &[Listed], is_checked: bool) -> Result<()> {
    let cell = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let row = |listed: &Listed| {
        let used_as = (!listed.used_as.is_empty()).then(|| listed.used_as.join(", "));
        let mut row = vec![listed.image.clone(), cell(used_as), listed.state.name().to_owned()];
        row.extend(is_checked.then(|| cell(age_of(listed.created.as_deref()))));
        row.push(cell(listed.digest.as_ref().map(Digest::to_string)));
        row
    };
    let header: &[&str] = match is_checked {
        true => &["IMAGE", "USED AS", "STATE", "AGE", "DIGEST"],
        false => &["IMAGE", "USED AS", "STATE", "DIGEST"],
    };
    print(&table(header, &listed.iter().map(row).collect::<Vec<_>>()))
}
