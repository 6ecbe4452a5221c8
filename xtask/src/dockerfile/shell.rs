//! Quoting for the shell lines and instructions of a Dockerfile.

/// `text` as one word of a shell line.
pub(crate) fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%^~".contains(c);
    if !text.is_empty() && text.chars().all(plain) && !text.starts_with('~') {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// `text` as the value of `ENV`, `LABEL` or `ARG`, in double quotes.
pub(crate) fn value(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' | '$' => quoted.extend(['\\', c]),
            // No instruction can hold a newline in a value.
            '\n' | '\r' => quoted.push(' '),
            _ => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// `words` behind `first` in lines of at most 100 columns, continued with backslashes.
pub(crate) fn wrapped(first: &str, words: &[String], indent: &str) -> String {
    let mut text = first.to_owned();
    let mut column = first.len();
    for word in words {
        if column + 1 + word.len() > 98 {
            text.push_str(" \\\n");
            text.push_str(indent);
            column = indent.len();
        } else {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += word.len();
    }
    text
}

/// `items`, a line each, continued with backslashes.
pub(crate) fn lines<'a>(items: impl IntoIterator<Item = &'a str>, indent: &str) -> String {
    items.into_iter().map(|item| format!("{indent}{} \\\n", word(item))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_values_are_quoted_when_they_must() {
        assert_eq!(word("a/b-c.rs"), "a/b-c.rs");
        assert_eq!(word("a b"), "'a b'");
        assert_eq!(word("it's $x"), r"'it'\''s $x'");
        assert_eq!(value(r#"say "$x""#), r#""say \"\$x\"""#);
    }
}
