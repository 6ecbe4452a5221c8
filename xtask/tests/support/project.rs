//! Workspaces of small programs that are published to repositories of their own.

use std::ops::Deref;

use serde_json::Value;

use crate::parts::{printer, unique};
use crate::registry::Registry;
use crate::support::{Fixture, Xtask, own_platform, package, root_manifest};

/// Where the digest record is.
pub(crate) const RECORD: &str = "artifacts/docker/docker-image-digests.json";
/// Where the service manifest is.
pub(crate) const SERVICES: &str = "artifacts/docker/service-image-manifest.json";

/// A workspace, committed, each member a program that prints its name and the id.
pub(crate) struct Project {
    pub(crate) fixture: Fixture,
    /// In all names that this test makes, and in no other's.
    pub(crate) id: String,
    /// The registry that images are named after.
    pub(crate) host: String,
    members: Vec<String>,
}

impl Deref for Project {
    type Target = Fixture;

    fn deref(&self) -> &Fixture {
        &self.fixture
    }
}

impl Project {
    /// Of `members`, with further `settings` of `[workspace.metadata.docker]`.
    pub(crate) fn new(host: &str, name: &str, members: &[&str], settings: &str) -> Self {
        let id = unique(name);
        let metadata = format!(
            "[workspace.metadata.docker]\nregistry = \"{host}\"\nrepository = \"xtask-test/{id}-{{component}}\"\n\
             {settings}"
        );
        let fixture = Fixture::unlocked(&[("Cargo.toml", &root_manifest(members, &metadata))]);
        for member in members {
            fixture.write(&format!("{member}/Cargo.toml"), &package(member, ""));
            fixture.write(&format!("{member}/src/main.rs"), &printer(&format!("{member} {id}")));
        }
        fixture.lock().git_init();
        let members = members.iter().map(|&member| member.to_owned()).collect();
        Project { fixture, id, host: host.to_owned(), members }
    }

    /// A clone with the same history and files, built nowhere yet.
    pub(crate) fn copy(&self) -> Self {
        let Project { id, host, members, .. } = self;
        Project { fixture: self.fixture.copy(), id: id.clone(), host: host.clone(), members: members.clone() }
    }

    /// The repository of a component, without its registry.
    pub(crate) fn repository(&self, component: &str) -> String {
        format!("xtask-test/{}-{component}", self.id)
    }

    /// The repository of a component.
    pub(crate) fn name(&self, component: &str) -> String {
        format!("{}/{}", self.host, self.repository(component))
    }

    /// A run on this machine's platform, with no credentials but those that a test gives.
    pub(crate) fn run(&self, arguments: &str) -> Xtask {
        let run = self.xtask(arguments).env("CI_IMAGE_PLATFORM", own_platform());
        run.env("DOCKER_CONFIG", self.beside("docker")).env("XDG_RUNTIME_DIR", self.beside("run"))
    }

    /// `publish --builder native`, with further arguments.
    pub(crate) fn publish(&self, arguments: &str) -> Xtask {
        self.run(&format!("publish --builder native {arguments}"))
    }

    /// The digest record.
    #[track_caller]
    pub(crate) fn record(&self) -> Value {
        serde_json::from_str(&self.read(RECORD)).expect("a digest record")
    }

    /// The recorded digest of a component.
    #[track_caller]
    pub(crate) fn recorded(&self, component: &str) -> String {
        self.record()[component]["digest"].as_str().expect("a digest").to_owned()
    }

    /// The commit's tag.
    pub(crate) fn sha_tag(&self) -> String {
        format!("sha-{}", &self.head()[..7])
    }

    /// Makes a component print something else, and commits that.
    pub(crate) fn change(&self, component: &str, text: &str) -> String {
        self.write(&format!("{component}/src/main.rs"), &printer(&format!("{text} {}", self.id)));
        self.commit(text)
    }

    /// Demands that every tag of every repository names a complete image.
    #[track_caller]
    pub(crate) fn is_whole_in(&self, registry: &Registry) {
        for member in &self.members {
            registry.pull_all(&self.repository(member));
        }
    }

    /// Demands that the record names what the registry has under each recorded tag, all of it complete.
    #[track_caller]
    pub(crate) fn is_published_in(&self, registry: &Registry) {
        let record = self.record();
        for (member, entry) in record.as_object().expect("an object") {
            let repository = self.repository(member);
            let digest = entry["digest"].as_str().expect("a digest");
            for tag in entry["tags"].as_array().expect("tags").iter().filter_map(Value::as_str) {
                assert_eq!(registry.digest(&repository, tag), digest, "{repository}:{tag}");
            }
        }
        self.is_whole_in(registry);
    }

    /// Deletes all images from `registry`.
    pub(crate) fn forget(&self, registry: &Registry) {
        for member in self.members.iter().map(String::as_str).chain(["releases"]) {
            registry.forget(&self.repository(member));
        }
    }
}

/// A project whose images are deleted from the shared registry in the end.
pub(crate) struct Shared {
    pub(crate) project: Project,
    pub(crate) registry: Registry,
}

impl Shared {
    pub(crate) fn new(name: &str, members: &[&str], settings: &str) -> Self {
        let registry = Registry::shared();
        Shared { project: Project::new(&registry.host, name, members, settings), registry }
    }
}

impl Deref for Shared {
    type Target = Project;

    fn deref(&self) -> &Project {
        &self.project
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.project.forget(&self.registry);
    }
}
