//! What a registry asks for: `WWW-Authenticate` values (RFC 9110 section 11), and the scopes of
//! distribution's token specification.

use std::collections::HashMap;

/// What a registry asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// User and password with each request.
    Basic,
    /// A token of the service `realm`.
    Bearer {
        realm: String,
        /// How the service calls the registry.
        service: Option<String>,
        /// What the token must be good for, in the registry's words.
        scope: Option<String>,
    },
}

/// One scope text out of two, `repository:NAME:ACTIONS` separated by spaces: each resource once,
/// with the actions of both. Some registries name less than is needed (a HEAD's `pull`, a mount
/// without its source), some name it in ways of their own.
pub(super) fn merge_scopes(ours: &str, theirs: &str) -> String {
    let mut merged: Vec<(&str, Vec<&str>)> = Vec::new();
    for scope in ours.split(' ').chain(theirs.split(' ')).filter(|scope| !scope.is_empty()) {
        let (resource, actions) = scope.rsplit_once(':').unwrap_or((scope, ""));
        let at = merged.iter().position(|(known, _)| *known == resource).unwrap_or_else(|| {
            merged.push((resource, Vec::new()));
            merged.len() - 1
        });
        let known = &mut merged[at].1;
        known.extend(actions.split(',').filter(|action| !action.is_empty()));
        let mut seen = Vec::new();
        known.retain(|action| {
            !seen.contains(action) && {
                seen.push(*action);
                true
            }
        });
    }
    let texts = merged.into_iter().map(|(resource, actions)| match actions.is_empty() {
        true => resource.to_owned(),
        false => format!("{resource}:{}", actions.join(",")),
    });
    texts.collect::<Vec<_>>().join(" ")
}

/// Reads a `WWW-Authenticate` value; it may hold several challenges, and unknown ones are
/// passed over.
pub(super) fn parse_challenges(text: &str) -> Vec<Challenge> {
    let mut found: Vec<(String, HashMap<String, String>)> = Vec::new();
    let mut rest = text.trim_start_matches([' ', ',']);
    while !rest.is_empty() {
        let end = rest.find([' ', ',', '=']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let after = after.trim_start_matches(' ');
        if let Some(value) = after.strip_prefix('=') {
            let (value, after) = parse_value(value.trim_start_matches(' '));
            if let Some((_, parameters)) = found.last_mut() {
                parameters.insert(word.to_ascii_lowercase(), value);
            }
            rest = after;
        } else {
            found.push((word.to_ascii_lowercase(), HashMap::new()));
            rest = after;
        }
        rest = rest.trim_start_matches([' ', ',']);
    }
    let known = |(scheme, mut parameters): (String, HashMap<String, String>)| match scheme.as_str() {
        "basic" => Some(Challenge::Basic),
        "bearer" => Some(Challenge::Bearer {
            realm: parameters.remove("realm")?,
            service: parameters.remove("service"),
            scope: parameters.remove("scope"),
        }),
        _ => None,
    };
    found.into_iter().filter_map(known).collect()
}

/// A parameter's value, quoted or not, and what follows it.
fn parse_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([' ', ',']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        Challenge::Bearer {
            realm: realm.to_owned(),
            service: service.map(str::to_owned),
            scope: scope.map(str::to_owned),
        }
    }

    #[test]
    fn reads_challenges() {
        let cases = [
            (
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#,
                vec![bearer(
                    "https://auth.docker.io/token",
                    Some("registry.docker.io"),
                    Some("repository:a/b:pull,push"),
                )],
            ),
            ("Basic realm=\"x, y\"", vec![Challenge::Basic]),
            ("basic", vec![Challenge::Basic]),
            (
                "Negotiate, BEARER realm=https://a/t , Basic realm=\"q\\\"uote\"",
                vec![bearer("https://a/t", None, None), Challenge::Basic],
            ),
            ("Bearer service=\"no realm\"", vec![]),
            ("", vec![]),
            ("=\"", vec![]),
            ("Bearer realm=\"unclosed", vec![bearer("unclosed", None, None)]),
        ];
        for (text, challenges) in cases {
            assert_eq!(parse_challenges(text), challenges, "{text}");
        }
    }

    #[test]
    fn scopes_are_merged_by_resource() {
        let cases = [
            ("repository:a/b:pull", "repository:a/b:pull", "repository:a/b:pull"),
            ("repository:a/b:pull,push", "repository:a/b:push,pull", "repository:a/b:pull,push"),
            (
                "repository:a:pull,push repository:b:pull",
                "repository:a:pull",
                "repository:a:pull,push repository:b:pull",
            ),
            ("repository:a:pull", "", "repository:a:pull"),
            ("repository:a:pull", "registry:catalog:* odd", "repository:a:pull registry:catalog:* odd"),
        ];
        for (ours, theirs, merged) in cases {
            assert_eq!(merge_scopes(ours, theirs), merged);
        }
    }
}
