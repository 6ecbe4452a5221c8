//! `components --inputs` and `--why`: what decides an image, and what changed about that.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use camino::Utf8Path;
use serde_json::{Value, json};

use crate::cli::{BuildOptions, ComponentsArgs};
use crate::commands::build::{options, plan};
use crate::commands::filter::choose;
use crate::commands::table::table;
use crate::commands::{Outcome, print};
use crate::gather::revision::all_inputs;
use crate::gather::workspace::Workspace;
use crate::system::files::TemporaryFolder;
use crate::system::git::Git;
use crate::system::progress::Progress;
use crate::workspace::inputs::Inputs;

/// Lists all that decides the images of the chosen components, for each platform.
pub(super) fn list(manifest: Option<&Utf8Path>, arguments: &ComponentsArgs) -> Result<Outcome> {
    let options = BuildOptions { builder: arguments.builder, ..BuildOptions::default() };
    let (workspace, machine) =
        Workspace::load_beside(manifest, &[], |root| options::look_around(root, &options, false))?;
    let chosen = choose(&workspace, &arguments.filter)?;
    let plan = plan::plan(&workspace, chosen.components, &options, false, machine, &Progress::new())?;
    let mut list = Vec::new();
    let mut rows = Vec::new();
    for image in &plan.images {
        for planned in &image.platforms {
            let (name, platform) = (&image.component.name, &planned.platform);
            let inputs: Vec<Value> =
                planned.inputs.iter().map(|(input, why)| json!({ "input": input.encoded(), "why": why })).collect();
            list.push(json!({
                "component": name,
                "platform": platform,
                "input-hash": planned.input_hash,
                "inputs": inputs,
            }));
            for (input, why) in planned.inputs.iter() {
                rows.push(vec![name.clone(), input.to_string(), why.to_owned()]);
            }
            eprintln!("{name} for {platform}: input hash {}", planned.input_hash);
        }
    }
    match arguments.json {
        true => print(&(serde_json::to_string_pretty(&list)? + "\n"))?,
        false => print(&table(&["COMPONENT", "INPUT", "WHY"], &rows))?,
    }
    Ok(Outcome::Done)
}

/// Lists what differs between two commits; tools and variables are this machine's in both.
pub(super) fn differences(workspace: &Workspace, arguments: &ComponentsArgs, from: &str, to: &str) -> Result<Outcome> {
    let chosen = choose(workspace, &arguments.filter)?;
    let git = Git::open(workspace.root())?.context("`--why` needs git history, and there is none here")?;
    let folder = TemporaryFolder::create_in(&workspace.output().join("tmp"), "why")?;
    let state = |reference: &str| -> Result<BTreeMap<String, Inputs>> {
        let root = git.check_out(&git.commit(reference)?, &folder.0)?;
        all_inputs(&root, workspace).with_context(|| format!("the state at `{reference}` cannot be read"))
    };
    let (old, new) = (state(from)?, state(to)?);
    let mut found: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for component in chosen.components {
        let name = component.name.as_str();
        let differences = match (old.get(name), new.get(name)) {
            (Some(old), Some(new)) => new.differences(old),
            (None, Some(_)) => vec![format!("it is not there at `{from}`")],
            (Some(_), None) => vec![format!("it is not there at `{to}`")],
            (None, None) => vec![],
        };
        found.insert(name, differences);
    }
    if arguments.json {
        print(&(serde_json::to_string_pretty(&found)? + "\n"))?;
        return Ok(Outcome::Done);
    }
    let rows: Vec<_> = found
        .iter()
        .flat_map(|(name, differences)| differences.iter().map(|what| vec![(*name).to_owned(), what.clone()]))
        .collect();
    match rows.is_empty() {
        true => eprintln!("nothing differs between `{from}` and `{to}`"),
        false => print(&table(&["COMPONENT", "DIFFERS"], &rows))?,
    }
    Ok(Outcome::Done)
}
