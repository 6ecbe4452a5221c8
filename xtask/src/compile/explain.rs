//! What to do about a build that failed: the line to add.

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};

use super::link_hint::link_hint;
use crate::gather::workspace::Workspace;
use crate::stage::Stage;
use crate::system::environment::variable;
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
    missing_file(&said, workspace, stage, package)
        .or_else(|| missing_variable(&said, workspace, package))
        .or_else(|| missing_network(&said, workspace))
        .or_else(|| link_hint(&said))
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

fn missing_file(said: &str, workspace: &Workspace, stage: &Stage, package: Option<&str>) -> Option<String> {
    let manifest = manifest(workspace, package);
    let mut bases: BTreeSet<Utf8PathBuf> = BTreeSet::from([stage.root.clone()]);
    bases.extend(workspace.sources.keys().map(|folder| stage.folder.join(workspace.top.place(folder))));
    let is_sign = |c: char| c.is_whitespace() || "`'\"()<>[]{},;:=".contains(c);
    let lines = said.lines().filter(|line| FILE_FAULTS.iter().any(|fault| line.contains(fault)));
    for line in lines {
        let is_refused = line.contains("ermission") || line.contains("Read-only");
        // A name may hold spaces: what stands in quotes counts as a whole, too.
        let quoted = line.split(['`', '"', '\'']).filter(|text| text.contains(['/', '.']));
        for token in quoted.chain(line.split(is_sign)).filter(|token| !token.is_empty() && *token != ".") {
            let token = token.trim_end_matches('.');
            let inner = token.strip_prefix(IN_ENGINE).map(|rest| stage.folder.join(rest));
            let paths = match Utf8Path::new(token).is_absolute() {
                true => vec![inner.unwrap_or_else(|| token.into())],
                false => bases.iter().map(|base| base.join(token)).collect(),
            };
            for path in paths.into_iter().map(|path| tidy(&path)) {
                if let Some(hint) = hint(&path, is_refused, workspace, stage, &manifest) {
                    return Some(hint);
                }
            }
        }
    }
    None
}

fn hint(
    path: &Utf8Path,
    is_refused: bool,
    workspace: &Workspace,
    stage: &Stage,
    manifest: &Utf8Path,
) -> Option<String> {
    let declare = |origin: &Utf8Path| {
        let shown = from_root(origin.strip_prefix(workspace.root()).unwrap_or(origin), workspace.root());
        format!(
            "`{shown}` is there, but not among what this build may read: declare it in `[package.metadata.docker]` of \
             `{manifest}`: `inputs = [\"{shown}\"]`"
        )
    };
    // Where the stage lies in it, the checkout is not what is meant.
    let in_checkout = path.starts_with(workspace.root()) && !path.starts_with(workspace.output());
    if let Some(place) = stage.place(path) {
        let origin = workspace.top.origin(place);
        if !path.exists() && origin.exists() && !place.as_str().is_empty() {
            return Some(declare(&origin));
        }
        let parent_is_there = path.parent().is_some_and(Utf8Path::is_dir);
        return (is_refused && parent_is_there && !place.as_str().is_empty()).then(|| {
            format!("`{place}` is a source: builds may write below `OUT_DIR` alone, so that sources stay what was hashed")
        });
    }
    if in_checkout && path.exists() {
        return Some(declare(path));
    }
    (is_refused && path.is_absolute() && path.exists() && path != "/").then(|| {
        format!(
            "`{path}` is out of the sandbox: if builds may read it, add it in `[workspace.metadata.docker]` of \
             `Cargo.toml`: `system-paths = [\"{path}\"]`"
        )
    })
}

fn missing_variable(said: &str, workspace: &Workspace, package: Option<&str>) -> Option<String> {
    let name = said.split("environment variable `").nth(1)?.split('`').next()?;
    variable(name)?;
    Some(format!(
        "`{name}` is set here, but builds do not see it: pass it on in `[package.metadata.docker]` of `{}`: \
         `pass-env = [\"{name}\"]`",
        manifest(workspace, package)
    ))
}

fn missing_network(said: &str, workspace: &Workspace) -> Option<String> {
    let name = said.split("custom build command for `").nth(1)?.split('`').next()?;
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
