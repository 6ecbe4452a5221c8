//! What an engine may read: the ignore file applied to the workspace's files as Docker does it.

use std::path::Path;

use crate::support::{Fixture, package, root_manifest};

const MAIN: &str = "fn main() {}\n";

/// Files (but `target` and `.git`) that the ignore file in `folder` lets through.
pub(crate) fn context(fixture: &Fixture, folder: &str) -> Vec<String> {
    fixture.xtask("dockerfiles").ok();
    let ignore = fixture.read(Path::new(folder).join("Dockerfile.dockerignore").to_str().unwrap());
    let mut files = Vec::new();
    list(fixture.root(), fixture.root(), &mut files);
    files.retain(|file| is_sent(&ignore, file));
    files.sort();
    files
}

fn list(root: &Path, folder: &Path, files: &mut Vec<String>) {
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        let below = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        if path.is_dir() && !path.is_symlink() {
            list(root, &path, files);
        } else {
            files.push(below);
        }
    }
}

/// The last pattern that matches the path or a folder above it decides.
fn is_sent(ignore: &str, path: &str) -> bool {
    let mut sent = true;
    for line in ignore.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (pattern, allows) = line.strip_prefix('!').map_or((line, false), |pattern| (pattern, true));
        if Path::new(path).ancestors().any(|part| matches(&pattern.replace('\\', ""), part.to_str().unwrap())) {
            sent = allows;
        }
    }
    sent
}

/// The kinds of patterns that we write.
fn matches(pattern: &str, path: &str) -> bool {
    if let Some(name) = pattern.strip_prefix("**/") {
        let own = Path::new(path).file_name().map_or("", |name| name.to_str().unwrap());
        return match (name.strip_suffix('*'), name.strip_prefix('*')) {
            _ if name == "*.sw[op]" => own.ends_with(".swo") || own.ends_with(".swp"),
            _ if name == "#*#" => own.len() > 1 && own.starts_with('#') && own.ends_with('#'),
            (Some(prefix), _) => own.starts_with(prefix),
            (_, Some(suffix)) => own.ends_with(suffix),
            _ => own == name,
        };
    }
    match pattern {
        "*" => !path.is_empty() && !path.contains('/'),
        _ => pattern == path,
    }
}

/// `app` that depends on `lib`, and `other` beside them.
fn fixture() -> Fixture {
    Fixture::new(&[
        ("Cargo.toml", &root_manifest(&["app", "lib", "other"], "")),
        ("app/Cargo.toml", &package("app", "[dependencies]\nlib = { path = \"../lib\" }\n")),
        ("app/src/main.rs", MAIN),
        ("lib/Cargo.toml", &package("lib", "")),
        ("lib/src/lib.rs", ""),
        ("other/Cargo.toml", &package("other", "")),
        ("other/src/main.rs", MAIN),
    ])
}

const BASIC: &[&str] = &[
    "Cargo.lock",
    "Cargo.toml",
    "app/Cargo.toml",
    "app/src/main.rs",
    "lib/Cargo.toml",
    "lib/src/lib.rs",
    "other/Cargo.toml",
];

fn basic_and(more: &[&str]) -> Vec<String> {
    let mut all: Vec<_> = BASIC.iter().chain(more).map(ToString::to_string).collect();
    all.sort();
    all
}

#[test]
fn it_is_the_closure_and_the_manifests_of_all_and_nothing_else() {
    let fixture = fixture();
    fixture.write_all(&[
        ("README.md", ""),
        ("docs/page.md", ""),
        (".env", "SECRET=1"),
        ("app/.env.local", "SECRET=1"),
        ("app/src/.env", "SECRET=1"),
        ("app/target/debug/app", ""),
        ("target/debug/app", ""),
        ("app/src/target/mod.rs", ""),
    ]);
    fixture.git_init();
    assert_eq!(context(&fixture, "app"), basic_and(&["app/src/target/mod.rs"]));
}

#[test]
fn members_nested_in_one_are_left_out_unless_they_belong_to_it() {
    let fixture = Fixture::new(&[
        ("Cargo.toml", &root_manifest(&["app", "app/in", "app/out", "app/out/deep"], "")),
        ("app/Cargo.toml", &package("app", "[dependencies]\nin = { path = \"in\" }\ndeep = { path = \"out/deep\" }\n")),
        ("app/src/main.rs", MAIN),
        ("app/in/Cargo.toml", &package("in", "")),
        ("app/in/src/lib.rs", ""),
        ("app/out/Cargo.toml", &package("out", "")),
        ("app/out/src/main.rs", MAIN),
        ("app/out/deep/Cargo.toml", &package("deep", "")),
        ("app/out/deep/src/lib.rs", ""),
    ]);
    let files = context(&fixture, "app");
    for file in ["app/in/src/lib.rs", "app/out/deep/src/lib.rs", "app/out/Cargo.toml", "app/src/main.rs"] {
        assert!(files.iter().any(|sent| sent == file), "{file} is not among {files:?}");
    }
    assert!(!files.contains(&"app/out/src/main.rs".to_owned()), "{files:?}");
    let files = context(&fixture, "app/out");
    assert!(!files.contains(&"app/src/main.rs".to_owned()), "{files:?}");
    assert!(!files.contains(&"app/out/deep/src/lib.rs".to_owned()), "{files:?}");
}

#[test]
fn a_root_package_gets_everything_but_the_other_members() {
    let fixture = Fixture::new(&[
        ("Cargo.toml", &(package("top", "") + &root_manifest(&["member"], ""))),
        ("src/main.rs", MAIN),
        ("data/table.csv", "1,2\n"),
        (".env", "SECRET=1"),
        ("member/Cargo.toml", &package("member", "")),
        ("member/src/main.rs", MAIN),
        ("artifacts/docker/docker-image-digests.json", "{}"),
        ("target/x", ""),
    ]);
    fixture.git_init();
    assert_eq!(
        context(&fixture, ""),
        ["Cargo.lock", "Cargo.toml", "data/table.csv", "member/Cargo.toml", "src/main.rs"]
    );
    let files = context(&fixture, "member");
    assert_eq!(files, ["Cargo.lock", "Cargo.toml", "member/Cargo.toml", "member/src/main.rs"]);
}

#[test]
fn assets_are_in_it_wherever_they_lie() {
    let fixture = fixture();
    fixture.write_all(&[("web/index.html", ""), ("web/img/a.svg", ""), ("other/data.txt", ""), ("web2/x", "")]);
    fixture.append(
        "app/Cargo.toml",
        "[package.metadata.docker]\nassets = [{ from = \"web\", to = \"/w\" }, { from = \"other/data.txt\", to = \"/d\" }]\n",
    );
    assert_eq!(context(&fixture, "app"), basic_and(&["other/data.txt", "web/img/a.svg", "web/index.html"]));
    assert!(!context(&fixture, "other").contains(&"web/index.html".to_owned()));
}

#[test]
fn however_an_asset_is_written_it_is_in_it() {
    for from in ["./web", "web/", "app/../web"] {
        let fixture = fixture();
        fixture.write("web/index.html", "");
        let asset = format!("[package.metadata.docker]\nassets = [{{ from = {from:?}, to = \"/w\" }}]\n");
        fixture.append("app/Cargo.toml", &asset);
        assert_eq!(context(&fixture, "app"), basic_and(&["web/index.html"]), "{from}");
    }
}

#[test]
fn declared_inputs_are_in_it_and_in_no_image() {
    let fixture = fixture();
    fixture.write_all(&[("schema/a.sql", "a"), ("other/b.txt", "b"), ("schema2/c.sql", "c")]);
    fixture.append("app/Cargo.toml", "[package.metadata.docker]\ninputs = [\"./schema/\", \"other/b.txt\"]\n");
    assert_eq!(context(&fixture, "app"), basic_and(&["other/b.txt", "schema/a.sql"]));
    fixture.git_init();
    fixture.write("schema/a.sql", "changed");
    let affected = fixture.xtask("components --json --affected HEAD").ok().json();
    assert_eq!(affected[0]["affected"], "schema/a.sql");
    assert_eq!(affected.as_array().unwrap().len(), 1);
    fixture.build("app").ok();
    let image = fixture.image("app");
    assert!(image.revision().ends_with("-dirty"), "{}", image.revision());
    assert!(
        !image.files.keys().any(|path| path.contains("sql") || path.contains("schema")),
        "{:?}",
        image.files.keys()
    );
    fixture.replace("app/Cargo.toml", "./schema/", "missing");
    fixture.build("app").fails().says("`missing`, named in `[package.metadata.docker]` of `app/Cargo.toml`");
}

#[test]
fn what_sources_include_from_elsewhere_is_in_it() {
    let fixture = fixture();
    fixture.write_all(&[("README.md", "hello"), ("shared/a.txt", "a"), ("shared/b.txt", "b"), ("sql/1.sql", "")]);
    fixture.write("lib/src/lib.rs", "#![doc = include_str!(\"../../README.md\")]\n");
    fixture.write(
        "app/src/main.rs",
        "const A: &str = include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/../shared/a.txt\"));\nfn main() {}\n",
    );
    assert_eq!(context(&fixture, "app"), basic_and(&["README.md", "shared/a.txt"]));
}

#[test]
fn what_a_build_script_reads_beside_its_package_is_in_it() {
    let fixture = fixture();
    fixture.write_all(&[("proto/a.proto", ""), ("proto/deep/b.proto", ""), ("proto2/c.proto", "")]);
    fixture.write(
        "app/build.rs",
        "fn main() { compile(&[\"../proto/a.proto\"], &[\"../proto\"]); }\nfn compile(_: &[&str], _: &[&str]) {}\n",
    );
    assert_eq!(context(&fixture, "app"), basic_and(&["app/build.rs", "proto/a.proto", "proto/deep/b.proto"]));
}

#[test]
fn what_a_link_leads_to_is_in_it() {
    let fixture = fixture();
    fixture.write("shared/code.rs", "pub fn code() {}\n").link("app/src/code.rs", "../../shared/code.rs");
    assert_eq!(context(&fixture, "app"), basic_and(&["app/src/code.rs", "shared/code.rs"]));
}

#[test]
fn what_lies_outside_the_workspace_is_in_it_and_the_context_begins_above() {
    let fixture = fixture();
    crate::support::write(&fixture.beside("shared/text.txt"), "x");
    crate::support::write(&fixture.beside("shared/other.txt"), "x");
    crate::support::write(&fixture.beside("beside/Cargo.toml"), &package("beside", ""));
    crate::support::write(&fixture.beside("beside/src/lib.rs"), "");
    fixture.write("lib/src/lib.rs", "pub const S: &str = include_str!(\"../../../shared/text.txt\");\n");
    fixture.append("app/Cargo.toml", "beside = { path = \"../../beside\" }\n").lock();
    fixture.xtask("dockerfiles").ok();
    assert!(fixture.read("app/Dockerfile").contains("# It stands alone: docker build -f app/Dockerfile ..\n"));
    let ignore = fixture.read("app/Dockerfile.dockerignore");
    let sent = |path: &str| is_sent(&ignore, path);
    for path in ["ws/app/src/main.rs", "ws/Cargo.lock", "beside/src/lib.rs", "beside/Cargo.toml", "shared/text.txt"] {
        assert!(sent(path), "{path} in\n{ignore}");
    }
    for path in ["shared/other.txt", "ws/other/src/main.rs", "secret", "ws/target/x", "beside/target/x", "ws/app/.env"]
    {
        assert!(!sent(path), "{path} in\n{ignore}");
    }
    fixture.build("app").ok();
}

#[test]
fn words_name_neither_secrets_nor_what_is_made() {
    let fixture = Fixture::unlocked(&[
        ("Cargo.toml", &package("top", "")),
        ("src/main.rs", "fn main() { println!(\"{}{}{}{}\", \"target\", \".git\", \".ssh\", \"../target\"); }\n"),
        ("build.rs", "fn main() { let _ = [\".git/HEAD\", \"target\"]; }\n"),
        (".ssh/id", "secret"),
        (".gitignore", "/target\n"),
    ]);
    fixture.lock().git_init();
    fixture.build("").ok();
    assert_eq!(context(&fixture, ""), ["Cargo.lock", "Cargo.toml", "build.rs", "src/main.rs"]);
    let first = fixture.build("--json").ok().json();
    fixture.commit("nothing");
    assert_eq!(fixture.build("--json").ok().json(), first);
}

#[test]
fn what_is_never_compiled_is_left_out_unless_a_source_names_it() {
    let fixture = fixture();
    fixture.write_all(&[
        ("app/README.md", ""),
        ("app/notes.md", ""),
        ("app/.env.defaults", ""),
        ("app/.config/x", ""),
        ("app/tests/data/a.txt", ""),
        ("app/tests/it.rs", ""),
        ("app/src/main.rs~", ""),
        ("app/templates/mail/welcome.md", ""),
        ("web/bundle.js", ""),
        ("app/generated.log", ""),
        (".gitignore", "/target\n*.log\n"),
        (".dockerignore", "**/*.key\n"),
        ("app/data.key", ""),
    ]);
    fixture.git_init();
    assert_eq!(context(&fixture, "app"), basic_and(&[]));
    let names = "#![doc = include_str!(\"../README.md\")]\nconst A: &str = include_str!(\"../.env.defaults\");\n\
                 const B: &str = include_str!(\"../tests/data/a.txt\");\ntemplate!(path = \"mail/welcome.md\");\n";
    fixture.write("app/src/main.rs", &(names.to_owned() + MAIN));
    let named = ["app/.env.defaults", "app/README.md", "app/templates/mail/welcome.md", "app/tests/data/a.txt"];
    assert_eq!(context(&fixture, "app"), basic_and(&named));
}

#[test]
fn the_toolchain_file_is_in_it_and_picks_the_builder_image() {
    let fixture = fixture();
    let image = || {
        fixture.xtask("dockerfiles").ok();
        let text = fixture.read("app/Dockerfile");
        text.lines().find_map(|line| line.strip_prefix("FROM --platform=$BUILDPLATFORM ")).unwrap().to_owned()
    };
    assert!(image().starts_with("rust:1."), "{}", image());
    fixture.write("rust-toolchain.toml", "[toolchain]\nchannel = \"1.89.0\"\n");
    assert_eq!(image(), "rust:1.89.0-bookworm AS builder-amd64");
    assert_eq!(context(&fixture, "app"), basic_and(&["rust-toolchain.toml"]));
    // A channel that is no version has no image of its own.
    fixture.write("rust-toolchain.toml", "[toolchain]\nchannel = \"stable\"\n");
    assert_ne!(image(), "rust:stable-bookworm AS builder-amd64");
    fixture.remove("rust-toolchain.toml").write("rust-toolchain", "1.90.0\n");
    assert_eq!(image(), "rust:1.90.0-bookworm AS builder-amd64");
    fixture.append("Cargo.toml", "[workspace.metadata.docker]\nbuilder-image = \"my/rust:1\"\n");
    assert_eq!(image(), "my/rust:1 AS builder-amd64");
}

#[test]
fn a_toolchain_file_above_the_workspace_is_refused_until_the_workspace_has_one() {
    let outer = Fixture::simple(&[]);
    outer.write("rust-toolchain.toml", "[toolchain]\nchannel = \"1.89.0\"\n");
    outer.write(
        "inner/Cargo.toml",
        "[workspace]\n\n[package]\nname = \"inner\"\nversion = \"0.1.0\"\nedition = \"2024\"\n",
    );
    outer.write("inner/src/main.rs", "fn main() {}\n").write("inner/Cargo.lock", LOCK_OF_INNER);
    let run = || outer.xtask("dockerfiles").within(outer.path("inner"));
    run()
        .fails()
        .says("rust-toolchain.toml` chooses the toolchain of the workspace, and is not in it")
        .says("hint: copy it");
    outer.write("inner/rust-toolchain", "1.90.0\n");
    run().ok();
    assert!(outer.read("inner/Dockerfile").contains("rust:1.90.0-bookworm"));
}

const LOCK_OF_INNER: &str = "version = 4\n\n[[package]]\nname = \"inner\"\nversion = \"0.1.0\"\n";

#[test]
fn the_workspaces_cargo_config_is_in_it_and_its_rustflags_show() {
    let fixture = fixture();
    fixture.write(".cargo/config.toml", "[build]\nrustflags = [\"--cfg\", \"special\"]\n");
    assert_eq!(context(&fixture, "app"), basic_and(&[".cargo/config.toml"]));
    let text = fixture.read("app/Dockerfile");
    let expected = "RUSTFLAGS=\"--cfg special -C target-feature=+crt-static";
    assert!(text.contains(expected), "no `{expected}` in\n{text}");
    // Those of this machine do not.
    crate::support::write(&fixture.beside("home/config.toml"), "[build]\nrustflags = [\"--cfg\", \"mine\"]\n");
    fixture.xtask("dockerfiles --check").env("CARGO_HOME", fixture.beside("home")).env("RUSTFLAGS", "--cfg env").ok();
}

#[test]
fn vendored_sources_and_patches_stay_whole() {
    let fixture = fixture();
    fixture.vendor("first", "1.0.0").vendor("second", "1.0.0");
    fixture
        .write("patched/Cargo.toml", &package("third", "").replace("0.1.0", "1.0.0"))
        .write("patched/src/lib.rs", "");
    fixture.append("lib/Cargo.toml", "[dependencies]\nfirst = \"1\"\nthird = \"1\"\n");
    fixture.append("Cargo.toml", "[patch.crates-io]\nthird = { path = \"patched\" }\n");
    fixture.lock();
    let mut expected = basic_and(&[".cargo/config.toml", "patched/Cargo.toml", "patched/src/lib.rs"]);
    for vendored in ["first-1.0.0", "second-1.0.0"] {
        for file in [".cargo-checksum.json", "Cargo.toml", "src/lib.rs"] {
            expected.push(format!("vendor/{vendored}/{file}"));
        }
    }
    expected.sort();
    assert_eq!(context(&fixture, "app"), expected);
    // The dependencies stage gets them as they are.
    let text = fixture.read("app/Dockerfile");
    let kept = text.split("tar -cf -").nth(1).unwrap().split("| tar").next().unwrap();
    for part in ["patched", "vendor", ".cargo/config.toml", "Cargo.lock"] {
        assert!(kept.lines().any(|line| line.trim().split(' ').any(|word| word == part)), "no {part} in\n{kept}");
    }
}
