//! The manifests of a workspace, read: one list for pinning and for applying.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};
use camino::{Utf8Path, Utf8PathBuf};
use walkdir::{DirEntry, WalkDir};

use crate::errors::hinted;
use crate::kubernetes::kustomization::{self, Entry, Kustomization};
use crate::kubernetes::manifest::{is_compose, makes_namespaces, name_their_namespaces};
use crate::kubernetes::pinning::pin::Pinned;
use crate::kubernetes::yaml::parse::parse;
use crate::workspace::manifest_settings::ManifestSource;
use crate::workspace::settings::{WorkspaceSettings, tidy};

/// The manifests of a workspace. Paths are below its root.
#[derive(Debug, Default)]
pub(crate) struct Manifests {
    /// All files, in the order of their paths; those behind kustomizations, wherever they are, are among them.
    pub(crate) files: Vec<ManifestFile>,
    /// Files of other tools that hold values of ours.
    pub(crate) values: Vec<ManifestFile>,
    /// What `kubectl apply` gets, in the settings' order.
    pub(crate) entries: Vec<Entry>,
    /// Files that cannot be read, and why.
    pub(crate) unreadable: Vec<String>,
    /// What kustomizations name and is not there.
    pub(crate) missing: Vec<String>,
    /// Whether kustomizations take in what is not here: repositories of others, charts.
    pub(crate) has_unseen: bool,
    /// Kustomizations that are variants of the same: which of them to apply, only the settings can tell.
    pub(crate) variants: Vec<Utf8PathBuf>,
}

impl Manifests {
    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty() && self.values.is_empty() && self.unreadable.is_empty()
    }

    /// Whether the objects of `entry` name several namespaces, and each its own.
    pub(crate) fn name_their_namespaces(&self, entry: &Entry) -> bool {
        matches!(entry, Entry::Files(_)) && name_their_namespaces(self.texts(entry))
    }

    fn texts<'a>(&'a self, entry: &'a Entry) -> impl Iterator<Item = &'a str> {
        let text =
            |path: &Utf8PathBuf| self.files.iter().find(|file| file.path == *path).map(|file| file.text.as_str());
        entry.files().iter().filter_map(text)
    }

    /// Whether it is told what to apply.
    ///
    /// # Errors
    /// There is nothing, it cannot be read, or there are variants of the same.
    pub(crate) fn check_applicable(&self, settings: &WorkspaceSettings) -> Result<()> {
        const SETTING: &str = "`manifests` in `[workspace.metadata.docker]` names what is applied";
        ensure!(self.unreadable.is_empty(), "{}", self.unreadable.join("\n"));
        let quoted = |paths: &[&Utf8Path]| paths.iter().map(|path| format!("`{path}`")).collect::<Vec<_>>().join(", ");
        if !self.variants.is_empty() {
            let variants: Vec<&Utf8Path> = self.variants.iter().map(|path| path.as_path()).collect();
            let variants = quoted(&variants);
            bail!(hinted(
                format!("the kustomizations {variants} share files, so only one of them can be applied"),
                SETTING
            ));
        }
        let named: Vec<&Utf8Path> = settings.manifests.iter().map(ManifestSource::path).collect();
        ensure!(
            !self.entries.is_empty(),
            hinted(format!("there is nothing to apply: no manifest in {}", quoted(&named)), SETTING)
        );
        Ok(())
    }
}

/// A manifest.
#[derive(Debug)]
pub(crate) struct ManifestFile {
    pub(crate) path: Utf8PathBuf,
    pub(crate) text: String,
    /// Whether it is part of what is applied: below a kustomization, what that does not lead to is not.
    pub(crate) is_applied: bool,
}

/// A manifest and what pinning makes of it.
pub(super) struct PlannedFile {
    pub(super) manifest: ManifestFile,
    pub(super) pinned: Pinned,
}

/// Reads what the setting `manifests` names: each file, in each folder all `*.yaml`, `*.yml`, `*.json` and
/// `Kustomization`, and all that kustomizations lead to. Folders behind links are not entered, nor are hidden
/// ones. A file that is reached on two ways comes once.
///
/// # Errors
/// A configured file or folder that is missing.
pub(crate) fn read(root: &Utf8Path, settings: &WorkspaceSettings) -> Result<Manifests> {
    let mut reader = Reader {
        root,
        values: settings.manifests.iter().filter_map(ManifestSource::value).map(|value| tidy(&value.file)).collect(),
        texts: BTreeMap::new(),
        kustomizations: BTreeMap::new(),
        found: Manifests::default(),
    };
    let mut applied = BTreeSet::new();
    for source in &settings.manifests {
        let named = tidy(source.path());
        if !root.join(&named).exists() {
            // The default folder need not be there.
            if settings.manifests == WorkspaceSettings::default().manifests {
                continue;
            }
            bail!("`{named}`, which `manifests` in `[workspace.metadata.docker]` of `Cargo.toml` names, is missing");
        }
        match source {
            ManifestSource::Path(_) => reader.source(&named, &mut applied)?,
            ManifestSource::Value(_) => reader.load(&named),
        }
    }
    let Reader { texts, values, found, .. } = reader;
    let mut seen = BTreeSet::new();
    let (mut files, mut of_values) = (Vec::new(), Vec::new());
    for (path, text) in texts {
        let Some(text) = text else { continue };
        if values.contains(&path) {
            of_values.push(ManifestFile { is_applied: true, path, text });
            continue;
        }
        // A link's target is the file that is replaced.
        let real = root.join(&path).canonicalize_utf8().with_context(|| format!("cannot read `{path}`"))?;
        let is_applied = applied.contains(&path);
        let counts = is_applied || path.extension() != Some("json");
        if counts && seen.insert(real) {
            files.push(ManifestFile { is_applied, path, text });
        }
    }
    Ok(Manifests { files, values: of_values, ..found })
}

struct Reader<'a> {
    root: &'a Utf8Path,
    /// Files of other tools, which are no manifests, wherever they lie.
    values: BTreeSet<Utf8PathBuf>,
    /// Files by path; `None` for one that cannot be read.
    texts: BTreeMap<Utf8PathBuf, Option<String>>,
    kustomizations: BTreeMap<Utf8PathBuf, Kustomization>,
    found: Manifests,
}

impl Reader<'_> {
    /// Reads a file or folder of the settings, and adds what of it is applied.
    fn source(&mut self, named: &Utf8Path, applied: &mut BTreeSet<Utf8PathBuf>) -> Result<()> {
        let mut listed = self.list(named)?;
        listed.iter().for_each(|path| self.load(path));
        // JSON that is no manifest lies in many folders.
        let is_json = |path: &Utf8Path| path != named && path.extension() == Some("json");
        listed
            .retain(|path| !is_json(path) || self.texts[path].as_ref().is_none_or(|text| text.contains("apiVersion")));
        let kustomizations: Vec<_> = listed.iter().filter(|path| kustomization::is_file(path)).cloned().collect();
        let reached: Vec<_> = kustomizations.iter().map(|path| self.reach(path)).collect();
        let folder_of = |path: &Utf8Path| path.parent().unwrap_or(Utf8Path::new("")).to_owned();
        // The folder's own decides for all below; without one, those do that no other includes.
        let own = kustomizations.iter().position(|path| path == named || folder_of(path) == named);
        let is_included = |path| reached.iter().any(|of| of.first() != Some(path) && of.contains(path));
        let roots: Vec<usize> = match own {
            Some(own) => vec![own],
            None => (0..kustomizations.len())
                .filter(|at| {
                    !is_included(&kustomizations[*at]) && !self.kustomizations[&kustomizations[*at]].is_component
                })
                .collect(),
        };
        let below = |path: &Utf8Path| kustomizations.iter().any(|of| path.starts_with(folder_of(of)));
        let plain: Vec<_> =
            listed.iter().filter(|path| !below(path) && !reached.iter().any(|of| of.contains(path))).cloned().collect();
        applied.extend(plain.iter().cloned());
        let mut objects: Vec<_> = plain.into_iter().filter(|path| !self.is_compose(path)).collect();
        // What lies in a namespace can only be made after it.
        objects.sort_by_key(|path| !self.texts[path].as_deref().is_some_and(makes_namespaces));
        if !objects.is_empty() {
            self.found.entries.push(Entry::Files(objects));
        }
        for at in &roots {
            let is_variant =
                |other: &&usize| *other != at && reached[**other].iter().any(|path| reached[*at].contains(path));
            if roots.iter().any(|other| is_variant(&other)) {
                self.found.variants.push(folder_of(&kustomizations[*at]));
            }
            applied.extend(reached[*at].iter().cloned());
            let folder = match folder_of(&kustomizations[*at]) {
                root if root.as_str().is_empty() => ".".into(),
                folder => folder,
            };
            self.found.entries.push(Entry::Kustomization(folder, reached[*at].clone()));
        }
        Ok(())
    }

    /// The file itself, or a folder's files, sorted.
    fn list(&self, named: &Utf8Path) -> Result<Vec<Utf8PathBuf>> {
        let entered = |entry: &DirEntry| entry.depth() == 0 || !entry.file_name().as_encoded_bytes().starts_with(b".");
        let mut listed = Vec::new();
        for entry in WalkDir::new(self.root.join(named)).sort_by_file_name().into_iter().filter_entry(entered) {
            let entry = entry.with_context(|| format!("cannot read `{named}`"))?;
            let depth = entry.depth();
            let found = Utf8PathBuf::from_path_buf(entry.into_path())
                .map_err(|path| anyhow::anyhow!("the name of `{}` is no UTF-8", path.display()))?;
            let is_manifest =
                matches!(found.extension(), Some("yaml" | "yml" | "json")) || kustomization::is_file(&found);
            let path = found.strip_prefix(self.root).unwrap_or(&found);
            if found.is_file() && (depth == 0 || is_manifest) && !self.values.contains(path) {
                listed.push(path.to_owned());
            }
        }
        listed.sort();
        Ok(listed)
    }

    fn is_compose(&self, path: &Utf8Path) -> bool {
        // Reading a text twice takes time, and nearly all are objects.
        let text = self.texts[path].as_deref().filter(|text| !text.contains("apiVersion"));
        let documents = text.and_then(|text| parse(text).ok());
        documents.is_some_and(|documents| documents.first().is_some_and(is_compose))
    }

    fn load(&mut self, path: &Utf8Path) {
        if self.texts.contains_key(path) {
            return;
        }
        let text = std::fs::read_to_string(self.root.join(path));
        if let Err(error) = &text {
            self.found.unreadable.push(format!("cannot read `{path}`: {error}"));
        }
        self.texts.insert(path.to_owned(), text.ok());
    }

    /// All that a kustomization leads to, itself first.
    fn reach(&mut self, path: &Utf8Path) -> Vec<Utf8PathBuf> {
        let mut reached = vec![path.to_owned()];
        let mut next = 0;
        while let Some(path) = reached.get(next).cloned() {
            next += 1;
            for named in self.named_by(&path) {
                if !reached.contains(&named) {
                    reached.push(named);
                }
            }
        }
        reached
    }

    /// The files that `path` names when it is a kustomization; for a folder, the kustomization in it.
    fn named_by(&mut self, path: &Utf8Path) -> Vec<Utf8PathBuf> {
        self.load(path);
        if !kustomization::is_file(path) {
            return Vec::new();
        }
        if !self.kustomizations.contains_key(path) {
            let text = self.texts[path].as_deref().unwrap_or_default();
            self.kustomizations
                .insert(path.to_owned(), kustomization::read(text, path.file_name().unwrap_or_default()));
        }
        self.found.has_unseen |= self.kustomizations[path].has_unseen;
        let folder = path.parent().unwrap_or(Utf8Path::new(""));
        let mut named = Vec::new();
        for name in &self.kustomizations[path].names {
            let wanted = tidy(&folder.join(name));
            if wanted.is_absolute() || wanted.starts_with("..") {
                self.found.unreadable.push(format!("`{path}` leads out of the workspace by `{name}`"));
                continue;
            }
            match kustomization::candidates(wanted).find(|path| self.root.join(path).is_file()) {
                Some(found) => named.push(found),
                None => {
                    let note = format!("`{path}` names `{name}`, which is missing");
                    if !self.found.missing.contains(&note) {
                        self.found.missing.push(note);
                    }
                }
            }
        }
        named
    }
}
