//! What is adopted is what a build would give: each test publishes, edits, publishes again, and runs
//! what the registry has then. Native builds against a registry of the test's own.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::parts::{files_below, make_old, tool, unique, wait_for};
use crate::project::Project;
use crate::registry::Registry;
use crate::support::{Output, image::Image, package, succeed, write};

/// A project of one component `app`, printing what its sources say, and its registry.
struct Scene {
    project: Project,
    registry: Registry,
}

impl Scene {
    fn new(name: &str, settings: &str, files: &[(&str, &str)]) -> Self {
        let registry = Registry::start();
        let project = Project::new(&registry.host, name, &["app"], settings);
        project.write_all(files).lock();
        project.commit("what it is about");
        Scene { project, registry }
    }

    /// What the published program prints, taken from the registry.
    #[track_caller]
    fn prints(&self) -> String {
        let folder = tempfile::tempdir().unwrap();
        let layout = folder.path().join("oci");
        let digest = self.project.recorded("app");
        let from = format!("docker://{}@{digest}", self.project.name("app"));
        let to = format!("oci:{}:app", layout.display());
        tool("skopeo", &["copy", "--quiet", "--insecure-policy", "--src-tls-verify=false", &from, &to]);
        let program = Image::read(&layout, "app").extract_program(folder.path());
        succeed(&mut Command::new(program)).trim_end().to_owned()
    }

    /// Publishes, demands that it was built or adopted, and that the registry has a program that prints `text`.
    #[track_caller]
    fn publishes(&self, verb: &str, text: &str) -> Output {
        let output = self.project.publish("").ok();
        assert!(output.stderr.contains(&format!("{verb}  app: ")), "no `{verb}`:\n{}", output.stderr);
        assert_eq!(self.prints(), text, "{}", output.stderr);
        output
    }

    /// Replaces `old` by `new` in a file, keeping an old time, and commits.
    fn edit(&self, file: &str, old: &str, new: &str) {
        self.project.replace(file, old, new);
        make_old(&self.project.path(file));
        self.project.commit(&format!("{file}: {new}"));
    }
}

/// A library that is a proc macro: `text!()` gives what `body` makes of the package's folder.
fn macro_crate(name: &str, body: &str) -> Vec<(String, String)> {
    vec![
        (format!("{name}/Cargo.toml"), package(name, "[lib]\nproc-macro = true\n")),
        (
            format!("{name}/src/lib.rs"),
            format!(
                "use std::path::Path;\nfn of_folder(folder: &Path) -> String {{\n    {body}\n}}\n\
                 #[proc_macro]\npub fn text(_: proc_macro::TokenStream) -> proc_macro::TokenStream {{\n    \
                 let folder = std::env::var(\"CARGO_MANIFEST_DIR\").unwrap();\n    \
                 format!(\"{{:?}}\", of_folder(Path::new(&folder))).parse().unwrap()\n}}\n"
            ),
        ),
    ]
}

#[test]
#[ignore = "needs docker-registry and skopeo"]
fn every_way_to_name_a_file_is_noticed() {
    let main = r#"
#[path = "../../shared/common/mod.rs"] mod common;
#[path
  = "../../shared/multi.rs"]
mod multi;
mod linked;
mod folder;
macro_rules! mac { ($t:ty, $p:expr) => { include_str!($p) as $t } }
fn main() {
    print!("{} {} {} {} ", common::price::TEXT, include_str!("../.env.defaults"), linked::TEXT, multi::TEXT);
    print!("{} ", include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/", "../shared/three")));
    print!("{} {} ", include_str!("./../../shared/dots"), include_str!["../../shared/brackets"]);
    print!("{} {} ", mac!(&str, "../../shared/macro"), folder::part::TEXT);
    println!("{}", env!("BUILT"));
}
"#;
    let constant = |text: &str| format!("pub const TEXT: &str = \"{text}\";\n");
    let scene = Scene::new(
        "named",
        "",
        &[
            ("app/src/main.rs", main),
            ("app/.env.defaults", "env0"),
            ("app/build.rs", "include!(\"../shared/script.rs\");\n"),
            ("shared/script.rs", "fn main() { println!(\"cargo::rustc-env=BUILT=script0\"); }\n"),
            ("shared/common/mod.rs", "pub mod price;\n"),
            ("shared/common/price.rs", &constant("price0")),
            ("shared/multi.rs", &constant("multi0")),
            ("shared/three", "three0"),
            ("shared/dots", "dots0"),
            ("shared/brackets", "brackets0"),
            ("shared/macro", "macro0"),
            ("shared/folder/mod.rs", "pub mod part;\n"),
            ("shared/folder/part.rs", &constant("part0")),
        ],
    );
    write(&scene.project.beside("outside.rs"), &constant("linked0"));
    scene.project.link("app/src/linked.rs", "../../../outside.rs").link("app/src/folder", "../../shared/folder");
    scene.project.commit("links");
    let mut wanted = "price0 env0 linked0 multi0 three0 dots0 brackets0 macro0 part0 script0".to_owned();
    scene.publishes("build", &wanted);
    for (file, word) in [
        ("shared/common/price.rs", "price"),
        ("app/.env.defaults", "env"),
        ("../outside.rs", "linked"),
        ("shared/multi.rs", "multi"),
        ("shared/three", "three"),
        ("shared/dots", "dots"),
        ("shared/brackets", "brackets"),
        ("shared/macro", "macro"),
        ("shared/folder/part.rs", "part"),
        ("shared/script.rs", "script"),
    ] {
        let (old, new) = (format!("{word}0"), format!("{word}1"));
        wanted = wanted.replace(&old, &new);
        scene.edit(file, &old, &new);
        scene.publishes("build", &wanted);
    }
    // Elsewhere, the same commit is adopted and is the same.
    scene.project.remove("target");
    scene.project.commit("nothing");
    scene.publishes("adopt", &wanted);
}

#[test]
#[ignore = "needs docker-registry and skopeo"]
fn a_folder_that_a_macro_lists_untracked_is_noticed() {
    let list = "let mut all: Vec<String> = std::fs::read_dir(folder.join(\"list\")).unwrap()\
                .map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect(); all.sort(); all.join(\",\")";
    let files = macro_crate("lister", list);
    let mut files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let manifest = package("app", "[dependencies]\nlister = { path = \"../lister\" }\n");
    files.extend([
        ("app/Cargo.toml", manifest.as_str()),
        ("app/src/main.rs", "fn main() { println!(\"{}\", lister::text!()); }\n"),
        ("app/list/a.sql", ""),
    ]);
    let scene = Scene::new("lister", "", &[]);
    scene.project.replace("Cargo.toml", "[\"app\"]", "[\"app\", \"lister\"]");
    scene.project.write_all(&files).lock().commit("a macro");
    scene.publishes("build", "a.sql");
    scene.project.write("app/list/b.sql", "").commit("more");
    scene.publishes("build", "a.sql,b.sql");
    scene.project.remove("app/list/a.sql").commit("less");
    scene.publishes("build", "b.sql");
}

#[test]
#[ignore = "needs docker-registry and skopeo"]
fn a_macro_that_reads_elsewhere_does_not_compile_until_that_is_declared() {
    let read =
        "std::fs::read_to_string(folder.parent().unwrap().join(\"data\").join(\"te\".to_owned() + \"xt\")).unwrap()";
    let files = macro_crate("reader", read);
    let scene = Scene::new("reader", "", &[]);
    for (path, text) in &files {
        scene.project.write(path, text);
    }
    scene.project.replace("Cargo.toml", "[\"app\"]", "[\"app\", \"reader\"]");
    scene.project.write("app/Cargo.toml", &package("app", "[dependencies]\nreader = { path = \"../reader\" }\n"));
    scene
        .project
        .write("app/src/main.rs", "fn main() { println!(\"{}\", reader::text!()); }\n")
        .write("data/text", "text0");
    scene.project.lock().commit("a macro");
    let manifest = "`[package.metadata.docker]` of `app/Cargo.toml`";
    let output = scene.project.publish("").fails();
    assert!(output.stderr.contains("No such file or directory"), "{}", output.stderr);
    // The compiler's message holds no path here; where it does, the error ends with the line to add.
    scene.project.replace(
        "reader/src/lib.rs",
        ".unwrap()\n",
        ".unwrap_or_else(|_| panic!(\"cannot read data/text: No such file\"))\n",
    );
    scene.project.commit("a better message");
    scene.project.publish("").fails().says(manifest).says("`inputs = [\"data/text\"]`");
    scene.project.append("app/Cargo.toml", "[package.metadata.docker]\ninputs = [\"data/text\"]\n").commit("declared");
    scene.publishes("build", "text0");
    scene.edit("data/text", "text0", "text1");
    scene.publishes("build", "text1");
}

#[test]
#[ignore = "needs docker-registry and skopeo"]
fn an_edit_while_it_builds_is_not_in_the_image() {
    let script = "fn main() {\n    println!(\"cargo::rerun-if-changed=build.rs\");\n    \
                  std::thread::sleep(std::time::Duration::from_secs(5));\n}\n";
    let main = "fn main() { println!(\"committed\"); }\n";
    let scene = Scene::new("edited", "", &[("app/build.rs", script), ("app/src/main.rs", main)]);
    let mut running = scene.project.publish("").command().spawn().unwrap();
    let output = scene.project.path("target/docker/build");
    wait_for("build script", Duration::from_secs(120), || {
        files_below(&output).iter().any(|path| path.file_name().is_some_and(|name| name == "build-script-build"))
    });
    scene.project.replace("app/src/main.rs", "committed", "uncommitted");
    assert!(running.wait().unwrap().success());
    assert_eq!(scene.prints(), "committed");
    let sha = scene.project.sha_tag();
    assert_eq!(scene.registry.digest(&scene.project.repository("app"), &sha), scene.project.recorded("app"));
}

#[test]
#[ignore = "needs docker-registry and skopeo"]
fn variables_and_configuration_are_inputs_or_not_seen() {
    let main = "fn main() {\n    println!(\"{} {} {} {}\", option_env!(\"FLAVOUR\").unwrap_or(\"plain\"), env!(\"BUILT\"), \
                option_env!(\"ABOVE\").unwrap_or(\"none\"), cfg!(debug_assertions));\n}\n";
    let script = "fn main() {\n    let flavour = std::env::var(\"FLAVOUR\").unwrap_or(\"plain\".into());\n    \
                  println!(\"cargo::rustc-env=BUILT={flavour}\");\n}\n";
    let scene = Scene::new("variables", "", &[("app/src/main.rs", main), ("app/build.rs", script)]);
    let publish = |flavour: &str, verb: &str, text: &str| {
        let output =
            scene.project.publish("").env("FLAVOUR", flavour).env("CARGO_HOME", scene.project.beside("home")).ok();
        assert!(output.stderr.contains(&format!("{verb}  app: ")), "{}", output.stderr);
        assert_eq!(scene.prints(), text, "{}", output.stderr);
        output
    };
    // Neither passed on nor an input; it is said.
    publish("sweet", "build", "plain plain none false")
        .says("a build asks for the variable `FLAVOUR`, which is set here")
        .says("`pass-env = [\"FLAVOUR\"]`");
    scene.project.commit("nothing");
    publish("sour", "adopt", "plain plain none false");
    scene.project.append("app/Cargo.toml", "[package.metadata.docker]\npass-env = [\"FLAVOUR\"]\n").commit("passed");
    publish("sweet", "build", "sweet sweet none false");
    scene.project.commit("nothing");
    publish("sour", "build", "sour sour none false");
    scene.project.commit("nothing");
    publish("sweet", "adopt", "sweet sweet none false");
    // Configuration above the workspace, and in cargo's home.
    write(&scene.project.beside(".cargo/config.toml"), "[env]\nABOVE = \"above\"\n");
    scene.project.commit("nothing");
    publish("sweet", "build", "sweet sweet above false");
    write(&scene.project.beside("home/config.toml"), "[profile.release]\ndebug-assertions = true\n[net]\nretry = 3\n");
    scene.project.commit("nothing");
    publish("sweet", "build", "sweet sweet above true");
    write(&scene.project.beside("home/config.toml"), "[profile.release]\ndebug-assertions = true\n[net]\nretry = 9\n");
    scene.project.commit("nothing");
    publish("sweet", "adopt", "sweet sweet above true");
}

#[test]
#[ignore = "needs docker-registry and skopeo"]
fn another_linker_is_another_input() {
    let scene = Scene::new("linker", "", &[]);
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let variable = format!("CARGO_TARGET_{}_LINKER", target.to_uppercase().replace('-', "_"));
    let hash = |linker: Option<&Path>| {
        let run = scene.project.run("docker-build --builder native --json");
        let run = match linker {
            Some(linker) => run.env(&variable, linker),
            None => run,
        };
        run.ok().json()[0]["input-hash"].as_str().unwrap().to_owned()
    };
    let plain = hash(None);
    let linker = scene.project.script("../tools/linker", "#!/bin/sh\nexec cc \"$@\"\n");
    // Out of the sandbox unless it is on the PATH.
    scene.project.replace(
        "Cargo.toml",
        "registry =",
        &format!("system-paths = [{:?}]\nregistry =", linker.parent().unwrap()),
    );
    assert_ne!(hash(Some(&linker)), plain);
}

#[test]
#[ignore = "needs docker-registry and skopeo"]
fn vendored_sources_edited_in_place_are_noticed() {
    let scene = Scene::new("vendored", "", &[]);
    scene.project.vendor("first", "1.0.0").vendor("second", "1.0.0");
    scene.project.append("app/Cargo.toml", "[dependencies]\nfirst = \"1\"\n");
    scene.project.write("app/src/main.rs", "fn main() { println!(\"{}\", first::VERSION); }\n").lock();
    scene.project.commit("vendored");
    scene.publishes("build", "1.0.0");
    scene.edit("vendor/first-1.0.0/src/lib.rs", "1.0.0", "1.x.x");
    scene.publishes("build", "1.x.x");
    // One that is not used changes nothing.
    scene.edit("vendor/second-1.0.0/src/lib.rs", "1.0.0", "1.x.x");
    scene.publishes("adopt", "1.x.x");
}

#[test]
#[ignore = "needs docker-registry and skopeo"]
fn two_builds_at_once_keep_their_own_arguments() {
    let scene = Scene::new("arguments", "", &[("app/src/main.rs", "fn main() { println!(\"{}\", env!(\"WHO\")); }\n")]);
    for round in 0..3 {
        let start = |who: &str| {
            let run = scene.project.run("publish --builder native --allow-dirty --no-manifests");
            let record = scene.project.beside(&format!("record-{who}"));
            let run = run.arg("--build-arg").arg(format!("WHO={who}{round}")).arg("--tag").arg(format!("{who}{round}"));
            let run = run.arg("--digests").arg(&record);
            std::thread::spawn(move || run.run())
        };
        scene.project.replace("Cargo.toml", "[workspace]", "[workspace] ");
        // Both move the tag of a tree with changes: one of them may lose that race, and says so.
        for run in [start("one"), start("two")] {
            run.join().unwrap();
        }
        let mut printed = Vec::new();
        for tag in scene.registry.tags(&scene.project.repository("app")) {
            let folder = tempfile::tempdir().unwrap();
            let layout = folder.path().join("oci");
            let from = format!("docker://{}:{tag}", scene.project.name("app"));
            let to = format!("oci:{}:app", layout.display());
            tool("skopeo", &["copy", "--quiet", "--insecure-policy", "--src-tls-verify=false", &from, &to]);
            let image = Image::read(&layout, "app");
            let program = image.extract_program(folder.path());
            let text = succeed(&mut Command::new(program)).trim().to_owned();
            printed.push((image.label("xtask.input-hash").unwrap().to_owned(), text));
        }
        printed.sort();
        printed.dedup();
        let mut hashes: Vec<_> = printed.iter().map(|(hash, _)| hash).collect();
        hashes.dedup();
        assert_eq!(hashes.len(), printed.len(), "one hash, two programs: {printed:?}");
        for who in ["one", "two"] {
            let text = format!("{who}{round}");
            assert!(printed.iter().any(|(_, printed)| *printed == text), "no `{text}` in {printed:?}");
        }
    }
}

#[test]
#[ignore = "needs docker-registry and skopeo"]
fn what_is_never_compiled_changes_nothing() {
    let registry = Registry::start();
    let id = unique("root");
    let metadata = format!(
        "[workspace]\nmembers = []\n[workspace.metadata.docker]\nregistry = \"{}\"\nrepository = \"xtask-test/{id}-{{component}}\"\n",
        registry.host
    );
    let project = Project::new(&registry.host, "root", &["app"], "");
    project.remove("app").write("Cargo.toml", &(package("app", "") + &metadata));
    project.write("src/main.rs", "fn main() { println!(\"it\"); }\n").lock();
    project.write_all(&[
        (".gitignore", "/target\n/storage\n*.log\n"),
        (".dockerignore", "data\n"),
        ("data/rsa_key.pem", "secret"),
        ("README.md", "hello"),
        ("tests/it.rs", "#[test] fn it() {}\n"),
        (".github/workflows/ci.yml", "on: push\n"),
    ]);
    project.commit("a root package");
    let publish = |verb: &str| {
        let output = project.publish("").ok();
        assert!(output.stderr.contains(&format!("{verb}  app: ")), "no `{verb}`:\n{}", output.stderr);
    };
    publish("build");
    let digest = project.recorded("app");
    for (file, text) in [
        ("README.md", "changed"),
        ("tests/it.rs", "#[test] fn other() {}\n"),
        ("tests/more.rs", ""),
        (".github/workflows/ci.yml", "on: pull_request\n"),
        ("src/.main.rs.swp", "swap"),
        ("src/main.rs~", "backup"),
        ("storage/big", "data"),
        ("debug.log", "log"),
        ("data/rsa_key.pem", "other"),
    ] {
        project.write(file, text).commit(file);
        publish("adopt");
        // A build, too, gives the same: nothing of the commit shows.
        assert_eq!(project.recorded("app"), digest, "{file}");
    }
    project.remove("target");
    project.run("docker-build --builder native").ok();
    assert_eq!(project.digest("app"), digest);
    let staged = project.path("target/docker/stage");
    let files: Vec<_> = files_below(&staged).into_iter().filter(|path| path.is_file()).collect();
    let mut names: Vec<_> = files.iter().map(|path| path.strip_prefix(&staged).unwrap().to_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["Cargo.lock", "Cargo.toml", "src/main.rs"]);
}

#[test]
#[ignore = "needs docker-registry and skopeo"]
fn a_moved_builder_tag_is_another_input() {
    let registry = Registry::start();
    let builder = format!("{}/builder", registry.host);
    let scene = Scene::new("builder", &format!("builder-image = \"{builder}:1\"\n"), &[]);
    // Any image will do: nothing is built from it here.
    scene.project.publish("").ok();
    let copy = |tag: &str| {
        let from = format!("docker://{}@{}", scene.project.name("app"), scene.project.recorded("app"));
        let to = format!("docker://{builder}:{tag}");
        tool(
            "skopeo",
            &["copy", "--quiet", "--insecure-policy", "--src-tls-verify=false", "--dest-tls-verify=false", &from, &to],
        );
        scene.project.recorded("app")
    };
    let inputs = || {
        let run = scene.project.run("components --inputs --builder docker --json").ok().json();
        (run[0]["input-hash"].as_str().unwrap().to_owned(), run[0]["inputs"].to_string())
    };
    let first = copy("1");
    let (hash, listed) = inputs();
    assert!(listed.contains(&first), "no {first} in {listed}");
    assert_eq!(inputs().0, hash);
    scene.edit("app/src/main.rs", "app", "another");
    scene.project.publish("").ok();
    let (hash, _) = inputs();
    let second = copy("1");
    let (moved, listed) = inputs();
    assert_ne!(moved, hash);
    assert!(listed.contains(&second), "no {second} in {listed}");
}
