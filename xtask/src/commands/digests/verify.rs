//! `digests verify`: the record against the registry.

use anyhow::Result;
use camino::Utf8Path;
use serde::Serialize;
use serde_json::{Value, json};

use super::{of_release, record_path};
use crate::cli::VerifyArgs;
use crate::commands::environments::own_client;
use crate::commands::table::table;
use crate::commands::{Outcome, print};
use crate::gather::record;
use crate::http::ApiError;
use crate::image::record::{DigestRecord, RecordedImage};
use crate::image::verdict::{Verdict, difference};
use crate::registry::{Client, WrongContent};
use crate::system::parallel;

/// One line of the table.
#[derive(Debug, Serialize)]
struct Finding {
    component: String,
    verdict: Verdict,
    /// `repository@digest`; nothing when the entry cannot be read.
    image: Option<String>,
    reason: Option<String>,
    mend: Option<&'static str>,
}

/// Prints a verdict per component; exit code 1 when one is not ok.
pub(crate) fn run(manifest: Option<&Utf8Path>, arguments: &VerifyArgs) -> Result<Outcome> {
    let path = record_path(manifest, arguments.digests.as_deref())?;
    // Entry by entry: one that is wrong does not hide what the others are.
    let entries = match record::read_entries(&path)? {
        Some(entries) => entries,
        None => {
            let record = of_release(manifest, &path, arguments.digests.as_deref(), &arguments.registry)?;
            DigestRecord::entries(&record.to_text())?
        }
    };
    let client = own_client(&arguments.registry.insecure_registry);
    let findings =
        parallel::map(entries.into_iter().collect(), parallel::REQUESTS, |(name, entry)| finding(&client, name, entry));
    if arguments.json {
        print(&(serde_json::to_string_pretty(&findings)? + "\n"))?;
    } else {
        let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let rows: Vec<_> = findings
            .iter()
            .map(|finding| {
                let verdict = finding.verdict.name().to_owned();
                let reason = finding.reason.clone().unwrap_or_default().replace('\n', "; ");
                let mend = finding.mend.unwrap_or_default().to_owned();
                vec![finding.component.clone(), verdict, text(&finding.image), reason, mend]
            })
            .collect();
        print(&table(&["COMPONENT", "VERDICT", "IMAGE", "REASON", "TO MEND"], &rows))?;
    }
    let all_ok = findings.iter().all(|finding| finding.verdict == Verdict::Ok);
    Ok(if all_ok { Outcome::Done } else { Outcome::Failed })
}

fn finding(client: &Client, name: String, entry: Value) -> Finding {
    let parsed = DigestRecord::parse(&json!({ &name: entry }).to_string());
    let component: String = name.escape_debug().collect();
    let (image, (verdict, reason)) = match parsed.map(|mut record| record.images.remove(&name)) {
        Ok(Some(recorded)) => (Some(recorded.image.to_string()), check(client, &recorded)),
        Ok(None) => (None, (Verdict::Tampered, "the entry cannot be read".to_owned())),
        Err(error) => (None, (Verdict::Tampered, format!("{error:#}"))),
    };
    let reason = (verdict != Verdict::Ok).then_some(reason);
    Finding { component, verdict, image, reason, mend: verdict.mend() }
}

/// The verdict, and why it is not ok.
fn check(client: &Client, recorded: &RecordedImage) -> (Verdict, String) {
    let found = match client.inspect(&recorded.image) {
        Ok(found) => found,
        Err(error) => return unreadable(client, recorded, &error),
    };
    if let Some(difference) = difference(recorded, &found.recorded()) {
        return (Verdict::Tampered, difference);
    }
    if let Err(error) = client.check_complete(&recorded.image, &found) {
        return failure(&error);
    }
    let tag = &recorded.git_sha_tag;
    match client.head_manifest(tag) {
        Ok(Some(tagged)) if tagged.digest == recorded.digest => (Verdict::Ok, String::new()),
        Ok(Some(tagged)) => (Verdict::TagMoved, format!("`{tag}` is `{}` now", tagged.digest)),
        Ok(None) => (Verdict::TagMissing, format!("`{tag}` does not exist")),
        Err(error) => failure(&error),
    }
}

/// A digest that the registry lacks was deleted, or was never there: then the commit's tag still leads
/// to the very platforms that the record names.
fn unreadable(client: &Client, recorded: &RecordedImage, error: &anyhow::Error) -> (Verdict, String) {
    let (verdict, reason) = failure(error);
    if verdict == Verdict::Missing
        && !recorded.platforms.is_empty()
        && let Ok(tagged) = client.inspect(&recorded.git_sha_tag)
        && *tagged.digest() != recorded.digest
        && difference(recorded, &tagged.recorded()).is_none()
    {
        let reason =
            format!("the image of its tag and platforms is `{}`, and no image has its digest", tagged.digest());
        return (Verdict::Tampered, reason);
    }
    (verdict, reason)
}

fn failure(error: &anyhow::Error) -> (Verdict, String) {
    let verdict = match error.downcast_ref::<ApiError>() {
        Some(answer) if answer.is_not_found() => Verdict::Missing,
        Some(answer) if answer.is_denied() => Verdict::Denied,
        _ if error.downcast_ref::<WrongContent>().is_some() => Verdict::Tampered,
        _ => Verdict::Unreachable,
    };
    (verdict, format!("{error:#}"))
}
