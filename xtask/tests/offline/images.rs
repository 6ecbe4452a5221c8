//! `docker-build --builder native`: what is in the images, read back from the layout.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::support::image::{Kind, images};
use crate::support::{FIRST_COMMIT, Fixture, own_architecture, package, root_manifest, succeed};

/// Says what it sees of its image.
const MAIN: &str = "fn main() { println!(\"hello from {}\", env!(\"CARGO_PKG_NAME\")); }\n";

/// A component with everything that settings can give an image.
fn furnished() -> Fixture {
    let fixture = Fixture::unlocked(&[
        (
            "Cargo.toml",
            &root_manifest(
                &["app"],
                "[workspace.package]\nhomepage = \"https://app.example.com\"\nauthors = [\"Nobody\"]\n\
                 repository = \"https://example.com/other\"\n",
            ),
        ),
        (
            "app/Cargo.toml",
            &package(
                "app",
                "description = \"Says hello\"\nlicense = \"MIT\"\nauthors = [\"Me <me@example.com>\", \"You\"]\n\
                 repository = \"https://example.com/app\"\n\
                 [package.metadata.docker]\nport = 3000\n\
                 assets = [{ from = \"app/static\", to = \"/srv/static\" }, { from = \"motd\", to = \"/etc/motd\" }]\n\
                 env = { RUST_LOG = \"info\", GREETING = \"a \\\"b\\\" $c\" }\n",
            ),
        ),
        ("app/src/main.rs", MAIN),
        ("app/static/index.html", "<p>hello\n"),
        ("app/static/deep/er/a.txt", "a"),
        ("motd", "welcome\n"),
    ]);
    fixture.script("app/static/run.sh", "#!/bin/sh\n").parent().unwrap();
    fixture.link("app/static/home.html", "index.html").lock().git_init();
    fixture
}

#[test]
fn config_and_files_are_what_the_settings_say() {
    let fixture = furnished();
    let report = fixture.build("--json").ok().json();
    let image = fixture.image("app");
    assert_eq!(report[0]["component"], "app");
    assert_eq!(report[0]["digest"], image.digest);
    assert_eq!(report[0]["config"], image.manifest["config"]["digest"]);
    assert_eq!(report[0]["revision"], fixture.head());
    let layers = image.manifest["layers"].as_array().unwrap().iter();
    let size: u64 = layers.chain([&image.manifest["config"]]).map(|part| part["size"].as_u64().unwrap()).sum();
    assert!(report[0]["size"].as_u64().unwrap() > size, "the manifest itself counts too: {report}");

    let config = &image.config;
    assert_eq!(config["architecture"], own_architecture());
    assert_eq!(config["os"], "linux");
    assert_eq!(config["created"], "2023-11-14T22:13:20Z");
    let container = &config["config"];
    assert_eq!(container["User"], "65532:65532");
    assert_eq!(container["Entrypoint"], serde_json::json!(["/usr/local/bin/app"]));
    assert_eq!(container["Cmd"], serde_json::Value::Null);
    assert_eq!(container["WorkingDir"], "/");
    assert_eq!(container["ExposedPorts"], serde_json::json!({ "3000/tcp": {} }));
    assert_eq!(image.env("PATH"), Some("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"));
    assert_eq!(image.env("RUST_LOG"), Some("info"));
    assert_eq!(image.env("GREETING"), Some("a \"b\" $c"));
    assert_eq!(image.env("VERSION"), Some("0.1.0"));
    assert_eq!(image.env("COMMIT_SHA"), Some(fixture.head().as_str()));
    assert_eq!(image.env("BUILD_DATE"), Some("2023-11-14T22:13:20Z"));
    for (label, value) in [
        ("title", "app"),
        ("version", "0.1.0"),
        ("revision", &fixture.head()),
        ("created", "2023-11-14T22:13:20Z"),
        ("source", "https://example.com/app"),
        ("licenses", "MIT"),
        ("description", "Says hello"),
        ("vendor", "Me, You"),
        ("url", "https://app.example.com"),
    ] {
        assert_eq!(image.label(&format!("org.opencontainers.image.{label}")), Some(value), "{label}");
    }
    let hash = image.label("xtask.input-hash").unwrap();
    assert!(hash.len() == 64 && hash.chars().all(|c| c.is_ascii_hexdigit()), "{hash}");
    assert_eq!(report[0]["input-hash"], hash);
}

#[test]
fn files_have_their_path_mode_owner_and_time() {
    let fixture = furnished();
    fixture.build("").ok();
    let image = fixture.image("app");
    for (path, kind, mode) in [
        ("etc/passwd", Kind::File, 0o644),
        ("etc/group", Kind::File, 0o644),
        ("etc/ssl/certs/ca-certificates.crt", Kind::File, 0o644),
        ("tmp", Kind::Folder, 0o1777),
        ("home/nonroot", Kind::Folder, 0o755),
        ("srv", Kind::Folder, 0o755),
        ("srv/static/deep/er", Kind::Folder, 0o755),
        ("srv/static/index.html", Kind::File, 0o644),
        ("srv/static/run.sh", Kind::File, 0o755),
        ("srv/static/home.html", Kind::Link("index.html".into()), 0o777),
        ("srv/static/deep/er/a.txt", Kind::File, 0o644),
        ("etc/motd", Kind::File, 0o644),
        ("usr/local/bin", Kind::Folder, 0o755),
        ("usr/local/bin/app", Kind::File, 0o755),
    ] {
        let file = image.file(path);
        assert_eq!((&file.kind, file.mode), (&kind, mode), "{path}");
    }
    for (path, file) in &image.files {
        let owner = if path == "home/nonroot" { (65532, 65532) } else { (0, 0) };
        assert_eq!(file.owner, owner, "{path}");
        assert_eq!(file.time, FIRST_COMMIT as u64, "{path}");
    }
    assert_eq!(image.file("srv/static/index.html").content, b"<p>hello\n");
    assert_eq!(image.file("etc/motd").content, b"welcome\n");
    let passwd = String::from_utf8(image.file("etc/passwd").content.clone()).unwrap();
    assert!(passwd.contains("nonroot:x:65532:65532:"), "{passwd}");
    assert!(image.file("etc/ssl/certs/ca-certificates.crt").content.starts_with(b"-----BEGIN CERTIFICATE-----\n"));
}

#[test]
fn the_program_taken_from_the_image_runs() {
    let fixture = furnished();
    fixture.build("").ok();
    let program = fixture.image("app").extract_program(&fixture.beside(""));
    assert_eq!(succeed(Command::new(program).env_clear().current_dir("/")), "hello from app\n");
}

#[test]
fn each_binary_has_an_image_and_a_subset_can_be_asked_for() {
    let fixture = Fixture::simple(&["one", "two"]);
    fixture.write("two/src/bin/th_ree.rs", "fn main() { println!(\"three\"); }\n").git_init();
    let layout = fixture.path("target/docker/oci");
    fixture.build("two").ok();
    assert_eq!(images(&layout), ["two"]);
    let before = fixture.digest("two");
    let table = fixture.build("one th_ree").ok().stdout;
    assert_eq!(images(&layout), ["one", "th_ree", "two"]);
    assert_eq!(fixture.digest("two"), before);
    let rows: Vec<_> = table.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(rows, ["COMPONENT", "one", "th_ree"]);
    assert!(table.contains(&fixture.digest("one")), "{table}");
    for (name, output) in [("one", "one\n"), ("two", "two\n"), ("th_ree", "three\n")] {
        let program = fixture.image(name).extract_program(&fixture.beside(""));
        assert_eq!(succeed(&mut Command::new(program)), output);
    }
    // Which others were asked for does not show in an image.
    fixture.build("").ok();
    assert_eq!(fixture.digest("two"), before);
}

#[test]
fn a_second_run_changes_no_file_of_the_layout() {
    let fixture = furnished();
    fixture.build("").ok();
    let layout = fixture.path("target/docker/oci");
    let state = || {
        use std::os::unix::fs::MetadataExt;
        let blobs = std::fs::read_dir(layout.join("blobs/sha256")).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = blobs.chain([layout.join("index.json"), layout.join("oci-layout")]).collect();
        files.sort();
        let state = files.into_iter().map(|path| {
            let metadata = path.metadata().unwrap();
            (path, metadata.ino(), metadata.modified().unwrap())
        });
        state.collect::<Vec<_>>()
    };
    let before = state();
    fixture.build("").ok();
    assert_eq!(state(), before);
}

#[test]
fn the_image_of_a_removed_component_goes_with_its_blobs() {
    let fixture = Fixture::simple(&["one", "two"]);
    fixture.git_init();
    fixture.build("").ok();
    let layout = fixture.path("target/docker/oci");
    let count = || std::fs::read_dir(layout.join("blobs/sha256")).unwrap().count();
    let before = count();
    fixture.remove("two").replace("Cargo.toml", "\"one\", \"two\"", "\"one\"").lock().commit("remove two");
    fixture.build("").ok();
    assert_eq!(images(&layout), ["one"]);
    // Its manifest, config and executable; the root files are shared.
    assert_eq!(count(), before - 3);
}

#[test]
fn build_arguments_say_what_the_image_says() {
    let fixture = Fixture::simple(&["app"]);
    fixture.git_init();
    let says = || {
        let image = fixture.image("app");
        let labels = ["version", "revision", "created"].map(|name| format!("org.opencontainers.image.{name}"));
        let labels = labels.map(|name| image.label(&name).unwrap().to_owned());
        assert_eq!(labels, ["VERSION", "COMMIT_SHA", "BUILD_DATE"].map(|name| image.env(name).unwrap().to_owned()));
        labels.join(" ")
    };
    fixture.build("--build-arg VERSION=1.2.3 --build-arg COMMIT_SHA=abc --build-arg BUILD_DATE=today").ok();
    assert_eq!(says(), "1.2.3 abc today");
    fixture.build("").env("CI_BUILD_ARGS", "VERSION=2,COMMIT_SHA=def\nBUILD_DATE=never").ok();
    assert_eq!(says(), "2 def never");
    // Arguments win over the variable.
    fixture.build("--build-arg VERSION=3").env("CI_BUILD_ARGS", "VERSION=2").ok();
    assert_eq!(says(), format!("3 {} 2023-11-14T22:13:20Z", fixture.head()));
}

#[test]
fn other_build_arguments_reach_build_scripts_and_decide_the_image() {
    let fixture = Fixture::simple(&["app"]);
    fixture.write(
        "app/build.rs",
        "fn main() {\n    println!(\"cargo::rerun-if-env-changed=FLAVOUR\");\n    \
         println!(\"cargo::rustc-env=TASTE={}\", std::env::var(\"FLAVOUR\").unwrap_or_default());\n}\n",
    );
    fixture.write("app/src/main.rs", "fn main() { println!(\"{}\", env!(\"TASTE\")); }\n").git_init();
    let built = |arguments: &str| {
        fixture.build(arguments).ok();
        let image = fixture.image("app");
        let output = succeed(&mut Command::new(image.extract_program(&fixture.beside(""))));
        (output, image.label("xtask.input-hash").unwrap().to_owned())
    };
    let (plain, sweet) = (built(""), built("--build-arg FLAVOUR=sweet"));
    assert_eq!((plain.0.as_str(), sweet.0.as_str()), ("\n", "sweet\n"));
    assert_ne!(plain.1, sweet.1);
    assert_eq!(built(""), plain);
}

#[test]
fn variables_that_are_set_and_empty_count_as_not_set() {
    let fixture = Fixture::simple(&["app"]);
    fixture.git_init();
    let plain = fixture.build("--json").ok().json();
    let names =
        ["CI_REGISTRY", "CI_IMAGE_TAG", "CI_BUILD_ARGS", "CI_SERVICES", "SOURCE_DATE_EPOCH", "GITHUB_REPOSITORY"];
    let run = names.iter().fold(fixture.build("--json"), |run, name| run.env(name, ""));
    assert_eq!(run.ok().json(), plain);
    let platform = crate::support::own_platform();
    fixture.append("Cargo.toml", &format!("[workspace.metadata.docker]\nplatforms = [{platform:?}]\n"));
    let plan = fixture.xtask("docker-build --dry-run --builder native").env("CI_IMAGE_PLATFORM", "").ok().stdout;
    assert!(plan.contains(&format!("for {platform},")), "{plan}");
}

#[test]
fn wrong_build_arguments_are_errors() {
    let fixture = Fixture::simple(&["app"]);
    fixture.build("--build-arg VERSION").fails().says("build argument `VERSION` is not of the form NAME=VALUE");
    fixture.build("--build-arg 1A=b").fails().says("`1A` in build argument `1A=b` is no name of a variable");
}

#[test]
fn assets_may_be_a_single_executable_and_lie_outside_the_crate() {
    let fixture = Fixture::simple(&["app"]);
    fixture.script("tools/start", "#!/bin/sh\n");
    std::fs::set_permissions(fixture.path("tools/start"), std::fs::Permissions::from_mode(0o711)).unwrap();
    fixture.append(
        "app/Cargo.toml",
        "[package.metadata.docker]\nassets = [{ from = \"tools/start\", to = \"/bin/go\" }]\n",
    );
    fixture.build("").ok();
    // Only whether it is executable counts; other mode bits differ between checkouts.
    assert_eq!(fixture.image("app").file("bin/go").mode, 0o755);
}

#[test]
fn however_an_asset_is_written_its_files_are_where_it_says() {
    for (from, to) in [
        ("web", "/srv"),
        ("web/", "/srv/"),
        ("./web", "/./srv"),
        ("app/../web", "//srv"),
        ("web/index.html", "/srv/index.html"),
    ] {
        let fixture = Fixture::simple(&["app"]);
        fixture.write("web/index.html", "hello");
        let asset = format!("[package.metadata.docker]\nassets = [{{ from = {from:?}, to = {to:?} }}]\n");
        fixture.append("app/Cargo.toml", &asset);
        fixture.build("").ok();
        let image = fixture.image("app");
        let paths: Vec<_> = image.files.keys().filter(|path| path.starts_with("srv")).collect();
        assert_eq!(paths, ["srv", "srv/index.html"], "{from} -> {to}");
    }
}

#[test]
fn files_with_long_and_foreign_names_arrive() {
    let fixture = Fixture::simple(&["app"]);
    let (folder, file) = ("f".repeat(120), format!("{}.txt", "n".repeat(150)));
    let names = [
        format!("{folder}/{file}"),
        "ünï cödé/日本 \"語\".txt".to_owned(),
        "a 'b' $c*?.txt".to_owned(),
        "-x".to_owned(),
    ];
    for name in &names {
        fixture.write(&format!("web/{name}"), name);
    }
    fixture.append("app/Cargo.toml", "[package.metadata.docker]\nassets = [{ from = \"web\", to = \"/srv\" }]\n");
    fixture.git_init();
    fixture.build("").ok();
    let image = fixture.image("app");
    for name in &names {
        assert_eq!(image.file(&format!("srv/{name}")).content, name.as_bytes(), "{name}");
    }
    // Git quotes such names in its lists.
    fixture.append(&format!("web/{}", names[1]), "changed");
    fixture.build("").ok();
    assert_eq!(fixture.image("app").revision(), format!("{}-dirty", fixture.head()));
}

#[test]
fn a_platform_named_twice_is_built_once() {
    let fixture = Fixture::simple(&["app"]);
    let platform = crate::support::own_platform();
    let report = fixture.build(&format!("--json --platform {platform},{platform}")).ok().json();
    assert_eq!(report.as_array().unwrap().len(), 1);
}

#[test]
fn a_workspace_without_binaries_has_nothing_to_build() {
    let fixture = Fixture::simple(&["xtask"]);
    let output = fixture.build("--json").ok().says("nothing to build: this workspace has no binary");
    assert_eq!(output.stdout, "[]\n");
}

#[test]
fn a_dry_run_says_what_would_be_run_and_changes_nothing() {
    let fixture = Fixture::simple(&["one", "two"]);
    fixture.git_init();
    let plan = fixture.build("two --dry-run").ok().stdout;
    let (run, image) = plan.split_once('\n').unwrap();
    assert!(run.starts_with("run    ") && run.contains(" build --release --locked --target "), "{plan}");
    assert!(run.ends_with("-p one -p two --bin two"), "{plan}");
    assert!(image.starts_with("image  two for linux/"), "{plan}");
    assert!(!fixture.path("target/docker/oci").exists());
    assert!(!fixture.path("target/docker/build").exists());
}
