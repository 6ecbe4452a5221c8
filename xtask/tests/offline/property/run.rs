//! One workspace, built after each edit and held against the model.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use super::edits::edit;
use super::generate::world;
use super::random::Random;
use super::tree::Tree;
use super::world::World;
use crate::support::{Fixture, Xtask, copy_folder, own_platform};

/// One build in so many is made again from scratch, somewhere else.
const SCRATCH: usize = 10;

/// A workspace on disk, the model of it, and what was learnt of it.
pub(super) struct Run {
    seed: u64,
    random: Random,
    fixture: Fixture,
    world: World,
    past: Vec<World>,
    /// All edits so far.
    story: Vec<String>,
    /// Input hash by what may decide the image.
    hashes: BTreeMap<String, String>,
    /// Image by input hash.
    digests: BTreeMap<String, String>,
    /// What programs print, by image.
    printed: BTreeMap<String, String>,
}

/// Input hash and digest by component.
type Built = BTreeMap<String, (String, String)>;

impl Run {
    /// The workspace of `seed`, laid out.
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let world = world(&mut random);
        let fixture = Fixture::unlocked(&[]);
        world.tree.lay_out(&fixture.beside(""), &Tree::default());
        let (hashes, digests, printed) = Default::default();
        Run { seed, random, fixture, world, past: Vec::new(), story: Vec::new(), hashes, digests, printed }
    }

    /// Edits and builds in turns.
    pub(super) fn check(mut self, edits: usize) {
        self.fixture.git(&["init", "--quiet"]);
        self.build("as generated");
        for _ in 0..edits {
            self.past.push(self.world.clone());
            let mut next = self.world.clone();
            let edit = edit(&mut next, &self.past, &mut self.random);
            let top = self.fixture.beside("");
            next.tree.lay_out(&top, &self.world.tree);
            edit.age(&next, &top);
            self.world = next;
            self.build(&edit.what);
        }
    }

    fn build(&mut self, what: &str) {
        self.story.push(what.to_owned());
        // The lock file follows the manifests, which an edit may have given another dependency.
        self.fixture.lock();
        let names: Vec<String> = self.world.components().map(|component| component.name.clone()).collect();
        let one = self.random.percent(20).then(|| self.random.pick(&names).clone());
        let built = self.built(self.fixture.root(), one.as_deref().unwrap_or_default());
        for (name, (hash, digest)) in &built {
            let component = self.world.components().find(|component| component.name == *name).expect("a component");
            let view = format!("{name}\n{}", self.world.view(component));
            let known = self.hashes.entry(view).or_insert_with(|| hash.clone()).clone();
            self.demand(
                known == *hash,
                &format!("{name}: nothing that concerns it changed, and its hash did: {known}, {hash}"),
            );
            let known = self.digests.entry(hash.clone()).or_insert_with(|| digest.clone()).clone();
            self.demand(known == *digest, &format!("{name}: hash {hash} stood for {known}, and now for {digest}"));
            let printed = self.print(name, digest);
            let component = self.world.components().find(|component| component.name == *name).expect("a component");
            let said = self.world.said(component);
            self.demand(printed == said, &format!("{name}: prints\n  {printed}\ninstead of\n  {said}"));
        }
        if self.random.below(SCRATCH) == 0 {
            let scratch = self.built_from_scratch();
            for (name, found) in &built {
                self.demand(
                    scratch[name] == *found,
                    &format!("{name}: from scratch {:?} instead of {found:?}", scratch[name]),
                );
            }
        }
    }

    /// What a copy of it all gives that was never built before, in another folder if that may not matter.
    fn built_from_scratch(&self) -> Built {
        if self.world.packages.iter().any(|package| !package.folder.starts_with("ws/")) {
            // Cargo puts the folder of such a package into the program.
            let (target, aside) = (self.fixture.path("target"), self.fixture.beside("target-aside"));
            std::fs::rename(&target, &aside).expect("a folder that can be moved");
            let built = self.built(self.fixture.root(), "");
            std::fs::remove_dir_all(&target).expect("a folder that can be removed");
            std::fs::rename(&aside, &target).expect("a folder that can be moved");
            return built;
        }
        let copy = Fixture::unlocked(&[]);
        copy_folder(&self.fixture.beside(""), &copy.beside(""));
        self.built(copy.root(), "")
    }

    fn built(&self, root: &Path, components: &str) -> Built {
        let mut xtask = Xtask::new(&format!("docker-build --builder native --json {components}"), root);
        xtask = xtask.env("CI_IMAGE_PLATFORM", own_platform()).env("SOURCE_DATE_EPOCH", "1700000000");
        for (name, value) in &self.world.variables {
            xtask = xtask.env(name, value);
        }
        let output = xtask.run();
        self.demand(output.code == Some(0), &format!("the build failed:\n{}", output.stderr));
        let text = |entry: &serde_json::Value, key: &str| entry[key].as_str().expect("a text").to_owned();
        let list = output.json();
        let entries = list.as_array().expect("a list").iter();
        entries.map(|entry| (text(entry, "component"), (text(entry, "input-hash"), text(entry, "digest")))).collect()
    }

    /// What the program of an image prints.
    fn print(&mut self, name: &str, digest: &str) -> String {
        if let Some(known) = self.printed.get(digest) {
            return known.clone();
        }
        let image = self.fixture.image(name);
        let program = image.extract_program(&self.fixture.beside(""));
        let printed = crate::support::succeed(&mut Command::new(&program));
        std::fs::remove_file(&program).expect("the program");
        self.printed.insert(digest.to_owned(), printed.clone());
        printed
    }

    #[track_caller]
    fn demand(&self, is_so: bool, otherwise: &str) {
        if is_so {
            return;
        }
        let story: Vec<String> =
            self.story.iter().enumerate().map(|(number, what)| format!("{number:4} {what}")).collect();
        if std::env::var_os("XTASK_PROPERTY_KEEP").is_some() {
            let kept = std::env::temp_dir().join(format!("xtask-property-{}", self.seed));
            let _ = std::fs::remove_dir_all(&kept);
            std::fs::rename(self.fixture.beside(""), &kept).expect("a folder that can be moved");
            eprintln!("kept: {}", kept.display());
        }
        panic!("XTASK_PROPERTY_SEED={}, after\n{}\n{otherwise}", self.seed, story.join("\n"));
    }
}
