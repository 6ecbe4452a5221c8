//! `digests show`: the record for people, scripts, deployment issues and compose files.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use camino::Utf8Path;

use super::{of_release, record_path};
use crate::cli::ShowArgs;
use crate::commands::table::{bytes, table};
use crate::commands::{Outcome, print};
use crate::gather::record;
use crate::image::record::{DigestRecord, RecordedImage};

/// Prints the chosen components' entries.
pub(crate) fn run(manifest: Option<&Utf8Path>, arguments: &ShowArgs) -> Result<Outcome> {
    let path = record_path(manifest, arguments.digests.as_deref())?;
    let record = match record::read_if_there(&path)? {
        Some(record) => record,
        None => of_release(manifest, &path, arguments.digests.as_deref(), &[])?,
    };
    let record = record::only(record, &path, &arguments.components)?;
    let text = if arguments.json {
        record.to_text()
    } else if arguments.markdown {
        markdown(&record)
    } else if arguments.env {
        env_lines(&record)?
    } else {
        as_table(&record)
    };
    print(&text)?;
    Ok(Outcome::Done)
}

/// A line per component.
pub(super) fn as_table(record: &DigestRecord) -> String {
    let rows: Vec<_> = record
        .images
        .iter()
        .map(|(name, image)| {
            let (platforms, sizes) = platforms(image);
            vec![name.clone(), sha_tag(image), platforms, sizes, image.image.to_string()]
        })
        .collect();
    table(&["COMPONENT", "TAG", "PLATFORMS", "SIZE", "IMAGE"], &rows)
}

fn markdown(record: &DigestRecord) -> String {
    let mut text = "| component | tag | platforms | size | image |\n|---|---|---|---|---|\n".to_owned();
    let mut pulls = String::new();
    for (name, image) in &record.images {
        let (platforms, sizes) = platforms(image);
        text.push_str(&format!("| {name} | `{}` | {platforms} | {sizes} | `{}` |\n", sha_tag(image), image.image));
        pulls.push_str(&format!("docker pull {}\n", image.image));
    }
    format!("{text}\n```sh\n{pulls}```\n")
}

/// `NAME_IMAGE=repository@digest` lines.
fn env_lines(record: &DigestRecord) -> Result<String> {
    let mut names: BTreeMap<String, &str> = BTreeMap::new();
    let mut text = String::new();
    for (component, image) in &record.images {
        let name = variable_name(component);
        if let Some(other) = names.insert(name.clone(), component) {
            bail!("`{other}` and `{component}` would both be `{name}`; show one at a time");
        }
        text.push_str(&format!("{name}={}\n", image.image));
    }
    Ok(text)
}

/// `OPERATE_UI_IMAGE` of `operate-ui`.
fn variable_name(component: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    let name: String = component.chars().map(plain).collect();
    let first = if name.starts_with(|c: char| c.is_ascii_digit()) { "_" } else { "" };
    format!("{first}{name}_IMAGE")
}

fn sha_tag(image: &RecordedImage) -> String {
    image.git_sha_tag.tag.as_ref().map_or("-".to_owned(), ToString::to_string)
}

/// Platforms and their compressed sizes; of two platforms two sizes.
fn platforms(image: &RecordedImage) -> (String, String) {
    if image.platforms.is_empty() {
        return ("-".to_owned(), "-".to_owned());
    }
    let join = |texts: Vec<String>| texts.join(", ");
    (
        join(image.platforms.keys().map(ToString::to_string).collect()),
        join(image.platforms.values().map(|platform| bytes(platform.size)).collect()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_variables() {
        for (component, name) in [
            ("engine", "ENGINE_IMAGE"),
            ("operate-ui", "OPERATE_UI_IMAGE"),
            ("a.b", "A_B_IMAGE"),
            ("3d", "_3D_IMAGE"),
            ("größe", "GR__E_IMAGE"),
        ] {
            assert_eq!(variable_name(component), name);
        }
    }
}
