//! `sbom`: what images are made of, as documents.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use camino::Utf8Path;
use serde_json::json;

use super::build::options::platforms;
use super::build::plan::base;
use super::table::table;
use super::{Outcome, print};
use crate::assemble::base::BaseImage;
use crate::assemble::layout::Layout;
use crate::cli::{SbomArgs, SbomFormat};
use crate::errors::hinted;
use crate::gather::revision::Revisions;
use crate::gather::workspace::Workspace;
use crate::image::platform::Platform;
use crate::image::time::rfc3339;
use crate::registry::{Client, Credentials};
use crate::sbom::bill::{Base, Bill};
use crate::sbom::{cyclonedx, spdx};
use crate::system::environment::variable;
use crate::system::files::write_atomically;
use crate::system::progress::Progress;
use crate::workspace::components::{Component, select};
use crate::workspace::rust_target::RustTarget;

/// Prints the numbers, or one document, or writes all.
pub(crate) fn run(manifest: Option<&Utf8Path>, arguments: &SbomArgs) -> Result<Outcome> {
    let progress = Progress::new();
    let workspace = Workspace::load(manifest, &platforms(&arguments.platform)?)?;
    let components = select(&workspace.components, &arguments.components)?;
    let bills = bills(&workspace, &components, &progress)?;
    workspace.keep_memory();
    match (&arguments.output, arguments.format) {
        (Some(folder), format) => write(&bills, folder, format, arguments.dry_run),
        (None, Some(format)) => match bills.as_slice() {
            [one] => print(&text(one, format)),
            several => bail!(hinted(
                format!("there are {} documents, one for each image and platform", several.len()),
                "name one component and, with several, the `--platform`; or write them all with `--output DIR`"
            )),
        },
        (None, None) => print(&numbers(&bills, arguments.json)?),
    }?;
    Ok(Outcome::Done)
}

/// What each image is made of, by component and platform.
fn bills(workspace: &Workspace, components: &[&Component], progress: &Progress) -> Result<Vec<Bill>> {
    let inputs = components.iter().map(|component| Ok((*component, workspace.inputs(component)?)));
    let inputs: Vec<_> = inputs.collect::<Result<_>>()?;
    let mut revisions = Revisions::new(workspace, variable("SOURCE_DATE_EPOCH").as_deref(), progress)?;
    let revisions = revisions.of_all(&inputs)?;
    let bases = bases(workspace, progress)?;
    let mut bills = Vec::new();
    for (component, revision) in components.iter().zip(revisions) {
        for platform in &workspace.platforms {
            let (version, base) = (&component.package.version, bases.get(platform).cloned());
            bills.push(bill(workspace, component, platform, version, revision.time, base)?);
        }
    }
    Ok(bills)
}

/// What the image of `component` for `platform` is made of; `version` and `created` are the image's.
pub(crate) fn bill(
    workspace: &Workspace,
    component: &Component,
    platform: &Platform,
    version: &str,
    created: i64,
    base: Option<Base>,
) -> Result<Bill> {
    Ok(Bill {
        name: component.name.clone(),
        version: version.to_owned(),
        platform: platform.clone(),
        target: RustTarget::new(platform, workspace.packages.settings.linkage)?.triple,
        created: rfc3339(created),
        packages: workspace.rust_packages(component, platform)?,
        base,
    })
}

/// What the images build on, for each platform of the workspace; nothing on `scratch`.
///
/// # Errors
/// An unknown base; one whose packages cannot be read.
pub(crate) fn bases(workspace: &Workspace, progress: &Progress) -> Result<BTreeMap<Platform, Base>> {
    let Some(base) = base(workspace)? else { return Ok(BTreeMap::new()) };
    let client = Client::new(Credentials::from_environment());
    let folder = workspace.output().join("oci");
    let layout = Layout::open_or_wait(&folder, || progress.say("waiting for another build to finish its images"))?;
    let cache = workspace.output().join("bases");
    let load = |platform: &Platform| {
        let image = BaseImage::load(&layout, &base.place, &base.digest, platform, &cache, &client)?;
        let distribution = image.distribution(&layout)?;
        if let Some(path) = &distribution.unread {
            progress.warn(&hinted(
                format!("not all packages of base `{}` for {platform} are known, as its `/{path}` shows", base.said),
                "only the databases of dpkg and apk are read; documents say that the base's list is incomplete",
            ));
        }
        let base = Base { name: base.said.clone(), digest: image.manifest().to_string(), distribution };
        Ok((platform.clone(), base))
    };
    workspace.platforms.iter().map(load).collect()
}

fn text(bill: &Bill, format: SbomFormat) -> String {
    match format {
        SbomFormat::CycloneDx => cyclonedx::text(bill),
        SbomFormat::Spdx => spdx::text(bill),
    }
}

fn write(bills: &[Bill], folder: &Utf8Path, format: Option<SbomFormat>, is_dry: bool) -> Result<()> {
    let formats = [(SbomFormat::CycloneDx, "cdx"), (SbomFormat::Spdx, "spdx")];
    for bill in bills {
        for (kind, ending) in formats.into_iter().filter(|(kind, _)| format.is_none_or(|format| format == *kind)) {
            let platform = bill.platform.to_string().replace('/', "-");
            let path = folder.join(format!("{}-{platform}.{ending}.json", bill.name));
            if !is_dry {
                write_atomically(&path, text(bill, kind).as_bytes())?;
            }
            eprintln!("{} {path}", if is_dry { "write " } else { "wrote" });
        }
    }
    Ok(())
}

/// A line for each image: packages of the program, those that only built it, those of the base.
fn numbers(bills: &[Bill], as_json: bool) -> Result<String> {
    let count = |bill: &Bill, is_build| bill.packages.iter().filter(|package| package.is_build == is_build).count();
    let below = |bill: &Bill| bill.base.as_ref().map_or(0, |base| base.distribution.packages.len());
    if as_json {
        let list = bills.iter().map(|bill| {
            json!({
                "component": bill.name,
                "platform": bill.platform,
                "program": count(bill, false),
                "build": count(bill, true),
                "base": below(bill),
            })
        });
        return Ok(serde_json::to_string_pretty(&list.collect::<Vec<_>>())? + "\n");
    }
    let rows: Vec<_> = bills
        .iter()
        .map(|bill| {
            let numbers = [count(bill, false), count(bill, true), below(bill)].map(|number| number.to_string());
            [vec![bill.name.clone(), bill.platform.to_string()], numbers.to_vec()].concat()
        })
        .collect();
    Ok(table(&["COMPONENT", "PLATFORM", "IN THE PROGRAM", "ONLY BUILDING", "OF THE BASE"], &rows))
}
