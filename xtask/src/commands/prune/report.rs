//! The plan as a table, and as JSON.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::json;

use crate::commands::table::{age, bytes, table};
use crate::image::prune::{Kept, RepositoryPlan};
use crate::image::reference::{Digest, Tag};

const HEADER: [&str; 5] = ["", "TAGS", "DIGEST", "SIZE", "AGE"];

/// A table for each repository, what goes first.
pub(super) fn text(plans: &[RepositoryPlan], now: i64) -> String {
    let mut text: String = plans.iter().map(|plan| of_repository(plan, now)).collect();
    let sum = |count: fn(&RepositoryPlan) -> usize| plans.iter().map(count).sum::<usize>();
    let freed = bytes(plans.iter().map(|plan| plan.freed).sum());
    text.push_str(&format!(
        "to delete: {} manifests with {} tags, and {} tags alone; {} tags stay; up to {freed} once the registry collects\n",
        sum(|plan| plan.deleted.len()),
        sum(|plan| plan.deleted.iter().map(|deleted| deleted.tags.len()).sum()),
        sum(|plan| plan.untagged.len()),
        sum(|plan| plan.kept.len()),
    ));
    text
}

fn of_repository(plan: &RepositoryPlan, now: i64) -> String {
    let old = |created: i64| u64::try_from(now.saturating_sub(created)).unwrap_or_default();
    let deleted = plan.deleted.iter().map(|one| {
        let tags = if one.tags.is_empty() { "-".to_owned() } else { joined(one.tags.iter()) };
        let age = one.created.map_or("-".to_owned(), |created| age(old(created)));
        vec!["delete".to_owned(), tags, one.digest.hex()[..12].to_owned(), bytes(one.size), age]
    });
    let header = &HEADER;
    let rows: Vec<Vec<String>> = deleted.collect();
    let mut text = format!("{}\n", plan.repository);
    if !rows.is_empty() {
        text.push_str(&table(header, &rows));
    }
    text.push_str(&grouped("untag", "THE IMAGE STAYS", &plan.untagged));
    text.push_str(&grouped("keep", "WHY", &plan.kept));
    text + "\n"
}

/// A line for each image.
fn grouped(what: &str, word: &str, all: &[Kept]) -> String {
    let mut images: BTreeMap<&Digest, (Vec<&Tag>, Vec<&str>)> = BTreeMap::new();
    for one in all {
        let (tags, reasons) = images.entry(&one.digest).or_default();
        tags.push(&one.tag);
        if !reasons.contains(&one.why.as_str()) {
            reasons.push(&one.why);
        }
    }
    let rows: Vec<Vec<String>> = images
        .into_iter()
        .map(|(digest, (tags, reasons))| {
            vec![what.to_owned(), joined(tags), digest.hex()[..12].to_owned(), reasons.join("; ")]
        })
        .collect();
    if rows.is_empty() { String::new() } else { table(&["", "TAGS", "DIGEST", word], &rows) }
}

fn joined<'a>(tags: impl IntoIterator<Item = &'a Tag>) -> String {
    tags.into_iter().map(|tag| tag.as_str()).collect::<Vec<_>>().join(" ")
}

/// All of it.
pub(super) fn json(plans: &[RepositoryPlan]) -> Result<String> {
    let freed: u64 = plans.iter().map(|plan| plan.freed).sum();
    Ok(serde_json::to_string_pretty(&json!({ "repositories": plans, "freed": freed }))? + "\n")
}
