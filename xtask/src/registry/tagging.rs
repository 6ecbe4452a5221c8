//! Tags: set once, or moved, and read back.

use anyhow::{Result, bail};

use super::client::Client;
use super::pull::FetchedManifest;
use crate::image::reference::{ImageReference, Tag};

impl Client {
    /// Lets `tag` of `repository` name `manifest`, which is there already.
    ///
    /// Registries offer no compare-and-set, so the tag is read back: who writes last wins, and the
    /// other one is told.
    ///
    /// # Errors
    /// An immutable tag that names another image; a tag that names another image right after; the
    /// registry cannot be asked.
    pub(crate) fn tag(
        &self,
        repository: &ImageReference,
        tag: &Tag,
        is_immutable: bool,
        manifest: &FetchedManifest,
    ) -> Result<()> {
        let reference = repository.with_tag(tag.clone());
        let wanted = &manifest.descriptor.digest;
        match self.head_manifest(&reference)? {
            Some(found) if found.digest == *wanted => return Ok(()),
            Some(found) if is_immutable => bail!(
                "`{reference}` names `{}` and would have to name `{wanted}`, but does not move\nchoose another \
                 tag, or list it in `mutable-tags`",
                found.digest
            ),
            _ => {}
        }
        self.put_manifest(&reference, &manifest.descriptor.media_type, &manifest.bytes)?;
        match self.head_manifest(&reference)? {
            Some(found) if found.digest == *wanted => Ok(()),
            Some(found) => bail!(
                "`{reference}` names `{}` right after it was set to `{wanted}`: somebody else publishes the same tag",
                found.digest
            ),
            None => bail!("`{reference}` is gone right after it was set to `{wanted}`"),
        }
    }
}
