//! `sbom`, and what executables carry: read back as scanners and document readers do.

use std::collections::BTreeSet;
use std::process::Command;

use object::{Object, ObjectSection};
use serde_json::{Value, json};

use crate::support::{Fixture, package, root_manifest, succeed};

/// A program of a member with a macro, a vendored package, and one that only its build script uses.
fn fixture() -> Fixture {
    let fixture = Fixture::unlocked(&[
        ("Cargo.toml", &root_manifest(&["app", "shout"], "")),
        (
            "app/Cargo.toml",
            &package(
                "app",
                "license = \"MIT/Apache-2.0\"\n[dependencies]\nlinked = \"1\"\nshout = { path = \"../shout\" }\n\
                 [build-dependencies]\ntool = \"1\"\n",
            ),
        ),
        ("app/build.rs", "fn main() { assert_eq!(tool::VERSION, \"1.2.0\"); }\n"),
        ("app/src/main.rs", "fn main() { println!(\"{} {}\", linked::VERSION, shout::hello!()); }\n"),
        ("shout/Cargo.toml", &package("shout", "[lib]\nproc-macro = true\n")),
        (
            "shout/src/lib.rs",
            "#[proc_macro]\npub fn hello(_: proc_macro::TokenStream) -> proc_macro::TokenStream { \"7\".parse().unwrap() }\n",
        ),
    ]);
    fixture.vendor("linked", "1.0.0").vendor("tool", "1.2.0").lock().git_init();
    fixture
}

/// The text of the only document.
#[track_caller]
fn document(fixture: &Fixture, format: &str) -> String {
    fixture.xtask(&format!("sbom app --format {format}")).ok().stdout
}

#[test]
fn executables_and_documents_say_what_cargo_resolved_and_no_folder() {
    let fixture = fixture();
    fixture.build("").ok();
    let image = fixture.image("app");
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(succeed(&mut Command::new(image.extract_program(folder.path()))), "1.0.0 7\n");
    let program = &image.file("usr/local/bin/app").content;
    let file = object::File::parse(&program[..]).unwrap();
    let section = file.section_by_name(".dep-v0").unwrap();
    let found: Value = serde_json::from_reader(flate2::read::ZlibDecoder::new(section.data().unwrap())).unwrap();
    let expected = json!({ "format": 1, "packages": [
        { "name": "app", "version": "0.1.0", "source": "local", "dependencies": [1, 2, 3], "root": true },
        { "name": "linked", "version": "1.0.0", "source": "crates.io" },
        { "name": "shout", "version": "0.1.0", "source": "local", "kind": "build" },
        { "name": "tool", "version": "1.2.0", "source": "crates.io", "kind": "build" },
    ] });
    assert_eq!(found, expected);

    let cyclonedx = document(&fixture, "cyclonedx");
    let bom: Value = serde_json::from_str(&cyclonedx).unwrap();
    let listed: Vec<_> = bom["components"].as_array().unwrap().iter().map(|c| (&c["bom-ref"], &c["scope"])).collect();
    assert_eq!(
        json!(listed),
        json!([
            ["pkg:cargo/app@0.1.0?download_url=file://.#app", "required"],
            ["pkg:cargo/linked@1.0.0", "required"],
            ["pkg:cargo/shout@0.1.0?download_url=file://.#shout", "excluded"],
            ["pkg:cargo/tool@1.2.0", "excluded"],
        ])
    );
    assert_eq!(bom["components"][0]["licenses"], json!([{ "expression": "MIT OR Apache-2.0" }]));
    assert_eq!(bom["metadata"]["timestamp"], "2023-11-14T22:13:20Z");
    is_coherent(&bom);
    let spdx = document(&fixture, "spdx");
    let document: Value = serde_json::from_str(&spdx).unwrap();
    let relations = document["relationships"].as_array().unwrap();
    let said = |from: &str, kind: &str, to: &str| {
        relations.contains(&json!({ "spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to }))
    };
    assert!(said("SPDXRef-image", "CONTAINS", "SPDXRef-0") && said("SPDXRef-0", "DEPENDS_ON", "SPDXRef-1"));
    assert!(said("SPDXRef-3", "BUILD_DEPENDENCY_OF", "SPDXRef-0") && !said("SPDXRef-0", "DEPENDS_ON", "SPDXRef-3"));

    let elsewhere = fixture.copy();
    assert_eq!(elsewhere.xtask("sbom app --format cyclonedx").ok().stdout, cyclonedx);
    elsewhere.xtask("sbom --output target/sbom").ok();
    assert_eq!(elsewhere.read("target/sbom/app-linux-amd64.cdx.json"), cyclonedx);
    assert_eq!(elsewhere.read("target/sbom/app-linux-amd64.spdx.json"), spdx);
}

/// What CycloneDX's schema cannot say: references are to something, and each names one thing.
#[track_caller]
fn is_coherent(bom: &Value) {
    let components = bom["components"].as_array().unwrap();
    let names: Vec<&str> = components.iter().map(|component| component["bom-ref"].as_str().unwrap()).collect();
    let known: BTreeSet<&str> = names.iter().copied().chain(["image"]).collect();
    assert_eq!(known.len(), names.len() + 1, "{names:?}");
    for entry in bom["dependencies"].as_array().unwrap() {
        let used = entry["dependsOn"].as_array().unwrap().iter().chain([&entry["ref"]]);
        used.for_each(|reference| assert!(known.contains(reference.as_str().unwrap()), "{reference}"));
    }
}

#[test]
fn several_documents_are_written_and_one_is_printed() {
    let fixture = Fixture::simple(&["one", "two"]);
    let output = fixture.xtask("sbom --format spdx").fails();
    output.says("error: there are 2 documents, one for each image and platform").says("`--output DIR`");
    let numbers = fixture.xtask("sbom --json").ok().json();
    assert_eq!(
        numbers[1],
        json!({ "component": "two", "platform": "linux/amd64", "program": 1, "build": 0, "base": 0 })
    );
    fixture.xtask("sbom two --output documents --format spdx --dry-run").ok();
    assert!(!fixture.path("documents").exists());
    fixture.xtask("sbom three").fails().says("Unknown service(s) requested: three");
}
