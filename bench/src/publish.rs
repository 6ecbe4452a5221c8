//! `publish`: pushing beside `skopeo copy` of the same images, and publishing what is there already.

use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::Result;

use crate::bench::Bench;
use crate::child::{command, run as run_child};
use crate::cli::Group;
use crate::measure::{Side, measure, nothing};
use crate::native::OURS;
use crate::report::Report;
use crate::scenario::Bound;
use crate::subject::Subject;
use crate::taken::Taken;

/// Where images are pushed to: `LAB_REGISTRY`, or the registry that tools take for this machine's.
fn registry() -> String {
    std::env::var("LAB_REGISTRY").unwrap_or_else(|_| "localhost:5000".to_owned())
}

/// Why this group cannot run, if so.
pub(crate) fn availability(bench: &Bench) -> Result<(), String> {
    registry_answers()?;
    let skopeo = run_child(command("skopeo", &bench.source).arg("--version"));
    skopeo.map(drop).map_err(|_| "no `skopeo` on the PATH".to_owned())
}

/// Whether there is a registry, and which one was asked if not.
pub(crate) fn registry_answers() -> Result<(), String> {
    let registry = registry();
    let mut addresses = registry.to_socket_addrs().map_err(|error| format!("`{registry}`: {error}"))?;
    let answers = addresses.any(|address| TcpStream::connect_timeout(&address, Duration::from_secs(2)).is_ok());
    if !answers {
        return Err(format!("no registry answers at `{registry}`; `LAB_REGISTRY` names another"));
    }
    Ok(())
}

/// Measures all scenarios. Each push goes to repositories that are new.
pub(crate) fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let subject = bench.subject()?;
    bench.checkout.reset()?;
    eprintln!("{}: building once before measuring", Group::Publish);
    build(subject)?;
    let next = std::cell::Cell::new(0);
    // Fresh names, also when an earlier measurement was made here.
    let owner = |side: &str| {
        next.set(next.get() + 1);
        format!("bench-{}-{side}-{}", std::process::id(), next.get())
    };
    if bench.cli.wants("push to empty repositories") {
        let ours = || {
            let built = build(subject)?;
            let published = publish(subject, &owner("xtask"), &["--rebuild"])?;
            Ok(Taken { wall: published.wall.saturating_sub(built.wall), cpu: None })
        };
        let skopeo = || skopeo(subject, &owner("skopeo"));
        let limit = Side::new("skopeo copy", &skopeo).bound(Bound::Times(1.0));
        let runs = bench.cli.runs.max(5);
        let name = "push to empty repositories";
        let mut scenario = measure(Group::Publish, name, runs, &nothing, Side::new(OURS, &ours), &[limit])?;
        scenario.note =
            Some("`publish --rebuild` less `docker-build` right before it: asking, sending, tagging".into());
        report.add(scenario);
    }
    if bench.cli.wants("attach to one image") {
        let images = u32::try_from(subject.components.len())?.max(1);
        let ours = || {
            let plain = publish(subject, &owner("plain"), &["--rebuild"])?;
            let attached = publish(subject, &owner("attest"), &["--rebuild", "--attest"])?;
            Ok(Taken { wall: attached.wall.saturating_sub(plain.wall) / images, cpu: None })
        };
        let runs = bench.cli.runs.max(5);
        let mut scenario = measure(Group::Publish, "attach to one image", runs, &nothing, Side::new(OURS, &ours), &[])?;
        scenario.at_most = Some(0.2);
        scenario.note = Some(
            "`publish --rebuild --attest` less `publish --rebuild`, for each image: two lists and provenance".into(),
        );
        report.add(scenario);
    }
    if bench.cli.wants("republish unchanged") {
        let owner = owner("again");
        publish(subject, &owner, &[])?;
        let ours = || publish(subject, &owner, &[]);
        let list = || Ok(run_child(command("cargo", &subject.root).args(["xtask", "components"]))?.taken);
        let plan = Side::new("cargo xtask components", &list);
        let runs = bench.cli.runs.max(5);
        let mut scenario =
            measure(Group::Publish, "republish unchanged", runs, &nothing, Side::new(OURS, &ours), &[plan])?;
        scenario.at_most = Some(0.5);
        report.add(scenario);
    }
    bench.checkout.reset()
}

fn build(subject: &Subject) -> Result<Taken> {
    Ok(subject.docker_build(&["--builder", "native"], &[])?.0)
}

/// Builds natively what the registry lacks, pushes it to repositories of `owner`, and records it.
pub(crate) fn publish(subject: &Subject, owner: &str, arguments: &[&str]) -> Result<Taken> {
    let mut cargo = command("cargo", &subject.root);
    cargo.args(["xtask", "publish", "--builder", "native", "--no-manifests", "--allow-dirty", "--registry"]);
    cargo.arg(registry()).args(arguments).env("GITHUB_REPOSITORY", format!("{owner}/bench"));
    Ok(run_child(&mut cargo)?.taken)
}

/// One process per image, as its users run it.
fn skopeo(subject: &Subject, owner: &str) -> Result<Taken> {
    let copy = |name: &String| {
        let from = format!("oci:target/docker/oci:{name}");
        let to = format!("docker://{}/{owner}/{name}:latest", registry());
        let arguments = ["copy", "--quiet", "--insecure-policy", "--dest-tls-verify=false"];
        Ok(run_child(command("skopeo", &subject.root).args(arguments).arg(from).arg(to))?.taken)
    };
    subject.components.iter().map(|component| copy(&component.name)).sum()
}
