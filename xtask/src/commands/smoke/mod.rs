//! `smoke`: the cluster runs exactly the expected images, ready and healthy, or why not.

mod apply;
mod ask;
mod explain;
mod gather;
mod local;
mod look_up;
mod namespace;
mod registry;
mod run;
mod show;
mod timing;
mod view;
mod watch;

pub(crate) use self::gather::check_context;
use anyhow::Result;
use camino::Utf8Path;

use super::Outcome;
use crate::cli::SmokeArgs;
use crate::kubernetes::smoke::report::Report;

/// Checks the namespaces; with `--apply` after applying the manifests. With `--local` there is no
/// cluster, and this machine is checked instead.
pub(crate) fn run(manifest: Option<&Utf8Path>, arguments: &SmokeArgs) -> Result<Outcome> {
    Ok(check(manifest, arguments)?.0)
}

/// As [`run`], with what was found in a cluster.
pub(crate) fn check(manifest: Option<&Utf8Path>, arguments: &SmokeArgs) -> Result<(Outcome, Option<Report>)> {
    if arguments.local {
        return Ok((local::smoke(manifest, arguments)?, None));
    }
    let times = timing::Times::new(arguments.timeout);
    let (plan, kubectl) = gather::gather(manifest, arguments, times.deadline)?;
    if arguments.dry_run {
        return Ok((apply::dry_run(&kubectl, &plan)?, None));
    }
    let report = run::run(&plan, kubectl, arguments, times)?;
    Ok((show::show(&report, arguments)?, Some(report)))
}
