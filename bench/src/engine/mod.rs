//! `docker-build --builder docker` beside Dockerfiles as people write them by hand.

mod dockerfiles;
mod peers;

use std::cell::RefCell;

use anyhow::{Context, Result};

use crate::bench::Bench;
use crate::bump::{self, Bump};
use crate::checkout::write;
use crate::child::{command, run as run_child};
use crate::cli::Group;
use crate::digests::Images;
use crate::measure::{Side, measure, nothing};
use crate::native::OURS;
use crate::report::Report;
use crate::scenario::{Bound, Scenario};
use crate::subject::Subject;
use crate::taken::Taken;
use peers::Peers;

/// The builder image that the xtask uses unless told otherwise; the peers build on it too.
pub(crate) const BUILDER_IMAGE: &str = "rust:1.95-bookworm";
/// Registry of the names that ours get, so that no image of the user's moves.
const REGISTRY: &str = "bench.invalid";

/// A Dockerfile per component, written as people write it by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PeerKind {
    /// cargo-chef as its README shows it: it installs itself in the image.
    Chef,
    /// The same, with cargo-chef in the builder image already.
    ChefPreinstalled,
    /// `COPY . .` and `cargo build`.
    Naive,
}

/// The peers that differ once caches are warm: how cargo-chef came into the image does not matter.
const WARM_PEERS: [PeerKind; 2] = [PeerKind::Chef, PeerKind::Naive];

impl PeerKind {
    const ALL: [Self; 3] = [PeerKind::Chef, PeerKind::ChefPreinstalled, PeerKind::Naive];

    /// Its name in tables and image tags.
    fn label(self) -> &'static str {
        match self {
            PeerKind::Chef => "cargo-chef",
            PeerKind::ChefPreinstalled => "cargo-chef preinstalled",
            PeerKind::Naive => "naive COPY",
        }
    }
}

/// Why this group cannot run, if it cannot.
pub(crate) fn availability(bench: &Bench) -> Result<(), String> {
    let docker = |arguments: &[&str]| run_child(command("docker", &bench.source).args(arguments));
    // The command and how it ended, then what the engine's client said last.
    let short = |error: anyhow::Error| {
        let text = format!("{error:#}");
        let mut lines = text.lines();
        [lines.next(), lines.next_back()].into_iter().flatten().collect::<Vec<_>>().join(": ")
    };
    docker(&["version"]).map_err(|error| format!("no docker engine answers: {}", short(error)))?;
    docker(&["buildx", "version"]).map_err(|error| format!("docker has no buildx: {}", short(error)))?;
    if docker(&["image", "inspect", BUILDER_IMAGE]).is_err() {
        eprintln!("engine: pulling {BUILDER_IMAGE}");
        docker(&["pull", BUILDER_IMAGE]).map_err(|error| format!("no image `{BUILDER_IMAGE}`: {}", short(error)))?;
    }
    Ok(())
}

struct Engine<'a> {
    bench: &'a Bench,
    subject: &'a Subject,
    peers: Peers<'a>,
    last: RefCell<Images>,
}

/// Measures all scenarios.
pub(crate) fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let subject = bench.subject()?;
    bench.checkout.reset()?;
    let engine = Engine { bench, subject, peers: Peers::create(bench, subject)?, last: RefCell::default() };
    let result = engine.all(report);
    engine.peers.remove_images(engine.last.borrow().loaded());
    result
}

impl Engine<'_> {
    fn all(&self, report: &mut Report) -> Result<()> {
        let cli = &self.bench.cli;
        if cli.wants("cold") && cli.prune {
            report.add(self.cold()?);
        } else if cli.wants("cold") {
            report.not_run(Group::Engine, "cold", "`--prune` was not given, which deletes the engine's build cache");
        }
        let first = &self.subject.first()?.name;
        let one_line = format!("one line in {first}");
        let the_others = format!("one line in {first}: the others");
        let names = ["nothing changed", &one_line, &the_others, "one line in a shared crate", "one dependency bumped"];
        if !names.iter().chain(&["compressed image"]).any(|name| cli.wants(name)) {
            return Ok(());
        }
        self.warm_up()?;
        if cli.wants("compressed image") {
            self.last.borrow().sizes(Group::Engine).for_each(|row| report.add(row));
        }
        if cli.wants("nothing changed") {
            let all = self.names(|_| true);
            report.add(self.warm("nothing changed", cli.runs, &nothing, &all, None, Some(cli.runs))?);
        }
        let main = self.subject.main_file(self.subject.first()?)?;
        let edit_one = |_| self.edit(&main);
        if cli.wants(&one_line) {
            let one = self.names(|name| name == first);
            let bound = Some(Bound::Times(1.0));
            report.add(self.warm(&one_line, cli.runs, &edit_one, &one, bound, Some(cli.cold_runs))?);
        }
        if cli.wants(&the_others) && self.subject.components.len() > 1 {
            let others = self.names(|name| name != first);
            let mut scenario = self.warm(&the_others, cli.runs, &edit_one, &others, None, None)?;
            scenario.at_most = Some(1.0);
            report.add(scenario);
        }
        if cli.wants("one line in a shared crate") {
            let shared = self.subject.shared_file()?;
            let edit = |_| self.edit(&shared);
            let all = self.names(|_| true);
            report.add(self.warm("one line in a shared crate", cli.runs, &edit, &all, None, None)?);
        }
        if cli.wants("one dependency bumped") {
            report.add(self.bumped()?);
        }
        Ok(())
    }

    fn names(&self, wanted: impl Fn(&str) -> bool) -> Vec<&str> {
        self.subject.components.iter().map(|one| one.name.as_str()).filter(|name| wanted(name)).collect()
    }

    /// `cargo xtask docker-build --builder docker` of these components.
    fn ours(&self, names: &[&str]) -> Result<Taken> {
        let mut arguments = names.to_vec();
        arguments.extend(["--builder", "docker", "--load"]);
        let (taken, images) = self.subject.docker_build(&arguments, &[("CI_REGISTRY", REGISTRY)])?;
        self.peers.remember(images.loaded());
        *self.last.borrow_mut() = images;
        // The engine's work is done by its daemon.
        Ok(Taken { cpu: None, ..taken })
    }

    fn edit(&self, file: &std::path::Path) -> Result<()> {
        self.bench.edits.apply(&[&self.subject.root, &self.peers.checkout.root], file)
    }

    /// Everything from nothing: each side's cache is deleted before it starts.
    fn cold(&self) -> Result<Scenario> {
        let all = self.names(|_| true);
        let prune = || {
            let mut prune = command("docker", &self.bench.source);
            run_child(prune.args(["buildx", "prune", "--all", "--force"])).map(drop)
        };
        let ours = || {
            self.subject.forget()?;
            prune()?;
            self.ours(&all)
        };
        let peer = |kind| {
            let all = &all;
            move || {
                prune()?;
                self.peers.build(kind, all)
            }
        };
        let runs = PeerKind::ALL.map(|kind| (kind, peer(kind)));
        let sides: Vec<_> = runs
            .iter()
            .map(|(kind, run)| {
                let side = Side::new(kind.label(), run);
                match kind {
                    PeerKind::Chef => side.bound(Bound::Times(0.5)),
                    PeerKind::ChefPreinstalled => side.bound(Bound::Times(1.0)),
                    PeerKind::Naive => side,
                }
            })
            .collect();
        measure(Group::Engine, "cold", self.bench.cli.cold_runs, &nothing, Side::new(OURS, &ours), &sides)
    }

    /// Builds everything once, so that all caches are there.
    fn warm_up(&self) -> Result<()> {
        let all = self.names(|_| true);
        eprintln!("engine: building once before measuring: {OURS}");
        // Executables kept from `cold` would make this a build without the engine, whose cache a peer's
        // turn has pruned since.
        let kept = self.subject.root.join("target/docker/executables");
        if kept.exists() {
            std::fs::remove_dir_all(&kept).with_context(|| format!("cannot remove `{}`", kept.display()))?;
        }
        self.ours(&all)?;
        for kind in WARM_PEERS {
            eprintln!("engine: building once before measuring: {}", kind.label());
            self.peers.build(kind, &all)?;
        }
        Ok(())
    }

    /// Measures `names` after `prepare`; the naive side so often only, or not at all.
    fn warm(
        &self,
        name: &str,
        runs: u16,
        prepare: &dyn Fn(usize) -> Result<()>,
        names: &[&str],
        bound: Option<Bound>,
        naive_runs: Option<u16>,
    ) -> Result<Scenario> {
        let ours = || self.ours(names);
        let kinds = WARM_PEERS.into_iter().filter(|kind| *kind != PeerKind::Naive || naive_runs.is_some());
        let runs_of: Vec<_> = kinds.map(|kind| (kind, move || self.peers.build(kind, names))).collect();
        let sides: Vec<_> = runs_of
            .iter()
            .map(|(kind, run)| {
                let side = Side::new(kind.label(), run);
                match (kind, bound) {
                    (PeerKind::Naive, _) => side.at_most(naive_runs.unwrap_or(runs)),
                    (_, Some(bound)) => side.bound(bound),
                    (_, None) => side,
                }
            })
            .collect();
        let mut scenario = measure(Group::Engine, name, runs, prepare, Side::new(OURS, &ours), &sides)?;
        if naive_runs.is_none() {
            scenario.note = Some("the naive Dockerfiles compile everything again, as cold".into());
        }
        Ok(scenario)
    }

    fn bumped(&self) -> Result<Scenario> {
        let (ours, peers) = (&self.bench.checkout, &self.peers.checkout);
        let before = bump::lock_file(&ours.root)?;
        let bump = Bump::plan(self.subject).context("cannot plan the change")?;
        let prepare = |run| {
            bump.apply(ours, run)?;
            write(&peers.root.join("Cargo.lock"), &bump::lock_file(&ours.root)?)
        };
        let all = self.names(|_| true);
        // Once: the way back would find the old version in every cache.
        let mut scenario = self.warm("one dependency bumped", 1, &prepare, &all, None, None)?;
        scenario.note = Some(bump.describe());
        for root in [&ours.root, &peers.root] {
            write(&root.join("Cargo.lock"), &before)?;
        }
        Ok(scenario)
    }
}
