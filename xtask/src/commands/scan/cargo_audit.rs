//! `cargo audit`: the lock file against the RustSec database.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Error, Result, ensure};
use camino::Utf8Path;
use serde::Deserialize;
use serde_json::Value;
use xshell::{Shell, cmd};

use super::finding::{Finding, severity_of_vector};
use super::{Looked, Users};
use crate::errors::hinted;
use crate::gather::cargo_config::cargo_home;
use crate::image::time::parse_rfc3339;
use crate::system::files::read_toml;
use crate::system::process;
use crate::workspace::scan::Severity;

/// What `scan` calls it.
pub(super) const NAME: &str = "cargo-audit";
/// Longer than fetching the database anew takes.
const LIMIT: Duration = Duration::from_secs(300);
/// The kinds of advisories that are no vulnerabilities.
const INFORMATIONAL: [&str; 3] = ["notice", "unmaintained", "unsound"];

/// What `cargo audit --json` prints, as far as it is read.
#[derive(Debug, Deserialize)]
struct Report {
    settings: Settings,
    database: Database,
    lockfile: Lockfile,
    vulnerabilities: Vulnerabilities,
    warnings: BTreeMap<String, Vec<Entry>>,
}

/// What it was configured to keep silent about; no version has all of them.
#[derive(Debug, Deserialize)]
struct Settings {
    #[serde(default)]
    ignore: Vec<String>,
    #[serde(default)]
    severity: Value,
    #[serde(default)]
    target_arch: Value,
    #[serde(default)]
    target_os: Value,
    informational_warnings: Option<Vec<String>>,
}

impl Settings {
    /// What it says nothing of, if anything.
    fn silenced(&self) -> Vec<String> {
        let is_set =
            |value: &&(&str, &Value)| !value.1.is_null() && value.1.as_array().is_none_or(|all| !all.is_empty());
        let filters = [("less than", &self.severity), ("all but", &self.target_arch), ("all but", &self.target_os)];
        let filters = filters.iter().filter(is_set).map(|(what, value)| format!("{what} {value}"));
        let told = self.informational_warnings.as_deref();
        let untold = INFORMATIONAL.iter().filter(|kind| told.is_some_and(|told| !told.iter().any(|one| one == *kind)));
        self.ignore.iter().cloned().chain(filters).chain(untold.map(|kind| format!("what is `{kind}`"))).collect()
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Database {
    advisory_count: usize,
    last_updated: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Lockfile {
    dependency_count: usize,
}

#[derive(Debug, Deserialize)]
struct Vulnerabilities {
    count: usize,
    list: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    advisory: Option<Advisory>,
    versions: Option<Versions>,
    package: Package,
}

#[derive(Debug, Deserialize)]
struct Advisory {
    id: String,
    title: String,
    #[serde(default)]
    aliases: BTreeSet<String>,
    cvss: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Versions {
    #[serde(default)]
    patched: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    version: String,
}

/// Runs it over the lock file in `root`, with `database` instead of the one it fetches.
///
/// # Errors
/// It cannot be run, crashes, or says what cannot be read: then nobody looked.
pub(super) fn run(root: &Utf8Path, database: Option<&Utf8Path>, packages: usize, users: &Users) -> Result<Looked> {
    check_yanked(root)?;
    let shell = process::shell_in(root)?;
    let cargo = process::cargo();
    let from: Vec<&str> = database.map(|path| vec!["--db", path.as_str(), "--no-fetch"]).unwrap_or_default();
    let command = cmd!(shell, "{cargo} audit --json --file Cargo.lock {from...}").env_remove("RUSTUP_TOOLCHAIN");
    let output = process::exchange(command, b"", LIMIT).context("cannot run `cargo audit`")?;
    // 1 is what it says of findings; what counts is that the report is whole.
    let looked = parse(&output.stdout, packages, users).with_context(|| {
        let last: Vec<&str> = output.stderr.lines().rev().take(8).collect();
        let said: String = last.into_iter().rev().map(|line| format!("\n  {line}")).collect();
        format!("`cargo audit` ended with {} and gave no report: nothing was looked at{said}", output.status)
    })?;
    let made = looked.database.or_else(|| database.and_then(|path| last_commit(&shell, path)));
    Ok(Looked { database: made, ..looked })
}

/// When a clone of the database was last committed to: of a folder that it did not fetch, `cargo audit` does not say.
fn last_commit(shell: &Shell, database: &Utf8Path) -> Option<i64> {
    // A hook's variables name its own repository, and a folder without one is part of what is around it.
    let git = |arguments: &[&str]| {
        let command = cmd!(shell, "git -C {database} {arguments...}");
        process::read(command.env_remove("GIT_DIR").env_remove("GIT_WORK_TREE")).ok()
    };
    let top = git(&["rev-parse", "--show-toplevel"])?;
    (Utf8Path::new(&top) == database.canonicalize_utf8().ok()?).then_some(())?;
    git(&["log", "-1", "--no-show-signature", "--format=%ct"])?.parse().ok()
}

/// Refuses an `audit.toml` that has it not ask which packages were withdrawn: the report does not say.
fn check_yanked(root: &Utf8Path) -> Result<()> {
    let places = [root.join(".cargo/audit.toml"), cargo_home()?.join("audit.toml")];
    let Some(path) = places.iter().find(|path| path.exists()) else { return Ok(()) };
    let is_off = read_toml(path)?.get("yanked").and_then(|yanked| yanked.get("enabled")?.as_bool()) == Some(false);
    if is_off { Err(configured("what was yanked").context(format!("`{path}` silences it"))) } else { Ok(()) }
}

fn configured(silenced: &str) -> Error {
    hinted(
        format!("`cargo audit` is configured to say nothing of {silenced}"),
        "what is meant goes from `audit.toml` to `exceptions` in `[workspace.metadata.docker.scan]`, with reason and end",
    )
}

fn parse(stdout: &[u8], packages: usize, users: &Users) -> Result<Looked> {
    let report: Report = serde_json::from_slice(stdout).context("its output is not the JSON that it prints")?;
    let Report { settings, database, lockfile, vulnerabilities, warnings } = report;
    ensure!(database.advisory_count > 0, "its database has no advisories");
    let counted = lockfile.dependency_count;
    ensure!(counted == packages, "it looked at {counted} packages, and `Cargo.lock` has {packages}");
    let listed = vulnerabilities.list.len();
    ensure!(vulnerabilities.count == listed, "it counts {} findings and lists {listed}", vulnerabilities.count);
    let silenced = settings.silenced();
    if !silenced.is_empty() {
        return Err(configured(&silenced.join(", ")));
    }
    let told =
        warnings.into_iter().flat_map(|(kind, entries)| entries.into_iter().map(move |entry| (kind.clone(), entry)));
    let informational = told.map(|(kind, entry)| finding(entry, Some(&kind), users));
    let found = vulnerabilities.list.into_iter().map(|entry| finding(entry, None, users));
    Ok(Looked {
        by: NAME,
        findings: found.chain(informational).collect(),
        database: database.last_updated.as_deref().and_then(moment),
    })
}

/// `kind` is what it is when it is no vulnerability: `unmaintained`, `yanked`.
fn finding(entry: Entry, kind: Option<&str>, users: &Users) -> Finding {
    let Entry { advisory, versions, package } = entry;
    let key = (package.name, package.version);
    let rated = advisory.as_ref().and_then(|advisory| severity_of_vector(advisory.cvss.as_deref()?));
    let severity = match kind {
        Some(_) => rated.unwrap_or(Severity::Info),
        None => rated.unwrap_or(Severity::Unknown),
    };
    let (id, title, aliases) = match advisory {
        Some(advisory) => (advisory.id, advisory.title, advisory.aliases),
        None => (kind.unwrap_or("unnamed").to_owned(), String::new(), BTreeSet::new()),
    };
    Finding {
        id,
        aliases,
        severity,
        title: match kind {
            Some(kind) if title.is_empty() => kind.to_owned(),
            Some(kind) => format!("{kind}: {title}"),
            None => title,
        },
        fixed_in: versions.map(|versions| versions.patched).unwrap_or_default(),
        components: users.get(&key).cloned().unwrap_or_default(),
        found_by: BTreeSet::from([NAME]),
        excepted: None,
        package: key.0,
        version: key.1,
    }
}

/// Reads a time with whatever offset: `2026-11-20T10:00:00+01:00`. The offset is at most a day, and databases age by days.
fn moment(text: &str) -> Option<i64> {
    let whole = text.get(..19)?;
    parse_rfc3339(&format!("{whole}Z"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn report() -> Value {
        json!({
            "settings": {"target_arch": [], "severity": null, "ignore": []},
            "database": {"advisory-count": 2, "last-commit": null, "last-updated": "2026-11-20T10:00:00+01:00"},
            "lockfile": {"dependency-count": 2},
            "vulnerabilities": {"found": true, "count": 1, "list": [{
                "advisory": {"id": "RUSTSEC-2020-0071", "package": "time", "title": "segfault", "aliases": ["CVE-2020-26235"],
                    "cvss": "CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:N/I:N/A:H"},
                "versions": {"patched": [">=0.2.23"], "unaffected": []},
                "package": {"name": "time", "version": "0.1.43"}}]},
            "warnings": {"yanked": [{"kind": "yanked", "package": {"name": "old", "version": "1.0.0"}, "advisory": null}]},
        })
    }

    fn read(report: &Value) -> Result<Looked> {
        let users = Users::from([(("time".to_owned(), "0.1.43".to_owned()), BTreeSet::from(["engine".to_owned()]))]);
        parse(report.to_string().as_bytes(), 2, &users)
    }

    #[test]
    fn a_report_becomes_findings() {
        let looked = read(&report()).unwrap();
        assert_eq!(looked.database, parse_rfc3339("2026-11-20T10:00:00Z"));
        let [time, old] = looked.findings.as_slice() else { panic!("{looked:?}") };
        assert_eq!((time.id.as_str(), time.severity), ("RUSTSEC-2020-0071", Severity::Medium));
        assert!(time.components.contains("engine") && time.fixed_in == [">=0.2.23"]);
        assert_eq!((old.id.as_str(), old.severity, old.title.as_str()), ("yanked", Severity::Info, "yanked"));
    }

    #[test]
    fn what_is_no_whole_report_is_never_nothing_found() {
        let error = |change: &dyn Fn(&mut Value)| {
            let mut report = report();
            change(&mut report);
            format!("{:#}", read(&report).unwrap_err())
        };
        assert!(error(&|report| *report = json!({})).contains("not the JSON that it prints"));
        assert!(
            error(&|report| report["vulnerabilities"]["list"] = json!([])).contains("counts 1 findings and lists 0")
        );
        assert!(error(&|report| report["lockfile"]["dependency-count"] = 1.into()).contains("looked at 1 packages"));
        assert!(error(&|report| report["database"]["advisory-count"] = 0.into()).contains("no advisories"));
    }

    #[test]
    fn a_silenced_report_is_refused_and_one_of_another_version_is_not() {
        let with = |key: &str, value: Value| {
            let mut report = report();
            report["settings"][key] = value;
            read(&report).map(drop).map_err(|error| error.to_string())
        };
        for (key, value, silenced) in [
            ("ignore", json!(["RUSTSEC-1"]), "RUSTSEC-1"),
            ("severity", json!("high"), "less than \"high\""),
            ("target_arch", json!(["arm"]), "all but [\"arm\"]"),
            ("target_os", json!("windows"), "all but \"windows\""),
            ("informational_warnings", json!(["unsound"]), "what is `notice`, what is `unmaintained`"),
        ] {
            assert_eq!(with(key, value), Err(format!("`cargo audit` is configured to say nothing of {silenced}")));
        }
        // Some write one filter, or none, instead of a list.
        assert_eq!(with("target_arch", Value::Null), Ok(()));
        assert_eq!(with("informational_warnings", json!(["unmaintained", "unsound", "notice"])), Ok(()));
    }
}
