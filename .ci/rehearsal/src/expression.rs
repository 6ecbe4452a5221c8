//! `${{ … }}` and conditions: look-ups, and nothing more.

use anyhow::{Context, Result, bail};

use crate::machine::Values;

/// `text` with its look-ups filled in: `a.b.c`, or `fromJSON(a.b.c)` for the JSON that it is. An unknown
/// name, and all that is more than a look-up, is an error.
pub(crate) fn fill(text: &str, values: &Values) -> Result<String> {
    let mut parts = text.split("${{");
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (expression, after) = part.split_once("}}").with_context(|| format!("`{text}` does not end"))?;
        let inner = expression.trim().strip_prefix("fromJSON(").and_then(|rest| rest.strip_suffix(')'));
        filled += look_up(inner.unwrap_or(expression.trim()), values)?;
        filled += after;
    }
    Ok(filled)
}

/// Whether a condition holds: comparisons of a look-up with a text in quotes, and `!cancelled()`, joined by `&&`. An empty one
/// does; any other is an error.
pub(crate) fn holds(condition: &str, values: &Values) -> Result<bool> {
    let mut all = true;
    // Nothing is cancelled here.
    let comparisons = condition.split("&&").filter(|part| part.trim() != "!cancelled()");
    for comparison in comparisons.filter(|_| !condition.is_empty()) {
        let words: Vec<&str> = comparison.split_whitespace().collect();
        let [path, operator @ ("==" | "!="), text] = words[..] else { bail!("`{comparison}` is no comparison") };
        let text = text.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')).context("no text in quotes")?;
        all &= (look_up(path, values)? == text) == (operator == "==");
    }
    Ok(all)
}

fn look_up<'a>(path: &str, values: &'a Values) -> Result<&'a str> {
    Ok(values.get(path).with_context(|| format!("there is no `{path}` here"))?)
}

#[test]
fn look_ups_and_comparisons_are_known_and_all_else_is_refused() {
    let values = Values::from([("github.ref".into(), "a".into()), ("matrix.slug".into(), "b".into())]);
    assert_eq!(fill("-${{ matrix.slug }}-${{fromJSON(github.ref)}}.", &values).unwrap(), "-b-a.");
    let unknown = ["matrix.slugg", "env.HOME", "github", "github['ref']", "github.ref || 'x'", "hashFiles('x')"];
    for text in unknown.map(|text| format!("${{{{ {text} }}}}")).iter().chain([&"${{ github.ref".to_owned()]) {
        assert!(fill(text, &values).is_err(), "{text}");
    }
    assert!(holds("", &values).unwrap() && holds("github.ref == 'a'", &values).unwrap());
    assert!(holds("!cancelled() && github.ref == 'a'", &values).unwrap());
    assert!(!holds("github.ref != 'x' && matrix.slug == 'other'", &values).unwrap());
    for text in ["always()", "github.ref == a", "github.ref == 'a' || github.ref == 'b'", "github.reff == 'x'"] {
        assert!(holds(text, &values).is_err(), "{text}");
    }
}
