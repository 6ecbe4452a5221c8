//! What a run is about: the images that should run, the manifests, the namespaces.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail, ensure};
use camino::{Utf8Path, Utf8PathBuf};
use cargo_metadata::Metadata;

use crate::cli::SmokeArgs;
use crate::cluster::Kubectl;
use crate::commands::chosen_release::instead_of;
use crate::commands::environments::{client_of, named_environment, own_client};
use crate::commands::manifests::files::Manifests;
use crate::commands::manifests::{self, placeholder_variable};
use crate::errors::hinted;
use crate::gather::record;
use crate::gather::workspace::Workspace;
use crate::image::record::DigestRecord;
use crate::kubernetes::image_owners::Repositories;
use crate::kubernetes::smoke::expected_images::{Expectations, Place, places};
use crate::kubernetes::smoke::selection::Selection;
use crate::registry::Client;
use crate::system::{cargo, process};
use crate::workspace::settings::{WorkspaceSettings, workspace_settings};

/// What a run is about.
pub(super) struct Plan {
    pub(super) namespaces: Vec<String>,
    /// The namespace that kubectl is told when it applies: only one that the user named.
    pub(super) named_namespace: Option<String>,
    pub(super) expectations: Expectations,
    /// Components that the settings let be deployed by nobody.
    pub(super) undeployed: Vec<String>,
    pub(super) selection: Selection,
    /// The manifests, and which of them are applied.
    pub(super) manifests: Manifests,
    pub(super) placeholders_pass: bool,
    /// Asks registries.
    pub(super) client: Arc<Client>,
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
    let mut settings = workspace_settings(&metadata.workspace_metadata, &root.join("Cargo.toml"))?;
    let mut place = None;
    if let Some(name) = &arguments.env {
        let (own, environment) = named_environment(settings, name)?;
        (settings, place) = (own, Some(environment));
    }
    let insecure = &arguments.insecure_registry;
    let client = match &place {
        Some(environment) => client_of(environment, insecure),
        None => own_client(insecure),
    };
    let (context, namespace) = place.map(|place| (place.context, place.namespace)).unwrap_or_default();
    let context = arguments.context.as_ref().or(context.as_ref());
    let manifests = manifests::files::read(&root, &settings)?;
    if arguments.apply {
        manifests.check_applicable(&settings)?;
    }
    ensure!(manifests.unreadable.is_empty(), "{}", manifests.unreadable.join("\n"));
    let placeholders_pass = placeholder_variable()?;
    let mut kubectl = Kubectl::find(&root, context.map(String::as_str), deadline)?;
    kubectl.namespace = namespace.clone().or(kubectl.namespace);
    let places = all_places(&manifests, &root, deadline)?;
    let record = record::read_named(&root, arguments.digests.as_deref(), arguments.env.as_deref())?;
    if arguments.apply && !arguments.dry_run {
        check_context(&kubectl, context.is_some(), &settings)?;
    }
    let namespaces = namespaces(&places, arguments, &kubectl)?;
    // A record that is named decides alone.
    let expected = if arguments.digests.is_some() { Vec::new() } else { places };
    let expectations = |record: Option<&DigestRecord>| {
        let record = record.cloned().unwrap_or_default();
        Expectations::new(ours(&metadata, &settings, &record), expected.clone(), &record)
    };
    let mut expected_images = expectations(record.as_ref());
    if expected_images.is_empty() && !placeholders_pass && !arguments.dry_run {
        // Without pins and without a record, a release says what should run.
        ensure!(
            record.is_none(),
            hinted(
                "the digest record names no image, so nothing could be told",
                "`cargo xtask publish` writes it and pins the manifests, `--digests FILE` names another"
            )
        );
        let path = record::path_in(&root, None, arguments.env.as_deref());
        let record = Workspace::load(manifest, &[])
            .map_err(|cause| record::missing(&path, Some(cause)))
            .and_then(|workspace| instead_of(&path, &workspace, arguments.env.as_deref(), insecure))
            .context("no manifest names an image of ours, so nobody knows which images should run")?;
        expected_images = expectations(Some(&record));
    }
    let exclude = settings.smoke.exclude.iter().chain(&arguments.exclude).cloned().collect();
    let plan = Plan {
        namespaces,
        named_namespace: match arguments.namespace.as_slice() {
            [] => namespace,
            [one] => Some(one.clone()),
            _ => None,
        },
        expectations: expected_images,
        undeployed: settings.undeployed,
        selection: Selection { selector: arguments.selector.clone(), exclude },
        manifests,
        placeholders_pass,
        client: Arc::new(client),
        settle: arguments.settle.unwrap_or(settings.smoke.settle),
        deadline,
    };
    Ok((plan, kubectl))
}

/// Which images are ours. Components are binaries of members that no setting excludes.
fn ours(metadata: &Metadata, settings: &WorkspaceSettings, record: &DigestRecord) -> Repositories {
    let mut names = Vec::new();
    for package in metadata.workspace_packages().into_iter().filter(|package| package.name.as_str() != "xtask") {
        let binaries = package.targets.iter().filter(|target| target.is_bin()).map(|target| target.name.clone());
        let is_component =
            |name: &String| !settings.exclude.iter().any(|excluded| excluded.matches(&package.name, name));
        names.extend(binaries.filter(is_component));
    }
    names.extend(record.images.keys().cloned());
    manifests::repositories_of(settings, names.iter().map(String::as_str).collect(), Some(record))
}

/// The containers of all that is applied, as it is applied.
fn all_places(manifests: &Manifests, root: &Utf8Path, deadline: Instant) -> Result<Vec<Place>> {
    let mut all = Vec::new();
    for (path, text) in manifests::applied_texts(root, manifests, deadline)? {
        all.extend(places(&text).map_err(|error| anyhow!("`{path}` is no YAML: {error}"))?);
    }
    Ok(all)
}

/// Applying goes where somebody said that it may.
pub(crate) fn check_context(kubectl: &Kubectl, is_named: bool, settings: &WorkspaceSettings) -> Result<()> {
    let Kubectl { context, server, .. } = kubectl;
    let is_named = is_named || kubectl.is_in_cluster() || settings.smoke.contexts.contains(context);
    if is_named {
        return Ok(());
    }
    bail!(hinted(
        format!("nothing is applied: the current context `{context}` ({server}) is confirmed by nobody"),
        format!(
            "`--context {context}` does for this run, `contexts = [\"{context}\"]` in \
             `[workspace.metadata.docker.smoke]` for all"
        )
    ))
}

/// The namespaces of the manifests' workloads; where these name none, kubectl's.
fn namespaces(places: &[Place], arguments: &SmokeArgs, kubectl: &Kubectl) -> Result<Vec<String>> {
    if arguments.apply
        && arguments.namespace.len() > 1
        && let Some(place) = places.iter().find(|place| place.namespace.is_none())
    {
        bail!(hinted(
            format!("{} names no namespace, and of several `--namespace` nobody knows which is meant", place.shown()),
            "write it into the manifests, or apply to one at a time"
        ));
    }
    if !arguments.namespace.is_empty() {
        let mut seen = BTreeSet::new();
        return Ok(arguments.namespace.iter().filter(|name| seen.insert(*name)).cloned().collect());
    }
    let mut found: BTreeSet<String> = places.iter().filter_map(|place| place.namespace.clone()).collect();
    if found.is_empty() || places.iter().any(|place| place.namespace.is_none()) {
        let own = kubectl.namespace.clone().unwrap_or_else(|| "default".to_owned());
        if arguments.apply && own == "default" {
            let error = "the manifests name no namespace, and `default` is taken only when it is asked for";
            bail!(hinted(error, "`--namespace NAME` chooses one"));
        }
        found.insert(own);
    }
    Ok(found.into_iter().collect())
}
