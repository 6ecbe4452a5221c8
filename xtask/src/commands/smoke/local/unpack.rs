//! Images of a layout, unpacked into folders.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;

use anyhow::{Context, Result, bail, ensure};
use camino::{Utf8Path, Utf8PathBuf};
use flate2::read::MultiGzDecoder;
use tar::{Archive, EntryType};

use crate::assemble::blobs::open_blob;
use crate::assemble::layout::{SOURCES, read_document};
use crate::image::manifest::{AnyManifest, ConfigFile, Descriptor, Index, Manifest, REF_NAME};
use crate::image::platform::{Platform, PlatformObject};
use crate::kubernetes::local::plan::LocalImage;
use crate::system::environment::own_architecture;

/// Before the name of a file that a layer removes (OCI image-spec, layer, whiteouts).
const WHITEOUT: &str = ".wh.";
/// In a folder whose lower layers' content a layer removes.
const OPAQUE: &str = ".wh..wh..opq";

/// Unpacks the image `component` of the layout `dir` for this machine below `root`. Also gives what it was made
/// from: [`SOURCES`].
///
/// # Errors
/// It is not there, not for this machine, or damaged.
pub(super) fn unpack(dir: &Utf8Path, component: &str, root: &Utf8Path) -> Result<(LocalImage, Option<String>)> {
    let missing = || format!("no image `{component}` in `{dir}`; `cargo xtask docker-build {component}` makes it");
    let index = fs::read(dir.join("index.json")).with_context(missing)?;
    let index: Index = serde_json::from_slice(&index).with_context(|| format!("`{dir}/index.json` is damaged"))?;
    let named =
        index.manifests.iter().find(|entry| entry.annotations.get(REF_NAME).is_some_and(|name| name == component));
    let top = named.with_context(missing)?;
    let (digest, manifest) = manifest(dir, top)?;
    let config: ConfigFile =
        serde_json::from_slice(&read_document(dir, &manifest.config)?).context("its config is not valid")?;
    let own = own_platform()?;
    let offered: Platform =
        format!("{}/{}", config.os, config.architecture).parse().context("its config is not valid")?;
    ensure!(
        own.os() == offered.os() && own.architecture() == offered.architecture(),
        "it is for `{offered}`, and this machine is `{own}`"
    );
    fs::create_dir_all(root).with_context(|| format!("cannot create `{root}`"))?;
    let mut paths = BTreeSet::new();
    for layer in &manifest.layers {
        unpack_layer(dir, layer, root, &mut paths)
            .with_context(|| format!("cannot unpack layer `{}`", layer.digest))?;
    }
    let made_from = top.annotations.get(&format!("{SOURCES}.{own}")).cloned();
    Ok((LocalImage { digest, config: config.config, root: root.to_owned(), paths, is_outdated: false }, made_from))
}

/// This machine, as OCI writes it.
pub(super) fn own_platform() -> Result<Platform> {
    let architecture = own_architecture();
    format!("{}/{architecture}", std::env::consts::OS).parse()
}

/// The manifest for this machine, and the digest that `top` gives the image.
fn manifest(dir: &Utf8Path, top: &Descriptor) -> Result<(String, Manifest)> {
    let read = |descriptor: &Descriptor| AnyManifest::parse(&read_document(dir, descriptor)?, &descriptor.media_type);
    match read(top)? {
        AnyManifest::Image(manifest) => Ok((top.digest.to_string(), manifest)),
        AnyManifest::Index(index) => {
            let found = own_entry(&index)?;
            match read(found)? {
                AnyManifest::Image(manifest) => Ok((top.digest.to_string(), manifest)),
                AnyManifest::Index(_) => bail!("it leads to another index"),
            }
        }
    }
}

/// What an index has for this machine.
pub(super) fn own_entry(index: &Index) -> Result<&Descriptor> {
    let own = own_platform()?;
    let offered = |entry: &Descriptor| entry.platform.as_ref().and_then(PlatformObject::platform);
    let found = index.manifests.iter().find(|entry| offered(entry).is_some_and(|platform| own.accepts(&platform)));
    found.with_context(|| format!("it has no `{own}`"))
}

fn unpack_layer(dir: &Utf8Path, layer: &Descriptor, root: &Utf8Path, paths: &mut BTreeSet<Utf8PathBuf>) -> Result<()> {
    let blob = open_blob(dir, &layer.digest, layer.size)?;
    let tar: Box<dyn Read> = if layer.media_type.ends_with("gzip") {
        Box::new(MultiGzDecoder::new(blob))
    } else if layer.media_type.ends_with("tar") {
        Box::new(blob)
    } else {
        bail!("layers of type `{}` are not supported", layer.media_type);
    };
    let mut archive = Archive::new(tar);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = Utf8PathBuf::from_path_buf(entry.path()?.into_owned())
            .map_err(|path| anyhow::anyhow!("the name of `{}` is no UTF-8", path.display()))?;
        let inside = Utf8Path::new("/").join(name.as_str().trim_start_matches("./").trim_end_matches('/'));
        match inside.file_name() {
            Some(OPAQUE) => remove_below(root, inside.parent(), paths, true)?,
            Some(file) if file.starts_with(WHITEOUT) => {
                let removed = inside.with_file_name(&file[WHITEOUT.len()..]);
                remove_below(root, Some(&removed), paths, false)?;
            }
            // A program of ours has no business with devices.
            _ if matches!(entry.header().entry_type(), EntryType::Block | EntryType::Char | EntryType::Fifo) => {}
            _ => {
                // Says false for paths that leave the folder.
                ensure!(entry.unpack_in(root)?, "`{name}` is outside the image");
                paths.extend(inside.ancestors().map(Utf8Path::to_owned));
            }
        }
    }
    Ok(())
}

/// Removes a path of a lower layer, or only what is in it.
fn remove_below(
    root: &Utf8Path,
    inside: Option<&Utf8Path>,
    paths: &mut BTreeSet<Utf8PathBuf>,
    only_content: bool,
) -> Result<()> {
    let Some(inside) = inside else { return Ok(()) };
    let doomed: Vec<Utf8PathBuf> =
        paths.iter().filter(|path| path.starts_with(inside) && !(only_content && *path == inside)).cloned().collect();
    // Deepest first, so that folders are empty when they go; only what was unpacked here is touched.
    for path in doomed.into_iter().rev() {
        let here = root.join(path.as_str().trim_start_matches('/'));
        let removed = match here.symlink_metadata() {
            Ok(metadata) if metadata.is_dir() => fs::remove_dir(&here),
            Ok(_) => fs::remove_file(&here),
            Err(_) => Ok(()),
        };
        removed.with_context(|| format!("cannot remove `{here}`"))?;
        paths.remove(&path);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::image::manifest::{OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST, to_json};

    fn blob(dir: &Utf8Path, media_type: &str, bytes: &[u8]) -> Descriptor {
        let descriptor = Descriptor::of(media_type, bytes);
        fs::create_dir_all(dir.join("blobs/sha256")).unwrap();
        fs::write(dir.join("blobs/sha256").join(descriptor.digest.hex()), bytes).unwrap();
        descriptor
    }

    fn layer(dir: &Utf8Path, files: &[(&str, &str)]) -> Descriptor {
        let mut tar = tar::Builder::new(Vec::new());
        for (path, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o755);
            tar.append_data(&mut header, path, content.as_bytes()).unwrap();
        }
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&tar.into_inner().unwrap()).unwrap();
        blob(dir, OCI_LAYER_GZIP, &gzip.finish().unwrap())
    }

    /// Puts an image `app` for `architecture` into the layout.
    fn put(dir: &Utf8Path, layers: Vec<Descriptor>, architecture: &str) {
        let config = format!(
            "{{\"os\": \"linux\", \"architecture\": \"{architecture}\", \"rootfs\": {{\"type\": \"layers\", \"diff_ids\": []}}, \"config\": {{\"Entrypoint\": [\"/app\"]}}}}"
        );
        let manifest = Manifest::new(blob(dir, OCI_CONFIG, config.as_bytes()), layers);
        let mut descriptor = blob(dir, OCI_MANIFEST, &to_json(&manifest));
        descriptor.annotations.insert(REF_NAME.to_owned(), "app".to_owned());
        fs::write(dir.join("index.json"), to_json(&Index::new(vec![descriptor]))).unwrap();
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn layers_lie_on_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(folder.path()).unwrap();
        let lower =
            layer(dir, &[("app", "old"), ("data/a", "1"), ("data/b", "2"), ("gone/x/y", "3"), ("etc/keep", "4")]);
        let upper = layer(dir, &[("app", "new"), ("data/.wh..wh..opq", ""), ("data/c", "5"), (".wh.gone", "")]);
        let own = own_platform().unwrap();
        put(dir, vec![lower.clone(), upper], own.architecture());
        let (image, _) = unpack(dir, "app", &dir.join("root")).unwrap();
        let read = |path: &str| fs::read_to_string(dir.join("root").join(path)).ok();
        assert_eq!(read("app").as_deref(), Some("new"));
        assert_eq!(
            (read("data/a"), read("data/c").as_deref(), read("etc/keep").as_deref()),
            (None, Some("5"), Some("4"))
        );
        assert!(!dir.join("root/gone").exists());
        let paths: Vec<_> = image.paths.iter().map(|path| path.as_str()).collect();
        assert_eq!(paths, ["/", "/app", "/data", "/data/c", "/etc", "/etc/keep"]);
        assert_eq!(image.config.entrypoint.unwrap(), ["/app"]);

        let error = unpack(dir, "other", &dir.join("root2")).unwrap_err().to_string();
        assert!(
            error.starts_with("no image `other` in `") && error.ends_with("`cargo xtask docker-build other` makes it")
        );
        put(dir, vec![lower], "s390x");
        let error = unpack(dir, "app", &dir.join("root3")).unwrap_err().to_string();
        assert_eq!(error, format!("it is for `linux/s390x`, and this machine is `{own}`"));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn nothing_is_written_outside() {
        let folder = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(folder.path()).unwrap();
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.as_mut_bytes()[..10].copy_from_slice(b"../escaped");
        header.set_size(1);
        header.set_mode(0o644);
        header.set_cksum();
        tar.append(&header, &b"x"[..]).unwrap();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&tar.into_inner().unwrap()).unwrap();
        let bad = blob(dir, OCI_LAYER_GZIP, &gzip.finish().unwrap());
        put(dir, vec![bad], own_platform().unwrap().architecture());
        let error = format!("{:#}", unpack(dir, "app", &dir.join("root")).unwrap_err());
        assert!(error.contains("`../escaped` is outside the image"), "{error}");
        assert!(!dir.join("escaped").exists());
    }
}
