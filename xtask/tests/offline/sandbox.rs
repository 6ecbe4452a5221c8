//! What a hostile dependency wants, and does not get. Linux with Landlock; elsewhere these fail, since
//! builds are not confined there.

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::{Fixture, package, root_manifest, succeed, write};

/// Tries everything; what works is printed by the program, `;` between.
const HOSTILE: &str = r#"
use std::io::{Read, Write};
use std::path::Path;

pub fn attack() -> String {
    let mut got: Vec<String> = Vec::new();
    let mut try_it = |what: &str, worked: bool| if worked { got.push(what.to_owned()) };
    for path in FILES {
        try_it(path, std::fs::read(path).is_ok());
    }
    for path in FOLDERS {
        try_it(path, std::fs::read_dir(path).is_ok());
    }
    for path in WRITTEN {
        try_it(path, std::fs::write(path, "was here").is_ok());
    }
    for pid in std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.file_name().into_string().unwrap()) {
        let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let is_secret = environ.windows(6).any(|part| part == b"hunter");
        try_it(&format!("environ of {pid}"), is_secret);
    }
    try_it("the environment", std::env::vars().any(|(_, value)| value.contains("hunter")));
    try_it("tcp", std::net::TcpStream::connect("127.0.0.1:TCP").is_ok());
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.send_to(b"x", "127.0.0.1:UDP"));
    try_it("udp", udp.is_ok());
    try_it("a local service", std::os::unix::net::UnixStream::connect("SOCKET").is_ok());
    try_it("a server", std::net::TcpListener::bind("127.0.0.1:0").is_ok());
    let signalled = std::process::Command::new("sh").args(["-c", "kill -0 PARENT"]).status();
    try_it("a signal", signalled.is_ok_and(|status| status.success()));
    let child = std::process::Command::new("cat").arg(FILES[0]).output();
    try_it("a child that reads", child.is_ok_and(|output| output.status.success()));
    let _ = (Path::new(""), std::io::stdin().take(0).read(&mut []), std::io::sink().flush());
    got.join(";")
}
"#;

struct Scene {
    fixture: Fixture,
    home: std::path::PathBuf,
    _services: (TcpListener, UdpSocket, UnixListener),
}

/// `app` asks a build script and a proc macro of `evil`.
fn scene(settings: &str) -> Scene {
    let fixture = Fixture::unlocked(&[]);
    let home = fixture.beside("home");
    for file in [".docker/config.json", ".ssh/id_ed25519", ".cargo/credentials.toml", ".aws/credentials", "notes"] {
        write(&home.join(file), "hunter2");
    }
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let socket = fixture.beside("service.sock");
    let unix = UnixListener::bind(&socket).unwrap();
    let shown = |path: std::path::PathBuf| path.display().to_string();
    let files = [".docker/config.json", ".ssh/id_ed25519", ".cargo/credentials.toml", ".aws/credentials", "notes"];
    let mut files: Vec<String> = files.iter().map(|file| shown(home.join(file))).collect();
    files.extend([shown(fixture.path("other/src/main.rs")), shown(fixture.path(".env")), "/etc/shadow".into()]);
    let folders = [shown(home.clone()), shown(fixture.path("other")), shown(fixture.root().to_owned()), "/tmp".into()];
    let written = [shown(fixture.beside("written")), shown(fixture.path("app/written")), "../app/written".into()];
    let code = HOSTILE
        .replace("TCP", &tcp.local_addr().unwrap().port().to_string())
        .replace("UDP", &udp.local_addr().unwrap().port().to_string())
        .replace("SOCKET", &shown(socket))
        .replace("PARENT", &std::process::id().to_string());
    let code = format!(
        "const FILES: &[&str] = &{files:?};\nconst FOLDERS: &[&str] = &{folders:?};\nconst WRITTEN: &[&str] = &{written:?};\n{code}"
    );
    fixture.write_all(&[
        ("Cargo.toml", &root_manifest(&["app", "evil", "other"], &format!("[workspace.metadata.docker]\n{settings}"))),
        ("app/Cargo.toml", &package("app", "[dependencies]\nevil = { path = \"../evil\" }\n")),
        ("app/build.rs", &format!("{code}\nfn main() {{ println!(\"cargo::rustc-env=SCRIPT={{}}\", attack()); }}\n")),
        ("app/src/main.rs", "fn main() { println!(\"script: {}\\nmacro: {}\", env!(\"SCRIPT\"), evil::attack!()); }\n"),
        ("evil/Cargo.toml", &package("evil", "[lib]\nproc-macro = true\n")),
        (
            "evil/src/lib.rs",
            &format!(
                "mod code {{ {code} }}\n#[proc_macro]\npub fn attack(_: proc_macro::TokenStream) -> proc_macro::TokenStream {{\n    \
                 format!(\"{{:?}}\", code::attack()).parse().unwrap()\n}}\n"
            ),
        ),
        ("other/Cargo.toml", &package("other", "")),
        ("other/src/main.rs", "fn main() {}\n"),
        (".env", "hunter2"),
    ]);
    fixture.lock();
    Scene { fixture, home, _services: (tcp, udp, unix) }
}

impl Scene {
    /// What the attacks got.
    fn attacked(&self) -> String {
        // The toolchain and cargo's sources are where they are; the rest of the home is another.
        let own = std::env::var("HOME").unwrap();
        let cargo_home = std::env::var("CARGO_HOME").unwrap_or(format!("{own}/.cargo"));
        let rustup_home = std::env::var("RUSTUP_HOME").unwrap_or(format!("{own}/.rustup"));
        let build = self.fixture.build("app").env("HOME", &self.home).env("CARGO_HOME", cargo_home);
        let build = build.env("RUSTUP_HOME", rustup_home).env("CI_REGISTRY_PASSWORD", "hunter2");
        build.env("GITHUB_TOKEN", "hunter2").env("AWS_SECRET_ACCESS_KEY", "hunter2").ok();
        let program = self.fixture.image("app").extract_program(&self.fixture.beside(""));
        succeed(&mut Command::new(program))
    }
}

#[test]
fn a_hostile_dependency_finds_no_secret_and_no_way_out() {
    let scene = scene("sandbox = \"required\"\n");
    assert_eq!(scene.attacked(), "script: \nmacro: \n");
    assert!(!scene.fixture.beside("written").exists() && !scene.fixture.path("app/written").exists());
}

/// The attacks of the test above are real: without the sandbox they work.
#[test]
fn without_the_sandbox_it_finds_all() {
    let scene = scene("sandbox = \"off\"\n");
    let got = scene.attacked();
    for what in
        ["notes", "other/src/main.rs", "written", "tcp", "udp", "a local service", "a signal", "a child that reads"]
    {
        assert!(got.matches(what).count() >= 2, "no `{what}` in {got}");
    }
    // What the environment does not hold, nobody finds there.
    assert!(!got.contains("the environment"), "{got}");
}

#[test]
fn what_a_build_may_not_read_is_named_with_the_line_to_add() {
    let fixture = Fixture::simple(&["app"]);
    fixture.write("app/src/main.rs", "fn main() { println!(\"{}\", env!(\"READ\")); }\n");
    let script = |path: &str| {
        format!(
            "fn main() {{\n    let path = String::new() + {path:?};\n    \
             let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!(\"cannot read {{path}}: {{error}}\"));\n    \
             println!(\"cargo::rustc-env=READ={{text}}\");\n}}\n"
        )
    };
    // In the checkout, by a path that no literal of the package shows as one.
    fixture
        .write("data/text", "declared")
        .write("app/build.rs", &script("../data/text").replace("../data", "../da\" + \"ta"));
    fixture.git_init();
    fixture
        .build("")
        .fails()
        .says("`inputs = [\"data/text\"]`")
        .says("`[package.metadata.docker]` of `app/Cargo.toml`");
    fixture.append("app/Cargo.toml", "[package.metadata.docker]\ninputs = [\"data/text\"]\n");
    fixture.build("").ok();
    // On the machine.
    let outside = fixture.beside("licence");
    write(&outside, "licensed");
    fixture.write("app/build.rs", &script(outside.to_str().unwrap()));
    let line = format!("`system-paths = [\"{}\"]`", outside.display());
    fixture.build("").fails().says(&line);
    fixture.append("Cargo.toml", &format!("[workspace.metadata.docker]\nsystem-paths = [{:?}]\n", outside));
    fixture.build("").ok();
    // Sources stay what was hashed.
    fixture.write(
        "app/build.rs",
        "fn main() { if let Err(error) = std::fs::write(\"src/generated.rs\", \"\") { panic!(\"src/generated.rs: {error}\") } }\n",
    );
    fixture.build("").fails().says("builds may write below `OUT_DIR` alone");
}

#[test]
fn a_download_is_refused_with_the_crate_and_the_setting_that_allows_it() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let served = std::thread::spawn(move || {
        server.set_nonblocking(true).unwrap();
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(120) {
            if let Ok((mut stream, _)) = server.accept() {
                return std::io::Write::write_all(&mut stream, b"downloaded").is_ok();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    });
    let fixture = Fixture::simple(&["app"]);
    fixture.write("app/src/main.rs", "fn main() { println!(\"{}\", env!(\"GOT\")); }\n");
    let script = format!(
        "use std::io::Read;\nfn main() {{\n    let mut stream = std::net::TcpStream::connect(\"127.0.0.1:{port}\")\
         .expect(\"failed to connect to the server\");\n    let mut text = String::new();\n    \
         stream.read_to_string(&mut text).unwrap();\n    println!(\"cargo::rustc-env=GOT={{text}}\");\n}}\n"
    );
    fixture.write("app/build.rs", &script).git_init();
    fixture.build("").fails().says("the build script of `app v0.1.0").says("`network = true`");
    fixture.append("Cargo.toml", "[workspace.metadata.docker]\nnetwork = true\n");
    let image = {
        fixture.build("").ok();
        fixture.image("app")
    };
    assert!(served.join().unwrap());
    assert_eq!(image.label("xtask.network"), Some("allowed"), "it says that it may not be reproducible");
    let program = image.extract_program(&fixture.beside(""));
    assert_eq!(succeed(&mut Command::new(program)), "downloaded\n");
}

#[test]
fn what_is_written_into_the_stage_does_not_stay() {
    let fixture = Fixture::simple(&["app"]);
    fixture.append("Cargo.toml", "[workspace.metadata.docker]\nsandbox = \"off\"\n");
    fixture.write("app/build.rs", "fn main() { std::fs::write(\"left\", \"\").unwrap(); }\n").git_init();
    fixture.build("").ok();
    let left = fixture.path("target/docker/stage/app/left");
    assert!(left.exists());
    fixture.write(
        "app/build.rs",
        "fn main() { println!(\"cargo::rustc-env=LEFT={}\", std::path::Path::new(\"left\").exists()); }\n",
    );
    fixture.write("app/src/main.rs", "fn main() { println!(\"{}\", env!(\"LEFT\")); }\n");
    fixture.build("").ok();
    let program = fixture.image("app").extract_program(&fixture.beside(""));
    assert_eq!(succeed(&mut Command::new(program)), "false\n");
    assert!(!left.exists() && fs::metadata(fixture.path("target/docker/stage/app/build.rs")).is_ok());
}

#[test]
fn nothing_that_a_build_started_stays_behind() {
    let fixture = Fixture::simple(&["app"]);
    let mark = format!("604{}", std::process::id());
    // It leaves its group and its session. (One that keeps the script's outputs open, cargo itself waits for.)
    let script = format!(
        "use std::process::{{Command, Stdio}};\nfn main() {{\n    \
         let mut daemon = Command::new(\"setsid\");\n    daemon.args([\"--fork\", \"sleep\", \"{mark}\"]);\n    \
         daemon.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());\n    assert!(daemon.status().unwrap().success());\n}}\n"
    );
    fixture.write("app/build.rs", &script).git_init();
    let begin = Instant::now();
    fixture.build("").ok();
    assert!(begin.elapsed() < Duration::from_secs(100), "{:?}", begin.elapsed());
    let left = Command::new("pgrep").args(["-f", &format!("sleep {mark}")]).output().unwrap();
    assert!(!left.status.success(), "still there: {}", String::from_utf8_lossy(&left.stdout));
}

#[test]
fn a_link_in_the_place_of_a_program_is_refused() {
    let fixture = Fixture::simple(&["app", "other"]);
    fixture.git_init();
    fixture.build("").ok();
    let script = "fn main() {\n    let out = std::env::var(\"OUT_DIR\").unwrap();\n    \
                  let release = std::path::Path::new(&out).ancestors().nth(4).unwrap().join(\"TARGET/release\");\n    \
                  std::fs::remove_file(release.join(\"other\")).unwrap();\n    \
                  std::os::unix::fs::symlink(\"/bin/true\", release.join(\"other\")).unwrap();\n}\n";
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    fixture.write("app/build.rs", &script.replace("TARGET", &target));
    // Cargo itself puts the program back when it looks at it after that.
    let output = fixture.build("").run();
    let other = fixture.image("other").extract_program(&fixture.beside(""));
    let printed = succeed(&mut Command::new(other));
    assert!(printed == "other\n" || output.stderr.contains("is no plain file"), "{}", output.stderr);
}

/// `a` and `b` share `common`, whose build script looks at a file of `a` and says nothing of it.
fn shared_library(script: &str) -> Fixture {
    let fixture = Fixture::unlocked(&[("Cargo.toml", &root_manifest(&["a", "b", "common"], ""))]);
    for name in ["a", "b"] {
        fixture.write(
            &format!("{name}/Cargo.toml"),
            &package(name, "[dependencies]\ncommon = { path = \"../common\" }\n"),
        );
        fixture.write(&format!("{name}/src/main.rs"), "fn main() { println!(\"{}\", common::FOUND); }\n");
    }
    fixture.write("common/Cargo.toml", &package("common", ""));
    fixture.write("common/src/lib.rs", "pub const FOUND: &str = env!(\"FOUND\");\n");
    let script = format!(
        "fn main() {{\n    let path = format!(\"../{{}}/{{}}\", 'a', \"SECRET\".to_lowercase());\n    let found = std::fs::read_to_string(path);\n    \
         {script}\n    println!(\"cargo::rustc-env=FOUND={{found}}\");\n}}\n"
    );
    fixture.write("common/build.rs", &script).write("a/secret", "of a");
    fixture.lock();
    fixture.git_init();
    fixture
}

fn printed(fixture: &Fixture, name: &str) -> String {
    succeed(&mut Command::new(fixture.image(name).extract_program(&fixture.beside(""))))
}

#[test]
fn a_shared_library_is_compiled_without_what_one_component_has() {
    // Cargo runs such a script each time: nothing is ever called `missing`.
    for always in ["", "println!(\"cargo::rerun-if-changed=missing\");"] {
        let fixture = shared_library(&format!("{always} let found = found.unwrap_or(\"nothing\".into());"));
        let hash = |name: &str| fixture.image(name).label("xtask.input-hash").unwrap().to_owned();
        fixture.build("a b").ok();
        assert_eq!(
            (printed(&fixture, "a").as_str(), printed(&fixture, "b").as_str()),
            match always {
                "" => ("nothing\n", "nothing\n"),
                // Each for itself, so that no image depends on which was first.
                _ => ("of a\n", "nothing\n"),
            }
        );
        let before = (hash("a"), hash("b"));
        fixture.write("a/secret", "changed");
        let output = fixture.build("b a").ok();
        assert!(!always.is_empty() || !output.stderr.contains("Compiling common"), "{}", output.stderr);
        assert_eq!(printed(&fixture, "b"), "nothing\n");
        assert_ne!(before.0, hash("a"));
        assert_eq!(before.1, hash("b"), "its inputs did not change");
        assert_eq!(printed(&fixture, "a"), if always.is_empty() { "nothing\n" } else { "changed\n" });
    }
}

#[test]
fn a_shared_library_that_needs_what_one_component_has_is_refused_with_the_line_to_add() {
    let fixture =
        shared_library("let found = found.unwrap_or_else(|error| panic!(\"cannot read ../a/secret: {error}\"));");
    for components in ["a", "a b"] {
        let output = fixture.build(components).fails();
        output
            .says("`common`, which `a`, `b` share, compiles only with files that are not inputs of all of them")
            .says("`[package.metadata.docker]` of `common/Cargo.toml`")
            .says("`inputs = [\"a/secret\"]`");
    }
    fixture.append("common/Cargo.toml", "[package.metadata.docker]\ninputs = [\"a/secret\"]\n");
    fixture.build("").ok();
    assert_eq!((printed(&fixture, "a").as_str(), printed(&fixture, "b").as_str()), ("of a\n", "of a\n"));
    let again = fixture.build("").ok();
    assert!(!again.stderr.contains("Compiling"), "{}", again.stderr);
}
