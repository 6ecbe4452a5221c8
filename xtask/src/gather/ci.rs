//! What is built, as git and CI tell it.

use anyhow::Result;
use camino::Utf8Path;
use serde_json::Value;

use crate::errors::hinted;
use crate::image::tags::GitReference;
use crate::sbom::provenance::Run;
use crate::system::environment::variable;
use crate::system::git::Git;

/// The commit and what it is a build of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CiState {
    /// HEAD, 40 hex digits; `GITHUB_SHA` or `CI_COMMIT_SHA` where there is no git.
    pub(crate) commit: String,
    /// Files that differ from it, but those `publish` writes itself.
    pub(crate) changed: Vec<String>,
    /// Whether git says that none does; without it, nobody knows.
    pub(crate) is_clean: bool,
    /// Branch, tag or pull request.
    pub(crate) reference: GitReference,
}

impl CiState {
    /// Asks git and CI's variables (docs.github.com, "Variables reference"; docs.gitlab.com, "Predefined CI/CD
    /// variables reference", whose names others use too); `own` are folders that `publish` writes to.
    ///
    /// # Errors
    /// No commit is known; git refuses the repository.
    pub(crate) fn gather(root: &Utf8Path, own: &[&Utf8Path]) -> Result<Self> {
        let git = Git::open(root)?;
        let head = git.as_ref().and_then(|git| git.head.as_ref()).map(|head| head.hash.clone());
        let is_known = head.is_some();
        let commit = head.or_else(|| variable("GITHUB_SHA")).or_else(|| variable("CI_COMMIT_SHA"));
        let commit = commit.ok_or_else(|| {
            let hint = "make a first commit, or set `GITHUB_SHA`";
            hinted("images are tagged with the commit, and there is none here", hint)
        })?;
        let changed = match &git {
            Some(git) => git.changed_paths(&Default::default())?,
            None => Default::default(),
        };
        let changed = changed.iter().filter(|path| !own.iter().any(|own| path.starts_with(own)));
        let changed: Vec<_> = changed.map(ToString::to_string).collect();
        let reference = match variable("GITHUB_REF") {
            Some(reference) => github(&reference, git.as_ref()),
            None => gitlab(git.as_ref()).unwrap_or_else(|| local(git.as_ref())),
        };
        Ok(CiState { commit, is_clean: is_known && changed.is_empty(), changed, reference })
    }
}

/// The page of a commit: where CI says that the repository is, else at what its packages name.
pub(crate) fn commit_link(commit: &str, repository: Option<&str>) -> Option<String> {
    let github = || Some(format!("{}/{}", variable("GITHUB_SERVER_URL")?, variable("GITHUB_REPOSITORY")?));
    let named = || repository.filter(|url| url.starts_with("https://")).map(|url| url.trim_end_matches('/').to_owned());
    let project = github().or_else(|| variable("CI_PROJECT_URL")).or_else(named)?;
    Some(format!("{}/commit/{commit}", project.trim_end_matches(".git")))
}

/// The CI run that this is part of, as its system says it.
pub(crate) fn run() -> Option<Run> {
    let github = || {
        let (server, project) = (variable("GITHUB_SERVER_URL")?, variable("GITHUB_REPOSITORY")?);
        let repository = format!("{server}/{project}");
        let address = format!("{repository}/actions/runs/{}", variable("GITHUB_RUN_ID")?);
        Some(Run { repository, address, system: "https://github.com/actions/runner" })
    };
    let gitlab = || {
        let (repository, address) = (variable("CI_PROJECT_URL")?, variable("CI_JOB_URL")?);
        Some(Run { repository, address, system: "https://gitlab.com/gitlab-org/gitlab-runner" })
    };
    github().or_else(gitlab)
}

/// The number of the pull request that CI runs for.
pub(crate) fn pull_request() -> Option<u64> {
    let reference = match variable("GITHUB_REF") {
        Some(reference) => github(&reference, None),
        None => gitlab(None)?,
    };
    if let GitReference::PullRequest(number) = reference { number } else { None }
}

fn github(reference: &str, git: Option<&Git>) -> GitReference {
    let event: Value = variable("GITHUB_EVENT_PATH")
        .and_then(|path| std::fs::read(path).ok())
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    // `pull_request_target` runs under the base branch's name.
    if variable("GITHUB_EVENT_NAME").is_some_and(|event| event.starts_with("pull_request")) {
        let named = reference.strip_prefix("refs/pull/").and_then(|rest| rest.split('/').next());
        let number = named.and_then(|number| number.parse().ok()).or_else(|| event["number"].as_u64());
        return GitReference::PullRequest(number);
    }
    if let Some(number) = reference.strip_prefix("refs/pull/") {
        return GitReference::PullRequest(number.split('/').next().and_then(|number| number.parse().ok()));
    }
    if let Some(tag) = reference.strip_prefix("refs/tags/") {
        return GitReference::Tag(tag.to_owned());
    }
    match reference.strip_prefix("refs/heads/") {
        Some(name) => {
            let said = event["repository"]["default_branch"].as_str();
            branch(name, said.map(str::to_owned), git)
        }
        None => GitReference::Detached,
    }
}

/// What GitLab's variables say; nothing where they are not set.
fn gitlab(git: Option<&Git>) -> Option<GitReference> {
    // Woodpecker names the target branch of a pull request as its branch.
    if let Some(number) = variable("CI_MERGE_REQUEST_IID").or_else(|| variable("CI_COMMIT_PULL_REQUEST")) {
        return Some(GitReference::PullRequest(number.parse().ok()));
    }
    if let Some(tag) = variable("CI_COMMIT_TAG") {
        return Some(GitReference::Tag(tag));
    }
    variable("CI_COMMIT_BRANCH").map(|name| branch(&name, variable("CI_DEFAULT_BRANCH"), git))
}

fn local(git: Option<&Git>) -> GitReference {
    let Some(git) = git else { return GitReference::Detached };
    match (git.branch(), git.version_tag()) {
        (Some(name), _) => branch(&name, None, Some(git)),
        (None, Some(tag)) => GitReference::Tag(tag),
        (None, None) => GitReference::Detached,
    }
}

fn branch(name: &str, default: Option<String>, git: Option<&Git>) -> GitReference {
    let default = default.or_else(|| git.and_then(Git::default_branch));
    // Without a remote nothing says which branch is the default one; these two usually are.
    let is_default = default.map_or(matches!(name, "main" | "master"), |default| default == name);
    GitReference::Branch { name: name.to_owned(), is_default }
}
