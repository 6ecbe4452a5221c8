//! `manifests`: how long it takes to pin many documents.

use std::fmt::Write;
use std::fs;

use anyhow::Result;
use serde_json::{Map, Value, json};

use crate::bench::Bench;
use crate::checkout::write;
use crate::child::{command, run as run_child};
use crate::cli::Group;
use crate::measure::{Side, measure};
use crate::native::OURS;
use crate::report::Report;
use crate::subject::Component;

const FILES: usize = 200;
const DOCUMENTS_PER_FILE: usize = 5;

/// Measures pinning them all; every run finds them unpinned.
pub(crate) fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let name = format!("{FILES} files, {} documents", FILES * DOCUMENTS_PER_FILE);
    if !bench.cli.wants(&name) {
        return Ok(());
    }
    let subject = bench.subject()?;
    let root = &subject.root;
    eprintln!("compiling the xtask with optimisations");
    run_child(command("cargo", root).args(["build", "--release", "--locked", "--package", "xtask", "--bin", "xtask"]))?;
    let record = root.join("artifacts/docker/docker-image-digests.json");
    write(&record, &record_text(&subject.components))?;
    let folder = root.join("k8s");
    fs::remove_dir_all(&folder).or_else(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })?;
    let prepare = |_| -> Result<()> {
        (0..FILES).try_for_each(|file| {
            write(&folder.join(format!("service-{file:03}.yaml")), &manifest(&subject.components, file))
        })
    };
    let program = root.join("target/release/xtask");
    let program = program.to_string_lossy();
    let pin = || Ok(run_child(command(&program, root).arg("manifests"))?.taken);
    let check = || Ok(run_child(command(&program, root).args(["manifests", "--check"]))?.taken);
    // Short, so more runs than asked for cost nothing.
    let runs = bench.cli.runs.max(5);
    let again = Side::new("--check right after", &check);
    let mut scenario = measure(Group::Manifests, &name, runs, &prepare, Side::new(OURS, &pin), &[again])?;
    scenario.at_most = Some(0.3);
    scenario.note = Some("compiled with `--release`; `cargo metadata` and `cargo tree` are part of it".into());
    report.add(scenario);
    fs::remove_dir_all(&folder)?;
    fs::remove_file(&record)?;
    bench.checkout.reset()
}

fn repository(component: &Component) -> String {
    format!("localhost:5000/demon-{}", component.name)
}

fn record_text(components: &[Component]) -> String {
    let entry = |component: &Component| {
        let repository = repository(component);
        let digest = format!("sha256:{:064x}", component.name.len());
        json!({
            "image": format!("{repository}@{digest}"),
            "gitShaTag": format!("{repository}:sha-1234567"),
            "repository": repository,
            "digest": digest,
        })
    };
    let entries: Map<_, _> = components.iter().map(|component| (component.name.clone(), entry(component))).collect();
    Value::Object(entries).to_string()
}

/// Deployments as people write them, each with one of our images and a foreign one.
fn manifest(components: &[Component], file: usize) -> String {
    let mut text = String::new();
    for document in 0..DOCUMENTS_PER_FILE {
        let image = repository(&components[(file + document) % components.len()]);
        let separator = if document == 0 { "" } else { "---\n" };
        write!(
            text,
            "{separator}# service {file}, part {document}\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  \
             name: service-{file}-{document}\n  labels: {{app: service-{file}-{document}, tier: \"web\"}}\nspec:\n  \
             replicas: 2\n  selector:\n    matchLabels:\n      app: service-{file}-{document}\n  template:\n    \
             metadata:\n      labels:\n        app: service-{file}-{document}\n    spec:\n      containers:\n        \
             - name: service\n          image: {image}:main # pinned\n          env:\n            \
             - name: RUST_LOG\n              value: info\n          ports:\n            \
             - {{name: http, containerPort: 8080}}\n          livenessProbe:\n            \
             httpGet: {{path: /health, port: http}}\n          readinessProbe:\n            httpGet:\n              \
             path: /ready\n              port: http\n          resources:\n            \
             requests: {{cpu: 10m, memory: 16Mi}}\n        - name: proxy\n          image: envoyproxy/envoy:v1.30.0\n"
        )
        .expect("a string takes all");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_their_documents_and_images_of_ours() {
        let component =
            Component { name: "engine".into(), package: "engine".into(), folder: "engine".into(), closure: Vec::new() };
        let text = manifest(std::slice::from_ref(&component), 7);
        assert_eq!(text.split("\n---\n").count(), DOCUMENTS_PER_FILE);
        assert_eq!(
            text.matches("          image: localhost:5000/demon-engine:main # pinned\n").count(),
            DOCUMENTS_PER_FILE
        );
        assert!(record_text(&[component]).contains("\"image\":\"localhost:5000/demon-engine@sha256:"));
    }
}
