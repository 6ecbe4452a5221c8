//! `docker-build`: images of the components, compiled by an engine or by cargo here.

use anyhow::Result;
use camino::Utf8Path;

use super::build::plan::BuildPlan;
use super::build::{apply, options, plan, report, summary};
use super::filter::choose;
use super::{Outcome, print};
use crate::cli::DockerBuildArgs;
use crate::gather::workspace::Workspace;
use crate::system::progress::Progress;

/// What `--push` does with a plan.
type Push = fn(BuildPlan<'_>, &DockerBuildArgs, &Progress) -> Result<Outcome>;

/// Builds the chosen components' images; with `--push`, leaves that to `push`.
pub(crate) fn run(manifest: Option<&Utf8Path>, arguments: &DockerBuildArgs, push: Push) -> Result<Outcome> {
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
        let why = match &arguments.filter.affected {
            Some(reference) => format!("no component changed since `{reference}`"),
            None => "this workspace has no binary that could be a component".to_owned(),
        };
        eprintln!("nothing to build: {why}");
        if !arguments.dry_run {
            summary::add_nothing(&why)?;
        }
        return Ok(Outcome::Done);
    }
    for (name, reason) in &chosen.reasons {
        progress.say(&format!("{name}: affected ({reason})"));
    }
    let plan = plan::plan(&workspace, chosen.components, &arguments.options, arguments.load, machine, &progress)?;
    if arguments.push {
        return push(plan, arguments, &progress);
    }
    if arguments.dry_run {
        print(&report::dry_run(&plan)?)?;
        return Ok(Outcome::Done);
    }
    let (_layout, results) = apply::apply(&plan, &progress)?;
    summary::add(&plan, &results, &progress)?;
    report::report(&plan, &results, arguments.json)
}
