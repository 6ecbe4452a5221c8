//! `registry list`: what the components' repositories hold.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use camino::Utf8Path;
use serde::Serialize;

use super::environments::own_client;
use super::filter::asked_names;
use super::table::{age, bytes, table};
use super::{Outcome, print};
use crate::cli::ListArgs;
use crate::errors::shown;
use crate::gather::repositories::repository;
use crate::gather::workspace::Workspace;
use crate::image::platform::Platform;
use crate::image::reference::{Digest, ImageReference, Tag};
use crate::image::tags::is_inputs_tag;
use crate::image::time::parse_rfc3339;
use crate::registry::{Client, RemoteImage};
use crate::system::clock;
use crate::system::parallel;
use crate::workspace::components::select;

/// One component's repository.
#[derive(Debug, Serialize)]
struct Listed {
    component: String,
    repository: String,
    tags: Vec<ListedTag>,
}

/// What a tag leads to.
#[derive(Debug, Serialize)]
struct ListedTag {
    tag: Tag,
    digest: Digest,
    /// Compressed bytes of all platforms.
    size: u64,
    /// RFC 3339; nothing when the image does not say.
    created: Option<String>,
    platforms: BTreeMap<Platform, ListedPlatform>,
}

#[derive(Debug, Serialize)]
struct ListedPlatform {
    digest: Digest,
    size: u64,
}

/// Prints the tags of the chosen components; exit code 1 when one of them could not be read.
pub(crate) fn run(manifest: Option<&Utf8Path>, arguments: &ListArgs) -> Result<Outcome> {
    let workspace = Workspace::load(manifest, &[])?;
    let chosen = select(&workspace.components, &asked_names(&arguments.components))?;
    let repositories: Vec<(String, ImageReference)> = chosen
        .into_iter()
        .map(|component| {
            let repository = repository(&workspace, &component.name, arguments.registry.registry.as_ref())?;
            Ok((component.name.clone(), repository))
        })
        .collect::<Result<_>>()?;
    let client = own_client(&arguments.registry.insecure_registry);
    let (listed, errors) = list(&client, &repositories, arguments.all)?;
    if arguments.json {
        print(&(serde_json::to_string_pretty(&listed)? + "\n"))?;
    } else {
        print_table(&listed)?;
    }
    for error in &errors {
        eprint!("{}", shown(error));
    }
    Ok(if errors.is_empty() { Outcome::Done } else { Outcome::Failed })
}

/// The repositories' tags, newest image first, and what could not be read.
///
/// # Errors
/// The tags of a repository cannot be listed.
fn list(
    client: &Client,
    repositories: &[(String, ImageReference)],
    with_hidden: bool,
) -> Result<(Vec<Listed>, Vec<anyhow::Error>)> {
    let tags =
        parallel::map(repositories.iter().collect(), parallel::REQUESTS, |(_, repository)| client.tags(repository));
    let tags = tags.into_iter().collect::<Result<Vec<_>>>()?;
    let wanted = |tag: &Tag| with_hidden || !(is_inputs_tag(tag) || tag.as_str().starts_with("sha256-"));
    let references: Vec<ImageReference> = repositories
        .iter()
        .zip(tags)
        .flat_map(|((_, repository), tags)| {
            tags.into_iter().filter(wanted).map(|tag| repository.with_tag(tag)).collect::<Vec<_>>()
        })
        .collect();
    let heads = parallel::map(references, parallel::REQUESTS, |reference| {
        let head = client.head_manifest(&reference);
        (reference, head)
    });
    let mut errors = Vec::new();
    let mut found: Vec<(ImageReference, Digest)> = Vec::new();
    for (reference, head) in heads {
        match head {
            Ok(Some(descriptor)) => found.push((reference, descriptor.digest)),
            // Deleted since the list was made.
            Ok(None) => {}
            Err(error) => errors.push(error),
        }
    }
    // Many tags lead to the same image: it is read once.
    let images: BTreeSet<ImageReference> =
        found.iter().map(|(reference, digest)| reference.with_digest(digest.clone())).collect();
    let mut inspected: BTreeMap<ImageReference, RemoteImage> = BTreeMap::new();
    for (image, result) in parallel::map(images.into_iter().collect(), parallel::REQUESTS, |image| {
        let result = client.inspect_if_there(&image);
        (image, result)
    }) {
        match result {
            Ok(Some(remote)) => drop(inspected.insert(image, remote)),
            Ok(None) => {}
            Err(error) => errors.push(error),
        }
    }
    let listed = repositories.iter().map(|(component, repository)| {
        let of_it = found.iter().filter(|(reference, _)| reference.name() == repository.name());
        let mut tags: Vec<ListedTag> = of_it
            .filter_map(|(reference, digest)| {
                let image = inspected.get(&reference.with_digest(digest.clone()))?;
                Some(listed_tag(reference.tag.clone()?, image))
            })
            .collect();
        tags.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.tag.cmp(&b.tag)));
        Listed { component: component.clone(), repository: repository.name(), tags }
    });
    Ok((listed.collect(), errors))
}

fn listed_tag(tag: Tag, image: &RemoteImage) -> ListedTag {
    let platforms: BTreeMap<Platform, ListedPlatform> = image
        .platforms
        .iter()
        .map(|(platform, image)| {
            let listed = ListedPlatform { digest: image.manifest.digest.clone(), size: image.size };
            (platform.clone(), listed)
        })
        .collect();
    ListedTag {
        tag,
        digest: image.digest().clone(),
        size: platforms.values().map(|platform| platform.size).sum(),
        created: image.platforms.values().filter_map(|platform| platform.created.clone()).max(),
        platforms,
    }
}

fn print_table(listed: &[Listed]) -> Result<()> {
    let now = clock::now().unsigned_abs();
    let mut rows = Vec::new();
    for Listed { component, repository, tags } in listed {
        if tags.is_empty() {
            eprintln!("{component}: `{repository}` has no tags");
        }
        for tag in tags {
            let created = tag.created.as_deref().and_then(parse_rfc3339).and_then(|at| u64::try_from(at).ok());
            let platforms: Vec<String> = tag.platforms.keys().map(ToString::to_string).collect();
            rows.push(vec![
                format!("{repository}:{}", tag.tag),
                bytes(tag.size),
                created.map_or("-".to_owned(), |at| age(now.saturating_sub(at))),
                platforms.join(","),
                tag.digest.to_string(),
            ]);
        }
    }
    match rows.is_empty() {
        true => Ok(()),
        false => print(&table(&["IMAGE", "SIZE", "AGE", "PLATFORMS", "DIGEST"], &rows)),
    }
}
