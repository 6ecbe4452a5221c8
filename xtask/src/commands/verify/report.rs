//! What `verify` found, as people and machines read it.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::{Value, json};

use super::check::{Found, Verdict};
use crate::commands::table;
use crate::image::record::DigestRecord;
use crate::image::statement::Kind;
use crate::registry::StoredRelease;

/// The columns, and what they show.
const KINDS: [(&str, Kind); 4] = [
    ("SIGNATURE", Kind::Signature),
    ("SBOM", Kind::Sbom),
    ("PROVENANCE", Kind::Provenance),
    ("REBUILT", Kind::Rebuilt),
];

/// The name of an image; the release has none.
pub(super) fn shown(name: &str) -> &str {
    if name.is_empty() { "the release" } else { name }
}

/// A row for each image, and one for the release.
pub(super) fn table(release: &StoredRelease, looked: &BTreeMap<String, Found>) -> String {
    let row = |(name, found): (&String, &Found)| {
        let is_release = name.is_empty();
        let cell = |(_, kind): (&str, Kind)| match is_release && kind != Kind::Signature {
            true => "-".to_owned(),
            false => found.verdict(kind).word().to_owned(),
        };
        let proofs = if is_release { proofs(found).join(", ") } else { "-".to_owned() };
        let proofs = if proofs.is_empty() { "missing".to_owned() } else { proofs };
        let name = if is_release { format!("release {}", release.release.short_commit()) } else { name.clone() };
        [name].into_iter().chain(KINDS.map(cell)).chain([proofs]).collect::<Vec<_>>()
    };
    let (release, images): (Vec<_>, Vec<_>) = looked.iter().partition(|(name, _)| name.is_empty());
    let rows: Vec<_> = images.into_iter().chain(release).map(row).collect();
    table::table(&["COMPONENT", "SIGNATURE", "SBOM", "PROVENANCE", "REBUILT", "PROOF"], &rows)
}

/// Environments that a test result is of, and what is known of it.
fn proofs(found: &Found) -> Vec<String> {
    let proof = |(statement, verdict): &(crate::image::statement::Statement, Verdict)| {
        let environment = statement.predicate["environment"].as_str().unwrap_or("?");
        let result = statement.predicate["result"].as_str().unwrap_or("?").to_lowercase();
        let environment: String = environment.chars().filter(|c| !c.is_control()).collect();
        format!("{environment} {} ({})", result.chars().filter(|c| !c.is_control()).collect::<String>(), verdict.word())
    };
    found.results.iter().map(proof).collect()
}

/// Why signatures do not hold, a line each.
pub(super) fn invalid(name: &str, found: &Found) -> Vec<String> {
    let line = |(kind, verdict): (&Kind, &Verdict)| match verdict {
        Verdict::Invalid(why) => Some(format!("{}: {} is not valid: {why}", shown(name), word(*kind))),
        _ => None,
    };
    found.verdicts.iter().filter_map(line).collect()
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Signature => "signature",
        Kind::Sbom => "sbom",
        Kind::Provenance => "provenance",
        Kind::TestResult => "proof",
        Kind::Rebuilt => "rebuilt",
    }
}

/// For machines.
pub(super) fn json(
    release: &StoredRelease,
    record: &DigestRecord,
    looked: &BTreeMap<String, Found>,
    lacking: &[String],
) -> Result<String> {
    let entry = |found: &Found| -> BTreeMap<&str, Value> {
        let verdict = |(_, kind): (&str, Kind)| {
            let why = if let Verdict::Invalid(why) = found.verdict(kind) { Some(why) } else { None };
            (word(kind), json!({ "verdict": found.verdict(kind).word(), "why": why }))
        };
        KINDS.map(verdict).into_iter().collect()
    };
    let components: BTreeMap<&String, Value> = record
        .images
        .iter()
        .map(|(name, image)| (name, json!({ "image": image.image.to_string(), "checks": entry(&looked[name]) })))
        .collect();
    let proofs: Vec<Value> = looked[""]
        .results
        .iter()
        .map(|(statement, verdict)| json!({ "verdict": verdict.word(), "predicate": statement.predicate }))
        .collect();
    let document = json!({
        "release": release.digest,
        "signature": looked[""].verdict(Kind::Signature).word(),
        "components": components,
        "proofs": proofs,
        "lacking": lacking,
        "passed": lacking.is_empty(),
    });
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}

/// Whether a test result says that an environment ran each of these images, by digest, and passed: but for those that
/// no workload is meant to run.
pub(super) fn proves(predicate: &Value, environment: &str, record: &DigestRecord, undeployed: &[String]) -> bool {
    let mut images = record.images.iter().filter(|(name, _)| !undeployed.contains(name)).peekable();
    predicate["result"] == "PASSED"
        && predicate["environment"] == environment
        && images.peek().is_some()
        && images.all(|(name, image)| predicate["components"][name]["digest"] == image.digest.as_str())
}
