//! Random workspaces, edited at random: what is adopted under an input hash is what a build would give, and
//! what does not concern a program does not change its hash.
//!
//! `XTASK_PROPERTY_SEED` chooses the workspaces, `XTASK_PROPERTY_EDITS` how many edits each of them sees.
//! A failure names its seed. With `XTASK_PROPERTY_KEEP` the workspace that failed stays.

mod edits;
mod generate;
mod package;
mod random;
mod run;
mod tree;
mod world;

use run::Run;

/// Seeds of one run, each a workspace of its own.
const SEEDS: u64 = 8;
/// Edits of each workspace: all of them together are more than 200.
const EDITS: usize = 26;

fn number<T: std::str::FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}: `{text}` is no number")))
}

/// Runs every second workspace: the two tests share the machine's processors.
fn check(first: u64) {
    let edits = number("XTASK_PROPERTY_EDITS").unwrap_or(EDITS);
    if let Some(seed) = number::<u64>("XTASK_PROPERTY_SEED") {
        if first == 0 {
            Run::new(seed).check(edits);
        }
        return;
    }
    for seed in (first..SEEDS).step_by(2) {
        Run::new(seed).check(edits);
    }
}

#[test]
fn the_same_hash_means_the_same_bytes_and_other_edits_keep_it() {
    check(0);
}

#[test]
fn the_same_hash_means_the_same_bytes_and_other_edits_keep_it_in_other_workspaces() {
    check(1);
}
