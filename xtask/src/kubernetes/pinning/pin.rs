//! Pinning: the images of a YAML text replaced in place, byte for byte the same otherwise.

use std::collections::BTreeSet;

use super::edit::{Addition, Edits, not_plain};
use super::mark::{FOREIGN, Mark};
use super::naming::{Named, Namer, NearMiss, Refusal, Scope, is_placeholder, no_yaml, refusal};
use super::sites::{Site, sites};
use crate::image::record::{DigestRecord, RecordedImage};
use crate::kubernetes::image_owners::without_selector;
use crate::kubernetes::placeholder;
use crate::kubernetes::yaml::document::{Document, NodeId, Value};
use crate::kubernetes::yaml::parse::parse;

/// What the images of our components become.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Images<'a> {
    /// `repository@digest` of the record.
    Recorded(&'a DigestRecord),
    /// The placeholder, with the component in a comment at the end of the line.
    Placeholder,
}

/// A pinned text.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Pinned {
    /// The text with its images replaced.
    pub(crate) text: String,
    /// All images of our components in it, changed or not, in the text's order.
    pub(crate) images: Vec<PinnedImage>,
    /// Texts that name an image of ours where no container does (a variable, a field of some custom
    /// resource), with their lines. They are left as they are.
    pub(crate) left: Vec<(usize, String)>,
    /// Foreign images that look like ours.
    pub(crate) near: Vec<NearMiss>,
    /// All image names that containers and kustomizations' entries give, without tags and digests.
    pub(crate) names: BTreeSet<String>,
    /// Image names that a kustomization's entries replace by foreign images.
    pub(crate) overridden: BTreeSet<String>,
}

impl Pinned {
    /// Takes back all edits of `text`.
    pub(crate) fn leave(&mut self, text: &str) {
        text.clone_into(&mut self.text);
        self.images.iter_mut().for_each(|image| image.to.clone_from(&image.from));
    }
}

/// An image of one of our components.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PinnedImage {
    /// Line of the text as it was, from 1.
    pub(crate) line: usize,
    pub(crate) component: String,
    /// The reference as it was.
    pub(crate) from: String,
    /// The reference now; the same when there was nothing to do.
    pub(crate) to: String,
    /// The name of the images that it replaces, for a kustomization's entry.
    pub(crate) replaces: Option<String>,
}

/// Replaces the images of our components in `text`, whose file has the name `file`.
///
/// # Errors
/// All refusals of the text, in its order.
pub(crate) fn pin(text: &str, file: &str, scope: Scope<'_>, images: Images<'_>) -> Result<Pinned, Vec<Refusal>> {
    // YAML 1.1 takes these for line ends, and so does kubectl: what is a comment here may be none there.
    if let Some(line) = text.lines().position(|line| line.contains(['\u{85}', '\u{2028}', '\u{2029}'])) {
        let message =
            "it holds a line end of Unicode (U+0085, U+2028 or U+2029), which kubectl reads as one; remove it";
        return Err(vec![refusal(line + 1, message)]);
    }
    let documents = parse(text).map_err(|error| vec![no_yaml(text, &error)])?;
    let namer = Namer { text, file, scope };
    let mut pinning = Pinning {
        text,
        namer,
        images,
        edits: Edits::default(),
        found: Vec::new(),
        near: Vec::new(),
        names: BTreeSet::new(),
        overridden: BTreeSet::new(),
    };
    let mut refusals = Vec::new();
    for (number, document) in documents.iter().enumerate() {
        refusals.extend(document.duplicates().into_iter().map(|(key, first, second)| {
            refusal(second, format!("the key `{key}` is there twice, on lines {first} and {second}; remove one"))
        }));
        for (line, sites) in pinning.namer.by_line(document) {
            refusals.extend(pinning.line(number, document, line, &sites).err());
        }
    }
    if !refusals.is_empty() {
        return Err(refusals);
    }
    let left = documents.iter().flat_map(|document| others(document, &pinning.namer)).collect();
    let Pinning { edits, found, near, names, overridden, .. } = pinning;
    let new = edits.apply(text);
    edits.check(&documents, &new).map_err(|line| {
        vec![refusal(line, "replacing images here would change more than images; write each on a line of its own")]
    })?;
    Ok(Pinned { text: new, images: found, left, near, names, overridden })
}

/// Lines and texts of scalars that name our images, whole or as an argument's value, and are no sites.
fn others(document: &Document<'_>, namer: &Namer<'_>) -> Vec<(usize, String)> {
    let Scope { repositories, image_paths, .. } = namer.scope;
    let known: BTreeSet<NodeId> = sites(document, namer.file, image_paths)
        .into_iter()
        .flat_map(|site| match site {
            Site::Image(id) => vec![document.target(id)],
            Site::Kustomization(entry) => {
                ["name", "newName"].iter().filter_map(|key| document.get(entry, key)).collect()
            }
        })
        .collect();
    let mut found = Vec::new();
    for (id, node) in document.nodes.iter().enumerate() {
        match &node.value {
            Value::Scalar(text, _) if !known.contains(&id) => {
                // `--image=REFERENCE`, as an argument or within a command.
                let mut words = text.split(|c: char| c.is_whitespace() || matches!(c, '=' | ',' | '"' | '\''));
                found.extend(words.any(|word| repositories.has(word)).then(|| (node.line, shown(text))));
            }
            // Helm writes the registry beside the repository.
            Value::Mapping(_) => {
                let [registry, repository] = ["registry", "repository"].map(|key| document.get(id, key));
                let text = |id: Option<NodeId>| id.and_then(|id| document.text(id));
                let (Some(registry), Some(name)) = (text(registry), text(repository)) else { continue };
                let whole = format!("{registry}/{name}");
                let line = repository.map_or(node.line, |id| document.nodes[id].line);
                found.extend(repositories.has(&whole).then_some((line, whole)));
            }
            _ => {}
        }
    }
    found
}

/// The first line of a text, which may be a whole script.
fn shown(text: &str) -> String {
    let text = text.trim();
    text.split_once('\n').map_or_else(|| text.to_owned(), |(first, _)| format!("{first} …"))
}

struct Pinning<'a> {
    text: &'a str,
    namer: Namer<'a>,
    images: Images<'a>,
    edits: Edits,
    found: Vec<PinnedImage>,
    near: Vec<NearMiss>,
    names: BTreeSet<String>,
    overridden: BTreeSet<String>,
}

impl Pinning<'_> {
    /// Replaces what one line names.
    fn line(&mut self, number: usize, document: &Document<'_>, line: usize, sites: &[Site]) -> Result<(), Refusal> {
        let Named { mark, sites: named, near } = self.namer.line(document, line, sites)?;
        self.near.extend(near);
        let mut left = Vec::new();
        for (site, component) in named {
            self.names.extend(match site {
                Site::Image(id) => document.text(id).map(|text| without_selector(text.trim()).to_owned()),
                Site::Kustomization(entry) => {
                    document.get(entry, "newName").and_then(|id| document.text(id)).map(str::to_owned)
                }
            });
            let Some(component) = component else {
                if let Site::Kustomization(entry) = site {
                    let name = document.get(entry, "name").and_then(|id| document.text(id));
                    self.overridden.extend(name.map(str::to_owned));
                }
                left.extend(is_placeholder(document, site).then(|| FOREIGN.to_owned()));
                continue;
            };
            if matches!(self.images, Images::Placeholder)
                && self.namer.is_json()
                && self.namer.by_container(document, site) != Some(&component)
            {
                return Err(refusal(
                    line,
                    format!(
                        "JSON has no comments to remember `{component}` in; name the container `{component}`, or write \
                         the file as YAML"
                    ),
                ));
            }
            let is_marked = match site {
                Site::Image(id) => self.image(number, document, id, &component)?,
                Site::Kustomization(entry) => self.kustomization(number, document, entry, &component)?,
            };
            left.extend(is_marked.then_some(component));
        }
        if left.iter().all(|name| name == FOREIGN) || self.namer.is_json() {
            left.clear();
        }
        if left != mark.components {
            self.edits.replace(mark.range, Mark::comment(&left));
        }
        Ok(())
    }

    /// The recorded image of `component`.
    fn recorded<'r>(
        record: &'r DigestRecord,
        component: &str,
        line: usize,
        from: &str,
    ) -> Result<&'r RecordedImage, Refusal> {
        record.images.get(component).ok_or_else(|| {
            refusal(
                line,
                format!(
                    "`{from}` is an image of `{component}`, which the digest record lacks; `cargo xtask publish \
                     {component}` adds it"
                ),
            )
        })
    }

    /// Replaces a whole reference. Gives whether it is a placeholder now.
    fn image(&mut self, number: usize, document: &Document<'_>, id: NodeId, component: &str) -> Result<bool, Refusal> {
        let line = document.nodes[id].line;
        let from = document.text(id).unwrap_or_default().to_owned();
        let to = match self.images {
            Images::Recorded(record) => Self::recorded(record, component, line, &from)?.image.to_string(),
            Images::Placeholder => placeholder::reference(),
        };
        self.scalar(number, document, id, &to)?;
        self.found.push(PinnedImage { line, component: component.to_owned(), from, to, replaces: None });
        Ok(matches!(self.images, Images::Placeholder))
    }

    /// Replaces what an entry of a kustomization's `images` says. Gives whether it is a placeholder now.
    ///
    /// kustomize takes `digest` when it has one; with `newTag` as well, its versions differ in whether
    /// the tag is shown. So a tag becomes the digest, and where there is neither, a digest is added.
    fn kustomization(
        &mut self,
        number: usize,
        document: &Document<'_>,
        entry: NodeId,
        component: &str,
    ) -> Result<bool, Refusal> {
        let [name, new_name, tag, digest] =
            ["name", "newName", "newTag", "digest"].map(|key| document.entry(entry, key));
        let Some((key, site)) = new_name.or(name) else { return Ok(false) };
        let line = document.nodes[site].line;
        let text = |entry: Option<(NodeId, NodeId)>| entry.and_then(|(_, value)| document.text(value));
        let repository = text(Some((key, site))).unwrap_or_default();
        let from = match (text(digest), text(tag)) {
            (Some(digest), _) => format!("{repository}@{digest}"),
            (None, Some(tag)) => format!("{repository}:{tag}"),
            (None, None) => repository.to_owned(),
        };
        let mut added = Vec::new();
        let to = match self.images {
            Images::Recorded(record) => {
                let image = Self::recorded(record, component, line, &from)?;
                if new_name.is_some() {
                    self.scalar(number, document, site, &image.repository)?;
                } else if self.namer.scope.repositories.names(repository) != Some(&*image.repository) {
                    added.push(("newName", image.repository.clone()));
                }
                let value = image.digest.to_string();
                match (digest, tag) {
                    (Some((_, digest)), _) => self.scalar(number, document, digest, &value)?,
                    (None, Some(tag)) => self.pair(number, document, tag, "digest", &value)?,
                    (None, None) => added.push(("digest", value)),
                }
                image.image.to_string()
            }
            // The manifests that the entry is about carry the placeholder themselves.
            Images::Placeholder if new_name.is_none() => from.clone(),
            Images::Placeholder => {
                self.scalar(number, document, site, placeholder::NAME)?;
                match (digest, tag) {
                    (Some(_), Some(_)) => {
                        let message = format!("`{from}` has `digest` and `newTag`; remove `newTag`");
                        return Err(refusal(line, message));
                    }
                    (Some(digest), None) => self.pair(number, document, digest, "newTag", placeholder::TAG)?,
                    (None, Some((_, tag))) => self.scalar(number, document, tag, placeholder::TAG)?,
                    (None, None) => added.push(("newTag", placeholder::TAG.to_owned())),
                }
                placeholder::reference()
            }
        };
        if !added.is_empty() {
            let range = document.content_range(site, self.text).ok_or_else(|| not_plain(line))?;
            let addition = Addition { document: number, mapping: entry, key, after: site, content: range };
            self.edits.add(document, self.text, addition, &added);
        }
        let replaces = text(name).map(str::to_owned);
        self.found.push(PinnedImage { line, component: component.to_owned(), from, to, replaces });
        Ok(matches!(self.images, Images::Placeholder) && new_name.is_some())
    }

    /// Renames a key and replaces its value.
    fn pair(
        &mut self,
        number: usize,
        document: &Document<'_>,
        (key, value): (NodeId, NodeId),
        new_key: &str,
        new_value: &str,
    ) -> Result<(), Refusal> {
        self.scalar(number, document, key, new_key)?;
        self.scalar(number, document, value, new_value)
    }

    /// Replaces the content of a scalar; its quotes stay.
    fn scalar(&mut self, number: usize, document: &Document<'_>, id: NodeId, new: &str) -> Result<(), Refusal> {
        self.edits.set(self.text, (number, document), id, new)
    }
}

#[cfg(test)]
#[path = "pin_tests.rs"]
mod tests;
