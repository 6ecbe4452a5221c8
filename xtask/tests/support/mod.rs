//! Small workspaces in temporary folders, the real `xtask` run on them, and what it left, read back.
//!
//! Needs Rust and git, nothing else.

// Each test program uses its own part of this.
#![allow(dead_code, unused_imports)]

pub(crate) mod http;
pub(crate) mod image;
pub(crate) mod mounted;
mod run;

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

pub(crate) use run::{Output, Xtask};

/// Time of the first commit that a fixture makes; each further one is a minute later.
pub(crate) const FIRST_COMMIT: i64 = 1_700_000_000;

/// A workspace in a temporary folder, gone when dropped.
pub(crate) struct Fixture {
    folder: TempDir,
    root: PathBuf,
    commits: Cell<i64>,
}

impl Fixture {
    /// Writes `files` (path below the root, text) and makes `Cargo.lock`, unless it is among them.
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let fixture = Self::unlocked(files);
        if !fixture.path("Cargo.lock").exists() {
            fixture.lock();
        }
        fixture
    }

    /// As [`Fixture::new`], without `Cargo.lock`.
    pub(crate) fn unlocked(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::Builder::new().prefix("xtask-test-").tempdir().expect("a temporary folder");
        // The root lies one deeper, so that tests can put things beside the workspace.
        let root = folder.path().canonicalize().expect("a readable temporary folder").join("ws");
        fs::create_dir(&root).expect("a folder for the workspace");
        let fixture = Fixture { folder, root, commits: Cell::new(0) };
        fixture.write_all(files);
        fixture
    }

    /// A workspace whose members each have one binary of their own name.
    pub(crate) fn simple(members: &[&str]) -> Self {
        let fixture = Self::unlocked(&[("Cargo.toml", &root_manifest(members, ""))]);
        for member in members {
            fixture.write(&format!("{member}/Cargo.toml"), &package(member, ""));
            fixture.write(&format!("{member}/src/main.rs"), &format!("fn main() {{ println!(\"{member}\"); }}\n"));
        }
        fixture.lock();
        fixture
    }

    /// The workspace's root folder.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A path below the root.
    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.root.join(below)
    }

    /// A path beside the workspace, still inside the temporary folder.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.root.parent().expect("a parent").join(name)
    }

    /// Writes a file below the root, with the folders that lead to it.
    pub(crate) fn write(&self, below: &str, text: &str) -> &Self {
        write(&self.path(below), text);
        self
    }

    /// Writes several files.
    pub(crate) fn write_all(&self, files: &[(&str, &str)]) -> &Self {
        for (path, text) in files {
            self.write(path, text);
        }
        self
    }

    /// Adds `text` to the end of a file.
    pub(crate) fn append(&self, below: &str, text: &str) -> &Self {
        let old = self.read(below);
        self.write(below, &(old + text))
    }

    /// Replaces `old` (which must be there) in a file.
    pub(crate) fn replace(&self, below: &str, old: &str, new: &str) -> &Self {
        let text = self.read(below);
        assert!(text.contains(old), "`{below}` has no `{old}`:\n{text}");
        self.write(below, &text.replace(old, new))
    }

    /// Writes an executable script.
    pub(crate) fn script(&self, below: &str, text: &str) -> PathBuf {
        self.write(below, text);
        let path = self.path(below);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a script that can be made executable");
        path
    }

    /// Reads a file below the root.
    pub(crate) fn read(&self, below: &str) -> String {
        let path = self.path(below);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
    }

    /// Removes a file or a folder.
    pub(crate) fn remove(&self, below: &str) -> &Self {
        let path = self.path(below);
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.unwrap_or_else(|error| panic!("cannot remove {}: {error}", path.display()));
        self
    }

    /// Makes a symbolic link.
    pub(crate) fn link(&self, below: &str, target: impl AsRef<Path>) -> &Self {
        let path = self.path(below);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder for a link");
        std::os::unix::fs::symlink(target, &path).expect("a link");
        self
    }

    /// Makes or updates `Cargo.lock` without the network.
    pub(crate) fn lock(&self) -> &Self {
        let mut cargo = Command::new("cargo");
        clean(&mut cargo, &self.root);
        cargo.args(["generate-lockfile", "--offline", "--quiet"]);
        succeed(&mut cargo);
        self
    }

    /// Puts a crate into `vendor/` and makes cargo take it for one of crates.io: a registry package
    /// without a registry.
    pub(crate) fn vendor(&self, name: &str, version: &str) -> &Self {
        let folder = format!("vendor/{name}-{version}");
        let config = "[source.crates-io]\nreplace-with = \"vendored\"\n[source.vendored]\ndirectory = \"vendor\"\n";
        let checksum = checksum(name, version);
        self.write(".cargo/config.toml", config);
        self.write(&format!("{folder}/Cargo.toml"), &package(name, "").replace("0.1.0", version));
        self.write(&format!("{folder}/src/lib.rs"), &format!("pub const VERSION: &str = \"{version}\";\n"));
        self.write(&format!("{folder}/.cargo-checksum.json"), &format!("{{\"files\":{{}},\"package\":\"{checksum}\"}}"))
    }

    /// Makes `Cargo.lock` hold another version of a vendored package, as `cargo update` would.
    pub(crate) fn relock(&self, name: &str, from: &str, to: &str) -> &Self {
        self.replace(
            "Cargo.lock",
            &format!("name = \"{name}\"\nversion = \"{from}\""),
            &format!("name = \"{name}\"\nversion = \"{to}\""),
        );
        self.replace("Cargo.lock", &checksum(name, from), &checksum(name, to))
    }

    /// `git init`, and a first commit of all there is.
    pub(crate) fn git_init(&self) -> &Self {
        self.git(&["init", "--quiet", "--initial-branch=main"]);
        if !self.path(".gitignore").exists() {
            self.write(".gitignore", "/target\n");
        }
        self.commit("first");
        self
    }

    /// Commits everything and gives the commit's hash.
    pub(crate) fn commit(&self, message: &str) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", message]);
        self.head()
    }

    /// The hash of HEAD.
    pub(crate) fn head(&self) -> String {
        self.git(&["rev-parse", "HEAD"])
    }

    /// Runs git in the workspace and gives what it prints, without the final newline.
    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        let mut git = Command::new("git");
        clean(&mut git, &self.root);
        let time = FIRST_COMMIT + 60 * self.commits.get();
        if arguments.first() == Some(&"commit") {
            self.commits.set(self.commits.get() + 1);
        }
        for who in ["AUTHOR", "COMMITTER"] {
            git.env(format!("GIT_{who}_NAME"), "test").env(format!("GIT_{who}_EMAIL"), "test@example.com");
            git.env(format!("GIT_{who}_DATE"), format!("{time} +0000"));
        }
        succeed(git.args(arguments)).trim_end().to_owned()
    }

    /// A copy of all files but `target`, in a folder of its own, git history included.
    pub(crate) fn copy(&self) -> Self {
        let copy = Self::unlocked(&[]);
        copy_folder(&self.root, &copy.root);
        copy.commits.set(self.commits.get());
        copy
    }

    /// The xtask with `arguments` (separated by spaces), to be run at the root.
    pub(crate) fn xtask(&self, arguments: &str) -> Xtask {
        Xtask::new(arguments, &self.root)
    }

    /// `docker-build --builder native` for this machine's platform, with further arguments.
    pub(crate) fn build(&self, arguments: &str) -> Xtask {
        self.xtask(&format!("docker-build --builder native {arguments}")).env("CI_IMAGE_PLATFORM", own_platform())
    }

    /// An image of the layout, read back.
    pub(crate) fn image(&self, name: &str) -> image::Image {
        image::Image::read(&self.path("target/docker/oci"), name)
    }

    /// The manifest digest of an image of the layout.
    pub(crate) fn digest(&self, name: &str) -> String {
        image::descriptor(&self.path("target/docker/oci"), name)["digest"].as_str().expect("a digest").to_owned()
    }

    /// Names of the components, as `components --json` lists them.
    pub(crate) fn components(&self) -> Vec<String> {
        names(&self.xtask("components --json").ok().json())
    }
}

/// This machine's platform, as OCI writes it.
pub(crate) fn own_platform() -> String {
    format!("linux/{}", own_architecture())
}

/// This machine's architecture, as OCI writes it.
pub(crate) fn own_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// A root manifest with `members` and then `rest`.
pub(crate) fn root_manifest(members: &[&str], rest: &str) -> String {
    format!("[workspace]\nresolver = \"3\"\nmembers = {members:?}\n\n{rest}")
}

/// A package's manifest with `rest` at its end.
pub(crate) fn package(name: &str, rest: &str) -> String {
    format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n{rest}")
}

fn checksum(name: &str, version: &str) -> String {
    image::digest(format!("{name} {version}").as_bytes()).replace("sha256:", "")
}

/// The `name` of each entry of a JSON list.
pub(crate) fn names(list: &Value) -> Vec<String> {
    let entries = list.as_array().expect("a list");
    entries.iter().map(|entry| entry["name"].as_str().expect("a name").to_owned()).collect()
}

/// Writes a file, with the folders that lead to it.
pub(crate) fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a parent")).expect("a folder for a file");
    fs::write(path, text).unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
}

/// Takes what the outer cargo, a CI system or the user's git configuration would add.
pub(crate) fn clean(command: &mut Command, folder: &Path) {
    for (name, _) in std::env::vars_os() {
        let Some(text) = name.to_str() else { continue };
        let prefixes = ["CI_", "GITHUB_", "CARGO_", "GIT_", "CFLAGS", "CXXFLAGS"];
        let whole = ["CARGO", "SERVICES", "SOURCE_DATE_EPOCH", "DOCKER_CLI", "RUSTFLAGS", "RUSTC_WRAPPER", "LC_ALL"];
        // How to reach the crates registry is the machine's business.
        let kept = ["CARGO_HOME", "CARGO_HTTP_", "CARGO_NET_"].iter().any(|prefix| text.starts_with(prefix));
        let foreign = prefixes.iter().any(|prefix| text.starts_with(prefix)) || whole.contains(&text);
        if foreign && !kept {
            command.env_remove(name);
        }
    }
    // A fixture's toolchain file is for reading, not for installing: all run with the tests' own.
    if let Some(toolchain) = option_env!("RUSTUP_TOOLCHAIN") {
        command.env("RUSTUP_TOOLCHAIN", toolchain);
    }
    command.current_dir(folder).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    // A repository around the temporary folder is none of the fixture's.
    command.env("GIT_CEILING_DIRECTORIES", folder.parent().unwrap_or(folder));
}

/// Runs a tool that a fixture needs and gives its standard output.
#[track_caller]
pub(crate) fn succeed(command: &mut Command) -> String {
    let mut tries = 0..100;
    let output = loop {
        match command.stdin(Stdio::null()).output() {
            // A program that was just written: a child that another test starts holds it open for a moment.
            Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy && tries.next().is_some() => {
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
            Err(error) => {
                let program = command.get_program();
                panic!("{program:?} cannot be started ({error}): these tests need Rust and git on the PATH")
            }
            Ok(output) => break output,
        }
    };
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed ({}):\n{stderr}", output.status);
    String::from_utf8(output.stdout).expect("UTF-8")
}

pub(crate) fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder for a copy");
    for entry in fs::read_dir(from).expect("a readable folder") {
        let entry = entry.expect("a readable entry");
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().expect("a kind of file");
        if kind.is_dir() {
            if entry.file_name() != "target" {
                copy_folder(&source, &target);
            }
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(&source).expect("a link"), &target).expect("a copied link");
        } else {
            fs::copy(&source, &target).expect("a copied file");
        }
    }
}
