//! `releases diff`: what another release would bring.

use std::collections::BTreeSet;

use anyhow::Result;
use camino::Utf8Path;
use serde_json::json;

use super::{one, short};
use crate::cli::ReleaseDiffArgs;
use crate::commands::table::{bytes, markdown_table, table};
use crate::commands::{Outcome, print};
use crate::gather::revision::History;
use crate::gather::workspace::Workspace;
use crate::image::record::RecordedImage;
use crate::image::release::Release;
use crate::registry::StoredRelease;
use crate::system::git::Git;

const HEADER: [&str; 6] = ["COMPONENT", "VERSION", "FROM", "TO", "SIZE", "COMMITS"];

/// One component in both releases.
struct Difference<'a> {
    name: &'a str,
    from: Option<&'a RecordedImage>,
    to: Option<&'a RecordedImage>,
    /// `0.1.0`, or `0.1.0 -> 0.2.0`.
    version: String,
    /// Hash and subject of the commits in between that changed its inputs, newest first; nothing where nobody knows.
    commits: Option<Vec<(String, String)>>,
}

/// Prints what differs; the components that do not are named in one line.
pub(crate) fn run(manifest: Option<&Utf8Path>, arguments: &ReleaseDiffArgs) -> Result<Outcome> {
    let workspace = Workspace::load(manifest, &[])?;
    let from = one(&workspace, &arguments.from, &arguments.output.registry)?;
    let to = one(&workspace, &arguments.to, &arguments.output.registry)?;
    let git = Git::open(workspace.root())?;
    let names: BTreeSet<&String> = from.release.components.keys().chain(to.release.components.keys()).collect();
    let all: Vec<Difference> = names.into_iter().map(|name| difference(name, &from.release, &to.release)).collect();
    let (same, mut differences): (Vec<_>, Vec<_>) = all.into_iter().partition(Difference::is_none);
    let both = [&from.release.commit, &to.release.commit];
    let git = git.filter(|git| both.iter().all(|commit| git.commit(commit).is_ok()));
    let mut history = git.and_then(|git| History::new(&workspace, git));
    for one in &mut differences {
        // What is no component any more has no inputs that could be looked at.
        let component = workspace.components.iter().find(|component| component.name == one.name);
        if let (Some(component), Some(history)) = (component, &mut history) {
            one.commits = Some(history.between(component, both[0], both[1])?);
        }
    }
    let same: Vec<&str> = same.iter().map(|one| one.name).collect();
    print(&match arguments.output.json {
        true => as_json(&from, &to, &differences, &same)?,
        false => as_text(&differences, &same, arguments.output.markdown),
    })?;
    if history.is_none() && !differences.is_empty() {
        eprintln!("note: git does not know both commits here, so none are listed; `git fetch --unshallow` gets them");
    }
    Ok(Outcome::Done)
}

fn difference<'a>(name: &'a str, from: &'a Release, to: &'a Release) -> Difference<'a> {
    let (old, new) = (from.components.get(name), to.components.get(name));
    let version = match (old.map(|old| &old.version), new.map(|new| &new.version)) {
        (Some(old), Some(new)) if old != new => format!("{old} -> {new}"),
        (old, new) => new.or(old).cloned().unwrap_or_default(),
    };
    Difference { name, from: old.map(|old| &old.image), to: new.map(|new| &new.image), version, commits: None }
}

impl Difference<'_> {
    fn is_none(&self) -> bool {
        matches!((self.from, self.to), (Some(from), Some(to)) if from.digest == to.digest)
    }

    fn size(&self) -> String {
        let (from, to) = (self.from.map(RecordedImage::size), self.to.map(RecordedImage::size));
        match (from, to) {
            (None, _) => "new".to_owned(),
            (_, None) => "gone".to_owned(),
            (Some(from), Some(to)) if to >= from => format!("+{}", bytes(to - from)),
            (Some(from), Some(to)) => format!("-{}", bytes(from - to)),
        }
    }

    fn cells(&self) -> Vec<String> {
        let digest = |image: Option<&RecordedImage>| image.map_or("-".to_owned(), |image| short(&image.digest));
        let commits = self.commits.as_ref().map_or("?".to_owned(), |commits| commits.len().to_string());
        vec![self.name.to_owned(), self.version.clone(), digest(self.from), digest(self.to), self.size(), commits]
    }
}

fn as_text(differences: &[Difference], same: &[&str], is_markdown: bool) -> String {
    let cells: Vec<Vec<String>> = differences.iter().map(Difference::cells).collect();
    let mut text = match (cells.is_empty(), is_markdown) {
        (true, _) => String::new(),
        (_, true) => markdown_table(&HEADER, &cells),
        _ => table(&HEADER, &cells),
    };
    for one in differences {
        let commits = one.commits.as_deref().unwrap_or_default();
        if !commits.is_empty() {
            text.push_str(&format!(
                "\n{}\n",
                if is_markdown { format!("**{}**\n", one.name) } else { one.name.to_owned() }
            ));
        }
        for (hash, subject) in commits {
            let mark = if is_markdown { "- " } else { "  " };
            text.push_str(&format!("{mark}{} {subject}\n", &hash[..hash.len().min(7)]));
        }
    }
    if !same.is_empty() {
        text.push_str(&format!("{}the same: {}\n", if text.is_empty() { "" } else { "\n" }, same.join(", ")));
    }
    text
}

fn as_json(from: &StoredRelease, to: &StoredRelease, differences: &[Difference], same: &[&str]) -> Result<String> {
    let side = |side: &StoredRelease| json!({ "digest": side.digest, "commit": side.release.commit });
    let components: Vec<_> = differences
        .iter()
        .map(|one| {
            let commits = one.commits.as_ref().map(|commits| {
                commits.iter().map(|(hash, subject)| json!({ "commit": hash, "subject": subject })).collect::<Vec<_>>()
            });
            json!({
                "name": one.name,
                "version": one.version,
                "from": one.from.map(|image| &image.image),
                "to": one.to.map(|image| &image.image),
                "sizes": [one.from.map(RecordedImage::size), one.to.map(RecordedImage::size)],
                "commits": commits,
            })
        })
        .collect();
    let all = json!({ "from": side(from), "to": side(to), "differences": components, "same": same });
    Ok(serde_json::to_string_pretty(&all)? + "\n")
}
