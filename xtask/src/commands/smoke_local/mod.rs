//! `smoke --local`: the manifests' programs run out of the layout's images on this machine, without a cluster.

mod ask;
mod images;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use camino::Utf8Path;

use super::manifests;
use super::table::table;
use super::{Outcome, print};
use crate::cli::SmokeArgs;
use crate::gather::workspace::Workspace;
use crate::kubernetes::local::plan::{LocalImages, LocalPorts, Pod, components, listening, pods};
use crate::kubernetes::local::read::read;
use crate::kubernetes::local::values::Ports;
use crate::kubernetes::local::verdict::{LocalVerdict, State};
use crate::system::files::TemporaryFolder;
use crate::system::parallel;
use crate::system::progress::Progress;
use watch::Run;

/// Loads the workspace, runs, prints the verdicts.
pub(crate) fn smoke(manifest: Option<&Utf8Path>, arguments: &SmokeArgs) -> Result<Outcome> {
    let workspace = Workspace::load(manifest, &[])?;
    let verdicts = run(&workspace, arguments.timeout, arguments.ready_within)?;
    if arguments.json {
        print(&(serde_json::to_string_pretty(&verdicts)? + "\n"))?;
    } else {
        print(&table_of(&verdicts))?;
    }
    for verdict in verdicts.iter().filter(|verdict| !verdict.state.passes()) {
        eprintln!("{}: {}{}", verdict.name, verdict.state.name(), after_colon(&verdict.message));
        for line in &verdict.log {
            eprintln!("  | {line}");
        }
    }
    let failed = verdicts.iter().filter(|verdict| !verdict.state.passes()).count();
    if failed == 0 {
        return Ok(Outcome::Done);
    }
    eprintln!("error: {failed} of {} failed\nlogs: {}", verdicts.len(), logs(&workspace));
    Ok(Outcome::Failed)
}

/// Runs the programs of the workspace's manifests out of the images in its layout, asks their probes until all are
/// ready or `timeout` is over, and stops them. One verdict for each container, by workload.
///
/// # Errors
/// Manifests that cannot be read or run nothing of ours; another system than Linux.
pub(crate) fn run(
    workspace: &Workspace,
    timeout: Duration,
    ready_within: Option<Duration>,
) -> Result<Vec<LocalVerdict>> {
    ensure!(
        cfg!(target_os = "linux"),
        "the programs of images run on Linux alone; use `cargo xtask smoke` with a cluster"
    );
    let found = manifests::read(workspace)?;
    if !found.is_empty() {
        found.check_applicable(&workspace.packages.settings)?;
    }
    let texts: Vec<_> =
        found.files.into_iter().filter(|file| file.is_applied).map(|file| (file.path, file.text)).collect();
    let record = manifests::recorded(workspace.root())?;
    let application = read(&texts, &manifests::repositories(workspace, record.as_ref()))?;
    let needed = components(&application);
    ensure!(
        !needed.is_empty(),
        "no workload among the manifests runs an image of ours\n`manifests` in `[workspace.metadata.docker]` names \
         them, `[\"k8s\"]` without it"
    );
    for component in workspace.components.iter().filter(|component| !needed.contains(&component.name)) {
        eprintln!("note: no manifest runs `{}`", component.name);
    }
    let folder = TemporaryFolder::create_in(&workspace.output().join("tmp"), "smoke-local")?;
    let images = unpacked(workspace, &needed, &folder.0.join("images"));
    let told = listening(&application, &images);
    let reserved = Reserved::new(&told)?;
    let pods = pods(&application, &images, &reserved.ports, &told, &folder.0.join("volumes"));
    prepare(&pods)?;
    let logs = logs(workspace);
    std::fs::create_dir_all(&logs).with_context(|| format!("cannot create `{logs}`"))?;
    let progress = Progress::new();
    let run = Run { deadline: Instant::now() + timeout, ready_within, logs, progress: &progress };
    // Now the programs may have their ports.
    drop(reserved.listeners);
    let mut verdicts = run.pods(&pods)?;
    let skipped = application
        .not_run
        .iter()
        .map(|(kind, name)| LocalVerdict::unrun(name.clone(), None, State::Skipped, format!("a {kind} is not run")));
    verdicts.extend(skipped);
    Ok(verdicts)
}

fn logs(workspace: &Workspace) -> camino::Utf8PathBuf {
    workspace.output().join("smoke-local")
}

fn unpacked(workspace: &Workspace, needed: &BTreeSet<String>, folder: &Utf8Path) -> LocalImages {
    let layout = workspace.output().join("oci");
    let unpack = |component: &String| {
        let image = images::unpack(&layout, component, &folder.join(component));
        (component.clone(), image.map_err(|error| format!("{error:#}")))
    };
    parallel::map(needed.iter().collect(), parallel::processors(), unpack).into_iter().collect()
}

/// Ports of this machine, held until the programs are started.
struct Reserved {
    ports: LocalPorts,
    listeners: Vec<TcpListener>,
}

impl Reserved {
    /// A free port for each that its program is told of; others stay as they are.
    fn new(told: &[BTreeMap<u16, bool>]) -> Result<Self> {
        let mut listeners = Vec::new();
        let mut ports = Vec::new();
        for workload in told {
            let mut local = Ports::new();
            for (port, told) in workload {
                let here = if *told {
                    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("there is no free port")?;
                    let here = listener.local_addr().context("there is no free port")?.port();
                    listeners.push(listener);
                    here
                } else {
                    *port
                };
                local.insert(*port, here);
            }
            ports.push(local);
        }
        Ok(Reserved { ports, listeners })
    }
}

/// Makes the folders and files of volumes.
fn prepare(pods: &[Pod]) -> Result<()> {
    for pod in pods {
        for folder in &pod.folders {
            std::fs::create_dir_all(folder).with_context(|| format!("cannot create `{folder}`"))?;
        }
        for (path, content) in &pod.files {
            let folder = path.parent().with_context(|| format!("`{path}` has no parent folder"))?;
            std::fs::create_dir_all(folder).with_context(|| format!("cannot create `{folder}`"))?;
            std::fs::write(path, content).with_context(|| format!("cannot write `{path}`"))?;
        }
    }
    Ok(())
}

fn table_of(verdicts: &[LocalVerdict]) -> String {
    let time = |seconds: Option<f64>| seconds.map_or("-".to_owned(), |seconds| format!("{seconds:.2} s"));
    let short = |digest: &str| digest.chars().take("sha256:".len() + 12).collect();
    let rows: Vec<_> = verdicts
        .iter()
        .map(|verdict| {
            vec![
                verdict.name.clone(),
                verdict.digest.as_deref().map_or("-".to_owned(), short),
                verdict.address.clone().unwrap_or("-".to_owned()),
                time(verdict.health_seconds),
                time(verdict.ready_seconds),
                format!(
                    "{}{}",
                    verdict.state.name(),
                    if verdict.state.passes() { after_colon(&verdict.message) } else { String::new() }
                ),
            ]
        })
        .collect();
    table(&["PROGRAM", "IMAGE", "ADDRESS", "HEALTHY AFTER", "READY AFTER", "VERDICT"], &rows)
}

fn after_colon(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}
