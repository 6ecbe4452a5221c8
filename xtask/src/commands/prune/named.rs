//! What is named outside the registry that is pruned: records, manifests, other environments, clusters.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Error, Result, ensure};

use crate::cli::PruneArgs;
use crate::cluster::Kubectl;
use crate::commands::chosen_release::releases_in;
use crate::commands::environments::{Environment, client_of};
use crate::commands::manifests::{applied_texts, files};
use crate::errors::{hinted, hinted_cause};
use crate::gather::record;
use crate::gather::workspace::Workspace;
use crate::image::promotion::record_path;
use crate::image::prune::Named;
use crate::image::reference::{ImageReference, Tag};
use crate::image::release::{RELEASES, deployment_of};
use crate::registry::Releases;
use crate::system::process;
use crate::system::progress::Progress;

/// For a cluster's whole list, and for kustomizations.
const PATIENCE: Duration = Duration::from_secs(60);
/// All that has a pod, or will make one.
const KINDS: &str = "pods,replicationcontrollers,deployments.apps,replicasets.apps,statefulsets.apps,daemonsets.apps,\
                     jobs.batch,cronjobs.batch";
/// The images of all containers, and what nodes say that they run.
const IMAGES: &str = "--output=jsonpath={..image} {..imageID}";

/// All that is named.
///
/// # Errors
/// Something cannot be looked at.
pub(super) fn gather(
    workspace: &Workspace,
    environments: &[Environment],
    pruned: &ImageReference,
    arguments: &PruneArgs,
    progress: &Progress,
) -> Result<Named> {
    let mut named = Named::default();
    let mut seen = BTreeSet::from([pruned.name()]);
    for environment in environments {
        let path = workspace.root().join(record_path(&environment.name));
        for image in record::read_if_there(&path)?.unwrap_or_default().images.values() {
            named.image(image, &format!("the digest record of `{}`", environment.name));
        }
        let releases = environment.repository_of(workspace, RELEASES)?;
        if seen.insert(releases.name()) {
            deployments(workspace, environment, releases, arguments, &mut named)
                .map_err(|cause| unknown_environment(cause, &environment.name))?;
        }
    }
    manifests(workspace, environments, &mut named)?;
    match arguments.without_cluster {
        true => progress.say("no cluster was asked"),
        false => clusters(workspace, environments, &mut named, progress)?,
    }
    Ok(named)
}

fn unknown_environment(cause: Error, name: &str) -> Error {
    let error = format!("nobody knows what environment `{name}` runs");
    hinted_cause(cause, error, format!("`--without-env {name}` deletes what only it runs, too"))
}

/// What environments ran by the releases of another registry.
fn deployments(
    workspace: &Workspace,
    environment: &Environment,
    repository: ImageReference,
    arguments: &PruneArgs,
    named: &mut Named,
) -> Result<()> {
    let settings = &workspace.packages.settings;
    let client = client_of(environment, &arguments.insecure_registry);
    let releases: Releases<'_> = releases_in(workspace, &client, repository)?;
    let names = settings.environments.keys().cloned().chain([environment.name.clone()]).collect();
    let mut chosen: Vec<Tag> = Vec::new();
    let mut numbered: BTreeMap<String, Vec<(u64, Tag)>> = BTreeMap::new();
    for tag in client.tags(&releases.repository)? {
        match deployment_of(&tag, &names) {
            Some((of, Some(number))) => numbered.entry(of).or_default().push((number, tag)),
            Some((_, None)) => chosen.push(tag),
            None => {}
        }
    }
    for mut all in numbered.into_values() {
        all.sort();
        chosen.extend(all.into_iter().rev().take(settings.prune.keep_deploys.max(1)).map(|(_, tag)| tag));
    }
    for tag in chosen {
        let found = releases.tagged(&tag)?;
        for component in found.iter().flat_map(|found| found.release.components.values()) {
            named.image(&component.image, &format!("`{tag}` of `{}`", releases.repository.name()));
        }
    }
    Ok(())
}

/// Whatever any manifest of the work tree says.
fn manifests(workspace: &Workspace, environments: &[Environment], named: &mut Named) -> Result<()> {
    let root = workspace.root();
    for environment in environments {
        let settings = workspace.packages.settings.clone().in_environment(&environment.name);
        let manifests = files::read(root, &settings)?;
        let unread: Vec<&str> = manifests.unreadable.iter().chain(&manifests.missing).map(String::as_str).collect();
        ensure!(
            unread.is_empty(),
            hinted(
                format!("{}, so nobody knows which images it names", unread.join("\n")),
                "mend or delete the file that names it, or change `manifests` in the settings"
            )
        );
        for file in manifests.files.iter().chain(&manifests.values) {
            named.text(&file.text, &format!("`{}`", file.path));
        }
        if manifests.has_unseen {
            for (path, text) in applied_texts(root, &manifests, Instant::now() + PATIENCE)? {
                named.text(&text, &format!("`{path}`"));
            }
        }
    }
    Ok(())
}

/// What the clusters of all environments and the current one run, or will.
fn clusters(workspace: &Workspace, environments: &[Environment], named: &mut Named, progress: &Progress) -> Result<()> {
    let mut places: BTreeMap<Option<&str>, Vec<Option<&str>>> = BTreeMap::from([(None, Vec::new())]);
    for environment in environments {
        places.entry(environment.context.as_deref()).or_default().push(environment.namespace.as_deref());
    }
    let mut asked = BTreeSet::new();
    for (context, namespaces) in places.into_iter().rev() {
        let kubectl = Kubectl::find(workspace.root(), context, Instant::now() + PATIENCE).map_err(unknown_cluster)?;
        // The current one is mostly an environment's.
        if namespaces.is_empty() && asked.contains(&kubectl.context) {
            continue;
        }
        let scope = ask(&kubectl, &namespaces, named)?;
        progress.say(&format!("asked the cluster of context `{}`: {scope}", kubectl.context));
        asked.insert(kubectl.context);
    }
    Ok(())
}

fn unknown_cluster(cause: Error) -> Error {
    let error = "nobody knows what the cluster runs";
    hinted_cause(cause, error, "`--without-cluster` deletes what only pods name, too")
}

/// Asks for all namespaces; where that is not allowed, for those of the environments. Says which.
fn ask(kubectl: &Kubectl, namespaces: &[Option<&str>], named: &mut Named) -> Result<String> {
    let who = format!("the cluster of `{}`", kubectl.context);
    let list = |scope: &str| {
        let shell = kubectl.shell()?;
        process::read_until(kubectl.command(&shell, ["get", KINDS, scope, IMAGES]), Instant::now() + PATIENCE)
    };
    match list("--all-namespaces") {
        Ok(text) => {
            named.text(&text, &who);
            return Ok("all namespaces".to_owned());
        }
        Err(error) if format!("{error:#}").contains("forbidden") => {}
        Err(error) => return Err(unknown_cluster(kubectl.unreachable(error))),
    }
    let own = kubectl.namespace.as_deref().unwrap_or("default");
    let chosen: BTreeSet<&str> = namespaces.iter().map(|name| name.unwrap_or(own)).chain([own]).collect();
    for namespace in &chosen {
        let text =
            list(&format!("--namespace={namespace}")).map_err(|error| unknown_cluster(kubectl.unreachable(error)))?;
        named.text(&text, &who);
    }
    let chosen = chosen.into_iter().collect::<Vec<_>>().join(", ");
    Ok(format!("namespaces {chosen} alone, as others may not be listed"))
}
