//! Images on a base: from a registry by tag or digest, from a layout, with or without an interpreter.

use std::fs;

use serde_json::{Value, json};

use super::images::{look, same};
use crate::parts::{Cleanup, Scene, copy, docker, push, tool};
use crate::support::image::Kind;
use crate::support::package;

/// A program that shows a file of the base, and one of its own assets.
fn scene(name: &str) -> Scene {
    let main = r#"fn main() {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    println!("{} {} {} ID", read("/etc/base").trim(), read("asset").trim(), std::env::var("BASE").unwrap_or_default());
}
"#;
    let settings = "[package.metadata.docker]\nport = 80\nassets = [{ from = \"asset\", to = \"/base/asset\" }]\n";
    Scene::new(
        name,
        &["app"],
        "",
        &[("app/Cargo.toml", &package("app", settings)), ("app/src/main.rs", main), ("asset", "asset\n")],
    )
}

impl Scene {
    /// Sets a key of `[workspace.metadata.docker]`.
    fn set(&self, key: &str, value: &str) {
        let text = self.read("Cargo.toml");
        let others: Vec<_> = text.lines().filter(|line| !line.starts_with(&format!("{key} = "))).collect();
        self.write("Cargo.toml", &format!("{}\n{key} = \"{value}\"\n", others.join("\n")));
    }

    /// Makes an image of the engine from a Dockerfile, and gives its name.
    fn base(&self, tag: &str, options: &str, dockerfile: &str) -> String {
        let (folder, image) = (self.beside("base"), self.image("base", tag));
        fs::create_dir_all(folder.join("files/etc")).expect("a folder");
        fs::create_dir_all(folder.join("files/usr/bin")).expect("a folder");
        fs::write(folder.join("files/etc/base"), format!("base {tag}\n")).expect("a file");
        fs::write(folder.join("files/usr/bin/tool"), "#!/bin/sh\n").expect("a file");
        // As in a merged `/usr`: what we add must not replace the link.
        let _ = std::os::unix::fs::symlink("usr/bin", folder.join("files/bin"));
        fs::write(folder.join("Dockerfile"), dockerfile).expect("a Dockerfile");
        docker(&format!("build --quiet {options} --tag {image} {}", folder.display()));
        image
    }
}

const SMALL: &str = r#"FROM scratch
COPY files /
ENV BASE=kept PATH=/base/bin:/usr/bin VERSION=base
LABEL base=kept org.opencontainers.image.title=base org.opencontainers.image.base.name=another
WORKDIR /base
EXPOSE 9/udp
CMD ["argument"]
USER 0
"#;

#[test]
#[ignore = "needs a container engine, skopeo and a registry"]
fn a_base_of_a_registry_by_tag_and_by_digest() {
    let scene = scene("base");
    let mut cleanup = Cleanup::default();
    let base = scene.base("1", "", SMALL);
    let digest = push(&base, &mut cleanup);
    scene.set("runtime-image", &format!("{base}@{digest}"));
    scene.engine_build("--load --tag ours").ok();
    let ours = scene.image("app", "ours");
    let printed = format!("base 1 asset kept {}", scene.id);
    assert_eq!(docker(&format!("run --rm {ours}")), printed);

    // The base's own layer, by its digest; its settings where we have none of our own.
    let image = scene.fixture.image("app");
    let pushed = tool("skopeo", &["inspect", "--raw", "--tls-verify=false", &format!("docker://{base}")]);
    let pushed: Value = serde_json::from_str(&pushed).expect("a manifest");
    assert_eq!(image.manifest["layers"][0]["digest"], pushed["layers"][0]["digest"]);
    assert_eq!((image.env("BASE"), image.env("VERSION")), (Some("kept"), Some("0.1.0")));
    assert_eq!(image.env("PATH"), Some("/base/bin:/usr/bin"));
    assert_eq!((image.label("base"), image.label("org.opencontainers.image.title")), (Some("kept"), Some("app")));
    let label = |name: &str| image.label(&format!("org.opencontainers.image.base.{name}"));
    assert_eq!((label("name"), label("digest")), (Some(base.as_str()), Some(digest.as_str())));
    let config = &image.config["config"];
    assert_eq!((&config["WorkingDir"], &config["User"]), (&json!("/base"), &json!("65532:65532")));
    assert_eq!(config["Entrypoint"], json!(["/usr/local/bin/app"]));
    assert!(config["Cmd"].is_null(), "{config:#}");
    assert_eq!(config["ExposedPorts"], json!({"80/tcp": {}, "9/udp": {}}));
    assert_eq!(image.file("bin").kind, Kind::Link("usr/bin".into()));
    assert!(!image.files.contains_key("etc/passwd"));

    // The standalone Dockerfile makes the same of it.
    scene.xtask("dockerfiles").ok();
    let (root, standalone) = (scene.root().display(), scene.image("app", "standalone"));
    docker(&format!("build --quiet --file {root}/app/Dockerfile --tag {standalone} {root}"));
    let any = ["usr/local/bin/app"];
    same(&look(&ours, &any), &look(&standalone, &any));

    // By digest; and the tag moves, which is noticed.
    let repository = base.rsplit_once(':').expect("a tag").0;
    scene.set("runtime-image", &format!("{repository}@{digest}"));
    scene.engine_build("").ok();
    let by_digest = scene.digest("app");
    let second = scene.base("2", "", SMALL);
    copy(&format!("docker-daemon:{second}"), &format!("docker://{base}"));
    scene.engine_build("").ok();
    assert_eq!(scene.digest("app"), by_digest);
    scene.set("runtime-image", &base);
    scene.untag("app", "ours");
    scene.untag("app", "local");
    scene.engine_build("--load --tag ours").ok();
    assert_eq!(docker(&format!("run --rm {ours}")), printed.replace("base 1", "base 2"));

    // A digest that the registry does not have.
    let last = if digest.ends_with('0') { '1' } else { '0' };
    let tampered = format!("{repository}@{}{last}", &digest[..digest.len() - 1]);
    scene.set("runtime-image", &tampered);
    scene.engine_build("").fails().says(&tampered).says("404");
    scene.set("runtime-image", &format!("{repository}:none"));
    scene.engine_build("").fails().says(&format!("cannot find base image `{repository}:none`")).says("does not exist");
}

#[test]
#[ignore = "needs a container engine, skopeo and a registry"]
fn a_base_without_the_platform_says_what_it_has() {
    let scene = scene("foreign");
    let mut cleanup = Cleanup::default();
    let base = scene.base("arm64", "--platform linux/arm64", SMALL);
    push(&base, &mut cleanup);
    scene.set("runtime-image", &base);
    scene.engine_build("").fails().says("it is for `linux/arm64`, not for `linux/amd64`").says(&base);

    // An index of two, neither of them ours.
    let other = scene.base("s390x", "--platform linux/s390x", SMALL);
    push(&other, &mut cleanup);
    let index = scene.image("base", "index");
    docker(&format!("buildx imagetools create --tag {index} {base} {other}"));
    cleanup.add(&format!("skopeo delete --tls-verify=false docker://{index}"));
    scene.set("runtime-image", &index);
    let failed = scene.engine_build("").fails().says("it has no `linux/amd64`");
    failed.says("linux/arm64").says("linux/s390x").says(&format!("cannot use base image `{index}`"));
}

/// A base with the GNU C library of the builder image, its folders merged as Debian's are.
const GNU: &str = r#"FROM rust:1.95-bookworm AS libraries
RUN set -eu; mkdir -p /base/usr/lib64 /base/usr/lib /base/etc; cd /base; ln -s usr/lib lib; ln -s usr/lib64 lib64; \
    cp -L "$(ls /lib64/ld-linux-x86-64.so.2 /lib/ld-linux-aarch64.so.1 2>/dev/null)" /base/usr/lib64/; \
    for name in libc.so.6 libgcc_s.so.1 libm.so.6; do cp -L "$(gcc -print-file-name=$name)" /base/usr/lib64/; done; \
    echo gnu >etc/base
FROM scratch
COPY --from=libraries /base /
ENV LD_LIBRARY_PATH=/usr/lib64
LABEL org.opencontainers.image.base.name=another
"#;

#[test]
#[ignore = "needs a container engine and skopeo"]
fn dynamic_programs_need_a_base_with_their_interpreter() {
    let scene = scene("gnu");
    scene.set("linkage", "gnu");
    scene
        .engine_build("")
        .fails()
        .says("`linkage = \"gnu\"` in `[workspace.metadata.docker]` of `Cargo.toml` needs the GNU C library")
        .says("gnu-static");

    // One image of a layout needs no name; its path is taken from the workspace's root.
    let without = scene.base("plain", "", SMALL);
    copy(&format!("docker-daemon:{without}"), &format!("oci:{}:plain", scene.path("bases").display()));
    scene.set("runtime-image", "oci:bases");
    let interpreter = "`app` needs the interpreter `/lib64/ld-linux-x86-64.so.2`, which `oci:bases` does not have";
    scene.engine_build("").fails().says(interpreter);

    let gnu = scene.base("gnu", "", GNU);
    copy(&format!("docker-daemon:{gnu}"), &format!("oci:{}:gnu", scene.path("bases").display()));
    scene.set("runtime-image", "oci:bases");
    scene.engine_build("").fails().says("the layout has 2 images, name one: `plain`, `gnu`");
    scene.set("runtime-image", "oci:bases:gun");
    scene.engine_build("").fails().says("the layout has no image `gun`, only `plain`, `gnu`");

    scene.set("runtime-image", "oci:bases:gnu");
    scene.engine_build("--load --tag gnu").ok();
    // What a base says of its own base is not said of ours, which has no name.
    assert_eq!(scene.fixture.image("app").label("org.opencontainers.image.base.name"), None);
    let printed = docker(&format!("run --rm --workdir /base {}", scene.image("app", "gnu")));
    assert_eq!(printed, format!("gnu asset  {}", scene.id));
    // No Dockerfile can start from a layout, and says so.
    scene.xtask("dockerfiles").fails().says("no Dockerfile can start from");
}

#[test]
#[ignore = "needs a container engine and skopeo"]
fn a_base_without_a_library_of_the_program_is_refused_and_one_with_it_starts_it() {
    let compile = "-shared -fPIC -Wl,-soname,libown.so.1 -o";
    let build = format!(
        "use std::process::Command;\nfn main() {{\n    let out = std::env::var(\"OUT_DIR\").unwrap();\n    \
         let own = format!(\"echo 'int own(void) {{{{ return 7; }}}}' | cc {compile} {{out}}/libown.so -x c -\");\n    \
         assert!(Command::new(\"sh\").args([\"-c\", &own]).status().unwrap().success());\n    \
         println!(\"cargo::rustc-link-search=native={{out}}\\ncargo::rustc-link-lib=dylib=own\");\n}}\n"
    );
    let main = "unsafe extern \"C\" {\n    safe fn own() -> i32;\n}\nfn main() { println!(\"{} ID\", own()); }\n";
    let files = [("app/Cargo.toml", package("app", "")), ("app/build.rs", build), ("app/src/main.rs", main.to_owned())];
    let files: Vec<_> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    let scene = Scene::new("library", &["app"], "", &files);
    scene.set("linkage", "gnu");
    let without = scene.base("gnu", "", GNU);
    copy(&format!("docker-daemon:{without}"), &format!("oci:{}:gnu", scene.path("bases").display()));
    scene.set("runtime-image", "oci:bases:gnu");
    scene
        .engine_build("")
        .fails()
        .says("`app` needs the library `libown.so.1`, which `oci:bases:gnu` does not have")
        .says("set `runtime-image` to an image with it");

    let own =
        format!("echo 'int own(void) {{ return 7; }}' | gcc {compile} /base/usr/lib64/libown.so.1 -x c -; echo gnu");
    let with = scene.base("own", "", &GNU.replace("echo gnu", &own));
    copy(&format!("docker-daemon:{with}"), &format!("oci:{}:own", scene.path("bases").display()));
    scene.set("runtime-image", "oci:bases:own");
    scene.engine_build("--load --tag own").ok();
    assert_eq!(docker(&format!("run --rm {}", scene.image("app", "own"))), format!("7 {}", scene.id));
}
