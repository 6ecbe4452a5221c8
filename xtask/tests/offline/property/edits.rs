//! Random edits of a workspace and what surrounds it.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::generate::{CONFIGURED, PASSED, UNSEEN, declare, read_more};
use super::package::Kind;
use super::random::Random;
use super::tree::{Node, folder_of, name_of};
use super::world::World;

/// An edit, made in the model.
pub(super) struct Edit {
    /// For people.
    pub(super) what: String,
    /// A file whose modification time is to be set, and to which age in seconds.
    pub(super) aged: Option<(String, u64)>,
}

/// Makes one of all possible edits; `past` are earlier states.
pub(super) fn edit(world: &mut World, past: &[World], random: &mut Random) -> Edit {
    let mut aged = None;
    let what = match random.below(100) {
        0..=24 => {
            let path = change_file(world, random);
            if random.percent(40) {
                aged = Some((path.clone(), 100_000));
            }
            format!("change {path}{}", if aged.is_some() { ", with an old time" } else { "" })
        }
        25..=36 => add_file(world, random),
        37..=44 => remove_file(world, random),
        45..=52 => {
            let at = random.below(world.packages.len());
            let value = random.value();
            let package = &mut world.packages[at];
            match random.below(4) {
                0 => package.comment = value,
                1 => package.description = value,
                _ => package.own = value,
            }
            format!("edit {}", package.name)
        }
        53..=60 => change_variable(world, random),
        61..=65 => change_config(world, random),
        66..=72 => change_link(world, random),
        73..=77 => {
            let files: Vec<&String> = world
                .tree
                .0
                .iter()
                .filter(|(_, node)| matches!(node, Node::File { .. }))
                .map(|(path, _)| path)
                .collect();
            let path = (*random.pick(&files)).clone();
            let age = if random.percent(50) { 0 } else { 1_000_000 };
            aged = Some((path.clone(), age));
            format!("set the time of {path} {age} s back")
        }
        78..=81 => flip_executable(world, random),
        82..=85 => link_or_unlink(world, random),
        86..=90 => {
            let at = random.below(world.packages.len());
            if world.packages[at].kind != Kind::Macros {
                read_more(world, at, random);
                // What it asks for has to be passed on by itself.
                declare(world, at);
            }
            format!("more in {}", world.packages[at].name)
        }
        91 => {
            world.ignores_tmp = !world.ignores_tmp;
            "ignore *.tmp or not".to_owned()
        }
        92 => {
            world.vendored = random.value();
            "edit the vendored package".to_owned()
        }
        93 if random.percent(50) => {
            world.optimised = !world.optimised;
            "change the profile".to_owned()
        }
        _ => {
            let before = random.below(past.len());
            *world = past[before].clone();
            format!("go back to state {before}")
        }
    };
    world.render();
    Edit { what, aged }
}

impl Edit {
    /// Sets the time of the file that the edit says, in the folder that holds the tree.
    pub(super) fn age(&self, world: &World, top: &Path) {
        let Some((path, age)) = &self.aged else { return };
        if world.tree.text(path).is_none() {
            return;
        }
        let file = File::options()
            .append(true)
            .open(top.join(path))
            .unwrap_or_else(|error| panic!("cannot open {path}: {error}"));
        file.set_modified(SystemTime::now() - Duration::from_secs(*age)).expect("a time that can be set");
    }
}

/// Paths of data, modules, tests and readmes: all whose text has a value in it and is nobody's to render.
fn data_files(world: &World) -> Vec<String> {
    let is_rendered = |path: &str| {
        let name = name_of(path);
        let main = [
            "Cargo.toml",
            "Cargo.lock",
            "build.rs",
            "lib.rs",
            "main.rs",
            "config.toml",
            ".gitignore",
            ".cargo-checksum.json",
        ];
        main.contains(&name)
    };
    let is_file = |node: &Node| matches!(node, Node::File { .. });
    world
        .tree
        .0
        .iter()
        .filter(|(path, node)| is_file(node) && !is_rendered(path))
        .map(|(path, _)| path.clone())
        .collect()
}

fn change_file(world: &mut World, random: &mut Random) -> String {
    let files = data_files(world);
    // What somebody names is rare among all files.
    let named: Vec<String> = world.named_files().into_iter().filter(|path| files.contains(path)).collect();
    let among = if named.is_empty() || random.percent(50) { &files } else { &named };
    let path = random.pick(among).clone();
    let value = random.value();
    if let Some(Node::File { text, .. }) = world.tree.0.get_mut(&path)
        && let Some(at) = text.find(|c: char| c.is_ascii_digit())
    {
        text.replace_range(at..at + value.len(), &value);
    }
    path
}

fn add_file(world: &mut World, random: &mut Random) -> String {
    let mut folders: Vec<String> =
        ["ws", "ws/shared", "ws/shared/folder", "outside", "outside/folder", "ws/.github"].map(str::to_owned).into();
    for package in &world.packages {
        let own =
            ["", "/data", "/data/deep", "/data/new", "/plain", "/static", "/assets", "/src", "/tests", "/examples/new"];
        folders.extend(own.map(|inner| format!("{}{inner}", package.folder)));
    }
    let names =
        ["new.txt", "new.txt", "new.md", ".new", ".env.new", "new.log", "new.tmp", "new~", ".new.swp", "new.rs"];
    let folder = random.pick(&folders).clone();
    let mut name = *random.pick(&names);
    // It would be a target.
    if name == "new.rs" && ["/tests", "/examples/new"].iter().any(|end| folder.ends_with(end)) {
        name = "new.txt";
    }
    let path = format!("{folder}/{name}");
    world.tree.write(&path, random.value());
    world.free.insert(path.clone());
    format!("add {path}")
}

fn remove_file(world: &mut World, random: &mut Random) -> String {
    let free: Vec<String> = world.free.iter().filter(|path| world.tree.0.contains_key(*path)).cloned().collect();
    if free.is_empty() {
        return "nothing".to_owned();
    }
    let path = random.pick(&free).clone();
    world.tree.0.remove(&path);
    format!("remove {path}")
}

fn change_variable(world: &mut World, random: &mut Random) -> String {
    let name = *random.pick(&[PASSED[0], PASSED[1], PASSED[2], UNSEEN, "CONFIGURED", "EDITOR"]);
    if random.percent(30) {
        world.variables.remove(name);
    } else {
        world.variables.insert(name.to_owned(), random.value());
    }
    format!("variable {name}")
}

fn change_config(world: &mut World, random: &mut Random) -> String {
    let which = random.below(2);
    let config = &mut world.configs[which];
    let name = *random.pick(&CONFIGURED);
    match random.below(3) {
        0 => config.retries += 1,
        1 => drop(config.variables.remove(name)),
        _ => drop(config.variables.insert(name.to_owned(), random.value())),
    }
    format!("configuration {which}")
}

/// Lets a link lead to another thing of the same kind.
fn change_link(world: &mut World, random: &mut Random) -> String {
    let links: Vec<String> =
        world.tree.0.iter().filter(|(_, node)| matches!(node, Node::Link(_))).map(|(path, _)| path.clone()).collect();
    let path = random.pick(&links).clone();
    let targets = match name_of(&path) {
        "linked.rs" => ["ws/shared/module/price.rs", "outside/module/price.rs"],
        "linked" => ["ws/shared/folder", "outside/folder"],
        _ => ["ws/shared/a.txt", "outside/o.txt"],
    };
    let target = *random.pick(&targets);
    world.tree.link(&path, target);
    format!("link {path} to {target}")
}

fn flip_executable(world: &mut World, random: &mut Random) -> String {
    let path = random.pick(&data_files(world)).clone();
    if let Some(Node::File { is_executable, .. }) = world.tree.0.get_mut(&path) {
        *is_executable = !*is_executable;
    }
    format!("flip the executable bit of {path}")
}

/// Puts a link to a twin of the file in the place of a file, or the file that a link leads to in its place:
/// nothing is read differently.
fn link_or_unlink(world: &mut World, random: &mut Random) -> String {
    let mut paths = vec!["ws/shared/link.txt".to_owned()];
    for package in world.packages.iter().filter(|package| package.kind != Kind::Macros) {
        paths.extend(["data/one.txt", "data/link.txt", "README.md"].map(|name| format!("{}/{name}", package.folder)));
    }
    let path = random.pick(&paths).clone();
    let text = world.tree.text(&path).unwrap_or_default().to_owned();
    if matches!(world.tree.0.get(&path), Some(Node::Link(_))) {
        world.tree.write(&path, text);
        format!("put a file in the place of the link {path}")
    } else {
        let twin = format!("outside/twins/{}-{}", name_of(folder_of(&path)), name_of(&path));
        world.tree.write(&twin, text);
        world.tree.link(&path, &twin);
        format!("put a link in the place of {path}")
    }
}
