//! What a build said that it read: dep-info of cargo and rustc, and the words of build scripts.

use camino::Utf8PathBuf;

/// The files that a dep-info file of cargo names (make's syntax, spaces escaped by a backslash).
pub(crate) fn dep_info_files(text: &str) -> Vec<Utf8PathBuf> {
    let mut files = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((_, list)) = line.split_once(": ") else { continue };
        let mut path = String::new();
        let mut chars = list.chars();
        while let Some(c) = chars.next() {
            match c {
                '\\' => path.extend(chars.next()),
                ' ' => files.push(std::mem::take(&mut path).into()),
                c => path.push(c),
            }
        }
        files.push(path.into());
    }
    files.retain(|path: &Utf8PathBuf| !path.as_str().is_empty());
    files.sort();
    files.dedup();
    files
}

/// The variables that a dep-info file of rustc names, with whether they were set.
pub(crate) fn dep_info_variables(text: &str) -> Vec<(String, bool)> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("# env-dep:"));
    lines
        .map(|line| line.split_once('=').map_or((line.to_owned(), false), |(name, _)| (name.to_owned(), true)))
        .collect()
}

/// The variables that a build script says it reads.
pub(crate) fn script_variables(output: &str) -> Vec<String> {
    let words = output.lines().filter_map(|line| line.strip_prefix("cargo:")).map(|line| line.trim_start_matches(':'));
    words.filter_map(|line| line.strip_prefix("rerun-if-env-changed=")).map(|name| name.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_is_read() {
        let text =
            "/t/release/app: /s/app/a\\ b.rs /s/app/main.rs /s/lib.rs\n\n# env-dep:OUT_DIR=/x\n# env-dep:UNSET\n";
        assert_eq!(dep_info_files(text), ["/s/app/a b.rs", "/s/app/main.rs", "/s/lib.rs"]);
        assert_eq!(dep_info_variables(text), [("OUT_DIR".to_owned(), true), ("UNSET".to_owned(), false)]);
        let output = "cargo:rerun-if-env-changed=A\ncargo::rerun-if-env-changed=B\nhello\ncargo:rustc-env=C=d\n";
        assert_eq!(script_variables(output), ["A", "B"]);
    }
}
