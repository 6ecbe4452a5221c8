//! What kustomizations become, held against what was pinned: patches, replacements, transformers and the order of
//! entries can each change an image after all, in more ways than files show.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::Result;
use camino::{Utf8Path, Utf8PathBuf};

use super::files::Manifests;
use crate::cluster::kubectl::kustomize;
use crate::kubernetes::image_owners::without_selector;
use crate::kubernetes::kustomization::Entry;
use crate::kubernetes::pinning::naming::Scope;
use crate::kubernetes::pinning::pin::{Images, Pinned, pin};
use crate::system::parallel;

/// Kustomizations may fetch what others publish.
const PATIENCE: Duration = Duration::from_secs(60);

/// What kubectl makes of all kustomizations.
#[derive(Default)]
pub(super) struct Rendered {
    /// Components whose images are in it.
    pub(super) named: BTreeSet<String>,
    /// Images of ours that are not what was pinned, a line each.
    pub(super) wrong: Vec<String>,
}

/// The texts that are applied, by path: of a kustomization what kubectl makes of it, and its files as they are where
/// there is no kubectl.
///
/// # Errors
/// kubectl refuses a kustomization, or has not ended by `deadline`.
pub(crate) fn applied_texts(
    root: &Utf8Path,
    manifests: &Manifests,
    deadline: Instant,
) -> Result<Vec<(Utf8PathBuf, String)>> {
    let has_kubectl = which::which("kubectl").is_ok();
    let texts = parallel::map(manifests.entries.clone(), manifests.entries.len(), |entry| match &entry {
        Entry::Kustomization(folder, _) if has_kubectl => {
            anyhow::Ok(vec![(folder.clone(), kustomize(root, folder, deadline)?)])
        }
        _ => {
            let files = manifests.files.iter().filter(|file| entry.files().contains(&file.path));
            Ok(files.map(|file| (file.path.clone(), file.text.clone())).collect())
        }
    });
    Ok(texts.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
}

/// Renders the kustomizations among `entries` as they are on disk; nothing where there is none.
///
/// # Errors
/// There is no kubectl, or it refuses one: nobody knows then.
pub(super) fn render(
    root: &Utf8Path,
    entries: &[Entry],
    scope: Scope<'_>,
    images: Images<'_>,
) -> Result<Option<Rendered>> {
    let folders: Vec<&Utf8Path> = entries
        .iter()
        .filter_map(|entry| match entry {
            Entry::Kustomization(folder, _) => Some(folder.as_path()),
            Entry::Files(_) => None,
        })
        .collect();
    if folders.is_empty() {
        return Ok(None);
    }
    let deadline = Instant::now() + PATIENCE;
    let texts = parallel::map(folders, parallel::processors(), |folder| {
        anyhow::Ok((folder, kustomize(root, folder, deadline)?))
    });
    let mut rendered = Rendered::default();
    for text in texts {
        let (folder, text) = text?;
        let Pinned { images, .. } = match pin(&text, "rendered.yaml", scope, images) {
            Ok(pinned) => pinned,
            Err(refusals) => {
                let lines = refusals.iter().map(|refusal| format!("`kubectl kustomize {folder}`: {}", refusal.message));
                rendered.wrong.extend(lines);
                continue;
            }
        };
        for image in images {
            // kustomize keeps a tag beside the digest, which then means nothing.
            let meant = |text: &str| {
                (without_selector(text).to_owned(), text.split_once('@').map(|(_, digest)| digest.to_owned()))
            };
            if meant(&image.from) != meant(&image.to) {
                rendered.wrong.push(format!(
                    "`kubectl kustomize {folder}` gives `{}` for `{}`, not `{}`: a patch, a replacement, a transformer or \
                     an entry of `images` changes what is pinned",
                    image.from, image.component, image.to
                ));
            }
            rendered.named.insert(image.component);
        }
    }
    Ok(Some(rendered))
}
