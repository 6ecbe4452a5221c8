//! An environment to deploy in: what is pinned and proven there, who else does, what it is marked with.

use std::fs::{File, TryLockError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use camino::{Utf8Path, Utf8PathBuf};
use xshell::cmd;

use super::note_unproven;
use super::numbers::Numbered;
use crate::cli::{DeployOptions, SmokeArgs};
use crate::cluster::Kubectl;
use crate::cluster::lease::{self, Lease};
use crate::commands::chosen_release::{HISTORY, numbered, releases_in};
use crate::commands::environments::{Environment, client_of, named_environment};
use crate::commands::smoke::check_context;
use crate::commands::{Outcome, manifests, smoke};
use crate::errors::{all, hinted, hinted_cause};
use crate::gather::record;
use crate::gather::workspace::Workspace;
use crate::image::deployment::Deployment;
use crate::image::promotion::{LOCAL, record_path};
use crate::image::record::DigestRecord;
use crate::image::reference::{Digest, Tag};
use crate::image::release::{RELEASES, deployed_tag, deploying_tag, numbered_tag};
use crate::kubernetes::smoke::expected_images::places;
use crate::kubernetes::smoke::report::Report;
use crate::registry::{Client, Releases, StoredRelease};
use crate::system::environment::variable;
use crate::system::progress::Progress;
use crate::system::{interrupt, parallel, process};

/// For kubectl's configuration.
const CONFIGURATION: Duration = Duration::from_secs(30);

/// What smoke found when it failed.
#[derive(Debug)]
pub(super) struct SmokeFailed(pub(super) Report);

impl std::fmt::Display for SmokeFailed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("smoke failed")
    }
}

impl std::error::Error for SmokeFailed {}

/// An environment, its registry, its manifests.
pub(super) struct Destination {
    /// With the settings as they are there.
    pub(super) workspace: Workspace,
    pub(super) environment: Environment,
    /// The context that its settings name.
    pub(super) own_context: Option<String>,
    pub(super) client: Client,
    /// The tag of the release that it was last proven to run.
    pub(super) marker: Tag,
    /// What smoke is run with.
    smoke: SmokeArgs,
}

impl Destination {
    /// Reads the workspace.
    ///
    /// # Errors
    /// There is no such environment.
    pub(super) fn load(manifest: Option<&Utf8Path>, name: &str, options: &DeployOptions) -> Result<Self> {
        ensure!(!manifests::placeholder_variable()?, "`XTASK_IMAGES` asks for placeholders, which are no deployment");
        let mut workspace = Workspace::load(manifest, &[])?;
        let (settings, mut environment) = named_environment(workspace.packages.settings, name)?;
        workspace.packages.settings = settings;
        if let (Some(named), Some(own)) = (&options.context, &environment.context)
            && named != own
        {
            eprintln!("note: `{name}` is what runs in context `{named}` now; its settings say `{own}`");
        }
        let own_context = environment.context.clone();
        environment.context = options.context.clone().or(environment.context);
        let client = client_of(&environment, &options.insecure_registry);
        let smoke = SmokeArgs {
            apply: true,
            env: Some(name.to_owned()),
            timeout: Duration::from_secs(options.timeout.as_secs().max(1)),
            insecure_registry: options.insecure_registry.clone(),
            context: options.context.clone(),
            json: options.json,
            ..SmokeArgs::default()
        };
        let marker = deployed_tag(name)?;
        Ok(Destination { workspace, environment, own_context, client, marker, smoke })
    }

    /// The releases in its registry.
    pub(super) fn releases(&self) -> Result<Releases<'_>> {
        releases_in(&self.workspace, &self.client, self.environment.repository_of(&self.workspace, RELEASES)?)
    }

    /// What it was proven to run, the oldest first.
    pub(super) fn history(&self) -> Result<Vec<Deployment>> {
        let releases = self.releases()?;
        let newest = numbered(&releases, &self.environment.name)?.into_iter().rev().take(HISTORY).collect();
        let heads = parallel::map(newest, parallel::REQUESTS, |(number, tag): (u64, Tag)| {
            let head = self.client.head_manifest(&releases.repository.with_tag(tag))?;
            Ok(head.map(|head| Deployment { number, release: head.digest }))
        });
        let mut history: Vec<Deployment> =
            heads.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
        history.sort_by_key(|one| one.number);
        Ok(history)
    }

    /// Demands that the cluster may be applied to, and that nobody else deploys there, or from this work tree.
    ///
    /// # Errors
    /// Somebody does; nobody confirmed the context; there is no cluster.
    pub(super) fn lock(&self) -> Result<Held> {
        let path = self.workspace.output().join("deploy.lock");
        std::fs::create_dir_all(self.workspace.output()).with_context(|| format!("cannot create `{path}`"))?;
        let file = File::create(&path).with_context(|| format!("cannot create `{path}`"))?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => {
                hinted("another deployment from this work tree runs", "wait until that has ended")
            }
            TryLockError::Error(error) => anyhow!(error).context(format!("cannot lock `{path}`")),
        })?;
        let Environment { name, context, namespace, .. } = &self.environment;
        let kubectl = Kubectl::find(self.workspace.root(), context.as_deref(), Instant::now() + CONFIGURATION)?;
        check_context(&kubectl, context.is_some(), &self.workspace.packages.settings)?;
        let namespace = namespace.clone().or(kubectl.namespace.clone()).unwrap_or_else(|| "default".to_owned());
        // As names of objects are (RFC 1123).
        let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        let lease_name =
            format!("cargo-xtask-deploy-{}", name.chars().map(plain).collect::<String>().trim_end_matches('-'));
        let who = variable("USER").or_else(|| variable("GITHUB_ACTOR")).unwrap_or_else(|| "somebody".to_owned());
        let holder = format!("{who} (process {}, since {})", std::process::id(), &lease::now()[..19]);
        match Lease::take(kubectl, &namespace, &lease_name, &holder)? {
            Ok(lease) => Ok(Held { lease: Some(lease), _file: file }),
            Err(why) => {
                eprintln!(
                    "note: whether somebody else deploys there now, no lease tells: {}",
                    why.lines().next().unwrap_or_default()
                );
                Ok(Held { lease: None, _file: file })
            }
        }
    }

    /// What deploying a release would change and run, a line each.
    pub(super) fn plan(&self, numbered: &Numbered) -> Result<String> {
        let found = &numbered.found;
        let number = self.planned_number(numbered)?;
        let pins = manifests::plan(&self.workspace, &numbered.pinned())?;
        let pinned: String = pins.changed_paths().iter().map(|path| format!("pin    {path}\n")).collect();
        let releases = self.releases()?;
        let tags = [deploying_tag(&self.environment.name)?].into_iter().chain(self.number(&releases, found)?);
        let tags = tags.chain([self.marker.clone()]);
        let tags: String = tags.map(|tag| format!("tag    {}:{tag}\n", releases.repository.name())).collect();
        let applied = match self.environment.apply.as_slice() {
            [] => String::new(),
            words => format!("run    {}\n", words.join(" ")),
        };
        Ok(format!("{number}{pinned}{applied}run    {}\n{tags}", self.shown_smoke()))
    }

    /// Smoke's command line, as people would write it.
    fn shown_smoke(&self) -> String {
        let SmokeArgs { timeout, insecure_registry, context, .. } = &self.smoke;
        let insecure = insecure_registry.iter().map(|host| format!(" --insecure-registry {host}")).collect::<String>();
        let context = context.iter().map(|context| format!(" --context {context}")).collect::<String>();
        let name = &self.environment.name;
        format!("cargo xtask smoke --apply --env {name} --timeout {}s{insecure}{context}", timeout.as_secs())
    }

    /// The tag that a release gets as the next deployment, unless it was the last one.
    fn number(&self, releases: &Releases<'_>, found: &StoredRelease) -> Result<Option<Tag>> {
        let name = &self.environment.name;
        Ok(match numbered(releases, name)?.pop() {
            Some((_, tag)) if releases.digest(&tag)?.as_ref() == Some(&found.digest) => None,
            last => Some(numbered_tag(name, last.map_or(1, |(number, _)| number + 1))?),
        })
    }

    /// Pins the manifests to a release, applies them, and looks whether the cluster runs it.
    ///
    /// # Errors
    /// It does not, or nobody can tell.
    pub(super) fn prove(&self, numbered: &Numbered, held: &Held) -> Result<Report> {
        let (found, record) = (&numbered.found, numbered.pinned());
        let name = &self.environment.name;
        // Whatever becomes of it: a rollback must know that this was tried.
        self.releases()?.tag(&found.digest, &deploying_tag(name)?, false)?;
        note_unproven(name);
        for path in manifests::pin(&self.workspace, &record)? {
            eprintln!("pinned {path}");
            if path.extension() == Some("tfvars") && self.environment.apply.is_empty() {
                let folder = path.parent().filter(|folder| !folder.as_str().is_empty());
                let folder = folder.map(|folder| format!(" -chdir={folder}")).unwrap_or_default();
                let file = path.file_name().unwrap_or_default();
                eprintln!(
                    "note: Terraform is yours to run, or to be named as `apply`: `terraform{folder} apply -var-file={file}`"
                );
            }
        }
        let applied = self.applied()?;
        self.check_applied(&applied, &record)?;
        // Copying takes its time, and machines fall asleep.
        held.check().context("nothing is applied")?;
        self.apply(&record)?;
        let manifest = self.workspace.root().join("Cargo.toml");
        let report = match smoke::check(Some(&manifest), &self.smoke)? {
            (Outcome::Done, Some(report)) => report,
            (_, Some(report)) => return Err(SmokeFailed(report).into()),
            (_, None) => bail!("smoke failed"),
        };
        ensure!(self.applied()? == applied, "the manifests changed meanwhile, so nobody knows what was proven");
        Ok(report)
    }

    /// Runs what the settings say, for what kubectl does not apply; its output is shown.
    fn apply(&self, record: &DigestRecord) -> Result<()> {
        let [program, arguments @ ..] = self.environment.apply.as_slice() else { return Ok(()) };
        // As smoke does: what nobody can pull must not replace what runs.
        let images = record.images.values().map(|image| &image.image).collect();
        let heads = parallel::map(images, parallel::REQUESTS, |image| {
            let found = self.client.head_manifest(image)?;
            found.map(drop).with_context(|| format!("`{image}` is gone from the registry, so nothing is applied"))
        });
        all(heads)?;
        // Below the root, wherever we were called.
        let own = self.workspace.root().join(program);
        let program = if program.contains('/') { own.as_str() } else { program };
        let shell = process::shell_in(self.workspace.root())?;
        let log = self.workspace.output().join("logs/apply.log");
        process::run_logged(cmd!(shell, "{program} {arguments...}"), &log, |line| eprintln!("apply: {line}"))
            .with_context(|| format!("what `apply` of `{}` runs failed", self.environment.name))
    }

    /// All texts that kubectl gets.
    fn applied(&self) -> Result<Vec<(Utf8PathBuf, String)>> {
        let found = manifests::read(&self.workspace)?;
        manifests::applied_texts(self.workspace.root(), &found, Instant::now() + CONFIGURATION)
    }

    /// Demands that workloads among the texts run each component of the release, and none of them another image.
    fn check_applied(&self, applied: &[(Utf8PathBuf, String)], record: &DigestRecord) -> Result<()> {
        let mut all = Vec::new();
        for (path, text) in applied {
            all.extend(places(text).map_err(|error| anyhow!("`{path}` is no YAML: {error}"))?);
        }
        let undeployed = &self.workspace.packages.settings.undeployed;
        for (name, image) in &record.images {
            let pinned = format!("@{}", image.digest);
            let mut own = all.iter().filter(|place| is_of_repository(&place.image, &image.repository)).peekable();
            ensure!(
                own.peek().is_some() || undeployed.contains(name),
                "no workload that is applied runs `{name}`, which is in the release"
            );
            if let Some(place) = own.find(|place| !place.image.ends_with(&pinned)) {
                bail!("{} is applied with `{}`, and the release has `{}`", place.shown(), place.image, image.image);
            }
        }
        Ok(())
    }

    /// Marks a release that was proven: with the next number, unless it has the last one, and as the one that runs.
    ///
    /// # Errors
    /// Somebody else deploys, or marked another one meanwhile; the registry refuses.
    pub(super) fn mark(
        &self,
        numbered: &Numbered,
        was: Option<&Digest>,
        held: &Held,
        progress: &Progress,
    ) -> Result<()> {
        let (releases, found) = (self.releases()?, &numbered.found);
        let name = &self.environment.name;
        let mend = "what runs now may be either: wait until theirs has ended, and deploy what is meant";
        held.check().map_err(|why| hinted_cause(why, format!("`{name}` ran the release, and is not marked"), mend))?;
        let now = releases.digest(&self.marker)?;
        if now.as_ref() != was {
            let now = now.map_or("nothing".to_owned(), |now| now.to_string());
            let error = format!("`{name}` ran the release, but was marked with {now} by somebody else meanwhile");
            bail!(hinted(error, mend));
        }
        // The number first: what is marked has one.
        let unmarked = || "the release runs and is proven, but not marked";
        let number = self.number(&releases, found).with_context(unmarked)?;
        if let Some(tag) = &number {
            releases.tag(&found.digest, tag, true).with_context(unmarked)?;
        }
        releases.tag(&found.digest, &self.marker, false).with_context(unmarked)?;
        // The workspace's own is that of its last publication.
        if name != LOCAL {
            record::write(&self.workspace.root().join(record_path(name)), &numbered.record())?;
        }
        interrupt::forget_notes();
        let number = number.map(|tag| format!("{tag}, ")).unwrap_or_default();
        let build = numbered.number.map(|number| format!("build number {number}, ")).unwrap_or_default();
        progress.say(&format!("{name}: runs {}, {build}marked {number}{}", found.digest, self.marker));
        Ok(())
    }
}

/// What keeps others out while it lives.
pub(super) struct Held {
    lease: Option<Lease>,
    _file: File,
}

impl Held {
    /// # Errors
    /// Somebody took the lease over; nobody can tell.
    fn check(&self) -> Result<()> {
        let is_ours = self.lease.as_ref().map_or(Ok(true), Lease::is_ours)?;
        ensure!(is_ours, "somebody else deploys there by now");
        Ok(())
    }
}

/// Whether an image is of this repository, by tag or digest.
fn is_of_repository(image: &str, repository: &str) -> bool {
    image.strip_prefix(repository).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '@']))
}
