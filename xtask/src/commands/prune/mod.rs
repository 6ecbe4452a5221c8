//! `prune`: deletes what nothing needs any more from a registry.

mod apply;
mod gather;
mod named;
mod report;

use anyhow::Result;
use camino::Utf8Path;

use self::gather::Scene;
use super::{Outcome, print};
use crate::cli::PruneArgs;
use crate::image::prune::plan;
use crate::system::progress::Progress;

/// Plans, and with `--apply` deletes.
pub(crate) fn run(manifest: Option<&Utf8Path>, arguments: &PruneArgs) -> Result<Outcome> {
    let progress = Progress::new();
    let scene = Scene::gather(manifest, arguments, &progress)?;
    let plans = plan(&scene.world);
    print(&match arguments.json {
        true => report::json(&plans)?,
        false => report::text(&plans, scene.world.now),
    })?;
    let is_empty = plans.iter().all(|plan| plan.deleted.is_empty() && plan.untagged.is_empty());
    if is_empty {
        progress.say("nothing to delete");
    } else if arguments.apply {
        apply::apply(&scene, &plans, &progress)?;
    } else {
        progress.say("nothing was deleted: `--apply` does it");
    }
    Ok(Outcome::Done)
}
