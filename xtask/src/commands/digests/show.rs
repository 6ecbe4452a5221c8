//! `digests show`: the record for people, scripts, deployment issues and compose files.

use std::collections::BTreeMap;

use anyhow::{Result, bail, ensure};
use camino::Utf8Path;

use super::{of_release, record_path};
use crate::cli::{LineValue, ShowArgs};
use crate::commands::table::{bytes, table};
use crate::commands::{Outcome, print};
use crate::errors::hinted;
use crate::gather::record;
use crate::image::record::{DigestRecord, RecordedImage};

/// Prints the chosen components' entries.
pub(crate) fn run(manifest: Option<&Utf8Path>, arguments: &ShowArgs) -> Result<Outcome> {
    let path = record_path(manifest, arguments.digests.as_deref())?;
    let record = match record::read_if_there(&path)? {
        Some(record) => record,
        None => of_release(manifest, &path, arguments.digests.as_deref(), &arguments.registry)?,
    };
    let record = record::only(record, &path, &arguments.components)?;
    let text = if arguments.json {
        record.to_text()
    } else if arguments.markdown {
        markdown(&record)
    } else if arguments.env || arguments.tfvars {
        lines(&record, arguments)?
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

/// `NAME_IMAGE=repository@digest` lines, or Terraform's.
fn lines(record: &DigestRecord, arguments: &ShowArgs) -> Result<String> {
    let default = if arguments.tfvars { "{component}_image" } else { "{COMPONENT}_IMAGE" };
    let template = arguments.name.as_deref().unwrap_or(default);
    let mut names: BTreeMap<String, &str> = BTreeMap::new();
    let mut text = String::new();
    for (component, image) in &record.images {
        let name = variable_name(template, component);
        ensure!(is_variable(&name), "`--name {template}` gives `{name}`, no name of a variable");
        if let Some(other) = names.insert(name.clone(), component) {
            bail!(hinted(
                format!("`{other}` and `{component}` would both be `{name}`"),
                "show one at a time, or name `{COMPONENT}` or `{component}` in `--name`"
            ));
        }
        let value = match arguments.value {
            LineValue::Image => image.image.to_string(),
            LineValue::Digest => image.digest.to_string(),
            LineValue::Tag => sha_tag(image),
        };
        text.push_str(&match arguments.tfvars {
            true => format!("{name} = \"{value}\"\n"),
            false => format!("{name}={value}\n"),
        });
    }
    Ok(text)
}

/// `OPERATE_UI_IMAGE` of `operate-ui` by `{COMPONENT}_IMAGE`.
fn variable_name(template: &str, component: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let component: String = component.chars().map(plain).collect();
    let (upper, lower) = (component.to_ascii_uppercase(), component.to_ascii_lowercase());
    let name = template.replace("{COMPONENT}", &upper).replace("{component}", &lower);
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("_{name}") } else { name }
}

fn is_variable(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
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
            assert_eq!(variable_name("{COMPONENT}_IMAGE", component), name);
        }
        assert_eq!(variable_name("tag_{component}", "Operate-UI"), "tag_operate_ui");
        assert!(is_variable("a_1") && !is_variable("a b") && !is_variable("a\nPATH"));
    }
}
