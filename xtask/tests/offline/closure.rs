//! `components`: which packages each binary is compiled from.

use serde_json::Value;

use crate::support::{Fixture, package, root_manifest};

const MAIN: &str = "fn main() {}\n";

/// A workspace with binary `app` that has `dependencies`, and a library for each of `libraries`.
fn app_with(dependencies: &str, libraries: &[&str], root: &str) -> Fixture {
    let mut members = vec!["app"];
    members.extend(libraries);
    let fixture = Fixture::unlocked(&[
        ("Cargo.toml", &root_manifest(&members, root)),
        ("app/Cargo.toml", &package("app", dependencies)),
        ("app/src/main.rs", MAIN),
    ]);
    for library in libraries {
        fixture.write(&format!("{library}/Cargo.toml"), &package(library, ""));
        fixture.write(&format!("{library}/src/lib.rs"), "");
    }
    fixture
}

fn closure_of(fixture: &Fixture, name: &str) -> Vec<String> {
    let list = fixture.lock().xtask("components --json").ok().json();
    let component = list.as_array().unwrap().iter().find(|component| component["name"] == name).unwrap();
    let closure = component["closure"].as_array().unwrap();
    closure.iter().map(|folder| Value::as_str(folder).unwrap().to_owned()).collect()
}

#[test]
fn normal_and_build_dependencies_belong_to_it_and_those_of_those() {
    let fixture = app_with(
        "[dependencies]\nnormal = { path = \"../normal\" }\n[build-dependencies]\nbuild = { path = \"../build\" }\n",
        &["normal", "build", "deep", "unused"],
        "",
    );
    fixture.append("normal/Cargo.toml", "[dependencies]\ndeep = { path = \"../deep\" }\n");
    fixture.write("app/build.rs", MAIN);
    assert_eq!(closure_of(&fixture, "app"), ["app", "build", "deep", "normal"]);
    // The build script is no component.
    assert_eq!(fixture.components(), ["app"]);
}

#[test]
fn a_proc_macro_and_what_it_is_made_of_belong_to_it() {
    let fixture = app_with("[dependencies]\nmac = { path = \"../mac\" }\n", &["mac", "helper"], "");
    fixture.append("mac/Cargo.toml", "[lib]\nproc-macro = true\n[dependencies]\nhelper = { path = \"../helper\" }\n");
    assert_eq!(closure_of(&fixture, "app"), ["app", "helper", "mac"]);
}

#[test]
fn renamed_dependencies_belong_to_it_and_those_of_other_systems_do_not() {
    let fixture = app_with(
        "[dependencies]\nalias = { package = \"real\", path = \"../real\" }\n\
         [target.'cfg(windows)'.dependencies]\nwindows = { path = \"../windows\" }\n\
         [target.'cfg(target_os = \"linux\")'.dependencies]\nlinux = { path = \"../linux\" }\n",
        &["real", "windows", "linux"],
        "",
    );
    assert_eq!(closure_of(&fixture, "app"), ["app", "linux", "real"]);
}

#[test]
fn optional_dependencies_belong_to_it_when_enabled() {
    let fixture = app_with("[dependencies]\nextra = { path = \"../extra\", optional = true }\n", &["extra"], "");
    assert_eq!(closure_of(&fixture, "app"), ["app"]);
    fixture.append("Cargo.toml", "[workspace.metadata.docker]\nfeatures = [\"app/extra\"]\n");
    assert_eq!(closure_of(&fixture, "app"), ["app", "extra"]);
}

#[test]
fn dev_dependencies_do_not_belong_to_it_even_in_a_cycle() {
    let fixture = app_with("[dependencies]\nbase = { path = \"../base\" }\n", &["base", "testing"], "");
    fixture.append("base/Cargo.toml", "[dev-dependencies]\ntesting = { path = \"../testing\" }\n");
    fixture.append("testing/Cargo.toml", "[dependencies]\nbase = { path = \"../base\" }\n");
    assert_eq!(closure_of(&fixture, "app"), ["app", "base"]);
}

#[test]
fn a_path_package_that_is_no_member_belongs_to_it() {
    let fixture = app_with("[dependencies]\nforeign = { path = \"../third-party/foreign\" }\n", &[], "");
    fixture.replace("Cargo.toml", "resolver", "exclude = [\"third-party\"]\nresolver");
    fixture.write(
        "third-party/foreign/Cargo.toml",
        &package("foreign", "[dependencies]\ndeep = { path = \"../deep\" }\n"),
    );
    fixture.write("third-party/foreign/src/lib.rs", "");
    fixture.write("third-party/deep/Cargo.toml", &package("deep", "")).write("third-party/deep/src/lib.rs", "");
    assert_eq!(closure_of(&fixture, "app"), ["app", "third-party/deep", "third-party/foreign"]);
}

#[test]
fn a_path_package_beside_the_workspace_is_named_by_its_absolute_path() {
    let fixture = app_with("[dependencies]\nbeside = { path = \"../../beside\" }\n", &[], "");
    crate::support::write(&fixture.beside("beside/Cargo.toml"), &package("beside", ""));
    crate::support::write(&fixture.beside("beside/src/lib.rs"), "");
    let beside = fixture.beside("beside").to_str().unwrap().to_owned();
    assert_eq!(closure_of(&fixture, "app"), [beside, "app".to_owned()]);
}

#[test]
fn inherited_dependencies_and_several_platforms_are_resolved() {
    let fixture = app_with(
        "[dependencies]\ncommon.workspace = true\n\
         [target.'cfg(target_arch = \"aarch64\")'.dependencies]\narm = { path = \"../arm\" }\n",
        &["common", "arm"],
        "[workspace.dependencies]\ncommon = { path = \"common\" }\n",
    );
    fixture.append("Cargo.toml", "[workspace.metadata.docker]\nplatforms = [\"linux/amd64\"]\n");
    assert_eq!(closure_of(&fixture, "app"), ["app", "common"]);
    fixture.replace("Cargo.toml", "[\"linux/amd64\"]", "[\"linux/amd64\", \"linux/arm64\"]");
    assert_eq!(closure_of(&fixture, "app"), ["app", "arm", "common"]);
}
