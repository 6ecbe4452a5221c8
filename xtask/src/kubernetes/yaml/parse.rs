//! YAML texts read into documents.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use saphyr_parser::{Event, Marker, Parser};

use super::document::{Document, Node, NodeId, Value, YamlError};

/// How the parser begins its complaint about a line within brackets that is indented less than it should be.
const INDENTATION: [&str; 2] = ["invalid indentation", "invalid indentation in flow construct"];
/// Characters put before such a line.
const PADDING: usize = 120;
/// A text with more such lines is given up: each is another parse.
const MOST_PADDED: usize = 500;

/// The documents of `text`; empty ones have a null as their root.
///
/// YAML 1.2 wants what is in brackets indented, the closing one too; the parser that Kubernetes uses (libyaml's
/// family) does not mind, and manifests are written so:
///
/// ```yaml
/// command: [
///   "sh"
/// ]
/// ```
///
/// White space at the start of a line has no meaning there, so such lines are read as if they had more of it.
///
/// # Errors
/// Where and why the text is no YAML.
pub(crate) fn parse(text: &str) -> Result<Vec<Document<'_>>, YamlError> {
    let mut places = Places::new(text);
    match read(text, &places) {
        Err(failure) if failure.is_indentation => places.padded.insert(failure.error.line),
        result => return result.map_err(|failure| failure.error),
    };
    loop {
        let padded = places.pad(text);
        match read(&padded, &places) {
            Ok(documents) => return Ok(documents.into_iter().map(owned).collect()),
            Err(failure) if failure.is_indentation && places.padded.len() < MOST_PADDED => {
                if !places.padded.insert(failure.error.line) {
                    return Err(failure.error);
                }
            }
            Err(failure) => return Err(failure.error),
        }
    }
}

struct Failure {
    error: YamlError,
    is_indentation: bool,
}

fn read<'a>(text: &'a str, places: &Places) -> Result<Vec<Document<'a>>, Failure> {
    let failure = |at: &Marker, message: &str| Failure {
        error: YamlError { line: at.line(), column: places.indent(at) + 1, message: message.to_owned() },
        is_indentation: INDENTATION.contains(&message),
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

/// The document with texts of its own.
fn owned(document: Document<'_>) -> Document<'static> {
    let nodes = document.nodes.into_iter().map(|node| Node {
        value: match node.value {
            Value::Scalar(text, style) => Value::Scalar(Cow::Owned(text.into_owned()), style),
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
}

impl Places {
    fn new(text: &str) -> Self {
        let bytes = match text.is_ascii() {
            true => Vec::new(),
            false => text.char_indices().map(|(byte, _)| byte).chain([text.len()]).collect(),
        };
        Places { bytes, padded: BTreeSet::new() }
    }

    /// The text as it is read.
    fn pad(&self, text: &str) -> String {
        let padding = " ".repeat(PADDING);
        let lines = text.split_inclusive('\n').zip(1..);
        lines.flat_map(|(line, number)| [if self.padded.contains(&number) { &padding } else { "" }, line]).collect()
    }

    fn byte(&self, at: &Marker) -> usize {
        let character = at.index().saturating_sub(PADDING * self.padded.range(..=at.line()).count());
        match self.bytes.last() {
            None => character,
            Some(end) => self.bytes.get(character).copied().unwrap_or(*end),
        }
    }

    fn indent(&self, at: &Marker) -> usize {
        if self.padded.contains(&at.line()) { at.col().saturating_sub(PADDING) } else { at.col() }
    }
}
