//! Manifests of others, pinned: `bench/pin-corpus.sh FOLDER`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::image::record::{DigestRecord, RecordedImage};
use crate::image::reference::{Digest, ImageReference};
use crate::kubernetes::image_owners::{Naming, Repositories};
use crate::kubernetes::pinning::naming::Scope;
use crate::kubernetes::pinning::pin::{Images, Pinned, pin};

/// What stands in each manifest in the place of its images.
const OURS: &str = "localhost:5000/demon-engine:main";

/// The reference in a line that has an image and nothing else: found by looking at characters alone.
fn image_in(line: &str) -> Option<&str> {
    let value = line.trim_start_matches([' ', '-']).strip_prefix("image: ")?.trim();
    let value = value.split(" #").next().unwrap_or_default().trim().trim_matches(['"', '\'']);
    let plain = |c: char| c.is_ascii_alphanumeric() || "/:.-_@".contains(c);
    let is_image = value.starts_with(|c: char| c.is_ascii_lowercase()) && value.chars().all(plain);
    (is_image && !value.ends_with(':') && value.parse::<ImageReference>().is_ok()).then_some(value)
}

/// `text` with all its images ours.
fn with_ours(text: &str) -> String {
    let replaced = text.split_inclusive('\n').map(|line| match image_in(line) {
        Some(image) => line.replacen(image, OURS, 1),
        None => line.to_owned(),
    });
    replaced.collect()
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in folder.read_dir().into_iter().flatten().flatten() {
        let path = entry.path();
        let is_yaml = path.extension().is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|e| extension == *e));
        let name = entry.file_name().into_string().unwrap_or_default();
        if path.is_dir() && !path.is_symlink() && !name.starts_with('.') && name != "target" {
            files(&path, found);
        } else if is_yaml {
            found.push(path);
        }
    }
}

#[test]
fn manifests_of_others_change_in_their_images_alone() {
    // Where no folder is named, those of the workspace around.
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/..").to_owned();
    let folder = std::env::var("XTASK_CORPUS").unwrap_or(own);
    let reference: ImageReference = "localhost:5000/demon-engine".parse().unwrap();
    let image = RecordedImage::new(&reference, Digest::of(b"x"), "sha-1".parse().unwrap(), Vec::new(), BTreeMap::new());
    let record = DigestRecord { images: BTreeMap::from([("engine".to_owned(), image.clone())]) };
    let naming = Naming { components: vec!["engine"], registries: BTreeSet::new(), owner: None };
    let repositories = Repositories::new(&naming, Some(&record));
    let adopted = BTreeSet::new();
    let scope = Scope { repositories: &repositories, image_paths: &[], adopted: &adopted };
    let mut paths = Vec::new();
    files(Path::new(&folder), &mut paths);
    paths.sort();
    let (mut read, mut images, mut noted, mut refused, mut wrong) = (0, 0, 0, 0, 0);
    for path in paths {
        let shown = path.strip_prefix(&folder).unwrap_or(&path).display().to_string();
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let file = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let old = with_ours(&text);
        read += 1;
        let pinned = match pin(&old, file, scope, Images::Recorded(&record)) {
            Ok(pinned) => pinned,
            Err(refusals) => {
                refused += 1;
                println!("refused {shown}:{}: {}", refusals[0].line, refusals[0].message);
                continue;
            }
        };
        let Pinned { text: new, images: found, left, .. } = &pinned;
        images += found.len();
        noted += left.len();
        let mut faults = Vec::new();
        if new.replace(&image.image.to_string(), OURS) != old {
            faults.push("more than images changed");
        }
        let again = |text: &str, images| pin(text, file, scope, images).map(|pinned| pinned.text);
        if again(new, Images::Recorded(&record)).as_ref() != Ok(new) {
            faults.push("a second time is not the same");
        }
        if let Ok(swapped) = again(&old, Images::Placeholder) {
            let back = again(&swapped, Images::Recorded(&record));
            if back.as_ref() != Ok(new) {
                faults.push("placeholders do not lead back");
            }
        }
        // What is within a text of several lines is not looked at one by one.
        if new.contains(OURS) && left.is_empty() && !new.lines().any(|line| line.trim_start().starts_with('#')) {
            faults.push("an image of ours is neither pinned nor named");
        }
        wrong += usize::from(!faults.is_empty());
        faults.iter().for_each(|fault| println!("WRONG {shown}: {fault}"));
    }
    println!("{read} files: {images} images pinned, {noted} named, {refused} files refused, {wrong} wrong");
    assert_eq!(wrong, 0);
}
