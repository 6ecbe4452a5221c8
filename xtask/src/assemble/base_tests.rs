//! Bases from layouts: chosen, checked, looked into.

use super::*;
use crate::assemble::image::{ImageConfig, ImageSpec, assemble};
use crate::assemble::layer::LayerSpec;
use crate::image::assembled::AssembledPlatform;
use crate::image::entry::{Entry, EntryKind, Source};
use crate::registry::Credentials;

fn folder() -> (tempfile::TempDir, Utf8PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = Utf8PathBuf::from_path_buf(folder.path().to_owned()).unwrap();
    (folder, path)
}

fn client() -> Client {
    Client::new(Credentials::none())
}

fn layer(name: &str, paths: &[(&str, Option<&str>)]) -> LayerSpec {
    let entry = |(path, target): &(&str, Option<&str>)| {
        let kind = match target {
            Some(target) => EntryKind::Symlink((*target).to_owned()),
            None => EntryKind::File(Source::Bytes(path.as_bytes().to_vec().into())),
        };
        Entry::new(*path, 0o755, kind)
    };
    LayerSpec { name: name.to_owned(), entries: paths.iter().map(entry).collect() }
}

fn base(layout: &Layout, platform: &str) -> AssembledPlatform {
    let spec = ImageSpec {
        platform: platform.parse().unwrap(),
        base: None,
        layers: vec![
            layer("one", &[("lib64", Some("usr/lib64")), ("usr/lib64/ld.so", None), ("etc/gone", None)]),
            layer("two", &[("etc/.wh.gone", None), ("etc/kept", None), ("etc/ld.so.conf.d/a.conf", None)]),
        ],
        config: ImageConfig { env: vec![("A".into(), platform.into())], ..ImageConfig::default() },
        created: 0,
    };
    assemble(layout, &spec).unwrap()
}

/// A layout `base` with `one` (a platform) and `all` (two), and our own layout.
fn setup(dir: &Utf8Path) -> Layout {
    let theirs = Layout::open(&dir.join("base")).unwrap();
    theirs.put("one", vec![base(&theirs, "linux/amd64")], Default::default()).unwrap();
    let all = vec![base(&theirs, "linux/amd64"), base(&theirs, "linux/arm64")];
    theirs.put("all", all, Default::default()).unwrap();
    Layout::open(&dir.join("oci")).unwrap()
}

fn load(layout: &Layout, dir: &Utf8Path, reference: &str, platform: &str) -> Result<BaseImage> {
    let reference: BaseReference = reference.parse()?;
    let digest = reference.resolve(&client())?;
    let platform = platform.parse()?;
    BaseImage::load(layout, &reference, &digest, &platform, &dir.join("cache"), &client())
}

#[test]
fn references_parse_and_print() {
    let digest = Digest::of(b"x");
    for text in ["oci:a/b", "oci:/a/b:name", "ghcr.io/a/b:c", &format!("oci:a@{digest}")] {
        assert_eq!(text.parse::<BaseReference>().unwrap().to_string(), *text);
    }
    assert!("oci:".parse::<BaseReference>().is_err());
    assert!("oci::name".parse::<BaseReference>().is_err());
    assert!("oci:a@sha256:12".parse::<BaseReference>().is_err());
}

#[test]
fn an_image_is_built_on_a_base() {
    let (_guard, dir) = folder();
    let layout = setup(&dir);
    let base = load(&layout, &dir, &format!("oci:{dir}/base:all"), "linux/arm64").unwrap();
    assert_eq!(base.platform().to_string(), "linux/arm64");
    assert_eq!(base.config().config.env.as_ref().unwrap(), &["A=linux/arm64"]);
    let spec = ImageSpec {
        platform: "linux/arm64".parse().unwrap(),
        base: Some(base.clone()),
        layers: vec![layer("program", &[("usr/local/bin/engine", None)])],
        config: ImageConfig::default(),
        created: 0,
    };
    let image = assemble(&layout, &spec).unwrap();
    let names: Vec<&str> = image.layers.iter().map(|layer| layer.name.as_str()).collect();
    assert_eq!(names, ["base", "base", "program"]);
    layout.put("engine", vec![image], Default::default()).unwrap();

    let other = ImageSpec { platform: "linux/amd64".parse().unwrap(), ..spec };
    let error = assemble(&layout, &other).unwrap_err().to_string();
    assert!(error.contains("is for `linux/arm64`, not for `linux/amd64`"), "{error}");
}

#[test]
fn paths_are_found_as_the_engine_would() {
    let (_guard, dir) = folder();
    let layout = setup(&dir);
    let base = load(&layout, &dir, &format!("oci:{dir}/base:one"), "linux/amd64").unwrap();
    for _ in 0..2 {
        let files = base.files(&layout).unwrap();
        assert!(files.contains("/lib64/ld.so"));
        assert!(!files.contains("/etc/gone"));
        assert!(files.contains("/etc/kept"));
        assert_eq!(files.texts().collect::<Vec<_>>(), ["etc/ld.so.conf.d/a.conf"]);
        // The second time, the cache answers.
        for layer in base.layers() {
            let _ = fs::remove_file(layout.blob_path(&layer.digest));
        }
    }
}

/// A package that an upper layer removed is not there; one is as the upper layer has it.
#[test]
fn a_bases_packages_are_those_of_its_uppermost_databases() {
    let (_guard, dir) = folder();
    let text = |path: &str, text: &str| {
        Entry::new(path, 0o644, EntryKind::File(Source::Bytes(text.as_bytes().to_vec().into())))
    };
    let entry = |name: &str, version: &str| format!("Package: {name}\nVersion: {version}\nArchitecture: amd64\n");
    let status = |name: &str| format!("var/lib/dpkg/status.d/{name}");
    let below = vec![
        text("etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n"),
        text(&status("libc6"), &entry("libc6", "1")),
        text(&status("gone"), &entry("gone", "1")),
    ];
    let above = vec![text(&status("libc6"), &entry("libc6", "2")), text("var/lib/dpkg/status.d/.wh.gone", "")];
    let spec = ImageSpec {
        platform: "linux/amd64".parse().unwrap(),
        base: None,
        layers: [below, above].map(|entries| LayerSpec { name: "layer".into(), entries }).into(),
        config: ImageConfig::default(),
        created: 0,
    };
    let theirs = Layout::open(&dir.join("base")).unwrap();
    theirs.put("one", vec![assemble(&theirs, &spec).unwrap()], Default::default()).unwrap();
    let layout = Layout::open(&dir.join("oci")).unwrap();
    let base = load(&layout, &dir, &format!("oci:{dir}/base"), "linux/amd64").unwrap();
    let found = base.distribution(&layout).unwrap();
    let packages: Vec<_> = found.packages.iter().map(|package| (&*package.name, &*package.version)).collect();
    assert_eq!((found.id.as_str(), packages), ("debian", vec![("libc6", "2")]));
}

#[test]
fn what_is_not_there_is_listed() {
    let (_guard, dir) = folder();
    let layout = setup(&dir);
    let error = |reference: &str, platform: &str| {
        format!("{:#}", load(&layout, &dir, &format!("oci:{dir}/base{reference}"), platform).unwrap_err())
    };
    let text = error(":all", "linux/s390x");
    assert!(text.ends_with("it has no `linux/s390x`, only `linux/amd64`, `linux/arm64`"), "{text}");
    let text = error(":one", "linux/arm64");
    assert!(text.ends_with("it is for `linux/amd64`, not for `linux/arm64`"), "{text}");
    let text = error(":none", "linux/amd64");
    assert!(text.ends_with("the layout has no image `none`, only `all`, `one`"), "{text}");
    let text = error("", "linux/amd64");
    assert!(text.ends_with("the layout has 2 images, name one: `all`, `one`"), "{text}");
}

#[test]
fn damaged_bases_are_refused() {
    let (_guard, dir) = folder();
    let layout = setup(&dir);
    let reference = format!("oci:{dir}/base:one");
    let good = load(&layout, &dir, &reference, "linux/amd64").unwrap();
    let theirs = |digest: &Digest| dir.join("base/blobs/sha256").join(digest.hex());
    let layer = &good.layers()[0];
    fs::write(theirs(&layer.digest), vec![0; layer.size as usize]).unwrap();
    assert!(load(&layout, &dir, &reference, "linux/amd64").is_ok(), "ours is good already");
    let fresh = Layout::open(&dir.join("fresh")).unwrap();
    let error = format!("{:#}", load(&fresh, &dir, &reference, "linux/amd64").unwrap_err());
    assert!(error.contains(&format!("layer `{}` is damaged", layer.digest)), "{error}");
    fs::write(theirs(good.manifest()), b"{}").unwrap();
    let error = format!("{:#}", load(&layout, &dir, &reference, "linux/amd64").unwrap_err());
    assert!(error.contains("is damaged"), "{error}");
}
