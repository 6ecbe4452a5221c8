//! What GitHub is asked.

use anyhow::{Context, Result, bail, ensure};
use serde::de::DeserializeOwned;
use ureq::http::HeaderMap;

use super::runs::{Artifact, ArtifactList, Choice, RunList, WorkflowRun, choose, eligible};
use crate::errors::hinted;
use crate::http::{Answer, ApiError, Downloader, Secret, next_link, percent_encoded};
use crate::image::reference::Digest;
use crate::image::time::rfc3339;

/// Runs per page, GitHub's largest.
const PER_PAGE: u32 = 100;
/// GitHub gives at most 1000 runs of a search.
const MAX_PAGES: u32 = 10;
/// Runs whose artifacts are asked for. Artifacts live 90 days at most where nobody pays for more: when
/// so many runs have none, the older ones have none either.
const MAX_RUNS: usize = 50;
/// A page of runs is about 1.5 MiB.
const MAX_ANSWER: u64 = 16 * 1024 * 1024;
/// The record of a hundred components has 100 KiB, uncompressed.
const MAX_ARTIFACT: u64 = 10 * 1024 * 1024;

/// A repository on GitHub, or on a server of its kind.
pub(crate) struct GitHub {
    downloader: Downloader,
    /// Without a final slash.
    base: String,
    authorization: Secret,
    /// `owner/name`.
    repository: String,
}

/// The workflow (its file name), the branch and the artifact that is looked for.
pub(crate) struct Wanted<'a> {
    pub(crate) workflow: &'a str,
    pub(crate) branch: &'a str,
    pub(crate) artifact: &'a str,
}

/// What became of looking.
pub(crate) enum Search {
    /// The newest run whose artifact was taken.
    Found(WorkflowRun),
    /// No run has it any more, or none ever had; why, for a message.
    Nothing(String),
}

impl GitHub {
    /// The repository `owner/name` at the API's address `base`, asked with `token`.
    ///
    /// # Errors
    /// A name that is no repository's.
    pub(crate) fn new(base: &str, repository: &str, token: &Secret) -> Result<Self> {
        let is_part = |part: &str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) && part != ".."
        };
        ensure!(
            repository.split('/').count() == 2 && repository.split('/').all(is_part),
            "`{}` is no repository on GitHub, write it like `owner/name`",
            repository.escape_debug()
        );
        Ok(GitHub {
            downloader: Downloader::new(),
            base: base.trim_end_matches('/').to_owned(),
            authorization: Secret::new(format!("Bearer {}", token.reveal())),
            repository: repository.to_owned(),
        })
    }

    /// The newest run that counts (see [`eligible`]) and whose artifact `take` takes: when that
    /// turns out to be gone (`Ok(false)`), the next run's is offered.
    ///
    /// # Errors
    /// GitHub does not answer, or refuses; `take` fails.
    pub(crate) fn newest(
        &self,
        wanted: &Wanted<'_>,
        mut take: impl FnMut(&WorkflowRun, &Artifact) -> Result<bool>,
    ) -> Result<Search> {
        let (mut asked, mut last_expiry) = (0, None);
        for page in 1..=MAX_PAGES {
            let (runs, is_last) = self.runs(wanted, page)?;
            for run in runs {
                if asked == MAX_RUNS {
                    return Ok(nothing(wanted, asked, last_expiry));
                }
                asked += 1;
                match choose(self.artifacts(run.id, wanted.artifact)?, wanted.artifact) {
                    Choice::Take(artifact) if take(&run, &artifact)? => return Ok(Search::Found(run)),
                    Choice::Take(Artifact { expires_at, .. }) => last_expiry = last_expiry.or(expires_at),
                    Choice::Expired(at) => last_expiry = last_expiry.or(Some(at)),
                    Choice::Absent => {}
                }
            }
            if is_last {
                break;
            }
        }
        Ok(nothing(wanted, asked, last_expiry))
    }

    /// The artifact's zip archive, or `None` when it has expired by now.
    ///
    /// # Errors
    /// It is too large, or not what GitHub says it is; GitHub or its storage refuses.
    pub(crate) fn download(&self, artifact: &Artifact) -> Result<Option<Vec<u8>>> {
        let what = format!("artifact `{}`", artifact.name.escape_debug());
        ensure!(artifact.size_in_bytes <= MAX_ARTIFACT, "{what} is larger than {MAX_ARTIFACT} bytes");
        let path = format!("actions/artifacts/{}/zip", artifact.id);
        let bytes = match self.get(&path, MAX_ARTIFACT).with_context(|| format!("cannot download {what}"))? {
            Answer::Body(_, bytes) => bytes,
            Answer::Refused(_, error) if error.status == 410 => return Ok(None),
            Answer::Refused(headers, error) => {
                return Err(self.explain(&headers, error)).context(format!("cannot download {what}"));
            }
        };
        if let Some(digest) = artifact.digest.as_deref().and_then(|text| text.parse::<Digest>().ok()) {
            let found = Digest::of(&bytes);
            ensure!(found == digest, "{what} is `{found}`, not `{digest}` as GitHub says");
        }
        Ok(Some(bytes))
    }

    /// A page's runs that count, and whether it is the last page.
    fn runs(&self, wanted: &Wanted<'_>, page: u32) -> Result<(Vec<WorkflowRun>, bool)> {
        let (workflow, branch) = (percent_encoded(wanted.workflow), percent_encoded(wanted.branch));
        let path = format!(
            "actions/workflows/{workflow}/runs?branch={branch}&status=success&exclude_pull_requests=true\
             &per_page={PER_PAGE}&page={page}"
        );
        let what = format!("cannot list the runs of `{}` in `{}`", wanted.workflow, self.repository);
        let (headers, list) = self.list::<RunList>(&path).context(what)?;
        Ok((eligible(list.workflow_runs, &self.repository, wanted.branch), next_link(&headers).is_none()))
    }

    fn artifacts(&self, run: u64, name: &str) -> Result<Vec<Artifact>> {
        let path = format!("actions/runs/{run}/artifacts?name={}&per_page={PER_PAGE}", percent_encoded(name));
        let (_, list) =
            self.list::<ArtifactList>(&path).with_context(|| format!("cannot list what run {run} uploaded"))?;
        Ok(list.artifacts)
    }

    fn list<T: DeserializeOwned>(&self, path: &str) -> Result<(HeaderMap, T)> {
        match self.get(path, MAX_ANSWER)? {
            Answer::Body(headers, bytes) => {
                Ok((headers, serde_json::from_slice(&bytes).context("the answer is not what GitHub's API gives")?))
            }
            Answer::Refused(headers, error) => Err(self.explain(&headers, error)),
        }
    }

    fn get(&self, path: &str, limit: u64) -> Result<Answer> {
        let headers =
            [("Accept", "application/vnd.github+json".to_owned()), ("X-GitHub-Api-Version", "2022-11-28".to_owned())];
        let url = format!("{}/repos/{}/{path}", self.base, self.repository);
        self.downloader.get(&url, &headers, &self.authorization, limit)
    }

    /// Adds to a refusal what could mend it.
    fn explain(&self, headers: &HeaderMap, error: ApiError) -> anyhow::Error {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let is_used_up = header("x-ratelimit-remaining") == Some("0");
        let hint = match error.status {
            403 | 429 if is_used_up => {
                let reset = header("x-ratelimit-reset").and_then(|text| text.parse().ok()).map(rfc3339);
                let reset = reset.unwrap_or_else(|| "within the hour".to_owned());
                format!("the requests that GitHub allows this token are used up; it answers again from {reset}")
            }
            401 => "`GITHUB_TOKEN` is not valid, or has ended".to_owned(),
            403 => "the token may not do this: the job needs `permissions: actions: read`".to_owned(),
            404 => format!(
                "`{}` or its workflow does not exist, or the token may not see it: it needs `actions: read`",
                self.repository
            ),
            _ => return error.into(),
        };
        hinted(error, hint)
    }
}

fn nothing(wanted: &Wanted<'_>, asked: usize, expiry: Option<String>) -> Search {
    let (workflow, branch, artifact) = (wanted.workflow, wanted.branch, wanted.artifact);
    Search::Nothing(match (asked, expiry) {
        (0, _) => format!("`{workflow}` has no successful push, schedule or manual run on `{branch}`"),
        (_, Some(at)) => format!(
            "no run of `{workflow}` on `{branch}` has `{artifact}` any more: the newest expired at {}",
            at.escape_debug()
        ),
        (asked, None) => format!("none of the {asked} newest runs of `{workflow}` on `{branch}` uploaded `{artifact}`"),
    })
}

/// The token of the environment.
///
/// # Errors
/// There is none; GitHub gives no artifact to a stranger.
pub(crate) fn token(given: Option<String>) -> Result<Secret> {
    match given {
        Some(token) if token.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(Secret::new(token)),
        Some(_) => bail!("`GITHUB_TOKEN` is no token: it holds spaces or line ends"),
        None => bail!(hinted(
            "`GITHUB_TOKEN` is not set, and GitHub gives artifacts to nobody without",
            "in a workflow: `env: GITHUB_TOKEN: ${{ secrets.GITHUB_TOKEN }}` and `permissions: actions: read`; here: \
             `GITHUB_TOKEN=$(gh auth token)`"
        )),
    }
}
