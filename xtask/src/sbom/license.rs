//! Licences: what manifests say, as SPDX expressions where it is one.

/// `text` as an SPDX 2.3 expression; nothing when it is none. Crates from before 2018 write `MIT/Apache-2.0`.
pub(crate) fn expression(text: &str) -> Option<String> {
    let spaced = text.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let is_name = |word: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '+' | ':');
        !is_operator(word) && word.chars().all(plain)
    };
    let (mut depth, mut wants_name) = (0_usize, true);
    for word in &words {
        match *word {
            "(" if wants_name => depth += 1,
            ")" if !wants_name => depth = depth.checked_sub(1)?,
            word if wants_name && is_name(word) => wants_name = false,
            word if !wants_name && is_operator(word) => wants_name = true,
            _ => return None,
        }
    }
    let whole = depth == 0 && !wants_name;
    whole.then(|| words.join(" ").replace("( ", "(").replace(" )", ")"))
}

fn is_operator(word: &str) -> bool {
    matches!(word, "AND" | "OR" | "WITH")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_told_from_other_text() {
        let cases = [
            ("MIT", Some("MIT")),
            ("MIT/Apache-2.0", Some("MIT OR Apache-2.0")),
            ("(MIT OR Apache-2.0) AND Unicode-3.0", Some("(MIT OR Apache-2.0) AND Unicode-3.0")),
            ("Apache-2.0 WITH LLVM-exception", Some("Apache-2.0 WITH LLVM-exception")),
            ("((MIT)", None),
            ("MIT)", None),
            ("MIT OR", None),
            ("", None),
            ("Proprietary, ask us", None),
            ("see LICENSE", None),
        ];
        for (text, expected) in cases {
            assert_eq!(expression(text).as_deref(), expected, "{text}");
        }
    }
}
