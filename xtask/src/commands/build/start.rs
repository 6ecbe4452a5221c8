//! Whether an image can start its program: what a dynamic executable needs must be in it.

use anyhow::{Result, bail};
use camino::Utf8Path;

use crate::assemble::component::ComponentImage;
use crate::assemble::file_tree::{FileTree, LayerEntry, LayerEntryKind};
use crate::assemble::layout::Layout;
use crate::compile::executable::needs;
use crate::compile::loader::{Place, missing};
use crate::errors::hinted;
use crate::image::entry::{Entry, EntryKind};

/// Refuses an executable whose interpreter or libraries are neither in the base nor among the assets.
/// `base` is its name for messages, `multiarch` Debian's name of the platform.
///
/// # Errors
/// What is missing, and the mend; an executable or a base that cannot be read.
pub(crate) fn check_start(
    image: &ComponentImage<'_>,
    executable: &Utf8Path,
    layout: &Layout,
    base: &str,
    multiarch: &str,
) -> Result<()> {
    let Some(needs) = needs(executable)? else { return Ok(()) };
    let name = &image.component.name;
    let mut files = image.base.as_ref().map_or(Ok(FileTree::default()), |base| base.files(layout))?;
    files.apply(&image.assets.iter().map(layer_entry).collect::<Vec<_>>());
    if !files.contains(&needs.interpreter) {
        bail!(hinted(
            format!("`{name}` needs the interpreter `{}`, which `{base}` does not have", needs.interpreter),
            "set `linkage` to `gnu-static` or `musl`, or `runtime-image` to an image with it"
        ));
    }
    let place = Place {
        files: &files,
        origin: "/usr/local/bin",
        search_path: &variable(image, "LD_LIBRARY_PATH").unwrap_or_default(),
        multiarch,
    };
    let missing = missing(&needs, &place);
    if missing.is_empty() {
        return Ok(());
    }
    let (kind, them) = if missing.len() == 1 { ("library", "it") } else { ("libraries", "them") };
    let missing: Vec<_> = missing.iter().map(|library| format!("`{library}`")).collect();
    bail!(hinted(
        format!("`{name}` needs the {kind} {}, which `{base}` does not have", missing.join(", ")),
        format!(
            "set `runtime-image` to an image with {them}, or link {them} into the program: many `*-sys` crates have a \
             feature such as `vendored` or `bundled`"
        )
    ));
}

/// A variable of the image's environment: the component's, else the base's.
fn variable(image: &ComponentImage<'_>, name: &str) -> Option<String> {
    let own = image.component.package.settings.env.get(name).cloned();
    own.or_else(|| {
        let lines = image.base.as_ref()?.config().config.env.as_ref()?;
        lines.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned)
    })
}

fn layer_entry(entry: &Entry) -> LayerEntry {
    let kind = match &entry.kind {
        EntryKind::Directory => LayerEntryKind::Directory,
        EntryKind::Symlink(target) => LayerEntryKind::Symlink(target.clone()),
        EntryKind::File(_) => LayerEntryKind::Other,
    };
    LayerEntry { path: entry.path.clone(), kind }
}
