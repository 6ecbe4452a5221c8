//! What to do about a build that failed: the line to add.

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};

use super::link_hint::link_hint;
use crate::gather::workspace::Workspace;
use crate::image::images_lock::{IMAGES_LOCK, UPDATE};
use crate::stage::Stage;
use crate::system::environment::any_variable;
use crate::workspace::inputs::from_root;
use crate::workspace::settings::tidy;

/// Where an engine has the stage.
const IN_ENGINE: &str = "/workspace/";

/// Words of a line that speaks of a file which could not be read or written.
const FILE_FAULTS: &[&str] = &[
    "os error",
    "o such file",
    "ermission denied",
    "couldn't read",
    "could not read",
    "cannot find",
    "can't find",
    "could not find",
    "not found",
    "does not exist",
    "doesn't exist",
    "failed to read",
    "failed to open",
    "could not open",
    "not a directory",
    "not a file",
    "is missing",
    "NotFound",
    "PermissionDenied",
];

/// Words of a line that speaks of a network which could not be used.
const NETWORK_FAULTS: &[&str] = &[
    "resolve host",
    "name resolution",
    "dns error",
    "failed to lookup address",
    "nodename nor servname",
    "error sending request",
    "network is unreachable",
    "could not connect",
    "failed to connect",
    "connection refused",
    "http transport error",
    "tcp connect error",
];

/// The mend for what `said`, the end of a failed build's output, tells; nothing when it tells none.
pub(crate) fn explain(said: &str, workspace: &Workspace, stage: &Stage) -> Option<String> {
    let said = without_colours(said);
    let package = failed_package(&said);
    let manifest = manifest(workspace, package);
    let paths = named_paths(&said, workspace, stage);
    let undeclared =
        || paths.iter().find_map(|(path, is_refused)| undeclared(path, *is_refused, workspace, stage, &manifest));
    let written = || paths.iter().find_map(|(path, is_refused)| written(path, *is_refused, stage));
    lost_image(&said, workspace)
        .or_else(undeclared)
        .or_else(|| missing_variable(&said, &manifest))
        .or_else(|| missing_network(&said, workspace))
        .or_else(written)
        .or_else(|| link_hint(&said))
}

/// A builder image that the lock names and that an engine cannot get.
fn lost_image(said: &str, workspace: &Workspace) -> Option<String> {
    let mut locked = workspace.images.iter().flat_map(|lock| &lock.0);
    let is_lost = |line: &str| ["not found", "manifest unknown", "does not exist"].iter().any(|end| line.contains(end));
    let (image, _) = locked.find(|(_, locked)| {
        let digest = locked.digest().map(|digest| format!("@{digest}"));
        digest.is_some_and(|digest| said.lines().any(|line| line.contains(&digest) && is_lost(line)))
    })?;
    Some(format!("`{IMAGES_LOCK}` holds `{image}` to a digest that is gone: {UPDATE} takes what its tag names now"))
}

/// Without escape sequences.
fn without_colours(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            chars.by_ref().find(char::is_ascii_alphabetic);
        } else {
            plain.push(c);
        }
    }
    plain
}

/// The package that did not compile, by name.
fn failed_package(said: &str) -> Option<&str> {
    let after = |mark: &str| said.split(mark).nth(1)?.split(['`', ' ']).next();
    after("custom build command for `").or_else(|| after("could not compile `"))
}

/// The manifest whose settings are to be changed.
fn manifest(workspace: &Workspace, package: Option<&str>) -> Utf8PathBuf {
    let members = &workspace.packages.members;
    let failed = members.iter().find(|member| Some(member.name.as_str()) == package);
    let own = failed.or_else(|| workspace.components.first().map(|component| &component.package));
    own.map_or_else(|| "Cargo.toml".into(), |package| package.manifest_path())
}

/// The paths in lines that speak of files which could not be read or written, and whether they were refused.
fn named_paths(said: &str, workspace: &Workspace, stage: &Stage) -> Vec<(Utf8PathBuf, bool)> {
    let mut bases: BTreeSet<Utf8PathBuf> = BTreeSet::from([stage.root.clone()]);
    bases.extend(workspace.sources.keys().map(|folder| stage.folder.join(workspace.top.place(folder))));
    let is_sign = |c: char| c.is_whitespace() || "`'\"()<>[]{},;:=".contains(c);
    let mut found = Vec::new();
    for line in said.lines().filter(|line| FILE_FAULTS.iter().any(|fault| line.contains(fault))) {
        let is_refused = line.contains("ermission") || line.contains("Read-only");
        // A name may hold spaces: what stands in quotes counts as a whole, too.
        let tokens = line.split(['`', '"', '\'']).chain(line.split(is_sign)).map(|token| token.trim_end_matches('.'));
        for token in tokens.filter(|token| token.contains(['/', '.'])) {
            let inner = token.strip_prefix(IN_ENGINE).map(|rest| stage.folder.join(rest));
            let paths = match Utf8Path::new(token).is_absolute() {
                true => vec![inner.unwrap_or_else(|| token.into())],
                false => bases.iter().map(|base| base.join(token)).collect(),
            };
            found.extend(paths.into_iter().map(|path| (tidy(&path), is_refused)));
        }
    }
    found
}

/// A file that is there, and that builds do not see.
fn undeclared(
    path: &Utf8Path,
    is_refused: bool,
    workspace: &Workspace,
    stage: &Stage,
    manifest: &Utf8Path,
) -> Option<String> {
    let origin = match stage.place(path) {
        // What is there and cannot be read is another component's.
        Some(place) => (!path.exists() || (is_refused && path.is_file())).then(|| workspace.top.origin(place)),
        // Where the stage lies in it, the checkout is not what is meant.
        None => (path.starts_with(workspace.root()) && !path.starts_with(workspace.output())).then(|| path.to_owned()),
    };
    if let Some(origin) = origin.filter(|origin| origin.exists() && origin != workspace.root()) {
        let shown = from_root(origin.strip_prefix(workspace.root()).unwrap_or(&origin), workspace.root());
        return Some(format!(
            "`{shown}` is there, but not among what this build may read: declare it in `[package.metadata.docker]` of \
             `{manifest}`: `inputs = [\"{shown}\"]`"
        ));
    }
    let is_elsewhere = path.is_absolute() && stage.place(path).is_none() && path.parent().is_some();
    (is_refused && is_elsewhere && path.exists() && !path.starts_with(workspace.output())).then(|| {
        format!(
            "`{path}` is out of the sandbox: if builds may read it, add it in `[workspace.metadata.docker]` of \
             `Cargo.toml`: `system-paths = [\"{path}\"]`"
        )
    })
}

/// A file that could not be written among the sources.
fn written(path: &Utf8Path, is_refused: bool, stage: &Stage) -> Option<String> {
    let place = stage.place(path)?;
    let parent_is_there = path.parent().is_some_and(Utf8Path::is_dir);
    (is_refused && parent_is_there && !place.as_str().is_empty()).then(|| {
        format!("`{place}` is a source: builds may write below `OUT_DIR` alone, so that sources stay what was hashed")
    })
}

fn missing_variable(said: &str, manifest: &Utf8Path) -> Option<String> {
    let name = said.split("environment variable `").nth(1)?.split('`').next()?;
    any_variable(name)?;
    Some(format!(
        "`{name}` is set here, but builds do not see it: pass it on in `[package.metadata.docker]` of `{manifest}`: \
         `pass-env = [\"{name}\"]`"
    ))
}

fn missing_network(said: &str, workspace: &Workspace) -> Option<String> {
    let name = said.split("custom build command for `").nth(1)?.split(['`', '(']).next()?.trim();
    let lower = said.to_lowercase();
    if workspace.packages.settings.network || !NETWORK_FAULTS.iter().any(|fault| lower.contains(fault)) {
        return None;
    }
    Some(format!(
        "the build script of `{name}` wants the network: builds get none, since what they find there is no input; if it \
         must be, set `network = true` in `[workspace.metadata.docker]` of `Cargo.toml`"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_failed_package_is_found_in_cargos_words() {
        let script = "error: failed to run custom build command for `app v0.1.0 (/x/app)`\n";
        assert_eq!(failed_package(script), Some("app"));
        assert_eq!(failed_package("error: could not compile `lib` (lib) due to 1 previous error"), Some("lib"));
        assert_eq!(failed_package("nothing"), None);
        assert_eq!(without_colours("\u{1b}[1m\u{1b}[38;5;9merror\u{1b}[0m: x"), "error: x");
    }
}
