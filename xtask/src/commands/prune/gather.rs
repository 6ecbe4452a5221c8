//! All that the plan is made of: the registry, and all that is named elsewhere.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use camino::Utf8Path;

use super::named;
use crate::cli::PruneArgs;
use crate::commands::chosen_release::releases_in;
use crate::commands::environments::{Environment, client_of, environment};
use crate::errors::{all, hinted};
use crate::gather::workspace::Workspace;
use crate::image::promotion::LOCAL;
use crate::image::prune::{Contents, Kind, World};
use crate::image::reference::{Digest, ImageReference};
use crate::image::release::RELEASES;
use crate::registry::Client;
use crate::system::clock;
use crate::system::git::Git;
use crate::system::progress::Progress;

/// A registry that is pruned, and what decides about it.
pub(super) struct Scene {
    pub(super) client: Client,
    /// The releases' repository, then the components'.
    pub(super) repositories: Vec<ImageReference>,
    pub(super) world: World,
}

impl Scene {
    /// Reads all.
    ///
    /// # Errors
    /// Something cannot be looked at, so nobody knows what it names.
    pub(super) fn gather(manifest: Option<&Utf8Path>, arguments: &PruneArgs, progress: &Progress) -> Result<Self> {
        let workspace = Workspace::load(manifest, &[])?;
        let settings = &workspace.packages.settings;
        let place = environment(settings, &arguments.env)?;
        let others = environments(&workspace, &arguments.without_env)?;
        let client = client_of(&place, &arguments.insecure_registry);
        let releases = place.repository_of(&workspace, RELEASES)?;
        releases_in(&workspace, &client, releases.clone())?;
        let names = workspace.component_names().into_iter().map(|name| place.repository_of(&workspace, name));
        let components = names.collect::<Result<Vec<ImageReference>>>()?;
        let named = named::gather(&workspace, &others, &releases, arguments, progress)?;
        let held = components.iter().map(|repository| Ok((repository.name(), client.contents(repository)?)));
        let of_components = all(held)?;
        // Last: an image that is published meanwhile is unknown, or its release is known.
        let of_releases = client.contents(&releases)?;
        let repositories = [releases.clone()].into_iter().chain(components).collect();
        let moving = settings.mutable_tags.iter().map(String::as_str).chain(["latest"]);
        let mut world = World {
            policy: settings.prune.clone(),
            now: clock::now(),
            moving: moving.filter_map(|tag| tag.parse().ok()).collect(),
            environments: settings.environments.keys().cloned().chain([LOCAL.to_owned()]).collect(),
            has_build_numbers: settings.environments.values().any(|environment| environment.build_number),
            releases: (releases.name(), of_releases),
            repositories: of_components.into_iter().collect(),
            named,
            ..World::default()
        };
        check_releases(&world)?;
        read_times(&workspace, &mut world).context("cannot tell how old releases are")?;
        let scene = Scene { client, repositories, world };
        scene.with_untagged()
    }

    /// What a repository of the plan holds.
    pub(super) fn contents(&self, name: &str) -> &Contents {
        self.world.repositories.get(name).unwrap_or(&self.world.releases.1)
    }

    /// Reads the indexes that are named by digest alone, for their children.
    fn with_untagged(mut self) -> Result<Self> {
        let named: BTreeSet<Digest> = self.world.named.digests.keys().cloned().collect();
        for repository in &self.repositories {
            let Some(contents) = self.world.repositories.get_mut(&repository.name()) else { continue };
            if contents.manifests.values().any(|known| !known.children.is_empty()) {
                self.client.look_at(repository, named.clone(), contents)?;
            }
        }
        Ok(self)
    }
}

/// All environments but those that were excepted.
fn environments(workspace: &Workspace, without: &[String]) -> Result<Vec<Environment>> {
    let settings = &workspace.packages.settings;
    for name in without {
        environment(settings, name)?;
    }
    let names = settings.environments.keys().map(String::as_str).filter(|name| *name != LOCAL).chain([LOCAL]);
    names.filter(|name| !without.iter().any(|other| other == name)).map(|name| environment(settings, name)).collect()
}

/// Without releases, nobody knows what is a branch and what its images were.
fn check_releases(world: &World) -> Result<()> {
    let is_release =
        |contents: &Contents| contents.manifests.values().any(|known| matches!(known.kind, Kind::Release(_)));
    let is_empty = |contents: &Contents| contents.manifests.values().all(|known| known.kind != Kind::Component);
    let (name, releases) = &world.releases;
    ensure!(
        is_release(releases) || world.repositories.values().all(is_empty),
        hinted(
            format!("there are images, and no release in `{name}`, so nobody knows which of them branches have"),
            "`cargo xtask publish` and `cargo xtask deploy` write releases"
        )
    );
    Ok(())
}

fn read_times(workspace: &Workspace, world: &mut World) -> Result<()> {
    let releases = world.releases.1.manifests.values().filter_map(|known| match &known.kind {
        Kind::Release(release) => Some(release.commit.as_str()),
        _ => None,
    });
    let commits: BTreeSet<&str> = releases.collect();
    let git = Git::open(workspace.root())?;
    if let Some(git) = git {
        world.commits = git.times(&commits.into_iter().collect::<Vec<_>>())?;
    }
    Ok(())
}
