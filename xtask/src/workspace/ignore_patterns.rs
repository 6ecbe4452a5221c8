//! `.dockerignore` as Docker reads it, and `.gitignore` in its words.

use camino::Utf8Path;

/// The patterns of an ignore file, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct IgnorePatterns(Vec<Pattern>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    /// Go's `filepath.Match` per part, `**` for any number of parts.
    text: String,
    /// `!`: allows again.
    is_allowed: bool,
}

impl IgnorePatterns {
    /// Reads a `.dockerignore`.
    pub(crate) fn docker(text: &str) -> Self {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let pattern = |line: &str| {
            let (text, is_allowed) = line.strip_prefix('!').map_or((line, false), |rest| (rest.trim(), true));
            let text = text.trim_matches('/').trim_start_matches("./").to_owned();
            Pattern { text, is_allowed }
        };
        IgnorePatterns(lines.map(pattern).filter(|pattern| !pattern.text.is_empty()).collect())
    }

    /// Reads a `.gitignore` (gitignore(5)) at the root. What re-allows is left out: git cannot allow what
    /// is in an ignored folder, and Docker would.
    pub(crate) fn git(text: &str) -> Self {
        let lines = text.lines().map(str::trim_end).filter(|line| !line.is_empty() && !line.starts_with(['#', '!']));
        let pattern = |line: &str| {
            let body = line.trim_end_matches('/');
            let text = match body.contains('/') {
                true => body.trim_start_matches('/').to_owned(),
                false => format!("**/{body}"),
            };
            Pattern { text, is_allowed: false }
        };
        IgnorePatterns(lines.map(pattern).collect())
    }

    /// Whether `path` is denied: the last pattern that matches it, or a folder above it, decides.
    pub(crate) fn denies(&self, path: &Utf8Path) -> bool {
        let folders: Vec<Vec<&str>> = path
            .ancestors()
            .filter(|folder| !folder.as_str().is_empty())
            .map(|folder| folder.components().map(|part| part.as_str()).collect())
            .collect();
        let matches = |pattern: &&Pattern| {
            let parts: Vec<&str> = pattern.text.split('/').collect();
            folders.iter().any(|folder| matches_parts(&parts, folder))
        };
        self.0.iter().rev().find(matches).is_some_and(|pattern| !pattern.is_allowed)
    }

    /// As lines of a `.dockerignore`, seen from a folder above: `prefix` leads here.
    pub(crate) fn lines(&self, prefix: &Utf8Path) -> Vec<String> {
        let line = |pattern: &Pattern| {
            let mark = if pattern.is_allowed { "!" } else { "" };
            format!("{mark}{}", prefix.join(&pattern.text))
        };
        self.0.iter().map(line).collect()
    }
}

fn matches_parts(pattern: &[&str], path: &[&str]) -> bool {
    match (pattern, path) {
        ([], []) => true,
        (["**"], _) => true,
        (["**", rest @ ..], _) => (0..=path.len()).any(|skipped| matches_parts(rest, &path[skipped..])),
        ([first, rest @ ..], [part, others @ ..]) => {
            let (first, part): (Vec<char>, Vec<char>) = (first.chars().collect(), part.chars().collect());
            matches_part(&first, &part) && matches_parts(rest, others)
        }
        _ => false,
    }
}

/// `*`, `?`, `[a-z]`, `[^a]` and `\x`.
fn matches_part(pattern: &[char], text: &[char]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        (['*', rest @ ..], _) => (0..=text.len()).any(|skipped| matches_part(rest, &text[skipped..])),
        (['?', rest @ ..], [_, others @ ..]) => matches_part(rest, others),
        (['\\', literal, rest @ ..], [c, others @ ..]) => literal == c && matches_part(rest, others),
        (['[', class @ ..], [c, others @ ..]) => {
            let Some(end) = class.iter().skip(1).position(|c| *c == ']').map(|at| at + 1) else { return false };
            let (class, rest) = (&class[..end], &class[end + 1..]);
            let (class, is_negated) = match class {
                ['^' | '!', class @ ..] => (class, true),
                class => (class, false),
            };
            let is_range = |at: usize| class.get(at + 1) == Some(&'-') && at + 2 < class.len();
            let has = (0..class.len()).any(|at| match is_range(at) {
                true => (class[at]..=class[at + 2]).contains(c),
                false => class[at] == *c,
            });
            has != is_negated && matches_part(rest, others)
        }
        ([literal, rest @ ..], [c, others @ ..]) => literal == c && matches_part(rest, others),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_pattern_that_matches_decides() {
        let ignore =
            IgnorePatterns::docker("# secrets\n/data\n*.pem\n!data/public\n**/node_modules\nlog[0-9]?.txt\nx/");
        let denied = |path: &str| ignore.denies(path.into());
        for path in ["data", "data/rsa_key", "key.pem", "web/node_modules/a/b.js", "node_modules", "log1a.txt", "x/y"] {
            assert!(denied(path), "{path}");
        }
        for path in ["data/public/a", "deep/key.pem", "logaa.txt", "src/main.rs", "mydata"] {
            assert!(!denied(path), "{path}");
        }
        assert!(!IgnorePatterns::default().denies("a".into()));
    }

    #[test]
    fn gitignore_is_said_in_dockers_words() {
        let ignore = IgnorePatterns::git("/target\n*.log\nnode_modules/\n!keep.log\ndocs/book\n# x\n");
        assert_eq!(ignore.lines("".into()), ["target", "**/*.log", "**/node_modules", "docs/book"]);
        assert_eq!(ignore.lines("ws".into())[0], "ws/target");
        assert!(
            ignore.denies("a/b.log".into())
                && ignore.denies("docs/book/x".into())
                && !ignore.denies("a/docs/book".into())
        );
    }
}
