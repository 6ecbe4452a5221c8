//! The tags of a repository: listed; set once, or moved, and read back.

use std::collections::{BTreeSet, HashSet};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use ureq::http::{Method, Uri};

use super::client::{ApiRequest, Client};
use super::pull::{FetchedManifest, if_there};
use crate::errors::hinted;
use crate::http::{is_same_origin, next_link};
use crate::image::reference::{ImageReference, Tag};
use crate::system::parallel;

/// Tags asked for at once; registries may give fewer.
const PAGE: u32 = 1000;
/// A page is this many bytes at most: a thousand of the longest tags are a tenth of it.
const MAX_PAGE: u64 = 4 * 1024 * 1024;
/// More pages than any repository has.
const MAX_PAGES: usize = 10_000;

#[derive(Deserialize)]
struct TagList {
    /// `null` in a repository without tags, as registry 2.8 writes it.
    tags: Option<Vec<String>>,
}

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
            Some(found) if is_immutable => {
                let named = found.digest;
                bail!(hinted(
                    format!("`{reference}` names `{named}` and would have to name `{wanted}`, but does not move"),
                    "choose another tag, or list it in `mutable-tags`"
                ))
            }
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

    /// Whether `tag` is at each of these images, given by digest.
    ///
    /// # Errors
    /// The registry cannot be asked.
    pub(crate) fn have_tag(&self, images: Vec<&ImageReference>, tag: &Tag) -> Result<bool> {
        let has = |image: &ImageReference| {
            let found = self.head_manifest(&image.with_tag(tag.clone()))?;
            Ok(found.map(|found| found.digest) == image.digest)
        };
        let found = parallel::map(images, parallel::REQUESTS, has).into_iter().collect::<Result<Vec<bool>>>()?;
        Ok(!found.contains(&false))
    }

    /// All tags of the repository, sorted; none when it does not exist.
    ///
    /// # Errors
    /// The registry cannot be asked, refuses, or does not follow the specification.
    pub(crate) fn tags(&self, repository: &ImageReference) -> Result<Vec<Tag>> {
        self.all_tags(repository).with_context(|| format!("cannot list the tags of `{}`", repository.name()))
    }

    fn all_tags(&self, repository: &ImageReference) -> Result<Vec<Tag>> {
        let request = ApiRequest::new(Method::GET, repository, "pull", format!("tags/list?n={PAGE}"));
        let mut url = self.url(&request)?;
        let mut tags = BTreeSet::new();
        let mut read = HashSet::new();
        while read.len() < MAX_PAGES {
            ensure!(read.insert(url.clone()), "the list leads back to a page that was read");
            let page = self.page(&request, &url);
            // A list that ends within its pages is not whole.
            let (page, next) = if read.len() == 1 { if_there(page)?.unwrap_or_default() } else { page? };
            // What is no tag by the specification can be neither pulled nor removed by it.
            tags.extend(page.into_iter().filter_map(|text| text.parse::<Tag>().ok()));
            let Some(next) = next else { return Ok(tags.into_iter().collect()) };
            ensure!(is_same_origin(&next, &self.http.secured(url)), "the list goes on at another host");
            url = next;
        }
        bail!("the list has more than {MAX_PAGES} pages")
    }

    /// One page, and where the next one is.
    fn page(&self, request: &ApiRequest<'_>, url: &Uri) -> Result<(Vec<String>, Option<Uri>)> {
        let (head, bytes) = self.read(url, request, MAX_PAGE)?;
        let url = self.http.secured(url.clone());
        let next = next_link(&head.headers).map(|link| self.http.resolve(&url, &link)).transpose()?;
        let list: TagList = serde_json::from_slice(&bytes).context("the list is not valid")?;
        Ok((list.tags.unwrap_or_default(), next))
    }
}
