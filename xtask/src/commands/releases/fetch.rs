//! `releases fetch`: the images of a release as the file that other commands read.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use camino::Utf8Path;

use crate::cli::ReleaseFetchArgs;
use crate::commands::chosen_release::{named, named_if_there, releases};
use crate::commands::environments::own_client;
use crate::commands::{Outcome, print};
use crate::gather::record;
use crate::gather::repositories::repositories;
use crate::gather::workspace::Workspace;
use crate::image::record::{DigestRecord, RecordedImage};
use crate::image::reference::{ImageReference, Tag};
use crate::image::release::is_commit;
use crate::image::tags;
use crate::registry::{Client, RemoteImage, StoredRelease};
use crate::system::parallel;

/// The commit an image's content is from (OCI image-spec, annotations).
const REVISION: &str = "org.opencontainers.image.revision";

/// Writes the record of the release, or of the images with the fallback tag.
pub(super) fn run(manifest: Option<&Utf8Path>, arguments: &ReleaseFetchArgs) -> Result<Outcome> {
    let workspace = Workspace::load(manifest, &[])?;
    let client = own_client(&arguments.registry.insecure_registry);
    let releases = releases(&workspace, &client, arguments.registry.registry.as_ref())?;
    let (name, insecure) = (&arguments.release, &arguments.registry.insecure_registry);
    let record = match &arguments.fallback_tag {
        None => taken(named(&workspace, &releases, name, insecure)?),
        // Only where there is none: an error is no reason to take something else.
        Some(tag) => match named_if_there(&workspace, &releases, name, insecure)? {
            Ok(found) => taken(found),
            Err(why) => {
                eprintln!("note: {why}\nthe images tagged `{tag}` instead");
                from_tag(&workspace, &client, arguments, tag)?
            }
        },
    };
    let path = record::path(workspace.root(), arguments.digests.as_deref());
    if arguments.dry_run {
        print(&format!("write  {path}\n"))?;
        return Ok(Outcome::Done);
    }
    record::write(&path, &record)?;
    eprintln!("wrote {path}");
    Ok(Outcome::Done)
}

fn taken(found: StoredRelease) -> DigestRecord {
    eprintln!("release {}, of commit {}", found.digest, found.release.short_commit());
    found.release.record()
}

/// A record of what all components' images with `tag` are in the registry.
fn from_tag(workspace: &Workspace, client: &Client, arguments: &ReleaseFetchArgs, tag: &Tag) -> Result<DigestRecord> {
    let names = repositories(workspace, arguments.registry.registry.as_ref())?;
    let template = &workspace.packages.settings.sha_tag;
    let images = parallel::map(names, parallel::REQUESTS, |(component, name)| {
        let reference = name.with_tag(tag.clone());
        let image = client.inspect(&reference).with_context(|| format!("no image of `{component}` can be recorded"))?;
        let sha_tag = commit_tag(client, &name, &image, template)?;
        let mut tags = vec![tag.clone()];
        tags.extend(sha_tag.clone());
        let sha_tag = sha_tag.unwrap_or_else(|| tag.clone());
        Ok((component, RecordedImage::new(&name, image.digest().clone(), sha_tag, tags, image.recorded())))
    });
    Ok(DigestRecord { images: images.into_iter().collect::<Result<BTreeMap<_, _>>>()? })
}

/// The commit's tag of an image, when it has one: that of the revision its label names. An image that
/// later commits left as it was has theirs too, which nothing in it tells.
fn commit_tag(client: &Client, name: &ImageReference, image: &RemoteImage, template: &str) -> Result<Option<Tag>> {
    let Some(revision) = image.labels().and_then(|labels| labels.get(REVISION)).filter(|revision| is_commit(revision))
    else {
        return Ok(None);
    };
    let Ok(tag) = tags::commit_tag(template, revision, false) else { return Ok(None) };
    let tagged = client.head_manifest(&name.with_tag(tag.clone()))?;
    Ok(tagged.filter(|tagged| tagged.digest == *image.digest()).map(|_| tag))
}
