//! `digests fetch`: the record of CI's newest successful run.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use camino::Utf8Path;

use super::record_path;
use super::show::as_table;
use crate::cli::FetchArgs;
use crate::commands::{Outcome, print};
use crate::errors::hinted;
use crate::gather::record;
use crate::gather::repositories::repositories;
use crate::gather::workspace::Workspace;
use crate::github::api::{GitHub, Search, Wanted, token};
use crate::github::archive::read_entry;
use crate::github::runs::WorkflowRun;
use crate::image::record::{DigestRecord, RecordedImage};
use crate::image::reference::{ImageReference, Registry, Tag};
use crate::image::tags;
use crate::registry::{Client, Credentials, RemoteImage};
use crate::system::environment::variable;
use crate::system::parallel;

/// The record within the artifact's archive.
const ENTRY: &str = "docker-image-digests.json";
/// Ten thousand components' record.
const MAX_RECORD: u64 = 1024 * 1024;
/// The commit an image's content is from (OCI image-spec, annotations).
const REVISION: &str = "org.opencontainers.image.revision";

/// Finds the record, checks it, writes it.
pub(crate) fn run(manifest: Option<&Utf8Path>, arguments: &FetchArgs) -> Result<Outcome> {
    let path = record_path(manifest, arguments.output.as_deref())?;
    let Some(record) = find(manifest, arguments)? else { return Ok(Outcome::Done) };
    record::write(&path, &record)?;
    eprintln!("wrote {path}");
    print(&as_table(&record))?;
    Ok(Outcome::Done)
}

/// The record; nothing in a dry run, which has said what would be taken.
fn find(manifest: Option<&Utf8Path>, arguments: &FetchArgs) -> Result<Option<DigestRecord>> {
    let repository = arguments.repository.clone().or_else(|| variable("GITHUB_REPOSITORY"));
    let repository = repository.context("whose record? give `--repository OWNER/REPO`, or set `GITHUB_REPOSITORY`")?;
    let base = variable("GITHUB_API_URL").unwrap_or_else(|| "https://api.github.com".to_owned());
    let github = GitHub::new(&base, &repository, &token(variable("GITHUB_TOKEN"))?)?;
    let wanted = Wanted { workflow: &arguments.workflow, branch: &arguments.branch, artifact: &arguments.artifact };
    let mut record = None;
    let search = github.newest(&wanted, |run, artifact| {
        if arguments.dry_run {
            return Ok(true);
        }
        let Some(archive) = github.download(artifact)? else { return Ok(false) };
        record = Some(read(&archive).with_context(|| {
            format!("artifact `{}` of run {} ({}) cannot be used", arguments.artifact, run.run_number, described(run))
        })?);
        Ok(true)
    })?;
    match (search, &arguments.fallback_tag) {
        (Search::Found(run), _) => {
            let verb = if arguments.dry_run { "would take" } else { "from" };
            eprintln!("{verb} run {} of {} ({})", run.run_number, arguments.workflow, described(&run));
            Ok(record)
        }
        (Search::Nothing(why), None) => bail!(hinted(
            why,
            "run the workflow again, or `--fallback-tag TAG` takes the images that have a tag in the registry"
        )),
        (Search::Nothing(why), Some(tag)) => {
            eprintln!("{why}; the images tagged `{tag}` instead");
            if arguments.dry_run { Ok(None) } else { from_tag(manifest, tag, &arguments.insecure_registry).map(Some) }
        }
    }
}

fn described(run: &WorkflowRun) -> String {
    let commit: String = run.head_sha.chars().take(7).collect();
    format!("{}, {}, {}", run.event, commit.escape_debug(), run.created_at.escape_debug())
}

fn read(archive: &[u8]) -> Result<DigestRecord> {
    let text = String::from_utf8(read_entry(archive, ENTRY, MAX_RECORD)?).ok();
    DigestRecord::parse(&text.with_context(|| format!("`{ENTRY}` in it is no UTF-8"))?)
}

/// A record of what all components' images with `tag` are in the registry.
fn from_tag(manifest: Option<&Utf8Path>, tag: &Tag, insecure: &[Registry]) -> Result<DigestRecord> {
    let workspace = Workspace::load(manifest, &[])?;
    let client = Client::new(Credentials::from_environment()).allowing_plain_http(insecure.to_vec());
    let names = repositories(&workspace, None)?;
    let template = &workspace.packages.settings.sha_tag;
    let images = parallel::map(names, parallel::REQUESTS, |(component, name)| {
        let reference = name.with_tag(tag.clone());
        let image = client.inspect(&reference).with_context(|| format!("no image of `{component}` can be recorded"))?;
        let sha_tag = commit_tag(&client, &name, &image, template)?;
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

fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
