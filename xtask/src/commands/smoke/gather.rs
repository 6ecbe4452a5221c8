//! What a run is about: the record, the manifests, the namespace.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};
use camino::{Utf8Path, Utf8PathBuf};

use crate::cli::SmokeArgs;
use crate::cluster::Kubectl;
use crate::commands::manifests::files::Manifests;
use crate::commands::manifests::{self, placeholder_variable};
use crate::image::record::{DigestRecord, RECORD_PATH};
use crate::system::{cargo, process};
use crate::workspace::settings::workspace_settings;

/// What a run is about.
pub(super) struct Plan {
    /// The namespace to look at.
    pub(super) namespace: String,
    /// The namespace that kubectl is told when it applies: only one that the user named.
    pub(super) named_namespace: Option<String>,
    /// Which images must run.
    pub(super) record: DigestRecord,
    /// The manifests, and which of them are applied.
    pub(super) manifests: Manifests,
    /// Whether placeholder images pass.
    pub(super) placeholders_pass: bool,
}

/// Reads all that lies on this machine; kubectl comes with its context chosen.
pub(super) fn gather(manifest: Option<&Utf8Path>, arguments: &SmokeArgs) -> Result<(Plan, Kubectl)> {
    let here = Utf8PathBuf::from_path_buf(std::env::current_dir().context("cannot read the current folder")?)
        .map_err(|path| anyhow::anyhow!("the name of `{}` is no UTF-8", path.display()))?;
    let metadata = cargo::metadata(&process::shell_in(&here)?, manifest)?;
    let root = metadata.workspace_root.clone();
    let settings = workspace_settings(&metadata.workspace_metadata, &root.join("Cargo.toml"))?;
    let manifests = manifests::files::read(&root, &settings)?;
    if arguments.apply {
        manifests.check_applicable(&settings)?;
    }
    let placeholders_pass = placeholder_variable()?;
    let record = record(&root, &here, arguments.digests.as_deref(), placeholders_pass || arguments.dry_run)?;
    let kubectl = Kubectl::find(&root, arguments.context.as_deref())?;
    let namespace = match &arguments.namespace {
        Some(name) => name.clone(),
        None => namespace(&manifests, &kubectl)?,
    };
    let named_namespace = arguments.namespace.clone();
    Ok((Plan { namespace, named_namespace, record, manifests, placeholders_pass }, kubectl))
}

/// The record; where it may be missing, an empty one.
fn record(root: &Utf8Path, here: &Utf8Path, named: Option<&Utf8Path>, may_be_missing: bool) -> Result<DigestRecord> {
    let path = named.map_or_else(|| root.join(RECORD_PATH), |path| here.join(path));
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let record = DigestRecord::parse(&text).with_context(|| format!("cannot read `{path}`"))?;
            if record.images.is_empty() && !may_be_missing {
                bail!("the digest record `{path}` names no image, so nothing could be told");
            }
            Ok(record)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() && may_be_missing => {
            Ok(DigestRecord::default())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => bail!(
            "there is no digest record `{path}`, so nobody knows which images should run\n`cargo xtask publish` writes \
             it, `--digests FILE` names another"
        ),
        Err(error) => Err(error).with_context(|| format!("cannot read `{path}`")),
    }
}

/// The one namespace of the manifests, else kubectl's.
fn namespace(manifests: &Manifests, kubectl: &Kubectl) -> Result<String> {
    let mut found: BTreeSet<String> = manifests.entries.iter().flat_map(|entry| manifests.namespaces(entry)).collect();
    if found.len() > 1 {
        let names = found.into_iter().collect::<Vec<_>>().join("`, `");
        bail!("the manifests are for several namespaces, `{names}`: choose one with `--namespace NAME`");
    }
    let of_context = || kubectl.namespace.clone().unwrap_or_else(|| "default".to_owned());
    Ok(found.pop_first().unwrap_or_else(of_context))
}
