//! `verify --rebuild`: builds a release's commit again, and says whether the same images come of it.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use camino::Utf8PathBuf;
use serde_json::{Value, json};

use super::Place;
use super::differ::differences;
use crate::cli::{BuildOptions, BuilderChoice, SignaturesArgs};
use crate::commands::build::plan::{BuildPlan, PlannedImage, plan};
use crate::commands::build::{apply, options, report};
use crate::commands::sign::{REBUILT_NAME, Signer};
use crate::commands::table::table;
use crate::commands::{Outcome, print};
use crate::errors::{all, hinted, shown};
use crate::gather::ci::run as ci_run;
use crate::gather::workspace::Workspace;
use crate::image::labels::{INPUT_HASH, INPUTS};
use crate::image::platform::Platform;
use crate::image::record::{DigestRecord, RecordedImage};
use crate::image::reference::Digest;
use crate::image::release::is_commit;
use crate::image::statement::{REBUILT, STATEMENT_TYPE, Statement};
use crate::image::time::rfc3339;
use crate::registry::{Attachment, RemoteImage};
use crate::system::environment::variable;
use crate::system::files::TemporaryFolder;
use crate::system::git::Git;
use crate::system::parallel;
use crate::system::process::forget_own_toolchain;
use crate::system::progress::Progress;
use crate::workspace::input_summary::InputSummary;

/// The commit that an image says that it was made from.
const REVISION: &str = "org.opencontainers.image.revision";

/// Variables that put a program before the compiler.
const WRAPPERS: [&str; 3] = ["RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "CARGO_BUILD_RUSTC_WRAPPER"];

/// What came of building an image again.
enum Rebuilt {
    Same,
    /// Another image, and how it differs.
    Different(Vec<String>),
    /// None, and why.
    Not(Vec<String>),
}

impl Rebuilt {
    fn word(&self) -> &'static str {
        match self {
            Rebuilt::Same => "same",
            Rebuilt::Different(_) => "different",
            Rebuilt::Not(_) => "not rebuilt",
        }
    }

    fn why(&self) -> &[String] {
        match self {
            Rebuilt::Same => &[],
            Rebuilt::Different(why) | Rebuilt::Not(why) => why,
        }
    }
}

/// An image to build again.
struct Wanted<'a> {
    name: &'a String,
    recorded: &'a RecordedImage,
    remote: RemoteImage,
}

impl Wanted<'_> {
    fn label(&self, platform: &Platform, name: &str) -> Option<&str> {
        self.remote.platforms.get(platform)?.labels.get(name).map(String::as_str)
    }

    /// What it says that it was made by.
    fn builder(&self) -> BuilderChoice {
        let summary = self.remote.labels().and_then(|labels| InputSummary::parse(labels.get(INPUTS)?));
        match summary.and_then(|summary| summary.builder()) {
            Some("native") => BuilderChoice::Native,
            Some(_) => BuilderChoice::Docker,
            None => BuilderChoice::Auto,
        }
    }

    /// What is different here, so that no image could be the same.
    fn not_here(&self, image: &PlannedImage<'_>) -> Vec<String> {
        let other = image.platforms.iter().filter(|planned| {
            self.label(&planned.platform, INPUT_HASH) != Some(planned.input_hash.to_string().as_str())
        });
        let lines = other.flat_map(|planned| {
            let there = self.label(&planned.platform, INPUTS).and_then(InputSummary::parse);
            let mut differ = there.map_or_else(Vec::new, |there| there.differences(&InputSummary::of(&planned.inputs)));
            if differ.is_empty() {
                differ.push("its input hash, and it does not say why".to_owned());
            }
            differ.into_iter().map(move |what| format!("{}: another input: {what}", planned.platform))
        });
        lines.collect()
    }
}

/// The release's commit, in a work tree outside of every workspace, for as long as this lives.
struct Checkout {
    git: Git,
    folder: TemporaryFolder,
    root: Utf8PathBuf,
}

impl Checkout {
    fn of(workspace: &Workspace, commit: &str) -> Result<Self> {
        let git = Git::open(workspace.root())?.context("`--rebuild` needs git history, and there is none here")?;
        git.known_commit(commit).ok_or_else(|| {
            let hint = "fetch it: `git fetch --unshallow`, or from the remote that has it";
            hinted(format!("the release's commit {commit} is not here"), hint)
        })?;
        let folder = TemporaryFolder::create_outside("rebuild")?;
        let root = git.add_work_tree(commit, &folder.0.join("tree"))?;
        Ok(Checkout { git, folder, root })
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        // What git cannot forget now, its next clean-up does.
        let _ = self.git.remove_work_tree(&self.folder.0.join("tree"));
    }
}

/// Builds the images of `record` again, compares, and attaches what came of it where that is asked for.
pub(super) fn run(
    workspace: &Workspace,
    place: &Place,
    record: &DigestRecord,
    arguments: &SignaturesArgs,
) -> Result<Outcome> {
    let progress = Progress::new();
    if let Some(name) = WRAPPERS.iter().find(|name| variable(name).is_some()) {
        let why = anyhow::anyhow!("`{name}` may name a compile cache: what it kept is not compiled again");
        match arguments.attest {
            true => bail!(hinted(why, "attest without it")),
            false => progress.warn(&why),
        }
    }
    let signer = arguments.sign.then(|| Signer::new(workspace)).transpose()?;
    // That of the commit decides.
    forget_own_toolchain();
    let images = parallel::map(record.images.iter().collect(), parallel::REQUESTS, |(name, recorded)| {
        let remote = place.client.inspect(&recorded.image).with_context(|| format!("cannot read `{name}`"))?;
        Ok(Wanted { name, recorded, remote })
    });
    let mut groups: BTreeMap<(String, Vec<Platform>), (BuilderChoice, Vec<Wanted<'_>>)> = BTreeMap::new();
    for wanted in all(images)? {
        let builder = arguments.builder.unwrap_or_else(|| wanted.builder());
        let platforms = wanted.recorded.platforms.keys().cloned().collect();
        groups.entry((format!("{builder:?}"), platforms)).or_insert((builder, Vec::new())).1.push(wanted);
    }
    let checkout = Checkout::of(workspace, &place.release.release.commit)?;
    let attestor = arguments.attest.then(|| Attestor::new(place, signer)).transpose()?;
    let mut rebuilt = BTreeMap::new();
    for ((_, platforms), (builder, wanted)) in &groups {
        let found = build(&checkout, place, *builder, platforms, wanted, arguments.dry_run, &progress);
        let found = found.unwrap_or_else(|error| {
            let why = shown(&error).trim_end().to_owned();
            wanted.iter().map(|wanted| (wanted.name.clone(), Rebuilt::Not(vec![why.clone()]))).collect()
        });
        let same = wanted.iter().filter(|wanted| matches!(found.get(wanted.name), Some(Rebuilt::Same)));
        for wanted in same.filter(|_| !arguments.dry_run) {
            attestor.as_ref().map_or(Ok(()), |attestor| attestor.attach(wanted, &progress))?;
        }
        rebuilt.extend(found);
    }
    if arguments.dry_run {
        return planned(record, &rebuilt, attestor.as_ref());
    }
    tell(place, record, &rebuilt, attestor.is_some(), arguments.json)
}

/// Builds the images of one builder and the same platforms. A dry run prints what it would do, and calls them the same.
fn build(
    checkout: &Checkout,
    place: &Place,
    builder: BuilderChoice,
    platforms: &[Platform],
    wanted: &[Wanted<'_>],
    dry_run: bool,
    progress: &Progress,
) -> Result<BTreeMap<String, Rebuilt>> {
    // Nothing that was built before is taken: no layer of the engine's, and an empty target folder.
    let options = BuildOptions { builder, no_cache: true, ..BuildOptions::default() };
    let manifest = checkout.root.join("Cargo.toml");
    let (mut past, machine) =
        Workspace::load_beside(Some(&manifest), platforms, |root| options::look_around(root, &options, false))
            .with_context(|| format!("cannot read the state at {}", place.release.release.commit))?;
    past.packages.target = checkout.folder.0.join("target");
    let is_wanted = |name: &str| wanted.iter().find(|wanted| wanted.name == name);
    let chosen: Vec<_> = past.components.iter().filter(|component| is_wanted(&component.name).is_some()).collect();
    let mut rebuilt: BTreeMap<String, Rebuilt> = wanted
        .iter()
        .map(|wanted| (wanted.name.clone(), Rebuilt::Not(vec!["its commit has no such component".to_owned()])))
        .collect();
    let mut plan = plan(&past, chosen, &options, false, machine, progress)?;
    plan.images.retain_mut(|image| {
        let Some(wanted) = is_wanted(&image.component.name) else { return false };
        let why = wanted.not_here(image);
        if !why.is_empty() {
            rebuilt.insert(image.component.name.clone(), Rebuilt::Not(why));
            return false;
        }
        date_back(image, wanted, &checkout.git, progress);
        true
    });
    if plan.images.is_empty() {
        return Ok(rebuilt);
    }
    if dry_run {
        print(&report::dry_run(&plan)?)?;
        rebuilt.extend(plan.images.iter().map(|image| (image.component.name.clone(), Rebuilt::Same)));
        return Ok(rebuilt);
    }
    rebuilt.extend(compare(&plan, place, wanted, progress)?);
    Ok(rebuilt)
}

/// An image that an earlier commit gave, by the same inputs, says that commit and its time.
fn date_back(image: &mut PlannedImage<'_>, wanted: &Wanted<'_>, git: &Git, progress: &Progress) {
    let revision = wanted.remote.labels().and_then(|labels| labels.get(REVISION));
    let Some(revision) = revision.filter(|revision| **revision != image.commit && is_commit(revision)) else { return };
    let Some(commit) = git.known_commit(revision) else { return };
    progress.say(&format!("{}: made at {} of the same inputs", wanted.name, &commit.hash[..7]));
    image.commit = commit.hash;
    // Unless an argument of this build says the times.
    if image.build_date == rfc3339(image.created) && variable("SOURCE_DATE_EPOCH").is_none() {
        image.created = commit.time;
        image.build_date = rfc3339(commit.time);
    }
}

fn compare(
    plan: &BuildPlan<'_>,
    place: &Place,
    wanted: &[Wanted<'_>],
    progress: &Progress,
) -> Result<BTreeMap<String, Rebuilt>> {
    let (layout, results) = apply::apply(plan, progress)?;
    let mut rebuilt = BTreeMap::new();
    for (image, built) in results {
        let name = &image.component.name;
        let Some(wanted) = wanted.iter().find(|wanted| wanted.name == name) else { continue };
        let found = match built {
            Err(error) => Rebuilt::Not(vec![shown(&error).trim_end().to_owned()]),
            Ok(built) if built.descriptor.digest == wanted.recorded.digest => Rebuilt::Same,
            Ok(built) => Rebuilt::Different(differences(&place.client, wanted.recorded, &layout, &built)?),
        };
        rebuilt.insert(name.clone(), found);
    }
    Ok(rebuilt)
}

/// Says in the registry that an image came out the same.
struct Attestor<'a> {
    place: &'a Place,
    signer: Option<Signer>,
    /// Of the statement: what is of another key or machine has another, and stays.
    name: String,
}

impl<'a> Attestor<'a> {
    fn new(place: &'a Place, signer: Option<Signer>) -> Result<Self> {
        let known = signer.as_ref().map(Signer::id).transpose()?.flatten();
        let who = known.unwrap_or_else(machine);
        let name = format!("{REBUILT_NAME}{}", &Digest::of(who.as_bytes()).hex()[..16]);
        Ok(Attestor { place, signer, name })
    }

    fn attach(&self, wanted: &Wanted<'_>, progress: &Progress) -> Result<()> {
        let RecordedImage { image, digest, .. } = wanted.recorded;
        let client = &self.place.client;
        let statement = Statement::new(digest, REBUILT, self.predicate(wanted));
        match &self.signer {
            Some(signer) => signer.attach(client, image, digest, &self.name, &statement),
            None => {
                let attachment = Attachment::new(&self.name, STATEMENT_TYPE, statement.to_bytes());
                client.attach(image, digest, vec![attachment]).map(drop)
            }
        }
        .with_context(|| format!("`{}` is the same, and that is not attached", wanted.name))?;
        let signed = if self.signer.is_some() { ", signed" } else { "" };
        progress.say(&format!("{}: attached that it was built again{signed}", wanted.name));
        Ok(())
    }

    /// What was built, of what. No times: those are no content.
    fn predicate(&self, wanted: &Wanted<'_>) -> Value {
        let platforms = wanted.recorded.platforms.iter().map(|(platform, image)| {
            let said = |name| wanted.label(platform, name);
            let inputs = said(INPUTS).and_then(|text| serde_json::from_str(text).ok()).unwrap_or(Value::Null);
            let platform = platform.to_string();
            (platform, json!({ "digest": image.digest, "inputHash": said(INPUT_HASH), "inputs": inputs }))
        });
        json!({
            "component": wanted.name,
            "commit": self.place.release.release.commit,
            "release": self.place.release.digest,
            "platforms": platforms.collect::<serde_json::Map<_, _>>(),
            "builder": {
                "id": ci_run().map_or("urn:cargo-xtask:local", |run| run.system),
                "version": { "cargo-xtask": env!("CARGO_PKG_VERSION") },
            },
        })
    }
}

/// What tells this machine from others; all of a CI project's are one.
fn machine() -> String {
    let own = || ["/etc/machine-id", "/etc/hostname"].iter().find_map(|path| std::fs::read_to_string(path).ok());
    ci_run().map_or_else(|| own().unwrap_or_default(), |run| format!("{} {}", run.system, run.repository))
}

/// The end of a dry run.
fn planned(
    record: &DigestRecord,
    rebuilt: &BTreeMap<String, Rebuilt>,
    attestor: Option<&Attestor<'_>>,
) -> Result<Outcome> {
    for (name, found) in rebuilt {
        found.why().iter().for_each(|why| eprintln!("{name}: {why}"));
        if let (Some(attestor), Rebuilt::Same) = (attestor, found) {
            print(&format!("attach {} to {}, if it is the same\n", attestor.name, record.images[name].image))?;
        }
    }
    let is_possible = rebuilt.values().all(|found| matches!(found, Rebuilt::Same));
    Ok(if is_possible { Outcome::Done } else { Outcome::Failed })
}

fn tell(
    place: &Place,
    record: &DigestRecord,
    rebuilt: &BTreeMap<String, Rebuilt>,
    is_attested: bool,
    as_json: bool,
) -> Result<Outcome> {
    let passed = !rebuilt.is_empty() && rebuilt.values().all(|found| matches!(found, Rebuilt::Same));
    if as_json {
        let component = |(name, found): (&String, &Rebuilt)| {
            let is_same = matches!(found, Rebuilt::Same);
            let image = record.images[name].image.to_string();
            let about = json!({ "image": image, "rebuilt": found.word(), "why": found.why(), "attested": is_same && is_attested });
            (name.clone(), about)
        };
        let components: serde_json::Map<_, _> = rebuilt.iter().map(component).collect();
        let release = &place.release;
        let document = json!({ "release": release.digest, "commit": release.release.commit, "components": components, "passed": passed });
        print(&(serde_json::to_string_pretty(&document)? + "\n"))?;
    } else {
        let row = |(name, found): (&String, &Rebuilt)| {
            vec![name.clone(), found.word().to_owned(), record.images[name].digest.to_string()]
        };
        print(&table(&["COMPONENT", "REBUILT", "DIGEST"], &rebuilt.iter().map(row).collect::<Vec<_>>()))?;
    }
    for (name, found) in rebuilt {
        found.why().iter().for_each(|why| eprintln!("{name}: {why}"));
    }
    if !passed && rebuilt.values().any(|found| matches!(found, Rebuilt::Not(_))) {
        let error = anyhow::anyhow!("{}", "not all could be built again");
        eprint!(
            "{}",
            shown(&hinted(
                error,
                "build where the inputs that differ are as they were: the same toolchain, builder and variables"
            ))
        );
    }
    Ok(if passed { Outcome::Done } else { Outcome::Failed })
}
