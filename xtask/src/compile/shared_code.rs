//! Packages of the workspace that run code while they are compiled, and that several components share.
//!
//! A build script or a macro need not say what it reads. Confined to one component's files it could read what
//! is no input of the others, which take the same library. So these packages are compiled first, where there
//! is nothing but what is an input of all who share them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use anyhow::{Context, Result};
use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::explain::explain;
use super::native::{Compiled, NativeBuild};
use crate::gather::files::Found;
use crate::gather::workspace::Workspace;
use crate::stage::Stage;
use crate::stage::sandbox::is_confined;
use crate::system::cargo::forget_compiled;
use crate::system::files::write_atomically;
use crate::system::progress::Progress;
use crate::workspace::components::Component;

/// What was compiled first, from run to run.
#[derive(Default, Serialize, Deserialize)]
struct Memory {
    /// By the components that share it.
    done: BTreeMap<String, Done>,
    /// A run died among its first compilations: nobody knows what was compiled with too little in reach.
    is_open: bool,
}

#[derive(Serialize, Deserialize)]
struct Done {
    /// Over all that could be read.
    digest: String,
    /// The components for which it was done: others may need more of it.
    components: BTreeSet<String>,
}

/// The packages that a set of components shares.
struct Shared {
    components: BTreeSet<String>,
    folders: Vec<Utf8PathBuf>,
    /// What all of them have as inputs.
    readable: Found,
}

struct SharedPackage {
    folder: Utf8PathBuf,
    /// Those who share it.
    users: BTreeSet<String>,
    is_compiled: bool,
}

/// What was compiled first.
pub(crate) struct SharedCode<'a> {
    workspace: &'a Workspace,
    stage: &'a Stage,
    /// Cargo's target folder.
    folder: &'a Utf8Path,
    /// All such packages, by their manifest in the stage.
    packages: BTreeMap<Utf8PathBuf, SharedPackage>,
    /// What cargo said of those that are not.
    said: String,
}

impl<'a> SharedCode<'a> {
    /// Compiles what `components` share with others, as far as it has to be.
    ///
    /// What cannot be compiled there is no error yet: who needs it will show why.
    ///
    /// # Errors
    /// Cargo cannot be run; files that cannot be read or written.
    pub(crate) fn compile(
        build: &'a NativeBuild,
        workspace: &'a Workspace,
        stage: &'a Stage,
        components: &[&Component],
        progress: &Progress,
    ) -> Result<Self> {
        let folder = build.folder();
        let mut code = SharedCode { workspace, stage, folder, packages: BTreeMap::new(), said: String::new() };
        if !is_confined(&workspace.packages.settings) {
            return Ok(code);
        }
        let mut memory = code.memory();
        if memory.is_open {
            code.forget(workspace.sources.keys())?;
            memory = Memory::default();
        }
        for shared in shared(workspace)? {
            let asked: Vec<&Component> =
                components.iter().copied().filter(|component| shared.components.contains(&component.name)).collect();
            if asked.is_empty() {
                continue;
            }
            let key = Vec::from_iter(shared.components.iter().map(String::as_str)).join(",");
            let names: BTreeSet<String> = asked.iter().map(|component| component.name.clone()).collect();
            let everyones = workspace.readable_by_all()?;
            let places = shared.readable.keys().chain(everyones.keys()).map(|path| workspace.top.place(path));
            let digest = stage.digest(&places.collect());
            let known = memory.done.remove(&key).filter(|done| done.digest == digest);
            if known.as_ref().is_some_and(|done| names.is_subset(&done.components)) {
                code.add(&shared, |_| true);
                memory.done.extend(known.map(|done| (key, done)));
                continue;
            }
            memory.is_open = true;
            code.remember(&memory)?;
            // What was compiled elsewhere is compiled again.
            if known.is_none() {
                code.forget(shared.folders.iter())?;
            }
            let start = SystemTime::now();
            // They are compiled, or fail, for nothing.
            let others = workspace.sources.keys().filter(|folder| !shared.folders.contains(folder));
            let hidden: BTreeSet<&str> = others.filter_map(|folder| code.name(folder)).collect();
            let found = build.try_compile(workspace, stage, &asked, shared.readable.clone(), &hidden, progress)?;
            code.add(&shared, |manifest| found.libraries.contains_key(manifest));
            // Others' code may have made do with less than it is to have.
            let ran = ran_since(start, &found.scripts);
            let others = |folder: &&Utf8PathBuf| {
                let manifest = code.manifest(folder);
                let is_new = found.anew.contains(&manifest) || code.name(folder).is_some_and(|name| ran.contains(name));
                let runs_code = asked.iter().any(|component| workspace.runs_code(component, folder));
                is_new && runs_code && !code.packages.contains_key(&manifest)
            };
            code.forget(workspace.sources.keys().filter(others))?;
            memory.is_open = false;
            code.remember(&memory)?;
            if code.packages.values().all(|package| package.is_compiled) {
                let before = known.map(|done| done.components).unwrap_or_default();
                memory.done.insert(key, Done { digest, components: before.into_iter().chain(names).collect() });
                code.remember(&memory)?;
            } else {
                code.said += &found.said;
            }
        }
        Ok(code)
    }

    fn add(&mut self, shared: &Shared, is_compiled: impl Fn(&Utf8Path) -> bool) {
        for folder in &shared.folders {
            let manifest = self.manifest(folder);
            let (folder, users, is_compiled) = (folder.clone(), shared.components.clone(), is_compiled(&manifest));
            self.packages.insert(manifest, SharedPackage { folder, users, is_compiled });
        }
    }

    /// Looks at what was compiled for some components, among their files. Such a package that only compiles there
    /// is a failure of theirs; one that cargo always compiles again is not left to the next.
    pub(crate) fn check(&self, compiled: &mut Compiled, progress: &Progress) -> Result<()> {
        let again = self.packages.iter().filter(|(manifest, _)| compiled.libraries.get(*manifest) == Some(&false));
        let again: Vec<_> = again.map(|(_, package)| package).collect();
        if again.is_empty() {
            return Ok(());
        }
        self.remember(&Memory::default())?;
        self.forget(again.iter().map(|package| &package.folder))?;
        if let Some(SharedPackage { folder, users, .. }) = again.iter().find(|package| !package.is_compiled) {
            progress.say(self.said.trim_end());
            let users: Vec<_> = users.iter().map(|name| format!("`{name}`")).collect();
            let mend = explain(&self.said, self.workspace, self.stage).unwrap_or_else(|| {
                "declare what it reads in `inputs` of its `[package.metadata.docker]`, or let it be read from the \
                 component's own package"
                    .to_owned()
            });
            compiled.failed.extend(std::mem::take(&mut compiled.executables).into_keys());
            compiled.hint = Some(format!(
                "`{folder}`, which {} share, compiles only with files that are not inputs of all of them: {mend}",
                users.join(", ")
            ));
        }
        Ok(())
    }

    /// Where the manifest of the package in `folder` is staged.
    fn manifest(&self, folder: &Utf8Path) -> Utf8PathBuf {
        self.stage.folder.join(self.workspace.top.place(&self.workspace.root().join(folder).join("Cargo.toml")))
    }

    /// Makes cargo compile the packages in `folders` again.
    fn forget<'f>(&self, folders: impl Iterator<Item = &'f Utf8PathBuf>) -> Result<()> {
        let names = folders.filter_map(|folder| self.name(folder)).collect();
        forget_compiled(self.folder, &names)
    }

    /// The name of the package in `folder`.
    fn name(&self, folder: &Utf8Path) -> Option<&str> {
        let folder = self.workspace.root().join(folder);
        self.workspace.resolved().find(|node| node.path.as_ref() == Some(&folder)).map(|node| node.name.as_str())
    }

    fn file(&self) -> Utf8PathBuf {
        self.folder.join("shared-code.json")
    }

    fn memory(&self) -> Memory {
        let text = std::fs::read(self.file()).ok();
        text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
    }

    fn remember(&self, memory: &Memory) -> Result<()> {
        let folder = self.folder;
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create `{folder}`"))?;
        write_atomically(&self.file(), &serde_json::to_vec(memory)?)
    }
}

/// The packages of the build scripts that ran since `start`, by name.
fn ran_since(start: SystemTime, out_dirs: &BTreeSet<Utf8PathBuf>) -> BTreeSet<&str> {
    // `NAME-HASH/output` beside `NAME-HASH/out`: what it said.
    let folders = out_dirs.iter().filter_map(|out_dir| out_dir.parent());
    let ran = folders.filter(|folder| {
        let time = std::fs::metadata(folder.join("output")).and_then(|metadata| metadata.modified());
        time.is_ok_and(|time| time >= start)
    });
    ran.filter_map(|folder| Some(folder.file_name()?.rsplit_once('-')?.0)).collect()
}

/// What components of several packages share, by who shares it. What a package is compiled from is shared by
/// all who share the package, and comes first.
fn shared(workspace: &Workspace) -> Result<Vec<Shared>> {
    let mut folders: BTreeMap<&Utf8PathBuf, Vec<&Component>> = BTreeMap::new();
    for component in &workspace.components {
        for folder in component.closure.iter().filter(|folder| workspace.runs_code(component, folder)) {
            folders.entry(folder).or_default().push(component);
        }
    }
    folders.retain(|_, users| users.iter().any(|user| user.package.folder != users[0].package.folder));
    let mut all: BTreeMap<BTreeSet<String>, Shared> = BTreeMap::new();
    for (folder, users) in folders {
        let components: BTreeSet<String> = users.iter().map(|user| user.name.clone()).collect();
        let shared = match all.entry(components.clone()) {
            std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::btree_map::Entry::Vacant(new) => {
                let mut readable = workspace.readable(users[0])?;
                for user in &users[1..] {
                    let theirs = workspace.readable(user)?;
                    readable.retain(|path, _| theirs.contains_key(path));
                }
                new.insert(Shared { components, folders: Vec::new(), readable })
            }
        };
        shared.folders.push(folder.clone());
    }
    let mut all: Vec<Shared> = all.into_values().collect();
    all.sort_by_key(|shared| std::cmp::Reverse(shared.components.len()));
    Ok(all)
}
