//! What smoke reads from manifests without a cluster: the namespace they are for.

use std::collections::BTreeSet;

/// The namespaces that a manifest's text names (`namespace: NAME` as a key, in a kustomization too).
///
/// A look at the text, not a parse: it only chooses a default, and kubectl refuses manifests for other
/// namespaces than it is told.
pub(crate) fn namespaces_in(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for line in text.lines().map(|line| line.split(" #").next().unwrap_or_default()) {
        if line.trim_start().starts_with('#') {
            continue;
        }
        for (at, key) in line.match_indices("namespace:") {
            let is_key = line[..at].chars().next_back().is_none_or(|c| matches!(c, ' ' | '{' | ',' | '"' | '\''));
            let rest = &line[at + key.len()..];
            let value = rest.split([',', '}']).next().unwrap_or_default();
            let value = value.trim().trim_matches(['"', '\'']);
            let is_name = !value.is_empty() && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            if is_key && is_name && rest.starts_with(' ') {
                found.insert(value.to_owned());
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_are_found_however_they_are_written() {
        let cases = [
            ("metadata:\n  name: a\n  namespace: demon-system\n", "demon-system"),
            ("metadata: { name: a, namespace: demon-system }\n", "demon-system"),
            ("namespace: \"demon-system\" # all\n", "demon-system"),
            ("metadata: {namespace: 'demon-system', name: b}\r\n", "demon-system"),
        ];
        for (text, name) in cases {
            assert_eq!(namespaces_in(text).into_iter().collect::<Vec<_>>(), [name], "{text}");
        }
        for text in ["# namespace: x", "name: a # namespace: x", "kind: Namespace", "a-namespace: x", "namespace: $(X)"]
        {
            assert!(namespaces_in(text).is_empty(), "{text}");
        }
    }
}
