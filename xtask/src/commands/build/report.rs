//! What a build says at its end, and what a dry run says instead.

use anyhow::Result;
use serde_json::json;

use super::apply::Results;
use super::builder::Builder;
use super::plan::BuildPlan;
use crate::commands::table::{bytes, table};
use crate::commands::{Outcome, print};
use crate::system::process;

/// Prints the images, then the failures.
pub(crate) fn report(plan: &BuildPlan<'_>, results: &Results<'_, '_>, as_json: bool) -> Result<Outcome> {
    // However they were built.
    let mut results: Vec<_> = results.iter().collect();
    results.sort_by_key(|(image, _)| &image.component.name);
    let mut rows = Vec::new();
    let mut list = Vec::new();
    for (image, built) in &results {
        let name = &image.component.name;
        let Ok(built) = built else { continue };
        for (planned, platform) in image.platforms.iter().zip(&built.platforms) {
            rows.push(vec![
                name.clone(),
                platform.platform.to_string(),
                bytes(platform.size),
                platform.manifest.digest.to_string(),
            ]);
            list.push(json!({
                "component": name,
                "platform": platform.platform,
                "digest": platform.manifest.digest,
                "config": platform.config,
                "size": platform.size,
                "input-hash": planned.input_hash,
                "revision": image.commit,
                "index": built.descriptor.digest,
                "loaded": plan.load.as_ref().map(|_| image.references.iter().map(ToString::to_string).collect::<Vec<_>>()),
            }));
        }
    }
    if as_json {
        print(&(serde_json::to_string_pretty(&list)? + "\n"))?;
    } else if !rows.is_empty() {
        print(&table(&["COMPONENT", "PLATFORM", "SIZE", "DIGEST"], &rows))?;
        eprintln!("images: {}", plan.workspace.output().join("oci"));
    }
    if plan.load.is_some() && !as_json {
        for (image, _) in results.iter().filter(|(_, built)| built.is_ok()) {
            for reference in &image.references {
                eprintln!("loaded {reference}");
            }
        }
    }
    for (image, built) in &results {
        if let Err(error) = built {
            eprint!("{}: {}", image.component.name, crate::errors::shown(error));
        }
    }
    if results.iter().all(|(_, built)| built.is_ok()) {
        return Ok(Outcome::Done);
    }
    let names = |is_failed: bool| {
        let chosen = results.iter().filter(|(_, built)| built.is_err() == is_failed);
        chosen.map(|(image, _)| image.component.name.as_str()).collect::<Vec<_>>().join(", ")
    };
    let kept = names(false);
    let kept = if kept.is_empty() { String::new() } else { format!("; built and kept: {kept}") };
    eprintln!("error: not built: {}{kept}", names(true));
    Ok(Outcome::Failed)
}

/// The plan: commands and files.
pub(crate) fn dry_run(plan: &BuildPlan<'_>) -> Result<String> {
    let root = plan.workspace.root();
    let mut lines = Vec::new();
    let components: Vec<_> = plan.images.iter().map(|image| image.component).collect();
    match &plan.builder {
        Builder::Native(builds) => {
            for (_, build) in builds {
                lines.push(format!("run    {}", build.display(root, &components)?));
            }
        }
        Builder::Engine(builder) => lines.extend(builder.files.keys().map(|path| format!("write  {path}"))),
    }
    let shell = process::shell_in(root)?;
    for image in &plan.images {
        for planned in &image.platforms {
            if let Builder::Engine(builder) = &plan.builder {
                let folder = plan.workspace.output().join("tmp/export").join(&image.component.name);
                let build = builder.build(plan.workspace, image.component, &planned.platform);
                lines.push(format!("run    {}", build.command(&shell, &builder.engine, &folder)));
            }
        }
        let platforms: Vec<_> = image.platforms.iter().map(|planned| planned.platform.to_string()).collect();
        lines.push(format!(
            "image  {} for {}, revision {}, in {}",
            image.component.name,
            platforms.join(", "),
            image.commit,
            plan.workspace.output().join("oci")
        ));
        if plan.load.is_some() {
            lines.extend(image.references.iter().map(|reference| format!("load   {reference}")));
        }
    }
    Ok(lines.join("\n") + "\n")
}
