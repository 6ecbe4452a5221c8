//! YAML documents as JSON values, the way Kubernetes reads them.

use serde_json::{Map, Value as Json};

use saphyr_parser::ScalarStyle;

use super::document::{Document, NodeId, Plain, Value, plain};

/// Deeper and larger documents are attacks, not manifests.
const MAX_DEPTH: usize = 100;
const MAX_NODES: usize = 1_000_000;

/// The value of a node, aliases followed and merged keys in place.
///
/// # Errors
/// The line of a node that is nested too deeply, or expands to too much.
pub(crate) fn to_json(document: &Document<'_>, node: NodeId) -> Result<Json, usize> {
    Reader { document, nodes: 0 }.value(node, 0)
}

struct Reader<'a> {
    document: &'a Document<'a>,
    nodes: usize,
}

impl Reader<'_> {
    fn value(&mut self, id: NodeId, depth: usize) -> Result<Json, usize> {
        let id = self.document.target(id);
        let node = &self.document.nodes[id];
        self.nodes += 1;
        if depth > MAX_DEPTH || self.nodes > MAX_NODES {
            return Err(node.line);
        }
        match &node.value {
            Value::Scalar(text, ScalarStyle::Plain) if node.tag.as_deref() != Some("str") => Ok(match plain(text) {
                Plain::Null => Json::Null,
                Plain::Bool(truth) => Json::Bool(truth),
                Plain::Number(number) => Json::Number(number),
                Plain::Text => Json::String(text.to_string()),
            }),
            Value::Scalar(text, _) => Ok(Json::String(text.to_string())),
            Value::Sequence(items) => items.iter().map(|item| self.value(*item, depth + 1)).collect(),
            Value::Mapping(_) => {
                let mut entries = Map::new();
                self.entries(id, depth, &mut entries)?;
                Ok(Json::Object(entries))
            }
            Value::Alias(..) => unreachable!("an alias leads to no alias"),
        }
    }

    /// Adds the entries of a mapping: merged ones first, so that its own win.
    fn entries(&mut self, id: NodeId, depth: usize, found: &mut Map<String, Json>) -> Result<(), usize> {
        let id = self.document.target(id);
        let line = self.document.nodes[id].line;
        if depth > MAX_DEPTH {
            return Err(line);
        }
        let entries = self.document.entries(id).unwrap_or_default();
        for (_, merged) in entries.iter().filter(|(key, _)| self.document.text(*key) == Some("<<")) {
            match self.document.entries(*merged) {
                Some(_) => self.entries(*merged, depth + 1, found)?,
                // Of several, the first wins.
                None => {
                    for merged in self.document.items(*merged).iter().rev() {
                        self.entries(*merged, depth + 1, found)?;
                    }
                }
            }
        }
        for (key, value) in entries {
            match self.document.text(*key) {
                Some("<<") => {}
                Some(key) => drop(found.insert(key.to_owned(), self.value(*value, depth + 1)?)),
                None => return Err(line),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kubernetes::yaml::parse::parse;

    fn read(text: &str) -> Result<Json, usize> {
        to_json(&parse(text).unwrap()[0], 0)
    }

    #[test]
    fn scalars_are_what_kubernetes_takes_them_for() {
        let text = "a: 1\nb: '1'\nc: yes\nd: ~\ne: 1.5\nf: 0x10\ng: !!str 5\nh: 1.2.3\ni: |\n  x\nj: -3\nk: 10m\nl:";
        let expected = json!({
            "a": 1, "b": "1", "c": true, "d": null, "e": 1.5, "f": 16, "g": "5", "h": "1.2.3", "i": "x\n", "j": -3,
            "k": "10m", "l": null
        });
        assert_eq!(read(text).unwrap(), expected);
    }

    #[test]
    fn merged_entries_give_way_to_own_ones() {
        let text = "a: &a {x: 1, y: 1}\nb: &b {x: 2, z: 2}\nc: {<<: [*a, *b], y: 3}\nd: *a\n";
        let found = read(text).unwrap();
        assert_eq!(found["c"], json!({"x": 1, "y": 3, "z": 2}));
        assert_eq!(found["d"], json!({"x": 1, "y": 1}));
    }

    #[test]
    fn what_grows_without_end_is_refused() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..9 {
            let below = vec![format!("*a{}", level - 1); 10].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{below}]\n"));
        }
        assert!(read(&text).is_err());
        assert!(read(&format!("{}{}", "[".repeat(200), "]".repeat(200))).is_err());
        if let Ok(documents) = parse("a: &a\n  <<: *a\n") {
            to_json(&documents[0], 0).unwrap_err();
        }
    }
}
