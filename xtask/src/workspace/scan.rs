//! Settings of `scan`: what fails it, and what is excepted until when.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::image::time::parse_rfc3339;

/// How bad a vulnerability is, by the bands of CVSS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// No vulnerability: a package that nobody maintains, or that was withdrawn.
    Info,
    Low,
    Medium,
    /// Nobody rated it. Until somebody has, it is as bad as a high one.
    Unknown,
    High,
    Critical,
}

const SEVERITIES: [(&str, Severity); 6] = [
    ("info", Severity::Info),
    ("low", Severity::Low),
    ("medium", Severity::Medium),
    ("unknown", Severity::Unknown),
    ("high", Severity::High),
    ("critical", Severity::Critical),
];

impl Severity {
    /// Whether it is as bad as `threshold`.
    pub(crate) fn reaches(self, threshold: Severity) -> bool {
        let rated = if self == Severity::Unknown { Severity::High } else { self };
        rated >= threshold
    }

    pub(crate) fn name(self) -> &'static str {
        SEVERITIES.iter().find(|(_, severity)| *severity == self).expect("all are listed").0
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Severity {
    type Err = String;

    /// Reads a name in whatever case; scanners shout.
    fn from_str(text: &str) -> Result<Self, String> {
        let found = SEVERITIES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
        found.map(|(_, severity)| *severity).ok_or_else(|| {
            let names: Vec<_> = SEVERITIES.iter().map(|(name, _)| *name).collect();
            format!("`{text}` is no severity; write one of {}", names.join(", "))
        })
    }
}

/// What `scan` does without being told, `[workspace.metadata.docker.scan]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct ScanSettings {
    /// The least severity that fails.
    pub(crate) fail_on: Severity,
    /// Days that an advisory database may be old.
    pub(crate) max_database_age: u32,
    /// Findings that do not fail.
    pub(crate) exceptions: Vec<Exception>,
}

impl Default for ScanSettings {
    fn default() -> Self {
        ScanSettings { fail_on: Severity::High, max_database_age: 7, exceptions: Vec::new() }
    }
}

/// A finding that somebody looked at, and for how long that holds.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Exception {
    /// The advisory: `RUSTSEC-2023-0071`, `CVE-2024-1234`, an alias of it.
    pub(crate) id: String,
    /// Only in this package.
    pub(crate) package: Option<String>,
    /// Why it is excepted, for those who come later.
    pub(crate) reason: Text,
    /// The last day on which it is, `2027-03-31`.
    pub(crate) until: Day,
    /// Whether the images have the weakness; `false` says that the reason is why they have not.
    #[serde(default = "yes")]
    pub(crate) affected: bool,
}

fn yes() -> bool {
    true
}

/// Text that says something.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Text(pub(crate) String);

impl TryFrom<String> for Text {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.trim().is_empty() { Err("it is empty; say why") } else { Ok(Text(text)) }
    }
}

/// A day, `2027-03-31`, in UTC.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Day {
    pub(crate) text: String,
    /// Its last second, in unix seconds.
    pub(crate) end: i64,
}

impl TryFrom<String> for Day {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let end = parse_rfc3339(&format!("{text}T23:59:59Z"));
        let end = end.ok_or_else(|| format!("`{text}` is no day; write for example `2027-03-31`"))?;
        Ok(Day { text, end })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_nobody_rated_counts_as_high() {
        assert!(Severity::Unknown.reaches(Severity::High) && !Severity::Unknown.reaches(Severity::Critical));
        assert!(Severity::Critical.reaches(Severity::High) && !Severity::Medium.reaches(Severity::High));
        assert_eq!("HIGH".parse(), Ok(Severity::High));
        assert!("worse".parse::<Severity>().unwrap_err().contains("info, low"));
    }

    #[test]
    fn exceptions_have_a_reason_and_an_end() {
        let read = |value| serde_json::from_value::<Exception>(value).map_err(|error| error.to_string());
        let whole = json!({"id": "CVE-1", "reason": "not called", "until": "2027-03-31"});
        assert_eq!(read(whole).unwrap().until.end, 1_806_537_599);
        for (wrong, message) in [
            (json!({"id": "CVE-1", "reason": " ", "until": "2027-03-31"}), "say why"),
            (json!({"id": "CVE-1", "reason": "x", "until": "soon"}), "`soon` is no day"),
            (json!({"id": "CVE-1", "reason": "x"}), "missing field `until`"),
            (json!({"id": "CVE-1", "reason": "x", "until": "2027-03-31", "untill": "x"}), "unknown field"),
        ] {
            let error = read(wrong).unwrap_err();
            assert!(error.contains(message), "{error}");
        }
    }
}
