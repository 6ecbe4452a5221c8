//! What a run is about: the images that should run, the manifests, the namespaces.

use std::collections::BTreeSet;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};
use camino::{Utf8Path, Utf8PathBuf};
use cargo_metadata::Metadata;
use walkdir::WalkDir;

use crate::cli::SmokeArgs;
use crate::cluster::Kubectl;
use crate::cluster::kubectl::is_kustomization;
use crate::commands::manifests::placeholder_variable;
use crate::image::record::{DigestRecord, RECORD_PATH};
use crate::kubernetes::pinning::repositories::{Naming, Repositories};
use crate::kubernetes::smoke::expected::{Expectations, Place, places};
use crate::kubernetes::smoke::selection::Selection;
use crate::system::environment::variable;
use crate::system::{cargo, parallel, process};
use crate::workspace::settings::{WorkspaceSettings, workspace_settings};

/// What a run is about.
pub(super) struct Plan {
    /// The namespaces to look at.
    pub(super) namespaces: Vec<String>,
    /// The namespace that kubectl is told when it applies: only one that the user named.
    pub(super) named_namespace: Option<String>,
    /// Which images must run.
    pub(super) expectations: Expectations,
    /// Which workloads are looked at.
    pub(super) selection: Selection,
    /// Folders and files that are applied, those that exist.
    pub(super) manifests: Vec<Utf8PathBuf>,
    /// Whether placeholder images pass.
    pub(super) placeholders_pass: bool,
    /// How long pods must have been ready.
    pub(super) settle: std::time::Duration,
    /// When the run must have ended.
    pub(super) deadline: Instant,
}

/// Reads all that lies on this machine; kubectl comes with its context chosen.
pub(super) fn gather(manifest: Option<&Utf8Path>, arguments: &SmokeArgs, deadline: Instant) -> Result<(Plan, Kubectl)> {
    let here = Utf8PathBuf::from_path_buf(std::env::current_dir().context("cannot read the current folder")?)
        .map_err(|path| anyhow!("the name of `{}` is no UTF-8", path.display()))?;
    let metadata = cargo::metadata(&process::shell_in(&here)?, manifest)?;
    let root = metadata.workspace_root.clone();
    let settings = workspace_settings(&metadata.workspace_metadata, &root.join("Cargo.toml"))?;
    let manifests: Vec<_> =
        settings.manifests.iter().map(|path| root.join(path)).filter(|path| path.exists()).collect();
    if arguments.apply && manifests.is_empty() {
        let named: Vec<_> = settings.manifests.iter().map(|path| format!("`{path}`")).collect();
        bail!(
            "there is nothing to apply: {} does not exist in `{root}`\n`manifests` in `[workspace.metadata.docker]` \
             names the folders",
            named.join(", ")
        );
    }
    let placeholders_pass = placeholder_variable()?;
    let (kubectl, texts) =
        parallel::both(|| Kubectl::find(&root, arguments.context.as_deref()), || texts(&manifests, &root, deadline));
    let places = all_places(texts)?;
    let kubectl = kubectl?;
    let record = record(&root, &here, arguments.digests.as_deref())?;
    if arguments.apply && !arguments.dry_run {
        check_context(&kubectl, arguments, &settings)?;
    }
    let namespaces = namespaces(&places, arguments, &kubectl)?;
    let (repositories, names) = ours(&metadata, &settings, &record.clone().unwrap_or_default());
    // A record that is named decides alone.
    let expected = if arguments.digests.is_some() { Vec::new() } else { places };
    let has_record = record.is_some();
    let expectations = Expectations::new(repositories, names, expected, &record.unwrap_or_default());
    if expectations.is_empty() && !placeholders_pass && !arguments.dry_run {
        let why = match has_record {
            true => "the digest record names no image, so nothing could be told".to_owned(),
            false => format!(
                "there is no digest record `{}`, and no manifest names an image of ours, so nobody knows which images \
                 should run",
                root.join(RECORD_PATH)
            ),
        };
        bail!("{why}\n`cargo xtask publish` writes it and pins the manifests, `--digests FILE` names another");
    }
    let exclude = settings.smoke.exclude.iter().chain(&arguments.exclude).cloned().collect();
    let plan = Plan {
        namespaces,
        named_namespace: arguments.namespace.first().filter(|_| arguments.namespace.len() == 1).cloned(),
        expectations,
        selection: Selection { selector: arguments.selector.clone(), exclude },
        manifests,
        placeholders_pass,
        settle: arguments.settle.unwrap_or(settings.smoke.settle),
        deadline,
    };
    Ok((plan, kubectl))
}

/// Which images are ours, and the names of our components: binaries of members that no setting excludes.
fn ours(metadata: &Metadata, settings: &WorkspaceSettings, record: &DigestRecord) -> (Repositories, Vec<String>) {
    let mut names = Vec::new();
    for package in metadata.workspace_packages().into_iter().filter(|package| package.name.as_str() != "xtask") {
        let binaries = package.targets.iter().filter(|target| target.is_bin()).map(|target| target.name.clone());
        let is_component =
            |name: &String| !settings.exclude.iter().any(|excluded| excluded.matches(&package.name, name));
        names.extend(binaries.filter(is_component));
    }
    let (ci_registry, repository) = (variable("CI_REGISTRY"), variable("GITHUB_REPOSITORY"));
    let environments = settings.environments.values().map(|environment| environment.registry.as_str());
    let mut registries: BTreeSet<_> = environments.chain([settings.registry.as_str()]).collect();
    registries.extend(ci_registry.as_deref());
    let naming = Naming {
        components: names.iter().map(String::as_str).collect(),
        template: &settings.repository,
        registries,
        owner: repository.as_deref().and_then(|name| name.split_once('/')).map(|(owner, _)| owner),
    };
    (Repositories::new(&naming, Some(record)), names)
}

/// The record, if there is one.
fn record(root: &Utf8Path, here: &Utf8Path, named: Option<&Utf8Path>) -> Result<Option<DigestRecord>> {
    let path = named.map_or_else(|| root.join(RECORD_PATH), |path| here.join(path));
    match std::fs::read_to_string(&path) {
        Ok(text) => DigestRecord::parse(&text).with_context(|| format!("cannot read `{path}`")).map(Some),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => Ok(None),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => bail!("there is no digest record `{path}`"),
        Err(error) => Err(error).with_context(|| format!("cannot read `{path}`")),
    }
}

/// The manifests as they are applied, with where they come from.
fn texts(manifests: &[Utf8PathBuf], root: &Utf8Path, deadline: Instant) -> Result<Vec<(Utf8PathBuf, String)>> {
    let mut texts = Vec::new();
    for path in manifests {
        if is_kustomization(path) {
            let shell = process::shell_in(root)?;
            let command = xshell::cmd!(shell, "kubectl kustomize {path}").quiet();
            let text = process::read_until(command, deadline).with_context(|| format!("cannot render `{path}`"))?;
            texts.push((path.clone(), text));
            continue;
        }
        for file in WalkDir::new(path).sort_by_file_name() {
            let file = file.with_context(|| format!("cannot read `{path}`"))?;
            let extension = file.path().extension().and_then(|extension| extension.to_str());
            if matches!(extension, Some("yaml" | "yml" | "json")) && file.path().is_file() {
                let name = Utf8PathBuf::from_path_buf(file.into_path())
                    .map_err(|path| anyhow!("the name of `{}` is no UTF-8", path.display()))?;
                let text = std::fs::read_to_string(&name).with_context(|| format!("cannot read `{name}`"))?;
                texts.push((name, text));
            }
        }
    }
    Ok(texts)
}

fn all_places(texts: Result<Vec<(Utf8PathBuf, String)>>) -> Result<Vec<Place>> {
    let mut all = Vec::new();
    for (path, text) in texts? {
        all.extend(places(&text).map_err(|error| anyhow!("`{path}` is no YAML: {error}"))?);
    }
    Ok(all)
}

/// Applying goes where somebody said that it may.
fn check_context(kubectl: &Kubectl, arguments: &SmokeArgs, settings: &WorkspaceSettings) -> Result<()> {
    let Kubectl { context, server, .. } = kubectl;
    let is_named = arguments.context.is_some() || kubectl.is_in_cluster() || settings.smoke.contexts.contains(context);
    if is_named {
        return Ok(());
    }
    bail!(
        "nothing is applied: the current context `{context}` ({server}) is confirmed by nobody\n`--context {context}` \
         does for this run, `contexts = [\"{context}\"]` in `[workspace.metadata.docker.smoke]` for all"
    )
}

/// The namespaces of the manifests' workloads; where these name none, kubectl's.
fn namespaces(places: &[Place], arguments: &SmokeArgs, kubectl: &Kubectl) -> Result<Vec<String>> {
    if !arguments.namespace.is_empty() {
        let mut seen = BTreeSet::new();
        return Ok(arguments.namespace.iter().filter(|name| seen.insert(*name)).cloned().collect());
    }
    let mut found: BTreeSet<String> = places.iter().filter_map(|place| place.namespace.clone()).collect();
    if found.is_empty() || places.iter().any(|place| place.namespace.is_none()) {
        let own = kubectl.namespace.clone().unwrap_or_else(|| "default".to_owned());
        if arguments.apply && own == "default" {
            bail!(
                "the manifests name no namespace, and `default` is taken only when it is asked for\n`--namespace NAME` \
                 chooses one"
            );
        }
        found.insert(own);
    }
    Ok(found.into_iter().collect())
}
