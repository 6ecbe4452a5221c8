//! Holds what a native build says that it read against what its components may read.

use std::collections::BTreeSet;
use std::time::SystemTime;

use anyhow::{Context, Error, Result};
use camino::{Utf8Path, Utf8PathBuf};

use super::native::Compiled;
use crate::errors::hinted;
use crate::gather::workspace::Workspace;
use crate::stage::Stage;
use crate::system::environment::any_variable;
use crate::workspace::build_variables::{Passage, passage};
use crate::workspace::components::Component;
use crate::workspace::inputs::from_root;
use crate::workspace::observed::{dep_info_files, dep_info_variables, script_variables};
use crate::workspace::settings::tidy;

/// Variables that are asked for as a matter of course, and that no build here sees.
const USUAL: &[&str] = &["HOME", "LANG", "LC_ALL", "PWD", "SHELL", "TMPDIR", "USER"];

/// What builds of one component read though it is none of its inputs.
pub(crate) fn undeclared(
    workspace: &Workspace,
    stage: &Stage,
    component: &Component,
    executable: &Utf8Path,
) -> Result<Vec<Error>> {
    let own: BTreeSet<Utf8PathBuf> =
        workspace.readable(component)?.into_keys().map(|path| workspace.top.place(&path)).collect();
    let info = Utf8PathBuf::from(format!("{executable}.d"));
    let text = std::fs::read_to_string(&info).with_context(|| format!("cannot read `{info}`, which cargo writes"))?;
    let manifest = component.package.manifest_path();
    let name = &component.name;
    let mut found = Vec::new();
    for path in dep_info_files(&text).into_iter().map(|path| tidy(&path)) {
        let Some(place) = stage.place(&path) else { continue };
        let is_own = match path.is_dir() {
            true => files_below(&path).all(|file| stage.place(&file).is_some_and(|place| own.contains(place))),
            false => own.contains(place) || !path.exists(),
        };
        if !is_own {
            let origin = workspace.top.origin(place);
            let shown = from_root(origin.strip_prefix(workspace.root()).unwrap_or(&origin), workspace.root());
            let shown = if shown.as_str().is_empty() { Utf8Path::new(".") } else { &shown };
            let what = "which is none of its inputs: what is there would change the program unnoticed";
            found.push(hinted(
                format!("`{name}` reads `{shown}`, {what}"),
                format!("declare it in `[package.metadata.docker]` of `{manifest}`: `inputs = [\"{shown}\"]`"),
            ));
        }
    }
    Ok(found)
}

/// Variables that builds ask for, that are set here, and that builds do not see.
pub(crate) fn unseen_variables(
    workspace: &Workspace,
    components: &[&Component],
    compiled: &Compiled,
) -> BTreeSet<String> {
    let mut asked: BTreeSet<String> = BTreeSet::new();
    for component in components {
        let Some(executable) = compiled.executables.get(&component.name) else { continue };
        let unset = asked_by_sources(workspace, component, executable).into_iter().filter(|(_, is_set)| !is_set);
        asked.extend(unset.map(|(name, _)| name));
    }
    for out_dir in &compiled.scripts {
        // `build/PACKAGE-HASH/output` beside `build/PACKAGE-HASH/out`.
        let output = out_dir.parent().map(|folder| folder.join("output"));
        let text = output.and_then(|output| std::fs::read_to_string(output).ok()).unwrap_or_default();
        asked.extend(script_variables(&text));
    }
    let passed = workspace.pass_env();
    asked.retain(|name| {
        let is_known = passed.contains(name) || USUAL.contains(&name.as_str()) || name.starts_with("CARGO");
        !is_known && passage(name) == Passage::Dropped && any_variable(name).is_some()
    });
    asked
}

/// The variables that rustc looked up for a component's own packages, with whether they were set: from
/// the newest dep-info of each.
fn asked_by_sources(workspace: &Workspace, component: &Component, executable: &Utf8Path) -> BTreeSet<(String, bool)> {
    let crates: BTreeSet<String> = component
        .closure
        .iter()
        .filter_map(|folder| workspace.packages.member_in(folder))
        .flat_map(|package| &package.targets)
        .filter(|target| target.is_library || target.name == component.name)
        .map(|target| target.name.replace('-', "_"))
        .collect();
    let Some(folder) = executable.parent().map(|folder| folder.join("deps")) else { return BTreeSet::new() };
    let mut newest: std::collections::BTreeMap<String, (SystemTime, Utf8PathBuf)> = Default::default();
    for entry in folder.read_dir_utf8().into_iter().flatten().flatten() {
        let Some((name, _)) = entry.file_name().strip_suffix(".d").and_then(|stem| stem.rsplit_once('-')) else {
            continue;
        };
        let name = name.replace('-', "_");
        if !crates.contains(&name) {
            continue;
        }
        let time = entry.metadata().and_then(|metadata| metadata.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
        let found = (time, entry.into_path());
        newest.entry(name).and_modify(|known| *known = known.clone().max(found.clone())).or_insert(found);
    }
    let texts = newest.into_values().filter_map(|(_, path)| std::fs::read_to_string(path).ok());
    texts.flat_map(|text| dep_info_variables(&text)).collect()
}

fn files_below(folder: &Utf8Path) -> impl Iterator<Item = Utf8PathBuf> {
    let entries = walkdir::WalkDir::new(folder).into_iter().flatten();
    entries
        .filter(|entry| entry.file_type().is_file())
        .filter_map(|entry| Utf8PathBuf::from_path_buf(entry.into_path()).ok())
}
