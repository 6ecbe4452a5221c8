//! What smoke found, and how it is written: JSON, JUnit, Markdown.

use std::fmt::Write as _;

use serde::Serialize;

/// Everything a run found.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    pub(crate) namespaces: Vec<String>,
    pub(crate) context: String,
    pub(crate) passed: bool,
    pub(crate) seconds: f64,
    /// The steps in the order they were made.
    pub(crate) steps: Vec<Step>,
    /// What is checked before and beside workloads: the registry's images, missing components, Services.
    pub(crate) checks: Vec<Check>,
    /// The workloads, by namespace.
    pub(crate) workloads: Vec<WorkloadReport>,
}

/// One step of the run.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Step {
    /// `connect`, `registry`, `apply`, `rollout`, `identity`, `health`.
    pub(crate) name: &'static str,
    pub(crate) seconds: f64,
}

/// One workload.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WorkloadReport {
    pub(crate) namespace: String,
    /// `Deployment`, `Job`, …
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    /// The components that its containers run.
    pub(crate) components: Vec<String>,
    /// Pods of the current rollout.
    pub(crate) pods: usize,
    /// The slowest pod's seconds from creation to ready, once all are.
    pub(crate) ready_seconds: Option<u64>,
    pub(crate) checks: Vec<Check>,
}

/// One check and its verdict.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Check {
    /// `rollout`, `identity`, `health`, `time`, `registry`, `component`, `service`.
    pub(crate) name: String,
    /// What exactly, when there are several of the name: a pod, a path.
    pub(crate) subject: String,
    /// `ok`, or a word for what is wrong.
    pub(crate) verdict: &'static str,
    /// Whether the run passes in spite, or because, of it.
    pub(crate) passed: bool,
    /// When in the run the verdict was there.
    pub(crate) seconds: f64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) message: String,
    /// Last events and log lines of a failure.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) details: Vec<String>,
}

impl Check {
    /// A check that passes, with the verdict `ok`.
    pub(crate) fn ok(name: &str, subject: impl Into<String>, seconds: f64) -> Self {
        let (name, subject) = (name.to_owned(), subject.into());
        Check { name, subject, verdict: "ok", passed: true, seconds, ..Check::default() }
    }

    /// A check that fails.
    pub(crate) fn failed(
        name: &str,
        subject: impl Into<String>,
        verdict: &'static str,
        message: impl Into<String>,
        seconds: f64,
    ) -> Self {
        Check { verdict, passed: false, message: message.into(), ..Check::ok(name, subject, seconds) }
    }
}

impl Report {
    /// The checks that failed, with the workload they belong to.
    pub(crate) fn failures(&self) -> impl Iterator<Item = (Option<String>, &Check)> {
        self.all().filter(|(_, check)| !check.passed)
    }

    /// The checks that passed and have something to say.
    pub(crate) fn warnings(&self) -> impl Iterator<Item = (Option<String>, &Check)> {
        let warns = |check: &Check| {
            ["undeployed", "selects-nothing", "unverifiable", "not-counted", "not-settled", "missing"]
                .contains(&check.verdict)
        };
        self.all().filter(move |(_, check)| check.passed && warns(check))
    }

    fn all(&self) -> impl Iterator<Item = (Option<String>, &Check)> {
        let own = self.checks.iter().map(|check| (None, check));
        let of_workloads = self
            .workloads
            .iter()
            .flat_map(|workload| workload.checks.iter().map(|check| (Some(self.place(workload)), check)));
        own.chain(of_workloads)
    }

    /// A workload's name, with its namespace where there are several.
    pub(crate) fn place(&self, workload: &WorkloadReport) -> String {
        match self.namespaces.len() {
            0 | 1 => workload.shown(),
            _ => format!("{} {}", workload.namespace, workload.shown()),
        }
    }

    /// The cells of a workload's line in a table: name, components, pods, rollout, identity, health, time.
    pub(crate) fn cells(&self, workload: &WorkloadReport) -> [String; 7] {
        let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
        [
            self.place(workload),
            or_dash(workload.components.join(", ")),
            workload.pods.to_string(),
            workload.verdicts("rollout"),
            workload.verdicts("identity"),
            workload.verdicts("health"),
            workload.ready_seconds.map_or("-".to_owned(), |seconds| format!("{seconds} s")),
        ]
    }

    /// JSON, for machines.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("text keys and finite numbers") + "\n"
    }

    /// JUnit, in chainsaw's layout: a suite for each workload, a case for each check.
    pub(crate) fn to_junit(&self) -> String {
        let mut suites = String::new();
        let own = (self.namespaces.join(", "), &self.checks);
        let workloads = self.workloads.iter().map(|workload| (self.place(workload), &workload.checks));
        let (mut tests, mut failures) = (0, 0);
        for (name, checks) in std::iter::once(own).chain(workloads).filter(|(_, checks)| !checks.is_empty()) {
            let failed = checks.iter().filter(|check| !check.passed).count();
            (tests, failures) = (tests + checks.len(), failures + failed);
            let _ = writeln!(
                suites,
                "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{failed}\" errors=\"0\" skipped=\"0\">",
                escaped(&name),
                checks.len()
            );
            checks.iter().for_each(|check| suites.push_str(&junit_case(&name, check)));
            suites.push_str("  </testsuite>\n");
        }
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"smoke\" tests=\"{tests}\" \
             failures=\"{failures}\" errors=\"0\" time=\"{:.3}\">\n{suites}</testsuites>\n",
            self.seconds
        )
    }

    /// A table and the failures, for a CI system's summary page.
    pub(crate) fn to_markdown(&self) -> String {
        let outcome = if self.passed { "passed" } else { "failed" };
        let mut text = format!(
            "### Smoke {outcome}: namespace `{}`, {:.1} s\n\n| Workload | Components | Pods | Rollout | Identity | \
             Health | Ready after |\n| --- | --- | --- | --- | --- | --- | --- |\n",
            self.namespaces.join("`, `"),
            self.seconds
        );
        for workload in &self.workloads {
            let _ = writeln!(text, "| {} |", self.cells(workload).map(|cell| markdown(&cell)).join(" | "));
        }
        let mut failures = self.failures().peekable();
        if failures.peek().is_some() {
            text.push('\n');
        }
        for (workload, check) in failures {
            let place = workload.map(|name| format!("`{name}` ")).unwrap_or_default();
            let title = [check.name.as_str(), &check.subject].join(" ");
            let _ = writeln!(
                text,
                "- {place}{}: **{}**: {}",
                markdown(title.trim()),
                check.verdict,
                markdown(&check.message)
            );
        }
        text
    }
}

impl WorkloadReport {
    /// As kubectl writes it: `deployment/engine`.
    pub(crate) fn shown(&self) -> String {
        format!("{}/{}", self.kind.to_lowercase(), self.name)
    }

    /// `ok`, or the words for what is wrong, each once.
    fn verdicts(&self, name: &str) -> String {
        let mut words: Vec<_> = self.checks.iter().filter(|check| check.name == name).map(|c| c.verdict).collect();
        words.sort_unstable();
        words.dedup();
        if words.len() > 1 {
            words.retain(|word| *word != "ok" && *word != "foreign");
        }
        if words.is_empty() { "-".to_owned() } else { words.join(", ") }
    }
}

fn junit_case(suite: &str, check: &Check) -> String {
    let title = format!("{} {}", check.name, check.subject);
    let head = format!(
        "    <testcase name=\"{}\" classname=\"{}\" time=\"{:.3}\"",
        escaped(title.trim()),
        escaped(suite),
        check.seconds
    );
    if check.passed {
        return format!("{head}/>\n");
    }
    let text = check.details.join("\n");
    format!(
        "{head}>\n      <failure type=\"{}\" message=\"{}\">{}</failure>\n    </testcase>\n",
        check.verdict,
        escaped(&check.message),
        escaped(&text)
    )
}

/// Text as XML 1.0 may hold it, between tags and in attributes.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(c),
            // XML 1.0 has no way to write these.
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Text that a line of Markdown shows as it is.
fn markdown(text: &str) -> String {
    let one_line = super::events::one_line(text);
    let mut escaped = String::with_capacity(one_line.len());
    for c in one_line.chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '\\' | '|' | '*' | '_' | '`' | '[' | ']' => escaped.extend(['\\', c]),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
