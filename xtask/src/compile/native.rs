//! Compiles with cargo on this machine: the stage, in the sandbox, with the environment that is known.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::process::ExitStatus;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use camino::{Utf8Path, Utf8PathBuf};
use cargo_metadata::Message;
use sha2::{Digest, Sha256};
use xshell::{Cmd, Shell, cmd};

use super::explain::explain;
use super::flags::{self, Remap};
use super::tools::tools;
use crate::errors::hinted;
use crate::gather::cargo_config::{CargoConfig, cargo_home, configured_linker, host_rustflags};
use crate::gather::files::Found;
use crate::gather::workspace::Workspace;
use crate::stage::Stage;
use crate::stage::sandbox::{Needs, confinement, is_confined};
use crate::system::cargo::HostToolchain;
use crate::system::environment;
use crate::system::files::Scratch;
use crate::system::process::{self, Shown};
use crate::system::progress::Progress;
use crate::workspace::build_variables::{Passage, passage};
use crate::workspace::cargo_config;
use crate::workspace::components::Component;
use crate::workspace::inputs::{Input, OUTSIDE_FOLDER, hex};
use crate::workspace::rust_target::RustTarget;
use crate::workspace::settings::Linkage;

/// One native `cargo build`, planned: everything that decides the executables of one platform.
#[derive(Debug, Clone)]
pub(crate) struct NativeBuild {
    /// `build`, or `zigbuild` for foreign targets without a cross compiler.
    subcommand: &'static str,
    arguments: Vec<String>,
    /// All that the build sees of the environment, but for temporary folders.
    environment: BTreeMap<String, String>,
    /// Values that are not shown: build arguments, and what `pass-env` names.
    hidden: BTreeSet<String>,
    /// Cargo's target folder: one for each set of variables, flags, configuration and tools, since
    /// dependencies are not compiled again when such things change.
    folder: Utf8PathBuf,
    sysroot: Utf8PathBuf,
    /// Cargo's configuration as it was planned with.
    config: CargoConfig,
    /// What decides the executables beside sources: tools, variables, flags, configuration.
    inputs: BTreeSet<Input>,
    /// Paths that should not be in an executable.
    pub(crate) private_paths: Vec<String>,
}

/// Where programs look for libraries (ld.so(8), dyld(1)).
const LIBRARY_PATHS: &[&str] = &["LD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH"];

/// Larger than any program.
const MAX_EXECUTABLE: u64 = 16 << 30;

/// What a build left.
#[derive(Debug, Default)]
pub(crate) struct Compiled {
    /// Executable of each binary that was compiled.
    pub(crate) executables: BTreeMap<String, Utf8PathBuf>,
    /// Binaries that were not.
    pub(crate) failed: BTreeSet<String>,
    /// What to do about that, where the output tells.
    pub(crate) hint: Option<String>,
    /// `OUT_DIR`s of the build scripts that took part.
    pub(crate) scripts: BTreeSet<Utf8PathBuf>,
    /// Libraries and macros that took part, by manifest, and whether they were all there before.
    pub(crate) libraries: BTreeMap<Utf8PathBuf, bool>,
    /// Manifests of all packages of which something was compiled.
    pub(crate) anew: BTreeSet<Utf8PathBuf>,
    /// The end of what cargo said.
    pub(crate) said: String,
}

impl Compiled {
    fn note(&mut self, message: Message, names: &[&str]) {
        match message {
            Message::CompilerArtifact(artifact) => {
                if !artifact.fresh {
                    self.anew.insert(artifact.manifest_path.clone());
                }
                let is_asked = names.contains(&artifact.target.name.as_str());
                if let Some(executable) = artifact.executable.filter(|_| is_asked) {
                    self.executables.insert(artifact.target.name, executable);
                } else if !artifact.target.is_custom_build() {
                    *self.libraries.entry(artifact.manifest_path).or_insert(true) &= artifact.fresh;
                }
            }
            Message::BuildScriptExecuted(script) => drop(self.scripts.insert(script.out_dir)),
            _ => {}
        }
    }

    /// Adds what another build left.
    pub(crate) fn add(&mut self, other: Compiled) {
        self.executables.extend(other.executables);
        self.failed.extend(other.failed);
        self.scripts.extend(other.scripts);
        self.libraries.extend(other.libraries);
        self.hint = self.hint.take().or(other.hint);
    }
}

/// Plans the builds for `target`.
///
/// # Errors
/// A foreign target that nothing here can link for; a missing Rust target.
pub(crate) fn plan(
    workspace: &Workspace,
    toolchain: &HostToolchain,
    target: RustTarget,
    build_args: &BTreeMap<String, String>,
) -> Result<NativeBuild> {
    let root = workspace.root();
    let settings = &workspace.packages.settings;
    require_target(toolchain, &target)?;
    let cargo_home = cargo_home()?;
    let mut outer: BTreeMap<_, _> = environment::all().collect();
    for name in LIBRARY_PATHS {
        outer.entry((*name).to_owned()).and_modify(|value| *value = without_own_folders(value, &toolchain.sysroot));
    }
    let config = CargoConfig::of_machine(root)?;
    let user_flags = host_rustflags(root, &target.triple)?;

    let declared = workspace.pass_env();
    let mut environment = BTreeMap::new();
    let mut inputs = BTreeSet::new();
    for (name, value) in &outer {
        let passage = passage(name);
        // Set to nothing, as CI systems do, is not set.
        if value.is_empty() && !declared.contains(name) {
            continue;
        }
        if passage == Passage::Input {
            inputs.insert(Input::variable(name, value));
        }
        // Who may not use the network needs no proxy, whose address may hold a password.
        let is_proxy = name.to_lowercase().ends_with("_proxy") && !settings.network;
        if (passage != Passage::Dropped && !is_proxy) || declared.contains(name) {
            environment.insert(name.clone(), value.clone());
        }
    }
    let stage = workspace.output().join("stage");
    // The workspace has one name, wherever the context begins: that depends on what other components name.
    let remap = vec![
        (stage.to_string(), "/above".to_owned()),
        (stage.join(&workspace.top.prefix).as_str().trim_end_matches('/').to_owned(), "/workspace".to_owned()),
        (cargo_home.to_string(), "/cargo".into()),
        (format!("{}/lib/rustlib/src/rust", toolchain.sysroot), format!("/rustc/{}", toolchain.commit)),
    ];
    // Set by `flags` once its own name is known, which depends on all the others.
    let subcommand = foreign_linker(root, toolchain, &target, settings.linkage, &mut environment)?;
    inputs.extend(tools(workspace, toolchain, &target, subcommand, &environment)?);
    inputs.insert(Input::tool("rustflags", user_flags.join(" ")));
    inputs.extend(cargo_config::inputs(&config.table).into_keys());
    let mut hidden: BTreeSet<String> = build_args.keys().cloned().collect();
    hidden.extend(declared.iter().map(|name| (*name).clone()));
    environment.extend(build_args.clone());
    let sandbox = format!("{} {} {:?}", is_confined(settings), settings.network, settings.system_paths);
    let folder = target_folders(workspace).join(key(&inputs, &environment, &hidden, &sandbox));
    let remap = Remap(remap.into_iter().chain([(folder.to_string(), "/workspace/target".into())]).collect());
    environment.extend(flags::environment(&target, settings.linkage, &user_flags, &remap, &outer));
    let path = environment.get("PATH").cloned().unwrap_or_default();
    environment.extend([
        // Straight to the compiler, past rustup's proxies.
        ("PATH".to_owned(), format!("{}/bin:{path}", toolchain.sysroot)),
        ("CARGO_HOME".to_owned(), cargo_home.to_string()),
        ("CARGO_CACHE_AUTO_CLEAN_FREQUENCY".to_owned(), "never".to_owned()),
    ]);
    if !settings.network {
        environment.insert("CARGO_NET_OFFLINE".into(), "true".into());
    }

    let mut arguments = vec!["--release".to_owned(), "--locked".to_owned()];
    arguments.extend(["--target".into(), target.triple.clone()]);
    arguments.extend(["--target-dir".into(), folder.to_string()]);
    arguments.extend(["--keep-going".into(), "--message-format=json-render-diagnostics".into()]);
    for path in config.files.keys().filter(|path| !is_seen_from(&stage, path, root, &cargo_home)) {
        arguments.extend(["--config".into(), path.to_string()]);
    }
    arguments.extend(workspace.selection.cargo_arguments());

    let mut private_paths = vec![root.to_string(), cargo_home.to_string(), toolchain.sysroot.to_string()];
    private_paths.extend((!stage.starts_with(root)).then(|| stage.to_string()));
    let sysroot = toolchain.sysroot.clone();
    Ok(NativeBuild { subcommand, arguments, environment, hidden, folder, sysroot, config, inputs, private_paths })
}

/// What `cargo run` and rustup put in front of the library path so that we find our own libraries says nothing of
/// what is built, and names folders of this machine.
fn without_own_folders(value: &str, sysroot: &Utf8Path) -> String {
    let own = std::env::current_exe().ok().and_then(|exe| Some(Utf8Path::from_path(exe.parent()?)?.to_owned()));
    let own = own.and_then(|folder| folder.canonicalize_utf8().ok());
    let is_own = |path: &&str| {
        Utf8Path::new(path).starts_with(sysroot) || own.as_ref().is_some_and(|own| Utf8Path::new(path).starts_with(own))
    };
    value.split(':').filter(|path| !is_own(path)).collect::<Vec<_>>().join(":")
}

/// Whether cargo finds the configuration `file` by itself when it runs in the stage: the workspace's own
/// is in the stage, and the target folder may lie where those above the workspace are not above it.
fn is_seen_from(stage: &Utf8Path, file: &Utf8Path, root: &Utf8Path, cargo_home: &Utf8Path) -> bool {
    let folder = file.parent().and_then(Utf8Path::parent).unwrap_or(file);
    file.starts_with(root) || file.starts_with(cargo_home) || stage.starts_with(folder)
}

/// Names the target folder of these inputs.
fn key(
    inputs: &BTreeSet<Input>,
    environment: &BTreeMap<String, String>,
    hidden: &BTreeSet<String>,
    sandbox: &str,
) -> String {
    let mut hasher = Sha256::new();
    for input in inputs {
        hasher.update(input.encoded());
    }
    for name in hidden {
        let value = environment.get(name).map(String::as_str);
        hasher.update(format!("{name}={value:?}\n"));
    }
    // What was compiled with more in reach may hold what could not be reached now.
    hasher.update(sandbox);
    hex(&hasher.finalize())[..16].to_owned()
}

/// # Errors
/// The target's standard library is not installed: the command that installs it.
fn require_target(toolchain: &HostToolchain, target: &RustTarget) -> Result<()> {
    let triple = &target.triple;
    if toolchain.sysroot.join("lib/rustlib").join(triple).join("lib").is_dir() {
        return Ok(());
    }
    bail!(hinted(
        format!("the Rust target `{triple}` is not installed in `{}`", toolchain.sysroot),
        format!("run `rustup target add {triple}`")
    ))
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
    if is_native || configured_linker(root, &target.triple)? {
        return Ok("build");
    }
    let gcc = format!("{}-gcc", target.gnu_prefix);
    if linkage != Linkage::Musl && which::which(&gcc).is_ok() {
        environment.insert(target.cargo_variable("LINKER"), gcc.clone());
        environment.entry(format!("CC_{}", target.triple.replace('-', "_"))).or_insert(gcc);
        return Ok("build");
    }
    let has_zigbuild = which::which("cargo-zigbuild").is_ok();
    match (has_zigbuild, linkage) {
        (true, Linkage::GnuStatic) => bail!(hinted(
            format!("nothing here links `{}` statically: zig cannot link the GNU C library statically", target.triple),
            format!("install `{gcc}`, or set `linkage = \"musl\"`")
        )),
        (true, _) => Ok("zigbuild"),
        (false, _) => bail!(hinted(
            format!("nothing here links for `{}`", target.triple),
            format!("install `{gcc}`, or run `cargo install cargo-zigbuild` and install zig")
        )),
    }
}

impl NativeBuild {
    /// What decides the executable of `component` beside its own inputs.
    pub(crate) fn inputs(&self, workspace: &Workspace, component: &Component) -> BTreeSet<Input> {
        let values = workspace
            .pass_env()
            .into_iter()
            .filter_map(|name| Some(Input::variable(name, self.environment.get(name)?)));
        // Cargo tells packages outside the workspace apart by where they are, and that is in all names and
        // type ids of the program.
        let is_outside = component.closure.iter().any(|folder| folder.is_absolute());
        let stage = workspace.output().join("stage").join(&workspace.top.prefix);
        let folder = is_outside.then(|| Input::tool(OUTSIDE_FOLDER, stage));
        self.inputs.iter().cloned().chain(values).chain(folder).collect()
    }

    fn command<'a>(&self, shell: &'a Shell, components: &[&Component]) -> Cmd<'a> {
        let subcommand = self.subcommand;
        let arguments = &self.arguments;
        let binaries: Vec<&str> = components.iter().flat_map(|component| ["--bin", component.name.as_str()]).collect();
        let cargo = process::cargo();
        let command = cmd!(shell, "{cargo} {subcommand} {arguments...} {binaries...}").env_clear();
        self.environment.iter().fold(command, |command, (name, value)| command.env(name, value))
    }

    /// The exact command, for people: what is not as it is here in front, values that may be secret left out.
    pub(crate) fn display(&self, root: &Utf8Path, components: &[&Component]) -> Result<String> {
        let shell = process::shell_in(root)?;
        let quoted = |value: &String| format!("$'{}'", value.replace('\u{1f}', "\\x1f").replace('\'', "\\'"));
        let outer: BTreeMap<_, _> = environment::all().collect();
        let is_own = |(name, value): &(&String, &String)| outer.get(*name) != Some(*value);
        let environment =
            self.environment.iter().filter(is_own).map(|(name, value)| match self.hidden.contains(name) {
                true => format!("{name}=… "),
                false => format!("{name}={} ", quoted(value)),
            });
        Ok(environment.collect::<String>() + &self.command(&shell, components).to_string())
    }

    /// Where cargo keeps what it makes.
    pub(crate) fn folder(&self) -> &Utf8Path {
        &self.folder
    }

    /// Compiles `components`; cargo's progress and diagnostics go straight to standard error.
    ///
    /// # Errors
    /// Cargo failed before it compiled anything. A component that does not compile is no error
    /// here: it is among `failed`.
    pub(crate) fn compile(
        &self,
        workspace: &Workspace,
        stage: &Stage,
        components: &[&Component],
        progress: &Progress,
    ) -> Result<Compiled> {
        let mut readable = workspace.readable_by_all()?;
        for component in components {
            readable.extend(workspace.readable(component)?);
        }
        let (status, mut compiled) = self.run(workspace, stage, components, readable, Shown::All, progress)?;
        if !status.success() {
            compiled.hint = explain(&compiled.said, workspace, stage);
        }
        if !status.success() && compiled.failed.is_empty() {
            bail!("`cargo {}` failed ({status})", self.subcommand);
        }
        if status.success() && !compiled.failed.is_empty() {
            let missing: Vec<_> = compiled.failed.iter().map(String::as_str).collect();
            bail!("cargo succeeded without an executable for: {}", missing.join(", "));
        }
        for executable in compiled.executables.values() {
            require_plain(executable, &self.folder)?;
        }
        mark_used(&self.folder)?;
        forget_old(&target_folders(workspace))?;
        Ok(compiled)
    }

    /// Compiles what can be compiled for `components` from `readable` and what all may read; the rest is no error.
    /// Nothing is said of packages that are `hidden`.
    pub(crate) fn try_compile(
        &self,
        workspace: &Workspace,
        stage: &Stage,
        components: &[&Component],
        mut readable: Found,
        hidden: &BTreeSet<&str>,
        progress: &Progress,
    ) -> Result<Compiled> {
        readable.extend(workspace.readable_by_all()?);
        Ok(self.run(workspace, stage, components, readable, Shown::CompilingBut(hidden), progress)?.1)
    }

    fn run(
        &self,
        workspace: &Workspace,
        stage: &Stage,
        components: &[&Component],
        readable: Found,
        shown: Shown<'_>,
        progress: &Progress,
    ) -> Result<(ExitStatus, Compiled)> {
        let names: Vec<&str> = components.iter().map(|component| component.name.as_str()).collect();
        let home = Scratch::create(&workspace.output().join("home"))?;
        std::fs::create_dir_all(&self.folder).with_context(|| format!("cannot create `{}`", self.folder))?;
        mark_used(&self.folder)?;
        let writable = [self.folder.clone(), home.0.clone()];
        let needs =
            Needs { workspace, stage, readable, sysroot: &self.sysroot, writable: &writable, config: &self.config };
        let confinement = confinement(&needs, &|line| progress.say(line))?;
        let confinement = confinement.map(Arc::new);
        let enter = confinement.map(|confinement| move || confinement.enter());
        let shell = process::shell_in(&stage.root)?;
        let mut command = self.command(&shell, components).env("HOME", &home.0).env("TMPDIR", &home.0);
        if matches!(shown, Shown::All) && std::io::stderr().is_terminal() {
            // Cargo sees a pipe, and then shows no progress unless it is told how wide the terminal is.
            for (name, value) in [("COLOR", "always"), ("PROGRESS_WHEN", "always"), ("PROGRESS_WIDTH", "79")] {
                command = command.env(format!("CARGO_TERM_{name}"), value);
            }
        }
        let mut compiled = Compiled::default();
        let mut broken = None;
        let (status, said) = process::stream(command, enter, shown, |line| match serde_json::from_str(line) {
            Ok(message) => compiled.note(message, &names),
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
        compiled.said = said;
        if CargoConfig::of_machine(workspace.root())?.files != self.config.files {
            bail!(hinted(
                "cargo's configuration changed while this ran, so what was built is not what was planned",
                "run it again"
            ));
        }
        Ok((status, compiled))
    }
}

/// Refuses what a build script may have put in the place of a program: a link leads out of the sandbox.
///
/// # Errors
/// It is no plain file of the target folder.
fn require_plain(executable: &Utf8Path, folder: &Utf8Path) -> Result<()> {
    for path in [executable.to_owned(), Utf8PathBuf::from(format!("{executable}.d"))] {
        let is_plain = match std::fs::symlink_metadata(&path) {
            Ok(metadata) => metadata.is_file() && metadata.len() < MAX_EXECUTABLE,
            // Cargo writes down what was read only when all goes well.
            Err(_) => path != executable,
        };
        let real = executable.parent().and_then(|parent| parent.canonicalize_utf8().ok());
        let is_inside =
            real.zip(folder.canonicalize_utf8().ok()).is_some_and(|(real, folder)| real.starts_with(folder));
        if !is_plain || !is_inside {
            bail!(hinted(
                format!("`{path}` is no plain file: a build script has changed what cargo made"),
                format!("delete `{folder}` and look at the build scripts")
            ));
        }
    }
    Ok(())
}

/// Where cargo's target folders are.
fn target_folders(workspace: &Workspace) -> Utf8PathBuf {
    workspace.output().join("build")
}

/// Says when a target folder was last used, by a file's time.
fn mark_used(folder: &Utf8Path) -> Result<()> {
    let marker = folder.join("used");
    std::fs::write(&marker, "").with_context(|| format!("cannot write `{marker}`"))
}

/// Removes the target folders among `all` that have not been used for long: only the newest few stay.
fn forget_old(all: &Utf8Path) -> Result<()> {
    const KEPT: usize = 3;
    let mut folders: Vec<_> = all
        .read_dir_utf8()
        .with_context(|| format!("cannot read `{all}`"))?
        .flatten()
        .map(|entry| {
            let time = std::fs::metadata(entry.path().join("used")).and_then(|metadata| metadata.modified());
            (std::cmp::Reverse(time.ok()), entry.into_path())
        })
        .collect();
    folders.sort();
    for (_, folder) in folders.into_iter().skip(KEPT) {
        // What cannot be removed is in nobody's way.
        let _ = std::fs::remove_dir_all(&folder).or_else(|_| std::fs::remove_file(&folder));
    }
    Ok(())
}
