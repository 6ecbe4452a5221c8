//! What cargo and rustc say.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hasher, RandomState};

use anyhow::{Context, Result, bail};
use camino::{Utf8Path, Utf8PathBuf};
use cargo_metadata::Metadata;
use xshell::{Cmd, Shell, cmd};

use super::{parallel, process};
use crate::errors::hinted;
use crate::workspace::resolve::{Resolve, lines, tree_format};
use crate::workspace::selection::Selection;

/// `cargo metadata --no-deps` for the manifest, or for the workspace around the current folder.
///
/// `--no-deps` neither resolves nor downloads anything, so it is quick on a cold machine too.
pub(crate) fn metadata(shell: &Shell, manifest: Option<&Utf8Path>) -> Result<Metadata> {
    let arguments = manifest.map(|path| ["--manifest-path".to_owned(), path.to_string()]);
    let arguments = arguments.iter().flatten();
    let cargo = process::cargo();
    let text = process::read(cmd!(shell, "{cargo} metadata --no-deps --format-version 1 {arguments...}"))
        .context("cargo cannot read the workspace")?;
    serde_json::from_str(&text).context("`cargo metadata` printed what we cannot read")
}

/// The root folder of the manifest's workspace, or of the one around the current folder.
pub(crate) fn workspace_root(manifest: Option<&Utf8Path>) -> Result<Utf8PathBuf> {
    let arguments = manifest.map(|path| ["--manifest-path".to_owned(), path.to_string()]);
    let arguments = arguments.iter().flatten();
    let (shell, cargo) = (Shell::new()?, process::cargo());
    let found = process::read(cmd!(shell, "{cargo} locate-project --workspace --message-format plain {arguments...}"))
        .context("cargo finds no workspace")?;
    let manifest = Utf8Path::new(found.trim());
    Ok(manifest.parent().context("`cargo locate-project` printed no path")?.to_owned())
}

/// What cargo resolves for the selection on `target`.
pub(crate) fn resolve(root: &Utf8Path, selection: &Selection, target: &str) -> Result<Resolve> {
    if selection.is_empty() {
        return Ok(Resolve::default());
    }
    let shell = process::shell_in(root)?;
    let selected = selection.cargo_arguments();
    let mark = format!("#{:016x}#", RandomState::new().build_hasher().finish());
    let format = tree_format(&mark);
    let cargo = process::cargo();
    let text = process::read(cmd!(
        shell,
        "{cargo} tree --locked {selected...} -e no-dev --target {target} --prefix indent --charset ascii --format {format}"
    ))?;
    Resolve::parse(&lines(&text, &mark))
}

/// The lock file's text.
///
/// # Errors
/// There is none: two builds of one commit would then differ.
pub(crate) fn lock_file(root: &Utf8Path) -> Result<String> {
    let path = root.join("Cargo.lock");
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => bail!(hinted(
            format!("`{path}` is missing, so a build would not be repeatable"),
            "run `cargo generate-lockfile` and commit it"
        )),
        Err(error) => Err(error).with_context(|| format!("cannot read `{path}`")),
    }
}

/// The toolchain that compiles on this machine.
#[derive(Debug, Clone)]
pub(crate) struct HostToolchain {
    /// `rustc -vV`, whole.
    pub(crate) rustc: String,
    /// Its default target.
    pub(crate) host: String,
    /// Commit of rustc, for the paths of the standard library.
    pub(crate) commit: String,
    /// Folder of the toolchain.
    pub(crate) sysroot: Utf8PathBuf,
}

/// Asks rustc, in `root` so that a toolchain file is honoured.
pub(crate) fn host_toolchain(root: &Utf8Path) -> Result<HostToolchain> {
    let ask = |arguments: &[&str]| {
        let shell = process::shell_in(root)?;
        process::read(cmd!(shell, "rustc {arguments...}"))
    };
    let (rustc, sysroot) = parallel::both(|| ask(&["-vV"]), || ask(&["--print", "sysroot"]));
    let rustc = rustc?;
    let field = |name: &str| {
        rustc
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .map(str::to_owned)
            .with_context(|| format!("`rustc -vV` printed no `{name}`"))
    };
    Ok(HostToolchain { host: field("host: ")?, commit: field("commit-hash: ")?, sysroot: sysroot?.into(), rustc })
}

/// The first line that a tool prints of its version; nothing when it is not there.
pub(crate) fn version_line(cmd: Cmd<'_>) -> Option<String> {
    let output = process::output(cmd).ok().filter(|output| output.status.success())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &output.stderr;
    text.lines().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned)
}

/// Makes cargo compile the packages called `names` again, whatever it finds in the target folder `folder`.
pub(crate) fn forget_compiled(folder: &Utf8Path, names: &BTreeSet<&str>) -> Result<()> {
    // `PROFILE/.fingerprint/NAME-HASH`, below a folder of the target's name or not.
    let folders = walkdir::WalkDir::new(folder).max_depth(3).into_iter().flatten();
    for fingerprints in folders.filter(|entry| !names.is_empty() && entry.file_name() == ".fingerprint") {
        for entry in std::fs::read_dir(fingerprints.path()).into_iter().flatten().flatten() {
            let name = entry.file_name().into_string().unwrap_or_default();
            if name.rsplit_once('-').is_some_and(|(name, _)| names.contains(name)) {
                let path = entry.path();
                std::fs::remove_dir_all(&path).with_context(|| format!("cannot remove `{}`", path.display()))?;
            }
        }
    }
    Ok(())
}
