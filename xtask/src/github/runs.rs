//! Which run's artifact to take, out of what GitHub lists (REST API 2022-11-28, "workflow runs" and
//! "artifacts").

use serde::Deserialize;

/// Events that build what is deployed. Pull requests' runs build what may never be merged.
const EVENTS: [&str; 3] = ["push", "schedule", "workflow_dispatch"];

/// A page of a workflow's runs.
#[derive(Debug, Deserialize)]
pub(crate) struct RunList {
    pub(crate) workflow_runs: Vec<WorkflowRun>,
}

/// A run of a workflow.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct WorkflowRun {
    pub(crate) id: u64,
    /// Its number within the workflow, as the web pages show it.
    pub(crate) run_number: u64,
    /// What started it.
    pub(crate) event: String,
    /// How it ended; nothing while it runs.
    pub(crate) conclusion: Option<String>,
    /// Its branch, or its git tag.
    pub(crate) head_branch: Option<String>,
    pub(crate) head_sha: String,
    /// RFC 3339, so that text order is time order.
    pub(crate) created_at: String,
    /// Where its commit is from; nothing when that repository is gone.
    pub(crate) head_repository: Option<HeadRepository>,
}

/// The repository that a run's commit is from: a fork's, for a fork's pull request.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct HeadRepository {
    /// `owner/name`.
    pub(crate) full_name: String,
}

/// What a run uploaded.
#[derive(Debug, Deserialize)]
pub(crate) struct ArtifactList {
    pub(crate) artifacts: Vec<Artifact>,
}

/// An uploaded archive.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Artifact {
    pub(crate) id: u64,
    pub(crate) name: String,
    /// Bytes of the archive.
    pub(crate) size_in_bytes: u64,
    /// Whether its content has been deleted.
    pub(crate) expired: bool,
    /// When that is, or was, RFC 3339.
    pub(crate) expires_at: Option<String>,
    /// `sha256:…` of the archive; servers older than 2025 do not say.
    pub(crate) digest: Option<String>,
}

/// What became of looking for an artifact in one run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    Take(Artifact),
    /// There was one, until then (`unknown` when GitHub does not say).
    Expired(String),
    /// There never was one.
    Absent,
}

/// The runs that count, newest first: successful ones of `branch` and of the repository itself.
pub(crate) fn eligible(runs: Vec<WorkflowRun>, repository: &str, branch: &str) -> Vec<WorkflowRun> {
    let mut runs: Vec<_> = runs
        .into_iter()
        .filter(|run| run.conclusion.as_deref() == Some("success"))
        .filter(|run| EVENTS.contains(&run.event.as_str()))
        .filter(|run| run.head_branch.as_deref() == Some(branch))
        .filter(|run| run.head_repository.as_ref().is_some_and(|head| head.full_name.eq_ignore_ascii_case(repository)))
        .collect();
    runs.sort_by(|a, b| (&b.created_at, b.id).cmp(&(&a.created_at, a.id)));
    runs
}

/// The artifact called `name`; of several (a run's attempts upload one each), the last.
pub(crate) fn choose(artifacts: Vec<Artifact>, name: &str) -> Choice {
    let mut named: Vec<_> = artifacts.into_iter().filter(|artifact| artifact.name == name).collect();
    named.sort_by_key(|artifact| artifact.id);
    match named.iter().rfind(|artifact| !artifact.expired) {
        Some(artifact) => Choice::Take(artifact.clone()),
        None => match named.pop() {
            Some(last) => Choice::Expired(last.expires_at.unwrap_or_else(|| "unknown".to_owned())),
            None => Choice::Absent,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(id: u64, created_at: &str, change: impl FnOnce(&mut WorkflowRun)) -> WorkflowRun {
        let mut run = WorkflowRun {
            id,
            run_number: id,
            event: "push".into(),
            conclusion: Some("success".into()),
            head_branch: Some("main".into()),
            head_sha: "0".repeat(40),
            created_at: created_at.into(),
            head_repository: Some(HeadRepository { full_name: "acme/shop".into() }),
        };
        change(&mut run);
        run
    }

    #[test]
    fn only_the_repositorys_own_successful_builds_of_the_branch_count() {
        let day = |day: u32| format!("2026-01-{day:02}T00:00:00Z");
        let runs = vec![
            run(1, &day(1), |_| ()),
            run(9, &day(3), |run| run.event = "schedule".into()),
            run(2, &day(5), |run| run.event = "workflow_dispatch".into()),
            run(3, &day(9), |run| run.event = "pull_request".into()),
            run(4, &day(9), |run| run.conclusion = Some("failure".into())),
            run(5, &day(9), |run| run.conclusion = None),
            run(6, &day(9), |run| run.head_branch = Some("main2".into())),
            run(7, &day(9), |run| run.head_branch = None),
            run(8, &day(9), |run| run.head_repository = Some(HeadRepository { full_name: "eve/shop".into() })),
            run(10, &day(9), |run| run.head_repository = None),
        ];
        let ids: Vec<u64> = eligible(runs, "Acme/Shop", "main").iter().map(|run| run.id).collect();
        assert_eq!(ids, [2, 9, 1]);
    }

    #[test]
    fn the_last_artifact_that_is_left_is_taken() {
        let artifact = |id, name: &str, expired| Artifact {
            id,
            name: name.into(),
            size_in_bytes: 1,
            expired,
            expires_at: Some(format!("day {id}")),
            digest: None,
        };
        let (a, b, c) = (artifact(1, "record", false), artifact(2, "record", false), artifact(3, "record", true));
        let other = artifact(4, "records", false);
        assert_eq!(choose(vec![b.clone(), a, c.clone(), other.clone()], "record"), Choice::Take(b));
        assert_eq!(choose(vec![c, other.clone()], "record"), Choice::Expired("day 3".into()));
        assert_eq!(choose(vec![other], "record"), Choice::Absent);
    }
}
