//! What the tests against real engines, registries and clusters share.
//!
//! They find their parts by `PATH`, `LAB_REGISTRY` and `KUBECONFIG`, so any will do.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::support::{Fixture, Output, Xtask, clean, root_manifest, succeed};

/// A workspace whose images have names of their own, and one engine to itself: tests that use an
/// engine run one after the other, or their times and logs would say nothing.
pub(crate) struct Scene {
    pub(crate) fixture: Fixture,
    /// In all names that this test makes, and in no other's: engines remember much.
    pub(crate) id: String,
    _turn: MutexGuard<'static, ()>,
}

impl Deref for Scene {
    type Target = Fixture;

    fn deref(&self) -> &Fixture {
        &self.fixture
    }
}

impl Scene {
    /// A workspace with `members`, further `settings` of `[workspace.metadata.docker]`, and `files`.
    /// `ID` in a text becomes the scene's id.
    pub(crate) fn new(name: &str, members: &[&str], settings: &str, files: &[(&str, &str)]) -> Self {
        static ENGINE: Mutex<()> = Mutex::new(());
        let turn = ENGINE.lock().unwrap_or_else(PoisonError::into_inner);
        let id = unique(name);
        let metadata = format!(
            "[workspace.metadata.docker]\nregistry = \"{}\"\nrepository = \"xtask-test/{id}-{{component}}\"\n{settings}",
            registry()
        );
        let fixture = Fixture::unlocked(&[("Cargo.toml", &root_manifest(members, &metadata))]);
        for (path, text) in files {
            fixture.write(path, &text.replace("ID", &id));
        }
        fixture.lock();
        Scene { fixture, id, _turn: turn }
    }

    /// The name that a component's image has in the engine, and in the registry.
    pub(crate) fn image(&self, component: &str, tag: &str) -> String {
        format!("{}/xtask-test/{}-{component}:{tag}", registry(), self.id)
    }

    /// `docker-build --builder docker`, with further arguments.
    pub(crate) fn engine_build(&self, arguments: &str) -> Xtask {
        self.xtask(&format!("docker-build --builder docker {arguments}"))
    }

    /// Takes a name from an image of the engine: given to another image, it would leave a nameless one.
    pub(crate) fn untag(&self, component: &str, tag: &str) {
        run("docker", &["rmi", &self.image(component, tag)]);
    }

    /// What the executable of `component` prints: the one that the engine compiled, which must be
    /// the one in the image.
    #[track_caller]
    pub(crate) fn prints(&self, component: &str) -> String {
        prints(&self.fixture, component)
    }

    /// The engine's output while it compiled `component` for this machine's platform.
    #[track_caller]
    pub(crate) fn log(&self, component: &str) -> String {
        self.read(&format!("target/docker/logs/{component}-{}.log", platform().replace('/', "-")))
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let pattern = format!("reference={}/xtask-test/{}-*", registry(), self.id);
        // A cluster's engine has them by digest alone.
        let format = "{{if eq .Tag \"<none>\"}}{{.ID}}{{else}}{{.Repository}}:{{.Tag}}{{end}}";
        // A container of a pod that is gone may need its image for another moment.
        for _ in 0..5 {
            let found = run("docker", &["images", "--filter", &pattern, "--format", format]).stdout;
            if found.is_empty() {
                return;
            }
            if found.lines().any(|image| !run("docker", &["rmi", "--force", image]).success) {
                std::thread::sleep(Duration::from_secs(1));
            }
        }
    }
}

/// Bytes of a 64-bit executable's header.
const ELF_HEADER: usize = 64;

/// What the executable that an engine compiled prints, and that of the image.
#[track_caller]
pub(crate) fn prints(fixture: &Fixture, component: &str) -> String {
    let kept = fixture.path(&format!("target/docker/executables/{}/{component}", platform().replace('/', "-")));
    let printed = tool(&kept.to_string_lossy(), &[]);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let program = fixture.image(component).extract_program(folder.path());
    // What it was made from comes behind its end, and its header says where.
    let (program, kept) = (fs::read(&program).expect("a program"), fs::read(&kept).expect("an executable"));
    let is_it = program.len() > kept.len() && program[ELF_HEADER..kept.len()] == kept[ELF_HEADER..];
    assert!(is_it, "the image has another program than the engine compiled");
    printed
}

/// The registry that images are named after and pushed to.
pub(crate) fn registry() -> String {
    std::env::var("LAB_REGISTRY").unwrap_or_else(|_| "localhost:5000".to_owned())
}

/// This machine's platform.
pub(crate) fn platform() -> &'static str {
    if cfg!(target_arch = "aarch64") { "linux/arm64" } else { "linux/amd64" }
}

/// A name that no other test, and no other run, uses.
pub(crate) fn unique(name: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a time after 1970");
    let (time, count) = (now.as_millis() & 0xff_ffff_ffff, COUNT.fetch_add(1, Ordering::Relaxed));
    format!("{name}-{}-{time:x}-{count}", std::process::id())
}

/// Runs a tool and gives its standard output without white space around it.
#[track_caller]
pub(crate) fn tool(program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    clean(&mut command, Path::new("/"));
    succeed(command.args(arguments)).trim().to_owned()
}

/// Runs `docker` with `arguments`, separated by spaces.
#[track_caller]
pub(crate) fn docker(arguments: &str) -> String {
    tool("docker", &arguments.split_whitespace().collect::<Vec<_>>())
}

/// Runs a tool, whatever its exit code.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Ended {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("`{program}` cannot be started: {error}"));
    Ended {
        success: output.status.success(),
        stdout: String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    }
}

/// How a tool ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) success: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Commands that are run when this goes out of scope, the last one first; their failure is none.
#[derive(Default)]
pub(crate) struct Cleanup(Vec<Vec<String>>);

impl Cleanup {
    /// Adds a command, its words separated by spaces.
    pub(crate) fn add(&mut self, command: &str) {
        self.0.push(command.split_whitespace().map(str::to_owned).collect());
    }
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        for command in self.0.iter().rev() {
            let arguments: Vec<&str> = command[1..].iter().map(String::as_str).collect();
            run(&command[0], &arguments);
        }
    }
}

/// Gives a file the time 2001-01-01.
#[track_caller]
pub(crate) fn make_old(path: &Path) {
    let file = File::options().append(true).open(path).expect("a file to make old");
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(978_307_200)).expect("a time that can be set");
}

/// All files below a folder that is there.
pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.path().is_dir() {
            true => found.extend(files_below(&entry.path())),
            false => found.push(entry.path()),
        }
    }
    found
}

/// A container CLI that writes down each call and passes it on to docker.
pub(crate) struct Recorder {
    pub(crate) program: PathBuf,
    record: PathBuf,
}

impl Recorder {
    pub(crate) fn new(fixture: &Fixture) -> Self {
        let (program, record) = (fixture.beside("bin/docker"), fixture.beside("calls"));
        let text = format!(
            "#!/bin/sh\necho \"$*\" >>'{}'\nexec {} \"$@\"\n",
            record.display(),
            which("docker").expect("docker on the PATH").display()
        );
        crate::support::write(&program, &text);
        make_executable(&program);
        Recorder { program, record }
    }

    /// The builds that were started since the last question.
    #[track_caller]
    pub(crate) fn builds(&self) -> Vec<String> {
        let calls = fs::read_to_string(&self.record).expect("recorded calls");
        fs::write(&self.record, "").expect("a record that can be emptied");
        calls.lines().filter(|call| call.contains("build ") && call.contains("--output")).map(str::to_owned).collect()
    }
}

/// Sets the mode of a program.
pub(crate) fn make_executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a mode that can be set");
}

/// The first program of that name on the PATH.
pub(crate) fn which(name: &str) -> Option<PathBuf> {
    programs(name).into_iter().next()
}

/// All programs of that name on the PATH, each once.
pub(crate) fn programs(name: &str) -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).filter(|program| program.is_file());
    let mut seen = BTreeSet::new();
    found.filter(|program| program.canonicalize().is_ok_and(|real| seen.insert(real))).collect()
}

/// Waits until `condition` holds.
#[track_caller]
pub(crate) fn wait_for(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < limit, "no {what} after {limit:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Command lines of running processes that contain `text`.
pub(crate) fn processes(text: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit()))
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(text))
        .collect()
}

/// Pushes an image of the engine to the registry, gives its digest, and has it deleted in the end.
#[track_caller]
pub(crate) fn push(image: &str, cleanup: &mut Cleanup) -> String {
    copy(&format!("docker-daemon:{image}"), &format!("docker://{image}"));
    let digest =
        tool("skopeo", &["inspect", "--tls-verify=false", "--format={{.Digest}}", &format!("docker://{image}")]);
    cleanup.add(&format!("skopeo delete --tls-verify=false docker://{image}"));
    digest
}

/// Copies an image with skopeo. `docker-daemon:` goes by an archive where skopeo is older than the
/// engine allows; registries here have no TLS.
#[track_caller]
pub(crate) fn copy(from: &str, to: &str) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let archive = folder.path().join("image.tar").display().to_string();
    let skopeo = |from: &str, to: &str| {
        let host = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
        let mut arguments = vec!["copy".to_owned(), "--quiet".to_owned(), "--insecure-policy".to_owned()];
        for (side, place) in [("src", from), ("dest", to)] {
            if place.starts_with("docker://") {
                arguments.push(format!("--{side}-tls-verify=false"));
            } else if let Some(host) = host.as_ref().filter(|_| place.starts_with("docker-daemon:")) {
                arguments.push(format!("--{side}-daemon-host={host}"));
            }
        }
        arguments.extend([from.to_owned(), to.to_owned()]);
        run("skopeo", &arguments.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let mut copied = skopeo(from, to);
    if !copied.success {
        if let Some(image) = to.strip_prefix("docker-daemon:") {
            copied = skopeo(from, &format!("docker-archive:{archive}:{image}"));
            docker(&format!("load --input {archive}"));
        } else if let Some(image) = from.strip_prefix("docker-daemon:") {
            docker(&format!("save --output {archive} {image}"));
            copied = skopeo(&format!("docker-archive:{archive}"), to);
        }
    }
    assert!(copied.success, "skopeo copy {from} {to}: {}", copied.stderr);
}

/// A cargo workspace's member that prints `text` and nothing else.
pub(crate) fn printer(text: &str) -> String {
    format!("fn main() {{\n    println!(\"{text}\");\n}}\n")
}

/// Demands that a run said that it compiled exactly `components`.
#[track_caller]
pub(crate) fn compiled(output: &Output, components: &[&str]) {
    let said: Vec<_> =
        output.stderr.lines().filter_map(|line| line.split_once(": compiling for ")).map(|(name, _)| name).collect();
    let mut sorted = said.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, components, "{}", output.stderr);
}
