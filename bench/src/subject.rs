//! The workspace that is measured: its components, and how both sides build them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::alias;
use crate::checkout::Checkout;
use crate::child::{command, run};
use crate::digests::Images;
use crate::machine::Machine;
use crate::taken::Taken;

/// One image, as `cargo xtask components --json` describes it.
#[derive(Debug, Clone)]
pub(crate) struct Component {
    /// Name of the binary.
    pub(crate) name: String,
    /// Name of its package.
    pub(crate) package: String,
    /// Folder of its package, from the root.
    pub(crate) folder: PathBuf,
    /// Folders of the members it depends on.
    pub(crate) closure: Vec<PathBuf>,
}

/// A workspace with components.
#[derive(Debug)]
pub(crate) struct Subject {
    /// Its root.
    pub(crate) root: PathBuf,
    /// All components, by name.
    pub(crate) components: Vec<Component>,
    triple: String,
    platform: Vec<String>,
}

impl Subject {
    /// Compiles the copy's xtask if need be, and asks it for the components.
    pub(crate) fn load(checkout: &Checkout, machine: &Machine) -> Result<Self> {
        eprintln!("compiling the xtask");
        compile_tool(&checkout.root)?;
        let listed = run(command("cargo", &checkout.root).args(["xtask", "components", "--json"]))?.stdout;
        let listed: Value = serde_json::from_str(&listed).context("`cargo xtask components --json` printed no JSON")?;
        let components: Option<Vec<_>> = listed.as_array().and_then(|list| list.iter().map(component).collect());
        let components = components.context("`cargo xtask components --json` lacks `name`, `crate` or `folder`")?;
        Ok(Self::new(checkout.root.clone(), components, machine))
    }

    /// A workspace whose components are known.
    pub(crate) fn new(root: PathBuf, components: Vec<Component>, machine: &Machine) -> Self {
        // `linux/amd64` is the default and what a user leaves out.
        let platform = match machine.platform() {
            "linux/amd64" => Vec::new(),
            other => vec!["--platform".to_owned(), other.to_owned()],
        };
        Subject { root, components, triple: machine.triple.clone(), platform }
    }

    /// The component that is edited: the first.
    pub(crate) fn first(&self) -> Result<&Component> {
        self.components.first().context("the workspace has no components")
    }

    /// Source file of a component's binary, from the root.
    pub(crate) fn main_file(&self, component: &Component) -> Result<PathBuf> {
        let candidates = ["src/main.rs".to_owned(), format!("src/bin/{}.rs", component.name)];
        let found =
            candidates.iter().map(|file| component.folder.join(file)).find(|file| self.root.join(file).is_file());
        found.with_context(|| format!("the main file of `{}` is not where it usually is", component.name))
    }

    /// Source file of a library that all components depend on, from the root.
    pub(crate) fn shared_file(&self) -> Result<PathBuf> {
        let first = self.first()?;
        let is_shared = |folder: &&PathBuf| self.components.iter().all(|one| one.closure.contains(folder));
        let shared = first.closure.iter().filter(is_shared).filter(|folder| **folder != first.folder);
        let files = shared.map(|folder| folder.join("src/lib.rs"));
        files.into_iter().find(|file| self.root.join(file).is_file()).context("no member is shared by all components")
    }

    /// `cargo build` of all components as the native builder links them, in its own target folder.
    pub(crate) fn plain_build(&self, target: &Path) -> Result<Taken> {
        let mut cargo = command("cargo", &self.root);
        cargo.args(["build", "--release", "--locked", "--target", &self.triple, "--target-dir"]).arg(target);
        let flags = format!("target.{}.rustflags=['-C', 'target-feature=+crt-static']", self.triple);
        cargo.args(["--config", &flags]);
        for component in &self.components {
            cargo.args(["--package", &component.package, "--bin", &component.name]);
        }
        Ok(run(&mut cargo)?.taken)
    }

    /// `cargo xtask docker-build` with these arguments.
    pub(crate) fn docker_build(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Result<(Taken, Images)> {
        let mut cargo = command("cargo", &self.root);
        cargo.args(["xtask", "docker-build", "--json"]).args(arguments).args(&self.platform);
        cargo.envs(environment.iter().copied());
        let finished = run(&mut cargo)?;
        Ok((finished.taken, Images::parse(&finished.stdout)?))
    }

    /// Forgets everything built by the xtask, but not the xtask itself.
    pub(crate) fn forget(&self) -> Result<()> {
        let target = self.root.join("target");
        let entries = fs::read_dir(&target).with_context(|| format!("cannot read `{}`", target.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() && !path.ends_with("debug") {
                remove(&path)?;
            }
        }
        Ok(())
    }

    /// Forgets all compiled versions of a crate in each target folder under the given ones.
    pub(crate) fn forget_crate(&self, name: &str, folders: &[&Path]) -> Result<()> {
        for folder in folders.iter().flat_map(|folder| target_folders(folder)) {
            let mut clean = self.cargo_clean(&folder);
            clean.args(["--package", name]);
            run(&mut clean)?;
        }
        Ok(())
    }

    fn cargo_clean(&self, target: &Path) -> Command {
        let mut cargo = command("cargo", &self.root);
        cargo.args(["clean", "--release", "--locked", "--target", &self.triple, "--target-dir"]).arg(target);
        cargo
    }
}

/// Compiles what the alias `xtask` runs.
pub(crate) fn compile_tool(root: &Path) -> Result<Taken> {
    Ok(run(command("cargo", root).args(alias::build_arguments(root)?))?.taken)
}

/// Removes a folder, if it is there.
pub(crate) fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove `{}`", folder.display()))
        }
        _ => Ok(()),
    }
}

fn component(value: &Value) -> Option<Component> {
    let text = |name: &str| value.get(name)?.as_str().map(str::to_owned);
    let closure = value.get("closure")?.as_array()?.iter().filter_map(|folder| folder.as_str().map(PathBuf::from));
    Some(Component {
        name: text("name")?,
        package: text("crate")?,
        folder: text("folder")?.into(),
        closure: closure.collect(),
    })
}

/// Cargo's target folders in and under a folder, told by what cargo notes in them of the compiler.
fn target_folders(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![(folder.to_owned(), 0)];
    while let Some((folder, depth)) = waiting.pop() {
        if folder.join(".rustc_info.json").is_file() {
            found.push(folder.clone());
        }
        let entries = fs::read_dir(&folder).into_iter().flatten().filter_map(Result::ok);
        // As deep as `docker/build/KEY`.
        let folders = entries.map(|entry| entry.path()).filter(|path| depth < 3 && path.is_dir());
        waiting.extend(folders.map(|path| (path, depth + 1)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_as_the_xtask_prints_it() {
        let value = serde_json::json!({
            "name": "a", "crate": "b", "folder": "c", "closure": ["c", "crates/d"], "port": null,
        });
        let component = component(&value).unwrap();
        assert_eq!((component.name.as_str(), component.package.as_str()), ("a", "b"));
        assert_eq!(component.closure, [PathBuf::from("c"), PathBuf::from("crates/d")]);
        assert!(super::component(&serde_json::json!({"name": "a"})).is_none());
    }
}
