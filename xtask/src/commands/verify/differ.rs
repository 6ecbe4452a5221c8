//! Where an image that was built again differs from the one in the registry: the layer, the file in it, the key of the
//! config.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, BufReader, Read};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::assemble::hashing::HashingWriter;
use crate::assemble::layout::Layout;
use crate::commands::build::apply::Built;
use crate::image::assembled::AssembledPlatform;
use crate::image::manifest::{AnyManifest, Descriptor, Manifest};
use crate::image::record::RecordedImage;
use crate::image::reference::{Digest, ImageReference};
use crate::registry::Client;

/// Of more files than these in a layer, the rest is counted.
const SHOWN: usize = 10;
/// Of a value of the config, so many characters are shown.
const LONGEST: usize = 100;

/// What of a file may differ, and what it is.
type Facts = Vec<(&'static str, String)>;

/// Compares each platform's image, a line for each difference; none when they are the same, by digest.
///
/// # Errors
/// The registry cannot be asked, or has not all of its image.
pub(super) fn differences(
    client: &Client,
    there: &RecordedImage,
    layout: &Layout,
    here: &Built,
) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for built in &here.platforms {
        let Some(recorded) = there.platforms.get(&built.platform) else {
            all.push(format!("{}: the release has no image for it", built.platform));
            continue;
        };
        if recorded.digest != built.manifest.digest {
            let theirs = there.image.with_digest(recorded.digest.clone());
            let found = of_platform(client, &theirs, layout, built);
            let found = found.with_context(|| format!("cannot compare with `{theirs}`"))?;
            all.extend(found.into_iter().map(|line| format!("{}: {line}", built.platform)));
        }
    }
    if all.is_empty() && here.descriptor.digest != there.digest {
        all.push(format!("the index of the platforms is `{}` here", here.descriptor.digest));
    }
    Ok(all)
}

fn of_platform(
    client: &Client,
    theirs: &ImageReference,
    layout: &Layout,
    built: &AssembledPlatform,
) -> Result<Vec<String>> {
    let fetched = client.get_manifest(theirs)?;
    let there = manifest(&fetched.bytes, &fetched.descriptor.media_type)?;
    let here = manifest(&layout.read_document(&built.manifest)?, &built.manifest.media_type)?;
    let mut all = Vec::new();
    if there.layers.len() != here.layers.len() {
        all.push(format!("{} layers there, {} here", there.layers.len(), here.layers.len()));
    }
    for ((there, here), summary) in there.layers.iter().zip(&here.layers).zip(&built.layers) {
        if there.digest != here.digest {
            let files = layer(client, theirs, there, layout, here);
            let files = files.with_context(|| format!("cannot read the layer `{}`", summary.name))?;
            all.extend(files.into_iter().map(|line| format!("layer `{}`: {line}", summary.name)));
        }
    }
    let mut config = Vec::new();
    client.fetch_blob(theirs, &there.config.digest, there.config.size, &mut config)?;
    all.extend(keys(&config, &layout.read_document(&here.config)?)?);
    if all.is_empty() {
        all.push("the manifest says the same in other words".to_owned());
    }
    Ok(all)
}

fn manifest(bytes: &[u8], media_type: &str) -> Result<Manifest> {
    match AnyManifest::parse(bytes, media_type)? {
        AnyManifest::Image(manifest) => Ok(manifest),
        AnyManifest::Index(_) => bail!("an index is where an image should be"),
    }
}

/// The files that differ in a layer.
fn layer(
    client: &Client,
    theirs: &ImageReference,
    there: &Descriptor,
    layout: &Layout,
    here: &Descriptor,
) -> Result<Vec<String>> {
    let there = entries(client.open_blob(theirs, &there.digest, there.size)?)?;
    let here = entries(layout.open_blob(&here.digest, here.size)?)?;
    let mut all: Vec<String> = there
        .keys()
        .chain(here.keys())
        .collect::<BTreeSet<_>>()
        .into_iter()
        .filter_map(|path| difference(path, there.get(path), here.get(path)))
        .collect();
    if all.is_empty() {
        all.push("the same files, in another order or compressed otherwise".to_owned());
    }
    let more = all.len().saturating_sub(SHOWN);
    all.truncate(SHOWN);
    all.extend((more > 0).then(|| format!("and {more} more")));
    Ok(all)
}

fn difference(path: &str, there: Option<&Facts>, here: Option<&Facts>) -> Option<String> {
    let path = path.escape_debug();
    match (there, here) {
        (Some(_), None) => Some(format!("`{path}` is there alone")),
        (None, _) => Some(format!("`{path}` is here alone")),
        (Some(there), Some(here)) => {
            let differ = there.iter().zip(here).filter(|(there, here)| there != here);
            let said = differ.map(|((what, there), (_, here))| format!("{what} ({there} there, {here} here)"));
            let said = said.collect::<Vec<_>>().join(", ");
            (!said.is_empty()).then(|| format!("`{path}` differs in {said}"))
        }
    }
}

/// The entries of a layer, gzip or not: of contents, their hashes alone are kept.
fn entries(blob: impl Read) -> Result<BTreeMap<String, Facts>> {
    let mut blob = BufReader::with_capacity(64 * 1024, blob);
    match blob.fill_buf()? {
        [0x1f, 0x8b, ..] => tar_entries(flate2::bufread::MultiGzDecoder::new(blob)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => bail!("zstd is not supported here"),
        _ => tar_entries(blob),
    }
}

fn tar_entries(tar: impl Read) -> Result<BTreeMap<String, Facts>> {
    let mut all = BTreeMap::new();
    for entry in ::tar::Archive::new(tar).entries()? {
        let mut entry = entry?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let link = entry.link_name_bytes().map(|link| String::from_utf8_lossy(&link).escape_debug().to_string());
        let header = entry.header();
        let mut facts = vec![
            ("kind", format!("{:?}", header.entry_type())),
            ("mode", format!("{:o}", header.mode()?)),
            ("owner", format!("{}:{}", header.uid()?, header.gid()?)),
            ("time", header.mtime()?.to_string()),
            ("target", link.unwrap_or_default()),
        ];
        let mut content = HashingWriter::new(io::sink());
        io::copy(&mut entry, &mut content)?;
        let (digest, length, _) = content.finish();
        facts.push(("content", format!("{length} bytes {}", short(&digest))));
        all.insert(path, facts);
    }
    Ok(all)
}

fn short(digest: &Digest) -> &str {
    &digest.hex()[..12]
}

/// The keys of two configs whose values differ. What they say of the layers, the layers say themselves.
fn keys(there: &[u8], here: &[u8]) -> Result<Vec<String>> {
    let read = |bytes: &[u8]| -> Result<BTreeMap<String, String>> {
        let mut leaves = BTreeMap::new();
        flatten("", &serde_json::from_slice(bytes).context("the config is no JSON")?, &mut leaves);
        leaves.retain(|key, _| !key.starts_with("rootfs"));
        Ok(leaves)
    };
    let (there, here) = (read(there)?, read(here)?);
    let all: BTreeSet<&String> = there.keys().chain(here.keys()).collect();
    let said = |value: Option<&String>| match value {
        Some(value) => value.chars().take(LONGEST).collect(),
        None => "nothing".to_owned(),
    };
    let differ = all.into_iter().filter(|key| there.get(*key) != here.get(*key));
    let line = |key: &String| {
        format!("config `{}`: {} there, {} here", key.escape_debug(), said(there.get(key)), said(here.get(key)))
    };
    Ok(differ.map(line).collect())
}

fn flatten(key: &str, value: &Value, leaves: &mut BTreeMap<String, String>) {
    let below = |name: &str| if key.is_empty() { name.to_owned() } else { format!("{key}/{name}") };
    match value {
        Value::Object(object) => object.iter().for_each(|(name, value)| flatten(&below(name), value, leaves)),
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(at, value)| flatten(&below(&at.to_string()), value, leaves));
        }
        leaf => drop(leaves.insert(key.to_owned(), leaf.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn layer(files: &[(&str, u32, &[u8])], is_packed: bool) -> BTreeMap<String, Facts> {
        let mut tar = ::tar::Builder::new(Vec::new());
        for (path, mode, content) in files {
            let mut header = ::tar::Header::new_ustar();
            header.set_mode(*mode);
            header.set_uid(0);
            header.set_gid(0);
            header.set_size(content.len() as u64);
            header.set_mtime(7);
            tar.append_data(&mut header, path, *content).unwrap();
        }
        let bytes = tar.into_inner().unwrap();
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(&bytes).unwrap();
        entries(&(if is_packed { packed.finish().unwrap() } else { bytes })[..]).unwrap()
    }

    #[test]
    fn the_file_and_what_of_it_differs_are_named() {
        let there = layer(&[("bin/one", 0o755, b"one"), ("etc/old", 0o644, b""), ("etc/same", 0o644, b"same")], true);
        let here = layer(&[("bin/one", 0o700, b"eno"), ("etc/new", 0o644, b""), ("etc/same", 0o644, b"same")], false);
        let told = |path: &str| difference(path, there.get(path), here.get(path));
        let one = told("bin/one").unwrap();
        assert!(one.starts_with("`bin/one` differs in mode (755 there, 700 here), content (3 bytes "), "{one}");
        assert_eq!(told("etc/old").unwrap(), "`etc/old` is there alone");
        assert_eq!(told("etc/new").unwrap(), "`etc/new` is here alone");
        assert_eq!(told("etc/same"), None);
        assert!(entries(&b"\x28\xb5\x2f\xfd"[..]).is_err() && entries(&[0x1f, 0x8b, 1][..]).is_err());
    }

    #[test]
    fn the_keys_of_a_config_that_differ_are_named() {
        let there = br#"{"config":{"Env":["A=1","B=2"],"User":"7"},"rootfs":{"diff_ids":["x"]}}"#;
        let here = br#"{"config":{"Env":["A=1","B=3"],"Labels":{"l":"v"},"User":"7"},"rootfs":{"diff_ids":["y"]}}"#;
        assert_eq!(
            keys(there, here).unwrap(),
            [
                r#"config `config/Env/1`: "B=2" there, "B=3" here"#,
                r#"config `config/Labels/l`: nothing there, "v" here"#
            ]
        );
        assert!(keys(there, there).unwrap().is_empty());
        assert!(keys(b"{", here).is_err());
    }
}
