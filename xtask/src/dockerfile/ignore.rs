//! `Dockerfile.dockerignore`: everything is denied, then exactly the context is allowed.

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};

use super::MARK;
use crate::workspace::context::{Context, DENIED_AT_TOP, NEVER_COMPILED, NOT_COMPILED};

/// The text of the ignore file beside the Dockerfile of `package`; the last pattern that matches decides.
pub(crate) fn text(context: &Context, package: &str) -> String {
    let place = |path: &Utf8PathBuf| context.top.place(path);
    let places = |paths: &BTreeSet<Utf8PathBuf>| -> BTreeSet<Utf8PathBuf> { paths.iter().map(place).collect() };
    let (closure, extra, nested) = (places(&context.closure), places(&context.extra), places(&context.nested));
    let shared = &context.shared;
    let files: Vec<_> = shared.files.iter().chain(&shared.manifests).map(place).collect();
    let whole = places(&shared.whole);
    let mut lines = vec![format!("{MARK}: change the workspace or its settings, not this file.")];
    if closure.contains(Utf8Path::new("")) {
        lines.push(format!("# Package {package} is the root: its build may read everything but what is denied here."));
    } else {
        let what = format!("# Everything is denied, then what the build of package {package} may read is allowed.");
        lines.extend([what, "*".into()]);
    }
    lines.extend(closure.iter().filter(|folder| !folder.as_str().is_empty()).map(|folder| allow(folder)));
    lines.extend(nested.iter().map(|folder| pattern(folder)));
    // A member of the closure may be in one that is not.
    let is_inside = |path: &&Utf8PathBuf| nested.iter().any(|nested| path.starts_with(nested));
    lines.extend(closure.iter().filter(is_inside).map(|folder| allow(folder)));
    lines.push("# Never compiled, unless a source names it.".into());
    lines.extend(NEVER_COMPILED.iter().map(|pattern| (*pattern).to_owned()));
    for folder in &closure {
        let denied = NOT_COMPILED.iter().map(|name| folder.join(name));
        lines.extend(
            denied
                .filter(|folder| !context.kept.iter().any(|kept| place(kept) == *folder))
                .map(|folder| pattern(&folder)),
        );
    }
    let ignored = [&context.docker_ignore, &context.git_ignore].map(|ignored| ignored.lines(&context.top.prefix));
    if ignored.iter().any(|lines| !lines.is_empty()) {
        lines.push("# What the project's own ignore files leave out.".into());
        lines.extend(ignored.into_iter().flatten());
    }
    lines.push("# What every build needs, and what sources name and settings declare.".into());
    lines.extend(files.iter().chain(&whole).chain(&extra).map(|path| allow(path)));
    lines.push("# Never part of it.".into());
    lines.extend(["**/.env*".into(), "**/.git".into()]);
    // Named by a source, it is.
    let is_secret = |path: &&Utf8PathBuf| path.file_name().is_some_and(|name| name.starts_with(".env"));
    lines.extend(extra.iter().filter(is_secret).map(|path| allow(path)));
    if closure.contains(Utf8Path::new("")) {
        lines.push("artifacts/docker".into());
    }
    lines.extend(context.target.iter().map(|target| pattern(&place(target))));
    for folder in &closure {
        lines.extend(DENIED_AT_TOP.iter().map(|name| pattern(&folder.join(name))));
    }
    lines.join("\n") + "\n"
}

fn allow(path: &Utf8Path) -> String {
    format!("!{}", pattern(path))
}

/// A path as a pattern that matches only itself (Go's `filepath.Match`, as Docker uses it).
fn pattern(path: &Utf8Path) -> String {
    let mut escaped = String::new();
    for c in path.as_str().chars() {
        if "*?[]\\".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    match escaped.starts_with(['!', '#']) {
        true => format!("\\{escaped}"),
        false => escaped,
    }
}
