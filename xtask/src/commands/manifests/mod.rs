//! `manifests`: pins the images of the workspace's manifests to the digest record.

mod files;

use std::collections::BTreeSet;

use anyhow::{Context, Result, anyhow, bail};
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::json;
use similar::TextDiff;

use super::{Outcome, print};
use crate::cli::ManifestsArgs;
use crate::gather::workspace::Workspace;
use crate::image::record::{DigestRecord, RECORD_PATH};
use crate::kubernetes::pinning::naming::Refusal;
use crate::kubernetes::pinning::pin::{Images, Pinned, pin};
use crate::kubernetes::pinning::repositories::{Naming, Repositories};
use crate::system::environment::variable;
use crate::system::{files::replace_all, parallel};

/// The manifests, and what they become.
pub(crate) struct PinPlan {
    root: Utf8PathBuf,
    /// In the order of their paths.
    files: Vec<PlannedFile>,
}

struct PlannedFile {
    /// Below the root.
    path: Utf8PathBuf,
    found: String,
    pinned: Pinned,
}

/// Pins, checks or lists.
pub(crate) fn run(manifest: Option<&Utf8Path>, arguments: &ManifestsArgs) -> Result<Outcome> {
    let placeholder = arguments.placeholder || placeholder_variable()?;
    let (workspace, record) =
        Workspace::load_beside(manifest, &[], |root| read_record(root, arguments.digests.as_deref()))?;
    // Placeholders need no record, and with one they know more repositories.
    let record = record?;
    let images = match (&record, placeholder) {
        (_, true) => Some(Images::Placeholder),
        (Some(record), false) => Some(Images::Recorded(record)),
        (None, false) => None,
    };
    let texts = read(&workspace)?;
    if texts.is_empty() {
        eprintln!("nothing to pin: no YAML file in {}", shown_folders(&workspace));
    }
    let images = match images {
        Some(images) => images,
        None if texts.is_empty() => Images::Placeholder,
        None => bail!("no digest record `{RECORD_PATH}`\n`cargo xtask publish` writes it; `--digests` names another"),
    };
    let plan = plan_texts(&workspace, texts, record.as_ref(), images)?;
    if arguments.check {
        return check(&plan, placeholder);
    }
    if !arguments.dry_run {
        apply(&plan)?;
    }
    report(&plan, arguments)?;
    Ok(Outcome::Done)
}

/// What pinning the workspace's manifests to `record` would change. A workspace without manifests
/// gives an empty plan.
///
/// # Errors
/// Manifests that cannot be read; all images that cannot be pinned, with file and line.
pub(crate) fn plan(workspace: &Workspace, record: &DigestRecord) -> Result<PinPlan> {
    let texts = read(workspace)?;
    plan_texts(workspace, texts, Some(record), Images::Recorded(record))
}

/// Writes the files that change: all of them, or none.
///
/// # Errors
/// A file cannot be written.
pub(crate) fn apply(plan: &PinPlan) -> Result<()> {
    let mut files = Vec::new();
    for file in plan.changed() {
        let path = plan.root.join(&file.path);
        // Behind a link, the file itself is replaced, not the link.
        let path = path.canonicalize_utf8().with_context(|| format!("cannot read `{}`", file.path))?;
        files.push((path, file.pinned.text.clone().into_bytes()));
    }
    replace_all(&files)
}

impl PinPlan {
    fn changed(&self) -> impl Iterator<Item = &PlannedFile> {
        self.files.iter().filter(|file| file.found != file.pinned.text)
    }

    /// Paths of the files that change, below the workspace root.
    pub(crate) fn changed_paths(&self) -> Vec<&Utf8Path> {
        self.changed().map(|file| file.path.as_path()).collect()
    }

    /// Names our images that stand where no container has them, and so were not replaced.
    pub(crate) fn tell_what_is_left(&self) {
        for file in &self.files {
            for (line, text) in &file.pinned.left {
                eprintln!("note: `{}:{line}`: `{text}` is not the image of a container, and is left alone", file.path);
            }
        }
    }

    /// Images of our components in all files, changed or not.
    pub(crate) fn image_count(&self) -> usize {
        self.files.iter().map(|file| file.pinned.images.len()).sum()
    }
}

fn plan_texts(
    workspace: &Workspace,
    texts: Vec<(Utf8PathBuf, String)>,
    record: Option<&DigestRecord>,
    images: Images<'_>,
) -> Result<PinPlan> {
    let repositories = repositories(workspace, record);
    let pinned = parallel::map(texts, parallel::processors(), |(path, found)| {
        let result = pin(&found, path.file_name().unwrap_or_default(), &repositories, images);
        (path, found, result)
    });
    let mut files = Vec::new();
    let mut refused = Vec::new();
    for (path, found, result) in pinned {
        match result {
            Ok(pinned) => files.push(PlannedFile { path, found, pinned }),
            Err(refusals) => refused.extend(refusals.iter().map(|refusal| refusal_line(&path, refusal))),
        }
    }
    if !refused.is_empty() {
        return Err(anyhow!("{}", refused.join("\n")).context("manifests cannot be pinned, and none was changed"));
    }
    Ok(PinPlan { root: workspace.root().to_owned(), files })
}

/// Repositories of our components: at the registry of the settings, of each environment, and of CI.
pub(crate) fn repositories(workspace: &Workspace, record: Option<&DigestRecord>) -> Repositories {
    let settings = &workspace.packages.settings;
    let (ci_registry, repository) = (variable("CI_REGISTRY"), variable("GITHUB_REPOSITORY"));
    let environments = settings.environments.values().map(|environment| environment.registry.as_str());
    let mut registries: BTreeSet<_> = environments.chain([settings.registry.as_str()]).collect();
    registries.extend(ci_registry.as_deref());
    let naming = Naming {
        components: workspace.components.iter().map(|component| component.name.as_str()).collect(),
        template: &settings.repository,
        registries,
        owner: repository.as_deref().and_then(|name| name.split_once('/')).map(|(owner, _)| owner),
    };
    Repositories::new(&naming, record)
}

/// The texts of the workspace's manifests, by path.
///
/// # Errors
/// A configured file or folder that is missing; a file that cannot be read.
pub(crate) fn read(workspace: &Workspace) -> Result<Vec<(Utf8PathBuf, String)>> {
    files::read(workspace.root(), &workspace.packages.settings)
}

/// The digest record in its usual place; `None` when nothing has been published.
///
/// # Errors
/// It cannot be read, or is none.
pub(crate) fn recorded(root: &Utf8Path) -> Result<Option<DigestRecord>> {
    read_record(root, None)
}

/// The record that the arguments name; `None` when they name none and the usual one is missing.
fn read_record(root: &Utf8Path, named: Option<&Utf8Path>) -> Result<Option<DigestRecord>> {
    let path = named.map_or_else(|| root.join(RECORD_PATH), Utf8Path::to_owned);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read the digest record `{path}`")),
    };
    DigestRecord::parse(&text).with_context(|| format!("cannot use `{path}`")).map(Some)
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

fn check(plan: &PinPlan, placeholder: bool) -> Result<Outcome> {
    for file in plan.changed() {
        let wanted = if placeholder { "placeholder" } else { "pinned" };
        let header = (format!("{} (committed)", file.path), format!("{} ({wanted})", file.path));
        let diff = TextDiff::from_lines(&file.found, &file.pinned.text);
        print(&diff.unified_diff().header(&header.0, &header.1).to_string())?;
    }
    let changed = plan.changed().count();
    if changed == 0 {
        eprintln!("{}", summary(plan));
        return Ok(Outcome::Done);
    }
    let mend = if placeholder { "cargo xtask manifests --placeholder" } else { "cargo xtask manifests" };
    eprintln!("error: {changed} of {} manifests differ\nrun `{mend}`", plan.files.len());
    Ok(Outcome::Failed)
}

fn report(plan: &PinPlan, arguments: &ManifestsArgs) -> Result<()> {
    if arguments.json {
        return print(&(serde_json::to_string_pretty(&as_json(plan))? + "\n"));
    }
    let verb = if arguments.dry_run { "would change" } else { "changed" };
    for file in plan.changed() {
        print(&format!("{verb} {}\n", file.path))?;
        for image in file.pinned.images.iter().filter(|image| image.from != image.to) {
            print(&format!("  {}: {} -> {}\n", image.line, image.from, image.to))?;
        }
    }
    plan.tell_what_is_left();
    let would = if arguments.dry_run { "dry run: " } else { "" };
    eprintln!("{would}{}", summary(plan));
    Ok(())
}

fn as_json(plan: &PinPlan) -> serde_json::Value {
    let images = plan.files.iter().flat_map(|file| {
        file.pinned.images.iter().map(|image| {
            json!({
                "file": file.path,
                "line": image.line,
                "component": image.component,
                "from": image.from,
                "to": image.to,
            })
        })
    });
    json!({ "changed": plan.changed_paths(), "images": images.collect::<Vec<_>>() })
}

fn summary(plan: &PinPlan) -> String {
    let changed = plan.files.iter().flat_map(|file| &file.pinned.images).filter(|image| image.from != image.to).count();
    let (images, files) = (plan.image_count(), plan.files.len());
    match changed {
        0 => format!("{images} images of our components in {files} files, all up to date"),
        _ => format!("{images} images of our components in {files} files, {changed} of them changed"),
    }
}

fn shown_folders(workspace: &Workspace) -> String {
    let folders: Vec<_> = workspace.packages.settings.manifests.iter().map(|path| format!("`{path}`")).collect();
    folders.join(", ")
}

fn refusal_line(path: &Utf8Path, refusal: &Refusal) -> String {
    let column = refusal.column.map(|column| format!(":{column}")).unwrap_or_default();
    format!("`{path}:{}{column}`: {}", refusal.line, refusal.message)
}
