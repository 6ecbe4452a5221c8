//! All variables that the tool reads are named in one place.

use std::path::Path;

use crate::purity::{code, mentions, sources};

const PLACE: &str = "system/environment.rs";

fn source_folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

#[test]
fn the_environment_is_read_in_one_place() {
    let root = source_folder();
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut wrong = Vec::new();
    for file in files {
        let name = file.strip_prefix(&root).unwrap().display().to_string();
        let text = code(&std::fs::read_to_string(&file).unwrap());
        // What tests read is theirs.
        let text = text.split("#[cfg(test)]").next().unwrap();
        let is_test = name.ends_with("tests.rs") || name.contains("test_") || name.ends_with("corpus.rs");
        let reads = ["env::var", "env::var_os", "env::vars", "env::vars_os"].iter().any(|read| mentions(text, read));
        if reads && !is_test && name != PLACE {
            wrong.push(name);
        }
    }
    assert!(wrong.is_empty(), "these read variables themselves, and not by `{PLACE}`: {wrong:?}");
}

#[test]
fn a_breach_is_seen() {
    assert!(mentions("let x = std::env::var(\"HOME\");", "env::var"));
    assert!(mentions("use std::{env, fs}; env::var_os(name)", "env::var_os"));
    assert!(!mentions("std::env::current_dir()", "env::var"));
}
