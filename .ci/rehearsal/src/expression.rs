//! `${{ … }}`: lookups, and nothing more. What is looked up reaches scripts through their environment, so
//! that no value can become a part of a script.

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Map, Value};

/// The contexts that may be looked up.
pub const CONTEXTS: [&str; 6] = ["matrix", "needs", "steps", "inputs", "secrets", "github"];

/// What there is to look up: one object per context.
pub type Contexts = Map<String, Value>;

/// The lookups in `text`, without `${{` and `}}`.
///
/// # Errors
/// An expression that is more than a lookup of one of [`CONTEXTS`].
pub fn lookups(text: &str) -> Result<Vec<&str>> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("${{") {
        let (expression, after) = after.split_once("}}").with_context(|| format!("`{text}` does not end"))?;
        found.push(checked(expression.trim())?);
        rest = after;
    }
    Ok(found)
}

fn checked(path: &str) -> Result<&str> {
    let is_name = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
    };
    let is_lookup = path.contains('.') && path.split('.').all(is_name);
    ensure!(is_lookup, "`{path}` is more than a lookup");
    let context = path.split('.').next().unwrap_or_default();
    ensure!(CONTEXTS.contains(&context), "`{path}` looks up `{context}`, which is none of {}", CONTEXTS.join(", "));
    Ok(path)
}

/// The value at `path`. What a later part lacks is empty, as on GitHub; the context itself, and what is
/// looked up directly in `github`, `matrix`, `needs` and `steps`, must be there: a typing error, else.
///
/// # Errors
/// An unknown name.
pub fn look_up(path: &str, contexts: &Contexts) -> Result<String> {
    let mut parts = checked(path)?.split('.');
    let context = parts.next().unwrap_or_default();
    let mut value = contexts.get(context).with_context(|| format!("there is no `{context}` here"))?;
    for (depth, part) in parts.enumerate() {
        value = match value.get(part) {
            Some(value) => value,
            None if depth == 0 && context != "inputs" => bail!("`{path}`: there is no `{context}.{part}`"),
            None => &Value::Null,
        };
    }
    match value {
        Value::Null => Ok(String::new()),
        Value::String(text) => Ok(text.clone()),
        Value::Bool(_) | Value::Number(_) => Ok(value.to_string()),
        _ => bail!("`{path}` is no text"),
    }
}

/// `text` with its lookups filled in.
///
/// # Errors
/// As [`lookups`] and [`look_up`].
pub fn fill(text: &str, contexts: &Contexts) -> Result<String> {
    lookups(text)?;
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${{") {
        let (expression, after) = after.split_once("}}").context("an expression does not end")?;
        filled.push_str(before);
        filled.push_str(&look_up(expression.trim(), contexts)?);
        rest = after;
    }
    Ok(filled + rest)
}

/// The one lookup in `${{ fromJSON(…) }}`: how a matrix comes from a job's output.
///
/// # Errors
/// Any other text.
pub fn from_json(text: &str) -> Result<&str> {
    let inner = text.strip_prefix("${{ fromJSON(").and_then(|rest| rest.strip_suffix(") }}"));
    checked(inner.with_context(|| format!("`{text}` is not `${{{{ fromJSON(LOOKUP) }}}}`"))?)
}

/// A condition: comparisons of a lookup with a text in quotes, joined by `&&`.
///
/// # Errors
/// Any other condition; an unknown name.
pub fn holds(condition: &str, contexts: &Contexts) -> Result<bool> {
    let mut all = true;
    for (path, is_equal, text) in comparisons(condition)? {
        all &= (look_up(path, contexts)? == text) == is_equal;
    }
    Ok(all)
}

/// The comparisons of a condition: lookup, whether it must be equal, text.
///
/// # Errors
/// Any other condition.
pub fn comparisons(condition: &str) -> Result<Vec<(&str, bool, &str)>> {
    condition
        .split("&&")
        .map(|comparison| {
            let sides = comparison.split_once("==").map(|(path, text)| (path, true, text));
            let sides = sides.or(comparison.split_once("!=").map(|(path, text)| (path, false, text)));
            let (path, is_equal, text) = sides.with_context(|| format!("`{condition}` is no comparison"))?;
            let text = text.trim().strip_prefix('\'').and_then(|text| text.strip_suffix('\''));
            let text = text.filter(|text| !text.contains('\''));
            Ok((checked(path.trim())?, is_equal, text.with_context(|| format!("`{condition}` compares with no text"))?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn contexts() -> Contexts {
        let value = json!({
            "github": {"ref": "refs/heads/main", "event_name": "push"},
            "matrix": {"slug": "linux-amd64"},
            "steps": {"key": {"outputs": {"key": "k"}}},
            "inputs": {},
        });
        value.as_object().unwrap().clone()
    }

    #[test]
    fn lookups_are_filled_in() {
        let filled = fill("a-${{ matrix.slug }}-${{ steps.key.outputs.key }}", &contexts()).unwrap();
        assert_eq!(filled, "a-linux-amd64-k");
        assert_eq!(fill("${{ inputs.tag }}", &contexts()).unwrap(), "");
        assert_eq!(fill("${{ steps.key.outputs.other }}", &contexts()).unwrap(), "");
        for unknown in ["${{ matrix.slugg }}", "${{ github.reff }}", "${{ steps.kee.outputs.key }}", "${{ needs.a.b }}"]
        {
            assert!(fill(unknown, &contexts()).is_err(), "{unknown}");
        }
    }

    #[test]
    fn all_else_is_refused() {
        for text in [
            "${{ env.HOME }}",
            "${{ vars.REGISTRY }}",
            "${{ github.event.pull_request.title || 'x' }}",
            "${{ hashFiles('Cargo.lock') }}",
            "${{ format('{0}', github.ref) }}",
            "${{ github }}",
            "${{ github['ref'] }}",
            "${{ github.ref",
        ] {
            assert!(lookups(text).is_err(), "{text}");
        }
    }

    #[test]
    fn conditions_compare() {
        let holds = |text: &str| holds(text, &contexts());
        assert!(holds("github.event_name == 'push'").unwrap());
        assert!(!holds("github.event_name != 'push'").unwrap());
        assert!(!holds("github.event_name == 'push' && matrix.slug == 'other'").unwrap());
        for text in ["always()", "github.ref == refs", "github.ref == 'a' || github.ref == 'b'", "github.reff == 'x'"] {
            assert!(holds(text).is_err(), "{text}");
        }
        assert_eq!(from_json("${{ fromJSON(needs.plan.outputs.matrix) }}").unwrap(), "needs.plan.outputs.matrix");
        assert!(from_json("${{ needs.plan.outputs.matrix }}").is_err());
    }
}
