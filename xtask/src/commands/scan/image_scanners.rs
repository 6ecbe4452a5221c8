//! Trivy and Grype: what is in an image, by its digest, against their databases.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::Value;
use xshell::{Cmd, Shell, cmd};

use super::Looked;
use super::finding::Finding;
use crate::image::platform::Platform;
use crate::image::reference::ImageReference;
use crate::image::time::parse_rfc3339;
use crate::system::{environment, process};
use crate::workspace::scan::Severity;

/// Longer than fetching image and database takes.
const LIMIT: Duration = Duration::from_secs(600);

/// What the variables begin with that say where databases and images are, and who may have them.
const KEPT: [&str; 8] = [
    "TRIVY_CACHE_DIR",
    "TRIVY_DB_REPOSITORY",
    "TRIVY_INSECURE",
    "TRIVY_JAVA_DB_REPOSITORY",
    "TRIVY_PASSWORD",
    "TRIVY_USERNAME",
    "GRYPE_DB_",
    "GRYPE_REGISTRY_",
];

/// A scanner of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ImageScanner {
    Trivy,
    Grype,
}

impl ImageScanner {
    /// What `scan` and the shell call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            ImageScanner::Trivy => "trivy",
            ImageScanner::Grype => "grype",
        }
    }

    /// Runs it over `component`'s image of a platform. It pulls with credentials of its own, those of docker's
    /// configuration, and sees no file or variable that would have it say less.
    ///
    /// # Errors
    /// It cannot be run, fails, or says what cannot be read: then nobody looked.
    pub(super) fn run(self, component: &str, image: &ImageReference, platform: &Platform) -> Result<Looked> {
        let name = self.name();
        let (reference, platform) = (image.to_string(), platform.to_string());
        let shell = Shell::new().context("cannot read the current folder")?;
        let folder = shell.create_temp_dir().context("cannot make a temporary folder")?;
        shell.change_dir(folder.path());
        shell.write_file("config.yaml", "{}\n")?;
        shell.write_file("ignored", "")?;
        let command = match self {
            ImageScanner::Trivy => {
                let silent = ["--quiet", "--config", "config.yaml", "--ignorefile", "ignored", "--platform", &platform];
                cmd!(shell, "{name} image {silent...} --format json --scanners vuln --image-src remote {reference}")
            }
            ImageScanner::Grype => {
                let silent = ["--quiet", "--config", "config.yaml", "--platform", &platform];
                cmd!(shell, "{name} {silent...} --output json registry:{reference}")
            }
        };
        let said = || format!("`{name}` gave no report of `{reference}`: nothing was looked at");
        let output =
            process::exchange(unsilenced(command), b"", LIMIT).with_context(|| format!("cannot run `{name}`"))?;
        if !output.status.success() {
            return Err(process::failure(name, output.status, &output.stderr)).with_context(said);
        }
        let looked = match self {
            ImageScanner::Trivy => trivy(&output.stdout, component),
            ImageScanner::Grype => grype(&output.stdout, component),
        };
        let mut looked = looked.with_context(said)?;
        if self == ImageScanner::Trivy {
            let version = process::read(unsilenced(cmd!(shell, "{name} version --format json"))).with_context(said)?;
            let version: Value = serde_json::from_str(&version).with_context(said)?;
            looked.database = version["VulnerabilityDB"]["UpdatedAt"].as_str().and_then(parse_rfc3339);
        }
        Ok(looked)
    }
}

/// Without the variables that configure a scanner, but for [`KEPT`].
fn unsilenced(command: Cmd<'_>) -> Cmd<'_> {
    environment::names().filter(|name| may_silence(name)).fold(command, |command, name| command.env_remove(name))
}

fn may_silence(name: &str) -> bool {
    let is_read = name.starts_with("TRIVY_") || name.starts_with("GRYPE_");
    is_read && !KEPT.iter().any(|kept| name.starts_with(kept))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TrivyReport {
    schema_version: u32,
    artifact_name: String,
    #[serde(default)]
    results: Vec<TrivyResult>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TrivyResult {
    #[serde(default)]
    vulnerabilities: Vec<TrivyFinding>,
}

#[derive(Deserialize)]
struct TrivyFinding {
    #[serde(rename = "VulnerabilityID")]
    id: String,
    #[serde(rename = "PkgName")]
    package: String,
    #[serde(rename = "InstalledVersion")]
    version: String,
    #[serde(rename = "FixedVersion", default)]
    fixed: String,
    #[serde(rename = "Severity", default)]
    severity: String,
    #[serde(rename = "Title", default)]
    title: String,
}

/// Reads Trivy's report (its JSON schema 2).
fn trivy(stdout: &[u8], component: &str) -> Result<Looked> {
    let report: TrivyReport = serde_json::from_slice(stdout).context("its output is not the JSON that it prints")?;
    ensure!(report.schema_version == 2, "its report has schema {}, and 2 is known", report.schema_version);
    ensure!(!report.artifact_name.is_empty(), "its report names no image");
    let found = report.results.into_iter().flat_map(|result| result.vulnerabilities).map(|one| Finding {
        id: one.id,
        aliases: BTreeSet::new(),
        severity: rated(&one.severity),
        package: one.package,
        version: one.version,
        fixed_in: one.fixed.split(", ").filter(|fixed| !fixed.is_empty()).map(ToOwned::to_owned).collect(),
        title: one.title,
        components: BTreeSet::from([component.to_owned()]),
        found_by: BTreeSet::from([ImageScanner::Trivy.name()]),
        excepted: None,
    });
    Ok(Looked { by: ImageScanner::Trivy.name(), findings: found.collect(), database: None })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GrypeReport {
    matches: Vec<GrypeMatch>,
    /// What rules set aside, be they its own: who agrees says so in an exception.
    #[serde(default)]
    ignored_matches: Vec<GrypeMatch>,
    descriptor: GrypeDescriptor,
}

#[derive(Deserialize)]
struct GrypeDescriptor {
    db: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GrypeMatch {
    vulnerability: GrypeVulnerability,
    #[serde(default)]
    related_vulnerabilities: Vec<GrypeName>,
    artifact: GrypeArtifact,
}

#[derive(Deserialize)]
struct GrypeName {
    id: String,
}

#[derive(Deserialize)]
struct GrypeVulnerability {
    id: String,
    #[serde(default)]
    severity: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    fix: GrypeFix,
}

#[derive(Default, Deserialize)]
struct GrypeFix {
    #[serde(default)]
    versions: Vec<String>,
}

#[derive(Deserialize)]
struct GrypeArtifact {
    name: String,
    version: String,
}

/// Reads Grype's report. Its database's date has been at two places.
fn grype(stdout: &[u8], component: &str) -> Result<Looked> {
    let report: GrypeReport = serde_json::from_slice(stdout).context("its output is not the JSON that it prints")?;
    let db = report.descriptor.db;
    let built = db["status"]["built"].as_str().or_else(|| db["built"].as_str());
    let found = report.matches.into_iter().chain(report.ignored_matches).map(|one| Finding {
        aliases: one
            .related_vulnerabilities
            .into_iter()
            .map(|name| name.id)
            .filter(|id| *id != one.vulnerability.id)
            .collect(),
        severity: rated(&one.vulnerability.severity),
        package: one.artifact.name,
        version: one.artifact.version,
        fixed_in: one.vulnerability.fix.versions,
        title: one.vulnerability.description.lines().next().unwrap_or_default().to_owned(),
        components: BTreeSet::from([component.to_owned()]),
        found_by: BTreeSet::from([ImageScanner::Grype.name()]),
        excepted: None,
        id: one.vulnerability.id,
    });
    Ok(Looked { by: ImageScanner::Grype.name(), findings: found.collect(), database: built.and_then(parse_rfc3339) })
}

fn rated(severity: &str) -> Severity {
    match severity.to_ascii_lowercase().as_str() {
        "negligible" => Severity::Low,
        other => other.parse().unwrap_or(Severity::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reports_of_both_become_findings() {
        let report = json!({"SchemaVersion": 2, "ArtifactName": "r.io/engine@sha256:1", "Results": [
            {"Target": "usr/local/bin/engine", "Class": "lang-pkgs", "Type": "rustbinary"},
            {"Target": "debian", "Class": "os-pkgs", "Vulnerabilities": [{"VulnerabilityID": "CVE-1", "PkgName": "libssl3",
                "InstalledVersion": "3.0", "FixedVersion": "3.1, 3.2", "Severity": "CRITICAL", "Title": "t"}]}]});
        let found = trivy(report.to_string().as_bytes(), "engine").unwrap().findings;
        assert_eq!((found[0].severity, found[0].fixed_in.len()), (Severity::Critical, 2));

        let report = json!({"matches": [{"vulnerability": {"id": "GHSA-1", "severity": "Negligible", "description": "a\nb",
            "fix": {"versions": ["0.2.23"], "state": "fixed"}}, "relatedVulnerabilities": [{"id": "CVE-1"}],
            "artifact": {"name": "time", "version": "0.1.43"}}],
            "ignoredMatches": [{"vulnerability": {"id": "CVE-2", "severity": "High"}, "appliedIgnoreRules": [{"fix-state": "unknown"}],
            "artifact": {"name": "chrono", "version": "0.4.0"}}],
            "descriptor": {"name": "grype", "db": {"status": {"built": "2026-11-20T10:00:00Z"}}}});
        let looked = grype(report.to_string().as_bytes(), "engine").unwrap();
        assert_eq!((looked.findings[0].severity, looked.findings[0].title.as_str()), (Severity::Low, "a"));
        assert!(looked.findings[0].aliases.contains("CVE-1") && looked.database.is_some());
        assert_eq!((looked.findings[1].id.as_str(), looked.findings[1].severity), ("CVE-2", Severity::High));
    }

    #[test]
    fn what_is_no_report_is_an_error() {
        for nonsense in ["", "{}", "[]", "null", r#"{"SchemaVersion": 3, "ArtifactName": "a"}"#] {
            assert!(trivy(nonsense.as_bytes(), "a").is_err() && grype(nonsense.as_bytes(), "a").is_err(), "{nonsense}");
        }
    }
}
