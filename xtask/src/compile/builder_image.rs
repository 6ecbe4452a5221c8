//! The builder image of an engine's builds, by content: a tag moves, and another machine has pulled it at
//! another time.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::engine::Engine;
use crate::errors::{hinted, hinted_cause};
use crate::http::RetryPolicy;
use crate::image::images_lock::{IMAGES_LOCK, PinnedImage, UPDATE};
use crate::image::reference::ImageReference;
use crate::registry::{Client, Credentials};
use crate::system::progress::Progress;
use crate::workspace::inputs::Input;

/// What the engine is told to start from, and what decides the program of it: the digest of the image, else the one
/// that the registry has for its tag now. Where no registry can be asked, what the engine has counts, with a warning.
///
/// # Errors
/// Neither the registry nor the engine has it.
pub(crate) fn resolve(engine: &Engine, pinned: &PinnedImage, progress: &Progress) -> Result<(String, Input)> {
    let image = pinned.reference.as_str();
    let wrong = || format!("builder image `{image}` is no image reference");
    let reference: ImageReference = image.parse().with_context(wrong)?;
    let named = |content: &str| Input::tool("builder image", content);
    if let Some(digest) = &pinned.digest {
        return Ok((image.to_owned(), named(digest.as_str())));
    }
    if engine.is_silent {
        // Nothing is built with a stub.
        return Ok((image.to_owned(), named(image)));
    }
    if pinned.is_local {
        return match engine.local_image(image) {
            Some((Some(digest), _)) => Ok((format!("{image}@{digest}"), named(digest.as_str()))),
            Some((None, id)) => Ok((image.to_owned(), named(&id))),
            None => bail!(hinted(
                format!("`{IMAGES_LOCK}` leaves `{image}` to the engine, and `{}` does not have it", engine.program),
                format!("make it there, or push it to its registry and run {UPDATE}")
            )),
        };
    }
    // An engine at hand may do as well: no long wait.
    let policy = RetryPolicy { tries: 2, first_wait: Duration::from_millis(200), ..RetryPolicy::default() };
    let error = match Client::with_policy(Credentials::from_environment(), policy).resolve(&reference) {
        Ok(digest) => return Ok((format!("{image}@{digest}"), named(digest.as_str()))),
        Err(error) => error,
    };
    let text = format!("builder image `{image}` cannot be looked up: the one that `{}` has counts", engine.program);
    match engine.local_image(image) {
        Some((Some(digest), _)) => {
            progress.warn(&error.context(text));
            Ok((format!("{image}@{digest}"), named(digest.as_str())))
        }
        Some((None, id)) => {
            progress.warn(&error.context(format!("{text}, and images built elsewhere are not the same to us")));
            Ok((image.to_owned(), named(&id)))
        }
        None => bail!(hinted_cause(
            error,
            format!("builder image `{image}` is neither in its registry nor in `{}`", engine.program),
            "set `builder-image` in `[workspace.metadata.docker]` of `Cargo.toml`"
        )),
    }
}
