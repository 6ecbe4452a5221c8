//! YAML texts read into documents.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use saphyr_parser::{Event, Marker, Parser};

use super::document::{Document, Node, NodeId, Value, YamlError};

/// Characters put before a line that is indented less than the parser wants it.
const PADDING: usize = 120;
/// A text with more places to mend is given up: each is another parse.
const MOST_MENDED: usize = 500;
/// Stands for a `-` that the parser does not take for text. No text has it.
const DASH: char = '\u{f8ff}';

/// The documents of `text`; empty ones have a null as their root.
///
/// YAML 1.2 is stricter than the parser that Kubernetes uses (libyaml's family), and manifests are written so:
///
/// ```yaml
/// command: [
///   "sh"
/// ]
/// args: [-, "two
/// lines"]
/// name:<TAB>web
/// ```
///
/// White space at the start of a line has no meaning in brackets and quotes, so such lines are read as if they had
/// more of it; tabs after a colon are read as spaces, and a lone dash in brackets as text.
///
/// # Errors
/// Where and why the text is no YAML.
pub(crate) fn parse(text: &str) -> Result<Vec<Document<'_>>, YamlError> {
    let mut places = Places::new(text);
    let mut failure = match read(text, &places) {
        Err(failure) => failure,
        Ok(documents) => return Ok(documents),
    };
    for _ in 0..MOST_MENDED {
        if !places.mend(text, failure.mend) {
            return Err(failure.error);
        }
        let mended = places.mended(text);
        match read(&mended, &places) {
            Ok(documents) => return Ok(documents.into_iter().map(owned).collect()),
            Err(again) => failure = again,
        }
    }
    Err(failure.error)
}

/// How a text can be read after all; places are characters of the text.
enum Mend {
    /// The line needs more white space before it.
    Line(usize),
    /// So do all lines of the quoted text that begins here.
    Quoted(usize),
    /// Tabs before this character are spaces.
    Tabs(usize),
    /// The dash is text.
    Dash(usize),
    /// Not at all.
    No,
}

struct Failure {
    error: YamlError,
    mend: Mend,
}

fn read<'a>(text: &'a str, places: &Places) -> Result<Vec<Document<'a>>, Failure> {
    let failure = |at: &Marker, message: &str| Failure {
        error: YamlError { line: at.line(), column: places.indent(at) + 1, message: message.to_owned() },
        mend: match message {
            "invalid indentation" | "invalid indentation in flow construct" | "tab cannot be used as indentation" => {
                Mend::Line(at.line())
            }
            "invalid indentation in quoted scalar" => Mend::Quoted(places.character(at)),
            "':' must be followed by a valid YAML whitespace" => Mend::Tabs(places.character(at)),
            "plain scalar cannot start with '-' followed by ,[]{}" => Mend::Dash(places.character(at)),
            _ => Mend::No,
        },
    };
    let mut documents = Vec::new();
    let mut builder = Builder { places, nodes: Vec::new(), anchors: HashMap::new(), open: Vec::new() };
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| failure(error.marker(), error.info()))?;
        let at = &span.start;
        let named = |tag: Option<Cow<'_, saphyr_parser::Tag>>| tag.map(|tag| tag.suffix.clone());
        match event {
            Event::DocumentStart(_) => builder.clear(),
            Event::DocumentEnd => documents.push(Document { nodes: std::mem::take(&mut builder.nodes) }),
            Event::Scalar(content, style, anchor, tag) => {
                builder.add(Value::Scalar(content, style), at, anchor, named(tag));
            }
            Event::SequenceStart(anchor, tag) => builder.open(Value::Sequence(Vec::new()), at, anchor, named(tag)),
            Event::MappingStart(anchor, tag) => builder.open(Value::Mapping(Vec::new()), at, anchor, named(tag)),
            Event::SequenceEnd | Event::MappingEnd => builder.close(),
            Event::Alias(anchor) => {
                let target = builder.anchors.get(&anchor).copied();
                let target = target.ok_or_else(|| failure(at, "an alias of an anchor in another document"))?;
                builder.add(Value::Alias(anchor, target), at, 0, None);
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd => {}
        }
    }
    Ok(documents)
}

/// The document with texts of its own, dashes as they were.
fn owned(document: Document<'_>) -> Document<'static> {
    let nodes = document.nodes.into_iter().map(|node| Node {
        value: match node.value {
            Value::Scalar(text, style) => Value::Scalar(Cow::Owned(text.replace(DASH, "-")), style),
            Value::Sequence(items) => Value::Sequence(items),
            Value::Mapping(entries) => Value::Mapping(entries),
            Value::Alias(anchor, target) => Value::Alias(anchor, target),
        },
        start: node.start,
        line: node.line,
        indent: node.indent,
        anchor: node.anchor,
        tag: node.tag,
    });
    Document { nodes: nodes.collect() }
}

/// Collects the nodes of one document.
struct Builder<'a, 'p> {
    places: &'p Places,
    nodes: Vec<Node<'a>>,
    anchors: HashMap<usize, NodeId>,
    /// Collections that are not at their end, and for mappings the key that waits for its value.
    open: Vec<(NodeId, Option<NodeId>)>,
}

impl<'a> Builder<'a, '_> {
    fn clear(&mut self) {
        self.nodes.clear();
        self.anchors.clear();
        self.open.clear();
    }

    fn add(&mut self, value: Value<'a>, at: &Marker, anchor: usize, tag: Option<String>) -> NodeId {
        let id = self.nodes.len();
        if anchor != 0 {
            self.anchors.insert(anchor, id);
        }
        let (start, indent) = (self.places.byte(at), self.places.indent(at));
        self.nodes.push(Node { value, start, line: at.line(), indent, anchor, tag });
        if let Some((parent, key)) = self.open.last_mut() {
            match &mut self.nodes[*parent].value {
                Value::Sequence(items) => items.push(id),
                Value::Mapping(entries) => match key.take() {
                    Some(key) => entries.push((key, id)),
                    None => *key = Some(id),
                },
                Value::Scalar(..) | Value::Alias(..) => unreachable!("only collections are open"),
            }
        }
        id
    }

    fn open(&mut self, value: Value<'a>, at: &Marker, anchor: usize, tag: Option<String>) {
        let id = self.add(value, at, anchor, tag);
        self.open.push((id, None));
    }

    fn close(&mut self) {
        self.open.pop();
    }
}

/// Where the parser's characters are in the text.
struct Places {
    /// First byte of each character, with the text's length at the end; empty when all are one byte long.
    bytes: Vec<usize>,
    /// Lines that are read with [`PADDING`] before them.
    padded: BTreeSet<usize>,
    /// Characters that are read as others, by their bytes.
    read_as: BTreeMap<usize, char>,
}

impl Places {
    fn new(text: &str) -> Self {
        let bytes = match text.is_ascii() {
            true => Vec::new(),
            false => text.char_indices().map(|(byte, _)| byte).chain([text.len()]).collect(),
        };
        Places { bytes, padded: BTreeSet::new(), read_as: BTreeMap::new() }
    }

    /// Whether there was something to mend that was not mended before.
    fn mend(&mut self, text: &str, mend: Mend) -> bool {
        match mend {
            Mend::No => false,
            Mend::Line(line) => self.padded.insert(line),
            Mend::Quoted(start) => {
                let start = self.byte_of(start);
                let line = 1 + text[..start].matches('\n').count();
                let lines = text[start..start + quoted_length(&text[start..])].matches('\n').count();
                let before = self.padded.len();
                self.padded.extend(line + 1..=line + lines);
                self.padded.len() > before
            }
            Mend::Tabs(end) => {
                let before = &text[..self.byte_of(end)];
                let start = before.trim_end_matches([' ', '\t']).len();
                let known = self.read_as.len();
                self.read_as.extend(before[start..].match_indices('\t').map(|(at, _)| (start + at, ' ')));
                self.read_as.len() > known
            }
            Mend::Dash(at) => self.read_as.insert(self.byte_of(at), DASH).is_none(),
        }
    }

    /// The text as it is read.
    fn mended(&self, text: &str) -> String {
        let mut mended = String::with_capacity(text.len() + PADDING * self.padded.len());
        let mut start = 0;
        for (line, number) in text.split_inclusive('\n').zip(1..) {
            if self.padded.contains(&number) {
                mended.push_str(&" ".repeat(PADDING));
            }
            let end = start + line.len();
            for (at, read_as) in self.read_as.range(start..end) {
                mended.push_str(&text[start..*at]);
                mended.push(*read_as);
                start = at + 1;
            }
            mended.push_str(&text[start..end]);
            start = end;
        }
        mended
    }

    /// The number of the text's character.
    fn character(&self, at: &Marker) -> usize {
        at.index().saturating_sub(PADDING * self.padded.range(..=at.line()).count())
    }

    fn byte_of(&self, character: usize) -> usize {
        match self.bytes.last() {
            None => character,
            Some(end) => self.bytes.get(character).copied().unwrap_or(*end),
        }
    }

    fn byte(&self, at: &Marker) -> usize {
        self.byte_of(self.character(at))
    }

    fn indent(&self, at: &Marker) -> usize {
        if self.padded.contains(&at.line()) { at.col().saturating_sub(PADDING) } else { at.col() }
    }
}

/// Bytes of the quoted text that `text` begins with.
fn quoted_length(text: &str) -> usize {
    let mut characters = text.char_indices();
    let quote = characters.next().map(|(_, quote)| quote);
    while let Some((at, character)) = characters.next() {
        if character == '\\' && quote == Some('"') {
            characters.next();
        } else if Some(character) == quote {
            // Within single quotes, two are one.
            if character == '"' || !text[at + 1..].starts_with(character) {
                return at + 1;
            }
            characters.next();
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All scalars of `text`, and whether each stands where its node says.
    fn scalars(text: &str) -> Vec<String> {
        let mut found = Vec::new();
        for document in parse(text).unwrap_or_else(|error| panic!("{error} in {text:?}")) {
            for (id, node) in document.nodes.iter().enumerate() {
                let Value::Scalar(content, _) = &node.value else { continue };
                if !content.contains(' ') {
                    let range = document.content_range(id, text).expect(content);
                    assert_eq!(text[range], **content, "{text:?}");
                }
                found.push(content.to_string());
            }
        }
        found
    }

    #[test]
    fn what_libyaml_reads_is_read() {
        let cases: &[(&str, &[&str])] = &[
            ("a:\n  b: \"ü one\n  two\"\n  c: d\n", &["a", "b", "ü one two", "c", "d"]),
            ("a:\n  b: 'one''s\ntwo'  # x\n  c: d\n", &["a", "b", "one's two", "c", "d"]),
            ("a:\n  b: \"one \\\"\n\n  two\\\n  three\"\nc: d\n", &["a", "b", "one \"\ntwothree", "c", "d"]),
            ("a:\n  b: \"one\n\ttwo\"\n", &["a", "b", "one two"]),
            ("a:\tb\nc: \t d\ne:\t\tf # g\n", &["a", "b", "c", "d", "e", "f"]),
            (
                "a: [-]\nb: [x, -, 'ü', -]\nc: {d: -, e: f}\n",
                &["a", "-", "b", "x", "-", "ü", "-", "c", "d", "-", "e", "f"],
            ),
            ("ü: [-,\nb,\n\"c\nd\"]\ne:\tf\n", &["ü", "-", "b", "c d", "e", "f"]),
        ];
        for (text, expected) in cases {
            assert_eq!(scalars(text), *expected, "{text:?}");
        }
        for wrong in ["a:\n\tb: c\n", "a: [- b]\n", "a: \"b\n", "\ta: b\nc: d: e\n"] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
