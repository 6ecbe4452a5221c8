//! Crates that need a library or a program of the machine that compiles them, and how to do without.

use std::collections::BTreeMap;

use super::resolve::Node;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SystemNeed {
    /// The crate, as the lock file has it.
    pub(crate) name: &'static str,
    /// What it looks for.
    pub(crate) wanted: Wanted,
    /// The Debian package that has it.
    pub(crate) package: &'static str,
    /// The feature that makes the crate bring it along: of which crate, and its name. Crates that do so
    /// by themselves when they find nothing are not listed.
    pub(crate) vendored: Option<(&'static str, &'static str)>,
}

/// Something that is on a machine or not.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Library {
        /// What `pkg-config` calls it.
        pkg_config: &'static str,
        /// What linkers call it, after `-l`.
        link: &'static str,
        /// Whether distributions have a static variant that links without further libraries.
        is_static: bool,
    },
    /// A program on the `PATH`, any of these.
    Program(&'static [&'static str]),
}

const fn library(
    name: &'static str,
    pkg_config: &'static str,
    link: &'static str,
    is_static: bool,
    package: &'static str,
    vendored: Option<(&'static str, &'static str)>,
) -> SystemNeed {
    SystemNeed { name, wanted: Wanted::Library { pkg_config, link, is_static }, package, vendored }
}

const fn program(name: &'static str, programs: &'static [&'static str], package: &'static str) -> SystemNeed {
    SystemNeed { name, wanted: Wanted::Program(programs), package, vendored: None }
}

/// The known ones; where two need the same, the first is the one that linkers' output is told by.
const NEEDS: &[SystemNeed] = &[
    library("openssl-sys", "openssl", "ssl", true, "libssl-dev", Some(("openssl", "vendored"))),
    library("pq-sys", "libpq", "pq", false, "libpq-dev", Some(("pq-sys", "bundled"))),
    library("libpq-sys", "libpq", "pq", false, "libpq-dev", None),
    library(
        "mysqlclient-sys",
        "libmariadb",
        "mysqlclient",
        false,
        "default-libmysqlclient-dev",
        Some(("mysqlclient-sys", "bundled")),
    ),
    library("libsqlite3-sys", "sqlite3", "sqlite3", true, "libsqlite3-dev", Some(("rusqlite", "bundled"))),
    library("sasl2-sys", "libsasl2", "sasl2", false, "libsasl2-dev", Some(("sasl2-sys", "vendored"))),
    library("libgssapi-sys", "krb5-gssapi", "gssapi_krb5", false, "libkrb5-dev", None),
    library("libdbus-sys", "dbus-1", "dbus-1", false, "libdbus-1-dev", Some(("dbus", "vendored"))),
    library("libudev-sys", "libudev", "udev", false, "libudev-dev", None),
    library("libsystemd-sys", "libsystemd", "systemd", false, "libsystemd-dev", None),
    library("alsa-sys", "alsa", "asound", false, "libasound2-dev", None),
    library("yeslogic-fontconfig-sys", "fontconfig", "fontconfig", false, "libfontconfig-dev", None),
    library("pcap", "libpcap", "pcap", false, "libpcap-dev", None),
    program("cmake", &["cmake"], "cmake"),
    program("openssl-src", &["perl"], "perl make"),
    program("prost-build", &["protoc"], "protobuf-compiler"),
    program("clang-sys", &["clang", "llvm-config"], "libclang-dev clang"),
    program("nasm-rs", &["nasm"], "nasm"),
];

/// The features by which a `-sys` crate itself brings its library along, whatever turns them on.
const VENDORED: &[&str] = &["vendored", "bundled", "bundled-sqlcipher", "bundled_without_openssl"];

/// Crates that bring a program along for others.
const BRINGS: &[(&str, &str)] = &[("protoc-bin-vendored", "protoc"), ("protobuf-src", "protoc")];

/// What the packages that cargo resolved need of the machine, by the crate.
pub(crate) fn needs_of<'a>(nodes: impl IntoIterator<Item = &'a Node>) -> Vec<&'static SystemNeed> {
    let mut resolved: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for node in nodes {
        resolved.entry(&node.name).or_default().extend(node.feature_list());
    }
    let is_needed = |need: &&SystemNeed| {
        let Some(features) = resolved.get(need.name) else { return false };
        match need.wanted {
            Wanted::Library { .. } => !features.iter().any(|feature| VENDORED.contains(feature)),
            Wanted::Program(programs) => {
                !BRINGS.iter().any(|(by, program)| programs.contains(program) && resolved.contains_key(by))
            }
        }
    };
    NEEDS.iter().filter(is_needed).collect()
}

/// The need that linkers call `-l` this.
pub(crate) fn by_link_name(name: &str) -> Option<&'static SystemNeed> {
    NEEDS.iter().find(|need| matches!(need.wanted, Wanted::Library { link, .. } if link == name))
}

/// The need of a crate, its name with dashes or underscores.
pub(crate) fn by_crate(name: &str) -> Option<&'static SystemNeed> {
    NEEDS.iter().find(|need| need.name.replace('-', "_") == name.replace('-', "_"))
}

/// What helps when a need is not met: because the machine has no such thing (`is_missing`), or because a
/// library there needs others.
pub(crate) fn mend(need: Option<&SystemNeed>, is_static: bool, is_missing: bool) -> String {
    let mut ways = Vec::new();
    match need.map(|need| need.vendored) {
        Some(Some((name, feature))) => ways.push(format!("turn on the feature `{feature}` of `{name}`")),
        Some(None) => {}
        None => ways.push("turn on the crate's feature `vendored` or `bundled`, if it has one".to_owned()),
    }
    let installed = match need {
        Some(SystemNeed { wanted: Wanted::Program(_), package, .. }) => return format!("install `{package}`"),
        // What is there to install would not link.
        Some(SystemNeed { wanted: Wanted::Library { is_static: false, .. }, .. }) if is_static => None,
        Some(need) => Some(format!("install `{}`", need.package)),
        None => Some("install the package that has it".to_owned()),
    };
    ways.extend(installed.filter(|_| is_missing));
    if is_static {
        ways.push("set `linkage = \"gnu\"` with a `runtime-image` that has the library".to_owned());
    }
    let last = ways.pop().unwrap_or_default();
    if ways.is_empty() { last } else { format!("{}, or {last}", ways.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, features: &str) -> Node {
        Node {
            name: name.into(),
            version: "1.0.0".into(),
            path: None,
            source: String::new(),
            features: features.into(),
            license: String::new(),
            for_host: false,
        }
    }

    fn names(nodes: &[Node]) -> Vec<&'static str> {
        needs_of(nodes).into_iter().map(|need| need.name).collect()
    }

    #[test]
    fn what_is_used_is_needed_unless_it_is_brought_along() {
        assert_eq!(
            names(&[node("serde", "std"), node("pq-sys", "default"), node("openssl-sys", "")]),
            ["openssl-sys", "pq-sys"]
        );
        assert_eq!(names(&[node("pq-sys", "bundled"), node("openssl-sys", "default,vendored")]), [""; 0]);
        // The host's features are others than the target's: once brought along is enough to know how.
        assert_eq!(names(&[node("libsqlite3-sys", ""), node("libsqlite3-sys", "bundled")]), [""; 0]);
        assert_eq!(names(&[node("prost-build", "")]), ["prost-build"]);
        assert_eq!(names(&[node("prost-build", ""), node("protoc-bin-vendored", "")]), [""; 0]);
    }

    #[test]
    fn needs_are_found_as_linkers_and_files_name_them() {
        assert_eq!(by_link_name("pq").unwrap().name, "pq-sys");
        assert_eq!(by_crate("openssl_sys").unwrap().package, "libssl-dev");
        assert!(by_link_name("m").is_none() && by_crate("serde").is_none());
    }
}
