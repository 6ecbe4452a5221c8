//! The peers' side of the engine: their own copy, their Dockerfiles, their images.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use anyhow::Result;

use super::PeerKind;
use super::dockerfiles::{chef_image, dockerfile};
use crate::bench::Bench;
use crate::checkout::{Checkout, write};
use crate::child::{command, run};
use crate::subject::Subject;
use crate::taken::Taken;

/// Name of the image that has cargo-chef in it.
const CHEF_IMAGE: &str = "cargo-xtask-bench/chef:latest";
/// Label by which images of theirs are found and removed.
const LABEL: &str = "cargo-xtask-bench=1";

/// Dockerfiles per peer and component, over a copy of the workspace.
pub(super) struct Peers<'a> {
    bench: &'a Bench,
    /// Their copy of the workspace.
    pub(super) checkout: Checkout,
    images: RefCell<BTreeSet<String>>,
}

impl<'a> Peers<'a> {
    /// Writes the copy and the Dockerfiles, and makes the image with cargo-chef.
    pub(super) fn create(bench: &'a Bench, subject: &Subject) -> Result<Self> {
        let checkout = Checkout::copy(&bench.source, bench.work.join("peers"), &bench.stamp)?;
        write(&checkout.root.join(".dockerignore"), "target\n.git\n")?;
        let peers = Peers { bench, checkout, images: RefCell::default() };
        let triple = &bench.machine.triple;
        for kind in PeerKind::ALL {
            for component in &subject.components {
                let text = dockerfile(kind, CHEF_IMAGE, triple, &component.name);
                write(&bench.work.join(file_of(kind, &component.name)), &text)?;
            }
        }
        peers.install_chef()?;
        Ok(peers)
    }

    fn install_chef(&self) -> Result<()> {
        let mut inspect = command("docker", &self.bench.source);
        if run(inspect.args(["image", "inspect", CHEF_IMAGE])).is_ok() {
            return Ok(());
        }
        eprintln!("engine: making an image with cargo-chef in it");
        let folder = self.bench.work.join("chef");
        write(&folder.join("Dockerfile"), &chef_image())?;
        let mut build = command("docker", &folder);
        build.args(["buildx", "build", "--progress=plain", "--load", "--tag", CHEF_IMAGE, "."]);
        run(&mut build)?;
        self.remember([CHEF_IMAGE.to_owned()]);
        Ok(())
    }

    /// Builds the images of these components one after another, as such a project's CI does.
    pub(super) fn build(&self, kind: PeerKind, names: &[&str]) -> Result<Taken> {
        let build = |name: &&str| {
            let tag = format!("cargo-xtask-bench/{}-{name}:latest", slug(kind));
            let mut build = command("docker", &self.checkout.root);
            build.args(["buildx", "build", "--progress=plain", "--load", "--label", LABEL, "--tag", &tag, "--file"]);
            build.arg(self.bench.work.join(file_of(kind, name))).arg(".");
            let taken = run(&mut build)?.taken;
            self.remember([tag]);
            // The engine's work is done by its daemon.
            Ok(Taken { cpu: None, ..taken })
        };
        names.iter().map(build).sum()
    }

    /// Notes images that go at the end.
    pub(super) fn remember(&self, images: impl IntoIterator<Item = String>) {
        self.images.borrow_mut().extend(images);
    }

    /// Removes all images made, also after an interruption.
    pub(super) fn remove_images(&self, more: impl IntoIterator<Item = String>) {
        self.remember(more);
        // Those gone already are no failure.
        let quietly = |arguments: &[&str]| {
            let mut docker = Command::new("docker");
            let _ = docker.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
        };
        for image in self.images.borrow().iter() {
            quietly(&["image", "rm", image]);
        }
        // Earlier builds of the same tags have no name any more.
        quietly(&["image", "prune", "--force", "--filter", &format!("label={LABEL}")]);
    }
}

fn slug(kind: PeerKind) -> String {
    kind.label().replace(' ', "-").to_lowercase()
}

fn file_of(kind: PeerKind, name: &str) -> String {
    format!("dockerfiles/{}/{name}.Dockerfile", slug(kind))
}
