//! Compiles with cargo on this machine.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use camino::{Utf8Path, Utf8PathBuf};
use cargo_metadata::Message;
use xshell::{Cmd, Shell, cmd};

use super::flags::{self, Remap};
use crate::gather::workspace::Workspace;
use crate::system::cargo::{HostToolchain, version_line};
use crate::system::{parallel, process};
use crate::workspace::components::Component;
use crate::workspace::settings::Linkage;
use crate::workspace::target::RustTarget;

/// One native `cargo build`, planned: everything that decides the executables of one platform.
#[derive(Debug, Clone)]
pub(crate) struct NativeBuild {
    /// `build`, or `zigbuild` for foreign targets without a cross compiler.
    subcommand: &'static str,
    arguments: Vec<String>,
    environment: BTreeMap<String, String>,
    /// What belongs to the inputs: compiler, C compiler, libc, the user's flags.
    pub(crate) identity: BTreeMap<String, String>,
    /// Paths that should not be in an executable.
    pub(crate) private_paths: Vec<String>,
}

/// What a build left.
#[derive(Debug, Default)]
pub(crate) struct Compiled {
    /// Executable of each binary that was compiled.
    pub(crate) executables: BTreeMap<String, Utf8PathBuf>,
    /// Binaries that were not.
    pub(crate) failed: BTreeSet<String>,
}

/// Plans the build of `components` for `target`.
///
/// # Errors
/// A foreign target that nothing here can link for; a missing Rust target.
pub(crate) fn plan(
    workspace: &Workspace,
    toolchain: &HostToolchain,
    components: &[&Component],
    target: RustTarget,
    build_args: &BTreeMap<String, String>,
) -> Result<NativeBuild> {
    let root = workspace.root();
    let linkage = workspace.packages.settings.linkage;
    require_target(toolchain, &target)?;
    let outer: BTreeMap<_, _> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let build_folder = workspace.output().join("build");
    let cargo_home = cargo_home(&outer)?;
    let user_flags = flags::host_rustflags(root, &target.triple)?;
    // Path packages outside the workspace; first, because one may be around the root itself. Those of all
    // components: other flags would compile everything again.
    let folders = workspace.components.iter().flat_map(|component| &component.closure);
    let outside: BTreeSet<_> = folders.filter(|folder| folder.is_absolute()).collect();
    let mut remap: Vec<_> = outside
        .iter()
        .map(|folder| (folder.to_string(), format!("/outside/{}", folder.file_name().unwrap_or_default())))
        .collect();
    remap.extend([
        (root.to_string(), "/workspace".into()),
        (cargo_home.clone(), "/cargo".into()),
        (format!("{}/lib/rustlib/src/rust", toolchain.sysroot), format!("/rustc/{}", toolchain.commit)),
        (build_folder.to_string(), "/workspace/target".into()),
    ]);
    let mut environment = flags::environment(&target, linkage, &user_flags, &Remap(remap), &outer);
    let subcommand = foreign_linker(root, toolchain, &target, linkage, &mut environment)?;
    environment.extend(build_args.clone());

    let mut arguments = vec!["--release".to_owned(), "--locked".to_owned()];
    arguments.extend(["--target".into(), target.triple.clone()]);
    arguments.extend(["--target-dir".into(), build_folder.to_string()]);
    arguments.extend(["--keep-going".into(), "--message-format=json-render-diagnostics".into()]);
    arguments.extend(workspace.selection.cargo_arguments());
    arguments.extend(components.iter().flat_map(|component| ["--bin".to_owned(), component.name.clone()]));

    let mut identity = identity(toolchain, &target, root)?;
    identity.insert("rustflags".into(), user_flags.join(" "));
    for (name, value) in outer.iter().filter(|(name, _)| decides_the_build(name)) {
        identity.insert(format!("environment {name}"), value.clone());
    }
    let mut private_paths = vec![root.to_string(), cargo_home, toolchain.sysroot.to_string()];
    private_paths.extend(outside.iter().map(ToString::to_string));
    Ok(NativeBuild { subcommand, arguments, environment, identity, private_paths })
}

/// Variables of the outer environment that reach the program.
fn decides_the_build(name: &str) -> bool {
    let families = ["CARGO_PROFILE_", "CC_", "CXX_", "CFLAGS_", "CXXFLAGS_"];
    let names = ["CC", "CXX", "CFLAGS", "CXXFLAGS", "RUSTC", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER"];
    names.contains(&name) || families.iter().any(|family| name.starts_with(family))
}

fn cargo_home(outer: &BTreeMap<String, String>) -> Result<String> {
    let home = || outer.get("HOME").map(|home| format!("{home}/.cargo"));
    outer.get("CARGO_HOME").cloned().or_else(home).context("neither `CARGO_HOME` nor `HOME` is set")
}

fn identity(toolchain: &HostToolchain, target: &RustTarget, root: &Utf8Path) -> Result<BTreeMap<String, String>> {
    let triple = target.triple.replace('-', "_");
    let compiler = [format!("CC_{triple}"), "CC".into()].into_iter().find_map(|name| std::env::var(name).ok());
    let compiler = compiler.unwrap_or_else(|| "cc".into());
    let version = |program: &str| {
        let shell = process::shell_in(root)?;
        Ok(version_line(cmd!(shell, "{program} --version")).unwrap_or_else(|| "none".to_owned()))
    };
    let (compiler, libc): (Result<String>, Result<String>) = parallel::both(|| version(&compiler), || version("ldd"));
    Ok(BTreeMap::from([
        ("rustc".into(), toolchain.rustc.replace('\n', "; ")),
        ("cc".into(), compiler?),
        ("libc".into(), libc?),
    ]))
}

/// # Errors
/// The target's standard library is not installed: the command that installs it.
fn require_target(toolchain: &HostToolchain, target: &RustTarget) -> Result<()> {
    let triple = &target.triple;
    if toolchain.sysroot.join("lib/rustlib").join(triple).join("lib").is_dir() {
        return Ok(());
    }
    bail!("the Rust target `{triple}` is not installed in `{}`\nrun `rustup target add {triple}`", toolchain.sysroot)
}

/// Decides what links for a foreign target; adds the linker to `environment`.
fn foreign_linker(
    root: &Utf8Path,
    toolchain: &HostToolchain,
    target: &RustTarget,
    linkage: Linkage,
    environment: &mut BTreeMap<String, String>,
) -> Result<&'static str> {
    let machine = |triple: &str| triple.split('-').next().unwrap_or_default().to_owned();
    let is_native = machine(&toolchain.host) == machine(&target.triple) && toolchain.host.contains("linux");
    if is_native || flags::configured_linker(root, &target.triple)? {
        return Ok("build");
    }
    let gcc = format!("{}-gcc", target.gnu_prefix);
    if linkage != Linkage::Musl && which::which(&gcc).is_ok() {
        environment.insert(target.cargo_variable("LINKER"), gcc.clone());
        environment.insert(format!("CC_{}", target.triple.replace('-', "_")), gcc);
        return Ok("build");
    }
    let has_zigbuild = which::which("cargo-zigbuild").is_ok();
    match (has_zigbuild, linkage) {
        (true, Linkage::GnuStatic) => bail!(
            "nothing here links `{}` statically: zig cannot link the GNU C library statically\ninstall `{gcc}`, or \
             set `linkage = \"musl\"`",
            target.triple
        ),
        (true, _) => Ok("zigbuild"),
        (false, _) => bail!(
            "nothing here links for `{}`\ninstall `{gcc}`, or run `cargo install cargo-zigbuild` and install zig",
            target.triple
        ),
    }
}

impl NativeBuild {
    fn command<'a>(&self, shell: &'a Shell) -> Cmd<'a> {
        let subcommand = self.subcommand;
        let arguments = &self.arguments;
        let cargo = process::cargo();
        let mut command = cmd!(shell, "{cargo} {subcommand} {arguments...}").env_remove("RUSTFLAGS");
        for (name, value) in &self.environment {
            command = command.env(name, value);
        }
        command
    }

    /// The exact command, for people: the environment in front.
    pub(crate) fn display(&self, root: &Utf8Path) -> Result<String> {
        let shell = process::shell_in(root)?;
        let quoted = |value: &String| format!("$'{}'", value.replace('\u{1f}', "\\x1f").replace('\'', "\\'"));
        let environment = self.environment.iter().map(|(name, value)| format!("{name}={} ", quoted(value)));
        Ok(environment.collect::<String>() + &self.command(&shell).to_string())
    }

    /// Runs cargo; its progress and diagnostics go straight to standard error.
    ///
    /// # Errors
    /// Cargo failed before it compiled anything. A component that does not compile is no error
    /// here: it is among `failed`.
    pub(crate) fn run(&self, root: &Utf8Path, names: &[&str]) -> Result<Compiled> {
        let shell = process::shell_in(root)?;
        let mut compiled = Compiled::default();
        let mut broken = None;
        let status =
            process::stream_stdout(self.command(&shell), |line| match serde_json::from_str::<Message>(line) {
                Ok(Message::CompilerArtifact(artifact)) => {
                    if let Some(executable) =
                        artifact.executable.filter(|_| names.contains(&artifact.target.name.as_str()))
                    {
                        compiled.executables.insert(artifact.target.name, executable);
                    }
                }
                Ok(_) => {}
                Err(error) => broken = broken.take().or(Some(error)),
            })?;
        if let Some(error) = broken {
            return Err(error).context("cargo printed a message that we cannot read");
        }
        compiled.failed = names
            .iter()
            .filter(|name| !compiled.executables.contains_key(**name))
            .map(|name| (*name).to_owned())
            .collect();
        if !status.success() && compiled.failed.is_empty() {
            bail!("`cargo {}` failed ({status})", self.subcommand);
        }
        if status.success() && !compiled.failed.is_empty() {
            let missing: Vec<_> = compiled.failed.iter().map(String::as_str).collect();
            bail!("cargo succeeded without an executable for: {}", missing.join(", "));
        }
        Ok(compiled)
    }
}
