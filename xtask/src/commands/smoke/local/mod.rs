//! `smoke --local`: the manifests' programs run on this machine, out of the layout's images or a digest record's,
//! without a cluster.

mod ask;
mod published;
mod unpack;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use camino::Utf8Path;

use crate::cli::SmokeArgs;
use crate::commands::environments::own_client;
use crate::commands::manifests;
use crate::commands::table::table;
use crate::commands::{Outcome, print};
use crate::errors::hinted;
use crate::gather::record;
use crate::gather::workspace::Workspace;
use crate::kubernetes::local::plan::{LocalImage, LocalImages, LocalPod, LocalPorts, components, listening, pods};
use crate::kubernetes::local::read::read;
use crate::kubernetes::local::values::Ports;
use crate::kubernetes::local::verdict::{LocalVerdict, State};
use crate::system::files::TemporaryFolder;
use crate::system::parallel;
use crate::system::progress::Progress;
use crate::workspace::components::Component;
use published::Published;
use watch::{OnReady, Run};

/// Loads the workspace, runs, prints the verdicts.
pub(crate) fn smoke(manifest: Option<&Utf8Path>, arguments: &SmokeArgs) -> Result<Outcome> {
    let workspace = Workspace::load(manifest, &[unpack::own_platform()?])?;
    let show = |verdicts: &[LocalVerdict]| match arguments.json {
        true => print(&(serde_json::to_string_pretty(verdicts)? + "\n")),
        false => print(&table_of(verdicts)),
    };
    let is_shown = AtomicBool::new(false);
    let kept = |verdicts: &[LocalVerdict]| {
        show(verdicts)?;
        is_shown.store(true, Ordering::SeqCst);
        eprintln!("all of them run until Ctrl-C");
        Ok(())
    };
    let kept = arguments.keep_running.then_some(&kept as &OnReady<'_>);
    let published = match &arguments.digests {
        Some(path) => Some(Published { record: record::read(path)?, client: own_client(&arguments.insecure_registry) }),
        None => None,
    };
    let verdicts = run(&workspace, published.as_ref(), arguments.timeout, arguments.ready_within, kept)?;
    // What ended since is told below; standard output has its verdicts once.
    if !is_shown.load(Ordering::SeqCst) {
        show(&verdicts)?;
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

/// Runs the programs of the workspace's manifests out of the images in its layout, or of what was
/// `published`, asks their probes until all are ready or `timeout` is over, and stops them; with `keep_running`, which gets the verdicts when all are well, only when
/// one ends. One verdict for each container, by workload.
///
/// # Errors
/// Manifests that cannot be read or run nothing of ours; another system than Linux.
fn run(
    workspace: &Workspace,
    published: Option<&Published>,
    timeout: Duration,
    ready_within: Option<Duration>,
    keep_running: Option<&OnReady<'_>>,
) -> Result<Vec<LocalVerdict>> {
    ensure!(
        cfg!(target_os = "linux"),
        "the programs of images run on Linux alone; use `cargo xtask smoke` with a cluster"
    );
    let settings = &workspace.packages.settings;
    let found = manifests::read(workspace)?;
    if !found.is_empty() {
        found.check_applicable(settings)?;
    }
    let texts = manifests::applied_texts(workspace.root(), &found, Instant::now() + timeout)?;
    let file = record::read_named(workspace.root(), None, None)?;
    let record = published.map(|published| &published.record).or(file.as_ref());
    let application = read(&texts, &manifests::repositories(workspace, record))?;
    let needed = components(&application);
    ensure!(
        !needed.is_empty(),
        hinted(
            "no workload among the manifests runs an image of ours",
            "`manifests` in `[workspace.metadata.docker]` names them, `[\"k8s\"]` without it"
        )
    );
    for component in workspace.components.iter().filter(|component| !needed.contains(&component.name)) {
        eprintln!("note: no manifest runs `{}`", component.name);
    }
    let folder = TemporaryFolder::create_in(&workspace.output().join("tmp"), "smoke-local")?;
    let images = unpacked(workspace, published, &needed, &folder.0.join("images"));
    let movable = listening(&application, &images);
    let reserved = Reserved::new(&movable)?;
    let pods = pods(&application, &images, &reserved.ports, &movable, &folder.0.join("volumes"));
    prepare(&pods)?;
    let logs = logs(workspace);
    std::fs::create_dir_all(&logs).with_context(|| format!("cannot create `{logs}`"))?;
    let progress = Progress::new();
    let run = Run { deadline: Instant::now() + timeout, ready_within, logs, progress: &progress, keep_running };
    // Now the programs may have their ports.
    drop(reserved.listeners);
    let mut verdicts = run.pods(&pods)?;
    let skipped = application
        .not_run
        .iter()
        .map(|(kind, name)| LocalVerdict::not_run(name.clone(), None, State::Skipped, format!("a {kind} is not run")));
    verdicts.extend(skipped);
    Ok(verdicts)
}

fn logs(workspace: &Workspace) -> camino::Utf8PathBuf {
    workspace.output().join("smoke-local")
}

fn unpacked(
    workspace: &Workspace,
    published: Option<&Published>,
    needed: &BTreeSet<String>,
    folder: &Utf8Path,
) -> LocalImages {
    let unpack = |name: &String| {
        let root = folder.join(name);
        let image = match published {
            Some(published) => published.unpack(name, &root),
            None => of_layout(workspace, name, &root),
        };
        (name.clone(), image.map_err(|error| format!("{error:#}")))
    };
    parallel::map(needed.iter().collect(), parallel::processors(), unpack).into_iter().collect()
}

fn of_layout(workspace: &Workspace, name: &str, root: &Utf8Path) -> Result<LocalImage> {
    let (mut image, made_from) = unpack::unpack(&workspace.output().join("oci"), name, root)?;
    let component = workspace.components.iter().find(|component| component.name == name);
    let now = component.map(|component| sources_hash(workspace, component)).transpose()?;
    image.is_outdated = now != made_from;
    Ok(image)
}

/// What the sources of a component are on this machine, whoever builds it.
fn sources_hash(workspace: &Workspace, component: &Component) -> Result<String> {
    Ok(workspace.inputs(component)?.for_build(&unpack::own_platform()?, []).hash().to_string())
}

/// Ports of this machine, held until the programs are started.
struct Reserved {
    ports: LocalPorts,
    listeners: Vec<TcpListener>,
}

impl Reserved {
    /// A free port for each that can be moved; others stay as they are.
    fn new(movable: &[BTreeMap<u16, bool>]) -> Result<Self> {
        let mut listeners = Vec::new();
        let mut ports = Vec::new();
        for workload in movable {
            let mut local = Ports::new();
            for (port, movable) in workload {
                let here = if *movable {
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
fn prepare(pods: &[LocalPod]) -> Result<()> {
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
