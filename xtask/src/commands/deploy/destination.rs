//! An environment to deploy in: what is pinned and proven there, who else does, what it is marked with.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use camino::{Utf8Path, Utf8PathBuf};
use clap::Parser;

use super::note_unproven;
use crate::cli::{Cli, Command, DeployOptions};
use crate::cluster::Kubectl;
use crate::cluster::lease::{self, Lease};
use crate::commands::chosen_release::{numbered, releases_in};
use crate::commands::environments::{Environment, client_of, named_environment};
use crate::commands::smoke::check_context;
use crate::commands::{Outcome, manifests, smoke};
use crate::gather::record;
use crate::gather::workspace::Workspace;
use crate::image::deployment::{Deployment, next_number};
use crate::image::reference::Tag;
use crate::image::release::{RELEASES, deployed_tag, numbered_tag};
use crate::registry::{Client, Releases, StoredRelease};
use crate::system::environment::variable;
use crate::system::progress::Progress;
use crate::system::{interrupt, parallel};

/// For kubectl's configuration.
const CONFIGURATION: Duration = Duration::from_secs(30);
/// More of a history is not looked at.
const HISTORY: usize = 200;

/// An environment, its registry, its manifests.
pub(super) struct Destination {
    /// With the settings as they are there.
    pub(super) workspace: Workspace,
    pub(super) environment: Environment,
    pub(super) client: Client,
    /// The tag of the release that it was last proven to run.
    pub(super) marker: Tag,
    /// What smoke is run with.
    arguments: Vec<String>,
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
        environment.context = options.context.clone().or(environment.context);
        let client = client_of(&environment, &options.insecure_registry);
        let timeout = format!("{}s", options.timeout.as_secs().max(1));
        let mut arguments: Vec<String> =
            ["smoke", "--apply", "--env", name, "--timeout", &timeout].map(str::to_owned).into();
        arguments.extend(options.context.iter().flat_map(|context| ["--context".to_owned(), context.clone()]));
        let marker = deployed_tag(name)?;
        Ok(Destination { workspace, environment, client, marker, arguments })
    }

    /// The releases in its registry.
    pub(super) fn releases(&self) -> Result<Releases<'_>> {
        releases_in(&self.workspace, &self.client, self.environment.repository_of(&self.workspace, RELEASES)?)
    }

    /// The record of what was last deployed from here, proven or not. Also `local` has one beside that of the last
    /// publication.
    fn record_path(&self) -> Utf8PathBuf {
        self.workspace.root().join(format!("artifacts/docker/{}/docker-image-digests.json", self.environment.name))
    }

    /// Whether what was last deployed from here is something else than `marked`, so that it was not proven.
    ///
    /// # Errors
    /// A record that cannot be read.
    pub(super) fn has_unproven(&self, marked: &StoredRelease) -> Result<bool> {
        Ok(record::read_if_there(&self.record_path())?.is_some_and(|last| last != marked.release.record()))
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

    /// Demands that the cluster may be applied to, and that nobody else deploys there.
    ///
    /// # Errors
    /// Somebody does; nobody confirmed the context; there is no cluster.
    pub(super) fn lock(&self) -> Result<Option<Lease>> {
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
            Ok(lease) => Ok(Some(lease)),
            Err(why) => {
                eprintln!(
                    "note: whether somebody else deploys there now, no lease tells: {}",
                    why.lines().next().unwrap_or_default()
                );
                Ok(None)
            }
        }
    }

    /// What deploying a release would change and run, a line each.
    pub(super) fn plan(&self, found: &StoredRelease) -> Result<String> {
        let pins = manifests::plan(&self.workspace, &found.release.record())?;
        let pinned: String = pins.changed_paths().iter().map(|path| format!("pin    {path}\n")).collect();
        let number = next_number(&self.history()?);
        let name = self.releases()?.repository.name();
        let numbered = numbered_tag(&self.environment.name, number)?;
        let marker = &self.marker;
        Ok(format!(
            "{pinned}run    cargo xtask {}\ntag    {name}:{numbered}\ntag    {name}:{marker}\n",
            self.arguments.join(" ")
        ))
    }

    /// Pins the manifests to a release, applies them, and looks whether the cluster runs it.
    ///
    /// # Errors
    /// It does not, or nobody can tell.
    pub(super) fn prove(&self, found: &StoredRelease, options: &DeployOptions) -> Result<()> {
        let record = found.release.record();
        let name = &self.environment.name;
        record::write(&self.record_path(), &record)?;
        note_unproven(name);
        for path in manifests::pin(&self.workspace, &record)? {
            eprintln!("pinned {path}");
        }
        let json = options.json.then(|| "--json".to_owned());
        let words = std::iter::once("cargo xtask".to_owned()).chain(self.arguments.iter().cloned()).chain(json);
        let Command::Smoke(arguments) = Cli::try_parse_from(words).context("smoke's own arguments")?.command else {
            bail!("smoke's own arguments")
        };
        let manifest = self.workspace.root().join("Cargo.toml");
        match smoke::run(Some(&manifest), &arguments)? {
            Outcome::Done => Ok(()),
            Outcome::Failed => Err(anyhow!("smoke failed")),
        }
    }

    /// Marks a release that was proven: with the next number, unless it has the last one, and as the one that runs.
    ///
    /// # Errors
    /// Somebody else marked another one meanwhile; the registry refuses.
    pub(super) fn mark(&self, found: &StoredRelease, was: Option<&StoredRelease>, progress: &Progress) -> Result<()> {
        let releases = self.releases()?;
        let name = &self.environment.name;
        let now = self.client.head_manifest(&releases.repository.with_tag(self.marker.clone()))?;
        let now = now.map(|now| now.digest);
        if now.as_ref() != was.map(|was| &was.digest) {
            let now = now.map_or("nothing".to_owned(), |now| now.to_string());
            bail!("`{name}` is proven to run the release, but was marked with {now} by somebody else meanwhile");
        }
        let history = self.history()?;
        let tags = match history.last().filter(|last| last.release == found.digest) {
            Some(_) => vec![self.marker.clone()],
            None => vec![numbered_tag(name, next_number(&history))?, self.marker.clone()],
        };
        // The number first: what is marked has one.
        releases.tag(&found.digest, &tags).context("the release runs and is proven, but not marked")?;
        interrupt::forget_notes();
        progress.say(&format!(
            "{name}: runs {}, marked {}",
            found.digest,
            tags.iter().map(Tag::as_str).collect::<Vec<_>>().join(", ")
        ));
        Ok(())
    }
}
