//! The context of a build: exactly the files that it may read.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};

use super::components::Component;
use super::ignore_patterns::IgnorePatterns;
use super::packages::Packages;

/// Files of a package folder that never are inputs, by name, at its top: what we generate, and
/// cargo's default target folder when cargo once ran outside the workspace. (Not deeper: `target`
/// is a fine name for a module.)
pub(crate) const DENIED_AT_TOP: &[&str] = &["target", "Dockerfile", "Dockerfile.dockerignore"];

/// Folders of a package, at its top, whose sources are not compiled into its binaries.
pub(crate) const NOT_COMPILED: &[&str] = &["tests", "benches", "examples"];

/// Names that are never compiled, as `.dockerignore` has them: dot files, Markdown, editors' copies.
pub(crate) const NEVER_COMPILED: &[&str] = &["**/.*", "**/*.md", "**/*~", "**/*.sw[op]", "**/#*#"];

/// Whether a file or folder, by its path in its package, is left out unless a source names it.
pub(crate) fn is_never_compiled(inner: &Utf8Path) -> bool {
    let name = inner.file_name().unwrap_or_default();
    let is_top = inner.components().count() == 1;
    let ends = |end: &str| name.len() > end.len() && name.ends_with(end);
    (is_top && NOT_COMPILED.contains(&name))
        || name.starts_with('.')
        || [".md", "~", ".swo", ".swp"].into_iter().any(ends)
        || (name.starts_with('#') && ends("#"))
}

/// Files and folders (below the workspace root, or absolute outside it) that every build of the
/// workspace needs: cargo reads them before it compiles anything.
#[derive(Debug, Clone, Default)]
pub(crate) struct SharedContext {
    /// Root manifest, lock file, cargo config, toolchain file.
    pub(crate) files: BTreeSet<Utf8PathBuf>,
    /// Manifests of all members, and of other workspaces that path packages belong to.
    pub(crate) manifests: BTreeSet<Utf8PathBuf>,
    /// Folders that stay whole: path packages that are no members, vendored sources.
    pub(crate) whole: BTreeSet<Utf8PathBuf>,
    /// Source files that cargo demands, with their text when they must do something.
    pub(crate) stubs: BTreeMap<Utf8PathBuf, Stub>,
}

/// What stands in for a source file while only dependencies are built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stub {
    /// A library: nothing in it.
    Library,
    /// Anything else: an empty `main`.
    Program,
}

/// The context of one package's builds. Paths are below the workspace root, or absolute outside it.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    /// The folder that the context is laid out from: the workspace's root, or one above it that
    /// also holds what is used from outside.
    pub(crate) top: ContextTop,
    /// What all builds share.
    pub(crate) shared: SharedContext,
    /// Folders of the closure.
    pub(crate) closure: BTreeSet<Utf8PathBuf>,
    /// Folders right below one of the closure that hold targets, though they are called `tests`, say.
    pub(crate) kept: BTreeSet<Utf8PathBuf>,
    /// Declared assets and inputs, and what sources name beyond what the closure's folders contribute.
    pub(crate) extra: BTreeSet<Utf8PathBuf>,
    /// Folders of members below one of these folders that do not belong to it.
    pub(crate) nested: BTreeSet<Utf8PathBuf>,
    /// Cargo's target folder, when it is below the root.
    pub(crate) target: Option<Utf8PathBuf>,
    /// What the project's own `.dockerignore` leaves out.
    pub(crate) docker_ignore: IgnorePatterns,
    /// What the root's `.gitignore` leaves out.
    pub(crate) git_ignore: IgnorePatterns,
}

/// The folder that contexts are laid out from, seen with the workspace in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ContextTop {
    folder: Utf8PathBuf,
    /// Where in it the workspace is; empty when they are the same.
    pub(crate) prefix: Utf8PathBuf,
}

impl ContextTop {
    /// The innermost folder that holds `root` and all `paths` (relative ones are below it).
    pub(crate) fn new<'a>(root: &Utf8Path, paths: impl IntoIterator<Item = &'a Utf8Path>) -> Self {
        let mut folder = root;
        for path in paths.into_iter().filter(|path| path.is_absolute()) {
            folder = folder.ancestors().find(|folder| path.starts_with(folder)).unwrap_or(Utf8Path::new("/"));
        }
        let prefix = root.strip_prefix(folder).unwrap_or(root).to_owned();
        ContextTop { folder: folder.to_owned(), prefix }
    }

    /// Where `path` (below the workspace root, or absolute) is in the context.
    pub(crate) fn place(&self, path: &Utf8Path) -> Utf8PathBuf {
        let place = match path.is_absolute() {
            true => path.strip_prefix(&self.folder).unwrap_or(path).to_owned(),
            false => self.prefix.join(path),
        };
        Utf8PathBuf::from(place.as_str().trim_end_matches('/'))
    }

    /// What is at `place` of the context: the path outside, absolute.
    pub(crate) fn origin(&self, place: &Utf8Path) -> Utf8PathBuf {
        self.folder.join(place)
    }

    /// How the context's folder is called from the workspace's root: `.`, `..`, `../..`.
    pub(crate) fn as_seen_from_root(&self) -> String {
        match self.prefix.components().count() {
            0 => ".".to_owned(),
            ups => vec![".."; ups].join("/"),
        }
    }
}

/// What stands in for the members' sources.
pub(crate) fn stubs(packages: &Packages) -> BTreeMap<Utf8PathBuf, Stub> {
    packages
        .members
        .iter()
        .flat_map(|member| &member.targets)
        .filter(|target| target.is_demanded)
        .map(|target| (target.source.clone(), if target.is_library { Stub::Library } else { Stub::Program }))
        .collect()
}

impl Context {
    /// The context of `component`; `named` is what its sources name and its settings declare.
    pub(crate) fn new(
        packages: &Packages,
        top: &ContextTop,
        shared: &SharedContext,
        component: &Component,
        named: impl IntoIterator<Item = Utf8PathBuf>,
        (docker_ignore, git_ignore): (&IgnorePatterns, &IgnorePatterns),
    ) -> Self {
        let closure: BTreeSet<_> = component.closure.iter().cloned().collect();
        let assets = component.package.settings.assets.iter().map(|asset| asset.from.clone());
        let is_part = |folder: &Utf8Path| closure.contains(folder) || shared.whole.contains(folder);
        let nested: BTreeSet<_> = packages
            .members
            .iter()
            .map(|member| member.folder.clone())
            .filter(|folder| !folder.as_str().is_empty() && !is_part(folder))
            .filter(|folder| closure.iter().chain(&shared.whole).any(|part| folder.starts_with(part)))
            .collect();
        let kept = closure
            .iter()
            .filter_map(|folder| packages.member_in(folder))
            .flat_map(|member| member.target_folders().into_iter().map(|name| member.folder.join(name)))
            .filter(|folder| NOT_COMPILED.contains(&folder.file_name().unwrap_or_default()))
            .collect();
        let target = packages.target.strip_prefix(&packages.root).ok().map(Utf8Path::to_owned);
        Context {
            top: top.clone(),
            shared: shared.clone(),
            closure,
            kept,
            extra: assets.chain(named).collect(),
            nested,
            target,
            docker_ignore: docker_ignore.clone(),
            git_ignore: git_ignore.clone(),
        }
    }

    /// Whether a change of the file `path` (below the root, or absolute) changes what the build reads: as
    /// the files themselves are chosen, for files that are there no more.
    pub(crate) fn holds(&self, path: &Utf8Path) -> bool {
        if self.extra.iter().any(|extra| path.starts_with(extra)) {
            return true;
        }
        let holder = |folders: &BTreeSet<Utf8PathBuf>| {
            let holders = folders.iter().filter(|folder| path.starts_with(folder));
            holders.max_by_key(|folder| folder.components().count()).cloned()
        };
        let Some(folder) = holder(&self.closure) else { return false };
        let depth = |folder: &Utf8Path| folder.components().count();
        if holder(&self.nested).is_some_and(|nested| depth(&nested) > depth(&folder)) {
            return false;
        }
        let inner = path.strip_prefix(&folder).unwrap_or(path);
        let first = inner.components().next().map_or("", |first| first.as_str());
        let is_lock = folder.as_str().is_empty() && inner == "Cargo.lock";
        let is_ours = DENIED_AT_TOP.contains(&first) || path.starts_with("artifacts/docker");
        let is_kept = self.kept.contains(&folder.join(first));
        let parts = inner.ancestors().filter(|part| !part.as_str().is_empty());
        let is_left_out =
            parts.into_iter().any(|part| is_never_compiled(part) && !(is_kept && part.components().count() == 1));
        let is_source = path.extension() == Some("rs") || path.file_name() == Some("Cargo.toml");
        !(is_lock || is_ours || is_left_out || (!is_source && self.docker_ignore.denies(path)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_begins_where_all_that_is_used_is() {
        let root = Utf8Path::new("/home/me/repo/examples");
        let inside = ContextTop::new(root, [Utf8Path::new("app"), Utf8Path::new("/home/me/repo/examples/x")]);
        assert_eq!((inside.prefix.as_str(), inside.as_seen_from_root().as_str()), ("", "."));
        assert_eq!(inside.place("app/src".into()), "app/src");
        let above = ContextTop::new(root, [Utf8Path::new("/home/me/repo/axum"), Utf8Path::new("/home/me/other")]);
        assert_eq!((above.prefix.as_str(), above.as_seen_from_root().as_str()), ("repo/examples", "../.."));
        assert_eq!(above.place("/home/me/repo/axum/src/lib.rs".into()), "repo/axum/src/lib.rs");
        assert_eq!(above.place("app".into()), "repo/examples/app");
        assert_eq!(above.place("".into()), "repo/examples");
        assert_eq!(above.origin("repo/axum".into()), "/home/me/repo/axum");
    }

    #[test]
    fn what_is_never_compiled_is_left_out() {
        for path in
            ["tests", "benches", "README.md", "src/notes.md", ".github", "src/.main.rs.swp", "src/main.rs~", "#a#"]
        {
            assert!(is_never_compiled(path.into()), "{path}");
        }
        for path in ["src", "src/tests", "src/tests/mod.rs", "data/md", "build.rs", "src/a#b"] {
            assert!(!is_never_compiled(path.into()), "{path}");
        }
    }
}
