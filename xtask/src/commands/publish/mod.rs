//! `publish`: what the registry lacks is built and pushed, everything is tagged, and the digests are
//! recorded.

pub(crate) mod apply;
mod attest;
pub(crate) mod before;
pub(crate) mod finish;
pub(crate) mod lookup;
pub(crate) mod plan;
pub(crate) mod refusal;
mod rehearse;
mod release;
mod report;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};
use camino::Utf8Path;

use self::apply::Published;
use self::attest::Attestations;
use self::before::Before;
use self::plan::PlannedComponent;
use super::build::plan::BuildPlan;
use super::build::{self, options};
use super::chosen_release::{line_tag, releases};
use super::environments::own_client;
use super::filter::choose;
use super::manifests;
use super::scan;
use super::sign::{Made, Signer};
use super::{Outcome, print};
use crate::cli::{DockerBuildArgs, PublishArgs};
use crate::errors::hinted;
use crate::gather::ci::CiState;
use crate::gather::origin::left_out_owner;
use crate::gather::record;
use crate::gather::repositories::{own_registry, repositories};
use crate::gather::workspace::Workspace;
use crate::image::build_number::NUMBER_FILE;
use crate::image::part::{Part, PartImage, PartPlatform};
use crate::image::record::{DigestRecord, RecordedImage};
use crate::image::reference::{ImageReference, Tag};
use crate::image::service_manifest::ServiceManifest;
use crate::image::tags::{GitReference, TagRules, Tags, version_of};
use crate::registry::{Client, Releases, RemoteImage};
use crate::system::environment::variable;
use crate::system::files::write_durably;
use crate::system::interrupt;
use crate::system::progress::Progress;
use crate::workspace::components::Component;
use crate::workspace::manifest_settings::ManifestSource;
use crate::workspace::settings::{Attestation, Latest, VersionCheck};

/// Where `publish` writes; changes there leave the tree clean.
const OUTPUT: &str = "artifacts/docker";

pub(crate) fn run(manifest: Option<&Utf8Path>, arguments: &PublishArgs) -> Result<Outcome> {
    let progress = Progress::new();
    let platforms = options::platforms(&arguments.options.platform)?;
    let look_around = |root: &Utf8Path| options::look_around(root, &arguments.options, false);
    let (workspace, machine) = Workspace::load_beside(manifest, &platforms, look_around)?;
    let asked = options::tags(&arguments.options.tag)?;
    let ci = ci_state(&workspace)?;
    let tags = tags(&workspace, &ci, &asked)?;
    let chosen = choose(&workspace, &arguments.filter)?;
    for (name, reason) in &chosen.reasons {
        progress.say(&format!("{name}: affected ({reason})"));
    }
    check_versions(&workspace, &ci.reference, &chosen.components, &progress)?;
    let registry =
        arguments.registry.registry.clone().map_or_else(|| own_registry(&workspace.packages.settings), Ok)?;
    if let Some((why, hint)) = left_out_owner(&workspace, &registry) {
        progress.warn(&hinted(why, hint));
    }
    let names: Vec<String> = chosen.components.iter().map(|component| component.name.clone()).collect();
    let repositories = repositories(&workspace, arguments.registry.registry.as_ref())?;
    let (published, others): (Vec<_>, Vec<_>) = repositories.into_iter().partition(|(name, _)| names.contains(name));
    if workspace.components.is_empty() {
        eprintln!("nothing to publish: this workspace has no binary that could be a component");
        return Ok(Outcome::Done);
    }
    let tag = asked.first().unwrap_or(&tags.commit);
    let images = published.iter().map(|(name, repository)| (name.clone(), repository.with_tag(tag.clone())));
    let rehearsed = ServiceManifest::new(tag, false, images.collect());
    if arguments.rehearse {
        return rehearse::from_plan(&workspace, &rehearsed, arguments.dry_run);
    }
    let why_not = why_not_pushed(&ci)?;
    if arguments.scan {
        scan::lock_file(&workspace)?;
    }
    let mut build = build::plan::plan(&workspace, chosen.components, &arguments.options, false, machine, &progress)?;
    build.is_strict = true;
    if let Some(why) = why_not {
        let tags: Vec<_> = tags.all.iter().map(|tag| format!("`{}`", tag.tag)).collect();
        let why = format!("{why}: images are built and not pushed\ntheir tags would be {}", tags.join(", "));
        return rehearse::build_only(build, &why, &rehearsed, arguments.dry_run, &progress);
    }
    // What is hashed by now is what the tags say it is: neither commit nor edits came in between.
    ensure!(ci_state(&workspace)? == ci, hinted("the tree changed while this ran", "run it again"));
    check_clean(&ci, arguments, &progress)?;
    let run = Run { arguments, workspace: &workspace, tags, asked, ci, progress: &progress };
    run.publish(build, &others)
}

/// `docker-build --push`: what was asked for is built, pushed, and tagged with the commit and `asked`; nothing is
/// recorded.
pub(crate) fn push(mut build: BuildPlan<'_>, arguments: &DockerBuildArgs, progress: &Progress) -> Result<Outcome> {
    let workspace = build.workspace;
    let mut ci = ci_state(workspace)?;
    if let Some(why) = why_not_pushed(&ci)? {
        bail!("`--push` is refused: {why}");
    }
    build.is_strict = true;
    // Names of branches and versions are for `publish`, which records what they are.
    ci.reference = GitReference::Detached;
    let tags = tags(workspace, &ci, &options::tags(&arguments.options.tag)?)?;
    let client = own_client(&arguments.registry.insecure_registry);
    let planned =
        plan::plan(&client, &build, arguments.registry.registry.as_ref(), &tags, true, !arguments.dry_run, &|_, _| {
            Ok(None)
        })?;
    if arguments.dry_run {
        print(&(report::tags(&planned, &tags) + &report::builds(build, &planned)?))?;
        return Ok(Outcome::Done);
    }
    let uploads = arguments.options.jobs.map_or(apply::PARALLEL_UPLOADS, usize::from);
    let outcomes = apply::apply(&client, build, planned, uploads, progress)?;
    let published = finish::all_or_what_was_pushed(outcomes, progress)?;
    finish::tag(&client, &published, &tags, progress)?;
    let record = finish::record(&published, &tags);
    print(&report::published(&record, &DigestRecord::default(), arguments.json)?)?;
    Ok(Outcome::Done)
}

/// What a run is about.
struct Run<'a> {
    arguments: &'a PublishArgs,
    workspace: &'a Workspace,
    tags: Tags,
    /// Tags of `--tag` and `CI_IMAGE_TAG`.
    asked: Vec<Tag>,
    ci: CiState,
    progress: &'a Progress,
}

impl Run<'_> {
    fn publish(&self, build: BuildPlan<'_>, others: &[(String, ImageReference)]) -> Result<Outcome> {
        let arguments = self.arguments;
        let client = own_client(&arguments.registry.insecure_registry);
        // Without tags nothing immutable is in the way.
        let tags = match arguments.by_digest {
            true => Tags { commit: self.tags.commit.clone(), all: Vec::new() },
            false => self.tags.clone(),
        };
        let path = record::absolute_path(self.workspace.root(), arguments.digests.as_deref())?;
        let registry = arguments.registry.registry.as_ref();
        let releases = releases(self.workspace, &client, registry)?;
        let line = line_tag(&self.ci, &self.tags.commit);
        let before = match arguments.by_digest {
            true => Before::default(),
            false => Before::look_up(self.workspace, &releases, &self.ci, &line, &path, self.progress)?,
        };
        // A key that cannot be used is told before anything is built.
        let signer = arguments.sign.then(|| Signer::new(self.workspace)).transpose()?;
        let kinds = if arguments.attest { Attestation::ALL } else { &self.workspace.packages.settings.attestations };
        let lacks = |repository: &ImageReference, image: &RemoteImage| {
            Ok(match &signer {
                Some(signer) if !signer.has_signed(&client, repository, image.digest())? => {
                    Some("the registry has an image of these inputs, which we did not sign".to_owned())
                }
                _ if attest::lacks_provenance(&client, kinds, repository, image)? => {
                    Some("the registry has an image of these inputs, and nobody says how it was made".to_owned())
                }
                _ => None,
            })
        };
        let rebuild = arguments.rebuild;
        let planned = plan::plan(&client, &build, registry, &tags, rebuild, !arguments.dry_run, &lacks)?;
        let carried = plan::carried(&client, &before.record, others)?;
        signer.iter().try_for_each(|signer| signer.demand(&client, &carried))?;
        if !arguments.dry_run && !arguments.by_digest && planned.iter().any(PlannedComponent::is_built) {
            client.check_push(&releases.repository).context("the images' release cannot be written")?;
        }
        let text = report::plan(&planned, &tags, &carried, &releases.repository.with_tag(line.clone()), &path);
        if arguments.dry_run {
            print(&(text + &report::builds(build, &planned)?))?;
            return Ok(Outcome::Done);
        }
        eprint!("{}", report::decisions(&planned));
        let uploads = arguments.options.jobs.map_or(apply::PARALLEL_UPLOADS, usize::from);
        finish::note_unwritten(&path);
        let attestations = Attestations::of(&build, kinds);
        let outcomes = apply::apply(&client, build, planned, uploads, self.progress)?;
        let published = finish::all_or_what_was_pushed(outcomes, self.progress)?;
        // Before tags lead to them: who admits images by what is attached must find it.
        let made = match kinds {
            [] => Made::default(),
            _ => attestations.attach(&client, &published, &self.ci, signer.is_some(), self.progress)?,
        };
        if arguments.by_digest {
            let part = part(&self.ci.commit, &published);
            interrupt::forget_notes();
            write_durably(&path, part.to_text().as_bytes())?;
            print(&report::part(&published, arguments.json.then_some(&part))?)?;
            eprintln!("wrote {path}; `cargo xtask digests merge` joins it with the others");
            return Ok(Outcome::Done);
        }
        let publication = Publication {
            workspace: self.workspace,
            ci: &self.ci,
            tags: &tags,
            asked: &self.asked,
            path: &path,
            releases: &releases,
            line: &line,
            before,
            carried,
            signer,
            made,
            with_manifests: !arguments.no_manifests,
            as_json: arguments.json,
        };
        publication.finish(&client, published, self.progress)
    }
}

/// What the end of a publication needs.
pub(crate) struct Publication<'a> {
    pub(crate) workspace: &'a Workspace,
    /// What is published.
    pub(crate) ci: &'a CiState,
    /// Tags of this build.
    pub(crate) tags: &'a Tags,
    /// Tags of `--tag` and `CI_IMAGE_TAG`.
    pub(crate) asked: &'a [Tag],
    pub(crate) path: &'a Utf8Path,
    /// Where releases are.
    pub(crate) releases: &'a Releases<'a>,
    /// The tag of the releases that this one follows.
    pub(crate) line: &'a Tag,
    /// What was published before.
    pub(crate) before: Before,
    /// Entries of components that are not published now.
    pub(crate) carried: BTreeMap<String, RecordedImage>,
    /// Who signs, if anybody does.
    pub(crate) signer: Option<Signer>,
    /// What was attached to the images, and is signed with them.
    pub(crate) made: Made,
    pub(crate) with_manifests: bool,
    /// Whether the record is printed as JSON.
    pub(crate) as_json: bool,
}

impl Publication<'_> {
    /// Tags all images, then writes their release, then records them here.
    ///
    /// # Errors
    /// Tags that cannot be set, files that cannot be written, manifests that cannot be pinned.
    pub(crate) fn finish(self, client: &Client, published: Vec<Published>, progress: &Progress) -> Result<Outcome> {
        let (fresh, compared) = (finish::record(&published, self.tags), self.before.compared());
        finish::check_growth(self.workspace, &fresh, &compared)?;
        if let Some(signer) = &self.signer {
            // Before tags lead to them: who admits images by their signatures must find them.
            let images = fresh.images.iter().map(|(name, image)| (name.as_str(), image)).collect();
            let signed = signer.sign_images(client, images, &self.made, progress);
            signed.context("the images are pushed, and neither signed nor tagged; run it again")?;
        }
        finish::tag(client, &published, self.tags, progress)?;
        let stored = self.write_release(&fresh.images, progress)?;
        if let Some(signer) = &self.signer {
            let signed = signer.sign_release(client, self.releases, &stored, progress);
            signed.context("the images are published, and their release is not signed; run it again")?;
        }
        let record = stored.release.record();
        finish::write(self.workspace, self.path, &record, &compared, self.tags, self.asked, progress)?;
        print(&report::published(&record, &compared, self.as_json)?)?;
        eprintln!("wrote {}", self.path);
        if self.with_manifests {
            let mut pins = manifests::plan(self.workspace, &record)
                .and_then(|plan| manifests::apply(&plan).map(|()| plan))
                .context("the images are published and recorded, but the manifests are not pinned")?;
            for path in pins.changed_paths() {
                eprintln!("pinned {path}");
            }
            manifests::warn(self.workspace, &mut pins, &record);
        }
        Ok(Outcome::Done)
    }
}

fn part(commit: &str, published: &[Published]) -> Part {
    let images = published.iter().map(|image| {
        let platforms = image.platforms.iter().zip(image.hashes.values()).map(|((platform, recorded), input_hash)| {
            (platform.clone(), PartPlatform { image: recorded.clone(), input_hash: input_hash.clone() })
        });
        let part = PartImage { repository: image.repository.name(), platforms: platforms.collect() };
        (image.name.clone(), part)
    });
    Part { commit: commit.to_owned(), images: images.collect() }
}

/// HEAD, its branch, tag or pull request, and whether the tree differs.
pub(crate) fn ci_state(workspace: &Workspace) -> Result<CiState> {
    // Kustomizations lead to files elsewhere. What cannot be read is told when it is pinned.
    let manifests = manifests::read(workspace).unwrap_or_default();
    let own = workspace.packages.settings.manifests.iter().map(ManifestSource::path);
    let elsewhere = workspace.packages.settings.environments.values().flat_map(|environment| &environment.manifests);
    let own =
        own.chain(elsewhere.map(ManifestSource::path)).chain(manifests.files.iter().map(|file| file.path.as_path()));
    let written = [OUTPUT, NUMBER_FILE].map(Utf8Path::new);
    CiState::gather(workspace.root(), &own.chain(written).collect::<Vec<_>>())
}

/// The tags of this build.
pub(crate) fn tags(workspace: &Workspace, ci: &CiState, asked: &[Tag]) -> Result<Tags> {
    let settings = &workspace.packages.settings;
    let rules = TagRules {
        commit: &ci.commit,
        is_dirty: !ci.changed.is_empty(),
        reference: &ci.reference,
        sha_template: &settings.sha_tag,
        latest_is_release: settings.latest == Latest::Release,
        has_build_numbers: settings.environments.values().any(|environment| environment.build_number),
        extra: asked,
        mutable: &settings.mutable_tags,
    };
    rules.tags()
}

/// Says which packages are of another version than the git tag that is published.
fn check_versions(
    workspace: &Workspace,
    reference: &GitReference,
    components: &[&Component],
    progress: &Progress,
) -> Result<()> {
    let GitReference::Tag(tag) = reference else { return Ok(()) };
    let Some(version) = version_of(tag) else { return Ok(()) };
    let others: BTreeSet<String> = components
        .iter()
        .filter(|component| component.package.version != version)
        .map(|component| format!("{} {}", component.package.name, component.package.version))
        .collect();
    if others.is_empty() {
        return Ok(());
    }
    let others = others.into_iter().collect::<Vec<_>>().join(", ");
    let hint = "set their versions, or `version-check = \"off\"` where packages are not versioned";
    let error = hinted(format!("git tag `{tag}` is of another version than {others}"), hint);
    match workspace.packages.settings.version_check {
        VersionCheck::Off => Ok(()),
        VersionCheck::Warning => {
            progress.warn(&error);
            Ok(())
        }
        VersionCheck::Error => Err(error),
    }
}

/// Why nothing may be pushed; nothing when it may.
fn why_not_pushed(ci: &CiState) -> Result<Option<String>> {
    match variable("CI_PUSH").as_deref() {
        None | Some("true" | "1") => {}
        Some("false" | "0") => return Ok(Some("`CI_PUSH` is false".to_owned())),
        Some(other) => bail!("`CI_PUSH` is `{other}`; it can be `true` or `false`"),
    }
    Ok(match &ci.reference {
        GitReference::PullRequest(_) => Some("this is a pull request".to_owned()),
        _ => None,
    })
}

/// A tree with changes is published only when asked for.
fn check_clean(ci: &CiState, arguments: &PublishArgs, progress: &Progress) -> Result<()> {
    if ci.changed.is_empty() || arguments.allow_dirty {
        return Ok(());
    }
    let shown: Vec<&str> = ci.changed.iter().take(5).map(String::as_str).collect();
    let more = match ci.changed.len() - shown.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let text = format!("the tree differs from its commit: {}{more}", shown.join(", "));
    if arguments.dry_run {
        progress.say(&format!("warning: {text}; `publish` would refuse without `--allow-dirty`"));
        return Ok(());
    }
    bail!(hinted(text, "commit first, or publish under a `-dirty` tag with `--allow-dirty`"))
}
