//! Programs that their image could not start are refused.

use crate::support::Fixture;

/// Compiles a library that nobody else has, and links the program to it.
const BUILD: &str = r#"use std::{env, fs, process::Command};

fn main() {
    let out = env::var("OUT_DIR").unwrap();
    fs::write(format!("{out}/own.c"), "int own(void) { return 7; }\n").unwrap();
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-Wl,-soname,libown.so.1", "own.c", "-o", "libown.so"]).current_dir(&out);
    assert!(cc.status().unwrap().success());
    println!("cargo::rustc-link-search=native={out}\ncargo::rustc-link-lib=dylib=own");
}
"#;
const MAIN: &str = "unsafe extern \"C\" {\n    safe fn own() -> i32;\n}\nfn main() { println!(\"{}\", own()); }\n";

/// A workspace whose image has files by the names of the GNU C library's: nobody looks into them.
fn base() -> Fixture {
    let fixture = Fixture::simple(&["base"]);
    for name in ["ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"] {
        fixture.write(&format!("lib/{name}"), "");
    }
    for name in ["libc.so.6", "libgcc_s.so.1", "libm.so.6"] {
        fixture.write(&format!("usr/{name}"), "");
    }
    fixture.write("lib64/ld-linux-x86-64.so.2", "");
    fixture.append(
        "base/Cargo.toml",
        "[package.metadata.docker]\nassets = [{ from = \"lib\", to = \"/lib\" }, { from = \"lib64\", to = \"/lib64\" }, \
         { from = \"usr\", to = \"/usr/lib\" }]\n",
    );
    fixture.git_init();
    fixture.build("").ok();
    fixture
}

#[test]
fn libraries_that_the_base_lacks_are_named() {
    let base = base();
    let oci = format!("oci:{}:base", base.path("target/docker/oci").display());
    let fixture = Fixture::simple(&["app"]);
    fixture.write("app/build.rs", BUILD).write("app/src/main.rs", MAIN);
    let settings = format!("[workspace.metadata.docker]\nlinkage = \"gnu\"\nruntime-image = {oci:?}\n");
    fixture.append("Cargo.toml", &settings).git_init();
    let failed = fixture.build("").fails();
    failed
        .says(&format!("`app` needs the library `libown.so.1`, which `{oci}` does not have"))
        .says("set `runtime-image` to an image with it, or link it into the program");

    // An asset that lands where the loader looks, by itself or because it is told.
    let own = fixture.read("app/Cargo.toml");
    for (to, env) in [("/usr/lib", ""), ("/opt/own", "env = { LD_LIBRARY_PATH = \"/opt/own\" }\n")] {
        fixture.write("own/libown.so.1", "");
        let assets = format!("assets = [{{ from = \"own\", to = \"{to}\" }}]");
        fixture.write("app/Cargo.toml", &format!("{own}[package.metadata.docker]\n{assets}\n{env}"));
        fixture.build("").ok();
    }
    fixture.replace("app/Cargo.toml", "LD_LIBRARY_PATH = \"/opt/own\"", "LD_LIBRARY_PATH = \"/opt/other\"");
    fixture.build("").fails().says("needs the library `libown.so.1`");
}

#[test]
fn a_base_without_the_loader_is_refused() {
    let base = Fixture::simple(&["base"]);
    base.git_init();
    base.build("").ok();
    let oci = format!("oci:{}:base", base.path("target/docker/oci").display());
    let fixture = Fixture::simple(&["app"]);
    let settings = format!("[workspace.metadata.docker]\nlinkage = \"gnu\"\nruntime-image = {oci:?}\n");
    fixture.append("Cargo.toml", &settings).git_init();
    let failed = fixture.build("").fails();
    failed.says("app: error: `app` needs the interpreter `/lib").says(&format!(
        "which `{oci}` does not have\nhint: set `linkage` to `gnu-static` or `musl`, or `runtime-image` to an image with it"
    ));
}

#[test]
fn a_dynamic_program_on_scratch_is_refused_before_it_is_compiled() {
    let fixture = Fixture::simple(&["app"]);
    fixture.write("app/src/main.rs", "this does not compile");
    fixture.append("Cargo.toml", "[workspace.metadata.docker]\nlinkage = \"gnu\"\n");
    let failed = fixture.build("").fails();
    failed
        .says("`linkage = \"gnu\"` in `[workspace.metadata.docker]` of `Cargo.toml` needs the GNU C library")
        .says("set `runtime-image` to an image with it")
        .says_nothing_of("compil");
}
