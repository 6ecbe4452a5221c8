//! Planning is data in, data out: no module of it touches files, processes, the environment, the
//! clock, or imports what does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Folders and files of `src` that plan.
const PLANNING: &[&str] = &["workspace", "image", "sbom", "dockerfile", "kubernetes"];

const EFFECTS: &[&str] = &[
    "std::fs",
    "std::env",
    "std::process",
    "std::net",
    "SystemTime",
    "Instant",
    "crate::assemble",
    "crate::cli",
    "crate::gather",
    "crate::http",
    "crate::stage",
    "crate::system",
    "crate::registry",
    "crate::signing",
    "crate::cluster",
    "crate::compile",
    "crate::commands",
    "xshell",
    "walkdir",
];

pub(crate) fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    if folder.is_file() {
        return found.push(folder.to_owned());
    }
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Without comments: what they say does not run.
pub(crate) fn code(text: &str) -> String {
    text.lines().filter(|line| !line.trim_start().starts_with("//")).flat_map(|line| [line, "\n"]).collect()
}

/// `use std::{fs, io}` says `std::fs` too.
pub(crate) fn mentions(text: &str, effect: &str) -> bool {
    let grouped = effect.split_once("::").is_some_and(|(root, name)| {
        text.split(&format!("{root}::{{")).skip(1).any(|rest| {
            let group = rest.split(';').next().unwrap_or_default();
            group.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == name)
        })
    });
    let is_word = |at: usize| !text[at + effect.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_');
    grouped || text.match_indices(effect).any(|(at, _)| is_word(at))
}

#[test]
fn planning_modules_have_no_effects() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for folder in PLANNING {
        let mut files = Vec::new();
        sources(&root.join(folder), &mut files);
        assert!(!files.is_empty(), "no sources in {folder}");
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap();
            let code = code(&text);
            let found = EFFECTS.iter().filter(|effect| mentions(&code, effect));
            wrong.extend(
                found.map(|effect| format!("{} mentions `{effect}`", file.strip_prefix(&root).unwrap().display())),
            );
        }
    }
    assert!(wrong.is_empty(), "planning must stay pure:\n{}", wrong.join("\n"));
}

/// The rooms that each room uses.
fn uses(root: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let folders = root.read_dir().unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let rooms: Vec<PathBuf> = folders.collect();
    let name = |room: &Path| room.file_name().unwrap().to_str().unwrap().to_owned();
    let mut all = BTreeMap::new();
    for room in &rooms {
        let mut files = Vec::new();
        sources(room, &mut files);
        // Tests may look at other rooms.
        files.retain(|file| !name(file).ends_with("_tests.rs") && !name(file).starts_with("test_"));
        let texts = files.iter().map(|file| std::fs::read_to_string(file).unwrap());
        let code: String = texts.map(|text| code(text.split("#[cfg(test)]\nmod tests {").next().unwrap())).collect();
        let used = rooms.iter().filter(|other| *other != room && mentions(&code, &format!("crate::{}", name(other))));
        all.insert(name(room), used.map(|other| name(other)).collect());
    }
    all
}

#[test]
fn no_room_uses_one_that_uses_it() {
    let mut left = uses(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(left.len() > 10 && left["commands"].contains("registry"), "{left:?}");
    // What uses nothing that is left is in no circle.
    while let Some(room) = left.iter().find(|(_, used)| used.iter().all(|one| !left.contains_key(one))) {
        let room = room.0.clone();
        left.remove(&room);
    }
    assert!(left.is_empty(), "a circle among: {left:?}");
}

#[test]
fn the_check_itself_sees_what_it_looks_for() {
    assert!(mentions("let x = std::fs::read(a);", "std::fs"));
    assert!(mentions("use std::{collections::BTreeMap, fs};", "std::fs"));
    assert!(mentions("use crate::{\n    image,\n    system::git,\n};", "crate::system"));
    assert!(mentions("Instant::now()", "Instant"));
    assert!(!mentions("use std::{fmt, str};", "std::fs"));
    assert!(!mentions("crate::systematic::x(); struct Instantly;", "crate::system"));
    assert!(!mentions("struct Instantly;", "Instant"));
}
