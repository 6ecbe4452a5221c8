//! `scan`: known weaknesses of what the images are made of, by whatever scanner is installed.

mod cargo_audit;
mod finding;
mod image_scanners;
mod openvex;
mod sarif;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};
use camino::Utf8Path;
use serde_json::{Value, json};
use xshell::cmd;

use self::finding::{Finding, Judged, joined, judge};
use self::image_scanners::ImageScanner;
use self::openvex::openvex;
use self::sarif::sarif;
use super::chosen_release::instead_of;
use super::table::{age, table};
use super::{Outcome, print};
use crate::cli::{ScanArgs, Scanner};
use crate::errors::{all, hinted};
use crate::gather::record;
use crate::gather::workspace::Workspace;
use crate::image::platform::Platform;
use crate::image::record::DigestRecord;
use crate::image::reference::ImageReference;
use crate::image::time::rfc3339;
use crate::system::cargo::version_line;
use crate::system::clock;
use crate::system::files::write_atomically;
use crate::system::process;
use crate::workspace::lockfile::NameVersion;
use crate::workspace::scan::Severity;

/// The components that use each package.
type Users = BTreeMap<NameVersion, BTreeSet<String>>;

/// What a scanner found, having looked.
#[derive(Debug)]
struct Looked {
    by: &'static str,
    findings: Vec<Finding>,
    /// When its database was made, in unix seconds, where it says so.
    database: Option<i64>,
}

const SCANNERS: [(Scanner, &str); 3] =
    [(Scanner::CargoAudit, "cargo-audit"), (Scanner::Trivy, "trivy"), (Scanner::Grype, "grype")];

/// Findings, and what they mean by the settings.
struct Scanned {
    judged: Judged,
    /// The scanners, and how old their databases are.
    by: Vec<String>,
    threshold: Severity,
    now: i64,
}

/// Scans and judges; exit code 1 when something fails.
pub(crate) fn run(manifest: Option<&Utf8Path>, arguments: &ScanArgs) -> Result<Outcome> {
    let workspace = Workspace::load(manifest, &[])?;
    let wanted = chosen(&workspace, &arguments.with)?;
    let images = images(&workspace, arguments, &wanted)?;
    let scanned = scan(&workspace, arguments, &wanted, images.as_ref())?;

    let Scanned { judged, by, threshold, now } = &scanned;
    if let Some(path) = &arguments.sarif {
        write_json(path, &sarif(judged))?;
    }
    if let Some(path) = &arguments.openvex {
        let image = |name: &str| images.as_ref().and_then(|record| Some(&record.images.get(name)?.image));
        write_json(path, &openvex(&judged.findings, &workspace.packages.settings.scan.exceptions, image, *now))?;
    }
    if arguments.json {
        let Judged { findings, failing, notes } = judged;
        let document =
            json!({"lookedBy": by, "failOn": threshold, "failing": failing, "findings": findings, "notes": notes});
        print(&(serde_json::to_string_pretty(&document)? + "\n"))?;
    } else {
        print(&shown(judged))?;
    }
    scanned.tell();
    if let Some(failure) = scanned.failure() {
        eprintln!("failed: {failure}");
        return Ok(Outcome::Failed);
    }
    Ok(Outcome::Done)
}

/// `publish --scan`: the lock file alone, since images cannot be scanned before they are pushed.
///
/// # Errors
/// Nobody looked, or something fails.
pub(crate) fn lock_file(workspace: &Workspace) -> Result<()> {
    let arguments = ScanArgs { with: vec![Scanner::CargoAudit], ..ScanArgs::default() };
    let scanned = scan(workspace, &arguments, &chosen(workspace, &arguments.with)?, None)?;
    eprint!("{}", shown(&scanned.judged));
    scanned.tell();
    let Some(failure) = scanned.failure() else { return Ok(()) };
    let hint = "update these packages, or except them in `[workspace.metadata.docker.scan]`, with reason and end";
    bail!(hinted(format!("{failure}: nothing was built or pushed"), hint))
}

fn scan(
    workspace: &Workspace,
    arguments: &ScanArgs,
    wanted: &[Scanner],
    images: Option<&DigestRecord>,
) -> Result<Scanned> {
    let settings = &workspace.packages.settings.scan;
    let threshold = arguments.fail_on.unwrap_or(settings.fail_on);
    let now = clock::now();
    let looked = look(workspace, arguments, wanted, images)?;
    refuse_old(&looked, now, settings.max_database_age)?;
    let by = looked_by(&looked, now);
    let findings = joined(looked.into_iter().flat_map(|looked| looked.findings));
    Ok(Scanned { judged: judge(findings, settings, threshold, now), by, threshold, now })
}

impl Scanned {
    fn tell(&self) {
        for line in &self.by {
            eprintln!("looked: {line}");
        }
        for note in &self.judged.notes {
            eprintln!("note: {note}");
        }
    }

    fn failure(&self) -> Option<String> {
        let Judged { findings, failing, .. } = &self.judged;
        (*failing > 0).then(|| format!("{failing} of {} findings reach `{}`", findings.len(), self.threshold))
    }
}

/// The scanners to run: those asked for, else those that are there.
fn chosen(workspace: &Workspace, asked: &[Scanner]) -> Result<Vec<Scanner>> {
    let shell = process::shell_in(workspace.root())?;
    let cargo = process::cargo();
    let is_there = |scanner: Scanner| match scanner {
        Scanner::CargoAudit => version_line(cmd!(shell, "{cargo} audit --version")).is_some(),
        Scanner::Trivy => version_line(cmd!(shell, "trivy --version")).is_some(),
        Scanner::Grype => version_line(cmd!(shell, "grype --version")).is_some(),
    };
    let (there, absent): (Vec<_>, Vec<_>) = SCANNERS
        .into_iter()
        .partition(|(scanner, _)| (asked.is_empty() || asked.contains(scanner)) && is_there(*scanner));
    let missing: Vec<&str> =
        absent.iter().filter(|(scanner, _)| asked.contains(scanner)).map(|(_, name)| *name).collect();
    if !missing.is_empty() || there.is_empty() {
        let names = if missing.is_empty() { SCANNERS.map(|(_, name)| name).join(", ") } else { missing.join(", ") };
        bail!(hinted(
            format!("nothing was looked at: not installed: {names}"),
            "`cargo install --locked cargo-audit`; Trivy and Grype are programs of their own",
        ));
    }
    Ok(there.into_iter().map(|(scanner, _)| scanner).collect())
}

/// What was published, for the scanners of images and for the names in OpenVEX.
fn images(workspace: &Workspace, arguments: &ScanArgs, wanted: &[Scanner]) -> Result<Option<DigestRecord>> {
    let path = record::path(workspace.root(), arguments.digests.as_deref());
    if let Some(record) = record::read_if_there(&path)? {
        return Ok(Some(record));
    }
    if arguments.digests.is_some() {
        return Err(record::missing(&path, None));
    }
    let needs_images = wanted.iter().any(|scanner| *scanner != Scanner::CargoAudit);
    if !needs_images {
        return Ok(None);
    }
    instead_of(&path, workspace, None, &[]).map(Some)
}

fn look(
    workspace: &Workspace,
    arguments: &ScanArgs,
    wanted: &[Scanner],
    images: Option<&DigestRecord>,
) -> Result<Vec<Looked>> {
    let root = workspace.root();
    let mut looked = Vec::new();
    for scanner in wanted {
        let on_images = match scanner {
            Scanner::CargoAudit => {
                let database = arguments.database.as_deref().map(camino::absolute_utf8).transpose();
                let database = database.context("cannot find the advisory database")?;
                eprintln!("scanning Cargo.lock with cargo-audit");
                let users = users(workspace);
                looked.push(cargo_audit::run(root, database.as_deref(), workspace.lock.len(), &users)?);
                continue;
            }
            Scanner::Trivy => ImageScanner::Trivy,
            Scanner::Grype => ImageScanner::Grype,
        };
        // One after another: each may fetch its database first.
        let targets = images.map(|record| targets(record, &workspace.component_names())).transpose()?;
        looked.extend(all(targets.into_iter().flatten().map(|(component, platform, image)| {
            eprintln!("scanning {component} for {platform} with {}", on_images.name());
            on_images.run(component, &image, platform)
        }))?);
    }
    ensure!(!looked.is_empty(), "nothing was looked at: there is no component");
    Ok(looked)
}

/// The image of each platform, of all `components` and of what else is in the record.
fn targets<'r>(
    record: &'r DigestRecord,
    components: &[&str],
) -> Result<Vec<(&'r String, &'r Platform, ImageReference)>> {
    let hint = "`cargo xtask publish` records all components with their platforms";
    for name in components {
        let has_platform = record.images.get(*name).is_some_and(|image| !image.platforms.is_empty());
        ensure!(has_platform, hinted(format!("the digest record has no image of `{name}` to look at"), hint));
    }
    let of_each = record.images.iter().flat_map(|(name, image)| {
        image.platforms.iter().map(move |(platform, one)| (name, platform, image.image.with_digest(one.digest.clone())))
    });
    Ok(of_each.collect())
}

fn users(workspace: &Workspace) -> Users {
    let mut users = Users::new();
    for component in &workspace.components {
        for package in workspace.packages_of(component) {
            users.entry(package.locked()).or_default().insert(component.name.clone());
        }
    }
    users
}

/// An old database knows nothing of what was found since.
fn refuse_old(looked: &[Looked], now: i64, days: u32) -> Result<()> {
    for Looked { by, database, .. } in looked {
        let hint = "let it fetch its database, or allow older ones: `max-database-age = DAYS` in `[workspace.metadata.docker.scan]`";
        match database {
            None => bail!(hinted(format!("`{by}` does not say how old its database is"), hint)),
            Some(made) if now - made > i64::from(days) * 86_400 => {
                let made = rfc3339(*made);
                bail!(hinted(format!("the database of `{by}` is of {}, more than {days} days old", &made[..10]), hint))
            }
            Some(_) => {}
        }
    }
    Ok(())
}

fn looked_by(looked: &[Looked], now: i64) -> Vec<String> {
    let line = |one: &Looked| {
        let old = one.database.map_or(0, |made| u64::try_from(now - made).unwrap_or(0));
        format!("{}, with a database {} old", one.by, age(old))
    };
    let lines: BTreeSet<String> = looked.iter().map(line).collect();
    lines.into_iter().collect()
}

fn shown(judged: &Judged) -> String {
    if judged.findings.is_empty() {
        return "no findings\n".to_owned();
    }
    let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
    let rows: Vec<Vec<String>> = judged
        .findings
        .iter()
        .map(|finding| {
            let components: Vec<&str> = finding.components.iter().map(String::as_str).collect();
            let found_by: Vec<&str> = finding.found_by.iter().copied().collect();
            vec![
                finding.severity.to_string(),
                finding.id.clone(),
                format!("{} {}", finding.package, finding.version),
                or_dash(finding.fixed_in.join(" ")),
                or_dash(components.join(" ")),
                found_by.join(" "),
                finding.excepted.clone().unwrap_or_else(|| finding.title.chars().take(60).collect()),
            ]
        })
        .collect();
    table(&["SEVERITY", "ADVISORY", "PACKAGE", "FIXED IN", "IMAGES", "FOUND BY", "TITLE, OR EXCEPTION"], &rows)
}

fn write_json(path: &Utf8Path, document: &Value) -> Result<()> {
    write_atomically(path, (serde_json::to_string_pretty(document)? + "\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_platform_of_each_component_is_looked_at_or_none() {
        let digest = |of: &str| crate::image::reference::Digest::of(of.as_bytes()).to_string();
        let part = |of: &str| json!({"digest": digest(of), "config": digest("config"), "size": 1});
        let mut entry = json!({
            "repository": "r.io/app", "digest": digest("index"), "image": format!("r.io/app@{}", digest("index")),
            "gitShaTag": "r.io/app:sha-1", "platforms": {"linux/amd64": part("amd64"), "linux/arm64": part("arm64")},
        });
        let targets_of = |entry: &Value, components: &[&str]| {
            let record = DigestRecord::parse(&json!({"app": entry}).to_string()).unwrap();
            let found = targets(&record, components).map_err(|error| error.to_string())?;
            Ok(found.into_iter().map(|(_, platform, image)| format!("{platform} {image}")).collect::<Vec<_>>())
        };
        let each = ["amd64", "arm64"].map(|of| format!("linux/{of} r.io/app@{}", digest(of)));
        assert_eq!(targets_of(&entry, &["app"]), Ok(each.to_vec()));
        let none = |name: &str| Err(format!("the digest record has no image of `{name}` to look at"));
        assert_eq!(targets_of(&entry, &["app", "other"]), none("other"));
        entry["platforms"] = json!({});
        assert_eq!(targets_of(&entry, &["app"]), none("app"));
    }
}
