//! Values in files of other tools: charts, Terraform's variables, environments.

use std::ops::Range;

use super::edit::Edits;
use super::naming::{Refusal, no_yaml, refusal};
use super::pin::{Pinned, PinnedImage};
use crate::image::record::{DigestRecord, RecordedImage};
use crate::kubernetes::image_owners::Repositories;
use crate::kubernetes::yaml::document::{Document, NodeId, Value};
use crate::kubernetes::yaml::parse::parse;
use crate::workspace::manifest_settings::{NamedValue, ValueKind};

/// Replaces what `values` name in `text`, all of the same file.
///
/// # Errors
/// Each value that is missing, twice there, or cannot be replaced; or whose component nobody can tell.
pub(crate) fn pin_values(
    text: &str,
    values: &[&NamedValue],
    repositories: &Repositories,
    record: &DigestRecord,
) -> Result<Pinned, Vec<Refusal>> {
    let mut pinned = Pinned { text: text.to_owned(), ..Pinned::default() };
    let mut refusals = Vec::new();
    for value in values {
        let pinning = Values { text: &pinned.text, value, repositories, record };
        let result = match value.file.extension() {
            Some("yaml" | "yml" | "json") => pinning.yaml(),
            _ => pinning.line(),
        };
        match result {
            Ok((text, image)) => {
                pinned.text = text;
                pinned.images.push(image);
            }
            Err(refusal) => refusals.push(refusal),
        }
    }
    if refusals.is_empty() { Ok(pinned) } else { Err(refusals) }
}

struct Values<'a> {
    text: &'a str,
    value: &'a NamedValue,
    repositories: &'a Repositories,
    record: &'a DigestRecord,
}

impl Values<'_> {
    /// Replaces the value at a path of keys.
    fn yaml(&self) -> Result<(String, PinnedImage), Refusal> {
        let key = &self.value.key;
        let documents = parse(self.text).map_err(|error| no_yaml(self.text, &error))?;
        if let Some((key, first, second)) = documents.iter().flat_map(Document::duplicates).next() {
            let message = format!("the key `{key}` is there twice, on lines {first} and {second}; remove one");
            return Err(refusal(second, message));
        }
        let mut found = documents.iter().enumerate().filter_map(|(number, of)| Some((number, of, at(of, key)?)));
        let (number, document, node) = found.next().ok_or_else(|| self.missing())?;
        let id = document.target(node);
        let line = document.nodes[id].line;
        if found.next().is_some() {
            return Err(refusal(line, format!("`{key}` is in several documents of the file; write each to a file")));
        }
        let mut edits = Edits::default();
        let mut set = |id, new: &str| edits.set(self.text, (number, document), id, new);
        let image = match document.nodes[id].value {
            Value::Mapping(_) if self.value.value == ValueKind::Image => {
                let get =
                    |key: &str| document.get(id, key).map(|value| (value, document.text(value).unwrap_or_default()));
                let parts = ["registry", "repository", "tag", "digest"].map(get);
                let [registry, Some((repository, name)), tag, digest] = parts else {
                    return Err(refusal(line, format!("`{key}` has no `repository`")));
                };
                let whole = registry.map_or_else(|| name.to_owned(), |(_, registry)| format!("{registry}/{name}"));
                let (component, recorded) = self.recorded(line, &whole)?;
                match registry {
                    Some((registry, _)) => {
                        set(registry, &recorded.image.registry.to_string())?;
                        set(repository, recorded.image.repository.as_str())?;
                    }
                    None => set(repository, &recorded.repository)?,
                }
                let from = match (digest, tag) {
                    (Some((digest, old)), _) => {
                        set(digest, &recorded.digest.to_string())?;
                        format!("{whole}@{old}")
                    }
                    // A chart that knows no digest puts the tag behind the colon: both, then.
                    (None, Some((tag, old))) => {
                        set(tag, &format!("{}@{}", commit_tag(recorded), recorded.digest))?;
                        format!("{whole}:{old}")
                    }
                    (None, None) => {
                        let message =
                            format!("`{key}` has neither `tag` nor `digest`; add the one that the chart reads");
                        return Err(refusal(line, message));
                    }
                };
                // A tag with a digest is read as one.
                let from = if from.ends_with(&recorded.digest.to_string()) { recorded.image.to_string() } else { from };
                PinnedImage {
                    line,
                    component: component.to_owned(),
                    from,
                    to: recorded.image.to_string(),
                    replaces: None,
                }
            }
            Value::Scalar(ref old, _) if ["${", "{{", "$("].iter().any(|open| old.contains(open)) => {
                return Err(refusal(line, format!("`{key}` is filled in by something else: `{old}`")));
            }
            Value::Scalar(ref old, _) => {
                let (component, new) = self.replacement(line, old)?;
                set(id, &new)?;
                PinnedImage { line, component, from: old.to_string(), to: new, replaces: None }
            }
            _ => return Err(refusal(line, format!("`{key}` is no text"))),
        };
        let new = edits.apply(self.text);
        edits
            .check(&documents, &new)
            .map_err(|line| refusal(line, format!("`{key}` cannot be replaced here; quote it")))?;
        Ok((new, image))
    }

    /// Replaces the value of a variable: `NAME = "…"`, `export NAME=…`.
    fn line(&self) -> Result<(String, PinnedImage), Refusal> {
        let key = &self.value.key;
        let mut start = 0;
        let mut found: Option<(usize, Range<usize>)> = None;
        // Terraform's comments over lines and texts over lines may hold what looks like an assignment.
        let is_terraform = self.value.file.extension() == Some("tfvars");
        let over_lines = |text: &str| is_terraform && (text.contains("/*") || text.contains("<<"));
        if let Some(line) = self.text.lines().position(over_lines) {
            return Err(refusal(line + 1, "comments and texts over several lines are not read; write them otherwise"));
        }
        for (text, line) in self.text.split_inclusive('\n').zip(1..) {
            if let Some(range) = assigned(text, key, is_terraform) {
                let plain = "is no plain text; write one, in quotes where the format wants them, and nothing behind it";
                let range = range.ok_or_else(|| refusal(line, format!("the value of `{key}` {plain}")))?;
                if let Some((first, _)) = found {
                    return Err(refusal(
                        line,
                        format!("`{key}` is there twice, on lines {first} and {line}; remove one"),
                    ));
                }
                found = Some((line, start + range.start..start + range.end));
            }
            start += text.len();
        }
        let (line, range) = found.ok_or_else(|| self.missing())?;
        let old = &self.text[range.clone()];
        let (component, new) = self.replacement(line, old)?;
        let text = format!("{}{new}{}", &self.text[..range.start], &self.text[range.end..]);
        Ok((text, PinnedImage { line, component, from: old.to_owned(), to: new, replaces: None }))
    }

    fn missing(&self) -> Refusal {
        refusal(
            1,
            format!("`{}`, which `manifests` in `[workspace.metadata.docker]` names, is not in it", self.value.key),
        )
    }

    /// The component that the value is about, and what comes in its place.
    fn replacement(&self, line: usize, old: &str) -> Result<(String, String), Refusal> {
        if self.value.value == ValueKind::Tag && self.value.component.is_none() {
            return self.common_tag(line);
        }
        let (component, recorded) = self.recorded(line, old)?;
        let new = match self.value.value {
            ValueKind::Image => recorded.image.to_string(),
            ValueKind::Digest => recorded.digest.to_string(),
            ValueKind::Tag => commit_tag(recorded),
        };
        Ok((component.to_owned(), new))
    }

    /// The tag that all recorded images have in common.
    fn common_tag(&self, line: usize) -> Result<(String, String), Refusal> {
        let mut tags = self.record.images.iter().map(|(name, image)| (name, commit_tag(image)));
        let (name, tag) = tags.next().ok_or_else(|| refusal(line, "the digest record names no image"))?;
        match tags.find(|(_, other)| *other != tag) {
            None => Ok((name.clone(), tag)),
            Some((other_name, other)) => {
                let message = format!(
                    "`{}` cannot be one tag for all: `{name}` has `{tag}` and `{other_name}` has `{other}`; give it a \
                     `component`, or pin digests",
                    self.value.key
                );
                Err(refusal(line, message))
            }
        }
    }

    /// The component of the settings, or that the repository of `old` says, and what is recorded of it.
    fn recorded(&self, line: usize, old: &str) -> Result<(&str, &RecordedImage), Refusal> {
        let component =
            self.value.component.as_deref().or_else(|| self.repositories.component(old)).ok_or_else(|| {
                let key = &self.value.key;
                let message = format!(
                    "`{old}` does not say whose image it is; add `component = \"…\"` to `{key}` in `manifests` in \
                 `[workspace.metadata.docker]`"
                );
                refusal(line, message)
            })?;
        let image = self.record.images.get_key_value(component).ok_or_else(|| {
            let message = format!(
                "`{}` is about `{component}`, which the digest record lacks; `cargo xtask publish {component}` adds it",
                self.value.key
            );
            refusal(line, message)
        })?;
        Ok((image.0, image.1))
    }
}

/// The tag of the commit that an image was published with.
fn commit_tag(image: &RecordedImage) -> String {
    image.git_sha_tag.tag.as_ref().map(ToString::to_string).unwrap_or_default()
}

/// The value at `path` in `document`: keys with dots between them, numbers for items of lists.
fn at(document: &Document<'_>, path: &str) -> Option<NodeId> {
    path.split('.').try_fold(document.root()?, |node, key| match document.items(node) {
        [] => document.get(node, key),
        items => items.get(key.parse::<usize>().ok()?).copied(),
    })
}

/// Where the line `text` has the value of the variable `key`, quotes left out: `None` within when it is more than a
/// plain text (a call, a list, a template, something escaped).
fn assigned(text: &str, key: &str, is_terraform: bool) -> Option<Option<Range<usize>>> {
    let rest = text.trim_start();
    let rest = rest.strip_prefix("export ").filter(|_| !is_terraform).map_or(rest, str::trim_start);
    let rest = rest.strip_prefix(key)?.trim_start_matches([' ', '\t']).strip_prefix('=')?;
    let rest = rest.trim_start_matches([' ', '\t']);
    let start = text.len() - rest.len();
    let quote = rest.chars().next().filter(|c| *c == '"' || (*c == '\'' && !is_terraform));
    let (begin, length, after) = match quote {
        Some(quote) => match rest[1..].split_once(quote) {
            Some((value, after)) => (start + 1, value.len(), after),
            None => return Some(None),
        },
        None if is_terraform => return Some(None),
        None => {
            let length = rest.find(char::is_whitespace).unwrap_or(rest.len());
            (start, length, &rest[length..])
        }
    };
    let value = &text[begin..begin + length];
    let is_plain = value.chars().all(|c| c.is_ascii_alphanumeric() || "-_.:/@+".contains(c));
    let is_comment = |after: &str| after.starts_with('#') || (is_terraform && after.starts_with("//"));
    let is_end = after.trim().is_empty() || (after.starts_with(char::is_whitespace) && is_comment(after.trim_start()));
    Some((is_plain && is_end).then_some(begin..begin + length))
}

#[cfg(test)]
#[path = "values_tests.rs"]
mod tests;
