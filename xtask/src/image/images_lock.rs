//! `images.lock`: which digest each tag of a base or builder image stands for; and where a mirror keeps them.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use super::reference::{Digest, ImageReference, Registry, Repository, Tag};
use crate::errors::hinted;

/// The file's name, at the workspace's root.
pub(crate) const IMAGES_LOCK: &str = "images.lock";
/// The command that writes it.
pub(crate) const UPDATE: &str = "`cargo xtask bases --update`";

const HEADER: &str = "# Written by `cargo xtask bases --update`: which digest each tag of `runtime-image` and\n\
                      # `builder-image` stands for, whatever it names by now. Commit it.\n";
const VERSION: u32 = 1;
const LOCAL: &str = "local";

/// What a tag stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Locked {
    /// The image or index of this digest.
    Digest(Digest),
    /// What each machine's engine has under that name: no registry has it.
    Local,
}

impl Locked {
    /// The digest, if it is one.
    pub(crate) fn digest(&self) -> Option<&Digest> {
        match self {
            Locked::Digest(digest) => Some(digest),
            Locked::Local => None,
        }
    }
}

impl fmt::Display for Locked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.digest().map_or(LOCAL, Digest::as_str))
    }
}

impl FromStr for Locked {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        if text == LOCAL { Ok(Locked::Local) } else { text.parse().map(Locked::Digest) }
    }
}

/// The lock's entries, by registry, repository and tag.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ImagesLock(pub(crate) BTreeMap<ImageReference, Locked>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    #[serde(default)]
    images: BTreeMap<String, String>,
}

impl ImagesLock {
    /// Reads the file's text.
    ///
    /// # Errors
    /// Text that [`ImagesLock::text`] would not write, but for comments, order and space.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let file: File = toml::from_str(text)?;
        ensure!(file.version == VERSION, "its version is {}, this program knows {VERSION}", file.version);
        let entry = |(key, value): (String, String)| -> Result<(ImageReference, Locked)> {
            let reference: ImageReference = key.parse()?;
            let expected = tagged(&reference);
            ensure!(key == expected.to_string(), "`{}` has to be written `{expected}`", key.escape_debug());
            let wrong = || format!("`{key}` is neither held to a digest nor `{LOCAL}`");
            Ok((reference, value.parse().with_context(wrong)?))
        };
        file.images.into_iter().map(entry).collect::<Result<_>>().map(ImagesLock)
    }

    /// The file's text: sorted, a line for each image, so that branches merge by lines.
    pub(crate) fn text(&self) -> String {
        let lines = self.0.iter().map(|(image, locked)| format!("\"{image}\" = \"{locked}\"\n"));
        format!("{HEADER}version = {VERSION}\n\n[images]\n{}", lines.collect::<String>())
    }
}

/// `reference` by its tag alone, `latest` where it has none.
pub(crate) fn tagged(reference: &ImageReference) -> ImageReference {
    let latest = || "latest".parse::<Tag>().expect("a valid tag");
    reference.with_tag(reference.tag.clone().unwrap_or_else(latest))
}

/// A base or builder image as builds take it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PinnedImage {
    /// What registries and engines are asked for: as the setting writes it, with the lock's digest; in the mirror
    /// where there is one.
    pub(crate) reference: String,
    /// What is pulled, where that is known.
    pub(crate) digest: Option<Digest>,
    /// Whether the engine's own counts, and no registry's.
    pub(crate) is_local: bool,
}

/// What a build takes for `image`, a reference of the settings. Without a lock, tags are what they are when it runs.
///
/// # Errors
/// No image reference; a tag that the lock does not hold.
pub(crate) fn pin(image: &str, lock: Option<&ImagesLock>, mirror: Option<&Mirror>) -> Result<PinnedImage> {
    let reference: ImageReference = image.parse()?;
    let digest = match (&reference.digest, lock) {
        (Some(digest), _) => Some(digest.clone()),
        (None, None) => None,
        (None, Some(lock)) => match lock.0.get(&tagged(&reference)) {
            Some(locked) => locked.digest().cloned(),
            None => bail!(hinted(
                format!("`{image}` is not in `{IMAGES_LOCK}`, which decides what builds use"),
                format!("run {UPDATE}, and commit the file")
            )),
        },
    };
    let is_local = lock.is_some() && digest.is_none();
    let text = match (&digest, mirror) {
        (None, _) => image.to_owned(),
        (Some(digest), Some(mirror)) => {
            ImageReference { digest: Some(digest.clone()), ..mirror.place(&reference)? }.to_string()
        }
        (Some(_), None) if reference.digest.is_some() => image.to_owned(),
        (Some(digest), None) => format!("{image}@{digest}"),
    };
    Ok(PinnedImage { reference: text, digest, is_local })
}

/// `HOST` or `HOST/PATH`: where copies of base images are, by their own repositories' paths below it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Mirror {
    registry: Registry,
    prefix: Option<Repository>,
}

impl FromStr for Mirror {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (registry, prefix) = text.split_once('/').map_or((text, None), |(host, path)| (host, Some(path)));
        Ok(Mirror { registry: registry.parse()?, prefix: prefix.map(str::parse).transpose()? })
    }
}

impl TryFrom<String> for Mirror {
    type Error = anyhow::Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl fmt::Display for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.registry.fmt(f)?;
        self.prefix.iter().try_for_each(|prefix| write!(f, "/{prefix}"))
    }
}

impl Mirror {
    /// The same image's place here, its tag kept.
    ///
    /// # Errors
    /// The paths together are too long.
    pub(crate) fn place(&self, image: &ImageReference) -> Result<ImageReference> {
        let repository = match &self.prefix {
            Some(prefix) => format!("{prefix}/{}", image.repository).parse()?,
            None => image.repository.clone(),
        };
        Ok(ImageReference { registry: self.registry.clone(), repository, ..image.clone() })
    }
}

/// A tag that keeps an image in the mirror: registries clean up what has none, and this one never moves.
pub(crate) fn keeping_tag(digest: &Digest) -> Tag {
    format!("locked-{}", &digest.hex()[..16]).parse().expect("a valid tag")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e9d4bece177a156b478756e6f3522d0ace6c8b96727c3e6c67d9ad280ef0896a";

    fn lock() -> ImagesLock {
        let text = format!(
            "version = 1\n[images]\n\"gcr.io/a/b:latest\" = \"local\"\n\"docker.io/library/rust:1\" = \"{DIGEST}\"\n"
        );
        ImagesLock::parse(&text).unwrap()
    }

    #[test]
    fn what_is_written_is_sorted_and_read_again() {
        let text = lock().text();
        let end =
            format!("\n\n[images]\n\"docker.io/library/rust:1\" = \"{DIGEST}\"\n\"gcr.io/a/b:latest\" = \"local\"\n");
        assert!(text.ends_with(&end), "{text}");
        assert_eq!(ImagesLock::parse(&text).unwrap(), lock());
        assert_eq!(ImagesLock::parse(&ImagesLock::default().text()).unwrap(), ImagesLock::default());
    }

    #[test]
    fn a_file_that_could_mean_two_things_is_refused() {
        let entry = |entry: &str| format!("version = 1\n[images]\n{entry}\n");
        let cases = [
            (entry("<<<<<<< HEAD"), "line 3"),
            (entry("\"rust:1\" = \"local\""), "has to be written `docker.io/library/rust:1`"),
            (entry("\"gcr.io/a/b\" = \"local\""), "has to be written `gcr.io/a/b:latest`"),
            (entry(&format!("\"gcr.io/a/b@{DIGEST}\" = \"local\"")), "has to be written `gcr.io/a/b:latest`"),
            (entry("\"gcr.io/a/b:1\" = \"sha256:12\""), "`gcr.io/a/b:1` is neither held to a digest nor `local`"),
            (entry("\"gcr.io/A/b:1\" = \"local\""), "upper case"),
            (entry("\"gcr.io/a/b:1\" = \"local\"\n\"gcr.io/a/b:1\" = \"local\""), "duplicate key"),
            ("version = 2\n".to_owned(), "its version is 2, this program knows 1"),
            ("[images]\n".to_owned(), "missing field `version`"),
            ("version = 1\nimage = 1\n".to_owned(), "unknown field `image`"),
        ];
        for (text, said) in cases {
            let error = format!("{:#}", ImagesLock::parse(&text).unwrap_err());
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn the_lock_decides_what_a_tag_is() {
        let pinned = |image: &str, mirror: Option<&str>| {
            let mirror = mirror.map(|mirror| mirror.parse().unwrap());
            let pinned = pin(image, Some(&lock()), mirror.as_ref()).unwrap();
            (pinned.reference, pinned.is_local)
        };
        assert_eq!(pinned("rust:1", None), (format!("rust:1@{DIGEST}"), false));
        assert_eq!(pinned("gcr.io/a/b", None), ("gcr.io/a/b".into(), true));
        assert_eq!(pinned("gcr.io/a/b", Some("m.dev")), ("gcr.io/a/b".into(), true));
        // A setting's own digest needs no entry.
        assert_eq!(pinned(&format!("q/w@{DIGEST}"), None), (format!("q/w@{DIGEST}"), false));
        assert_eq!(pinned("rust:1", Some("m.dev/us")), (format!("m.dev/us/library/rust:1@{DIGEST}"), false));
        let own = format!("quay.io/q/w:2@{DIGEST}");
        assert_eq!(pinned(&own, Some("localhost:5000")), (format!("localhost:5000/q/w:2@{DIGEST}"), false));
        let error = pin("rust:2", Some(&lock()), None).unwrap_err();
        assert_eq!(
            crate::errors::shown(&error),
            "error: `rust:2` is not in `images.lock`, which decides what builds use\nhint: run `cargo xtask bases \
             --update`, and commit the file\n"
        );
        let free = pin("rust:2", None, None).unwrap();
        assert_eq!((free.reference.as_str(), free.is_local), ("rust:2", false));
    }
}
