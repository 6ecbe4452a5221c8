//! Package URLs (<https://github.com/package-url/purl-spec>): names of packages across tools.

use super::bill::{RustPackage, Source};
use super::system_packages::{Distribution, SystemPackage};

/// `pkg:cargo/NAME@VERSION`, with where it is from unless that is crates.io.
pub(crate) fn of_rust(package: &RustPackage) -> String {
    let name = format!("pkg:cargo/{}@{}", encoded(&package.name, ""), encoded(&package.version, ""));
    match &package.source {
        Source::CratesIo => name,
        Source::Registry(address) => format!("{name}?repository_url={}", encoded(address, ":/")),
        Source::Git(address, commit) => {
            format!("{name}?vcs_url={}", encoded(&format!("git+{address}@{commit}"), ":/"))
        }
        // So that it is not taken for the package of that name on crates.io.
        Source::Local(folder) => {
            let folder = folder.as_deref().filter(|folder| !folder.is_empty());
            let folder = folder.map(|folder| format!("#{}", encoded(folder, "/"))).unwrap_or_default();
            format!("{name}?download_url=file://.{folder}")
        }
    }
}

/// `pkg:deb/debian/NAME@VERSION?arch=…&distro=…`, or `pkg:apk/…`.
pub(crate) fn of_system(package: &SystemPackage, distribution: &Distribution) -> String {
    let parts = [&distribution.id, &package.name, &package.version].map(|part| encoded(part, ""));
    let [id, name, version] = parts;
    let mut url =
        format!("pkg:{}/{id}/{name}@{version}?arch={}", package.kind.name(), encoded(&package.architecture, ""));
    if !distribution.version.is_empty() {
        url += &format!("&distro={id}-{}", encoded(&distribution.version, ""));
    }
    if package.origin != package.name && !package.origin.is_empty() {
        url += &format!("&upstream={}", encoded(&package.origin, ""));
    }
    url
}

fn encoded(text: &str, kept: &str) -> String {
    let is_kept = |byte: u8| byte.is_ascii_alphanumeric() || b".-_~".contains(&byte) || kept.as_bytes().contains(&byte);
    text.bytes().fold(String::new(), |mut all, byte| {
        match is_kept(byte) {
            true => all.push(char::from(byte)),
            false => all += &format!("%{byte:02X}"),
        }
        all
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sbom::bill::tests::sample;

    #[test]
    fn each_source_has_its_form() {
        let urls: Vec<_> = sample("/w").packages.iter().map(of_rust).collect();
        assert_eq!(
            urls,
            [
                "pkg:cargo/app@0.1.0?download_url=file://.#app",
                "pkg:cargo/derive@0.2.0?download_url=file://.",
                "pkg:cargo/gitty@1.0.0%2Bx?vcs_url=git%2Bhttps://example.com/g%40abcdef1234567890",
                "pkg:cargo/inner@1.0.0?repository_url=https://index.example.com/",
                "pkg:cargo/syn@2.0.1",
            ]
        );
    }
}
