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

/// Checks the namespaces; with `--apply` after applying the manifests. With `--local` there is no
/// cluster, and this machine is checked instead.
pub(crate) fn run(manifest: Option<&Utf8Path>, arguments: &SmokeArgs) -> Result<Outcome> {
    if arguments.local {
        return local::smoke(manifest, arguments);
    }
    let times = timing::Times::new(arguments.timeout);
    let (plan, kubectl) = gather::gather(manifest, arguments, times.deadline)?;
    if arguments.dry_run {
        return apply::dry_run(&kubectl, &plan);
    }
    let report = run::run(&plan, kubectl, arguments, times)?;
    show::show(&report, arguments)
}
