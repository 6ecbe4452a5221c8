//! Findings as SARIF 2.1.0 (OASIS), which CI systems show beside the code.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::finding::{Finding, Judged};
use crate::workspace::scan::Severity;

/// The log of one run, findings placed at the lock file.
pub(super) fn sarif(judged: &Judged) -> Value {
    let rules: BTreeMap<&str, Value> =
        judged.findings.iter().map(|finding| (finding.id.as_str(), rule(finding))).collect();
    let results: Vec<Value> = judged.findings.iter().map(result).collect();
    let rules: Vec<Value> = rules.into_values().collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "cargo xtask scan", "version": env!("CARGO_PKG_VERSION"), "rules": rules}},
            "results": results,
        }],
    })
}

fn rule(finding: &Finding) -> Value {
    let title = if finding.title.is_empty() { &finding.id } else { &finding.title };
    json!({
        "id": finding.id,
        "shortDescription": {"text": title},
        // What GitHub sorts by.
        "properties": {"security-severity": score(finding.severity), "tags": ["security"]},
    })
}

fn result(finding: &Finding) -> Value {
    let Finding { package, version, components, fixed_in, .. } = finding;
    let users: Vec<&str> = components.iter().map(String::as_str).collect();
    let users = if users.is_empty() { "no image".to_owned() } else { users.join(", ") };
    let fixed = if fixed_in.is_empty() { "nowhere yet".to_owned() } else { fixed_in.join(", ") };
    let level = match finding.severity {
        Severity::Critical | Severity::High | Severity::Unknown => "error",
        Severity::Medium => "warning",
        Severity::Low | Severity::Info => "note",
    };
    let mut result = json!({
        "ruleId": finding.id,
        "level": level,
        "message": {"text": format!("{package} {version} ({users}); fixed in {fixed}")},
        "locations": [{"physicalLocation": {"artifactLocation": {"uri": "Cargo.lock"}, "region": {"startLine": 1}}}],
        "partialFingerprints": {"finding/v1": format!("{}:{package}:{version}", finding.id)},
    });
    if let Some(reason) = &finding.excepted {
        result["suppressions"] = json!([{"kind": "external", "justification": reason}]);
    }
    result
}

fn score(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "9.5",
        Severity::High | Severity::Unknown => "8.0",
        Severity::Medium => "5.5",
        Severity::Low => "2.0",
        Severity::Info => "0.0",
    }
}
