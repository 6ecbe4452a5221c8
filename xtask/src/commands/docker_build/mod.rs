//! `docker-build`: images of the components, compiled by an engine or by cargo here.

pub(crate) mod apply;
mod assets;
pub(crate) mod options;
pub(crate) mod plan;
pub(crate) mod report;
mod start;

pub(crate) use assets::check_assets;

use anyhow::Result;
use camino::Utf8Path;

use super::filter::choose;
use super::{Outcome, print, publish};
use crate::cli::DockerBuildArgs;
use crate::gather::workspace::Workspace;
use crate::system::progress::Progress;

/// Builds the chosen components' images.
pub(crate) fn run(manifest: Option<&Utf8Path>, arguments: &DockerBuildArgs) -> Result<Outcome> {
    let progress = Progress::new();
    let platforms = options::platforms(&arguments.options.platform)?;
    let (workspace, machine) = Workspace::load_beside(manifest, &platforms, |root| {
        options::look_around(root, &arguments.options, arguments.load)
    })?;
    let chosen = choose(&workspace, &arguments.filter)?;
    if chosen.components.is_empty() {
        if arguments.json {
            print("[]\n")?;
        }
        eprintln!(
            "nothing to build: {}",
            match &arguments.filter.affected {
                Some(reference) => format!("no component changed since `{reference}`"),
                None => "this workspace has no binary that could be a component".to_owned(),
            }
        );
        return Ok(Outcome::Done);
    }
    for (name, reason) in &chosen.reasons {
        progress.say(&format!("{name}: affected ({reason})"));
    }
    let plan = plan::plan(&workspace, chosen.components, &arguments.options, arguments.load, machine, &progress)?;
    if arguments.push {
        return publish::push(plan, arguments, &progress);
    }
    if arguments.dry_run {
        print(&report::dry_run(&plan)?)?;
        return Ok(Outcome::Done);
    }
    let (_layout, results) = apply::apply(&plan, &progress)?;
    report::report(&plan, &results, arguments.json)
}
