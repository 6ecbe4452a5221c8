//! Proof of what ran: smoke's result, attached to the release.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use serde_json::{Value, json};

use super::destination::Destination;
use crate::cluster::lease;
use crate::commands::sign::Signer;
use crate::image::statement::{STATEMENT_TYPE, Statement, TEST_RESULT};
use crate::kubernetes::smoke::report::Report;
use crate::registry::{Attachment, StoredRelease};
use crate::system::progress::Progress;

/// Attaches what smoke found, in place of an earlier result of this environment, and signs it.
///
/// # Errors
/// The registry refuses; it cannot be signed.
pub(super) fn attach(
    target: &Destination,
    found: &StoredRelease,
    report: &Report,
    signer: Option<&Signer>,
    progress: &Progress,
) -> Result<()> {
    let name = &target.environment.name;
    let statement = Statement::new(&found.digest, TEST_RESULT, predicate(name, found, report, &lease::now()));
    let repository = target.releases()?.repository;
    let proof = Attachment::new(&format!("proof-{name}"), STATEMENT_TYPE, statement.to_bytes());
    let named = (proof.name().to_owned(), statement);
    target.client.attach(&repository, &found.digest, vec![proof])?;
    progress.say(&format!("{name}: result attached to {}", found.digest));
    let sign = |signer: &Signer| signer.sign_statement(&target.client, &repository, &found.digest, named, progress);
    signer.map_or(Ok(()), sign)
}

/// The result (in-toto attestation, `test-result` v0.1), and what was tested, where and when.
fn predicate(environment: &str, found: &StoredRelease, report: &Report, finished: &str) -> Value {
    let configuration: Vec<Value> = found
        .release
        .components
        .iter()
        .map(|(name, component)| json!({ "name": name, "digest": { "sha256": component.image.digest.hex() } }))
        .collect();
    // What nobody looked at is not proven: a component that no workload runs, or one whose workloads are left out.
    let looked: BTreeSet<&String> = report.workloads.iter().flat_map(|workload| &workload.components).collect();
    let components: BTreeMap<&String, Value> = found
        .release
        .components
        .iter()
        .filter(|(name, _)| looked.contains(name))
        .map(|(name, component)| {
            let platforms = component.image.platforms.iter();
            let platforms: BTreeMap<String, &str> =
                platforms.map(|(platform, image)| (platform.to_string(), image.digest.as_str())).collect();
            (name, json!({ "digest": component.image.digest, "platforms": platforms }))
        })
        .collect();
    let workload = |of: &crate::kubernetes::smoke::report::WorkloadReport| {
        format!("{}/{}/{}", of.namespace, of.kind.to_lowercase(), of.name)
    };
    json!({
        "result": if report.passed { "PASSED" } else { "FAILED" },
        "configuration": configuration,
        "passedTests": report.workloads.iter().map(workload).collect::<Vec<_>>(),
        "environment": environment,
        "cluster": report.context,
        "namespaces": report.namespaces,
        "finished": finished,
        "seconds": report.seconds,
        "components": components,
        "workloads": report.workloads,
    })
}
