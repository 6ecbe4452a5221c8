//! The bytes that this assembler makes, held by digest; and what shows in its identity.

use camino::Utf8PathBuf;
use serde_json::json;

use super::*;
use crate::assemble::base::{BaseImage, BaseReference};
use crate::assemble::component::ComponentImage;
use crate::assemble::image::{ImageConfig, ImageSpec, assemble};
use crate::assemble::layer::LayerSpec;
use crate::assemble::layout::Layout;
use crate::image::labels::BASE_NAME;
use crate::image::root_files::root_files_with;
use crate::registry::{Client, Credentials};
use crate::workspace::components::Component;
use crate::workspace::input_summary::InputSummary;
use crate::workspace::packages::Package;
use crate::workspace::settings::package_settings;

const ON_SCRATCH: &str = "sha256:56f79495da878692823e075f73c3c1688e352ddee61081f70182780ea1a2567d";
const ON_A_BASE: &str = "sha256:a534afc68835430f9c0a433356e2fc0c5492eedadb3766b6ae54e23da90595f0";

const CHANGED: &str = "images are no longer what they were byte for byte: raise `FORMAT` in \
    `xtask/src/assemble/identity.rs`, or the registry's old ones are adopted for new ones; then put the new digest here";

fn file(path: &str, mode: u32, content: impl Into<Vec<u8>>) -> Entry {
    Entry::new(path, mode, EntryKind::File(Source::Bytes(content.into().into())))
}

fn component() -> Component {
    let settings = json!({"docker": {"port": 3000, "env": {"RUST_LOG": "info", "GREETING": "a \"b\" $c"}}});
    let package = Package {
        name: "app".into(),
        version: "1.2.3".into(),
        folder: "app".into(),
        targets: Vec::new(),
        default_run: None,
        settings: package_settings(&settings, "app/Cargo.toml".into()).unwrap(),
        description: Some("Says hello".into()),
        license: Some("MIT".into()),
        repository: Some("https://example.com/app".into()),
        homepage: Some("https://app.example.com".into()),
        authors: vec!["Ann Other".into(), "Bob".into()],
        manifest: json!({}),
        path_dependencies: Vec::new(),
    };
    Component { name: "app".into(), package, closure: vec!["app".into()], is_default: true }
}

/// More than one block of the compressor, of text that repeats itself a little.
fn program() -> Vec<u8> {
    let mut state = 1_u32;
    let mut words = String::new();
    while words.len() < 600_000 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        words.push_str(["engine ", "runtime ", "ledger ", "digest\n"][(state >> 30) as usize]);
        words.push(char::from(b'a' + (state >> 20) as u8 % 26));
    }
    words.into_bytes()
}

/// Everything that an image can have, on `base`.
fn image(component: &Component, base: Option<BaseImage>) -> ImageSpec {
    let long = format!("srv/{}/{}", "folder".repeat(20), "name".repeat(30));
    let is_scratch = base.is_none();
    let base_name = "debian".parse().unwrap();
    let image = ComponentImage {
        component,
        platform: "linux/amd64".parse().unwrap(),
        base,
        base_name: Some(&base_name),
        assets: vec![
            file("srv/run.sh", 0o755, "#!/bin/sh\n"),
            Entry::new("srv/home.html", 0o777, EntryKind::Symlink("index.html".into())),
            file("srv/index.html", 0o644, "<p>hello\n"),
            file(&long, 0o644, "a name that is too long for its header"),
            file("tmp/ünï cödé", 0o644, ""),
        ],
        program: Source::Bytes(program().into()),
        version: "1.2.3",
        commit: "0123456789abcdef0123456789abcdef01234567",
        build_date: "2023-11-14T22:13:20Z",
        created: 1_700_000_000,
        input_hash: "abc".into(),
        inputs: InputSummary::parse(r#"{"rustc":"rustc 1.95.0 #12345678"}"#).unwrap(),
        had_network: false,
    };
    // The certificates have a digest of their own in the identity.
    image.spec_with(if is_scratch { root_files_with("certificates\n".into()) } else { Vec::new() })
}

fn folder() -> (tempfile::TempDir, Utf8PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = Utf8PathBuf::from_path_buf(folder.path().to_owned()).unwrap();
    (folder, path)
}

/// A base of one layer that says something of everything.
fn base(dir: &Utf8PathBuf, layout: &Layout) -> BaseImage {
    let theirs = Layout::open(&dir.join("base")).unwrap();
    let spec = ImageSpec {
        platform: "linux/amd64".parse().unwrap(),
        base: None,
        layers: vec![LayerSpec { name: "base".into(), entries: vec![file("etc/base", 0o644, "base")] }],
        config: ImageConfig {
            user: "0".into(),
            working_dir: Some("/base".into()),
            entrypoint: vec!["/init".into()],
            env: vec![("PATH".into(), "/base/bin".into()), ("VERSION".into(), "base".into())],
            ports: vec![80],
            labels: ["base", BASE_NAME].map(|name| (name.to_owned(), "the base's".to_owned())).into(),
        },
        created: 1_600_000_000,
    };
    theirs.put("base", vec![assemble(&theirs, &spec).unwrap()], Default::default()).unwrap();
    drop(theirs);
    let client = Client::new(Credentials::none());
    let reference: BaseReference = format!("oci:{dir}/base").parse().unwrap();
    let digest = reference.resolve(&client).unwrap();
    BaseImage::load(layout, &reference, &digest, &spec.platform, &dir.join("cache"), &client).unwrap()
}

#[test]
fn images_have_the_bytes_that_the_format_number_stands_for() {
    let (_guard, dir) = folder();
    let layout = Layout::open(&dir.join("oci")).unwrap();
    let component = component();
    let built = assemble(&layout, &image(&component, None)).unwrap();
    assert_eq!(built.layers.len(), 3);
    assert_eq!(built.manifest.digest.to_string(), ON_SCRATCH, "{CHANGED}");
    let built = assemble(&layout, &image(&component, Some(base(&dir, &layout)))).unwrap();
    assert_eq!(built.manifest.digest.to_string(), ON_A_BASE, "{CHANGED}");
}

#[test]
fn a_newer_ca_bundle_another_owner_or_mode_is_another_identity() {
    let of = |certificates: &str| root_files_with(certificates.to_owned());
    let old = digest(&of("old"));
    assert_eq!(digest(&of("old")), old);
    assert_ne!(digest(&of("new")), old);
    let changes: [fn(&mut Entry); 3] =
        [|entry| entry.mode = 0o600, |entry| entry.owner = (1, 1), |entry| entry.path.push('x')];
    for change in changes {
        for at in 0..of("old").len() {
            let mut changed = of("old");
            change(&mut changed[at]);
            assert_ne!(digest(&changed), old, "{}", changed[at].path);
        }
    }
}

#[test]
fn images_on_a_base_do_not_change_with_files_that_they_do_not_have() {
    let names = |has_base| assembler_identity(has_base).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(names(false), ["assembler format", "assembler compressor", "assembler root files"]);
    assert_eq!(names(true), ["assembler format", "assembler compressor"]);
}
