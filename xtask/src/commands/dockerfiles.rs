//! `dockerfiles`: writes the generated Dockerfiles, or shows how committed ones drifted.

use anyhow::{Context, Result, bail};
use camino::{Utf8Path, Utf8PathBuf};
use similar::TextDiff;

use super::{Outcome, print};
use crate::cli::DockerfilesArgs;
use crate::dockerfile::{MARK, ignore, text};
use crate::errors::hinted;
use crate::gather::assets::check_assets;
use crate::gather::dockerfiles::{by_package, plan};
use crate::gather::workspace::Workspace;
use crate::system::files::write_atomically;

/// A file as it should be, and as it is.
struct Planned {
    path: Utf8PathBuf,
    wanted: String,
    found: Option<String>,
}

/// Writes, checks or lists.
pub(crate) fn run(manifest: Option<&Utf8Path>, arguments: &DockerfilesArgs) -> Result<Outcome> {
    let workspace = Workspace::load(manifest, &[])?;
    if workspace.packages.settings.runtime_image.starts_with("oci:") {
        bail!(hinted(
            "`runtime-image` is an OCI layout, which no Dockerfile can start from",
            "use a registry reference, or leave Dockerfiles out: `cargo xtask docker-build` needs none"
        ));
    }
    let mut files = planned(&workspace)?;
    let foreign: Vec<_> = files.iter().filter(|file| is_foreign(file)).map(|file| file.path.clone()).collect();
    for path in &foreign {
        eprintln!("warning: `{path}` is left alone: its first line does not say that it is generated");
        // Nor the other file beside it: an ignore file of ours would change what theirs can read.
        files.retain(|file| file.path.parent() != path.parent());
    }
    let stale: Vec<_> = files.iter().filter(|file| file.found.as_deref() != Some(&file.wanted)).collect();
    if arguments.check {
        for file in &stale {
            print(&diff(file))?;
        }
        if stale.is_empty() {
            eprintln!("{} files are up to date", files.len());
            return Ok(Outcome::Done);
        }
        let error = format!("{} of {} files drifted", stale.len(), files.len());
        bail!(hinted(error, "run `cargo xtask dockerfiles`"));
    }
    if files.is_empty() && foreign.is_empty() {
        eprintln!("nothing to write: this workspace has no binary that could be a component");
    }
    for file in &stale {
        if !arguments.dry_run {
            write_atomically(&workspace.root().join(&file.path), file.wanted.as_bytes())?;
        }
        let verb = if arguments.dry_run { "would write" } else { "wrote" };
        print(&format!("{verb} {}\n", file.path))?;
    }
    let unchanged = files.len() - stale.len();
    if unchanged > 0 {
        eprintln!("{unchanged} files are up to date");
    }
    Ok(Outcome::Done)
}

fn planned(workspace: &Workspace) -> Result<Vec<Planned>> {
    let mut files = Vec::new();
    for (folder, components) in by_package(workspace) {
        let package = components[0].package.name.clone();
        components.iter().try_for_each(|component| check_assets(workspace, component))?;
        let plan = plan(workspace, components, &[])?;
        let texts = [
            (folder.join("Dockerfile"), text::text(&plan)),
            (folder.join("Dockerfile.dockerignore"), ignore::text(&plan.context, &package)),
        ];
        for (path, wanted) in texts {
            let absolute = workspace.root().join(&path);
            let found = match std::fs::read_to_string(&absolute) {
                Ok(text) => Some(text),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
                Err(error) => return Err(error).with_context(|| format!("cannot read `{absolute}`")),
            };
            files.push(Planned { path, wanted, found });
        }
    }
    Ok(files)
}

fn is_foreign(file: &Planned) -> bool {
    file.found.as_ref().is_some_and(|text| !text.starts_with(MARK))
}

fn diff(file: &Planned) -> String {
    let found = file.found.as_deref().unwrap_or_default();
    TextDiff::from_lines(found, &file.wanted)
        .unified_diff()
        .header(&format!("{} (committed)", file.path), &format!("{} (generated)", file.path))
        .to_string()
}
