//! What `manifests` says.

use anyhow::Result;
use serde_json::{Value, json};
use similar::TextDiff;

use super::plan::PinPlan;
use crate::cli::ManifestsArgs;
use crate::commands::{Outcome, print};
use crate::gather::workspace::Workspace;

/// Shows what differs.
pub(super) fn check(plan: &PinPlan, placeholder: bool) -> Result<Outcome> {
    for file in plan.changed() {
        let wanted = if placeholder { "placeholder" } else { "pinned" };
        let path = &file.manifest.path;
        let diff = TextDiff::from_lines(&file.manifest.text, &file.pinned.text);
        print(&diff.unified_diff().header(&format!("{path} (committed)"), &format!("{path} ({wanted})")).to_string())?;
    }
    plan.tell_notes();
    let changed = plan.changed().count();
    if !plan.refused.is_empty() {
        eprintln!("error: manifests cannot be pinned\n{}", plan.refused.join("\n"));
    }
    if changed > 0 {
        let mend = if placeholder { "cargo xtask manifests --placeholder" } else { "cargo xtask manifests" };
        eprintln!("error: {changed} of {} manifests differ\nhint: run `{mend}`", plan.files.len());
    }
    for line in undeployed(plan).iter().chain(&plan.wrong) {
        eprintln!("error: {line}");
    }
    if changed > 0 || !plan.refused.is_empty() || !plan.undeployed.is_empty() || !plan.wrong.is_empty() {
        return Ok(Outcome::Failed);
    }
    eprintln!("{}", summary(plan));
    Ok(Outcome::Done)
}

/// Lists what changed, or would.
pub(super) fn report(plan: &PinPlan, arguments: &ManifestsArgs) -> Result<Outcome> {
    if arguments.json {
        print(&(serde_json::to_string_pretty(&as_json(plan))? + "\n"))?;
    } else {
        let verb = if arguments.dry_run { "would change" } else { "changed" };
        for file in plan.changed() {
            print(&format!("{verb} {}\n", file.manifest.path))?;
            for image in file.pinned.images.iter().filter(|image| image.from != image.to) {
                print(&format!("  {}: {} -> {}\n", image.line, image.from, image.to))?;
            }
        }
        let would = if arguments.dry_run { "dry run: " } else { "" };
        plan.tell_notes();
        eprintln!("{would}{}", summary(plan));
    }
    if arguments.dry_run && !plan.refused.is_empty() {
        eprintln!("error: manifests cannot be pinned\n{}", plan.refused.join("\n"));
        return Ok(Outcome::Failed);
    }
    let errors: Vec<String> = undeployed(plan).into_iter().chain(plan.wrong.iter().cloned()).collect();
    errors.iter().for_each(|line| eprintln!("error: {line}"));
    Ok(if errors.is_empty() { Outcome::Done } else { Outcome::Failed })
}

/// Which recorded components no manifest names, what looks like them, and what mends it.
pub(crate) fn undeployed(plan: &PinPlan) -> Option<String> {
    if plan.undeployed.is_empty() {
        return None;
    }
    let quoted = |names: Vec<&str>, quote: char| {
        names.iter().map(|name| format!("{quote}{name}{quote}")).collect::<Vec<_>>().join(", ")
    };
    let names = || plan.undeployed.iter().map(|component| component.name.as_str()).collect::<Vec<_>>();
    let mut text = format!("no manifest that is applied names {}", quoted(names(), '`'));
    for component in &plan.undeployed {
        for place in &component.near {
            let old = if place.text.is_empty() { "an empty image" } else { &place.text };
            text.push_str(&format!(
                "\n`{}:{}`: `{old}` looks like it; write `{}`",
                place.file, place.line, component.image
            ));
        }
        if let Some(file) = &component.unused {
            text.push_str(&format!(
                "\n`{file}` names `{}`, and no kustomization that is applied includes it",
                component.name
            ));
        }
    }
    if plan.undeployed.iter().any(|component| !component.near.is_empty()) {
        text.push_str("\n`cargo xtask manifests --adopt` writes what looks like them");
    }
    let setting = quoted(names(), '"');
    text.push_str(&format!(
        "\n`undeployed = [{setting}]` in `[workspace.metadata.docker]` is for those that are meant to be left out"
    ));
    Some(text)
}

/// That there are no manifests.
pub(crate) fn nothing_to_pin(workspace: &Workspace) -> String {
    let folders = workspace.packages.settings.manifests.iter().map(|source| format!("`{}`", source.path()));
    let folders = folders.collect::<Vec<_>>().join(", ");
    format!("nothing to pin: no manifest in {folders}; `cargo xtask manifests --init` writes first ones")
}

fn as_json(plan: &PinPlan) -> Value {
    let images = plan.files.iter().flat_map(|file| {
        file.pinned.images.iter().map(|image| {
            json!({
                "file": file.manifest.path,
                "line": image.line,
                "component": image.component,
                "from": image.from,
                "to": image.to,
            })
        })
    });
    let undeployed = plan.undeployed.iter().map(|component| {
        let near = component.near.iter();
        let near = near.map(|place| json!({ "file": place.file, "line": place.line, "image": place.text }));
        json!({ "component": component.name, "image": component.image, "near": near.collect::<Vec<_>>() })
    });
    json!({
        "changed": plan.changed_paths(),
        "images": images.collect::<Vec<_>>(),
        "notes": plan.notes,
        "refused": plan.refused,
        "undeployed": undeployed.collect::<Vec<_>>(),
        "wrong": plan.wrong,
    })
}

fn summary(plan: &PinPlan) -> String {
    let images = || plan.files.iter().flat_map(|file| &file.pinned.images);
    let changed = images().filter(|image| image.from != image.to).count();
    let (images, files) = (images().count(), plan.files.len());
    match changed {
        0 => format!("{images} images of our components in {files} files, all up to date"),
        _ => format!("{images} images of our components in {files} files, {changed} of them changed"),
    }
}
