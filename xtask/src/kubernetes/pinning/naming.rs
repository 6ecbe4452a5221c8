//! Whose image each place of a manifest names, and what nobody can tell.

use std::collections::BTreeMap;

use saphyr_parser::ScalarStyle;

use super::mark::{FOREIGN, Mark};
use super::repositories::Repositories;
use super::workload::{Site, sites};
use crate::kubernetes::placeholder;
use crate::kubernetes::yaml::document::{Document, NodeId, Plain, Value, YamlError, plain};

/// Why an image, and so its text, cannot be pinned.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Line, from 1.
    pub(crate) line: usize,
    /// Column, from 1, where it helps.
    pub(crate) column: Option<usize>,
    /// What is wrong and what mends it.
    pub(crate) message: String,
}

impl From<YamlError> for Refusal {
    fn from(error: YamlError) -> Self {
        Refusal { line: error.line, column: Some(error.column), message: format!("no valid YAML: {}", error.message) }
    }
}

/// The places of one line, named.
pub(crate) struct Named {
    /// The mark at the line's end, or the place for it.
    pub(crate) mark: Mark,
    /// Each place, with the component whose image it names; `None` for a foreign one.
    pub(crate) sites: Vec<(Site, Option<String>)>,
}

/// Names the places of one text.
pub(crate) struct Namer<'a> {
    /// The text.
    pub(crate) text: &'a str,
    /// Which repositories are ours.
    pub(crate) repositories: &'a Repositories,
}

/// The places of `document` by line: placeholders of one line share a mark.
pub(crate) fn by_line(document: &Document<'_>, file: &str) -> BTreeMap<usize, Vec<Site>> {
    let mut lines: BTreeMap<usize, Vec<Site>> = BTreeMap::new();
    for site in sites(document, file) {
        if let Some(value) = image_of(document, site) {
            lines.entry(document.nodes[value].line).or_default().push(site);
        }
    }
    lines
}

impl Namer<'_> {
    /// Names the places of one line.
    ///
    /// # Errors
    /// A place that nobody can tell the component of, or that cannot be edited and is ours.
    pub(crate) fn line(&self, document: &Document<'_>, line: usize, sites: &[Site]) -> Result<Named, Refusal> {
        let start = image_of(document, sites[0]).map_or(0, |id| document.nodes[id].start);
        let mark = Mark::of_line(self.text, start);
        let placeholders = sites.iter().filter(|site| is_placeholder(document, **site)).count();
        let mut marked = mark.components.iter();
        if !mark.components.is_empty() && mark.components.len() != placeholders {
            return Err(refusal(
                line,
                format!(
                    "the comment `{}` names {} of {placeholders} placeholders; write the images by hand and remove it",
                    mark.text(),
                    mark.components.len()
                ),
            ));
        }
        let mut named = Vec::new();
        for site in sites {
            let component = match is_placeholder(document, *site) {
                true => marked.next().cloned().filter(|name| name != FOREIGN),
                false => self.component(document, *site)?,
            };
            named.push((*site, component));
        }
        Ok(Named { mark, sites: named })
    }

    /// The component that a value which is no placeholder is an image of.
    fn component(&self, document: &Document<'_>, site: Site) -> Result<Option<String>, Refusal> {
        let Some(written) = image_of(document, site) else { return Ok(None) };
        let line = document.nodes[written].line;
        let refuse = |message: String| Err(refusal(line, message));
        let node = &document.nodes[document.target(written)];
        let Value::Scalar(content, style) = &node.value else {
            if self.text[node.start..].starts_with("{{") {
                return refuse("the image is a template, and could be one of ours; write the reference itself".into());
            }
            return refuse(
                "the image is no text; write `registry/repository:tag` or `registry/repository@digest`".into(),
            );
        };
        let is_plain = *style == ScalarStyle::Plain;
        if let Some(kind) = is_plain.then(|| plain_kind(content)).flatten() {
            return refuse(format!("the image is {kind}, no text; write `registry/repository:tag`, or quote it"));
        }
        let reference = content.trim();
        if let Some(component) = self.repositories.component_of_template(reference) {
            return refuse(format!(
                "the image `{reference}` is a template, and could be one of `{component}`; write the reference itself"
            ));
        }
        let Some(component) = self.repositories.component(reference) else { return Ok(None) };
        let cannot = match () {
            () if written != document.target(written) => "is an alias, and what it stands for is used elsewhere",
            () if node.anchor != 0 => "has an anchor, and changing it would change each place that uses it",
            () if node.tag.is_some() => "has a tag",
            () if document.content_range(written, self.text).is_none() => {
                "is written as a block, over several lines or with escapes"
            }
            () => return Ok(Some(component.to_owned())),
        };
        refuse(format!("the image `{reference}` of `{component}` {cannot}; write it out as plain or quoted text"))
    }
}

/// The scalar whose repository decides which component an image is of.
fn image_of(document: &Document<'_>, site: Site) -> Option<NodeId> {
    match site {
        Site::Image(id) => Some(id),
        Site::Kustomization(entry) => document.get(entry, "newName").or_else(|| document.get(entry, "name")),
    }
}

/// Whether this is the placeholder, spelled as pinning writes it: a mark at the end of its line tells whose.
pub(super) fn is_placeholder(document: &Document<'_>, site: Site) -> bool {
    let Some(text) = image_of(document, site).and_then(|id| document.text(id)) else { return false };
    match site {
        Site::Image(_) => text == placeholder::reference(),
        Site::Kustomization(_) => text == placeholder::NAME,
    }
}

/// What an unquoted scalar is, when it is no text.
fn plain_kind(content: &str) -> Option<&'static str> {
    match plain(content) {
        Plain::Text => None,
        Plain::Null => Some("empty"),
        Plain::Bool(_) => Some("a truth value"),
        Plain::Number(_) => Some("a number"),
    }
}

/// A refusal without a column.
pub(super) fn refusal(line: usize, message: impl Into<String>) -> Refusal {
    Refusal { line, column: None, message: message.into() }
}
