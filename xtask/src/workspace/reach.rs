//! Which paths outside its own folder a source file reaches at compile time.
//!
//! Literal paths are found, computed ones are not: a build script that puts a path together needs
//! an asset or a file inside the package.

/// A path that a source names, and what it is relative to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Reach {
    /// The path as written, starting with `../`.
    pub(crate) path: String,
    /// An `include!`, `include_str!` or `include_bytes!`: certainly read by the compiler.
    pub(crate) is_include: bool,
}

/// Finds the paths in a Rust source that start with `../` and are an argument of a macro
/// (`include_str!("../a")`, `concat!(env!("CARGO_MANIFEST_DIR"), "/../a")`,
/// `include_dir!("$CARGO_MANIFEST_DIR/../a")`), or the value of an attribute
/// (`#[path = "../a"]`, `#[folder = "../a"]`); in a build script, any literal.
pub(crate) fn reaches(source: &str, is_build_script: bool) -> Vec<Reach> {
    let mut found = Vec::new();
    for (start, _) in source.match_indices("../") {
        let before = &source[..start];
        let before = before.strip_suffix("$CARGO_MANIFEST_DIR/").or(before.strip_suffix('/')).unwrap_or(before);
        // Only the beginning of a literal counts: not the second `../` of `"../../a"`.
        let Some(context) = before.strip_suffix('"') else { continue };
        let line_start = context.rfind('\n').map_or(0, |newline| newline + 1);
        if context[line_start..].trim_start().starts_with("//") {
            continue;
        }
        let context = context.trim_end_matches('#');
        let context = context.strip_suffix('r').unwrap_or(context).trim_end();
        let is_macro_argument = context.strip_suffix('(').is_some_and(|callee| callee.ends_with('!'))
            || context.strip_suffix(',').is_some_and(|rest| rest.trim_end().ends_with("env!(\"CARGO_MANIFEST_DIR\")"));
        let is_attribute = context.ends_with('=') && context[context.rfind('\n').unwrap_or(0)..].contains("#[");
        if !(is_macro_argument || is_attribute || is_build_script) {
            continue;
        }
        let Some(end) = source[start..].find('"') else { continue };
        let is_include =
            ["include!(", "include_str!(", "include_bytes!("].iter().any(|include| context.ends_with(include));
        found.push(Reach { path: source[start..start + end].to_owned(), is_include });
    }
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(source: &str, is_build_script: bool) -> Vec<String> {
        reaches(source, is_build_script).into_iter().map(|reach| reach.path).collect()
    }

    #[test]
    fn macros_and_attributes_that_reach_out_are_found() {
        let source = r###"
            #![doc = include_str!("../../README.md")]
            const A: &[u8] = include_bytes!( "../a.bin" );
            const B: &str = include_str!(r#"../b"#);
            const C: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../c"));
            static D: Dir = include_dir!("$CARGO_MANIFEST_DIR/../d");
            #[path = "../e.rs"] mod e;
            #[folder = "../f"] struct F;
            static M: Migrator = sqlx::migrate!("../migrations");
        "###;
        assert_eq!(
            paths(source, false),
            [
                "../../README.md",
                "../a.bin",
                "../b\"#".trim_end_matches("\"#"),
                "../c",
                "../d",
                "../e.rs",
                "../f",
                "../migrations"
            ]
        );
        assert!(reaches(source, false)[0].is_include);
        assert!(!reaches(source, false)[7].is_include);
    }

    #[test]
    fn comments_and_plain_literals_are_not() {
        assert!(paths("// include_str!(\"../a\")\nlet a = open(\"../b\"); let c = \"x/../y\";", false).is_empty());
    }

    #[test]
    fn a_build_script_reaches_every_literal() {
        assert_eq!(paths("compile(&[\"../proto/a.proto\"], &[\"../proto\"])", true), ["../proto", "../proto/a.proto"]);
    }
}
