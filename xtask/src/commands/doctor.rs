//! `doctor`: each tool the other commands need, found or missing, and how to mend it.

use anyhow::Result;
use camino::Utf8Path;
use serde::Serialize;
use xshell::{Shell, cmd};

use super::table::table;
use super::{Outcome, print};
use crate::cli::DoctorArgs;
use crate::compile::engine::Engine;
use crate::errors::first_line;
use crate::gather::origin::unnamed_source;
use crate::gather::repositories::repository;
use crate::gather::workspace::Workspace;
use crate::http::RetryPolicy;
use crate::registry::{Client, Credentials};
use crate::stage::confine::landlock_version;
use crate::stage::sandbox::is_confined;
use crate::system::cargo::{self, version_line};
use crate::workspace::rust_target::RustTarget;
use crate::workspace::settings::{Linkage, SandboxMode};
use crate::workspace::system_needs::{Wanted, mend, needs_of};

/// One line of the table.
#[derive(Debug, Serialize)]
struct Finding {
    tool: String,
    /// Version or state; nothing when it is missing.
    found: Option<String>,
    needed_for: &'static str,
    /// What mends it; nothing when all is well.
    mend: Option<String>,
    /// Whether a build of this workspace needs it.
    required: bool,
}

/// Prints the table; exit code 1 when something required is missing.
pub(crate) fn run(manifest: Option<&Utf8Path>, arguments: &DoctorArgs) -> Result<Outcome> {
    let mut findings = Vec::new();
    let workspace = toolchain(manifest, &mut findings)?;
    engine(&mut findings)?;
    if let Some(workspace) = &workspace {
        system_needs(workspace, &mut findings)?;
        if let Some((why, mend)) = unnamed_source(workspace) {
            let mend = format!("{why}: {mend}");
            findings.push(finding("source label", None, "registries that link images to sources", mend, false));
        }
        registry(workspace, &mut findings)?;
    }
    others(&mut findings)?;
    let is_broken = findings.iter().any(|finding| finding.required && finding.found.is_none());
    if arguments.json {
        print(&(serde_json::to_string_pretty(&findings)? + "\n"))?;
    } else {
        let rows: Vec<_> = findings
            .iter()
            .map(|finding| {
                let state = match (&finding.found, finding.required) {
                    (Some(_), _) => "ok",
                    (None, true) => "MISSING",
                    (None, false) => "absent",
                };
                vec![
                    state.to_owned(),
                    finding.tool.clone(),
                    finding.found.clone().unwrap_or_else(|| "-".into()),
                    finding.needed_for.to_owned(),
                    finding.mend.clone().unwrap_or_default(),
                ]
            })
            .collect();
        print(&table(&["STATE", "TOOL", "FOUND", "NEEDED FOR", "TO MEND"], &rows))?;
    }
    Ok(if is_broken { Outcome::Failed } else { Outcome::Done })
}

fn finding(
    tool: &str,
    found: Option<String>,
    needed_for: &'static str,
    mend: impl Into<String>,
    required: bool,
) -> Finding {
    let mend = found.is_none().then(|| mend.into());
    Finding { tool: tool.to_owned(), found, needed_for, mend, required }
}

fn toolchain(manifest: Option<&Utf8Path>, findings: &mut Vec<Finding>) -> Result<Option<Workspace>> {
    let shell = Shell::new()?;
    let rustc = version_line(cmd!(shell, "rustc --version"));
    findings.push(finding("rustc", rustc, "native builds", "install Rust: https://rustup.rs", true));
    let workspace = match Workspace::load(manifest, &[]) {
        Ok(workspace) => workspace,
        Err(error) => {
            let why = first_line(&error);
            findings.push(finding("workspace", None, "everything", why, true));
            return Ok(None);
        }
    };
    let count = format!("{} components in {}", workspace.components.len(), workspace.root());
    findings.push(finding("workspace", Some(count), "everything", "", true));
    let toolchain = cargo::host_toolchain(workspace.root())?;
    let linkage = workspace.packages.settings.linkage;
    let mut is_foreign = false;
    for platform in &workspace.platforms {
        let target = RustTarget::new(platform, linkage)?;
        let folder = toolchain.sysroot.join("lib/rustlib").join(&target.triple).join("lib");
        let found = folder.is_dir().then(|| format!("installed, for {platform}"));
        let mend = format!("rustup target add {}", target.triple);
        findings.push(finding(&format!("target {}", target.triple), found, "native builds", mend, false));
        is_foreign |= !toolchain.host.starts_with(target.triple.split('-').next().unwrap_or_default());
    }
    let compiler = version_line(cmd!(shell, "cc --version"));
    findings.push(finding(
        "cc",
        compiler,
        "linking, and crates with C code",
        "install a C compiler, e.g. `apt-get install gcc libc6-dev`",
        false,
    ));
    let sandbox = landlock_version().map(|version| match is_confined(&workspace.packages.settings) {
        true => format!("Landlock version {version}, seccomp"),
        false => format!("Landlock version {version}, and `sandbox = \"off\"`"),
    });
    let is_required = workspace.packages.settings.sandbox == SandboxMode::Required;
    let mend = "a Linux kernel 5.13 or newer with Landlock; until then build scripts can read what you can";
    findings.push(finding("sandbox", sandbox, "native builds that read their inputs alone", mend, is_required));
    if linkage == Linkage::GnuStatic || is_foreign || linkage == Linkage::Musl {
        let zigbuild = version_line(cmd!(shell, "cargo-zigbuild --version"));
        findings.push(finding(
            "cargo-zigbuild",
            zigbuild,
            "native builds for foreign platforms",
            "cargo install cargo-zigbuild, and install zig",
            false,
        ));
    }
    Ok(Some(workspace))
}

/// Libraries and programs that the components' crates look for on this machine.
fn system_needs(workspace: &Workspace, findings: &mut Vec<Finding>) -> Result<()> {
    let shell = Shell::new()?;
    let linkage = workspace.packages.settings.linkage;
    let is_static = linkage != Linkage::Gnu;
    let needs = needs_of(workspace.resolved());
    if needs.iter().any(|need| matches!(need.wanted, Wanted::Library { .. })) {
        let found = version_line(cmd!(shell, "pkg-config --version"));
        findings.push(finding("pkg-config", found, "crates that look for libraries", "install `pkg-config`", false));
    }
    for need in needs {
        let (tool, found) = match need.wanted {
            Wanted::Program(programs) => {
                let found = programs.iter().find_map(|name| which::which(name).ok());
                (programs[0].to_owned(), found.map(|path| path.display().to_string()))
            }
            Wanted::Library { pkg_config, link, is_static: has_static } => {
                let version = version_line(cmd!(shell, "pkg-config --modversion {pkg_config}"));
                let archive = format!("-print-file-name=lib{link}.a");
                // A compiler that finds no file prints the name as it was given.
                let archive = || version_line(cmd!(shell, "cc {archive}")).filter(|path| path.starts_with('/'));
                // Distributions' archives are for the GNU C library.
                let links = !is_static || (linkage == Linkage::GnuStatic && has_static && archive().is_some());
                (format!("lib{link}"), version.filter(|_| links))
            }
        };
        let is_here = linkage != Linkage::Musl;
        findings.push(finding(
            &format!("{tool} (crate {})", need.name),
            found,
            "native builds",
            mend(Some(need), is_static, is_here),
            false,
        ));
    }
    Ok(())
}

/// Asks the registry for an image of the first component, with the credentials that a pull of it
/// would use: any answer but a refusal will do.
fn registry(workspace: &Workspace, findings: &mut Vec<Finding>) -> Result<()> {
    let Some(component) = workspace.components.first() else { return Ok(()) };
    let name = repository(workspace, &component.name, None)?;
    let credentials = Credentials::from_environment();
    let who = credentials.describe(&name.registry, &name.repository);
    let client = Client::with_policy(credentials, RetryPolicy { tries: 1, ..RetryPolicy::default() });
    let tool = format!("registry {}", name.registry);
    let purpose = "pulling and pushing images there";
    findings.push(match client.head_manifest(&name.with_tag("latest".parse()?)) {
        Ok(_) => finding(&tool, Some(format!("answers, as {who}")), purpose, "", false),
        Err(error) => {
            let why = format!("{error:#}").lines().next().unwrap_or_default().to_owned();
            finding(&tool, None, purpose, format!("start it, or `docker login {}` ({why})", name.registry), false)
        }
    });
    Ok(())
}

fn engine(findings: &mut Vec<Finding>) -> Result<()> {
    let shell = Shell::new()?;
    match Engine::find(None) {
        Ok(engine) => {
            let program = &engine.program;
            let format = "{{.Server.Version}}";
            let version = version_line(cmd!(shell, "{program} version --format {format}"))
                .or_else(|| version_line(cmd!(shell, "{program} --version")));
            let version = version.unwrap_or_else(|| "answers".into());
            findings.push(finding(
                "container engine",
                Some(format!("{program} {version}")),
                "`--builder docker`, `--load`",
                "",
                false,
            ));
            let buildx = version_line(cmd!(shell, "{program} buildx version"));
            findings.push(finding(
                "buildx",
                buildx,
                "`--buildx-builder`; engines older than 23",
                "install the plugin `docker-buildx`",
                false,
            ));
        }
        Err(error) => {
            let why = first_line(&error);
            findings.push(finding(
                "container engine",
                None,
                "`--builder docker`, `--load`",
                format!("start or install docker or podman ({why})"),
                false,
            ));
        }
    }
    let emulators = ["qemu-aarch64-static", "qemu-aarch64"];
    let qemu = emulators.into_iter().find(|name| which::which(name).is_ok()).map(str::to_owned);
    findings.push(finding(
        "qemu-user",
        qemu,
        "running foreign images here (never for building)",
        "apt-get install qemu-user-static",
        false,
    ));
    Ok(())
}

fn others(findings: &mut Vec<Finding>) -> Result<()> {
    let shell = Shell::new()?;
    let kubectl = version_line(cmd!(shell, "kubectl version --client --short=true"))
        .or_else(|| version_line(cmd!(shell, "kubectl version --client")));
    findings.push(finding("kubectl", kubectl, "running the images on a cluster", "install kubectl", false));
    let git = version_line(cmd!(shell, "git --version"));
    findings.push(finding("git", git, "revisions, `--affected`", "apt-get install git", false));
    Ok(())
}
