//! One image, whatever makes it: the xtask with either builder, or the standalone Dockerfile. And other
//! tools read our layout.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;

use serde_json::{Value, json};

use crate::parts::{Cleanup, Scene, copy, docker, make_executable, printer, run, tool};
use crate::support::image::digest;
use crate::support::package;

/// A service as real ones are: with all metadata, assets of all kinds, environment, port and C code.
/// Beside it, a package with two programs.
fn real(name: &str, settings: &str) -> Scene {
    let web = r#"[package]
name = "web"
version = "1.2.3"
edition = "2024"
description = "Says \"what\" it's for: $HOME, `x` \\ and more"
license = "MIT OR Apache-2.0"
authors = ["Ann Other <ann@example.com>", "Bob"]
repository = "https://example.com/acme/web"

[build-dependencies]
cc = "1"

[package.metadata.docker]
port = 8080
assets = [{ from = "web/static", to = "/app/static" }, { from = "notes.txt", to = "/app/the notes.txt" }]
env = { GREETING = "it's \"$HOME\" \\ ok", EMPTY = "" }
"#;
    let main = r#"unsafe extern "C" {
    safe fn answer() -> i32;
}
fn main() {
    let greeting = std::env::var("GREETING").unwrap();
    let page = std::fs::read_to_string("/app/static/nested/page.html").unwrap();
    println!("{} {greeting} {page} {} {}", answer(), std::env::var("VERSION").unwrap(), env!("CARGO_PKG_VERSION"));
}
"#;
    let tools = package("tools", "").replace("[package]\n", "[package]\ndefault-run = \"second\"\n");
    let scene = Scene::new(
        name,
        &["web", "tools"],
        settings,
        &[
            ("web/Cargo.toml", web),
            ("web/build.rs", "fn main() {\n    cc::Build::new().file(\"src/answer.c\").compile(\"answer\");\n}\n"),
            ("web/src/answer.c", "int answer(void) { return 42; }\n"),
            ("web/src/main.rs", main),
            ("web/static/nested/page.html", "page-ID"),
            ("web/static/a file.txt", "spaces"),
            ("web/static/run.sh", "#!/bin/sh\n"),
            ("web/static/private.txt", "only the owner may read the source\n"),
            ("notes.txt", "notes\n"),
            ("tools/Cargo.toml", &tools),
            ("tools/src/bin/first.rs", &printer("first ID")),
            ("tools/src/bin/second.rs", &printer("second ID")),
        ],
    );
    make_executable(&scene.path("web/static/run.sh"));
    let owner_only = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(scene.path("web/static/private.txt"), owner_only).expect("a mode");
    scene.link("web/static/link.html", "nested/page.html");
    scene
}

/// What an engine knows of an image and what containers see of it.
#[derive(Debug, PartialEq)]
pub(crate) struct Seen {
    config: Value,
    files: BTreeMap<String, Value>,
}

/// Looks at `image`; `any_content` names the files whose bytes may differ.
#[track_caller]
pub(crate) fn look(image: &str, any_content: &[&str]) -> Seen {
    let inspected: Value = serde_json::from_str(&docker(&format!("image inspect {image}"))).expect("JSON");
    let (whole, config) = (&inspected[0], &inspected[0]["Config"]);
    let mut env: Vec<_> = config["Env"].as_array().expect("an environment").iter().map(Value::to_string).collect();
    env.sort();
    let mut labels = config["Labels"].as_object().expect("labels").clone();
    labels.remove("xtask.input-hash");
    labels.remove("xtask.inputs");
    let empty = |key: &str| config[key].as_array().filter(|list| !list.is_empty()).cloned();
    let config = json!({
        "platform": [whole["Os"], whole["Architecture"]],
        "user": config["User"],
        "entrypoint": config["Entrypoint"],
        "cmd": empty("Cmd"),
        "ports": config["ExposedPorts"],
        "working dir": config["WorkingDir"],
        "volumes": config["Volumes"],
        "on build": empty("OnBuild"),
        "env": env,
        "labels": labels,
    });
    Seen { config, files: files(image, any_content) }
}

fn files(image: &str, any_content: &[&str]) -> BTreeMap<String, Value> {
    let container = docker(&format!("create {image} unused"));
    let mut cleanup = Cleanup::default();
    cleanup.add(&format!("docker rm --force {container}"));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let exported = folder.path().join("files.tar");
    docker(&format!("export --output {} {container}", exported.display()));
    let mut files = BTreeMap::new();
    let mut archive = tar::Archive::new(File::open(&exported).expect("an exported container"));
    for entry in archive.entries().expect("a tar archive") {
        let mut entry = entry.expect("a tar entry");
        let path = entry.path().expect("a path").to_string_lossy().trim_end_matches('/').to_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).expect("content");
        let header = entry.header();
        let content = if any_content.contains(&path.as_str()) { "any".to_owned() } else { digest(&bytes) };
        let link = entry.link_name().expect("a link").map(|target| target.to_string_lossy().into_owned());
        let mode = format!("{:o}", header.mode().expect("a mode") & 0o7777);
        let owner = (header.uid().expect("a user"), header.gid().expect("a group"));
        let seen = json!([format!("{:?}", header.entry_type()), mode, owner, link, content]);
        files.insert(path, seen);
    }
    files
}

#[track_caller]
pub(crate) fn same(a: &Seen, b: &Seen) {
    assert_eq!(format!("{:#}", a.config), format!("{:#}", b.config));
    let only = |a: &Seen, b: &Seen| -> BTreeMap<String, Value> {
        a.files
            .iter()
            .filter(|(path, file)| b.files.get(*path) != Some(file))
            .map(|(p, f)| (p.clone(), f.clone()))
            .collect()
    };
    assert_eq!(only(a, b), only(b, a));
}

/// The certificates of the standalone image are the builder image's.
const CERTIFICATES: &str = "etc/ssl/certs/ca-certificates.crt";
const WEB: &str = "usr/local/bin/web";

#[test]
#[ignore = "needs a container engine"]
fn both_builders_and_the_standalone_dockerfile_make_the_same_image() {
    let scene = real("real", "");
    let said = ["VERSION=9.8.7-rc.1", "COMMIT_SHA=0123abc", "BUILD_DATE=2024-05-01T12:00:00Z"];
    let arguments: Vec<String> = said.iter().map(|argument| format!("--build-arg {argument}")).collect();
    let arguments = arguments.join(" ");

    scene.build(&format!("web --load --tag native {arguments}")).ok();
    let native = scene.image("web", "native");
    scene.untag("web", "local");
    scene.engine_build(&format!("web --load --tag engine {arguments}")).ok();
    let engine = scene.image("web", "engine");
    scene.xtask("dockerfiles").ok();
    let standalone = scene.image("web", "standalone");
    let root = scene.root().display().to_string();
    docker(&format!("build --quiet {arguments} --file {root}/web/Dockerfile --tag {standalone} {root}"));

    same(&look(&native, &[WEB]), &look(&engine, &[WEB]));
    let theirs = look(&standalone, &[WEB, CERTIFICATES]);
    same(&look(&engine, &[WEB, CERTIFICATES]), &theirs);

    // And it is what the settings say.
    let Seen { config, files } = theirs;
    assert_eq!(config["user"], "65532:65532");
    assert_eq!(config["entrypoint"], json!(["/usr/local/bin/web"]));
    assert_eq!(config["ports"], json!({"8080/tcp": {}}));
    assert_eq!(config["working dir"], "/");
    let label = |name: &str| config["labels"][format!("org.opencontainers.image.{name}")].clone();
    assert_eq!(label("version"), "9.8.7-rc.1");
    assert_eq!(label("revision"), "0123abc");
    assert_eq!(label("created"), "2024-05-01T12:00:00Z");
    assert_eq!(label("title"), "web");
    assert_eq!(label("description"), r#"Says "what" it's for: $HOME, `x` \ and more"#);
    assert_eq!(label("licenses"), "MIT OR Apache-2.0");
    assert_eq!(label("source"), "https://example.com/acme/web");
    assert_eq!(label("vendor"), "Ann Other, Bob");
    let shape = |path: &str| files[path].as_array().expect("a file")[..3].to_vec();
    assert_eq!(shape(WEB), [json!("Regular"), json!("755"), json!([0, 0])]);
    assert_eq!(shape("app/static/run.sh"), [json!("Regular"), json!("755"), json!([0, 0])]);
    assert_eq!(shape("app/static/private.txt"), [json!("Regular"), json!("644"), json!([0, 0])]);
    assert_eq!(shape("app/static/link.html")[0], "Symlink");
    assert_eq!(shape("app/the notes.txt")[1], "644");
    assert_eq!(shape("tmp"), [json!("Directory"), json!("1777"), json!([0, 0])]);
    assert_eq!(shape("home/nonroot"), [json!("Directory"), json!("755"), json!([65532, 65532])]);
    assert!(files.contains_key("app/static/a file.txt"));

    let printed = format!("42 it's \"$HOME\" \\ ok page-{} 9.8.7-rc.1 1.2.3", scene.id);
    for image in [native, engine, standalone] {
        assert_eq!(docker(&format!("run --rm {image}")), printed);
    }
}

#[test]
#[ignore = "needs a container engine"]
fn standalone_defaults_are_what_the_xtask_says_without_git_and_each_program_has_its_stage() {
    let scene = real("stages", "");
    scene.xtask("dockerfiles").ok();
    scene.build("--load --tag ours").ok();
    let root = scene.root().display().to_string();
    let stage = |stage: &str, package: &str, name: &str| {
        let image = scene.image(name, "standalone");
        scene.untag(name, "standalone");
        docker(&format!("build --quiet {stage} --file {root}/{package}/Dockerfile --tag {image} {root}"));
        image
    };

    let web = stage("", "web", "web");
    let seen = look(&web, &[WEB, CERTIFICATES]);
    same(&look(&scene.image("web", "ours"), &[WEB, CERTIFICATES]), &seen);
    let env = seen.config["env"].to_string();
    for line in ["VERSION=1.2.3", "COMMIT_SHA=unknown", "BUILD_DATE=1970-01-01T00:00:00Z"] {
        assert!(env.contains(line), "{env}");
    }

    for (options, name) in [("--target image-first", "first"), ("--target image-second", "second"), ("", "second")] {
        let image = stage(options, "tools", name);
        assert_eq!(docker(&format!("run --rm {image}")), format!("{name} {}", scene.id), "with `{options}`");
        let any = [CERTIFICATES, &format!("usr/local/bin/{name}")];
        same(&look(&scene.image(name, "ours"), &any), &look(&image, &any));
    }
    // The program alone, as the xtask takes it.
    let out = scene.beside("out");
    docker(&format!(
        "build --quiet --target executable-first --output {0} --file {root}/tools/Dockerfile {root}",
        out.display()
    ));
    let exported: Vec<_> = fs::read_dir(&out).expect("an export").map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(exported, ["first"]);
}

#[test]
#[ignore = "needs a container engine, skopeo, umoci and oras"]
fn other_tools_read_the_layout() {
    let scene = Scene::new(
        "layout",
        &["app"],
        "",
        &[
            ("app/Cargo.toml", &package("app", "[package.metadata.docker]\nport = 80\n")),
            ("app/src/main.rs", &printer("layout ID")),
        ],
    );
    scene.build("").ok();
    let layout = scene.path("target/docker/oci").display().to_string();
    let ours = scene.digest("app");

    let inspected: Value = serde_json::from_str(&tool("skopeo", &["inspect", &format!("oci:{layout}:app")])).unwrap();
    assert_eq!(inspected["Digest"].as_str(), Some(ours.as_str()));
    assert_eq!(inspected["Architecture"], "amd64");
    assert_eq!(inspected["Labels"]["org.opencontainers.image.title"], "app");

    let image = scene.image("app", "skopeo");
    copy(&format!("oci:{layout}:app"), &format!("docker-daemon:{image}"));
    assert_eq!(docker(&format!("run --rm {image}")), format!("layout {}", scene.id));

    // oras reads every blob and checks its digest.
    let described = tool("oras", &["manifest", "fetch", "--descriptor", "--oci-layout", &format!("{layout}:app")]);
    assert_eq!(serde_json::from_str::<Value>(&described).unwrap()["digest"].as_str(), Some(ours.as_str()));
    let other = format!("{}:app", scene.beside("other").display());
    tool("oras", &["copy", "--from-oci-layout", &format!("{layout}:app"), "--to-oci-layout", &other]);

    let bundle = scene.beside("bundle");
    let rootless = if tool("id", &["-u"]) == "0" { "--keep-dirlinks" } else { "--rootless" };
    tool("umoci", &["unpack", rootless, "--image", &format!("{layout}:app"), &bundle.display().to_string()]);
    let program = bundle.join("rootfs/usr/local/bin/app");
    assert_eq!(tool(&program.display().to_string(), &[]), format!("layout {}", scene.id));
    let config: Value = serde_json::from_slice(&fs::read(bundle.join("config.json")).unwrap()).unwrap();
    assert_eq!(config["process"]["args"], json!(["/usr/local/bin/app"]));
    assert_eq!((&config["process"]["user"]["uid"], &config["process"]["cwd"]), (&json!(65532), &json!("/")));
}

#[test]
#[ignore = "needs a container engine, skopeo and a registry"]
fn digests_do_not_change_on_the_way() {
    let scene = Scene::new(
        "way",
        &["app"],
        "",
        &[("app/Cargo.toml", &package("app", "")), ("app/src/main.rs", &printer("way ID"))],
    );
    let built = scene.build("--load --tag way --json").ok().json();
    let (image, digest) = (scene.image("app", "way"), scene.digest("app"));
    assert_eq!(built[0]["digest"].as_str(), Some(digest.as_str()));
    // The id that engines without manifests of their own show is the config's digest.
    let id = docker(&format!("image inspect --format {{{{.Id}}}} {image}"));
    assert!([built[0]["config"].as_str(), Some(digest.as_str())].contains(&Some(id.as_str())), "{id}");

    let mut cleanup = Cleanup::default();
    let layout = format!("oci:{}:app", scene.path("target/docker/oci").display());
    copy(&layout, &format!("docker://{image}"));
    cleanup.add(&format!("skopeo delete --tls-verify=false docker://{image}"));
    let format = ["inspect", "--tls-verify=false", "--format={{.Digest}}"];
    assert_eq!(tool("skopeo", &[&format[..], &[&format!("docker://{image}")]].concat()), digest);

    // Pulled by digest, it runs.
    run("docker", &["rmi", "--force", &image]);
    let pinned = format!("{}@{digest}", image.rsplit_once(':').expect("a tag").0);
    cleanup.add(&format!("docker rmi --force {pinned}"));
    assert_eq!(docker(&format!("run --rm {pinned}")), format!("way {}", scene.id));
    assert_eq!(docker(&format!("image inspect --format {{{{.Id}}}} {pinned}")), id);
}
