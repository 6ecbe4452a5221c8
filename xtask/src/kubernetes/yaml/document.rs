//! YAML as far as editing it in place needs it: documents whose nodes know where they stand in the
//! text.
//!
//! Aliases are kept as written and followed on demand, so that one place in the text is one node.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

use saphyr_parser::ScalarStyle;

/// A node of its document. Ids follow the order of the text.
pub(crate) type NodeId = usize;

/// One document of a YAML text.
#[derive(Debug, Default)]
pub(crate) struct Document<'a> {
    /// All nodes; the first one is the root.
    pub(crate) nodes: Vec<Node<'a>>,
}

/// A node and where it stands.
#[derive(Debug)]
pub(crate) struct Node<'a> {
    pub(crate) value: Value<'a>,
    /// Its first byte in the text; that of an anchored or tagged node may be its anchor's or tag's.
    pub(crate) start: usize,
    /// Its line, from 1.
    pub(crate) line: usize,
    /// Characters before it in its line.
    pub(crate) indent: usize,
    /// Number of its anchor in the text, 0 without one.
    pub(crate) anchor: usize,
    /// Its tag, as a suffix (`str` of `!!str`).
    pub(crate) tag: Option<String>,
}

/// What a node is.
#[derive(Debug)]
pub(crate) enum Value<'a> {
    /// A scalar: its content, and how it is written.
    Scalar(Cow<'a, str>, ScalarStyle),
    Sequence(Vec<NodeId>),
    Mapping(Vec<(NodeId, NodeId)>),
    /// The number of an anchor, and the node that has it.
    Alias(usize, NodeId),
}

/// Why a text is no YAML, and where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct YamlError {
    /// Line, from 1.
    pub(crate) line: usize,
    /// Column, from 1.
    pub(crate) column: usize,
    pub(crate) message: String,
}

impl fmt::Display for YamlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (line {}, column {})", self.message, self.line, self.column)
    }
}

impl<'a> Document<'a> {
    /// The root; an empty document has none.
    pub(crate) fn root(&self) -> Option<NodeId> {
        (!self.nodes.is_empty()).then_some(0)
    }

    /// The node itself, or the one that an alias stands for.
    pub(crate) fn target(&self, id: NodeId) -> NodeId {
        match self.nodes[id].value {
            Value::Alias(_, target) => target,
            _ => id,
        }
    }

    /// The text of a scalar, through an alias too.
    pub(crate) fn text(&self, id: NodeId) -> Option<&str> {
        match &self.nodes[self.target(id)].value {
            Value::Scalar(text, _) => Some(text),
            _ => None,
        }
    }

    /// The items of a sequence, through an alias too; none of anything else.
    pub(crate) fn items(&self, id: NodeId) -> &[NodeId] {
        match &self.nodes[self.target(id)].value {
            Value::Sequence(items) => items,
            _ => &[],
        }
    }

    /// The entries of a mapping, through an alias too, without merged ones; `None` for anything else.
    pub(crate) fn entries(&self, id: NodeId) -> Option<&[(NodeId, NodeId)]> {
        match &self.nodes[self.target(id)].value {
            Value::Mapping(entries) => Some(entries),
            _ => None,
        }
    }

    /// Key and value of `key` in the mapping `id`, its own or merged with `<<`.
    pub(crate) fn entry(&self, id: NodeId, key: &str) -> Option<(NodeId, NodeId)> {
        self.entry_within(id, key, 8)
    }

    /// The value of `key` in the mapping `id`, its own or merged with `<<`.
    pub(crate) fn get(&self, id: NodeId, key: &str) -> Option<NodeId> {
        self.entry(id, key).map(|(_, value)| value)
    }

    /// A mapping may merge itself; nobody means that, so `depth` merges are enough.
    fn entry_within(&self, id: NodeId, key: &str, depth: usize) -> Option<(NodeId, NodeId)> {
        let entries = self.entries(id)?;
        let find = |name: &str| entries.iter().copied().find(|(key, _)| self.text(*key) == Some(name));
        find(key).or_else(|| {
            let (_, merged) = find("<<").filter(|_| depth > 0)?;
            match self.entries(merged) {
                Some(_) => self.entry_within(merged, key, depth - 1),
                None => self.items(merged).iter().find_map(|item| self.entry_within(*item, key, depth - 1)),
            }
        })
    }

    /// Keys that a mapping has twice, each with its lines: readers differ in which they take.
    pub(crate) fn duplicates(&self) -> Vec<(&str, usize, usize)> {
        let mut found = Vec::new();
        for node in &self.nodes {
            let Value::Mapping(entries) = &node.value else { continue };
            let mut lines = HashMap::new();
            for (key, _) in entries {
                let Value::Scalar(text, _) = &self.nodes[*key].value else { continue };
                let line = self.nodes[*key].line;
                found.extend(lines.insert(&**text, line).map(|first| (&**text, first, line)));
            }
        }
        found
    }

    /// Whether the collection `id` is written in flow style: `{…}` or `[…]`.
    pub(crate) fn is_flow(&self, id: NodeId, text: &str) -> bool {
        text[self.nodes[id].start..].starts_with(['{', '['])
    }

    /// The bytes of the scalar `id`'s content in `text`, quotes left out. `None` when the text has
    /// something else there than the content: escapes, several lines, a block, an anchor, a tag.
    pub(crate) fn content_range(&self, id: NodeId, text: &str) -> Option<Range<usize>> {
        let node = &self.nodes[id];
        let Value::Scalar(content, style) = &node.value else { return None };
        let quote = match style {
            ScalarStyle::Plain => "",
            ScalarStyle::SingleQuoted => "'",
            ScalarStyle::DoubleQuoted => "\"",
            ScalarStyle::Literal | ScalarStyle::Folded => return None,
        };
        let rest = text.get(node.start..)?;
        let rest = rest.strip_prefix(quote)?.strip_prefix(&**content)?;
        rest.starts_with(quote).then(|| {
            let start = node.start + quote.len();
            start..start + content.len()
        })
    }
}

/// What an unquoted scalar is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Plain {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    Text,
}

/// What YAML makes of an unquoted scalar: the core schema, and YAML 1.1's truth values, which
/// Kubernetes' parser (go-yaml 2) still reads.
pub(crate) fn plain(content: &str) -> Plain {
    match content {
        "" | "~" | "null" | "Null" | "NULL" => return Plain::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => return Plain::Bool(true),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => return Plain::Bool(false),
        _ => {}
    }
    let digits = content.strip_prefix(['+', '-']).unwrap_or(content);
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Plain::Text;
    }
    let with_base = [("0x", 16), ("0o", 8)].into_iter().find_map(|(prefix, base)| {
        content.strip_prefix(prefix).and_then(|digits| i64::from_str_radix(digits, base).ok())
    });
    let whole = with_base.or_else(|| content.strip_prefix('+').unwrap_or(content).parse::<i64>().ok());
    let float = || content.parse::<f64>().ok().and_then(serde_json::Number::from_f64);
    whole.map(serde_json::Number::from).or_else(float).map_or(Plain::Text, Plain::Number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubernetes::yaml::parse::parse;

    /// Each scalar that can be edited, with what the text has at its place.
    fn scalars(text: &str) -> Vec<(String, Option<&str>)> {
        let documents = parse(text).unwrap();
        let mut found = Vec::new();
        for document in &documents {
            for (id, node) in document.nodes.iter().enumerate() {
                if let Value::Scalar(content, _) = &node.value {
                    found.push((content.to_string(), document.content_range(id, text).map(|range| &text[range])));
                }
            }
        }
        found
    }

    #[test]
    fn each_scalar_is_found_at_its_bytes() {
        let texts = [
            "a: b\nc:   'd e'  # f\ng: \"h\"\n",
            "a: b\r\nc: 'd e'\r\ng: \"h\"\r\n",
            "\u{feff}a: b\nc: d\n",
            "ä: ö # ü\n\"ß\": '€'\n",
            "# 日本語\n---\na: b\n---\nc: d\n...\n---\n- e\n-   f",
            "{a: b, 'c': \"d\", e: [f, g]}",
            "a:\n  - b: c\t# tab\n    d: \te\n",
            "a: b",
        ];
        for text in texts {
            for (content, at) in scalars(text) {
                assert_eq!(at, Some(content.as_str()), "in {text:?}");
            }
        }
        assert_eq!(scalars(texts[4]).len(), 6);
    }

    #[test]
    fn flow_collections_may_end_where_their_key_begins() {
        let texts = [
            "a:\n  b: [\n    c, \"d\"\n  ]\n  e: {\n  'f': g # h\n  }\ni: j\n",
            "ä:\r\n  b: [\r\nc,\r\n  'ü'\r\n]\r\ne: [x, {\r\n  y: z\r\n}]\r\n",
        ];
        for text in texts {
            for (content, at) in scalars(text) {
                assert_eq!(at, Some(content.as_str()), "in {text:?}");
            }
            for document in parse(text).unwrap() {
                for node in &document.nodes {
                    let before = &text[..node.start];
                    assert_eq!(node.line, 1 + before.matches('\n').count(), "{node:?}");
                    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
                    assert_eq!(node.indent, before[line_start..].chars().count(), "{node:?}");
                }
            }
        }
        // What is wrong elsewhere is told where it stands.
        let error = parse("a:\n  b: [\n  ]\n  c: [\n  x: y: z\n  ]\n").unwrap_err();
        assert_eq!((error.line, error.column > 1 && error.column < 9), (5, true), "{error}");
        parse("a:\n    b: 1\n  c: 2\n").unwrap_err();
    }

    #[test]
    fn what_is_written_otherwise_than_it_reads_has_no_range() {
        for text in ["a: \"b\\x63\"", "a: 'it''s'", "a: |\n  b\n", "a: >-\n  b\n", "a: b\n  c\n", "a: 'b\n  c'"] {
            let found = scalars(text);
            assert_eq!(found[1].1, None, "in {text:?}");
        }
    }

    #[test]
    fn aliases_and_merges_lead_to_the_one_place() {
        let text = "base: &b {image: x}\nown:\n  <<: *b\n  name: y\nalias: *b\nlist:\n  <<: [*b]\n";
        let documents = parse(text).unwrap();
        let document = &documents[0];
        let at = |key: &str| document.get(document.get(0, key).unwrap(), "image").unwrap();
        assert_eq!(at("own"), at("base"));
        assert_eq!(at("alias"), at("base"));
        assert_eq!(at("list"), at("base"));
    }

    #[test]
    fn what_refers_to_itself_comes_to_an_end() {
        let text = "a: &a\n  <<: *a\n  b: [*a]\n";
        if let Ok(documents) = parse(text) {
            assert!(documents[0].get(documents[0].get(0, "a").unwrap(), "missing").is_none());
        }
        parse(&"[".repeat(100_000)).unwrap_err();
        parse(&format!("{}{}", "[".repeat(20_000), "]".repeat(20_000))).ok();
    }

    #[test]
    fn errors_have_line_and_column() {
        let error = parse("a: b\nc: [d\ne: f\n").unwrap_err();
        assert!(error.line >= 2, "{error}");
        assert!(parse("a: *b\n").unwrap_err().to_string().contains("line 1, column 4"));
    }
}
