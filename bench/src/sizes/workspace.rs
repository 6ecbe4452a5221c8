//! Writes a workspace of so many small binaries, with the xtask adopted as a member.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::bench::Bench;
use crate::checkout::{Checkout, write};
use crate::child::{command, run};
use crate::subject::{Component, Subject, compile_tool};

const ROOT: &str = r#"[workspace]
resolver = "3"
members = ["xtask", "shared", "services/*"]
default-members = ["shared", "services/*"]

[profile.release]
strip = true
"#;

const SHARED_MANIFEST: &str = r#"[package]
name = "shared"
version = "0.1.0"
edition = "2024"
publish = false

[dependencies]
anyhow = "1"
serde_json = "1"
"#;

const SHARED: &str = r#"//! What the services share.

/// What a service says of itself.
pub fn about(name: &str) -> anyhow::Result<String> {
    Ok(serde_json::to_string(&serde_json::json!({ "name": name }))?)
}
"#;

/// A workspace of `size` binaries beside the copy; one of an earlier, smaller size grows.
pub(crate) fn generate(bench: &Bench, size: u16) -> Result<Subject> {
    let root = bench.work.join("generated");
    let is_new = !root.exists();
    if is_new {
        adopt(&bench.checkout.root, &root)?;
    }
    let components: Vec<_> = (1..=size).map(service).collect();
    for component in &components {
        let folder = root.join(&component.folder);
        if !folder.exists() {
            write(&folder.join("Cargo.toml"), &manifest(&component.name))?;
            write(&folder.join("src/main.rs"), &main_file(&component.name))?;
        }
    }
    run(command("cargo", &root).args(["update", "--quiet", "--workspace"]))?;
    let checkout = Checkout { root };
    checkout.fetch()?;
    checkout.commit()?;
    if is_new {
        eprintln!("compiling the xtask of the generated workspace");
        compile_tool(&checkout.root)?;
    }
    Ok(Subject::new(checkout.root, components, &bench.machine))
}

/// Writes everything but the services.
fn adopt(from: &Path, root: &Path) -> Result<()> {
    write(&root.join("Cargo.toml"), ROOT)?;
    write(&root.join(".gitignore"), "/target\n")?;
    write(&root.join("shared/Cargo.toml"), SHARED_MANIFEST)?;
    write(&root.join("shared/src/lib.rs"), SHARED)?;
    // The same versions as in the workspace, so that they are downloaded and compiled already.
    for name in ["xtask", ".cargo", "Cargo.lock"] {
        copy_tree(&from.join(name), &root.join(name))?;
    }
    let compiled = from.join("target/debug");
    if compiled.is_dir() {
        fs::create_dir_all(root.join("target"))?;
        copy_tree(&compiled, &root.join("target/debug"))?;
    }
    Ok(())
}

/// Copies with all file times, which cargo trusts.
fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    run(command("cp", Path::new("/")).args(["-R", "-p"]).args([from, to])).map(drop)
}

fn service(number: u16) -> Component {
    let name = format!("service-{number:03}");
    let folder = PathBuf::from("services").join(&name);
    Component { package: name.clone(), closure: vec![folder.clone(), "shared".into()], folder, name }
}

fn manifest(name: &str) -> String {
    format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\npublish = false\n\n\
         [dependencies]\nanyhow = \"1\"\nshared = {{ path = \"../../shared\" }}\n"
    )
}

fn main_file(name: &str) -> String {
    format!(
        "//! One of many.\n\nfn main() -> anyhow::Result<()> {{\n    \
         println!(\"{{}}\", shared::about(\"{name}\")?);\n    Ok(())\n}}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_as_it_is_written() {
        let service = service(7);
        assert_eq!((service.name.as_str(), service.folder.to_str()), ("service-007", Some("services/service-007")));
        assert!(main_file("a").contains("println!(\"{}\", shared::about(\"a\")?);\n    Ok(())\n}\n"));
        assert!(manifest("a").contains("shared = { path = \"../../shared\" }\n"));
    }
}
