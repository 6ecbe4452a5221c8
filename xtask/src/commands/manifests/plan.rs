//! What pinning the workspace's manifests would change.

use std::collections::BTreeSet;

use anyhow::{Context, Result, anyhow};
use camino::{Utf8Path, Utf8PathBuf};

use super::deployed::{self, Undeployed};
use super::files::{self, ManifestFile, Manifests, PlannedFile};
use super::rendered;
use super::repositories::repositories;
use crate::gather::workspace::Workspace;
use crate::image::record::DigestRecord;
use crate::kubernetes::kustomization::Entry;
use crate::kubernetes::pinning::naming::{Refusal, Scope};
use crate::kubernetes::pinning::pin::{Images, Pinned, pin};
use crate::kubernetes::pinning::values::pin_values;
use crate::system::files::{Replacement, replace_all};
use crate::system::parallel;
use crate::workspace::manifest_settings::ManifestSource;
use crate::workspace::settings::tidy;

/// The manifests, and what they become.
pub(crate) struct PinPlan {
    pub(super) root: Utf8PathBuf,
    /// In the order of their paths.
    pub(super) files: Vec<PlannedFile>,
    /// Files that cannot be pinned, and why, a line each.
    pub(super) refused: Vec<String>,
    /// What is not looked at, or not ours and looks like it.
    pub(super) notes: Vec<String>,
    /// Recorded components that nothing applied names.
    pub(super) undeployed: Vec<Undeployed>,
    pub(super) entries: Vec<Entry>,
    /// What becomes of kustomizations and should not, a line each.
    pub(super) wrong: Vec<String>,
}

/// What pinning the workspace's manifests to `record` would change. A workspace without manifests
/// gives an empty plan.
///
/// # Errors
/// A configured file or folder that is missing.
pub(crate) fn plan(workspace: &Workspace, record: &DigestRecord) -> Result<PinPlan> {
    let manifests = files::read(workspace.root(), &workspace.packages.settings)?;
    plan_texts(workspace, manifests, Some(record), Images::Recorded(record), false)
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

impl PinPlan {
    pub(super) fn changed(&self) -> impl Iterator<Item = &PlannedFile> {
        self.files.iter().filter(|file| file.manifest.text != file.pinned.text)
    }

    /// Paths of the files that change, below the workspace root.
    pub(crate) fn changed_paths(&self) -> Vec<&Utf8Path> {
        self.changed().map(|file| file.manifest.path.as_path()).collect()
    }

    /// Holds what the kustomizations on disk become against `record`.
    pub(super) fn look_at_rendered(&mut self, workspace: &Workspace, record: &DigestRecord) {
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
    pub(super) fn tell_notes(&self) {
        for note in &self.notes {
            eprintln!("note: {note}");
        }
    }
}

pub(super) fn plan_texts(
    workspace: &Workspace,
    manifests: Manifests,
    record: Option<&DigestRecord>,
    images: Images<'_>,
    adopt: bool,
) -> Result<PinPlan> {
    let settings = &workspace.packages.settings;
    let repositories = repositories(workspace, record);
    deployed::check_settings(workspace)?;
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
        let values = settings.manifests.iter().filter_map(ManifestSource::value);
        let named: Vec<_> = values.filter(|value| tidy(&value.file) == file.path).collect();
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
        Some(record) => deployed::undeployed(workspace, record, &planned, &names_of(&planned)),
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

fn refusal_line(path: &Utf8Path, refusal: &Refusal) -> String {
    let column = refusal.column.map(|column| format!(":{column}")).unwrap_or_default();
    format!("`{path}:{}{column}`: {}", refusal.line, refusal.message)
}
