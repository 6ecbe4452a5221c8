//! Names people type: the nearest valid one for an error message.

use anyhow::{Result, bail};

use crate::errors::hinted;

/// The candidates nearest to `name`, best first, at most three; empty when none is near.
pub(crate) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let name = name.to_lowercase();
    let mut scored: Vec<(f64, &str)> = candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&name, &candidate.to_lowercase()), candidate))
        .filter(|(score, _)| *score > 0.7)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    // One that is much nearer than the others is the one that was meant.
    let best = scored.first().map_or(0.0, |(score, _)| *score);
    scored.into_iter().take_while(|(score, _)| *score > best - 0.1).take(3).map(|(_, candidate)| candidate).collect()
}

/// "; did you mean `a` or `b`?" for an error message about unknown `names`, or nothing.
pub(crate) fn did_you_mean<'a>(names: &[&str], candidates: impl IntoIterator<Item = &'a str> + Clone) -> String {
    let mut near: Vec<&str> = Vec::new();
    for name in names {
        let found = nearest(name, candidates.clone());
        // One suggestion for each of several; all for a single one.
        let wanted = if names.len() > 1 { 1 } else { 3 };
        near.extend(found.into_iter().take(wanted));
    }
    near.dedup();
    if near.is_empty() {
        return String::new();
    }
    let quoted: Vec<_> = near.iter().map(|candidate| format!("`{candidate}`")).collect();
    format!("; did you mean {}?", quoted.join(" or "))
}

/// Sees to it that all `names` are among those that `place` has.
///
/// # Errors
/// `Unknown service(s) requested: …`, with the nearest names.
pub(crate) fn known_names<'a>(names: &[String], known: impl IntoIterator<Item = &'a str>, place: &str) -> Result<()> {
    let known: Vec<&str> = known.into_iter().collect();
    let unknown: Vec<_> = names.iter().map(String::as_str).filter(|name| !known.contains(name)).collect();
    if !unknown.is_empty() {
        let meant = did_you_mean(&unknown, known.iter().copied());
        bail!(hinted(
            format!("Unknown service(s) requested: {}{meant}", unknown.join(", ")),
            format!("components of {place}: {}", known.join(", "))
        ));
    }
    Ok(())
}

/// Splits a comma or newline separated list, as CI systems pass it.
pub(crate) fn split_list(text: &str) -> Vec<String> {
    text.split([',', '\n']).map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_comes_first_and_strangers_are_left_out() {
        let names = ["engine", "operate-ui", "runtime"];
        assert_eq!(nearest("enginee", names), ["engine"]);
        assert_eq!(nearest("operate_ui", names), ["operate-ui"]);
        assert_eq!(nearest("zzz", names), Vec::<&str>::new());
        assert_eq!(did_you_mean(&["runtme"], names), "; did you mean `runtime`?");
    }

    #[test]
    fn lists_are_comma_or_newline_separated() {
        assert_eq!(split_list("a, b\nc,,\n"), ["a", "b", "c"]);
        assert!(split_list(" \n").is_empty());
    }
}
