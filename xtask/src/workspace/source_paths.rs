//! Which paths a Rust source names at compile time.
//!
//! A help, no more: what it misses is not in the context, and then does not compile. So it takes any
//! literal within a macro or an attribute, whatever the macro is called.

use serde::{Deserialize, Serialize};

/// What a source names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NamedPaths {
    /// Paths as written, [`MANIFEST_DIR`] standing for the package's folder; sorted, each once.
    pub(crate) paths: Vec<NamedPath>,
    /// `mod NAME;`: files beside this one, or below it.
    pub(crate) modules: Vec<String>,
    /// Whether it speaks of sqlx, whose macros read what `cargo sqlx prepare` left.
    pub(crate) uses_sqlx: bool,
}

/// A path as a source names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct NamedPath {
    pub(crate) text: String,
    /// The compiler itself reads it: `include!` and its kind, `#[path = …]`.
    pub(crate) is_include: bool,
}

/// What macros write for the package's folder.
pub(crate) const MANIFEST_DIR: &str = "$CARGO_MANIFEST_DIR";

/// Longer literals are texts.
const LONGEST: usize = 400;

/// Finds what `source` names; in a build script any literal counts.
pub(crate) fn named_paths(source: &str, is_build_script: bool) -> NamedPaths {
    let mut scanner = Scanner { is_build_script, ..Scanner::default() };
    scanner.scan(source);
    let mut found = scanner.found;
    found.uses_sqlx = source.contains("sqlx");
    found.paths.sort();
    found.paths.dedup();
    found
}

#[derive(Default)]
struct Scanner {
    is_build_script: bool,
    found: NamedPaths,
    open: Vec<Group>,
    /// The last words and signs, newest last: what a bracket or a literal belongs to.
    recent: Vec<String>,
}

/// A bracket that is open.
#[derive(Default)]
struct Group {
    /// `NAME` of `NAME!(…)`.
    callee: Option<String>,
    is_attribute: bool,
    /// Literals of a `concat!`; nothing once it holds what we cannot join.
    joined: Option<String>,
}

impl Scanner {
    fn scan(&mut self, source: &str) {
        let mut rest = source;
        while let Some(c) = rest.chars().next() {
            let taken = match c {
                '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
                '/' if rest.starts_with("/*") => comment(rest),
                '"' => self.literal(rest, 0),
                '\'' => quoted_char(rest),
                'r' | 'b' | 'c' if literal_start(rest).is_some() => {
                    let start = literal_start(rest).unwrap_or_default();
                    self.literal(rest, start)
                }
                c if c.is_alphabetic() || c == '_' => {
                    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                    self.word(&rest[..end]);
                    end
                }
                c if c.is_whitespace() => c.len_utf8(),
                c => {
                    self.sign(c);
                    c.len_utf8()
                }
            };
            rest = &rest[taken.max(1)..];
        }
    }

    fn word(&mut self, word: &str) {
        self.recent.push(word.to_owned());
        // A name in a `concat!` that is neither a macro nor a literal cannot be joined.
        if !matches!(word, "env" | "concat")
            && let Some(group) = self.open.last_mut()
        {
            group.joined = None;
        }
    }

    fn sign(&mut self, sign: char) {
        match sign {
            '(' | '[' | '{' => {
                let before = |back: usize| self.recent.len().checked_sub(back).map(|at| self.recent[at].as_str());
                let callee = (before(1) == Some("!")).then(|| before(2).unwrap_or_default().to_owned());
                let is_attribute = sign == '[' && (before(1) == Some("#") || before(2) == Some("#"));
                let joined = (callee.as_deref() == Some("concat")).then(String::new);
                self.open.push(Group { callee, is_attribute, joined });
            }
            ')' | ']' | '}' => {
                let closed = self.open.pop().unwrap_or_default();
                if let Some(text) = closed.joined {
                    self.name(text);
                }
            }
            ';' if self.recent.len() >= 2 && self.recent[self.recent.len() - 2] == "mod" => {
                self.found.modules.extend(self.recent.last().cloned());
            }
            _ => {}
        }
        self.recent.push(sign.to_string());
        let excess = self.recent.len().saturating_sub(16);
        self.recent.drain(..excess);
    }

    /// Takes the literal whose quote, with its hashes, is at `start`; gives its length.
    fn literal(&mut self, rest: &str, start: usize) -> usize {
        let (text, end) = literal(rest, start);
        let is_manifest_dir =
            text == "CARGO_MANIFEST_DIR" && self.open.last().and_then(|group| group.callee.as_deref()) == Some("env");
        let text = if is_manifest_dir { MANIFEST_DIR.to_owned() } else { text };
        let holder = self.open.len().checked_sub(if is_manifest_dir { 2 } else { 1 });
        match holder.and_then(|at| self.open[at].joined.as_mut()) {
            Some(joined) => joined.push_str(&text),
            None if !is_manifest_dir => self.name(text),
            None => {}
        }
        self.recent.push("\"".to_owned());
        end
    }

    fn name(&mut self, text: String) {
        let innermost = self.open.iter().rev().find(|group| group.callee.is_some() || group.is_attribute);
        if innermost.is_none() && !self.is_build_script {
            return;
        }
        let is_include = innermost.is_some_and(|group| match &group.callee {
            Some(callee) => ["include", "include_str", "include_bytes"].contains(&callee.as_str()),
            None => self.recent.iter().rev().nth(1).is_some_and(|word| word == "path"),
        });
        if !text.is_empty() && text.len() <= LONGEST && !text.contains(['\n', '*', '\0']) {
            self.found.paths.push(NamedPath { text, is_include });
        }
    }
}

/// The length of a block comment, which may hold others.
fn comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

/// The length of a character, or of a lifetime's quote.
fn quoted_char(rest: &str) -> usize {
    let inner = &rest[1..];
    if let Some(escaped) = inner.strip_prefix('\\') {
        let skip = escaped.chars().next().map_or(0, char::len_utf8);
        return escaped[skip..].find('\'').map_or(1, |end| 1 + 1 + skip + end + 1);
    }
    match inner.char_indices().nth(1) {
        Some((end, '\'')) => 1 + end + 1,
        _ => 1,
    }
}

/// Where the quote of `r"`, `b"`, `br#"`, `c"` is, if `rest` begins with such a literal.
fn literal_start(rest: &str) -> Option<usize> {
    let letters = rest.find(|c: char| !matches!(c, 'r' | 'b' | 'c')).filter(|letters| *letters <= 2)?;
    let is_raw = rest[..letters].contains('r');
    let hashes = rest[letters..].find(|c| c != '#')?;
    (rest[letters + hashes..].starts_with('"') && (is_raw || hashes == 0)).then_some(letters)
}

/// The text of a literal and where it ends.
fn literal(rest: &str, start: usize) -> (String, usize) {
    let is_raw = rest[..start].contains('r');
    let hashes = rest[start..].find('"').unwrap_or_default();
    let begin = start + hashes + 1;
    let body = &rest[begin.min(rest.len())..];
    if is_raw {
        let closing = format!("\"{}", "#".repeat(hashes));
        return match body.find(&closing) {
            Some(end) => (body[..end].to_owned(), begin + end + closing.len()),
            None => (String::new(), rest.len()),
        };
    }
    let mut text = String::new();
    let mut chars = body.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (text, begin + at + 1),
            '\\' => match chars.next() {
                Some((_, escaped @ ('\\' | '"' | '\''))) => text.push(escaped),
                // No path has such a thing in it.
                _ => text.push('\0'),
            },
            c => text.push(c),
        }
    }
    (String::new(), rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(source: &str, is_build_script: bool) -> Vec<String> {
        named_paths(source, is_build_script).paths.into_iter().map(|path| path.text).collect()
    }

    #[test]
    fn macros_and_attributes_name_paths_however_they_are_written() {
        let source = r###"
            #![doc = include_str!("../../README.md")]
            const A: &[u8] = include_bytes!( "./../../a.bin" );
            const B: &str = include_str![r#"../b"#];
            const C: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/", "../c"));
            static D: Dir = include_dir!("$CARGO_MANIFEST_DIR/../d");
            #[path
                = "../e.rs"]
            mod e;
            #[folder = "../f"] struct F;
            mac!(T, "../g");
            const H: &str = include_str! { concat!("../", "h", "/i") };
        "###;
        assert_eq!(
            texts(source, false),
            [
                "$CARGO_MANIFEST_DIR/../c",
                "$CARGO_MANIFEST_DIR/../d",
                "../../README.md",
                "../b",
                "../e.rs",
                "../f",
                "../g",
                "../h/i",
                "./../../a.bin"
            ]
        );
        let found = named_paths(source, false);
        assert_eq!(found.modules, ["e"]);
        let includes: Vec<_> =
            found.paths.iter().filter(|path| path.is_include).map(|path| path.text.as_str()).collect();
        assert_eq!(
            includes,
            ["$CARGO_MANIFEST_DIR/../c", "../../README.md", "../b", "../e.rs", "../h/i", "./../../a.bin"]
        );
    }

    #[test]
    fn comments_lifetimes_and_plain_literals_name_nothing() {
        let source = "// include_str!(\"../a\")\n/* include_str!(\"../b\") /* */ include_str!(\"../b\") */\n\
                      fn f<'a>(x: &'a str) { let c = '\"'; let d = '\\''; open(\"../c\"); } const X: &str = \"x/../y\";\n\
                      /// include_str!(\"../d\")\nstruct S;";
        assert!(texts(source, false).is_empty(), "{:?}", texts(source, false));
        assert_eq!(texts("f('\\u{41}', include_str!(\"../z\"))", false), ["../z"]);
    }

    #[test]
    fn what_cannot_be_joined_is_not() {
        assert_eq!(texts("include!(concat!(env!(\"OUT_DIR\"), \"/x.rs\"));", false), ["/x.rs", "OUT_DIR"]);
        assert_eq!(texts("include_str!(concat!(DIR, \"/x\"))", false), ["/x"]);
    }

    #[test]
    fn a_build_script_names_every_literal() {
        let found = texts("compile(&[\"../proto/a.proto\"], &[\"../proto\"]); include!(\"more.rs\");", true);
        assert_eq!(found, ["../proto", "../proto/a.proto", "more.rs"]);
    }

    #[test]
    fn broken_sources_end() {
        for source in ["include_str!(\"../a", "r#\"abc", "/* abc", "'", "b'", "\"\\", "'\\", "mac!(\"é", "br##\"x\"#"]
        {
            named_paths(source, true);
        }
    }
}
