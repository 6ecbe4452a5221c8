//! `releases list`: a branch's history, or an environment's.

use anyhow::{Context, Result, bail};
use camino::Utf8Path;
use serde_json::json;

use super::short;
use crate::cli::ReleaseListArgs;
use crate::commands::chosen_release::{deployments, releases};
use crate::commands::environments::own_client;
use crate::commands::table::{markdown_table, table};
use crate::commands::{Outcome, print};
use crate::errors::hinted;
use crate::gather::ci::CiState;
use crate::gather::workspace::Workspace;
use crate::image::reference::Tag;
use crate::image::release::Release;
use crate::image::tags::{GitReference, branch_tag, commit_tag};
use crate::registry::StoredRelease;
use crate::system::git::Git;

const HEADER: [&str; 5] = ["RELEASE", "COMMIT", "TAGS", "CHANGED", "SUBJECT"];

/// Prints the history.
pub(crate) fn run(manifest: Option<&Utf8Path>, arguments: &ReleaseListArgs) -> Result<Outcome> {
    let workspace = Workspace::load(manifest, &[])?;
    let count = arguments.count as usize;
    // With one more, to say what the last one changed.
    let mut all = match &arguments.env {
        Some(name) => deployments(&workspace, name, count + 1, &arguments.output.registry.insecure_registry)?,
        None => of_branch(&workspace, arguments, count + 1)?,
    };
    let before: Vec<Option<Release>> =
        (1..=all.len()).map(|next| all.get(next).map(|(_, before)| before.release.clone())).collect();
    all.truncate(count);
    let git = Git::open(workspace.root())?;
    let commits: Vec<&str> = all.iter().map(|(_, found)| found.release.commit.as_str()).collect();
    let subjects = git.map(|git| git.subjects(&commits)).unwrap_or_default();
    let rows: Vec<Row> = all
        .into_iter()
        .zip(before)
        .map(|((tags, found), before)| Row {
            changed: changed(&found.release, before.as_ref()),
            subject: subjects.get(&found.release.commit).cloned().unwrap_or_default(),
            tags,
            found,
        })
        .collect();
    let cells: Vec<Vec<String>> = rows.iter().map(Row::cells).collect();
    print(&match (arguments.output.json, arguments.output.markdown) {
        (true, _) => serde_json::to_string_pretty(&rows.iter().map(Row::json).collect::<Vec<_>>())? + "\n",
        (_, true) => markdown_table(&HEADER, &cells),
        _ => table(&HEADER, &cells),
    })?;
    Ok(Outcome::Done)
}

/// A release in the list.
struct Row {
    found: StoredRelease,
    tags: Vec<Tag>,
    /// Components whose image is another one than in the release before.
    changed: Vec<String>,
    subject: String,
}

impl Row {
    fn cells(&self) -> Vec<String> {
        let tags: Vec<&str> = self.tags.iter().map(|tag| tag.as_str()).collect();
        let changed = if self.changed.is_empty() { "-".to_owned() } else { self.changed.join(" ") };
        let release = &self.found.release;
        let (digest, commit) = (short(&self.found.digest), release.short_commit().to_owned());
        vec![digest, commit, tags.join(" "), changed, self.subject.clone()]
    }

    fn json(&self) -> serde_json::Value {
        let StoredRelease { digest, release } = &self.found;
        json!({
            "digest": digest,
            "commit": release.commit,
            "ref": release.reference,
            "tags": self.tags,
            "previous": release.previous,
            "changed": self.changed,
            "subject": self.subject,
            "components": release.components,
        })
    }
}

/// The releases of the branch that was asked for, or that is checked out.
fn of_branch(
    workspace: &Workspace,
    arguments: &ReleaseListArgs,
    count: usize,
) -> Result<Vec<(Vec<Tag>, StoredRelease)>> {
    let client = own_client(&arguments.output.registry.insecure_registry);
    let releases = releases(workspace, &client, arguments.output.registry.registry.as_ref())?;
    let line = match &arguments.branch {
        Some(branch) => branch_tag(branch),
        None => {
            let ci = CiState::gather(workspace.root(), &[]).context("which branch? name one with `--branch`")?;
            match &ci.reference {
                GitReference::Branch { name, .. } => branch_tag(name),
                _ => commit_tag(&workspace.packages.settings.sha_tag, &ci.commit, false)?,
            }
        }
    };
    let Some(newest) = releases.tagged(&line)? else {
        let error = format!("there is no release `{}:{line}`", releases.repository.name());
        bail!(hinted(error, "`cargo xtask publish` makes one"))
    };
    let all = releases.history(newest, count)?;
    if let Some(gone) = all.last().and_then(|last| last.release.previous.as_ref()).filter(|_| all.len() < count) {
        eprintln!("note: the history ends here: the release before, {gone}, is gone from the registry");
    }
    Ok(all.into_iter().map(|found| (found.release.tags.clone(), found)).collect())
}

/// Components of another image than before, those that are gone included; all in the first release.
fn changed(release: &Release, before: Option<&Release>) -> Vec<String> {
    let digest =
        |release: &Release, name: &String| release.components.get(name).map(|known| known.image.digest.clone());
    let names = release.components.keys().chain(before.iter().flat_map(|before| before.components.keys()));
    let mut changed: Vec<String> =
        names.filter(|name| digest(release, name) != before.and_then(|before| digest(before, name))).cloned().collect();
    changed.sort();
    changed.dedup();
    changed
}
