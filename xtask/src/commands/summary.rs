//! What CI shows and hands on: texts from the records.

use crate::commands::table::bytes;
use crate::gather::workspace::Workspace;
use crate::image::record::{DigestRecord, RecordedImage};
use crate::workspace::components::Component;
use crate::workspace::sizes::{Growth, Percentage};

/// Lines for `GITHUB_OUTPUT`: the record as `digest-json`, and each component's image by digest.
pub(crate) fn outputs(record: &DigestRecord) -> String {
    let json = serde_json::to_string(record).expect("text keys and no failing parts");
    let mut text = format!("digest-json={json}\n");
    for (name, image) in &record.images {
        text.push_str(&format!("{name}={}\n", image.image));
    }
    text
}

/// What became of the images of a summary.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Published,
    /// And pushed nowhere.
    Built,
}

impl Kind {
    pub(crate) fn heading(self) -> &'static str {
        match self {
            Kind::Published => "## Published images\n\n",
            Kind::Built => "## Images that were built, and not pushed\n\n",
        }
    }
}

/// A table for `GITHUB_STEP_SUMMARY`, with what changed against the previous record.
pub(crate) fn markdown(kind: Kind, record: &DigestRecord, previous: &DigestRecord, grown: &[String]) -> String {
    let mut text = String::from(kind.heading());
    text.push_str(match kind {
        Kind::Published => "| component | tags | digest | size | change | pull |\n|---|---|---|--:|---|---|\n",
        Kind::Built => "| component | tags | digest | size | change |\n|---|---|---|--:|---|\n",
    });
    for (name, image) in &record.images {
        let tags: Vec<String> = image.tags.iter().map(|tag| format!("`{tag}`")).collect();
        text.push_str(&format!(
            "| {name} | {} | `{}` | {} | {} |",
            tags.join(" "),
            image.digest,
            bytes(image.size()),
            change(image, previous.images.get(name)),
        ));
        if kind == Kind::Published {
            text.push_str(&format!(" `docker pull {}` |", image.image));
        }
        text.push('\n');
    }
    for line in grown {
        text.push_str(&format!("\n> [!WARNING]\n> {line}\n"));
    }
    text + "\n"
}

/// `new`, `unchanged`, or how much larger or smaller.
pub(crate) fn change(image: &RecordedImage, previous: Option<&RecordedImage>) -> String {
    let Some(previous) = previous else { return "new".to_owned() };
    if previous.digest == image.digest {
        return "unchanged".to_owned();
    }
    let (new, old) = (image.size(), previous.size());
    match new.cmp(&old) {
        std::cmp::Ordering::Greater => format!("changed, {} larger", bytes(new - old)),
        std::cmp::Ordering::Less => format!("changed, {} smaller", bytes(old - new)),
        std::cmp::Ordering::Equal => "changed".to_owned(),
    }
}

/// What is said of an image that is larger than before by more than its `max-growth`.
pub(crate) struct Grown {
    pub(crate) line: String,
    /// Whether it must not be published so.
    pub(crate) is_error: bool,
}

/// The images of `record` that grew too much.
pub(crate) fn grown(workspace: &Workspace, record: &DigestRecord, previous: &DigestRecord) -> Vec<Grown> {
    let one = |component: &Component| {
        let Growth { warning, error } = component.package.settings.max_growth?;
        let (new, old) = (record.images.get(&component.name)?.size(), previous.images.get(&component.name)?.size());
        let percent = (new as f64 / old as f64 - 1.0) * 100.0;
        let is_over = |limit: &Percentage| old > 0 && percent > limit.0;
        let is_error = error.filter(is_over).is_some();
        let limit = error.filter(is_over).or(warning.filter(is_over))?.0;
        let (name, old, new) = (&component.name, bytes(old), bytes(new));
        let line =
            format!("`{name}` grew by {percent:.1}%, from {old} to {new}, more than its `max-growth` of {limit}%");
        Some(Grown { line, is_error })
    };
    workspace.components.iter().filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::image::record::RecordedPlatform;
    use crate::image::reference::{Digest, Tag};

    fn record(content: &str, size: u64) -> DigestRecord {
        let digest = Digest::of(content.as_bytes());
        let platform = RecordedPlatform { digest: digest.clone(), config: digest.clone(), size };
        let tags: Vec<Tag> = ["sha-9c68c4a", "main"].map(|tag| tag.parse().unwrap()).into();
        let platforms = BTreeMap::from([("linux/amd64".parse().unwrap(), platform)]);
        let repository = "ghcr.io/acme/engine".parse().unwrap();
        let image = RecordedImage::new(&repository, digest, tags[0].clone(), tags, platforms);
        DigestRecord { images: BTreeMap::from([("engine".to_owned(), image)]) }
    }

    #[test]
    fn outputs_are_lines_that_a_workflow_reads() {
        let text = outputs(&record("a", 1));
        let (json, engine) = text.split_once('\n').unwrap();
        let json = json.strip_prefix("digest-json=").unwrap();
        assert_eq!(DigestRecord::parse(json).unwrap(), record("a", 1));
        assert_eq!(engine, format!("engine=ghcr.io/acme/engine@{}\n", Digest::of(b"a")));
    }

    #[test]
    fn the_summary_tells_what_changed() {
        let (old, new) = (record("a", 2 << 20), record("b", 3 << 20));
        for (record, previous, change) in [
            (&old, &DigestRecord::default(), "| new |"),
            (&old, &old, "| unchanged |"),
            (&new, &old, "| changed, 1.0 MiB larger |"),
            (&old, &new, "| changed, 1.0 MiB smaller |"),
        ] {
            let text = markdown(Kind::Published, record, previous, &[]);
            assert!(text.contains("| engine | `sha-9c68c4a` `main` | `sha256:"), "{text}");
            assert!(text.contains(change) && text.contains("| `docker pull ghcr.io/acme/engine@sha256:"), "{text}");
            let text = markdown(Kind::Built, record, previous, &[]);
            assert!(text.contains(&format!("{change}\n")) && !text.contains("docker pull"), "{text}");
        }
    }
}
