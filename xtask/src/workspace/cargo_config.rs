//! Cargo's configuration (doc.rust-lang.org/cargo, "Configuration"): what of it decides a program.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::inputs::Input;

/// Tables that only concern networks, terminals, and other commands than `build`. Sources and registries
/// are known by the lock file's checksums, vendored folders by their content.
const NOT_FOR_BUILDS: &[&str] = &[
    "alias",
    "cache",
    "cargo-new",
    "credential-alias",
    "doc",
    "future-incompat-report",
    "http",
    "include",
    "install",
    "net",
    "registries",
    "registry",
    "source",
    "term",
];

/// Keys below others that are our own business, or that of `cargo run` and `cargo doc`.
const NOT_OURS: &[&str] =
    &["jobs", "target-dir", "build-dir", "target", "rustdoc", "rustdocflags", "runner", "warnings"];

/// Merges configurations as cargo does, those of higher precedence first: tables by key, lists one
/// after the other, anything else by the first.
pub(crate) fn merged(configurations: impl IntoIterator<Item = Table>) -> Table {
    let mut all = Table::new();
    for lower in configurations {
        merge(&mut all, lower);
    }
    all
}

fn merge(into: &mut Table, lower: Table) {
    for (key, value) in lower {
        match (into.get_mut(&key), value) {
            (None, value) => drop(into.insert(key, value)),
            (Some(Value::Table(own)), Value::Table(lower)) => merge(own, lower),
            (Some(Value::Array(own)), Value::Array(lower)) => own.splice(0..0, lower).for_each(drop),
            (Some(_), _) => {}
        }
    }
}

/// What of a configuration decides programs, a key each.
pub(crate) fn inputs(configuration: &Table) -> BTreeMap<Input, String> {
    let mut found = BTreeMap::new();
    let decisive = configuration.iter().filter(|(key, _)| !NOT_FOR_BUILDS.contains(&key.as_str()));
    for (key, value) in decisive {
        flatten(key.clone(), value, &mut found);
    }
    found
}

fn flatten(key: String, value: &Value, found: &mut BTreeMap<Input, String>) {
    match value.as_table() {
        Some(table) => {
            for (name, value) in table {
                let is_ours = name == "target" && value.is_table();
                if !NOT_OURS.contains(&name.as_str()) || is_ours || key.starts_with("env") {
                    flatten(format!("{key}.{name}"), value, found);
                }
            }
        }
        None => {
            let input = Input::Configuration { key, value: value.to_string() };
            found.insert(input, "cargo's configuration".to_owned());
        }
    }
}

/// Folders of vendored sources, as written.
pub(crate) fn vendored(configuration: &Table) -> Vec<&str> {
    let sources = configuration.get("source").and_then(Value::as_table).into_iter().flat_map(Table::values);
    let folders = sources.flat_map(|source| ["directory", "local-registry"].map(|key| source.get(key)));
    folders.flatten().filter_map(Value::as_str).collect()
}

/// Other files that a configuration takes in, as written (`include`, stable since cargo 1.94).
pub(crate) fn includes(configuration: &Table) -> Vec<&str> {
    fn text(entry: &Value) -> Option<&str> {
        match entry {
            Value::Table(table) => table.get("path").and_then(Value::as_str),
            entry => entry.as_str(),
        }
    }
    match configuration.get("include") {
        Some(Value::Array(list)) => list.iter().filter_map(text).collect(),
        Some(one) => text(one).into_iter().collect(),
        None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(texts: &[&str]) -> Vec<String> {
        let all = merged(texts.iter().map(|text| toml::from_str::<Table>(text).unwrap()));
        inputs(&all).into_keys().map(|input| input.encoded()).collect()
    }

    #[test]
    fn higher_precedence_wins_and_lists_are_joined() {
        let found = encoded(&[
            "[env]\nA = 'workspace'\n[build]\nrustflags = ['-b']",
            "[env]\nA = 'home'\nB = { value = 'x', relative = true }\n[build]\nrustflags = ['-a']\njobs = 3",
        ]);
        assert_eq!(
            found,
            [
                r#"["configuration","build.rustflags","[\"-a\", \"-b\"]"]"#,
                r#"["configuration","env.A","\"workspace\""]"#,
                r#"["configuration","env.B.relative","true"]"#,
                r#"["configuration","env.B.value","\"x\""]"#,
            ]
        );
    }

    #[test]
    fn networks_terminals_and_other_commands_do_not_count() {
        let text = "[net]\noffline = true\n[term]\ncolor = 'auto'\n[alias]\nx = 'run'\n[http]\nproxy = 'u:p@h'\n\
                    [registries.r]\ntoken = 'secret'\n[build]\ntarget-dir = 't'\n[target.x]\nrunner = 'q'\nlinker = 'l'";
        assert_eq!(encoded(&[text]), [r#"["configuration","target.x.linker","\"l\""]"#]);
    }

    #[test]
    fn vendored_folders_and_includes_are_found() {
        let text = "include = ['a.toml', { path = 'b.toml' }]\n[source.v]\ndirectory = 'vendor'\n[source.c]\nreplace-with = 'v'";
        let table: Table = toml::from_str(text).unwrap();
        assert_eq!(vendored(&table), ["vendor"]);
        assert_eq!(includes(&table), ["a.toml", "b.toml"]);
    }
}
