//! Edits of a text, and the check that they changed what they were meant to, and nothing else.

use std::collections::HashMap;
use std::ops::Range;

use super::naming::{Refusal, refusal};
use crate::kubernetes::yaml::document::{Document, Node, NodeId, Value};
use crate::kubernetes::yaml::parse::parse;

/// Edits of one text, collected before any is made.
#[derive(Debug, Default)]
pub(crate) struct Edits {
    /// Bytes and what comes in their place; of those at one byte, the first comes first.
    splices: Vec<(Range<usize>, String)>,
    /// New contents, by document and node.
    contents: HashMap<(usize, NodeId), String>,
    /// New entries, by document and the value they follow.
    entries: HashMap<(usize, NodeId), Vec<(&'static str, String)>>,
    /// Mappings that get them, and how many.
    grown: HashMap<(usize, NodeId), usize>,
}

/// Where a mapping gets new entries.
#[derive(Debug)]
pub(crate) struct Addition {
    pub(crate) document: usize,
    pub(crate) mapping: NodeId,
    /// The key of the entry they follow.
    pub(crate) key: NodeId,
    pub(crate) after: NodeId,
    /// The value's content in the text.
    pub(crate) content: Range<usize>,
}

impl Edits {
    /// Replaces bytes that are no part of any node: a comment.
    pub(crate) fn replace(&mut self, range: Range<usize>, new: String) {
        self.splices.push((range, new));
    }

    /// Replaces the content `range` of a scalar.
    fn scalar(&mut self, document: usize, id: NodeId, range: Range<usize>, new: &str) {
        // One place may belong to several images, through merged mappings.
        if self.contents.insert((document, id), new.to_owned()).is_none() {
            self.splices.push((range, new.to_owned()));
        }
    }

    /// Gives the scalar `id` of a numbered document new content; its quotes stay.
    ///
    /// # Errors
    /// It is written as something else than plain or quoted text on one line.
    pub(crate) fn set(
        &mut self,
        text: &str,
        (number, document): (usize, &Document<'_>),
        id: NodeId,
        new: &str,
    ) -> Result<(), Refusal> {
        let node = &document.nodes[id];
        let is_plain = node.anchor == 0 && node.tag.is_none();
        let range = document.content_range(id, text).filter(|_| is_plain).ok_or_else(|| not_plain(node.line))?;
        if text[range.clone()] != *new {
            self.scalar(number, id, range, new);
        }
        Ok(())
    }

    /// Gives a mapping new entries: on lines of their own, or within its braces.
    pub(crate) fn add(
        &mut self,
        document: &Document<'_>,
        text: &str,
        at: Addition,
        entries: &[(&'static str, String)],
    ) {
        let Addition { document: number, mapping, key, after, content } = at;
        if document.is_flow(mapping, text) {
            let quotes = text[content.end..].starts_with(['"', '\'']) && text[..content.start].ends_with(['"', '\'']);
            let end = content.end + usize::from(quotes);
            let new: String = entries.iter().map(|(key, value)| format!(", {key}: {value}")).collect();
            self.splices.push((end..end, new));
        } else {
            let end = text[content.end..].find(['\n', '\r']).map_or(text.len(), |length| content.end + length);
            let break_ = if text[end..].starts_with("\r\n") || text.contains("\r\n") { "\r\n" } else { "\n" };
            let indent = " ".repeat(document.nodes[key].indent);
            let new: String = entries.iter().map(|(key, value)| format!("{break_}{indent}{key}: {value}")).collect();
            // After a mark that the line gets, which is added later.
            self.splices.push((end..end, new));
        }
        self.grown.insert((number, mapping), entries.len());
        self.entries.insert((number, after), entries.to_vec());
    }

    /// `text` with all edits made.
    pub(crate) fn apply(&self, text: &str) -> String {
        let mut splices: Vec<_> = self.splices.iter().collect();
        // New lines come after what their line gets.
        splices.sort_by_key(|(range, new)| (range.start, new.starts_with(['\n', '\r'])));
        let mut new = String::with_capacity(text.len() + 128);
        let mut done = 0;
        for (range, replacement) in splices {
            new.push_str(&text[done..range.start]);
            new.push_str(replacement);
            done = range.end;
        }
        new.push_str(&text[done..]);
        new
    }

    /// Reads `new` back and compares it with `documents`, the edits made to them.
    ///
    /// # Errors
    /// The line of the old text whose node is not what it should be.
    pub(crate) fn check(&self, documents: &[Document<'_>], new: &str) -> Result<(), usize> {
        if self.splices.is_empty() {
            return Ok(());
        }
        let first_line = |document: &Document<'_>| document.nodes.first().map_or(1, |node| node.line);
        let read = parse(new).map_err(|error| error.line)?;
        for (number, document) in documents.iter().enumerate() {
            let found = read.get(number).ok_or_else(|| first_line(document))?;
            self.check_document(number, document, found)?;
        }
        if read.len() == documents.len() { Ok(()) } else { Err(1) }
    }

    fn check_document(&self, number: usize, old: &Document<'_>, new: &Document<'_>) -> Result<(), usize> {
        let mut found = new.nodes.iter();
        for (id, node) in old.nodes.iter().enumerate() {
            let place = (number, id);
            let content = self.contents.get(&place).map(String::as_str);
            let grown = self.grown.get(&place).copied().unwrap_or_default();
            if !found.next().is_some_and(|found| is_same(node, content, grown, found)) {
                return Err(node.line);
            }
            for (key, value) in self.entries.get(&place).into_iter().flatten() {
                for expected in [*key, value] {
                    let is_there = found
                        .next()
                        .is_some_and(|node| matches!(&node.value, Value::Scalar(text, _) if text == expected));
                    if !is_there {
                        return Err(node.line);
                    }
                }
            }
        }
        match found.next() {
            None => Ok(()),
            Some(_) => Err(old.nodes.last().map_or(1, |node| node.line)),
        }
    }
}

/// That what stands at a line cannot be replaced in place.
pub(super) fn not_plain(line: usize) -> Refusal {
    refusal(
        line,
        "this belongs to one of our images; write it as plain or quoted text on one line, without anchor, alias or tag",
    )
}

/// Whether `new` is `old` with this `content` (or its own), `grown` by so many entries.
fn is_same(old: &Node<'_>, content: Option<&str>, grown: usize, new: &Node<'_>) -> bool {
    let same_value = match (&old.value, &new.value) {
        (Value::Scalar(text, style), Value::Scalar(new, new_style)) => {
            content.unwrap_or(text) == new && style == new_style
        }
        (Value::Sequence(items), Value::Sequence(new)) => items.len() == new.len(),
        (Value::Mapping(entries), Value::Mapping(new)) => entries.len() + grown == new.len(),
        (Value::Alias(anchor, _), Value::Alias(new, _)) => anchor == new,
        _ => false,
    };
    same_value && old.anchor == new.anchor && old.tag == new.tag
}
