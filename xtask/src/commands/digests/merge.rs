//! `digests merge`: images that several jobs pushed by digest become one release.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};
use camino::Utf8Path;

use crate::cli::MergeArgs;
use crate::commands::build::options;
use crate::commands::chosen_release::{line_tag, releases};
use crate::commands::environments::own_client;
use crate::commands::publish::apply::Published;
use crate::commands::publish::before::Before;
use crate::commands::publish::lookup::{Decision, Wanted, look_up};
use crate::commands::publish::plan::{carried, joint_hash};
use crate::commands::publish::refusal::{Summaries, summaries};
use crate::commands::publish::{Publication, ci_state, finish, tags};
use crate::commands::sign::{Made, Signer};
use crate::commands::{Outcome, print};
use crate::errors::{all, hinted};
use crate::gather::record;
use crate::gather::repositories::repositories;
use crate::gather::workspace::Workspace;
use crate::image::manifest::{DOCKER_INDEX, DOCKER_MANIFEST, Descriptor, Index, OCI_INDEX, to_json};
use crate::image::part::{Part, PartImage, join};
use crate::image::reference::ImageReference;
use crate::image::tags::{Tags, inputs_tag};
use crate::registry::{Client, FetchedManifest, Found};
use crate::system::parallel;
use crate::system::progress::Progress;

/// Joins the parts, pushes the indexes, tags all and writes the record.
pub(crate) fn run(manifest: Option<&Utf8Path>, arguments: &MergeArgs) -> Result<Outcome> {
    let progress = Progress::new();
    let workspace = Workspace::load(manifest, &options::platforms(&arguments.platform)?)?;
    let asked = options::tags(&arguments.tag)?;
    let ci = ci_state(&workspace)?;
    let tags = tags(&workspace, &ci, &asked)?;
    let joined = join(read(arguments)?, &workspace.platforms)?;
    ensure!(
        joined.commit == ci.commit,
        hinted(
            format!("the parts are of commit `{}`, and this is `{}`", joined.commit, ci.commit),
            "merge where the same commit is checked out"
        )
    );
    let registry = arguments.registry.registry.as_ref();
    let repositories: BTreeMap<String, ImageReference> = repositories(&workspace, registry)?.into_iter().collect();
    check(&joined, &repositories)?;

    let client = own_client(&arguments.registry.insecure_registry);
    let path = record::absolute_path(workspace.root(), arguments.digests.as_deref())?;
    let releases = releases(&workspace, &client, registry)?;
    let line = line_tag(&ci, &tags.commit);
    let before = Before::look_up(&workspace, &releases, &ci, &line, &path, &progress)?;
    let others = repositories.iter().filter(|(name, _)| !joined.images.contains_key(*name));
    let others: Vec<_> = others.map(|(name, repository)| (name.clone(), repository.clone())).collect();
    let carried = carried(&client, &before.record, &others)?;
    let known: BTreeSet<&String> = joined.images.keys().chain(carried.keys()).collect();
    let missing: Vec<&str> = repositories.keys().filter(|name| !known.contains(name)).map(String::as_str).collect();
    ensure!(missing.is_empty(), "no part has {}, and no previous record either", missing.join(", "));

    let work: Vec<_> = joined.images.iter().map(|(name, image)| (name, image, &repositories[name])).collect();
    if arguments.dry_run {
        let lines = work.iter().flat_map(|(_, _, repository)| {
            tags.all.iter().map(|tag| format!("tag    {}:{}\n", repository.name(), tag.tag))
        });
        let release = releases.repository.with_tag(line);
        print(&(lines.collect::<String>() + &format!("write  release {release}\nwrite  {path}\n")))?;
        return Ok(Outcome::Done);
    }
    let signer = arguments.sign.then(|| Signer::new(&workspace)).transpose()?;
    signer.iter().try_for_each(|signer| signer.demand(&client, &carried))?;
    finish::note_unwritten(&path);
    let merged = parallel::map(work, parallel::REQUESTS, |(name, image, repository)| {
        merge(&client, name, image, repository, &tags).with_context(|| format!("cannot merge `{name}`"))
    });
    let publication = Publication {
        workspace: &workspace,
        ci: &ci,
        tags: &tags,
        asked: &asked,
        path: &path,
        releases: &releases,
        line: &line,
        before,
        carried,
        signer,
        made: Made::default(),
        with_manifests: !arguments.no_manifests,
        as_json: arguments.json,
    };
    publication.finish(&client, all(merged)?, &progress)
}

fn read(arguments: &MergeArgs) -> Result<Vec<(String, Part)>> {
    let read = |path: &camino::Utf8PathBuf| {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read `{path}`"))?;
        Ok((path.to_string(), Part::parse(&text).with_context(|| format!("cannot read `{path}`"))?))
    };
    arguments.parts.iter().map(read).collect()
}

/// The parts speak of this workspace's components, in the repositories that they have here.
fn check(joined: &Part, repositories: &BTreeMap<String, ImageReference>) -> Result<()> {
    for (name, image) in &joined.images {
        let Some(repository) = repositories.get(name) else {
            bail!("a part has `{name}`, which is no component of this workspace")
        };
        ensure!(
            image.repository == repository.name(),
            hinted(
                format!(
                    "a part has `{name}` in `{}`, and here it belongs to `{}`",
                    image.repository,
                    repository.name()
                ),
                "merge with the same `--registry` and owner as the jobs that published"
            )
        );
    }
    Ok(())
}

/// Makes one image of a component's platforms.
fn merge(
    client: &Client,
    name: &str,
    image: &PartImage,
    repository: &ImageReference,
    tags: &Tags,
) -> Result<Published> {
    let hashes: BTreeMap<_, _> =
        image.platforms.iter().map(|(platform, part)| (platform.clone(), part.input_hash.clone())).collect();
    let inputs_tag = inputs_tag(&joint_hash(hashes.values()));
    let summaries = &|| summaries_of_parts(client, image, repository);
    let wanted = Wanted { repository, hashes: hashes.clone(), inputs_tag: &inputs_tag, tags: &tags.all, summaries };
    let published = match look_up(client, &wanted, true)? {
        // An immutable tag has these inputs already, from an earlier run.
        Decision::Adopt { image, named_by, .. } => Published {
            name: name.to_owned(),
            repository: repository.clone(),
            platforms: image.recorded(),
            manifest: image.manifest,
            hashes,
            sent: None,
            named_by,
        },
        Decision::Build { .. } => Published {
            name: name.to_owned(),
            repository: repository.clone(),
            manifest: joint_manifest(client, image, repository)?,
            hashes,
            platforms: image.platforms.iter().map(|(platform, part)| (platform.clone(), part.image.clone())).collect(),
            sent: None,
            named_by: BTreeSet::new(),
        },
    };
    published.tag(client, &inputs_tag, false)?;
    Ok(published)
}

/// What made the images of the parts, as far as the registry tells.
fn summaries_of_parts(client: &Client, image: &PartImage, repository: &ImageReference) -> Summaries {
    let found = image.platforms.values().map(|part| client.find(&repository.with_digest(part.image.digest.clone())));
    let images = found.filter_map(|found| if let Ok(Found::Whole(child)) = found { Some(child) } else { None });
    images.flat_map(|child| summaries(&child)).collect()
}

/// The manifest of the only platform, or an index of all, pushed.
fn joint_manifest(client: &Client, image: &PartImage, repository: &ImageReference) -> Result<FetchedManifest> {
    let mut children = Vec::new();
    for (platform, part) in &image.platforms {
        let reference = repository.with_digest(part.image.digest.clone());
        match client.find(&reference)? {
            Found::Whole(child) => children.push((platform, child.manifest.descriptor)),
            Found::Lacks(lost) => bail!(hinted(lost, "publish that platform again")),
            Found::Nothing => bail!("`{reference}`, which a part names, is not in the registry"),
        }
    }
    if let [(_, child)] = children.as_slice() {
        return client.get_manifest(&repository.with_digest(child.digest.clone()));
    }
    // An index and its children are of one family: readers of Docker's types alone know no other.
    let media_type = match children.iter().all(|(_, child)| child.media_type == DOCKER_MANIFEST) {
        true => DOCKER_INDEX,
        false => OCI_INDEX,
    };
    let manifests: Vec<Descriptor> =
        children.into_iter().map(|(platform, child)| child.for_platform(platform)).collect();
    let index = Index { media_type: Some(media_type.to_owned()), ..Index::new(manifests) };
    let bytes = to_json(&index);
    let descriptor = Descriptor::of(media_type, &bytes);
    client.put_manifest(&repository.with_digest(descriptor.digest.clone()), media_type, &bytes)?;
    Ok(FetchedManifest { descriptor, bytes })
}
