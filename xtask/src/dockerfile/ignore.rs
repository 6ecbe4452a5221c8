//! `Dockerfile.dockerignore`: everything is denied, then exactly the context is allowed.

use camino::Utf8Path;

use super::MARK;
use crate::workspace::context::Context;

/// The text of the ignore file beside the Dockerfile of `package`.
pub(crate) fn text(context: &Context, package: &str) -> String {
    let mut lines = vec![
        format!("{MARK}: change the workspace or its settings, not this file."),
        format!("# Everything is denied, then what the build of package {package} may read is allowed."),
    ];
    let is_root_package = context.closure.iter().any(|folder| folder.as_str().is_empty());
    if is_root_package {
        lines.push("# The root is a package itself: its context is everything but the other members.".into());
    } else {
        lines.push("*".into());
    }
    let shared = &context.shared;
    let files = shared.files.iter().chain(&shared.manifests);
    lines.extend(files.map(|path| allow(path)));
    let folders = context.closure.iter().chain(&shared.whole).chain(&context.extra);
    lines.extend(folders.filter(|folder| !folder.as_str().is_empty()).map(|path| allow(path)));

    for folder in &context.nested {
        lines.push(pattern(folder));
    }
    // What is denied as a part of something else may be needed by itself.
    let again = context.nested.iter().map(|folder| folder.join("Cargo.toml"));
    let inside_nested = |path: &Utf8Path| context.nested.iter().any(|nested| path.starts_with(nested));
    let parts = context.closure.iter().chain(&context.extra).filter(|path| inside_nested(path)).cloned();
    lines.extend(again.chain(parts).map(|path| allow(&path)));
    lines.push("# Never part of it.".into());
    lines.extend(["**/.env*".into(), "**/.git".into()]);
    if is_root_package {
        lines.push("artifacts/docker".into());
    }
    lines.extend(context.target.iter().map(|target| pattern(target)));
    for folder in &context.closure {
        for name in crate::workspace::context::DENIED_AT_TOP {
            lines.push(pattern(&folder.join(name)));
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    lines.retain(|line| line.starts_with('#') || line.starts_with('!') || seen.insert(line.clone()));
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
