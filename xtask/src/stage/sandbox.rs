//! What a native build may read and write, and whether the kernel sees to it.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};
use camino::{Utf8Path, Utf8PathBuf};

use super::Stage;
use super::confine::{Confinement, landlock_version};
use crate::errors::hinted;
use crate::gather::cargo_config::{CargoConfig, NAMES, cargo_home};
use crate::gather::files::Found;
use crate::gather::workspace::Workspace;
use crate::system::environment::variable;
use crate::workspace::settings::{SandboxMode, WorkspaceSettings};

/// Folders of the system: programs, libraries, headers, and what describes the machine.
const SYSTEM: &[&str] = &[
    "/usr",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/bin",
    "/sbin",
    "/opt",
    "/nix",
    "/gnu",
    "/run/current-system",
    "/proc",
    "/sys",
];

/// What of `/etc` programs look at. The rest may be secret.
const ETC: &[&str] = &[
    "alternatives",
    "ca-certificates",
    "ca-certificates.conf",
    "crypto-policies",
    "fonts",
    "gitconfig",
    "group",
    "host.conf",
    "hosts",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "ld.so.preload",
    "locale.alias",
    "localtime",
    "login.defs",
    "magic",
    "mime.types",
    "nsswitch.conf",
    "openssl",
    "os-release",
    "debian_version",
    "lsb-release",
    "passwd",
    "perl",
    "pki/ca-trust",
    "pki/tls/certs",
    "profile",
    "protocols",
    "python3",
    "resolv.conf",
    "services",
    "shells",
    "ssl/certs",
    "ssl/openssl.cnf",
    "timezone",
    "xdg",
];

const DEVICES: &[&str] = &["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"];

/// Beside a folder of programs, what they usually read.
const BESIDE_PROGRAMS: &[&str] = &["lib", "lib64", "libexec", "include"];

/// Where sccache's server listens unless `SCCACHE_SERVER_PORT` says otherwise.
const SCCACHE_PORT: u16 = 4226;

/// What a build may do.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rules {
    /// Folders and files that it may read, and run.
    pub(crate) read: Vec<Utf8PathBuf>,
    /// Folders whose entries, and those below, it may list.
    pub(crate) list: Vec<Utf8PathBuf>,
    /// Folders and files that it may change.
    pub(crate) write: Vec<Utf8PathBuf>,
    /// Devices.
    pub(crate) devices: Vec<Utf8PathBuf>,
    /// TCP ports that it may connect to.
    pub(crate) ports: Vec<u16>,
    /// Whether it may use the network as it likes.
    pub(crate) network: bool,
}

/// What a native build is about.
pub(crate) struct Needs<'a> {
    /// The workspace.
    pub(crate) workspace: &'a Workspace,
    /// What is compiled.
    pub(crate) stage: &'a Stage,
    /// What of it may be read.
    pub(crate) readable: Found,
    /// The toolchain.
    pub(crate) sysroot: &'a Utf8Path,
    /// Folders for what it makes.
    pub(crate) writable: &'a [Utf8PathBuf],
    /// Cargo's configuration.
    pub(crate) config: &'a CargoConfig,
}

/// Whether builds with these settings are confined here.
pub(crate) fn is_confined(settings: &WorkspaceSettings) -> bool {
    settings.sandbox != SandboxMode::Off && landlock_version().is_some()
}

/// The sandbox of a native build; nothing when it runs free.
///
/// # Errors
/// One is required, and the kernel has none.
pub(crate) fn confinement(needs: &Needs<'_>, say: &dyn Fn(&str)) -> Result<Option<Confinement>> {
    let settings = &needs.workspace.packages.settings;
    if is_confined(settings) {
        return Confinement::new(&rules(needs)?).map(Some);
    }
    let why = "this kernel confines no programs: it has no Landlock (Linux 5.13), or it is switched off";
    match settings.sandbox {
        SandboxMode::Off => {}
        SandboxMode::Auto => say(&format!("warning: {why}; build scripts can read what this user can")),
        SandboxMode::Required => {
            bail!(hinted(why, "build on another machine, or set `sandbox = \"auto\"` in `[workspace.metadata.docker]`"))
        }
    }
    Ok(None)
}

/// What the sandbox allows.
fn rules(needs: &Needs<'_>) -> Result<Rules> {
    let Needs { workspace, stage, readable, sysroot, writable, config } = needs;
    let settings = &workspace.packages.settings;
    let home = cargo_home()?;
    // Wherever they lie, even below a folder of the system.
    let mut hidden: BTreeSet<Utf8PathBuf> = BTreeSet::from([workspace.root().to_owned(), home.clone()]);
    hidden.extend(["HOME", "DOCKER_CONFIG", "TMPDIR"].iter().filter_map(|name| variable(name)).map(Utf8PathBuf::from));
    hidden.retain(|path| path.is_absolute() && path != "/");
    let hidden: BTreeSet<Utf8PathBuf> =
        hidden.into_iter().map(|path| path.canonicalize_utf8().unwrap_or(path)).collect();

    let mut rules = Rules { network: settings.network, ..Rules::default() };
    let system = SYSTEM.iter().map(Utf8PathBuf::from).chain(ETC.iter().map(|name| Utf8Path::new("/etc").join(name)));
    for path in system {
        allow_except(&path, &hidden, &mut rules.read)?;
    }
    rules.read.extend(settings.system_paths.iter().cloned());
    rules.read.extend(programs(&hidden));
    rules.read.push((*sysroot).to_owned());
    let rustup = variable("RUSTUP_HOME").or_else(|| variable("HOME").map(|home| format!("{home}/.rustup")));
    rules.read.extend(rustup.map(Utf8PathBuf::from));
    rules.read.extend(["bin", "registry", "git", "config", "config.toml"].map(|name| home.join(name)));
    let staged = |path: &Utf8Path| stage.folder.join(workspace.top.place(path));
    let whole: Vec<_> = workspace.vendored_folders().iter().map(|folder| workspace.root().join(folder)).collect();
    let single = readable.keys().filter(|path| !whole.iter().any(|folder| path.starts_with(folder)));
    rules.read.extend(single.chain(&whole).map(|path| staged(path)));
    // Names alone: cargo looks for members and targets everywhere.
    rules.list.push(stage.folder.clone());
    // Cargo looks in every folder above, and takes what it may not read for fatal.
    for folder in stage.folder.ancestors().skip(1) {
        let names = NAMES.into_iter().chain(["Cargo.toml", "rust-toolchain", "rust-toolchain.toml"]);
        rules.read.extend(names.map(|name| folder.join(name)).filter(|path| path.is_file()));
    }
    rules.read.extend(config.files.keys().cloned());
    for name in [".package-cache", ".package-cache-mutate", ".global-cache"] {
        rules.write.extend(Some(home.join(name)).filter(|path| path.is_file()));
    }
    rules.write.extend(writable.iter().cloned());
    rules.devices = DEVICES.iter().map(Utf8PathBuf::from).collect();
    let configured =
        config.table.get("build").and_then(|build| build.get("rustc-wrapper")).and_then(|value| value.as_str());
    let wrappers =
        ["RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "CARGO_BUILD_RUSTC_WRAPPER"].into_iter().filter_map(variable);
    if wrappers
        .chain(configured.map(str::to_owned))
        .any(|program| Utf8Path::new(&program).file_stem() == Some("sccache"))
    {
        let port = variable("SCCACHE_SERVER_PORT").map_or(Ok(SCCACHE_PORT), |port| port.parse());
        rules.ports.push(port.context("`SCCACHE_SERVER_PORT` is no port")?);
    }
    Ok(rules)
}

/// Adds `path`, or, when something in it is hidden, all that leads past it.
fn allow_except(path: &Utf8Path, hidden: &BTreeSet<Utf8PathBuf>, allowed: &mut Vec<Utf8PathBuf>) -> Result<()> {
    // `/lib` may be a link to `/usr/lib`.
    let Ok(real) = path.canonicalize_utf8() else { return Ok(()) };
    if hidden.contains(&real) {
        return Ok(());
    }
    if !real.is_dir() || !hidden.iter().any(|hidden| hidden.starts_with(&real)) {
        allowed.push(real);
        return Ok(());
    }
    for entry in real.read_dir_utf8().with_context(|| format!("cannot read `{real}`"))?.flatten() {
        if entry.file_type().is_ok_and(|kind| !kind.is_symlink()) {
            allow_except(entry.path(), hidden, allowed)?;
        }
    }
    Ok(())
}

/// Folders on the PATH beyond the system's, and what belongs to their programs.
fn programs(hidden: &BTreeSet<Utf8PathBuf>) -> Vec<Utf8PathBuf> {
    let path = variable("PATH").unwrap_or_default();
    let mut found = Vec::new();
    for folder in std::env::split_paths(&path) {
        let Ok(folder) = Utf8PathBuf::from_path_buf(folder) else { continue };
        let Ok(real) = folder.canonicalize_utf8() else { continue };
        // Where somebody's own files lie as well, or the checkout's, no folder of programs is.
        let is_open = hidden.iter().any(|hidden| hidden.starts_with(&real));
        if !folder.is_absolute() || is_open {
            continue;
        }
        if real.file_name() == Some("bin")
            && let Some(prefix) = real.parent().filter(|prefix| !hidden.contains(*prefix))
        {
            found.extend(BESIDE_PROGRAMS.iter().map(|name| prefix.join(name)).filter(|path| path.is_dir()));
        }
        found.push(real);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hidden_stays_so_in_an_allowed_folder() {
        let folder = tempfile::tempdir().unwrap();
        let top = Utf8Path::from_path(folder.path()).unwrap().canonicalize_utf8().unwrap();
        for name in ["share/doc", "src/app/secret", "src/other", "lib"] {
            std::fs::create_dir_all(top.join(name)).unwrap();
        }
        let mut allowed = Vec::new();
        allow_except(&top, &BTreeSet::from([top.join("src/app")]), &mut allowed).unwrap();
        allowed.sort();
        assert_eq!(allowed, [top.join("lib"), top.join("share"), top.join("src/other")]);
        let mut allowed = Vec::new();
        allow_except(&top, &BTreeSet::new(), &mut allowed).unwrap();
        assert_eq!(allowed, [top]);
    }
}
