//! `bases --update`: writes what each tag names now.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde::Serialize;

use super::key;
use crate::cli::BasesArgs;
use crate::commands::table::table;
use crate::commands::{Outcome, print};
use crate::compile::engine::Engine;
use crate::errors::all;
use crate::gather::workspace::Workspace;
use crate::image::images_lock::{IMAGES_LOCK, ImagesLock, Locked};
use crate::image::reference::ImageReference;
use crate::registry::Client;
use crate::system::files::write_atomically;
use crate::system::parallel;
use crate::system::progress::Progress;

/// What becomes of an entry.
#[derive(Serialize)]
struct Change {
    image: ImageReference,
    change: &'static str,
    /// `sha256:…`, or `local`.
    locked: Option<String>,
    was: Option<String>,
}

/// Resolves all tags, then writes the file; or only says what it would hold.
///
/// # Errors
/// A tag that cannot be resolved: then the file stays as it was.
pub(super) fn run(workspace: &Workspace, client: &Client, arguments: &BasesArgs) -> Result<Outcome> {
    let old = workspace.images.clone().unwrap_or_default();
    let mut wanted: BTreeMap<ImageReference, bool> = BTreeMap::new();
    for image in workspace.images_in_use()? {
        let Some(key) = key(&image) else { continue };
        *wanted.entry(key).or_insert(true) &= image.is_builder();
    }
    let found = parallel::map(wanted.into_iter().collect(), parallel::REQUESTS, |(image, is_builder)| {
        let found = client.resolve(&image).map(Locked::Digest);
        let may_be_local = is_builder && !matches!(old.0.get(&image), Some(Locked::Digest(_)));
        let locked = if may_be_local { found.or_else(|error| local(&image, error)) } else { found };
        locked.with_context(|| format!("cannot find out what `{image}` names")).map(|locked| (image, locked))
    });
    let new = all(found).with_context(|| format!("`{IMAGES_LOCK}` is as it was"))?;
    let new = ImagesLock(new.into_iter().collect());
    let changes = changes(&old, &new);
    match arguments.json {
        true => print(&(serde_json::to_string_pretty(&changes)? + "\n"))?,
        false => print_table(&changes)?,
    }
    let path = workspace.root().join(IMAGES_LOCK);
    // Without tags there is nothing that a file could hold.
    if workspace.images.as_ref() == Some(&new) || (workspace.images.is_none() && new.0.is_empty()) {
        eprintln!("nothing to write");
    } else if arguments.dry_run {
        eprintln!("would write {path}");
    } else {
        write_atomically(&path, new.text().as_bytes())?;
        eprintln!("wrote {path}; where Dockerfiles are committed, `cargo xtask dockerfiles` is next");
    }
    Ok(Outcome::Done)
}

/// A builder image that was made here: no registry knows its digest. One that was pulled has a registry, and waits
/// for that.
fn local(image: &ImageReference, error: anyhow::Error) -> Result<Locked> {
    let engine = Engine::find(None).ok().filter(|engine| !engine.is_silent);
    match engine.and_then(|engine| engine.local_image(&familiar(image))) {
        Some((None, _)) => {
            let text = format!("`{image}` was made here, and is left to each machine's engine (`local`)");
            Progress::new().warn(&error.context(text));
            Ok(Locked::Local)
        }
        _ => Err(error),
    }
}

/// As engines name images of Docker Hub.
fn familiar(image: &ImageReference) -> String {
    let name = image.to_string();
    let name = name.strip_prefix("docker.io/").unwrap_or(&name);
    name.strip_prefix("library/").unwrap_or(name).to_owned()
}

fn changes(old: &ImagesLock, new: &ImagesLock) -> Vec<Change> {
    let images: BTreeSet<_> = old.0.keys().chain(new.0.keys()).collect();
    let change = |image: &ImageReference| {
        let (was, locked) = (old.0.get(image), new.0.get(image));
        let change = match (was, locked) {
            (None, _) => "new",
            (Some(_), None) => "dropped",
            (was, locked) if was == locked => "unchanged",
            _ => "moved",
        };
        let text = |locked: Option<&Locked>| locked.map(Locked::to_string);
        Change { image: image.clone(), change, locked: text(locked), was: text(was) }
    };
    images.into_iter().map(change).collect()
}

fn print_table(changes: &[Change]) -> Result<()> {
    let cell = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let row = |change: &Change| {
        let was =
            change.was.as_ref().filter(|_| change.change != "unchanged").map(|was| was.chars().take(19).collect());
        vec![change.image.to_string(), change.change.to_owned(), cell(&was), cell(&change.locked)]
    };
    if changes.is_empty() {
        return Ok(());
    }
    print(&table(&["IMAGE", "CHANGE", "WAS", "DIGEST"], &changes.iter().map(row).collect::<Vec<_>>()))
}
