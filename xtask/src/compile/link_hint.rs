//! What to do when a program does not link: read from what the linker printed. Pure.

use crate::workspace::system_needs::{by_crate, by_link_name, mend};

/// What comes before the name of a library that is not there: of lld, of GNU ld and gold, of rustc.
const NOT_FOUND: &[&str] = &[
    "unable to find library -l",
    "cannot find -l",
    "library not found for -l",
    "could not find native static library `",
];

/// What comes before a symbol that nothing has: of lld, of GNU ld, of gold.
const UNDEFINED: &[&str] = &["undefined symbol: ", "undefined reference to `", "undefined reference to '"];

/// The line that says what to do about a link that failed for a library of C. Nothing when `output` is
/// no linker's, or the fault is Rust code's.
pub(crate) fn link_hint(output: &str) -> Option<String> {
    let is_static =
        output.contains("\"-static-pie\"") || output.contains("\"-static\"") || output.contains("native static");
    let kind = if is_static { "static library" } else { "library" };
    if let Some(library) = output.lines().find_map(|line| after(line, NOT_FOUND)) {
        let need = by_link_name(library);
        let what = match crate_of(output, library) {
            Some(name) => format!("crate `{name}` asks for the {kind} `lib{library}`, which is not here"),
            None => format!("there is no {kind} `lib{library}` here"),
        };
        return Some(format!("{what}: {}", mend(need, is_static, true)));
    }
    let (symbol, archive) = undefined(output)?;
    let (what, need) = match archive {
        Some(Archive::Library(library)) => {
            let need = by_link_name(library);
            let of = crate_of(output, library).map(|name| format!(" of crate `{name}`")).unwrap_or_default();
            (format!("`lib{library}.a`{of} needs `{symbol}`, which no linked {kind} has"), need)
        }
        Some(Archive::Crate(name)) => {
            (format!("crate `{}` needs `{symbol}`, which no linked {kind} has", dashed(name)), by_crate(name))
        }
        None => (format!("no linked {kind} has `{symbol}`"), None),
    };
    Some(format!("{what}: {}", mend(need, is_static, false)))
}

/// What an undefined symbol is named in.
#[derive(Clone, Copy)]
enum Archive<'a> {
    /// `libNAME.a`
    Library(&'a str),
    /// `libNAME-HASH.rlib`
    Crate(&'a str),
}

/// The first symbol of C that is undefined, and the archive that needs it.
fn undefined(output: &str) -> Option<(&str, Option<Archive<'_>>)> {
    let mut seen = None;
    let mut lines = output.lines();
    while let Some(line) = lines.next() {
        // GNU ld says where before it says what; a line of the command that was run says neither.
        let own = if line.contains("\"-") { None } else { archive(line) };
        seen = own.or(seen);
        let Some(symbol) = after(line, UNDEFINED).filter(|symbol| is_of_c(symbol)) else { continue };
        if !line.contains("undefined symbol: ") {
            return Some((symbol, seen.filter(|_| own.is_some() || !line.contains(".rs:"))));
        }
        // lld says where on the lines after.
        return Some((symbol, lines.by_ref().take_while(|line| line.contains(">>>")).find_map(archive)));
    }
    None
}

/// Rust's own names have paths or are mangled.
fn is_of_c(symbol: &str) -> bool {
    !symbol.contains("::") && !symbol.starts_with("_R") && !symbol.starts_with("_Z")
}

/// The archive that a line names, unless it is one of the standard library.
fn archive(line: &str) -> Option<Archive<'_>> {
    let words = line.split(|c: char| c.is_whitespace() || "():'`\"".contains(c));
    let mut paths = words.filter(|word| !word.contains("/rustlib/"));
    paths.find_map(|path| {
        let file = path.rsplit('/').next()?.strip_prefix("lib")?;
        let library = file.strip_suffix(".a").map(Archive::Library);
        library.or_else(|| Some(Archive::Crate(file.strip_suffix(".rlib")?.rsplit_once('-')?.0)))
    })
}

/// The crate that links a library. rustc puts what a crate links right after the crate, so it is the
/// `.rlib` before `-lLIBRARY`; without one it is the program. Without the command, the usual crate.
fn crate_of(output: &str, library: &str) -> Option<String> {
    let Some((before, _)) = output.split_once(&format!("\"-l{library}\"")) else {
        return by_link_name(library).map(|need| need.name.to_owned());
    };
    match archive(before.rsplit('"').find(|argument| argument.ends_with(".rlib"))?)? {
        Archive::Crate(name) => Some(dashed(name)),
        Archive::Library(_) => None,
    }
}

/// A crate's name as manifests mostly write it; file names have underscores alone.
fn dashed(name: &str) -> String {
    by_crate(name).map_or_else(|| name.replace('_', "-"), |need| need.name.to_owned())
}

/// The word after the first of `starts` that `line` has.
fn after<'a>(line: &'a str, starts: &[&str]) -> Option<&'a str> {
    let rest = starts.iter().find_map(|start| Some(line.split_once(start)?.1))?;
    let end =
        rest.find(|c: char| c.is_whitespace() || "'`:,".contains(c) && !rest.contains("::")).unwrap_or(rest.len());
    Some(&rest[..end]).filter(|word| !word.is_empty())
}

#[cfg(test)]
#[path = "link_hint_tests.rs"]
mod tests;
