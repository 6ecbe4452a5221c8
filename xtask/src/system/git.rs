//! What git says: commits, changes, files of the past.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use camino::{Utf8Path, Utf8PathBuf};
use xshell::{Cmd, cmd};

use super::process;
use crate::errors::{hinted, hinted_cause};

/// The repository that holds the workspace.
#[derive(Debug, Clone)]
pub(crate) struct Git {
    root: Utf8PathBuf,
    /// Folder of the repository's work tree, absolute.
    top: Utf8PathBuf,
    /// The workspace's folder below the repository's top, with a final slash, or empty.
    prefix: String,
    /// Commit of HEAD; nothing before the first commit.
    pub(crate) head: Option<Commit>,
    /// Whether history was cut off, so that older commits cannot be seen.
    pub(crate) is_shallow: bool,
}

/// A commit's full hash and the time it was committed, in seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Commit {
    /// 40 hex digits.
    pub(crate) hash: String,
    /// Committer time, unix seconds.
    pub(crate) time: i64,
}

impl Git {
    /// The repository around `root`; nothing when there is none, or no git.
    ///
    /// # Errors
    /// Git is there and refuses the repository (its owner is somebody else, say).
    pub(crate) fn open(root: &Utf8Path) -> Result<Option<Git>> {
        if which::which("git").is_err() {
            return Ok(None);
        }
        let shell = process::shell_in(root)?;
        // In English, whatever the user's language: its message is read below.
        let ask = cmd!(shell, "git rev-parse --is-shallow-repository --show-toplevel --show-prefix").env("LC_ALL", "C");
        let output = process::output(ask)?;
        if !output.status.success() {
            if output.stderr.contains("not a git repository") {
                return Ok(None);
            }
            return Err(process::failure("git rev-parse", output.status, &output.stderr));
        }
        let text = String::from_utf8(output.stdout).context("git printed no UTF-8")?;
        let mut lines = text.lines();
        let is_shallow = lines.next() == Some("true");
        let top = lines.next().unwrap_or_default().into();
        let prefix = lines.next().unwrap_or_default().to_owned();
        let mut git = Git { root: root.to_owned(), top, prefix, head: None, is_shallow };
        git.head = git.newest(cmd!(shell, "git log -1 --no-show-signature --format=%H:%ct HEAD")).unwrap_or(None);
        Ok(Some(git))
    }

    /// The newest commit that changed a file for which `is_input` says so; `paths` (below the workspace
    /// root, or absolute) hold all of these. Nothing when none did.
    pub(crate) fn newest_commit(
        &self,
        paths: &BTreeSet<Utf8PathBuf>,
        is_input: impl Fn(&Utf8Path) -> bool,
    ) -> Result<Option<Commit>> {
        // The first few usually tell.
        for limit in [32, 1024, usize::MAX] {
            let commits = self.commits_to(paths, "HEAD", limit)?;
            let seen = commits.len();
            let mut newest = commits.into_iter().filter(|(_, paths)| paths.iter().any(|path| is_input(path)));
            if let Some((commit, _)) = newest.next() {
                return Ok(Some(commit));
            }
            if seen < limit {
                break;
            }
        }
        Ok(None)
    }

    /// The newest commits of `range` that changed something in `paths` (below the workspace root, or absolute), each
    /// with what it changed there.
    ///
    /// # Errors
    /// The range's commits are not here.
    pub(crate) fn commits_to(
        &self,
        paths: &BTreeSet<Utf8PathBuf>,
        range: &str,
        limit: usize,
    ) -> Result<Vec<(Commit, Vec<Utf8PathBuf>)>> {
        let shell = process::shell_in(&self.root)?;
        let specs: Vec<String> = paths
            .iter()
            .map(|path| format!(":(literal){}", if path.as_str().is_empty() { "." } else { path.as_str() }))
            .collect();
        let count = format!("--max-count={}", limit.min(i32::MAX as usize));
        let text = process::read(cmd!(
            shell,
            "git log --no-show-signature --no-renames -c --name-only -z --format=%x01%H:%ct {count} {range} -- {specs...}"
        ))?;
        let commit = |record: &str| {
            let mut parts =
                record.split('\0').map(|part| part.trim_start_matches('\n')).filter(|part| !part.is_empty());
            let commit = parse_commit(parts.next().unwrap_or_default())?;
            Ok((commit, parts.map(|path| self.seen_from_root(path)).collect()))
        };
        text.split('\u{1}').skip(1).map(commit).collect()
    }

    /// A path from the repository's top, as seen from the workspace: below its root, or absolute.
    fn seen_from_root(&self, path: &str) -> Utf8PathBuf {
        path.strip_prefix(&self.prefix).map_or_else(|| self.top.join(path), Utf8PathBuf::from)
    }

    /// The commits of `range` that changed a manifest, a lock file, cargo's configuration or something in
    /// `folders`, newest first.
    pub(crate) fn manifest_commits(&self, range: &str, folders: &[Utf8PathBuf]) -> Result<Vec<Commit>> {
        let shell = process::shell_in(&self.root)?;
        let text = process::read(cmd!(
            shell,
            "git log --no-show-signature --format=%H:%ct {range} -- Cargo.lock images.lock :(glob)**/Cargo.toml .cargo {folders...}"
        ))?;
        text.lines().map(parse_commit).collect()
    }

    /// The first parent of `commit`; nothing for a first commit.
    pub(crate) fn parent(&self, commit: &str) -> Result<Option<String>> {
        let shell = process::shell_in(&self.root)?;
        let parents = process::read(cmd!(shell, "git log -1 --no-show-signature --format=%P {commit}"))?;
        Ok(parents.split_whitespace().next().map(str::to_owned))
    }

    /// The subjects of those of `commits` that are here.
    pub(crate) fn subjects(&self, commits: &[&str]) -> BTreeMap<String, String> {
        self.of_each("--format=%H %s", commits).unwrap_or_default()
    }

    /// When those of `commits` that are here were made, unix seconds.
    ///
    /// # Errors
    /// git fails.
    pub(crate) fn times(&self, commits: &[&str]) -> Result<BTreeMap<String, i64>> {
        let times = self.of_each("--format=%H %ct", commits)?.into_iter();
        Ok(times.filter_map(|(commit, time)| Some((commit, time.parse().ok()?))).collect())
    }

    fn of_each(&self, format: &str, commits: &[&str]) -> Result<BTreeMap<String, String>> {
        // Without a commit, git would take HEAD.
        if commits.is_empty() {
            return Ok(BTreeMap::new());
        }
        let shell = process::shell_in(&self.root)?;
        let log = cmd!(shell, "git log --no-walk --ignore-missing --no-show-signature {format} {commits...}");
        Ok(process::read(log)?.lines().filter_map(hash_and_subject).collect())
    }

    /// The whole message of `commit`; nothing where it is not here.
    pub(crate) fn message(&self, commit: &str) -> Option<String> {
        self.line(&["log", "-1", "--no-show-signature", "--format=%B", commit])
    }

    /// Hash and subject of the commits after `from` up to `to`, newest first.
    ///
    /// # Errors
    /// One of the commits is not here.
    pub(crate) fn log_between(&self, from: &str, to: &str) -> Result<Vec<(String, String)>> {
        let shell = process::shell_in(&self.root)?;
        let (range, format) = (format!("{from}..{to}"), "--format=%H %s");
        let text = process::read(cmd!(shell, "git log --no-show-signature {format} {range} --"))?;
        Ok(text.lines().filter_map(hash_and_subject).collect())
    }

    /// A text that is the same for two commits whose manifests, lock files, cargo settings and `folders` are.
    pub(crate) fn manifests_key(&self, commit: &str, folders: &[Utf8PathBuf]) -> Result<String> {
        let shell = process::shell_in(&self.root)?;
        let listing = process::read(cmd!(shell, "git ls-tree -r --full-name {commit}"))?;
        let decisive = |line: &&str| {
            let path = line.split('\t').nth(1).unwrap_or_default();
            let name = path.rsplit('/').next().unwrap_or_default();
            if folders.iter().any(|folder| self.seen_from_root(path).starts_with(folder)) {
                return true;
            }
            let files = ["Cargo.toml", "Cargo.lock", "config.toml", "config", "rust-toolchain", "rust-toolchain.toml"];
            files.contains(&name)
                || name == "images.lock"
                // Targets that cargo finds by their place.
                || name == "build.rs" || name == "main.rs" || name == "lib.rs"
        };
        Ok(listing.lines().filter(decisive).collect::<Vec<_>>().join("\n"))
    }

    /// The commit that `reference` names.
    pub(crate) fn commit(&self, reference: &str) -> Result<String> {
        let shell = process::shell_in(&self.root)?;
        let spec = format!("{reference}^{{commit}}");
        match process::read(cmd!(shell, "git rev-parse --verify --quiet --end-of-options {spec}")) {
            Ok(commit) => Ok(commit),
            Err(_) => {
                let hint = format!("fetch it first: `git fetch origin {reference}`");
                bail!(hinted(format!("`{reference}` names no commit"), hint))
            }
        }
    }

    /// Where HEAD and `reference` parted.
    ///
    /// # Errors
    /// Unknown reference, or no common history (a shallow clone).
    pub(crate) fn merge_base(&self, reference: &str) -> Result<String> {
        let commit = self.commit(reference)?;
        let shell = process::shell_in(&self.root)?;
        process::read(cmd!(shell, "git merge-base HEAD {commit}")).map_err(|cause| {
            let error = format!("HEAD and `{reference}` have no common commit here");
            hinted_cause(cause, error, "fetch more history: `git fetch --unshallow`")
        })
    }

    /// Whether `folder` (absolute) is in the repository, maybe outside the workspace.
    pub(crate) fn holds(&self, folder: &Utf8Path) -> bool {
        folder.starts_with(&self.top)
    }

    /// The paths that differ from HEAD or are untracked: those in the workspace from its root, those in
    /// `elsewhere` (folders of the repository) absolute.
    pub(crate) fn changed_paths(&self, elsewhere: &BTreeSet<Utf8PathBuf>) -> Result<BTreeSet<Utf8PathBuf>> {
        let shell = process::shell_in(&self.root)?;
        let text = process::read(cmd!(
            shell,
            "git status --porcelain -z --untracked-files=all --no-renames -- . {elsewhere...}"
        ))?;
        let paths = text.split('\0').filter_map(|entry| entry.get(3..));
        Ok(paths.map(|path| self.seen_from_root(path)).collect())
    }

    /// The branch that is checked out; nothing when HEAD is detached.
    pub(crate) fn branch(&self) -> Option<String> {
        self.line(&["symbolic-ref", "--quiet", "--short", "HEAD"])
    }

    /// A tag such as `v1.2.3` of exactly HEAD.
    pub(crate) fn version_tag(&self) -> Option<String> {
        self.line(&["describe", "--exact-match", "--tags", "--match", "v[0-9]*"])
    }

    /// The branch that a clone of the remote `origin` checks out, as it was when we cloned.
    pub(crate) fn default_branch(&self) -> Option<String> {
        let name = self.line(&["symbolic-ref", "--quiet", "--short", "refs/remotes/origin/HEAD"])?;
        Some(name.strip_prefix("origin/").unwrap_or(&name).to_owned())
    }

    /// The address of the remote `origin`, as it was given: it may hold a secret.
    pub(crate) fn origin(&self) -> Option<String> {
        self.line(&["config", "--get", "remote.origin.url"])
    }

    /// What git prints, where failing means that there is no such thing.
    fn line(&self, arguments: &[&str]) -> Option<String> {
        let shell = process::shell_in(&self.root).ok()?;
        let output = process::output(cmd!(shell, "git {arguments...}")).ok()?;
        let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
        (output.status.success() && !text.is_empty()).then_some(text)
    }

    /// The files and folders that git ignores; folders end with a slash.
    pub(crate) fn ignored(&self) -> Result<Vec<Utf8PathBuf>> {
        let shell = process::shell_in(&self.root)?;
        let text = process::read(cmd!(shell, "git ls-files -z --others --ignored --exclude-standard --directory"))?;
        Ok(text.split('\0').filter(|path| !path.is_empty()).map(Utf8PathBuf::from).collect())
    }

    /// Makes `folder` hold the whole tree of `commit` and gives the workspace's folder in it. A
    /// second call with another commit writes only what differs.
    pub(crate) fn check_out(&self, commit: &str, folder: &Utf8Path) -> Result<Utf8PathBuf> {
        // An index and a work tree of its own: nothing of the repository changes.
        let (index, tree) = (folder.join("index"), folder.join("tree"));
        std::fs::create_dir_all(&tree).with_context(|| format!("cannot create `{tree}`"))?;
        let shell = process::shell_in(&self.root)?;
        let git_folder = process::read(cmd!(shell, "git rev-parse --absolute-git-dir"))?;
        let shell = process::shell_in(&tree)?;
        process::read(
            cmd!(shell, "git --git-dir {git_folder} --work-tree {tree} read-tree --reset -u {commit}")
                .env("GIT_INDEX_FILE", &index),
        )?;
        Ok(tree.join(self.prefix.trim_end_matches('/')))
    }

    /// Makes `folder` a work tree of the repository, at `commit`, with the repository's history and remotes. It is to
    /// be given back by [`Git::remove_work_tree`].
    pub(crate) fn add_work_tree(&self, commit: &str, folder: &Utf8Path) -> Result<Utf8PathBuf> {
        let shell = process::shell_in(&self.root)?;
        // Hooks are of those who work in a checkout.
        process::read(cmd!(shell, "git -c core.hooksPath=/dev/null worktree add --quiet --detach {folder} {commit}"))?;
        Ok(folder.join(self.prefix.trim_end_matches('/')))
    }

    /// Forgets a work tree, and removes it.
    pub(crate) fn remove_work_tree(&self, folder: &Utf8Path) -> Result<()> {
        let shell = process::shell_in(&self.root)?;
        process::read(cmd!(shell, "git worktree remove --force {folder}")).map(drop)
    }

    /// A commit that is here, by its hash.
    pub(crate) fn known_commit(&self, hash: &str) -> Option<Commit> {
        let shell = process::shell_in(&self.root).ok()?;
        self.newest(cmd!(shell, "git log -1 --no-show-signature --format=%H:%ct {hash} --")).ok().flatten()
    }

    fn newest(&self, cmd: Cmd<'_>) -> Result<Option<Commit>> {
        let text = process::read(cmd)?;
        text.lines().next().map(parse_commit).transpose()
    }
}

fn hash_and_subject(line: &str) -> Option<(String, String)> {
    let (hash, subject) = line.split_once(' ')?;
    Some((hash.to_owned(), subject.to_owned()))
}

fn parse_commit(line: &str) -> Result<Commit> {
    let (hash, time) = line.split_once(':').with_context(|| format!("git printed an unknown line: `{line}`"))?;
    Ok(Commit { hash: hash.to_owned(), time: time.parse().context("git printed an unknown time")? })
}
