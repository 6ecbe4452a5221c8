//! Whose image each place of a manifest names, and what nobody can tell.

use std::collections::{BTreeMap, BTreeSet};

use saphyr_parser::ScalarStyle;

use super::mark::{FOREIGN, Mark};
use super::sites::{Site, container_of, sites};
use crate::kubernetes::image_owners::{ImageOwner, Repositories};
use crate::kubernetes::placeholder;
use crate::kubernetes::yaml::document::{Document, NodeId, Plain, Value, YamlError, plain};

/// What naming knows of the workspace.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) repositories: &'a Repositories,
    /// Where images stand beside containers: the setting `image-paths`.
    pub(crate) image_paths: &'a [String],
    /// Components whose near misses count as theirs.
    pub(crate) adopted: &'a BTreeSet<String>,
}

/// An image that is not ours and looks like it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NearMiss {
    /// Line, from 1.
    pub(crate) line: usize,
    /// The component that it looks like.
    pub(crate) component: String,
    /// The reference as it is written.
    pub(crate) text: String,
    /// Why it looks like it.
    pub(crate) likeness: Likeness,
}

/// What makes an image look like a component's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Likeness {
    /// The last part of its repository.
    Repository,
    /// The container's name, where the image says nothing.
    Unsaid,
    /// The container's name alone.
    Container,
}

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

/// Why `text` is no YAML.
pub(super) fn no_yaml(text: &str, error: &YamlError) -> Refusal {
    let message = match text.contains("{{") {
        true => format!("a template is no YAML ({}); {HELM}", error.message),
        false => format!("no valid YAML: {}", error.message),
    };
    Refusal { line: error.line, column: Some(error.column), message }
}

/// The places of one line, named.
pub(crate) struct Named {
    /// The mark at the line's end, or the place for it.
    pub(crate) mark: Mark,
    /// Each place, with the component whose image it names; `None` for a foreign one.
    pub(crate) sites: Vec<(Site, Option<String>)>,
    /// Foreign ones that look like ours.
    pub(crate) near: Vec<NearMiss>,
}

/// Names the places of one text.
pub(crate) struct Namer<'a> {
    pub(crate) text: &'a str,
    pub(crate) file: &'a str,
    /// What is known of the workspace.
    pub(crate) scope: Scope<'a>,
}

impl Namer<'_> {
    /// The places of `document` by line: placeholders of one line share a mark.
    pub(crate) fn by_line(&self, document: &Document<'_>) -> BTreeMap<usize, Vec<Site>> {
        let mut lines: BTreeMap<usize, Vec<Site>> = BTreeMap::new();
        for site in sites(document, self.file, self.scope.image_paths) {
            if let Some(value) = image_of(document, site) {
                lines.entry(document.nodes[value].line).or_default().push(site);
            }
        }
        lines
    }

    /// Whether the text is JSON: that has no comments, so the container's name tells whose a placeholder is.
    pub(crate) fn is_json(&self) -> bool {
        self.file.ends_with(".json")
    }

    /// The component that a placeholder stands for by its container's name.
    pub(crate) fn by_container(&self, document: &Document<'_>, site: Site) -> Option<&str> {
        self.scope.repositories.named(container_of(document, site)?)
    }

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
        let (mut named, mut near) = (Vec::new(), Vec::new());
        for site in sites {
            let component = match is_placeholder(document, *site).then(|| marked.next()) {
                Some(Some(name)) => Some(name.clone()).filter(|name| name != FOREIGN),
                Some(None) if self.is_json() => self.by_container(document, *site).map(str::to_owned),
                Some(None) => None,
                None => self.component(document, *site)?,
            };
            let is_foreign = component.is_none() && mark.components.is_empty();
            let miss = is_foreign.then(|| self.near_miss(document, *site)).flatten();
            named.push((*site, component));
            let Some(miss) = miss else { continue };
            if self.scope.adopted.contains(&miss.component) {
                self.check_editable(document, *site, &miss.text, &miss.component)?;
                named.last_mut().expect("one was pushed").1 = Some(miss.component);
            } else {
                near.push(miss);
            }
        }
        Ok(Named { mark, sites: named, near })
    }

    /// The component that a foreign image looks like one of.
    fn near_miss(&self, document: &Document<'_>, site: Site) -> Option<NearMiss> {
        let written = image_of(document, site)?;
        let text = document.text(written)?.trim();
        let repositories = self.scope.repositories;
        let container = container_of(document, site);
        let (component, likeness) = match repositories.owner(text, container) {
            ImageOwner::Alike(component) => (component, Likeness::Repository),
            ImageOwner::ByContainer(component) => (component, Likeness::Unsaid),
            _ => (repositories.named(container?)?, Likeness::Container),
        };
        let line = document.nodes[written].line;
        Some(NearMiss { line, component: component.to_owned(), text: text.to_owned(), likeness })
    }

    /// The component that a value which is no placeholder is an image of.
    fn component(&self, document: &Document<'_>, site: Site) -> Result<Option<String>, Refusal> {
        let Some(written) = image_of(document, site) else { return Ok(None) };
        let line = document.nodes[written].line;
        let refuse = |message: String| Err(refusal(line, message));
        let node = &document.nodes[document.target(written)];
        let Value::Scalar(content, style) = &node.value else {
            if self.text[node.start..].starts_with("{{") {
                return refuse(format!("the image is a template, and could be one of ours; {HELM}"));
            }
            return refuse(
                "the image is no text; write `registry/repository:tag` or `registry/repository@digest`".into(),
            );
        };
        let is_plain = *style == ScalarStyle::Plain;
        // Nothing names nobody's image: schemas and examples are written so.
        if content.is_empty() {
            return Ok(None);
        }
        if let Some(kind) = is_plain.then(|| plain_kind(content)).flatten() {
            return refuse(format!("the image is {kind}, no text; write `registry/repository:tag`, or quote it"));
        }
        let reference = content.trim();
        let repositories = self.scope.repositories;
        if let Some(component) = repositories.component_of_template(reference) {
            let mend = if reference.contains("{{") { HELM } else { "write the reference itself" };
            return refuse(format!("the image `{reference}` is a template, and could be one of `{component}`; {mend}"));
        }
        let Some(component) = repositories.component(reference) else { return Ok(None) };
        self.check_editable(document, site, reference, component)?;
        Ok(Some(component.to_owned()))
    }

    /// Whether an image can be replaced where it stands.
    fn check_editable(
        &self,
        document: &Document<'_>,
        site: Site,
        reference: &str,
        component: &str,
    ) -> Result<(), Refusal> {
        let Some(written) = image_of(document, site) else { return Ok(()) };
        let node = &document.nodes[document.target(written)];
        let cannot = match () {
            () if written != document.target(written) => "is an alias, and what it stands for is used elsewhere",
            () if node.anchor != 0 => "has an anchor, and changing it would change each place that uses it",
            () if node.tag.is_some() => "has a tag",
            () if document.content_range(written, self.text).is_none() => {
                "is written as a block, over several lines or with escapes"
            }
            () if reference.is_empty() => "is empty",
            () => return Ok(()),
        };
        let message =
            format!("the image `{reference}` of `{component}` {cannot}; write it out as plain or quoted text");
        Err(refusal(document.nodes[written].line, message))
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
pub(crate) fn is_placeholder(document: &Document<'_>, site: Site) -> bool {
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

/// How a chart is pinned.
const HELM: &str = "of Helm, `manifests` takes the chart's values: `{ file = \"…/values.yaml\", key = \"image\" }`";

/// A refusal without a column.
pub(super) fn refusal(line: usize, message: impl Into<String>) -> Refusal {
    Refusal { line, column: None, message: message.into() }
}
