//! `docker-build --builder native` beside plain `cargo build` of the same binaries.

use std::cell::RefCell;
use std::path::PathBuf;

use anyhow::Result;

use crate::bench::Bench;
use crate::bump::{self, Bump};
use crate::checkout::write;
use crate::cli::Group;
use crate::digests::Images;
use crate::measure::{Side, measure, nothing};
use crate::report::Report;
use crate::scenario::{Bound, Scenario};
use crate::subject::{Subject, remove};
use crate::taken::Taken;

/// What the limit is called in tables.
pub(crate) const LIMIT: &str = "cargo build";
/// What we are called in tables.
pub(crate) const OURS: &str = "cargo xtask";

/// Both ways to compile one workspace.
pub(crate) struct Pair<'a> {
    /// The workspace.
    pub(crate) subject: &'a Subject,
    /// Target folder of plain cargo.
    pub(crate) target: PathBuf,
    /// What the last two builds of ours made: the newest last.
    images: RefCell<[Images; 2]>,
}

impl<'a> Pair<'a> {
    /// Both sides of `subject`; plain cargo builds in `target`.
    pub(crate) fn new(subject: &'a Subject, target: PathBuf) -> Self {
        Pair { subject, target, images: RefCell::default() }
    }

    /// `cargo xtask docker-build --builder native`.
    pub(crate) fn ours(&self) -> Result<Taken> {
        let (taken, images) = self.subject.docker_build(&["--builder", "native"], &[])?;
        self.images.replace_with(|[_, last]| [std::mem::take(last), images]);
        Ok(taken)
    }

    /// `cargo build`.
    pub(crate) fn limit(&self) -> Result<Taken> {
        self.subject.plain_build(&self.target)
    }

    /// Measures ours beside the limit after `prepare`.
    pub(crate) fn measure(
        &self,
        group: Group,
        name: &str,
        runs: u16,
        prepare: &dyn Fn(usize) -> Result<()>,
        bound: Option<Bound>,
    ) -> Result<Scenario> {
        let (ours, limit) = (|| self.ours(), || self.limit());
        let limit = Side::new(LIMIT, &limit);
        let limit = if let Some(bound) = bound { limit.bound(bound) } else { limit };
        let mut scenario = measure(group, name, runs, prepare, Side::new(OURS, &ours), &[limit])?;
        let [before, now] = &*self.images.borrow();
        scenario.note = Some(now.changes_since(before));
        Ok(scenario)
    }
}

/// Measures all scenarios.
pub(crate) fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let subject = bench.subject()?;
    bench.checkout.reset()?;
    let pair = Pair::new(subject, bench.work.join("plain-target"));
    let (runs, group) = (bench.cli.runs, Group::Native);

    if bench.cli.wants("cold") {
        report.add(cold(bench, &pair)?);
    } else {
        eprintln!("{group}: building once before measuring");
        pair.ours()?;
        pair.limit()?;
    }
    if bench.cli.wants("compressed image") {
        let images = pair.images.borrow();
        images[1].sizes(group).for_each(|row| report.add(row));
    }
    if bench.cli.wants("nothing changed") {
        report.add(pair.measure(group, "nothing changed", runs, &nothing, Some(Bound::Plus(0.25)))?);
    }
    let first = subject.first()?;
    let edits = [
        (format!("one line in {}", first.name), subject.main_file(first)?, Bound::Plus(0.25)),
        ("one line in a shared crate".to_owned(), subject.shared_file()?, Bound::Times(1.1)),
    ];
    for (name, file, bound) in edits {
        if bench.cli.wants(&name) {
            let edit = |_| bench.edits.apply(&[&subject.root], &file);
            report.add(pair.measure(group, &name, runs, &edit, Some(bound))?);
        }
    }
    if bench.cli.wants("one dependency bumped") {
        report.add(bumped(bench, &pair)?);
    }
    Ok(())
}

fn cold(bench: &Bench, pair: &Pair<'_>) -> Result<Scenario> {
    let ours = || {
        pair.subject.forget()?;
        settle();
        pair.ours()
    };
    let limit = || {
        remove(&pair.target)?;
        settle();
        pair.limit()
    };
    let limit = Side::new(LIMIT, &limit).bound(Bound::Times(1.03));
    measure(Group::Native, "cold", bench.cli.cold_runs, &nothing, Side::new(OURS, &ours), &[limit])
}

fn bumped(bench: &Bench, pair: &Pair<'_>) -> Result<Scenario> {
    let subject = pair.subject;
    let before = bump::lock_file(&subject.root)?;
    let bump = Bump::plan(subject)?;
    let prepare = |run| {
        bump.apply(&bench.checkout, run)?;
        // Cargo keeps what it compiled of the version before last.
        subject.forget_crate(bump.name, &[&pair.target, &subject.root.join("target")])
    };
    let mut scenario = pair.measure(Group::Native, "one dependency bumped", bench.cli.cold_runs, &prepare, None)?;
    let changes = scenario.note.take().unwrap_or_default();
    scenario.note = Some(format!("{}; {changes}", bump.describe()));
    write(&subject.root.join("Cargo.lock"), &before)?;
    Ok(scenario)
}

/// Lets the disk finish what earlier work left to it.
fn settle() {
    // Only for steadier numbers: a system without `sync` measures as well.
    let _ = std::process::Command::new("sync").status();
}
