//! The manifests of a workspace, read.

use anyhow::{Context, Result, bail};
use camino::{Utf8Path, Utf8PathBuf};
use walkdir::{DirEntry, WalkDir};

use crate::workspace::settings::WorkspaceSettings;

/// Reads the YAML files that the setting `manifests` names, sorted by path: each file it names, and
/// in each folder all `*.yaml` and `*.yml`. Folders behind links are not entered, nor are hidden ones.
/// Gives path below the root and text; a file that is reached on two ways comes once.
///
/// # Errors
/// A configured file or folder that is missing; a file that cannot be read or is no UTF-8.
pub(crate) fn read(root: &Utf8Path, settings: &WorkspaceSettings) -> Result<Vec<(Utf8PathBuf, String)>> {
    let mut paths = Vec::new();
    for named in &settings.manifests {
        let path = root.join(named);
        if !path.exists() {
            // The default folder need not be there.
            if settings.manifests == WorkspaceSettings::default().manifests {
                continue;
            }
            bail!("`{named}`, which `manifests` in `[workspace.metadata.docker]` of `Cargo.toml` names, is missing");
        }
        let entered = |entry: &DirEntry| entry.depth() == 0 || !entry.file_name().as_encoded_bytes().starts_with(b".");
        for entry in WalkDir::new(&path).sort_by_file_name().into_iter().filter_entry(entered) {
            let entry = entry.with_context(|| format!("cannot read `{named}`"))?;
            let found = Utf8PathBuf::from_path_buf(entry.into_path())
                .map_err(|path| anyhow::anyhow!("the name of `{}` is no UTF-8", path.display()))?;
            if found.is_file() && (found == path || matches!(found.extension(), Some("yaml" | "yml"))) {
                paths.push(found);
            }
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    let mut files = Vec::new();
    paths.sort();
    for path in paths {
        let shown = path.strip_prefix(root).unwrap_or(&path).to_owned();
        // A link's target is the file that is replaced.
        let real = path.canonicalize_utf8().with_context(|| format!("cannot read `{shown}`"))?;
        if seen.insert(real) {
            let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read `{shown}`"))?;
            files.push((shown, text));
        }
    }
    Ok(files)
}
