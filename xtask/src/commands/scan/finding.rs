//! What scanners found, in one form, and what that means. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::workspace::scan::{Exception, ScanSettings, Severity};

/// One weakness of one package, whoever found it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Finding {
    pub(super) id: String,
    /// Other names of it, sorted.
    pub(super) aliases: BTreeSet<String>,
    pub(super) severity: Severity,
    pub(super) package: String,
    pub(super) version: String,
    /// Versions that do not have it, as the scanner writes them.
    pub(super) fixed_in: Vec<String>,
    pub(super) title: String,
    /// Components whose images have the package; none for one that only tests and tools use.
    pub(super) components: BTreeSet<String>,
    /// The scanners that found it.
    pub(super) found_by: BTreeSet<&'static str>,
    /// Why it does not fail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) excepted: Option<String>,
}

impl Finding {
    fn is_named(&self, id: &str) -> bool {
        let mut names = std::iter::once(&self.id).chain(&self.aliases);
        names.any(|name| name.eq_ignore_ascii_case(id))
    }

    /// Whether two scanners speak of the same.
    fn is_same(&self, other: &Finding) -> bool {
        (&self.package, &self.version) == (&other.package, &other.version)
            && (self.is_named(&other.id) || other.aliases.iter().any(|alias| self.is_named(alias)))
    }

    /// Takes over what another scanner says of it; the worse rating counts.
    fn join(&mut self, other: Finding) {
        self.severity = match (self.severity, other.severity) {
            (Severity::Unknown, rated) | (rated, Severity::Unknown) => rated,
            (one, other) => one.max(other),
        };
        if self.id != other.id {
            self.aliases.insert(other.id);
        }
        self.aliases.extend(other.aliases);
        self.aliases.remove(&self.id);
        self.components.extend(other.components);
        self.found_by.extend(other.found_by);
        if self.fixed_in.is_empty() {
            self.fixed_in = other.fixed_in;
        }
    }

    pub(super) fn exception_in<'a>(&self, exceptions: &'a [Exception]) -> Option<&'a Exception> {
        let is_of = |exception: &&Exception| {
            self.is_named(&exception.id) && exception.package.as_ref().is_none_or(|package| *package == self.package)
        };
        exceptions.iter().find(is_of)
    }
}

/// Findings of several scanners as one list, the worst first, each once.
pub(super) fn joined(findings: impl IntoIterator<Item = Finding>) -> Vec<Finding> {
    let mut all: Vec<Finding> = Vec::new();
    for finding in findings {
        match all.iter_mut().find(|known| known.is_same(&finding)) {
            Some(known) => known.join(finding),
            None => all.push(finding),
        }
    }
    all.sort_by(|a, b| (b.severity, &a.package, &a.version, &a.id).cmp(&(a.severity, &b.package, &b.version, &b.id)));
    all
}

/// What the findings mean by the settings.
#[derive(Debug, Default)]
pub(super) struct Judged {
    pub(super) findings: Vec<Finding>,
    /// How many fail.
    pub(super) failing: usize,
    /// What to say of exceptions that do nothing.
    pub(super) notes: Vec<String>,
}

/// Judges findings at a moment, in unix seconds.
pub(super) fn judge(mut findings: Vec<Finding>, settings: &ScanSettings, threshold: Severity, now: i64) -> Judged {
    let mut notes = Vec::new();
    let mut used = BTreeSet::new();
    for finding in &mut findings {
        let Some(exception) = finding.exception_in(&settings.exceptions) else { continue };
        used.insert(&exception.id);
        match exception.until.end < now {
            true => notes.push(format!("the exception of {} ended on {}", exception.id, exception.until.text)),
            false => finding.excepted = Some(format!("until {}: {}", exception.until.text, exception.reason.0)),
        }
    }
    let idle = settings.exceptions.iter().filter(|exception| !used.contains(&exception.id));
    notes.extend(idle.map(|exception| format!("nothing is found any more that {} excepts", exception.id)));
    notes.dedup();
    let fails = |finding: &&Finding| finding.excepted.is_none() && finding.severity.reaches(threshold);
    let failing = findings.iter().filter(fails).count();
    Judged { findings, failing, notes }
}

/// The severity of a CVSS 3 vector by its base score (CVSS 3.1 specification, section 7.1); nothing for other vectors.
pub(super) fn severity_of_vector(vector: &str) -> Option<Severity> {
    let metrics = vector.strip_prefix("CVSS:3.1/").or_else(|| vector.strip_prefix("CVSS:3.0/"))?;
    let metrics: BTreeMap<&str, &str> = metrics.split('/').filter_map(|metric| metric.split_once(':')).collect();
    let value = |metric: &str, values: &[(&str, f64)]| {
        let wanted = *metrics.get(metric)?;
        values.iter().find(|(name, _)| *name == wanted).map(|(_, number)| *number)
    };
    let is_changed = match *metrics.get("S")? {
        "C" => true,
        "U" => false,
        _ => return None,
    };
    let loss = [("H", 0.56), ("L", 0.22), ("N", 0.0)];
    let kept = (1.0 - value("C", &loss)?) * (1.0 - value("I", &loss)?) * (1.0 - value("A", &loss)?);
    let lost = 1.0 - kept;
    let privileges =
        if is_changed { [("N", 0.85), ("L", 0.68), ("H", 0.5)] } else { [("N", 0.85), ("L", 0.62), ("H", 0.27)] };
    let ease = 8.22
        * value("AV", &[("N", 0.85), ("A", 0.62), ("L", 0.55), ("P", 0.2)])?
        * value("AC", &[("L", 0.77), ("H", 0.44)])?
        * value("PR", &privileges)?
        * value("UI", &[("N", 0.85), ("R", 0.62)])?;
    let (impact, factor) = match is_changed {
        true => (7.52 * (lost - 0.029) - 3.25 * (lost - 0.02).powi(15), 1.08),
        false => (6.42 * lost, 1.0),
    };
    // Rounded up to a tenth, as appendix A does it.
    let score = (factor * (impact + ease)).min(10.0);
    Some(match ((score * 100_000.0).round() / 10_000.0).ceil() / 10.0 {
        _ if impact <= 0.0 => Severity::Info,
        score if score >= 9.0 => Severity::Critical,
        score if score >= 7.0 => Severity::High,
        score if score >= 4.0 => Severity::Medium,
        _ => Severity::Low,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::json;

    pub(in super::super) fn finding(id: &str, package: &str, severity: Severity) -> Finding {
        Finding {
            id: id.to_owned(),
            aliases: BTreeSet::new(),
            severity,
            package: package.to_owned(),
            version: "0.1.0".to_owned(),
            fixed_in: vec![">=0.2".to_owned()],
            title: "it breaks".to_owned(),
            components: BTreeSet::from(["engine".to_owned()]),
            found_by: BTreeSet::from(["cargo-audit"]),
            excepted: None,
        }
    }

    pub(in super::super) fn settings(exceptions: serde_json::Value) -> ScanSettings {
        serde_json::from_value(json!({ "exceptions": exceptions })).unwrap()
    }

    #[test]
    fn vectors_have_the_bands_of_the_calculator() {
        for (vector, severity) in [
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", Some(Severity::Critical)), // 9.8
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H", Some(Severity::High)),     // 7.5
            ("CVSS:3.1/AV:N/AC:H/PR:N/UI:N/S:U/C:H/I:N/A:N", Some(Severity::Medium)),   // 5.9
            ("CVSS:3.0/AV:L/AC:H/PR:L/UI:N/S:U/C:L/I:N/A:N", Some(Severity::Low)),      // 2.5
            ("CVSS:3.1/AV:N/AC:L/PR:L/UI:R/S:C/C:L/I:L/A:N", Some(Severity::Medium)),   // 5.4
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", Some(Severity::Critical)), // 10
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N", Some(Severity::Info)),     // 0
            ("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N", None),
            ("CVSS:3.1/AV:N", None),
            ("", None),
        ] {
            assert_eq!(severity_of_vector(vector), severity, "{vector}");
        }
    }

    #[test]
    fn two_scanners_names_of_one_weakness_are_joined_and_the_worse_rating_counts() {
        let audit = finding("RUSTSEC-1", "time", Severity::Unknown);
        let audit = Finding { aliases: BTreeSet::from(["CVE-1".to_owned()]), ..audit };
        let mut trivy = finding("CVE-1", "time", Severity::Medium);
        trivy.found_by = BTreeSet::from(["trivy"]);
        trivy.components = BTreeSet::from(["runtime".to_owned()]);
        let other = finding("CVE-1", "chrono", Severity::Critical);
        let all = joined([audit, trivy, other]);
        assert_eq!(all.len(), 2);
        assert_eq!((all[0].package.as_str(), all[1].id.as_str()), ("chrono", "RUSTSEC-1"));
        assert_eq!((all[1].severity, all[1].found_by.len(), all[1].components.len()), (Severity::Medium, 2, 2));
    }

    #[test]
    fn exceptions_end_and_are_told_when_they_do_nothing() {
        let settings = settings(json!([
            {"id": "cve-1", "reason": "not called", "until": "2027-03-31"},
            {"id": "CVE-2", "package": "other", "reason": "x", "until": "2027-03-31"},
        ]));
        let found = vec![finding("CVE-1", "time", Severity::High), finding("CVE-2", "time", Severity::High)];
        let judged = judge(found.clone(), &settings, Severity::High, settings.exceptions[0].until.end);
        assert_eq!(judged.failing, 1);
        assert_eq!(judged.findings[0].excepted.as_deref(), Some("until 2027-03-31: not called"));
        assert_eq!(judged.notes, ["nothing is found any more that CVE-2 excepts"]);
        let later = judge(found, &settings, Severity::High, settings.exceptions[0].until.end + 1);
        assert_eq!(later.failing, 2);
        assert_eq!(later.notes[0], "the exception of cve-1 ended on 2027-03-31");
    }
}
