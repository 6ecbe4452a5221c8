//! Random workspaces.

use std::collections::{BTreeMap, BTreeSet};

use super::package::{Deed, Kind, Package, Read, Script, Style, Words};
use super::random::Random;
use super::tree::Tree;
use super::world::{Config, World};

/// Variables that somebody passes on.
pub(super) const PASSED: [&str; 3] = ["PASSED_BY_ALL", "PASSED_BY_ONE", "PASSED_AND_CONFIGURED"];
/// Variables of configurations.
pub(super) const CONFIGURED: [&str; 2] = ["CONFIGURED", "PASSED_AND_CONFIGURED"];
/// A variable that is asked for, and passed on by nobody.
pub(super) const UNSEEN: &str = "NOT_PASSED_ON";

/// Files and folders that are in none of the packages.
const SHARED_FILES: [&str; 4] = ["ws/shared/a.txt", "ws/shared/link.txt", "ws/.env.defaults", "outside/o.txt"];
/// Beside files that are listed, and not listed with them unless somebody names them.
const DELICATE: [&str; 4] = ["plain/kept.md", "plain/.kept", "data/.env.kept", "data/kept.log"];
const MODULES: [&str; 2] = ["ws/shared/module", "outside/module"];
const STYLES: [Style; 5] = [Style::Plain, Style::FromManifest, Style::Raw, Style::Joined, Style::Within];

/// A workspace of one to five packages, at least one of them a program.
pub(super) fn world(random: &mut Random) -> World {
    let mut world = World {
        tree: Tree::default(),
        packages: Vec::new(),
        variables: BTreeMap::new(),
        passes: vec![PASSED[0].to_owned()],
        configs: [Config::default(), Config::default()],
        vendored: random.value(),
        optimised: false,
        ignores_tmp: false,
        free: BTreeSet::new(),
    };
    shared_files(&mut world, random);
    if random.percent(60) {
        world.packages.push(empty("macros", "ws/macros", Kind::Macros, random));
    }
    for number in 0..random.below(3) {
        let name = format!("lib{number}");
        // A path package that is no member.
        let parent = if random.percent(25) { "outside" } else { "ws" };
        world.packages.push(empty(&name, &format!("{parent}/{name}"), Kind::Library, random));
    }
    for number in 0..1 + random.below(2) {
        let name = format!("app{number}");
        world.packages.push(empty(&name, &format!("ws/{name}"), Kind::Program, random));
    }
    for at in 0..world.packages.len() {
        package_files(&mut world, at, random);
    }
    for at in 0..world.packages.len() {
        if world.packages[at].kind == Kind::Macros {
            continue;
        }
        for need in 0..at {
            if world.packages[need].kind == Kind::Library && random.percent(60) {
                world.packages[at].needs.push(need);
            }
        }
        for _ in 0..2 + random.below(3) {
            read_more(&mut world, at, random);
        }
        if random.percent(60) {
            world.packages[at].script = Some(script(&world, at, random));
        }
        declare(&mut world, at);
    }
    world.render();
    world
}

fn shared_files(world: &mut World, random: &mut Random) {
    for path in SHARED_FILES.iter().filter(|path| !path.ends_with("link.txt")) {
        world.tree.write(path, random.value());
    }
    world.tree.link("ws/shared/link.txt", random.pick(&["ws/shared/a.txt", "outside/o.txt"]));
    for folder in ["ws/shared/folder", "outside/folder"] {
        for name in ["x.txt", "y.md"] {
            let path = format!("{folder}/{name}");
            world.tree.write(&path, random.value());
            world.free.insert(path);
        }
    }
    for folder in MODULES {
        world.tree.write(&format!("{folder}/mod.rs"), format!("pub mod price;\n{}", constant(random)));
        world.tree.write(&format!("{folder}/price.rs"), constant(random));
    }
}

fn constant(random: &mut Random) -> String {
    format!("pub const VALUE: &str = \"{}\";\n", random.value())
}

fn empty(name: &str, folder: &str, kind: Kind, random: &mut Random) -> Package {
    Package {
        name: name.to_owned(),
        folder: folder.to_owned(),
        kind,
        own: random.value(),
        comment: random.value(),
        description: random.value(),
        needs: Vec::new(),
        reads: Vec::new(),
        script: None,
        passes: Vec::new(),
        has_assets: kind == Kind::Program && random.percent(40),
    }
}

/// Data, links and what is never compiled.
fn package_files(world: &mut World, at: usize, random: &mut Random) {
    let Package { folder, kind, .. } = world.packages[at].clone();
    if kind == Kind::Macros {
        for name in ["a.txt", "b.txt"] {
            let path = format!("{folder}/assets/{name}");
            world.tree.write(&path, random.value());
            world.free.insert(path);
        }
        return;
    }
    for name in ["data/one.txt", "data/two.txt", "README.md", ".env.own", "notes.log"].iter().chain(&DELICATE) {
        world.tree.write(&format!("{folder}/{name}"), random.value());
    }
    for name in ["data/deep/three.txt", "data/notes.md", "data/.hidden", "plain/four.txt", "static/page.html"] {
        let path = format!("{folder}/{name}");
        world.tree.write(&path, random.value());
        world.free.insert(path);
    }
    let test = format!("{folder}/tests/one.rs");
    world.tree.write(&test, format!("// {}\n", random.value()));
    let targets = ["ws/shared/a.txt", "outside/o.txt", &format!("{folder}/data/two.txt")];
    world.tree.link(&format!("{folder}/data/link.txt"), random.pick(&targets));
    world.tree.link(&format!("{folder}/data/linked"), random.pick(&["ws/shared/folder", "outside/folder"]));
    let sources = MODULES.map(|folder| format!("{folder}/price.rs"));
    world.tree.link(&format!("{folder}/src/linked.rs"), random.pick(&sources));
}

/// Files that `include_str!` of package `at` could name.
fn includable(world: &World, at: usize, random: &mut Random) -> String {
    let own = &world.packages[at].folder;
    let readers: Vec<&Package> = world.packages.iter().filter(|package| package.kind != Kind::Macros).collect();
    let other = &random.pick(&readers).folder;
    let mut all: Vec<String> = SHARED_FILES.map(str::to_owned).into();
    all.extend(
        ["data/one.txt", "data/two.txt", "data/link.txt", "README.md", ".env.own", "notes.log"]
            .map(|name| format!("{own}/{name}")),
    );
    all.extend(["data/one.txt", "README.md", "data/link.txt"].map(|name| format!("{other}/{name}")));
    all.extend(DELICATE.map(|name| format!("{own}/{name}")));
    all.extend(DELICATE.map(|name| format!("{other}/{name}")));
    random.pick(&all).clone()
}

/// Adds something that package `at` reads.
pub(super) fn read_more(world: &mut World, at: usize, random: &mut Random) {
    let own = world.packages[at].folder.clone();
    let macros = world.packages.iter().position(|package| package.kind == Kind::Macros);
    let read = match random.below(10) {
        0..=3 => {
            let path = includable(world, at, random);
            let style = *random.pick(&STYLES);
            // Only the compiler's own macros may mean such files.
            let is_delicate = path.contains("/.env") || !path.starts_with("ws/");
            Read::Include(if is_delicate && style == Style::Within { Style::Plain } else { style }, path)
        }
        4 => Read::Module((*random.pick(&MODULES)).to_owned()),
        5 => Read::Linked,
        6 => {
            let names = [PASSED[0], PASSED[1], PASSED[2], CONFIGURED[0], UNSEEN];
            Read::Variable((*random.pick(&names)).to_owned())
        }
        7 if random.percent(50) => Read::Vendored,
        7..=8 if macros.is_some() => {
            let readers: Vec<String> =
                world.packages.iter().filter(|one| one.kind != Kind::Macros).map(|one| one.folder.clone()).collect();
            let other = format!("{}/data", random.pick(&readers));
            let folders = [format!("{own}/data"), "ws/shared/folder".to_owned(), other, format!("{own}/data/linked")];
            let folder = random.pick(&folders).clone();
            // A folder outside the workspace is taken only when the compiler itself reads it.
            if folder.starts_with(&own) || folder.starts_with("ws/") {
                Read::List(folder)
            } else {
                Read::List(format!("{own}/data"))
            }
        }
        _ if macros.is_some() => Read::OwnList,
        _ => Read::Linked,
    };
    let package = &mut world.packages[at];
    if package.reads.contains(&read) {
        return;
    }
    if let (Read::List(_) | Read::OwnList, Some(macros)) = (&read, macros)
        && !package.needs.contains(&macros)
    {
        package.needs.push(macros);
    }
    package.reads.push(read);
}

fn script(world: &World, at: usize, random: &mut Random) -> Script {
    let own = &world.packages[at].folder;
    let mut deeds = Vec::new();
    for _ in 0..1 + random.below(3) {
        deeds.push(match random.below(6) {
            0 => Deed::File(format!("{own}/data/one.txt")),
            1 => Deed::Folder(format!("{own}/data"), true),
            2 => Deed::Folder(format!("{own}/plain"), false),
            3 => Deed::Variable((*random.pick(&[PASSED[0], PASSED[1], PASSED[2], CONFIGURED[0], UNSEEN])).to_owned()),
            // Settings of packages that are no members do not count.
            4 if own.starts_with("ws/") => {
                Deed::Declared((*random.pick(&["ws/shared/a.txt", "ws/shared/link.txt"])).to_owned())
            }
            _ => Deed::File(format!("{own}/data/link.txt")),
        });
    }
    deeds.dedup();
    Script { deeds, words: *random.pick(&[Words::Nothing, Words::All, Words::OnlyItself, Words::OnlyVariables]) }
}

/// Passes on what package `at` asks for. Packages that are no members have no settings.
pub(super) fn declare(world: &mut World, at: usize) {
    let package = &mut world.packages[at];
    let reads = package.reads.iter().filter_map(|read| if let Read::Variable(name) = read { Some(name) } else { None });
    let deeds = package.script.iter().flat_map(|script| &script.deeds);
    let deeds = deeds.filter_map(|deed| if let Deed::Variable(name) = deed { Some(name) } else { None });
    let asked: Vec<String> = reads.chain(deeds).filter(|name| PASSED[1..].contains(&name.as_str())).cloned().collect();
    let passes = if package.folder.starts_with("ws/") { &mut package.passes } else { &mut world.passes };
    for name in asked {
        if !passes.contains(&name) {
            passes.push(name);
        }
    }
}
