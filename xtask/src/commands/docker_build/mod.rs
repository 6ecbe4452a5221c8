//! `docker-build`: images of the components, compiled by an engine or by cargo here.

mod apply;
mod plan;
mod report;

use anyhow::Result;
use camino::Utf8Path;

use super::filter::{choose, platforms};
use super::{Outcome, print};
use crate::cli::DockerBuildArgs;
use crate::gather::workspace::Workspace;
use crate::system::progress::Progress;

/// Builds the chosen components' images.
pub(crate) fn run(manifest: Option<&Utf8Path>, arguments: &DockerBuildArgs) -> Result<Outcome> {
    let progress = Progress::new();
    let platforms = platforms(&arguments.platform)?;
    let (workspace, machine) = Workspace::load_beside(manifest, &platforms, |root| plan::look_around(root, arguments))?;
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
    let plan = plan::plan(&workspace, chosen.components, arguments, machine, &progress)?;
    if arguments.dry_run {
        print(&report::dry_run(&plan)?)?;
        return Ok(Outcome::Done);
    }
    let result = apply::apply(&plan, &progress)?;
    report::report(&plan, &result, arguments.json)
}
