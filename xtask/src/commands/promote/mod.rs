//! `promote`: published images go to another environment, by digest.

mod apply;
mod plan;

use anyhow::{Context, Result, bail, ensure};
use camino::{Utf8Path, Utf8PathBuf};

use self::plan::{Plan, PlannedTag};
use super::filter::asked_names;
use super::table::{bytes, table};
use super::{Outcome, print};
use crate::cli::PromoteArgs;
use crate::errors::hinted;
use crate::gather::record;
use crate::gather::repositories::own_registry;
use crate::gather::workspace::Workspace;
use crate::image::promotion::{LOCAL, record_path};
use crate::image::record::DigestRecord;
use crate::image::reference::Registry;
use crate::registry::{Client, Credentials};
use crate::system::progress::Progress;
use crate::workspace::names::did_you_mean;

struct Environment {
    name: String,
    registry: Registry,
    /// Repository template, where it has its own.
    repository: Option<String>,
}

pub(crate) fn run(manifest: Option<&Utf8Path>, arguments: &PromoteArgs) -> Result<Outcome> {
    let workspace = Workspace::load(manifest, &[])?;
    let (from, to) = (environment(&workspace, &arguments.from)?, environment(&workspace, &arguments.to)?);
    ensure!(from.name != to.name, "`--from` and `--to` are both `{}`", from.name);
    let path = source_record_path(&workspace, &from, arguments.digests.as_deref())?;
    let images = record::read_of(&path, &asked_names(&arguments.components))?.images;
    ensure!(!images.is_empty(), record::empty(&path));
    for (name, image) in &images {
        let (found, Environment { name: environment, registry, .. }) = (&image.image.registry, &from);
        ensure!(
            found == registry,
            hinted(
                format!("`{name}` in `{path}` is in `{found}`, and environment `{environment}` is `{registry}`"),
                format!("name the record of `{environment}` with `--digests`")
            )
        );
    }
    let images = images.into_iter().collect();
    let target_path = workspace.root().join(record_path(&to.name));
    let previous = record::read_if_there(&target_path)?.unwrap_or_default();
    let source = client(&from, arguments);
    let target = client(&to, arguments);
    let planner = plan::Planner { workspace: &workspace, source: &source, target: &target, to: &to };
    let plan = planner.plan(images, previous, &arguments.tag, target_path)?;
    if arguments.dry_run {
        print(&shown_plan(&plan))?;
        return Ok(Outcome::Done);
    }
    let jobs = usize::from(arguments.jobs);
    let record = apply::apply(&plan, &source, &target, jobs, &Progress::new())?;
    print(&match arguments.json {
        true => record.to_text(),
        false => shown_result(&plan, &record),
    })?;
    eprintln!("wrote {}", plan.path);
    Ok(Outcome::Done)
}

/// The environment of this name.
///
/// # Errors
/// There is none, or its registry is no registry.
fn environment(workspace: &Workspace, name: &str) -> Result<Environment> {
    let environments = &workspace.packages.settings.environments;
    if let Some(environment) = environments.get(name) {
        let registry =
            environment.registry.parse().with_context(|| format!("environment `{name}` has no valid `registry`"))?;
        return Ok(Environment { name: name.to_owned(), registry, repository: environment.repository.clone() });
    }
    if name == LOCAL {
        return Ok(Environment { name: name.to_owned(), registry: own_registry(workspace)?, repository: None });
    }
    let mut known: Vec<&str> = environments.keys().map(String::as_str).chain([LOCAL]).collect();
    known.sort_unstable();
    let meant = did_you_mean(&[name], known.iter().copied());
    let known = known.join(", ");
    bail!(hinted(
        format!("unknown environment `{}`{meant}", name.escape_debug()),
        format!("environments: {known}; others are added as `[workspace.metadata.docker.environments.NAME]`")
    ))
}

/// The record of the images: `--digests`, else that of the environment, else that of the last
/// publication.
fn source_record_path(workspace: &Workspace, from: &Environment, asked: Option<&Utf8Path>) -> Result<Utf8PathBuf> {
    if let Some(path) = asked {
        return Ok(path.to_owned());
    }
    let candidates = [record_path(&from.name), record_path(LOCAL)].map(|path| workspace.root().join(path));
    match candidates.iter().find(|path| path.exists()) {
        Some(path) => Ok(path.clone()),
        None => {
            bail!(record::missing(&candidates[0]).context(format!("there is no record of what `{}` has", from.name)))
        }
    }
}

/// Speaks as whoever may there: each environment has its own credentials.
fn client(place: &Environment, arguments: &PromoteArgs) -> Client {
    let credentials = Credentials::from_environment().for_environment(&place.name, &place.registry);
    Client::new(credentials).allowing_plain_http(arguments.insecure_registry.clone())
}

/// The plan, a line each.
fn shown_plan(plan: &Plan) -> String {
    let mut text = String::new();
    for image in &plan.images {
        let verb = if image.is_there { "there " } else { "copy  " };
        let (source, target) = (&image.recorded.image, image.target.name());
        text.push_str(&format!("{verb} {}: {source} -> {target}\n", image.name));
        for PlannedTag { tag, now } in &image.tags {
            let state = match now {
                Some(now) if *now == image.recorded.digest => " (has it)".to_owned(),
                Some(now) => format!(" (moves from {now})"),
                None => String::new(),
            };
            text.push_str(&format!("tag    {target}:{}{state}\n", tag.tag));
        }
    }
    for name in plan.carried.keys() {
        text.push_str(&format!("keep   {name}: as recorded\n"));
    }
    text + &format!("write  {}\n", plan.path)
}

fn shown_result(plan: &Plan, record: &DigestRecord) -> String {
    let rows: Vec<_> = plan
        .images
        .iter()
        .filter_map(|image| record.images.get(&image.name).map(|recorded| (image, recorded)))
        .map(|(image, recorded)| {
            let size = recorded.platforms.values().map(|platform| platform.size).sum();
            let size = if recorded.platforms.is_empty() { "-".to_owned() } else { bytes(size) };
            vec![image.name.clone(), recorded.git_sha_tag.to_string(), size, recorded.digest.to_string()]
        })
        .collect();
    table(&["COMPONENT", "IMAGE", "SIZE", "DIGEST"], &rows)
}
