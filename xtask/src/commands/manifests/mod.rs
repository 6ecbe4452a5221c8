//! `manifests`: pins the images of the workspace's manifests to the digest record.

#[cfg(test)]
mod corpus;
mod deployed;
pub(crate) mod files;
mod init;
mod rendered;
mod report;

use std::collections::BTreeSet;

use anyhow::{Context, Result, anyhow, bail, ensure};
use camino::{Utf8Path, Utf8PathBuf};

use self::deployed::{Undeployed, check_settings, undeployed};
use self::files::{ManifestFile, Manifests};
use super::Outcome;
use crate::cli::ManifestsArgs;
use crate::gather::record;
use crate::gather::workspace::Workspace;
use crate::image::record::{DigestRecord, RECORD_PATH};
use crate::kubernetes::kustomization::Entry;
use crate::kubernetes::ours::{Naming, Repositories};
use crate::kubernetes::pinning::naming::{Refusal, Scope};
use crate::kubernetes::pinning::pin::{Images, Pinned, pin};
use crate::kubernetes::pinning::values::pin_values;
use crate::system::environment::variable;
use crate::system::files::{Replacement, replace_all};
use crate::system::parallel;
use crate::workspace::manifest_settings::ManifestSource;
use crate::workspace::settings::WorkspaceSettings;
use crate::workspace::settings::tidy;

/// The manifests, and what they become.
pub(crate) struct PinPlan {
    root: Utf8PathBuf,
    /// In the order of their paths.
    files: Vec<PlannedFile>,
    /// Files that cannot be pinned, and why, a line each.
    refused: Vec<String>,
    /// What is not looked at, or not ours and looks like it.
    notes: Vec<String>,
    /// Recorded components that nothing applied names.
    undeployed: Vec<Undeployed>,
    /// What kubectl is to apply.
    entries: Vec<Entry>,
    /// What becomes of kustomizations and should not, a line each.
    wrong: Vec<String>,
}

struct PlannedFile {
    manifest: ManifestFile,
    pinned: Pinned,
}

/// Pins, checks or lists.
pub(crate) fn run(manifest: Option<&Utf8Path>, arguments: &ManifestsArgs) -> Result<Outcome> {
    let placeholder = arguments.placeholder || placeholder_variable()?;
    ensure!(!(placeholder && arguments.adopt), "`--adopt` writes digests, and `XTASK_IMAGES` asks for placeholders");
    let (workspace, record) =
        Workspace::load_beside(manifest, &[], |root| record::read_named(root, arguments.digests.as_deref()))?;
    // Placeholders need no record, and with one they know more repositories.
    let record = record?;
    let images = match (&record, placeholder) {
        (_, true) => Some(Images::Placeholder),
        (Some(record), false) => Some(Images::Recorded(record)),
        (None, false) => None,
    };
    let manifests = read(&workspace)?;
    if arguments.init {
        return init::run(&workspace, manifests, record.as_ref(), arguments);
    }
    let is_empty = manifests.is_empty();
    if is_empty {
        eprintln!("{}", report::nothing_to_pin(&workspace));
    }
    let images = match images {
        Some(images) => images,
        None if is_empty => Images::Placeholder,
        None => bail!(record::missing(&workspace.root().join(RECORD_PATH))),
    };
    let mut plan = plan_texts(&workspace, manifests, record.as_ref(), images, arguments.adopt)?;
    if !(arguments.check || arguments.dry_run) {
        apply(&plan)?;
    }
    // What is not written cannot be rendered.
    let is_written = !(arguments.check || arguments.dry_run) || plan.changed().next().is_none();
    if let Some(record) = record.filter(|_| is_written && !placeholder) {
        plan.look_at_rendered(&workspace, &record);
    }
    match arguments.check {
        true => report::check(&plan, placeholder),
        false => report::report(&plan, arguments),
    }
}

/// What pinning the workspace's manifests to `record` would change. A workspace without manifests
/// gives an empty plan.
///
/// # Errors
/// A configured file or folder that is missing.
pub(crate) fn plan(workspace: &Workspace, record: &DigestRecord) -> Result<PinPlan> {
    plan_texts(workspace, read(workspace)?, Some(record), Images::Recorded(record), false)
}

/// Writes the files that change: all of them, or none.
///
/// # Errors
/// A file cannot be pinned or written, or is no longer what was read.
pub(crate) fn apply(plan: &PinPlan) -> Result<()> {
    if !plan.refused.is_empty() {
        plan.tell_notes();
        return Err(anyhow!("{}", plan.refused.join("\n")).context("manifests cannot be pinned, and none was changed"));
    }
    let mut files = Vec::new();
    for file in plan.changed() {
        // Behind a link, the file itself is replaced, not the link.
        let shown = &file.manifest.path;
        let path = plan.root.join(shown).canonicalize_utf8().with_context(|| format!("cannot read `{shown}`"))?;
        let (old, new) = (file.manifest.text.clone().into_bytes(), file.pinned.text.clone().into_bytes());
        files.push(Replacement { path, old: Some(old), new });
    }
    replace_all(&files)
}

/// Says after a publication what of it no manifest will bring to a cluster.
pub(crate) fn warn(workspace: &Workspace, plan: &mut PinPlan, record: &DigestRecord) {
    if plan.files.is_empty() {
        return eprintln!("{}", report::nothing_to_pin(workspace));
    }
    plan.look_at_rendered(workspace, record);
    plan.tell_notes();
    for line in &plan.wrong {
        eprintln!("warning: {line}");
    }
    if let Some(text) = report::undeployed(plan) {
        eprintln!("warning: {text}");
    }
}

impl PinPlan {
    fn changed(&self) -> impl Iterator<Item = &PlannedFile> {
        self.files.iter().filter(|file| file.manifest.text != file.pinned.text)
    }

    /// Paths of the files that change, below the workspace root.
    pub(crate) fn changed_paths(&self) -> Vec<&Utf8Path> {
        self.changed().map(|file| file.manifest.path.as_path()).collect()
    }

    /// Holds what the kustomizations on disk become against `record`.
    fn look_at_rendered(&mut self, workspace: &Workspace, record: &DigestRecord) {
        let repositories = repositories(workspace, Some(record));
        let adopted = BTreeSet::new();
        let image_paths = &workspace.packages.settings.image_paths;
        let scope = Scope { repositories: &repositories, image_paths, adopted: &adopted };
        let rendered = match rendered::render(&self.root, &self.entries, scope, Images::Recorded(record)) {
            Ok(Some(rendered)) => rendered,
            Ok(None) => return,
            Err(error) => {
                let what = "what patches, transformers and entries make of the kustomizations was not looked at";
                return self.notes.push(format!("{what}: {error:#}"));
            }
        };
        let is_rendered = |path: &Utf8PathBuf| {
            let mut all = self.entries.iter().filter(|entry| matches!(entry, Entry::Kustomization(..)));
            all.any(|entry| entry.files().contains(path))
        };
        let others = self.files.iter().filter(|file| !is_rendered(&file.manifest.path));
        let named = deployed::named(others, true).map(str::to_owned).chain(rendered.named).collect();
        self.undeployed = deployed::undeployed(workspace, record, &self.files, &named);
        self.wrong = rendered.wrong;
    }

    /// Says what was not looked at, and what looks like ours.
    pub(crate) fn tell_notes(&self) {
        for note in &self.notes {
            eprintln!("note: {note}");
        }
    }
}

fn plan_texts(
    workspace: &Workspace,
    manifests: Manifests,
    record: Option<&DigestRecord>,
    images: Images<'_>,
    adopt: bool,
) -> Result<PinPlan> {
    let settings = &workspace.packages.settings;
    let repositories = repositories(workspace, record);
    check_settings(workspace)?;
    let pin_all = |manifests: Vec<ManifestFile>, adopted: &BTreeSet<String>| {
        let scope = Scope { repositories: &repositories, image_paths: &settings.image_paths, adopted };
        split(parallel::map(manifests, parallel::processors(), |manifest| {
            let result = pin(&manifest.text, manifest.path.file_name().unwrap_or_default(), scope, images);
            (manifest, result)
        }))
    };
    let Manifests { files, values, unreadable, missing: mut notes, has_unseen, entries, .. } = manifests;
    let is_placeholder = matches!(images, Images::Placeholder);
    let pinned = values.into_iter().filter_map(|file| {
        let named: Vec<_> = settings
            .manifests
            .iter()
            .filter_map(ManifestSource::value)
            .filter(|value| tidy(&value.file) == file.path)
            .collect();
        let mut result = pin_values(&file.text, &named, &repositories, record?);
        if let (true, Ok(pinned)) = (is_placeholder, &mut result) {
            notes.push(format!("`{}` is left alone: only manifests take placeholders", file.path));
            pinned.leave(&file.text);
        }
        Some((file, result))
    });
    let (of_values, of_values_refused) = split(pinned.collect());
    let (mut planned, refused) = pin_all(files, &BTreeSet::new());
    let mut refused = [unreadable, of_values_refused, refused].concat();
    planned.extend(of_values);
    // What a file that cannot be read names, nobody knows.
    let names_of = |files: &[PlannedFile]| deployed::named(files.iter(), !has_unseen).map(str::to_owned).collect();
    let mut undeployed = match record.filter(|_| refused.is_empty()) {
        Some(record) => undeployed(workspace, record, &planned, &names_of(&planned)),
        None => Vec::new(),
    };
    if let Some(record) = record.filter(|_| adopt && !undeployed.is_empty()) {
        let adopted = undeployed.iter().map(|component| component.name.clone()).collect();
        let is_near = |file: &PlannedFile| !file.pinned.near.is_empty();
        let (near, others): (Vec<_>, Vec<_>) = planned.into_iter().partition(is_near);
        let again = pin_all(near.into_iter().map(|file| file.manifest).collect(), &adopted);
        planned = [others, again.0].into_iter().flatten().collect();
        refused = again.1;
        undeployed = deployed::undeployed(workspace, record, &planned, &names_of(&planned));
    }
    planned.sort_by(|a, b| a.manifest.path.cmp(&b.manifest.path));
    notes.extend(planned.iter().flat_map(deployed::notes));
    notes.extend(deployed::alike(&planned, &undeployed));
    Ok(PinPlan {
        root: workspace.root().to_owned(),
        files: planned,
        refused,
        notes,
        undeployed,
        entries,
        wrong: Vec::new(),
    })
}

/// What can be pinned, and a line for each reason why the rest cannot.
fn split(pinned: Vec<(ManifestFile, Result<Pinned, Vec<Refusal>>)>) -> (Vec<PlannedFile>, Vec<String>) {
    let (mut planned, mut refused) = (Vec::new(), Vec::new());
    for (manifest, result) in pinned {
        match result {
            Ok(pinned) => planned.push(PlannedFile { manifest, pinned }),
            Err(refusals) => refused.extend(refusals.iter().map(|refusal| refusal_line(&manifest.path, refusal))),
        }
    }
    (planned, refused)
}

/// Repositories of our components: at the registry of the settings, of each environment, and of CI.
pub(crate) fn repositories(workspace: &Workspace, record: Option<&DigestRecord>) -> Repositories {
    let components = workspace.components.iter().map(|component| component.name.as_str()).collect();
    repositories_of(&workspace.packages.settings, components, record)
}

/// As [`repositories`], for components of these names.
pub(crate) fn repositories_of(
    settings: &WorkspaceSettings,
    components: Vec<&str>,
    record: Option<&DigestRecord>,
) -> Repositories {
    let (ci_registry, repository) = (variable("CI_REGISTRY"), variable("GITHUB_REPOSITORY"));
    let template = settings.repository.as_str();
    let environments = settings
        .environments
        .values()
        .map(|environment| (environment.registry.as_str(), environment.repository.as_deref().unwrap_or(template)));
    let own = ci_registry.as_deref().into_iter().chain([settings.registry.as_str()]);
    let registries = environments.chain(own.map(|registry| (registry, template))).collect();
    let owner = repository.as_deref().and_then(|name| name.split_once('/')).map(|(owner, _)| owner);
    Repositories::new(&Naming { components, registries, owner }, record)
}

/// The workspace's manifests.
///
/// # Errors
/// A configured file or folder that is missing.
pub(crate) fn read(workspace: &Workspace) -> Result<Manifests> {
    files::read(workspace.root(), &workspace.packages.settings)
}

/// Whether `XTASK_IMAGES` asks for placeholders.
///
/// # Errors
/// It has another value.
pub(crate) fn placeholder_variable() -> Result<bool> {
    match variable("XTASK_IMAGES").as_deref() {
        None => Ok(false),
        Some("placeholder") => Ok(true),
        Some(other) => bail!("`XTASK_IMAGES={}` is unknown; only `placeholder` means something", other.escape_debug()),
    }
}

fn refusal_line(path: &Utf8Path, refusal: &Refusal) -> String {
    let column = refusal.column.map(|column| format!(":{column}")).unwrap_or_default();
    format!("`{path}:{}{column}`: {}", refusal.line, refusal.message)
}
