//! What `cargo auditable` writes into executables, which scanners read: packages by name and version, where they are
//! from, and who uses whom.

use serde::Serialize;

use super::bill::{RustPackage, Source};

/// The section of an executable that holds it, compressed by zlib.
pub(crate) const SECTION: &str = ".dep-v0";

/// Macros count as what they are, used while building alone (`auditable-serde`, format 1).
const FORMAT: u32 = 1;

#[derive(Serialize)]
struct VersionInfo<'a> {
    packages: Vec<Package<'a>>,
    format: u32,
}

#[derive(Serialize)]
struct Package<'a> {
    name: &'a str,
    version: &'a str,
    source: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    dependencies: &'a [usize],
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    root: bool,
}

/// The section's JSON.
pub(crate) fn json(packages: &[RustPackage]) -> Vec<u8> {
    let packages = packages.iter().map(|package| Package {
        name: &package.name,
        version: &package.version,
        source: match package.source {
            Source::CratesIo => "crates.io",
            Source::Registry(_) => "registry",
            Source::Git(..) => "git",
            Source::Local(_) => "local",
        },
        kind: package.is_build.then_some("build"),
        dependencies: &package.dependencies,
        root: package.is_root,
    });
    serde_json::to_vec(&VersionInfo { packages: packages.collect(), format: FORMAT }).expect("text keys, no maps")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sbom::bill::tests::sample;

    #[test]
    fn it_is_what_cargo_auditable_writes_and_names_no_checkout() {
        let here = json(&sample("/w").packages);
        assert_eq!(
            String::from_utf8_lossy(&here),
            r#"{"packages":[{"name":"app","version":"0.1.0","source":"local","dependencies":[1,2,3,4],"root":true},"#
                .to_owned()
                + r#"{"name":"derive","version":"0.2.0","source":"local","kind":"build","dependencies":[4]},"#
                + r#"{"name":"gitty","version":"1.0.0+x","source":"git"},"#
                + r#"{"name":"inner","version":"1.0.0","source":"registry"},"#
                + r#"{"name":"syn","version":"2.0.1","source":"crates.io"}],"format":1}"#
        );
        assert!(json(&sample("/home/me/checkout").packages) == here);
    }
}
